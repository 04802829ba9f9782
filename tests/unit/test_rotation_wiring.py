# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What hosts are told in each step of a rotation, as playbooks/group_vars make it of the file of secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.arxos.platform.plugins.module_utils import _rotation

GROUP_VARS = Path(__file__).resolve().parents[2] / "playbooks/group_vars"
SECRETS = yaml.safe_load((GROUP_VARS / "all/secrets.yml").read_text())["arxos_secrets"]
ROTATED = yaml.safe_load((GROUP_VARS / "all/rotation.yml").read_text())["arxos_rotated"]
# Why not stands in docs/secrets.md.
NOT_ROTATED = {
    "vault_certificates_ca_certificate",
    "vault_certificates_ca_private_key",
    "vault_backup_passphrase",
    "vault_arxos_api_admin_password",
    "vault_arxos_api_admin_totp_secret",
}
KEEPS = {"vault_arxos_api_jwt_secret": 604800, "vault_arxos_api_encryption_key": -1}
STEPS = ["", "introduce", "switch", "retire", "done"]
LOADER = DataLoader()
VARIABLES: dict[str, Any] = {"arxos_bucket_prefix": "x"}
for _path in sorted(GROUP_VARS.glob("*/*.yml")):
    VARIABLES |= LOADER.load_from_file(str(_path), trusted_as_template=True) or {}


def content_in(step: str, groups: dict[str, list[str]]) -> dict[str, Any]:
    """The file of secrets in a step; each value is `old` or `new` and its name."""
    values: dict[str, Any] = {name: f"old {name}" for name in SECRETS}
    if not step:
        return values
    state = _rotation.begun(_rotation.State(), groups, KEEPS, lambda name: f"new {name}")
    while state.phase and state.phase != step:
        state, changed = _rotation.advanced(state, values, 1e9)
        values.update(changed)
    return {**values, **_rotation.written(state)}


def told(step: str, expression: str, groups: dict[str, list[str]] | None = None, phase: str = "") -> Any:
    """An expression as hosts see it in a step."""
    variables = {**VARIABLES, **content_in(step, groups or ROTATED), **({"rotation_phase": phase} if phase else {})}
    return Templar(loader=LOADER, variables=variables).template(trust_as_template("{{ " + expression + " }}"))


def words(values: Any) -> list[str]:
    return [str(value).split()[0] for value in values]


def test_each_secret_is_rotated_once_or_it_is_said_why_not() -> None:
    rotated = [name for names in ROTATED.values() for name in names]
    assert len(rotated) == len(set(rotated)) and set(rotated) | NOT_ROTATED == set(SECRETS) and not set(rotated) & NOT_ROTATED


@pytest.mark.parametrize(("step", "accepted"), list(zip(STEPS, [["old"], ["old", "new"], ["new", "old"], ["new"], ["new"]])))
def test_servers_take_what_clients_use_in_this_step_and_the_one_before(step: str, accepted: list[str]) -> None:
    for user in ("admin", "replication", "monitoring", "application"):
        assert words(told(step, f"redis_cluster_passwords.{user}")) == accepted
    for identity in told(step, "seaweedfs_identities"):
        assert words([identity["access_key"], *(pair[0] for pair in identity["also"])]) == accepted
        assert words([identity["secret_key"], *(pair[1] for pair in identity["also"])]) == accepted
    kept = accepted if len(accepted) > 1 or not step else ["new", "old"]
    assert words(told(step, "arxos_api_jwt_secrets")) == words(told(step, "arxos_api_encryption_keys")) == kept
    for name in ("arxos_api_redis_password", "arxos_api_s3_access_key", "arxos_api_s3_secret_key", "backup_s3_secret_key"):
        assert words([told(step, name)]) == accepted[:1]


@pytest.mark.parametrize("step", STEPS)
def test_the_database_knows_whom_the_application_logs_in_as(step: str) -> None:
    passwords = {
        role["name"]: role["password"] for role in told(step, "postgresql_schema_roles + postgresql_schema_stand_ins") if "password" in role
    }
    user, password = told(step, "arxos_api_database_user"), told(step, "arxos_api_database_password")
    assert passwords[user] == password
    assert {each["name"]: each["password"] for each in told(step, "connection_pool_users")}.items() <= passwords.items()
    assert user in [each["name"] for each in told(step, "connection_pool_users")]
    assert user == ("arxos_application_next" if step == "introduce" else "arxos_application")
    assert ("arxos_application_next" in passwords) is (step in ("introduce", "switch"))
    assert user in [name for entry in told(step, "arxos_database_access") if entry["from"] == "app" for name in entry["users"]]


@pytest.mark.parametrize("step", STEPS)
def test_what_is_not_rotated_is_as_it_was(step: str) -> None:
    groups = {"redis": ROTATED["redis"]}
    assert told(step, "arxos_api_database_user", groups) == "arxos_application"
    assert told(step, "postgresql_schema_stand_ins", groups) == []
    assert words(told(step, "arxos_api_jwt_secrets", groups)) == ["old"]
    assert told(step, "seaweedfs_identities | map(attribute='also') | flatten", groups) == []


def test_the_playbook_does_in_a_step_what_the_file_is_in() -> None:
    assert told("switch", "rotation_here") == [], "in no playbook of a step"
    assert told("switch", "rotation_here", phase="switch") == list(ROTATED)
    assert told("switch", "rotation_here", phase="introduce") == told("", "rotation_here", phase="introduce") == []


def test_an_application_host_is_drained_before_its_certificate_changes_and_serves_after_its_restart() -> None:
    """Its daemons take up a pair by themselves as soon as it is there."""
    steps = yaml.safe_load((GROUP_VARS.parent / "tasks/rotate_certificate_app.yml").read_text())
    names = [step["name"].split(" |")[0] for step in steps]
    order = [names.index(name) for name in ("Drain at the edge", "Rotate", "Restart and wait until healthy", "Resume at the edge")]
    assert order == sorted(order)
    plays = [play for play in yaml.safe_load((GROUP_VARS.parent / "rotate_certificates.yml").read_text()) if "hosts" in play]
    others = [play["hosts"] for play in plays if "rotate_certificate.yml" in str(play["tasks"])]
    assert others == ["storage:database:cache", "edge:all:!storage:!database:!cache:!app"]
