# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = """
name: host_program
author: The arxos.platform maintainers (@arxos)
version_added: 1.0.0
short_description: Code of this collection, as files of a host
description:
  - What timers on hosts run is the code of the modules, sent as it is, in folders that make its imports good with C(PYTHONPATH=/usr/local/lib/arxos).
  - P(ansible.builtin.file#lookup) reads one file, and knows nothing of where it goes.
options:
  _terms:
    description: Names of files in C(plugins/module_utils), those that they import included.
    required: true
"""

EXAMPLES = """
- name: Send what a timer runs
  arxos.platform.config_tree:
    files: "{{ query('arxos.platform.host_program', '_partitions.py', '_partition_timer.py') }}"
"""

RETURN = """
_list:
  description: For each name C(dest) and C(content), as M(arxos.platform.config_tree) takes them in C(files).
  type: list
  elements: dict
"""

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

CODE = Path(__file__).resolve().parents[1] / "module_utils"
FOLDER = "/usr/local/lib/arxos/ansible_collections/arxos/platform/plugins/module_utils"


class LookupModule(LookupBase):
    """Reads files of plugins/module_utils."""

    def run(self, terms: list[str], variables: Any = None, **kwargs: Any) -> list[dict[str, str]]:
        """One file for each name. Raises AnsibleError for a name that is none of them."""
        try:
            return [{"dest": f"{FOLDER}/{name}", "content": (CODE / name).read_text(encoding="utf-8")} for name in terms]
        except OSError as error:
            raise AnsibleError(f"host_program: {error.filename} cannot be read: {error.strerror}") from error
