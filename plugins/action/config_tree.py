# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Renders a role's configuration on the controller and hands the whole of it to the module of the same name, in one call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError, AnsibleUndefinedVariable
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template
from ansible_collections.arxos.platform.plugins.module_utils import _config_tree
from jinja2 import TemplateSyntaxError

MODULE = "arxos.platform.config_tree"
LOCAL_OPTIONS = ("content", "vars")  # of a file; the module gets what they come to instead
# As ansible.builtin.template renders by default.
OVERRIDES = {"trim_blocks": True, "lstrip_blocks": False, "newline_sequence": "\n"}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        task_vars = task_vars or {}
        params = self._parameters()
        contents: dict[str, str] = {}
        public: list[str] = []
        faults: list[str] = []
        for file in params["files"]:
            try:
                contents[file["dest"]] = self._render(file, task_vars, public)
            except _Fault as fault:
                faults.append(f"{file['dest']}: {fault}")
        if faults:
            raise AnsibleActionFail(
                f"nothing was sent to the host, {len(faults)} of {len(params['files'])} files cannot be rendered: " + "; ".join(faults)
            )
        try:
            _config_tree.parse(params, contents)
        except _config_tree.ConfigTreeError as error:
            raise AnsibleActionFail(str(error)) from None
        arguments = {key: value for key, value in params.items() if value is not None}
        arguments["files"] = [
            {key: value for key, value in file.items() if key not in LOCAL_OPTIONS and value is not None} for file in params["files"]
        ]
        arguments["rendered"] = _config_tree.pack(contents, public)
        return self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)

    def _parameters(self) -> dict[str, Any]:
        """The arguments, checked before anything is rendered or sent; no message shows a value, it could be a secret."""
        arguments = dict(self._task.args)
        if "rendered" in arguments:
            raise AnsibleActionFail("rendered is the action plugin's own option: leave it out")
        result = ArgumentSpecValidator(_config_tree.ARGUMENT_SPEC).validate(arguments)
        faults = list(result.error_messages)
        if not faults:
            for file in result.validated_parameters["files"] or []:
                if not file["dest"]:
                    faults.append("a file has no dest")
                elif (file["template"] is None) == (file["content"] is None):
                    faults.append(f"{file['dest']} needs one of template and content")
                elif file["content"] is not None and not isinstance(file["content"], str):
                    faults.append(
                        f"content of {file['dest']} is a {_kind(file['content'])}, not a string: format it, with to_nice_json for example"
                    )
                elif file["template"] is None and file["vars"] is not None:
                    faults.append(f"{file['dest']} has vars but no template to use them in")
        if faults:
            raise AnsibleActionFail("; ".join(faults))
        return {**result.validated_parameters, "files": result.validated_parameters["files"] or []}

    def _render(self, file: Mapping[str, Any], task_vars: Mapping[str, Any], public: list[str]) -> str:
        """The content of one file; of a secret one the template's own text is appended to `public`. Raises _Fault."""
        if file["template"] is None:
            return str(file["content"])
        name = file["template"]
        try:
            source = self._find_needle("templates", name)
            text = self._loader.get_text_file_contents(source)
            text.encode()  # what is not UTF-8 was read with escapes, or not at all, depending on the version of ansible-core
        except AnsibleError as error:
            raise _Fault(f"template {name} cannot be read: {error.message.splitlines()[0]}") from None
        except UnicodeError:
            raise _Fault(f"template {name} is not UTF-8 text") from None
        if file["secret"]:
            public.append(text)
        places = [*(task_vars.get("ansible_search_path") or []), self._loader.get_basedir(), os.path.dirname(source)]
        variables = {
            "ansible_managed": "Ansible managed",
            **task_vars,
            "template_path": name,
            "template_fullpath": source,
            "template_destpath": file["dest"],
            "template_host": os.uname().nodename,
            **(file["vars"] or {}),
        }
        templar = self._templar.copy_with_new_env(
            searchpath=[path for place in places for path in (os.path.join(place, "templates"), place)], available_variables=variables
        )
        try:
            rendered = templar.template(trust_as_template(text), escape_backslashes=False, overrides=OVERRIDES)
        except AnsibleUndefinedVariable as error:
            raise _Fault(f"template {name}: {error.message.rstrip('.')}") from None
        except AnsibleError as error:
            cause = error.__cause__
            if isinstance(cause, TemplateSyntaxError):
                raise _Fault(f"template {name} line {cause.lineno}: {cause.message}") from None
            # Anything else may quote the value that it could not work with.
            reason = f"{type(cause or error).__name__}; it is secret, so no more is shown" if file["secret"] else error.message.rstrip(".")
            raise _Fault(f"template {name}: {reason}") from None
        return "" if rendered is None else str(rendered)


class _Fault(Exception):
    """Why one file cannot be rendered."""


def _kind(value: Any) -> str:
    return "mapping" if isinstance(value, Mapping) else "list" if isinstance(value, (list, tuple)) else "number or boolean"
