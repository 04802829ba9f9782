#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_migration
short_description: Run the migrations that a release brings, each of them once
version_added: "0.1.0"
description:
  - Runs what is due of a folder of migrations, in order, and notes each with its checksum in C(arxos_migrations.history) of the database.
  - A folder holds plain SQL, C(0001_add_colour.sql), or an C(alembic.ini) with its revisions. Revisions are rendered to SQL by O(python), without a
    database, and from there on are treated like any other; one that has to ask the database while it runs is refused.
  - A migration of plain SQL runs in one transaction. With a line C(-- arxos:) C(no-transaction) in it each statement is run by itself, as C(CREATE INDEX
    CONCURRENTLY) needs it, and a run that stopped between two of them goes on there. An invalid index that a stopped build left is removed first.
  - Each waits O(lock_timeout) for a lock and no longer, since everybody else waits behind it; then it is tried again, after a pause. The same is done
    when the connection is lost, so that a change of leader on the way ends well.
  - Refused before anything is run are a migration that was changed after it had been applied, and one that comes before another that was.
  - A migration with a line C(-- arxos:) C(contract 1.2.0) (C(#) in a revision of alembic) takes away what releases before 1.2.0 need. It is refused in
    release 1.2.0 itself, and while one of O(needed_releases) is older.
  - One run is at work at a time; another waits for it.
author: The arxos.platform maintainers (@arxos)
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
extends_documentation_fragment: [arxos.platform.postgresql_connection]
notes:
  - O(login_user) has to own what is changed.
options:
  login_db:
    description: Database to migrate.
    type: str
    required: true
  directory:
    description: Folder of the migrations. There are none where it does not exist.
    type: path
    required: true
  release:
    description: The release that brings them, which is noted with each.
    type: str
    required: true
  needed_releases:
    description: Releases that run now or that a rollback goes to, which have to do with what the migrations leave.
    type: list
    elements: str
    default: []
  python:
    description: Interpreter of the release's virtual environment, for revisions of alembic.
    type: path
  python_user:
    description: User of the operating system that O(python) runs as; who runs the module unless given.
    type: str
  lock_timeout:
    description: Seconds to wait for a lock.
    type: float
    default: 3
  lock_tries:
    description: How often a step is tried, with pauses of 1, 2, 4 seconds and so on up to 30 between.
    type: int
    default: 8
"""

EXAMPLES = r"""
- name: Run the migrations of the release
  arxos.platform.postgresql_migration:
    login_db: arxos_production
    login_user: arxos_owner
    login_password: "{{ vault_postgresql_owner_password }}"
    login_host: 172.30.20.31,172.30.20.32,172.30.20.33
    ssl_mode: verify-full
    ca_cert: /etc/ssl/arxos/ca.crt
    connect_params: {target_session_attrs: read-write}
    directory: /opt/arxos/releases/1.1.0/migrations
    release: 1.1.0
  run_once: true
"""

RETURN = r"""
applied:
  description: What was run.
  returned: always
  type: list
  elements: dict
  contains:
    name: {description: The migration., returned: always, type: str, sample: 0001_add_colour.sql}
    seconds: {description: How long it took with all waiting., returned: always, type: float, sample: 0.021}
    retries: {description: How often it was tried again., returned: always, type: int, sample: 0}
due:
  description: What was due before this run, and in check mode is.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: The migration., returned: always, type: str, sample: 0001_add_colour.sql}
    sql: {description: Its statements., returned: always, type: str, sample: "ALTER TABLE doors ADD COLUMN colour text;"}
    transactional: {description: Whether they are run in one transaction., returned: always, type: bool, sample: true}
    contract: {description: "The release that it names where it contracts, else empty.", returned: always, type: str, sample: 1.2.0}
postgresql:
  description: Major version of the server.
  returned: when there are migrations
  type: int
  sample: 15
"""

import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils import _alembic, _migrations
from ansible_collections.arxos.platform.plugins.module_utils._migration_database import Database, Done
from ansible_collections.arxos.platform.plugins.module_utils._migrations import Migration, MigrationError
from ansible_collections.arxos.platform.plugins.module_utils._postgresql import CONNECTION, Session, Unreachable, connect
from ansible_collections.arxos.platform.plugins.module_utils._strict_module import StrictModule


def main() -> None:
    module = StrictModule(
        argument_spec={
            **CONNECTION,
            "login_db": {"type": "str", "required": True},
            "directory": {"type": "path", "required": True},
            "release": {"type": "str", "required": True},
            "needed_releases": {"type": "list", "elements": "str", "default": []},
            "python": {"type": "path"},
            "python_user": {"type": "str"},
            "lock_timeout": {"type": "float", "default": 3},
            "lock_tries": {"type": "int", "default": 8},
        },
        supports_check_mode=True,
    )
    given = module.params
    module.refuse(
        [f"lock_timeout is {given['lock_timeout']:g}, wanted more than 0 and at most 3600"] * (not 0 < given["lock_timeout"] <= 3600)
        + [f"lock_tries is {given['lock_tries']}, wanted 1 to 100"] * (not 1 <= given["lock_tries"] <= 100)
    )

    def open_session() -> Session:
        try:
            return connect(module)
        except Unreachable as error:
            raise MigrationError(f"the database cannot be reached: {error}") from error

    done = Done()
    answer: dict[str, Any] = {}
    try:
        migrations = _read(Path(given["directory"]), given["python"], given["python_user"])
        if not migrations:
            module.exit_json(changed=False, applied=[], due=[])
        database = Database(open_session, given["lock_timeout"], given["lock_tries"])
        try:
            due = _migrations.due(migrations, database.applied())
            if faults := _migrations.contract_faults(due, given["release"], given["needed_releases"]):
                raise MigrationError("\n".join(faults))
            answer = {"due": [_shown(entry) for entry in due], "postgresql": database.version}
            if due and not module.check_mode:
                database.run(migrations, given["release"], done)
        finally:
            database.close()
    except (MigrationError, OSError) as error:
        module.fail_json(msg=str(error), changed=bool(done.applied), applied=[vars(ran) for ran in done.applied])
    names = [entry["name"] for entry in answer["due"]]
    module.exit_json(
        changed=bool(done.applied or (module.check_mode and due)),
        applied=[vars(ran) for ran in done.applied],
        diff={"before": "", "after": "".join(f"{name}\n" for name in names)},
        **answer,
    )


def _shown(entry: _migrations.Due) -> dict[str, Any]:
    steps = entry.migration.steps
    return {
        "name": entry.migration.name,
        "sql": entry.migration.sql,
        "transactional": all(step.transactional for step in steps),
        "contract": entry.migration.contract,
    }


def _read(folder: Path, python: str | None, user: str | None) -> list[Migration]:
    """The migrations of a folder. Raises MigrationError."""
    if not folder.is_dir():
        return []
    if (folder / _alembic.CONFIG).is_file():
        if not python:
            raise MigrationError(f"{folder} holds revisions of alembic, and python is not given")
        return _alembic.render(python, folder, lambda command, where: _run(command, where, user))
    try:
        files = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir() if path.is_file()}
    except UnicodeError as error:
        raise MigrationError(f"a file in {folder} is not UTF-8: {error}") from error
    return _migrations.parse_files(files)


def _run(command: list[str], folder: Path, user: str | None) -> tuple[int, str, str]:
    """A command of the release, as a user who can change nothing."""
    options: dict[str, Any] = {}
    if user and os.geteuid() == 0:
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            raise MigrationError(f"this host has no user {user}") from None
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **options,
        )
    except subprocess.TimeoutExpired:
        raise MigrationError(f"{command[0]} did not come to an end within 120 s") from None
    return done.returncode, done.stdout, done.stderr


if __name__ == "__main__":
    main()
