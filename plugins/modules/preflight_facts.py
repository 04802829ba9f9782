#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_facts
short_description: Collect a host's facts and sizes, or the reason why there are none
version_added: "0.1.0"
description:
  - Collects facts as M(ansible.builtin.setup) does, so that no later play has to gather them again with C(gathering = smart), and reads
    the sizes of file systems and memory.
  - A host that cannot be reached does not fail; the reason is returned, for M(arxos.platform.preflight) to tell with everything else.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  gather_subset:
    description: Subsets of facts, as M(ansible.builtin.setup) takes them.
    type: list
    elements: str
    default: [min]
seealso:
  - module: arxos.platform.preflight
"""

EXAMPLES = r"""
- name: Look at the host
  arxos.platform.preflight_facts:
    gather_subset: ["!all", "!min", "distribution", "default_ipv4"]
  register: __preflight_facts
"""

RETURN = r"""
reached:
  description: Whether facts came.
  returned: always
  type: bool
reason:
  description: Why none came.
  returned: always
  type: str
  sample: "ssh: connect to host 10.20.1.11 port 22: Connection timed out"
filesystems:
  description: Mount point to size and free space in MiB.
  returned: when reached
  type: dict
  sample: {"/": [20000, 15000]}
memory:
  description: Memory in MiB.
  returned: when reached
  type: int
"""
