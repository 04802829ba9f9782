# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""secrets_rotation: what is in the file after each step, plain and encrypted, and what it refuses. The steps themselves: test__rotation.py."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.arxos.platform.plugins.action.secrets_rotation import ActionModule

TEXT = """---
# Ours
vault_own: 'mine, "quoted"'  # and told
vault_r_password: old_r
vault_j_secret: "old_j"
vault_a_access_key: AKIAOLD3CX7QWERTZ0P1
vault_a_secret_key: |
  old_a

vault_pem: |
  -----BEGIN
  x
"""
GROUPS = {"redis": ["vault_r_password"], "jwt": ["vault_j_secret"], "s3": ["vault_a_access_key", "vault_a_secret_key"]}
KINDS = {
    "vault_r_password": "password",
    "vault_j_secret": "secret",
    "vault_a_access_key": "access_key",
    "vault_a_secret_key": "secret_key",
}


def act(path: Path, state: str = "begun", check_mode: bool = False, vault: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    """One call of the action, with the passwords that the command line would have given."""
    loader = DataLoader()
    loader.set_vault_secrets(vault)
    given: dict[str, Any] = {"path": str(path), "state": state, "encrypt": False}
    if state == "begun":
        given |= {"groups": GROUPS, "kinds": KINDS, "keeps": {"vault_j_secret": 3600}}
    action = ActionModule(
        task=SimpleNamespace(args={**given, **more}, check_mode=check_mode, async_val=0, action="arxos.platform.secrets_rotation"),
        connection=SimpleNamespace(_shell=SimpleNamespace(tmpdir=None)),
        play_context=None,
        loader=loader,
        templar=None,
        shared_loader_obj=None,
    )
    return action.run(task_vars={})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "vault.yml"
    file.write_text(TEXT)
    file.chmod(0o600)
    return file


def strings(content: Any) -> list[str]:
    if isinstance(content, dict):
        return [text for value in content.values() for text in strings(value)]
    return [text for value in content for text in strings(value)] if isinstance(content, list) else [content]


def test_through_all_steps(path: Path) -> None:
    before = yaml.safe_load(TEXT)
    assert act(path, check_mode=True)["phase"] == "introduce" and path.read_text() == TEXT
    result = act(path)
    assert result["changed"] and result["groups"] == ["redis", "jwt", "s3"] and path.stat().st_mode & 0o777 == 0o600
    first = yaml.safe_load(path.read_text())
    assert {name: first[name] for name in before} == before
    assert act(path)["changed"] is False, "what was begun is not begun again"
    assert act(path, "advanced", phase="retire")["changed"] is False, "another step is not this one"

    assert act(path, "advanced", check_mode=True, phase="introduce")["phase"] == "switch"
    assert act(path, "advanced", phase="introduce")["phase"] == "switch"
    second = yaml.safe_load(path.read_text())
    assert second["vault_r_password"] == first["arxos_rotation"]["also"]["vault_r_password"][0]
    assert second["arxos_rotation"]["also"]["vault_a_secret_key"] == ["old_a\n"]
    assert act(path, "advanced", phase="switch")["phase"] == "retire"
    assert yaml.safe_load(path.read_text())["arxos_rotation"]["previous"]["vault_r_password"] == "old_r"
    assert act(path, "advanced", phase="retire")["phase"] == ""

    text = path.read_text()
    done = yaml.safe_load(text)
    assert done["arxos_rotation"]["also"] == {"vault_j_secret": ["old_j"]} and "old_r" not in text and "old_a" not in text
    assert (done["vault_own"], done["vault_pem"]) == (before["vault_own"], before["vault_pem"]) and text.startswith(
        "---\n# Ours\nvault_own: 'mine"
    )
    assert act(path)["changed"] is False, "nothing is old"
    assert act(path, at_once=True, only=["redis"])["moving"] == ["vault_r_password"]


def test_no_result_holds_a_value(path: Path) -> None:
    for state, phase in (("begun", None), ("advanced", "introduce"), ("advanced", "switch"), ("advanced", "retire")):
        result = act(path, state, **({"phase": phase} if phase else {}))
        content = yaml.safe_load(path.read_text())
        content.pop("arxos_secrets_made_at", None)
        rotation = content.pop("arxos_rotation")
        values = strings(content) + strings([rotation.get("also", {}), rotation.get("previous", {})])
        assert not [value for value in values if value.strip() in str(result)]


def test_an_encrypted_file_stays_so_with_its_own_password_and_id(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prod, other = ("prod", VaultSecret(b"geheim")), ("other", VaultSecret(b"anders"))
    path.write_bytes(VaultLib().encrypt(TEXT, prod[1], "prod"))
    seen: list[bytes] = []
    replace = __import__("os").replace

    def watched(source: str, target: str) -> None:
        seen.append(Path(source).read_bytes())
        replace(source, target)

    monkeypatch.setattr("os.replace", watched)
    assert act(path, vault=[other, prod], encrypt=True)["phase"] == "introduce"
    raw = path.read_bytes()
    assert raw.startswith(b"$ANSIBLE_VAULT;1.2;AES256;prod\n") and seen == [raw], "nothing else was ever on disk"
    assert yaml.safe_load(VaultLib([prod]).decrypt(raw))["arxos_rotation"]["phase"] == "introduce"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("given", ["", "vault_a_access_key_next: AKIANEW9LM4UYXBV2H6K\n"])
def test_what_somebody_else_issues_waits_for_both_parts_of_a_pair(path: Path, given: str) -> None:
    path.write_text(TEXT + given)
    result = act(path, supplied=["vault_a_access_key", "vault_a_secret_key"])
    assert result["groups"] == ["redis", "jwt"]
    assert "vault_a_access_key, vault_a_secret_key stay as they are" in result["warnings"][0]


def test_what_somebody_else_issued_is_taken(path: Path) -> None:
    new = {"vault_a_access_key": "AKIANEW9LM4UYXBV2H6K", "vault_a_secret_key": "Kd83+/hsSJ2kd9skQjdue83jd9skGhw/dj38dkaW"}
    path.write_text(TEXT + yaml.safe_dump({f"{name}_next": value for name, value in new.items()}))
    assert act(path, supplied=list(new), only=["s3"])["moving"] == list(new)
    content = yaml.safe_load(path.read_text())
    assert content["arxos_rotation"]["also"] == {name: [value] for name, value in new.items()} and "_next" not in path.read_text()
    assert act(path, "advanced", phase="introduce")["phase"] == "switch"
    assert yaml.safe_load(path.read_text()).items() >= new.items()


def test_what_was_derived_is_pinned_once(path: Path) -> None:
    act(path, pinned={"arxos_pinned": "abc"}, only=["redis"])
    for phase in ("introduce", "switch", "retire"):
        act(path, "advanced", phase=phase)
    act(path, pinned={"arxos_pinned": "other"}, at_once=True)
    assert yaml.safe_load(path.read_text())["arxos_pinned"] == "abc"


def test_who_asks_for_another_while_one_is_under_way_is_told(path: Path) -> None:
    act(path, at_once=True, only=["redis", "jwt"])
    begun = path.read_text()
    with pytest.raises(AnsibleActionFail, match=r"s3 has to wait, a rotation of redis, jwt is under way, in step introduce: finish it"):
        act(path, at_once=True, only=["s3"])
    assert path.read_text() == begun
    assert "warnings" not in act(path)
    for only in ([], ["redis", "jwt"], ["s3", "jwt"]):
        assert "Run it again for another" in act(path, at_once=True, only=only)["warnings"][0]
    # One that leaked is not kept, whatever the run that began had in mind.
    assert act(path, keeps={"vault_j_secret": 0})["changed"] and "keeps" not in yaml.safe_load(path.read_text())["arxos_rotation"]


@pytest.mark.parametrize(
    ("text", "args", "part"),
    [
        (TEXT, {"only": ["rediss"]}, "there is no rediss; write some of redis, jwt, s3"),
        (TEXT.replace("vault_r_password: old_r\n", ""), {}, "vault_r_password cannot be rotated"),
        (TEXT, {"in_use": {"vault_r_password": "geheim"}}, "vault_r_password of this run are not those in"),
        ("a: [geheim\n", {}, "no YAML that can be read"),
        ("{vault_r_password: geheim, vault_j_secret: x, vault_a_access_key: y, vault_a_secret_key: z}\n", {}, "cannot be rewritten"),
        (TEXT + "arxos_rotation: {phase: geheim}\n", {}, "restore the file"),
        (TEXT, {"state": "advanced"}, "phase"),
        (TEXT, {"encrypt": True}, "no password to encrypt"),
        (
            TEXT + "vault_a_access_key_next: AKIAOLD3CX7QWERTZ0P1\nvault_a_secret_key_next: Kd83hsSJ2kd9skQjdue83jd9skGhwdj38dkaW\n",
            {"supplied": GROUPS["s3"]},
            "vault_a_access_key_next is what is in use",
        ),
    ],
)
def test_what_is_refused_changes_nothing(path: Path, text: str, args: dict[str, Any], part: str) -> None:
    path.write_text(text)
    with pytest.raises(AnsibleActionFail, match=part) as raised:
        act(path, **args)
    assert path.read_text() == text and "geheim" not in str(raised.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="is not there"):
        act(tmp_path / "vault.yml")
