#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: config_tree
short_description: Put a role's whole configuration on a host in one round trip
version_added: "0.1.0"
author: The arxos.platform maintainers (@arxos)
description:
  - The action plugin renders every template on the controller, with the variables of the task, and sends the whole tree with one
    module call.
  - The module compares content, owner, group and mode. When nothing differs, nothing is run and nothing is written.
  - Otherwise the whole tree is staged in a private directory, the daemon's own checkers judge it there, and only then the files that
    differ are replaced, each by a rename. An error on the way puts everything back. What was replaced is kept.
  - A run that was killed anywhere is finished by the next one, which also removes what the killed one left behind.
notes:
  - A symbolic link at O(files[].dest) or O(directories[].path) is refused; it is neither followed nor replaced. Links that root owns
    on the way there (C(/lib), C(/var/run)) are followed. A link under O(absent) is removed, never its target.
  - Files are replaced by new ones, so hard links to them, ACLs and extended attributes are not carried over. A file that is a mount
    point (such as C(/etc/hosts) of a container) cannot be replaced.
  - Templates are rendered as M(ansible.builtin.template) does it by default, that is with C(trim_blocks), as UTF-8, and searched in
    the role's C(templates/).
  - Checkers run without a shell, as the user that the task runs as, with standard input closed, a search path of the system's C(bin)
    and C(sbin) directories, and for at most 120 seconds each.
attributes:
  check_mode:
    description: Does everything up to and including validation; a checker that is not installed yet is skipped with a warning.
    support: full
  diff_mode:
    description: Shows what differs. Of a secret file it only says that it differs, and of a file that goes it shows no content.
    support: full
options:
  owner:
    description: Owner of the files that name none, a name or a number.
    type: str
    default: root
  group:
    description: Group of the files that name none, a name or a number.
    type: str
    default: root
  mode:
    description: Mode of the files that name none, a quoted octal string.
    type: raw
    default: "0644"
  directories:
    description:
      - Directories, made before the files. Parents of files and directories that do not exist are made as well, C(root:root) and V(0755).
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute path.
        type: str
        required: true
      owner:
        description: Owner. Not given, it is V(root) for a new directory and left alone for an existing one.
        type: str
      group:
        description: Group. Not given, it is V(root) for a new directory and left alone for an existing one.
        type: str
      mode:
        description: Mode, a quoted octal string. Not given, it is V(0755) for a new directory and left alone for an existing one.
        type: raw
      exclusive:
        description:
          - Shell patterns of file names. Files and symbolic links in this directory that match one and are not in O(files) are removed.
          - V(*) does not match names with a leading dot, and directories are never removed.
        type: list
        elements: str
        default: []
  files:
    description: The files. Each has either O(files[].template) or O(files[].content).
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description: Absolute path of the file.
        type: str
        required: true
      template:
        description: Name of a template, searched as M(ansible.builtin.template) searches it.
        type: str
      content:
        description: The content itself, a string.
        type: raw
      vars:
        description: Variables for this file's template only, before all others.
        type: dict
      owner:
        description: Owner, a name or a number. Not given, O(owner).
        type: str
      group:
        description: Group, a name or a number. Not given, O(group).
        type: str
      mode:
        description: Mode, a quoted octal string. Not given, O(mode).
        type: raw
      secret:
        description:
          - Whether nothing of the content may ever be shown - not in the diff, not in any output, not in what a checker says about it.
        type: bool
        default: false
      units:
        description: Units that read this file. Not given, O(units).
        type: list
        elements: str
  absent:
    description: Files and symbolic links to remove.
    type: list
    elements: str
    default: []
  validate:
    description:
      - Commands that judge the staged tree before anything is replaced, each a list of arguments or a string that is split like a
        command line.
      - C({staged}) stands for the root of the staged tree, where C(/etc/x/x.conf) lies at C({staged}/etc/x/x.conf). Only the files of
        this task are in it.
      - They run when something differs, in order, and the first that does not end with 0 ends the task.
    type: list
    elements: raw
    default: []
  units:
    description:
      - Full names of the systemd units that read these files, and whose handler restarts or reloads them with systemd.
      - A file that is as it shall be still counts as changed while an active unit was last started, restarted or reloaded before the file
        was written. So a handler that a killed run never came to is notified by the next run.
      - List a unit only for files whose change makes a handler restart or reload that unit, else the task never comes to rest.
    type: list
    elements: str
    default: []
  state_directory:
    description:
      - Where the version of each file that was replaced last is kept, below C(previous/), mode V(0700).
      - A file that did not exist before has none.
      - C(known.json) there has of every file who reads it, whether it is secret and what judges it, for M(arxos.platform.configuration_rollback).
    type: str
    default: /var/lib/arxos/config_tree
  rendered:
    description: What the action plugin rendered. Never set by hand.
    type: str
"""

EXAMPLES = r"""
- name: Configure X
  arxos.platform.config_tree:
    directories:
      - {path: /etc/x/conf.d, group: x, mode: "0750", exclusive: ["*.conf"]}
    files:
      - {dest: /etc/x/x.conf, template: x.conf.j2}
      - {dest: /etc/x/conf.d/6379.conf, template: n.conf.j2, vars: {port: 6379}, group: x, mode: "0640", secret: true}
      - {dest: /etc/x/ca.crt, content: "{{ x_ca_certificate }}"}
      - {dest: /etc/logrotate.d/x, template: logrotate.j2, units: []}
    absent: [/etc/x/old.conf]
    units: [x.service]
    validate:
      - x -t -c {staged}/etc/x/x.conf
  register: __x_config
  notify: Reload x
"""

RETURN = r"""
changed_files:
  description:
    - The files that were written or removed (in check mode, would be), in the order of the task, and those that an earlier run wrote
      and O(units) have not read since.
  returned: success
  type: list
  elements: str
  sample: [/etc/x/x.conf]
changed_directories:
  description: The directories that were made, or whose owner, group or mode was changed.
  returned: success
  type: list
  elements: str
would_change:
  description: The files that a checker kept from being replaced.
  returned: when a checker refuses the tree
  type: list
  elements: str
stderr:
  description: The end of what the checker printed on both its streams, without secrets.
  returned: when a checker refuses the tree
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.arxos.platform.plugins.module_utils import _config_tree, _config_tree_apply


def main() -> None:
    module = AnsibleModule(argument_spec=_config_tree.ARGUMENT_SPEC, supports_check_mode=True)
    try:
        if not module.params["rendered"]:
            raise _config_tree.ConfigTreeError("files are rendered by the action plugin: call arxos.platform.config_tree as a task")
        tree = _config_tree.parse(module.params, *_config_tree.unpack(module.params["rendered"]))
        places = _config_tree.Places(module.params["state_directory"], _config_tree.default_work_directory())
        outcome = _config_tree_apply.converge(tree, places, check=module.check_mode)
        if not module.check_mode:
            _config_tree_apply.remember(module.params, places)
    except _config_tree.ConfigTreeError as error:
        module.fail_json(msg=str(error), **error.facts)
    plan = outcome.plan
    for warning in outcome.warnings:
        module.warn(warning)
    result = {"changed": plan.changed, "changed_files": plan.changed_files, "changed_directories": plan.changed_directories}
    if module._diff:
        result["diff"] = _config_tree.make_diff(plan)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
