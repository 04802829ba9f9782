# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Revisions of alembic, rendered to SQL by the release's own virtual environment, without a database (alembic's offline mode).

So they are linted, run, retried and noted as any migration is. What has to ask the database while it runs cannot be rendered, and is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ansible_collections.arxos.platform.plugins.module_utils._migrations import Migration, MigrationError, parse_revision

CONFIG = "alembic.ini"
# Runs in the release's Python: every revision from the first on, with its source, and the SQL of it alone.
PROGRAM = """
import io, json, sys
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

config = Config(sys.argv[1], stdout=sys.stderr)
if not config.get_main_option("sqlalchemy.url"):
    config.set_main_option("sqlalchemy.url", "postgresql://")
found = []
for revision in reversed(list(ScriptDirectory.from_config(config).walk_revisions())):
    if isinstance(revision.down_revision, (list, tuple)) or revision.is_branch_point:
        sys.exit("revision %s branches or merges: migrations of a release are one line" % revision.revision)
    config.output_buffer = io.StringIO()
    span = "%s:%s" % (revision.down_revision, revision.revision) if revision.down_revision else revision.revision
    command.upgrade(config, span, sql=True)
    with open(revision.path, encoding="utf-8") as source:
        found.append({"name": revision.revision, "source": source.read(), "sql": config.output_buffer.getvalue()})
json.dump(found, sys.stdout)
"""

Run = Callable[[list[str], Path], tuple[int, str, str]]  # a command and its folder; exit code, output, errors


def render(python: str, folder: Path, run: Run) -> list[Migration]:
    """The revisions of a folder with an C(alembic.ini), first things first. Raises MigrationError."""
    code, output, errors = run([python, "-B", "-c", PROGRAM, str(folder / CONFIG)], folder)
    if code:
        said = " ".join(errors.strip().splitlines()[-3:])[-600:]
        raise MigrationError(f"alembic does not render {folder} to SQL without a database (exit code {code}): {said}")
    try:
        return [parse_revision(f"alembic:{entry['name']}", entry["source"], entry["sql"]) for entry in json.loads(output)]
    except (ValueError, LookupError, TypeError) as error:
        raise MigrationError(f"alembic rendered {folder} to something else than was asked for: {error}") from error
