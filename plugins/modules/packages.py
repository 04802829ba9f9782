#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Install packages of Debian that a host lacks
version_added: "0.1.0"
description:
  - Has M(ansible.builtin.apt) install packages, without what they recommend, and with lists that are at most a day old.
  - It first asks C(dpkg-query) by the host's shell. Where nothing is missing, neither Python nor apt starts on the host. That takes a tenth of
    the time that apt's answer takes, and a platform asks some 150 times a run.
  - It installs what is missing, and neither upgrades nor removes. M(ansible.builtin.apt) does.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
options:
  name:
    description: Names of packages, without version or architecture.
    type: list
    elements: str
    required: true
  policy_rc_d:
    description: What C(policy-rc.d) answers while packages are installed. V(101) keeps their services from being started.
    type: int
seealso:
  - module: ansible.builtin.apt
"""

EXAMPLES = r"""
- name: Install packages
  arxos.platform.packages:
    name: [haproxy, procps]
    policy_rc_d: 101
"""

RETURN = r"""
missing:
  description: What was not installed before.
  returned: always
  type: list
  elements: str
  sample: [haproxy]
"""
