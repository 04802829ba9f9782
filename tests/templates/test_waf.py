# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Render = Callable[..., str]
ROOT = Path(__file__).resolve().parents[2]
OF_THE_PLATFORM = yaml.safe_load((ROOT / "playbooks/group_vars/edge/waf.yml").read_text())
INPUTS: dict[str, Any] = {
    "waf_exclusions": OF_THE_PLATFORM["arxos_waf_exclusions_shipped"],
    "waf_content_types": OF_THE_PLATFORM["waf_content_types"],
    "waf_judged_elsewhere": OF_THE_PLATFORM["arxos_upload_paths"],
}


def directives(text: str) -> list[str]:
    """The rules, one directive of NGINX each, as ModSecurity gets them."""
    found = re.findall(r"modsecurity_rules '((?:[^'\\]|\\.)*)';", text)
    return [rules.replace("\\'", "'").replace("\\\\", "\\") for rules in found]


@pytest.mark.parametrize("mode", ["blocking", "detection"])
def test_the_engine_does_what_the_mode_says(render: Render, mode: str) -> None:
    engine = "On" if mode == "blocking" else "DetectionOnly"
    assert f"SecRuleEngine {engine}\n" in directives(render("waf", "waf.conf.j2", waf_mode=mode))[0]


def test_a_check_by_root_leaves_the_folders_of_nginx_to_its_user(render: Render) -> None:
    """nginx -t hands the folders of bodies to the user that the configuration names, and to nobody where it names none."""
    assert "\nuser www-data;\n" in render("waf", "waf.conf.j2")


def test_nginx_can_read_every_directive(render: Render) -> None:
    """NGINX reads parameters of at most 4096 bytes."""
    text = render("waf", "waf.conf.j2", **INPUTS)
    assert text.count("modsecurity_rules ") == len(directives(text))
    assert max(len(rules) for rules in directives(text)) < 4000


def test_numbers_of_rules_are_ours_and_come_once(render: Render) -> None:
    numbers = [int(number) for number in re.findall(r"\bid:(\d+)", "".join(directives(render("waf", "waf.conf.j2", **INPUTS))))]
    assert len(numbers) == len(set(numbers))
    assert all(10000 <= number < 11000 or number in (900000, 900001) for number in numbers)


def test_debians_own_list_of_rules_is_not_read_and_ours_comes_after_the_setup(render: Render) -> None:
    rules = "".join(directives(render("waf", "waf.conf.j2", **INPUTS)))
    assert "owasp-crs.load" not in rules and "IncludeOptional" not in rules
    assert rules.index("id:900000") < rules.index("REQUEST-901-") < rules.index("REQUEST-949-")
    other = "".join(directives(render("waf", "waf.conf.j2", waf_rules_directory="/opt/crs")))
    assert "Include /opt/crs/rules/REQUEST-942-*.conf" in other and "/usr/share/modsecurity-crs" not in other


@pytest.mark.parametrize("level", [1, 4])
def test_the_paranoia_level_is_told_to_version_3_and_4(render: Render, level: int) -> None:
    rules = "".join(directives(render("waf", "waf.conf.j2", waf_paranoia=level)))
    assert f"tx.paranoia_level={level}," in rules and f"tx.blocking_paranoia_level={level}," in rules


def test_content_types_are_written_as_the_core_rule_set_compares_them(render: Render) -> None:
    rules = "".join(directives(render("waf", "waf.conf.j2", **INPUTS)))
    assert "tx.allowed_request_content_type=|application/json| |application/geo+json| |application/merge-patch+json|'" in rules


@pytest.mark.parametrize(
    ("charset", "accepted"),
    [("utf-8", True), ("us-ascii", True), ("utf-16", False), ("utf-8x", False), ("x-us-ascii", False), ("|", False)],
)
def test_character_sets_are_those_two_for_version_3_and_4(render: Render, charset: str, accepted: bool) -> None:
    """Rule 920480 makes a pattern of what it is told in version 3 (@rx ^%{...}$), and looks for the name between bars in version 4 (@within)."""
    rules = "".join(directives(render("waf", "waf.conf.j2", **INPUTS)))
    (told,) = re.findall(r"setvar:'tx\.allowed_request_content_type_charset=([^']*)'", rules)
    assert bool(re.search(f"^{told}$", charset)) is accepted
    assert (f"|{charset}|" in told) is accepted


def test_an_exclusion_is_of_fields_of_rules_or_of_both(render: Render) -> None:
    given = [
        {"path": "/a", "fields": ["x"], "why": "."},
        {"path": "/b", "rules": [942100], "why": "."},
        {"path": "/c", "fields": ["x", "y"], "rules": [1, 2], "why": "."},
    ]
    rules = [rule for rule in directives(render("waf", "waf.conf.j2", waf_exclusions=given)) if "id:102" in rule]
    assert [rule.split("pass,")[1].rstrip('"') for rule in rules] == [
        "ctl:ruleRemoveTargetByTag=OWASP_CRS;ARGS:x,ctl:ruleRemoveTargetByTag=arxos;ARGS:x",
        "ctl:ruleRemoveById=942100",
        "ctl:ruleRemoveTargetById=1;ARGS:x,ctl:ruleRemoveTargetById=2;ARGS:x,ctl:ruleRemoveTargetById=1;ARGS:y,ctl:ruleRemoveTargetById=2;ARGS:y",
    ]


def test_every_rule_about_a_field_can_be_excluded_from_it(render: Render) -> None:
    """Exclusions take fields from rules by their tag."""
    ours = [rule for rule in directives(render("waf", "waf.conf.j2", **INPUTS)) if re.match(r"(#.*\n)*SecRule ARGS", rule)]
    assert ours and all("tag:'arxos'" in rule for rule in ours)


@pytest.mark.parametrize("exclusion", INPUTS["waf_exclusions"], ids=lambda exclusion: exclusion["path"])
def test_each_exclusion_of_the_platform_says_why(exclusion: dict[str, Any]) -> None:
    assert exclusion["why"].endswith(".")
    assert exclusion.get("fields") or exclusion.get("rules")


def test_the_units_have_no_network_and_the_socket_is_for_nginx_alone(render: Render) -> None:
    for role, unit in (("waf", "nginx-waf"), ("upload_inspection", "upload-inspection")):
        assert "PrivateNetwork=yes\n" in render(role, f"{unit}.service.j2")
        socket = render(role, f"{unit}.socket.j2")
        assert "SocketGroup=www-data\n" in socket and "SocketMode=0660\n" in socket
