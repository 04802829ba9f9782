# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets of a run whose inventory has none: from files that the environment names."""

from __future__ import annotations

DOCUMENTATION = r"""
name: secrets
author: The arxos.platform maintainers (@arxos)
version_added: 1.0.0
short_description: Secrets from files that the environment names
description:
  - In AWX an inventory is rows of a database, and whatever it holds can be read there. So it holds no secrets, and each run gets them from files that a
    credential names.
  - Where neither is named it does nothing, and C(group_vars/all/vault.yml) of the inventory is what counts.
requirements:
  - Enabled by C(vars_plugins_enabled = host_group_vars, arxos.platform.secrets).
options:
  file:
    description: The file of secrets, plain or encrypted by ansible-vault, as C(playbooks/generate_secrets.yml) writes it. It may not be there yet.
    type: path
    env: [{name: ARXOS_SECRETS_FILE}]
  supplied:
    description:
      - A file of those secrets that somebody else issues. They win over the file of secrets, and a rotation leaves them alone; their names are in
        C(arxos_supplied_here).
    type: path
    env: [{name: ARXOS_SUPPLIED_SECRETS}]
"""

import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleParserError
from ansible.inventory.group import Group
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.vars import BaseVarsPlugin


class VarsModule(BaseVarsPlugin):
    """Gives group C(all) what is in the files."""

    is_stateless = True

    def get_vars(self, loader: DataLoader, path: str, entities: Any) -> dict[str, Any]:
        """The variables of group C(all), none of any other. Asked for every host again, so the loader keeps what it has read."""
        several = entities if isinstance(entities, (list, tuple, set)) else [entities]
        if not any(isinstance(entity, Group) and entity.name == "all" for entity in several):
            return {}
        file, supplied = self.get_option("file"), self.get_option("supplied")
        found: dict[str, Any] = {}
        if file and os.path.exists(file):
            found.update(self._read(loader, file, trusted_as_template=True))
        if supplied:
            # What somebody typed into a form is a value, whatever it looks like.
            given = self._read(loader, supplied, trusted_as_template=False)
            found.update(given, arxos_supplied_here=sorted(given))
        return found

    def _read(self, loader: DataLoader, path: str, trusted_as_template: bool) -> Mapping[str, Any]:
        content = loader.load_from_file(path, cache="all", unsafe=True, trusted_as_template=trusted_as_template)
        if content is None:
            return {}
        if not isinstance(content, Mapping):
            raise AnsibleParserError(f"{path} must be a mapping of names to values")
        return content
