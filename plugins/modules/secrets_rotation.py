#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_rotation
short_description: Take a file of secrets from one step of a rotation to the next
version_added: "0.1.0"
description:
  - Runs on the controller. The file holds everything that a rotation needs to be finished by another run, so that one that was killed loses no secret.
  - The steps are C(introduce) (the new values are in the file, beside the old ones), C(switch) (the secrets have the new values, the old ones are
    beside them), C(retire) (only those old values that O(keeps) names are there for use) and none. When the time of such a value is up, it
    goes in step C(expire).
  - The variable C(arxos_rotation) in the file says the step; C(arxos_rotation.also) has the values that are good beside each secret.
    C(arxos_secrets_made_at) has when each was made.
  - Values are never returned nor shown. The file is written with mode 0600 and encrypted by the vault password that opened it; its plain text is
    never on disk.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
seealso:
  - module: arxos.platform.secrets_file
options:
  path:
    description: The file on the controller.
    type: path
    required: true
  encrypt:
    description: Whether the file must be encrypted. One that is encrypted stays so.
    type: bool
    default: true
  password_file:
    description: File with the password to encrypt with, or a program that prints it, where the run was given none.
    type: path
    default: ""
  state:
    description:
      - With V(begun), a rotation is under way after it where one was before or something is due. Nothing is begun where nothing is due.
      - With V(advanced), the step O(phase) is over. Where the file is in another one, nothing happens.
    type: str
    choices: [begun, advanced]
    required: true
  phase:
    description: The step that is over, for O(state=advanced).
    type: str
    choices: [introduce, switch, retire, expire]
  groups:
    description: Name of a group to the names of its secrets. All secrets of a group are rotated at once.
    type: dict
    default: {}
  only:
    description: The groups to rotate. Empty means all.
    type: list
    elements: str
    default: []
  kinds:
    description: Names of secrets to their kinds, as M(arxos.platform.secrets_file) has them.
    type: dict
    default: {}
  keeps:
    description: Names of secrets to the seconds that an old value is good after the rotation, V(-1) for ever. Others are good for the rotation only.
    type: dict
    default: {}
  supplied:
    description: Names that somebody else issues. Such a one is rotated where the file has the new value under its name with C(_next) behind it.
    type: list
    elements: str
    default: []
  pinned:
    description: Variables and their values that the file gets with the first rotation, since they were derived from a secret until then.
    type: dict
    default: {}
  in_use:
    description: Values that the run has of some variables. Where the file has others, nothing is done, for then it is not the file that the run reads.
    type: dict
    default: {}
  days:
    description: A group is due when one of its secrets is older than so many days, or of unknown age.
    type: float
    default: 90
  at_once:
    description: Whether groups are due whatever their age.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Have a rotation under way where one is due
  arxos.platform.secrets_rotation:
    path: inventories/production/group_vars/all/vault.yml
    state: begun
    groups:
      redis: [vault_redis_admin_password, vault_redis_application_password]
      jwt: [vault_arxos_api_jwt_secret]
    kinds:
      vault_redis_admin_password: password
      vault_redis_application_password: password
      vault_arxos_api_jwt_secret: secret
    keeps:
      vault_arxos_api_jwt_secret: 604800

- name: Go on, now that every server takes both
  arxos.platform.secrets_rotation:
    path: inventories/production/group_vars/all/vault.yml
    state: advanced
    phase: introduce
"""

RETURN = r"""
phase:
  description: The step that the file is in (in check mode, would be in), empty where no rotation is under way.
  returned: always
  type: str
  sample: introduce
groups:
  description: The groups that are rotated.
  returned: always
  type: list
  elements: str
  sample: [redis]
moving:
  description: The secrets that are rotated.
  returned: always
  type: list
  elements: str
accepted:
  description: Secrets of which old values are good as well, to the moments when each of those stops to be.
  returned: always
  type: dict
  sample: {vault_arxos_api_jwt_secret: ["2026-12-02T21:00:00Z"]}
expired:
  description: Secrets of which an old value is still good although its time is up.
  returned: always
  type: list
  elements: str
oldest:
  description: The oldest of the secrets whose age is known.
  returned: always
  type: str
oldest_days:
  description: Its age in days, or nothing.
  returned: always
  type: float
path:
  description: The file, absolute.
  returned: always
  type: str
"""
