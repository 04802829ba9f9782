# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps evidence beside the record of the run. Workers write into it themselves, so it needs no callback."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.arxos.platform.plugins.plugin_utils import _controller

NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
# What is longer stays on the controller, and only its hash goes with the record.
CARRIED_BYTES = 64 << 10


class ActionModule(ActionBase):
    """The module of the same name has the documentation."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        _unused, args = self.validate_argument_spec(
            argument_spec={"name": {"type": "str", "required": True}, "content": {"type": "raw", "required": True}}
        )
        name, content = args["name"], args["content"]
        if not NAME.fullmatch(name):
            raise AnsibleActionFail(f"name: {name!r} must be of small letters, digits, . and -, such as journal-app1.txt")
        text = content if isinstance(content, str) else json.dumps(content, indent=2, sort_keys=True, default=str) + "\n"
        body = text.encode()
        fields = {"name": name, "file": "", "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}
        if len(body) <= CARRIED_BYTES:
            fields["content"] = text
        path = ""
        try:
            folder = _controller.Folder.of_this_run()
            stored = folder.store(name, body)
            path, fields["file"] = str(stored), f"evidence/{stored.name}"
            folder.append("evidence", fields)
        except OSError as error:
            result["warnings"] = [f"{name} could not be kept on the controller: {error}"]
        result.update(changed=False, path=path, sha256=fields["sha256"], bytes=fields["bytes"])
        return result
