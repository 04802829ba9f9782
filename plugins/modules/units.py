#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: units
short_description: Have systemd units run, now and from boot on
version_added: "0.1.0"
description:
  - Has M(ansible.builtin.systemd_service) enable and start units.
  - It first asks C(systemctl show) by the host's shell, once for all of them. Where all run and are enabled, no Python starts on the host.
  - Where systemd says that a file of any unit is newer than what it has read, as after a run that was killed, it reads its files again first.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  name:
    description: Names of the units, with their suffix.
    type: list
    elements: str
    required: true
  daemon_reload:
    description: Have systemd read its files again first, also where it does not say that it has to.
    type: bool
    default: false
  no_block:
    description: Do not wait until they run, as for a member of a cluster that waits for the others.
    type: bool
    default: false
seealso:
  - module: ansible.builtin.systemd_service
"""

EXAMPLES = r"""
- name: Run the pools
  arxos.platform.units:
    name: [pgbouncer.service, pgbouncer-certificate.path]
"""

RETURN = r"""
started:
  description: Units that were started or enabled by this task.
  returned: always
  type: list
  elements: str
  sample: [pgbouncer.service]
"""
