#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_file
short_description: Complete a file of secrets with random values, encrypted by ansible-vault
version_added: "0.1.0"
description:
  - Runs on the controller. Reads a YAML file of variables, plain or encrypted, keeps every value in it, adds a random one for each secret that is
    missing or empty, and writes it with mode 0600, encrypted.
  - Values are never returned nor shown. The passwords of the run's vaults (C(--vault-password-file) and the like) open and close the file.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: none
options:
  path:
    description: The file on the controller; it need not exist yet.
    type: path
    required: true
  secrets:
    description:
      - Names of variables to the kind of secret, one of V(password), V(secret), V(access_key), V(secret_key), V(encryption_key), V(totp_secret), and
        V(pem) for those whose value O(values) has.
    type: dict
    required: true
  values:
    description: Values for secrets that are missing and not random, such as certificates.
    type: dict
    default: {}
  supplied:
    description: Names that somebody else issues. They are not made up; a warning names those that are missing.
    type: list
    elements: str
    default: []
  encrypt:
    description: Whether the file must be encrypted. One that is encrypted stays so.
    type: bool
    default: true
  password_file:
    description: File with the password to encrypt with, or a program that prints it, where the run was given none.
    type: path
    default: ""
"""

EXAMPLES = r"""
- name: Complete the secrets
  arxos.platform.secrets_file:
    path: inventories/production/group_vars/all/vault.yml
    secrets:
      vault_redis_admin_password: password
      vault_arxos_api_encryption_key: encryption_key
"""

RETURN = r"""
added:
  description: Names of the secrets that were made.
  returned: always
  type: list
  elements: str
kept:
  description: Names of the secrets that were there.
  returned: always
  type: list
  elements: str
encrypted:
  description: Whether the file is encrypted.
  returned: always
  type: bool
path:
  description: The file, absolute.
  returned: always
  type: str
"""
