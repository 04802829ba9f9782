#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest
short_description: Back PostgreSQL up, look at its backups, check them, and restore to a point that they reach
version_added: "0.2.0"
author: The arxos.platform maintainers (@arxos)
description:
  - Works with pgBackRest as it is configured on the host, for one stanza.
  - A restore is refused before anything is touched when no backup with all its WAL reaches the target, when there is not enough room, when PostgreSQL
    runs on the directory, or when it would take longer than O(budget_seconds).
notes:
  - Run as root the commands are run as O(user), else as whoever runs the module.
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Shows the backups before and after, or the directory before and after a restore.
    support: full
requirements:
  - pgBackRest 2.45 or later, configured.
options:
  stanza:
    description: Name of the cluster in the repository.
    type: str
    required: true
  state:
    description:
      - V(observed) only looks.
      - V(present) makes the stanza where there is none, and sees a segment of WAL arrive in the archive.
      - V(backed_up) makes a backup of O(type) unless there is one that is not older than O(max_age_hours).
      - V(verified) reads everything in the repository and fails with the names of what is damaged or missing. It changes nothing.
      - V(restored) restores into O(path), always, whatever is there.
    type: str
    choices: [observed, present, backed_up, verified, restored]
    default: observed
  type:
    description: What at least the backup has to be. A V(full) one is as good as a V(diff) one, and that as an V(incr) one.
    type: str
    choices: [full, diff, incr]
    default: incr
  max_age_hours:
    description: Hours that the newest backup of O(type) may be old, from its end. V(0) always makes one.
    type: float
    default: 0
  path:
    description: Data directory to restore into. Its parent must exist.
    type: path
  target_type:
    description:
      - V(default) replays all the WAL there is, V(immediate) none that the backup does not need.
      - V(name) is a restore point, V(time) a moment, V(lsn) a position.
    type: str
    choices: [default, immediate, name, time, lsn]
    default: default
  target:
    description: The name of the restore point, the moment in ISO 8601 (UTC where it names no zone), or the position.
    type: str
  target_lsn:
    description:
      - Where a named restore point lies, as C(pg_create_restore_point) returned it. With V(name) this or O(backup) is needed, since nothing else
        says which backups are from before it.
    type: str
  target_action:
    description: What PostgreSQL does at the target.
    type: str
    choices: [pause, promote, shutdown]
    default: pause
  backup:
    description: Label of the backup to begin with. Not given, it is the newest that ended before the target.
    type: str
    default: ""
  delta:
    description: Whether O(path) may have content, of which files that are as in the backup are kept. Without it the directory must be empty.
    type: bool
    default: false
  archiving:
    description: Whether the restored cluster archives its WAL. It must not, unless it takes the place of the one that was backed up.
    type: bool
    default: true
  budget_seconds:
    description: Seconds that copying and replaying may take; with a longer estimate the restore is refused. V(0) is any.
    type: float
    default: 0
  rates_file:
    description: Where restores that were measured are kept, for the next estimate.
    type: path
    default: /var/lib/arxos/restore_rates.json
  user:
    description: Owner of the cluster.
    type: str
    default: postgres
"""

EXAMPLES = r"""
- name: Have a full backup of this week
  arxos.platform.pgbackrest:
    stanza: arxos
    state: backed_up
    type: full
    max_age_hours: 168

- name: See what a restore to the point before the release would take
  arxos.platform.pgbackrest:
    stanza: arxos
    state: restored
    path: /var/lib/postgresql/15/main
    delta: true
    target_type: name
    target: release-1.1.0
    target_lsn: 0/5000148
    budget_seconds: 900
  check_mode: true
"""

RETURN = r"""
info:
  description: The stanza and its backups (after a backup that was made).
  returned: success
  type: dict
  sample: {name: arxos, status: ok, ok: true, encrypted: true, wal_min: "000000010000000000000001", wal_max: "000000010000000000000006", backups: []}
backup:
  description: The backup that was made, that made another one needless, or that a restore begins with.
  returned: when O(state) is V(backed_up) or V(restored)
  type: dict
  sample:
    label: 20261124-145440F
    type: full
    started_at: "2026-11-24T14:54:40Z"
    stopped_at: "2026-11-24T14:54:41Z"
    seconds: 1
    lsn_stop: 0/4000100
    wal_start: "000000010000000000000004"
    wal_stop: "000000010000000000000004"
    size: 36656614
    copied: 36656614
    stored: 3417312
    bytes_per_second: 36656614
    page_errors: false
files_checked:
  description: Files that were read.
  returned: when O(state) is V(verified)
  type: int
  sample: 973
faults:
  description: What is damaged or missing.
  returned: when O(state) is V(verified)
  type: list
  elements: str
  sample: ["invalid checksum '20261124-145440F/pg_data/base/5/16384.zst'"]
estimate:
  description: What the restore takes, from sizes and from rates that were measured on this host (C(measured)), or assumed. WAL is replayed by
    PostgreSQL, after this module has ended.
  returned: when O(state) is V(restored)
  type: dict
  sample: {seconds: 12.5, restore_seconds: 11.0, replay_seconds: 1.5, measured: true, bytes: 2684354560, wal_bytes: 33554432}
measured:
  description: What copying really took.
  returned: when O(state) is V(restored) and not in check mode
  type: dict
  sample: {seconds: 10.3, bytes_per_second: 260616947}
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._pgbackrest import (
    PgbackrestError,
    Plan,
    Sample,
    Stanza,
    Target,
    add_sample,
    choose,
    estimate,
    newest,
    parse_time,
    read_samples,
    show_time,
)
from ansible_collections.arxos.platform.plugins.module_utils._pgbackrest_run import Repository
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule

SAMPLE_BYTES = 16 * 1024 * 1024  # less says nothing about a rate
SPARE_BYTES = 256 * 1024 * 1024  # room that WAL and logs of a restored cluster need at once


def main() -> None:
    module = StrictModule(
        argument_spec={
            "stanza": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["observed", "present", "backed_up", "verified", "restored"], "default": "observed"},
            "type": {"type": "str", "choices": ["full", "diff", "incr"], "default": "incr"},
            "max_age_hours": {"type": "float", "default": 0},
            "path": {"type": "path"},
            "target_type": {"type": "str", "choices": ["default", "immediate", "name", "time", "lsn"], "default": "default"},
            "target": {"type": "str"},
            "target_lsn": {"type": "str"},
            "target_action": {"type": "str", "choices": ["pause", "promote", "shutdown"], "default": "pause"},
            "backup": {"type": "str", "default": ""},
            "delta": {"type": "bool", "default": False},
            "archiving": {"type": "bool", "default": True},
            "budget_seconds": {"type": "float", "default": 0},
            "rates_file": {"type": "path", "default": "/var/lib/arxos/restore_rates.json"},
            "user": {"type": "str", "default": "postgres"},
        },
        required_if=[
            ("state", "restored", ["path"]),
            ("target_type", "name", ["target"]),
            ("target_type", "time", ["target"]),
            ("target_type", "lsn", ["target"]),
        ],
        supports_check_mode=True,
    )
    module.refuse(_faults(module.params))
    before = ["runuser", "-u", module.params["user"], "--"] if os.geteuid() == 0 else []

    def run(words: Sequence[str]) -> tuple[int, str, str]:
        code, output, errors = module.run_command([*before, *words], cwd="/")
        return code, output, errors

    try:
        answer = STATES[module.params["state"]](module, Repository(run, module.params["stanza"]))
    except (PgbackrestError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**answer)


def _faults(params: dict[str, Any]) -> list[str]:
    found = []
    if not re.fullmatch(r"[\w.-]+", params["stanza"]):
        found.append(f"stanza {params['stanza']!r} is no name")
    for name in ("max_age_hours", "budget_seconds"):
        if params[name] < 0:
            found.append(f"{name} is {params[name]:g}, wanted 0 or more")
    if params["state"] != "restored":
        return found
    if params["target_type"] == "name" and not (params["target_lsn"] or params["backup"]):
        found.append("target_type is name: target_lsn or backup has to say which backups are from before it")
    if params["target_type"] in ("default", "immediate") and params["target"]:
        found.append(f"target is {params['target']!r}, and target_type {params['target_type']} has none")
    return found


def _observed(_module: StrictModule, repository: Repository) -> dict[str, Any]:
    return {"changed": False, "info": repository.info().as_dict()}


def _present(module: StrictModule, repository: Repository) -> dict[str, Any]:
    stanza = repository.info()
    changed = not stanza.exists
    if not module.check_mode:
        if changed:
            repository.create()
        repository.check()
        stanza = repository.info()
    return {"changed": changed, "info": stanza.as_dict()}


def _backed_up(module: StrictModule, repository: Repository) -> dict[str, Any]:
    params = module.params
    stanza = repository.info()
    found = newest(stanza.backups, params["type"])
    wanted = found is None or params["max_age_hours"] == 0 or time.time() - found.stop > params["max_age_hours"] * 3600
    answer: dict[str, Any] = {"changed": wanted}
    after = stanza
    if wanted and not module.check_mode:
        made = repository.back_up(params["type"])
        found, after = made, repository.info()
    if module._diff:
        extra = [f"a new {params['type']} backup"] if wanted and module.check_mode else []
        answer["diff"] = {"before": _labels(stanza), "after": _labels(after) + "".join(f"{line}\n" for line in extra)}
    return answer | {"backup": found.as_dict() if found else None, "info": after.as_dict()}


def _labels(stanza: Stanza) -> str:
    return "".join(f"{backup.label}\n" for backup in stanza.backups)


def _verified(module: StrictModule, repository: Repository) -> dict[str, Any]:
    verdict = repository.verify()
    if not verdict.ok:
        module.fail_json(
            msg="\n".join(["The repository is damaged:"] + [f"- {fault}" for fault in verdict.faults]),
            faults=verdict.faults,
            files_checked=verdict.checked,
        )
    return {"changed": False, "info": repository.info().as_dict(), "files_checked": verdict.checked, "faults": []}


def _restored(module: StrictModule, repository: Repository) -> dict[str, Any]:
    params = module.params
    stanza = repository.info()
    kind = params["target_type"]
    target = Target(kind, params["target"] or "", params["target"] if kind == "lsn" else params["target_lsn"] or "", params["backup"])
    plan = choose(stanza, repository.archive(stanza), target, time.time())
    path = Path(params["path"])
    there = _fit(path, plan, params["delta"])
    rates = Path(params["rates_file"])
    samples = read_samples(rates.read_text(encoding="utf-8")) if rates.exists() else []
    expected = estimate(plan, samples)
    answer: dict[str, Any] = {
        "changed": True,
        "info": stanza.as_dict(),
        "backup": plan.backup.as_dict(),
        "estimate": {
            "seconds": expected.seconds,
            "restore_seconds": expected.restore_seconds,
            "replay_seconds": expected.replay_seconds,
            "measured": expected.measured,
            "bytes": plan.backup.size,
            "wal_bytes": plan.wal_bytes,
        },
    }
    if module._diff:
        answer["diff"] = {"before": f"{path}: {there}\n", "after": f"{path}: {plan.backup.label}, then {kind} {params['target'] or ''}\n"}
    if params["budget_seconds"] and expected.seconds > params["budget_seconds"]:
        raise PgbackrestError(
            f"the restore would take {expected.seconds:.0f} s ({plan.backup.size} bytes, and {plan.segments} segments of WAL), and may take"
            f" {params['budget_seconds']:.0f} s; nothing was touched"
        )
    if module.check_mode:
        return answer
    start = time.monotonic()
    repository.call("restore", *_restore_arguments(params, plan), "restore")
    seconds = time.monotonic() - start
    if plan.backup.size >= SAMPLE_BYTES and there == "empty":
        _write(rates, add_sample(samples, Sample("restore", plan.backup.size, round(seconds, 2))))
    return answer | {"measured": {"seconds": round(seconds, 2), "bytes_per_second": int(plan.backup.size / seconds)}}


def _restore_arguments(params: dict[str, Any], plan: Plan) -> list[str]:
    words = [f"--pg1-path={params['path']}", f"--set={plan.backup.label}", f"--type={params['target_type']}"]
    if params["target_type"] == "time":
        # As PostgreSQL reads it whatever the zone of its settings.
        moment = parse_time(params["target"])
        words.append(f"--target={show_time(moment)[:-1].replace('T', ' ')}.{int(moment % 1 * 1e6):06d}+00")
    elif params["target"]:
        words.append(f"--target={params['target']}")
    if params["target_type"] not in ("default",):
        words.append(f"--target-action={params['target_action']}")
    if params["delta"]:
        words.append("--delta")
    if not params["archiving"]:
        words.append("--archive-mode=off")
    return words


def _fit(path: Path, plan: Plan, delta: bool) -> str:
    """What is in the directory. Raises PgbackrestError when the backup must not or cannot be laid into it."""
    parent = path if path.is_dir() else path.parent
    if not parent.is_dir():
        raise PgbackrestError(f"{parent} does not exist")
    if (path / "postmaster.pid").exists():
        raise PgbackrestError(f"{path} has a postmaster.pid: stop PostgreSQL first, and see that it ended well")
    content = path.is_dir() and any(path.iterdir())
    if content and not delta:
        raise PgbackrestError(f"{path} is not empty: empty it, or set delta to keep what is as in the backup")
    if content and not (path / "PG_VERSION").is_file():
        raise PgbackrestError(f"{path} has content and is no data directory of PostgreSQL")
    there = sum(entry.stat().st_size for entry in path.rglob("*") if entry.is_file() and not entry.is_symlink()) if content else 0
    room = shutil.disk_usage(parent).free + there
    needed = plan.backup.size + SPARE_BYTES
    if room < needed:
        raise PgbackrestError(f"{parent} has room for {room} bytes, the backup needs {needed}")
    return f"{there} bytes" if content else "empty"


def _write(path: Path, text: str) -> None:
    """A file that is whole at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(name, 0o644)
    os.replace(name, path)


STATES = {"observed": _observed, "present": _present, "backed_up": _backed_up, "verified": _verified, "restored": _restored}


if __name__ == "__main__":
    main()
