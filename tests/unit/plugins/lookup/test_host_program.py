# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible.errors import AnsibleError
from ansible_collections.arxos.platform.plugins.lookup.host_program import CODE, FOLDER, LookupModule

ROLES = Path(__file__).resolve().parents[4] / "roles"
SENT = {
    path.parents[1].name: re.findall(r"'(_\w+\.py)'", found[0])
    for path in sorted(ROLES.glob("*/vars/main.yml"))
    if (found := re.findall(r"query\('arxos.platform.host_program', ([^)]*)\)", path.read_text()))
}


def test_a_file_is_sent_as_it_is_to_where_its_imports_are_good() -> None:
    (only,) = LookupModule().run(["_partitions.py"])
    assert only == {"dest": f"{FOLDER}/_partitions.py", "content": (CODE / "_partitions.py").read_text(encoding="utf-8")}


def test_a_name_that_is_no_file_is_told() -> None:
    with pytest.raises(AnsibleError, match=r"host_program: .*_no\.py cannot be read"):
        LookupModule().run(["_no.py"])


@pytest.mark.parametrize("role", SENT)
def test_what_is_sent_has_all_that_it_imports(role: str) -> None:
    for name in SENT[role]:
        text = (CODE / name).read_text(encoding="utf-8")
        wanted = set(re.findall(r"arxos\.platform\.plugins\.module_utils\.(_\w+)", text))
        for names in re.findall(r"arxos\.platform\.plugins\.module_utils import (?:\(([^)]*)\)|(.*))", text):
            wanted |= set(re.findall(r"\b_\w+", "".join(names)))
        assert {f"{each}.py" for each in wanted} <= set(SENT[role]), f"{role}: {name}"


def test_roles_send_their_programs_this_way() -> None:
    assert set(SENT) >= {"audit_archive", "backup", "certificates", "postgresql_schema", "vulnerability_scan"}
