# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the VM scenario waives of ANSSI BP-028 is what docs/hardening.md says, with the same reasons."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
WAIVERS = yaml.safe_load((ROOT / "molecule/vm/vars/waivers.yml").read_text())["vm_waivers"]


def test_the_page_says_what_is_waived_and_why() -> None:
    table = (ROOT / "docs/hardening.md").read_text().split("## Not followed, and why", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines() if line.startswith("| `")]
    assert [(re.findall(r"`([^`]+)`", rules), reason) for rules, reason in rows] == [(entry["rules"], entry["reason"]) for entry in WAIVERS]


def test_no_rule_is_waived_twice() -> None:
    rules = [rule for entry in WAIVERS for rule in entry["rules"]]
    assert len(rules) == len(set(rules))
