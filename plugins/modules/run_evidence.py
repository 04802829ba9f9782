#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: run_evidence
short_description: Keep what a gate or a failure has shown, with its hash, in the record of the run
version_added: "0.1.0"
description:
  - Runs on the controller. The content goes into a file beside the record, for its owner alone, and its name, size and sha256 into the record; with
    them the content itself where it is no longer than 64 KiB, so that it reaches the platform with the record.
  - A name that is taken already gets a number, so that nothing that was collected is overwritten.
  - Works without a run as well, such as in a playbook of your own. Where the controller cannot be written, a warning says so, and C(path) is empty.
  - Whoever calls it sees to it that the content holds no secret.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
    details: In check mode it collects as well, for what it writes belongs to the run and not to a host.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  name:
    description: What it is, of small letters, digits, C(.) and C(-).
    type: str
    required: true
  content:
    description: A text, or something that is kept as JSON.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Keep what the service said before it is put back
  arxos.platform.run_evidence:
    name: "journal-{{ inventory_hostname }}.txt"
    content: "{{ journal.stdout }}"
  register: evidence
"""

RETURN = r"""
path:
  description: The file on the controller; empty where it could not be written.
  returned: always
  type: str
  sample: /work/.ansible/runs/20261126T031500Z-3f9a/evidence/journal-app1.txt
sha256:
  description: Hash of the content.
  returned: always
  type: str
bytes:
  description: Size of the content.
  returned: always
  type: int
"""
