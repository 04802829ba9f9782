# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Revisions of alembic rendered by alembic itself, in a folder as its own template makes it. No database is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.arxos.platform.plugins.module_utils import _alembic as subject
from ansible_collections.arxos.platform.plugins.module_utils._migrations import MigrationError

pytest.importorskip("alembic", reason="requirements.txt brings alembic")

INI = "[alembic]\nscript_location = %(here)s\n"
ENV = """
from alembic import context
context.configure(url=context.config.get_main_option("sqlalchemy.url"), literal_binds=True, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
"""
REVISION = """
from alembic import op
import sqlalchemy as sa
revision, down_revision = {revision!r}, {before!r}
def upgrade():
    {body}
"""
ADD = "op.add_column('doors', sa.Column('colour', sa.Text()))"
INDEX = """with op.get_context().autocommit_block():
        op.create_index('i', 'doors', ['colour'], postgresql_concurrently=True, if_not_exists=True)"""
ASK = "op.get_bind().execute(sa.text('SELECT 1')).scalar_one()"


def run(command: list[str], folder: Path) -> tuple[int, str, str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout, done.stderr


def folder_of(path: Path, *revisions: tuple[str, str | None, str]) -> Path:
    (path / "versions").mkdir()
    (path / "alembic.ini").write_text(INI)
    (path / "env.py").write_text(ENV)
    for revision, before, body in revisions:
        (path / f"versions/{revision}_x.py").write_text(REVISION.format(revision=revision, before=before, body=body))
    return path


def test_each_revision_is_a_migration_of_its_own(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ("b2", "a1", INDEX), ("a1", None, ADD))
    first, second = subject.render(sys.executable, folder, run)
    assert [first.name, second.name] == ["alembic:a1", "alembic:b2"]
    assert [step.transactional for step in first.steps] == [True]
    assert "ALTER TABLE doors ADD COLUMN colour TEXT" in first.sql and "VALUES ('a1')" in first.sql
    assert "CREATE INDEX" not in first.sql and "ADD COLUMN" not in second.sql
    assert [(step.transactional, len(step.statements)) for step in second.steps] == [(False, 1), (True, 1)]
    assert "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON doors" in second.steps[0].statements[0]
    assert "version_num='b2'" in second.steps[1].statements[0]
    assert subject.render(sys.executable, folder, run) == [first, second]


@pytest.mark.parametrize(
    ("revisions", "fault"),
    [
        ([("a1", None, ASK)], "does not render .* without a database"),
        ([("a1", None, ADD), ("b1", "a1", ADD), ("b2", "a1", ADD)], "revision a1 branches or merges"),
        ([("a1", None, ADD), ("b1", "gone", ADD)], "gone"),
    ],
)
def test_what_cannot_be_rendered_is_refused(tmp_path: Path, revisions: list[tuple[str, str | None, str]], fault: str) -> None:
    with pytest.raises(MigrationError, match=fault):
        subject.render(sys.executable, folder_of(tmp_path, *revisions), run)


def test_an_environment_without_alembic_says_so(tmp_path: Path) -> None:
    with pytest.raises(MigrationError, match="exit code 1.*No module"):
        subject.render(sys.executable, tmp_path, lambda command, folder: run([command[0], "-S", *command[1:]], folder))
    with pytest.raises(MigrationError, match="something else"):
        subject.render(sys.executable, tmp_path, lambda command, folder: (0, "chatter", ""))
