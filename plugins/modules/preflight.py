#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Judge the whole inventory and its hosts at once, before anything is changed
version_added: "0.1.0"
description:
  - Runs on the controller. It renders, for each host, every input of every role that the host gets and judges it against the argument
    specification of that role; it judges tiers, addresses, systems, sizes, secrets, certificates, release artifacts and C(arxos_announcements).
  - It fails with one message that holds all faults, a line each, with the host or group, the variable and what to write instead. Values of
    secrets are never part of it.
  - Run it once a play, after M(arxos.platform.preflight_facts) registered on each host as C(__preflight_facts). Role C(preflight) does so.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  tiers:
    description:
      - Inventory group to what its hosts must be together, a mapping with any of C(minimum) and C(maximum) number of hosts, C(zones)
        (different values of C(arxos_zone) at least), C(majority) (it decides by majority) and C(one_release) (never of mixed releases).
    type: dict
    required: true
  roles:
    description: Inventory group to the roles that its hosts get.
    type: dict
    required: true
  formats:
    description:
      - Variables that every host must have to their form, one of V(address), V(networks), V(domain), V(name), V(https_url),
        V(https_url_or_empty) and V(text).
    type: dict
    default: {}
  secrets:
    description:
      - Secrets to their kinds, one of V(password), V(secret), V(access_key), V(secret_key), V(encryption_key), V(totp_secret) and V(pem).
      - Other variables that begin with C(vault_) are judged by the end of their names.
    type: dict
    default: {}
  supplied_secrets:
    description: Secrets that somebody else issues, so that the message does not say to generate them.
    type: list
    elements: str
    default: []
  pairs:
    description: Certificates that must belong to their keys.
    type: list
    elements: dict
    default: []
    suboptions:
      certificate:
        description: Name of the variable with the certificate in PEM form, leaf first.
        type: str
        required: true
      private_key:
        description: Name of the variable with the private key in PEM form.
        type: str
        required: true
      authority:
        description: Whether it must be the certificate of an authority.
        type: bool
        default: false
      days:
        description: Days that it must still be valid.
        type: int
        default: 0
      warn_days:
        description: Name of the variable with the days within whose end there is a warning; 30 where it is not set.
        type: str
      covers:
        description: Names of variables with names that the certificate must cover.
        type: list
        elements: str
        default: []
      group:
        description: Inventory group whose hosts use it.
        type: str
        default: all
      when:
        description: Variables to values that they must have for the pair to be judged.
        type: dict
        default: {}
  artifacts:
    description: Files of the controller and their checksums.
    type: list
    elements: dict
    default: []
    suboptions:
      group:
        description: Inventory group whose hosts get it.
        type: str
        default: all
      path:
        description: Name of the variable with the path.
        type: str
        required: true
      sha256:
        description: Name of the variable with the sha256.
        type: str
        required: true
  ceilings:
    description: Numbers that one part takes against what another has to give.
    type: list
    elements: dict
    default: []
    suboptions:
      group:
        description: Inventory group whose hosts have both variables.
        type: str
        default: all
      variable:
        description: Name of the variable with the number.
        type: str
        required: true
      most:
        description: Name of the variable with its limit. Either this or O(ceilings[].limit).
        type: str
      limit:
        description: The limit itself. A variable that the inventory does not set is left to its default.
        type: int
      remedy:
        description: What to write instead where the number is over its limit.
        type: str
        required: true
  needs:
    description: Inputs that a choice makes necessary.
    type: list
    elements: dict
    default: []
    suboptions:
      group:
        description: Inventory group whose hosts need it.
        type: str
        default: all
      variable:
        description: Name of the variable.
        type: str
        required: true
      matches:
        description: Regular expression that its value has to match, or one of its values where it is a list.
        type: str
        required: true
      when:
        description: Names of variables and the values that are the choice.
        type: dict
        required: true
      remedy:
        description: What to write.
        type: str
        required: true
  systems:
    description: Distribution to its major versions that are supported.
    type: dict
    required: true
  python:
    description: Least version of Python on the controller.
    type: str
    default: "0"
  core:
    description: Least version of ansible-core on the controller.
    type: str
    default: "0"
  packages:
    description: Python packages that the controller must have.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Judge the inventory and all hosts
  arxos.platform.preflight:
    tiers:
      database: {minimum: 3, majority: true, one_release: true}
    roles:
      all: [base]
      database: [etcd, postgresql]
    formats:
      arxos_address: address
    secrets:
      vault_redis_admin_password: password
    systems:
      Debian: [12, 13]
  run_once: true
"""

RETURN = r"""
msg:
  description: All faults, a line each, or how many hosts can be worked on.
  returned: always
  type: str
  sample: |-
    2 faults were found and no host was touched. Correct all of them, then run the same command again.
      1. database: number of hosts is 2, which lose their majority with the first host that fails; put 3 or more hosts into group database.
      2. all hosts: vault_redis_admin_password has 5 characters, fewer than 16; write a password of 16 or more random characters.
"""
