#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: configuration_rollback
short_description: Take the configuration of a host back to what a run left
version_added: "0.1.0"
author: The arxos.platform maintainers (@arxos)
description:
  - Files and links of C(/etc) become what they are in the commit of etckeeper that the run left, with their owners and modes.
  - What is there before becomes a commit of its own first, under the name O(before), also where nobody had committed it. So the history only goes
    forward, and O(before) is a name to go to as well.
  - C(/etc) is staged as it will be, and the daemons' own checkers, those that roles gave to M(arxos.platform.config_tree), judge it there. Only then files
    are replaced, all or none, and the units that read them take them up, by a reload where that is enough. Where a unit does not, the host is put back.
  - Left alone, and told in RV(kept), are certificates and keys; accounts; what is the machine's own, such as its names, addresses and mounts; what
    stands for a state, such as the rules that the firewall has proved; what packages brought, such as links that lead out of C(/etc) and
    configuration of a package that was not there then; and files that others may not read and that no role brought.
  - Files that a role marked as secret go back only when no secret of the platform has changed since, which O(mark) tells.
notes:
  - Units whose role has a way of its own to take up a change, with a way back, are left to the caller; RV(units) has them with V(own). They are C(ssh.service),
    C(nftables.service) and instances of Redis.
  - Programs and other files outside of C(/etc) stay what they are.
  - A call that was killed is finished by the next one with the same O(run) and O(before).
attributes:
  check_mode:
    description: Does everything up to and including validation; what a checker has against it is told in RV(refused), and no failure.
    support: full
  diff_mode:
    description: Tells names of files and no content, of which much is secret.
    support: none
requirements:
  - to run as root, with etckeeper, git and systemd
seealso:
  - module: arxos.platform.configuration_rollback_info
  - module: arxos.platform.config_tree
options:
  run:
    description: Name of the run, as M(arxos.platform.configuration_rollback_info) lists it.
    type: str
    required: true
  before:
    description: Name for what is there before. Where there is a commit of that name already, it stays what it is.
    type: str
    required: true
  mark:
    description: Mark of the secrets of today. Secret files go back only where the run has the same; empty, they never do.
    type: str
    default: ""
  kept:
    description: Patterns of more paths to leave alone; C(*) is also a slash.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: See what it would change, and whether the daemons take it
  arxos.platform.configuration_rollback:
    run: 20261126T031500Z-3f9a
    before: 20261127T091000Z-before
  check_mode: true
  register: found
"""

RETURN = r"""
files:
  description: What goes back, by names.
  returned: success
  type: list
  elements: dict
  sample: [{path: /etc/nginx/arxos/limits.conf, what: changed, units: [nginx.service]}]
kept:
  description: What differs and stays as it is, path to reason.
  returned: success
  type: dict
  sample: {/etc/ssl/arxos/host.key: certificate or key}
units:
  description: Units that read what goes back, to how they take it up.
  returned: success
  type: dict
  sample: {nginx.service: reload, ssh.service: own}
done:
  description: What was done to units.
  returned: success
  type: list
  elements: str
  sample: [reload nginx.service]
commit:
  description: The commit that the host is at.
  returned: success
  type: str
refused:
  description: In check mode why it would fail, else empty.
  returned: success
  type: str
"""

import re
from dataclasses import asdict

from ansible_collections.arxos.platform.plugins.module_utils import _config_tree
from ansible_collections.arxos.platform.plugins.module_utils._configuration_rollback import RollbackError
from ansible_collections.arxos.platform.plugins.module_utils._configuration_rollback_host import Etc, Outcome, Units, Way
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def main() -> None:
    module = StrictModule(
        argument_spec={
            "run": {"type": "str", "required": True},
            "before": {"type": "str", "required": True},
            "mark": {"type": "str", "default": ""},
            "kept": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    given = module.params
    module.refuse(
        [
            f"{key} is {given[key]!r}, wanted at most 100 letters, digits, dots, dashes and underscores"
            for key in ("run", "before")
            if not NAME.fullmatch(given[key]) or ".." in given[key]
        ]
    )

    def run(words: list[str]) -> tuple[int, str, str]:
        code, output, errors = module.run_command(words)
        return code, str(output), str(errors)

    places = _config_tree.Places("/var/lib/arxos/config_tree", _config_tree.default_work_directory())
    way = Way(Etc(), places, Units(run), run, given["mark"], tuple(given["kept"]))
    try:
        outcome = way.check(given["run"]) if module.check_mode else way.go(given["run"], given["before"])
    except (RollbackError, OSError) as error:
        if not module.check_mode:
            module.fail_json(msg=str(error))
        outcome = Outcome(refused=str(error))
    for warning in outcome.warnings:
        module.warn(warning)
    plan = outcome.plan
    module.exit_json(
        changed=bool(plan.changes or plan.directories or outcome.done),
        files=[asdict(change) for change in plan.changes],
        kept=plan.kept,
        units=plan.units,
        done=outcome.done,
        commit=outcome.commit,
        refused=outcome.refused,
    )


if __name__ == "__main__":
    main()
