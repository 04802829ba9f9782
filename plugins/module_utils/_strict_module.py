# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An AnsibleModule that names every wrong parameter at once."""

from __future__ import annotations

from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.errors import UnsupportedError


class StrictModule(AnsibleModule):
    """C(AnsibleModule) stops at the first parameter it cannot take; this one tells all of them in one message."""

    def fail_json(self, msg: str, **kwargs: Any) -> NoReturn:
        found = getattr(self, "validation_result", None)
        if found is not None and found.error_messages:
            told = [("unsupported: " if isinstance(error, UnsupportedError) else "") + error.msg for error in found.errors.errors]
            msg = "; ".join(dict.fromkeys(told))
        super().fail_json(msg=msg, **kwargs)
        raise AssertionError("fail_json ends the module")

    def refuse(self, faults: list[str]) -> None:
        """Fail with all faults, a line each, when there are any."""
        if faults:
            self.fail_json(msg="\n".join(["Wrong parameters:"] + ["- " + fault for fault in faults]))
