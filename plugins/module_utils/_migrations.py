# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Migrations of a database as a release brings them: what a file holds, what is due, and what may not be. No database is asked here.

A migration expands, so that the release before can do with what it leaves, or it contracts: it takes away what only releases before a named one need, and says
so, C(-- arxos: contract 1.2.0). That is run once no release that is older runs or is the one to go back to.

A migration has steps. One that runs in a transaction has a single step, so that all of it is done or nothing; each statement of another is a step of
its own, and how many are done is noted after each, so that the next run goes on where one stopped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

DIRECTIVE = re.compile(r"^(?:--|#)[ \t]*arxos:[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)
CONTRACT = re.compile(r"^contract(?:[ \t]+(\S+))?$")
NAME = re.compile(r"^(\d{4,14})_[a-z0-9][a-z0-9_]*\.sql$")
CONTROL = re.compile(
    r"^(BEGIN|START\s+TRANSACTION|COMMIT|END|ABORT|ROLLBACK(?!\s+(WORK\s+|TRANSACTION\s+)?TO\b)|PREPARE\s+TRANSACTION)\b", re.IGNORECASE
)
CONCURRENT = re.compile(r"^(CREATE\s+(UNIQUE\s+)?INDEX|DROP\s+INDEX|REINDEX\s+(\([^)]*\)\s*)?\w+)\s+CONCURRENTLY\b", re.IGNORECASE)
FROM_STDIN = re.compile(r"^COPY\b.*\bFROM\s+STDIN\b", re.IGNORECASE | re.DOTALL)
NEW_INDEX = re.compile(
    r"^CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(\"(?:[^\"]|\"\")+\"|[a-z_][\w$]*)\s+ON\s+"
    r"(?:ONLY\s+)?(?:(\"(?:[^\"]|\"\")+\"|[a-z_][\w$]*)\s*\.\s*)?(?:\"|[a-z_])",
    re.IGNORECASE,
)

_TOKEN = re.compile(
    r"""(?P<comment>--[^\n]*)|(?P<block>/\*)|(?P<escaped>\b[eE]'(?:[^'\\]|\\.|'')*')|(?P<string>'(?:[^']|'')*')|(?P<name>"(?:[^"]|"")*")
       |(?P<dollar>(?<![\w$])\$(?P<tag>[A-Za-z_\x80-\uffff][\w]*)?\$.*?\$(?(tag)(?P=tag))\$)|(?P<semicolon>;)""",
    re.VERBOSE | re.DOTALL,
)


class MigrationError(Exception):
    """What is wrong with migrations, a line each, and what to do about it."""


@dataclass(frozen=True)
class Step:
    """Statements that are done together, in a transaction or, where there is one alone, without."""

    statements: tuple[str, ...]
    transactional: bool = True


@dataclass(frozen=True)
class Migration:
    """One migration. C(checksum) is that of its source, which is not always its SQL."""

    name: str
    checksum: str
    steps: tuple[Step, ...]
    contract: str = ""  # the release from which on nothing needs what it takes away; empty where it expands

    @property
    def sql(self) -> str:
        """All statements, as a linter wants them."""
        return "".join(f"{statement};\n" for step in self.steps for statement in step.statements)

    def checksum_of(self, done: int) -> str:
        """Of the steps that are done; of the whole, that of its source."""
        return self.checksum if done >= len(self.steps) else sha256("\0".join(s for step in self.steps[:done] for s in step.statements))


@dataclass(frozen=True)
class Applied:
    """What the database has noted of a migration."""

    checksum: str
    steps: int
    finished: bool


@dataclass(frozen=True)
class Due:
    """A migration that is to be run, and how many of its steps are done already."""

    migration: Migration
    done: int = 0


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def split(sql: str) -> list[str]:
    """The statements of a script, with the comments before each. Semicolons in strings, names, comments and function bodies part nothing."""
    statements, start, position = [], 0, 0
    while found := _TOKEN.search(sql, position):
        position = found.end()
        if found.lastgroup == "block":
            position = _end_of_comment(sql, position)
        elif found.group("semicolon"):
            statement = sql[start : found.start()].strip()
            if re.search(r"\bBEGIN\s+ATOMIC\b", statement, re.IGNORECASE) and not re.search(r"\bEND$", statement, re.IGNORECASE):
                continue
            statements.append(statement)
            start = position
    return [statement for statement in [*statements, sql[start:].strip()] if bare(statement)]


def _end_of_comment(sql: str, position: int) -> int:
    """Comments in comments count in PostgreSQL."""
    depth = 1
    while depth and (found := re.compile(r"/\*|\*/").search(sql, position)):
        depth += 1 if found.group() == "/*" else -1
        position = found.end()
    return position if not depth else len(sql)


def bare(statement: str) -> str:
    """A statement without the comments and the space before it."""
    while True:
        statement = statement.lstrip()
        if statement.startswith("--"):
            statement = statement.partition("\n")[2]
        elif statement.startswith("/*"):
            statement = statement[_end_of_comment(statement, 2) :]
        else:
            return statement


def release_number(version: str) -> tuple[int, ...]:
    """What versions are compared by: their numbers, and one before a release (1.2.0rc1) before it. Raises MigrationError."""
    found = re.match(r"v?(\d+(?:\.\d+)*)(.*)$", version)
    if not found:
        raise MigrationError(f"{version!r} is no version that can be told to be before or after another: write it as 1.2.0")
    numbers = [int(part) for part in found.group(1).split(".")]
    before = re.match(r"[-.]?(a|b|rc|alpha|beta|dev|pre)", found.group(2))
    return (*(numbers + [0] * 4)[:4], 0 if before else 1)


def contract_of(source: str) -> str:
    """The release that a contract names, of SQL or of a revision's Python; empty where it expands. Raises MigrationError."""
    named = ""
    for directive in DIRECTIVE.finditer(source):
        found = CONTRACT.match(directive.group(1))
        if found:
            if not found.group(1):
                raise MigrationError(
                    "arxos: contract names no release: write the first that does without what is taken away, contract 1.2.0"
                )
            release_number(found.group(1))
            named = found.group(1)
    return named


def oldest(sources: Iterable[str]) -> str:
    """The oldest release that can do with a database to which all of these migrations were applied; empty where any can."""
    named = [contract for contract in map(contract_of, sources) if contract]
    return max(named, key=release_number, default="")


def parse_file(name: str, text: str) -> Migration:
    """A migration of plain SQL. Raises MigrationError."""
    faults = []
    statements = split(text)
    directives = {found.group(1) for found in DIRECTIVE.finditer(text)}
    for directive in sorted(each for each in directives - {"no-transaction"} if not CONTRACT.match(each)):
        faults.append(f"{name}: arxos: {directive} is unknown, there are no-transaction and contract")
    contract = ""
    try:
        contract = contract_of(text)
    except MigrationError as error:
        faults.append(f"{name}: {error}")
    if not statements:
        faults.append(f"{name}: it has no statement")
    alone = "no-transaction" in directives
    for statement in statements:
        words = " ".join(bare(statement).split())[:60]
        if CONTROL.match(bare(statement)):
            faults.append(f"{name}: {words!r}: transactions are made here; write -- arxos: no-transaction where there shall be none")
        elif CONCURRENT.match(bare(statement)) and not alone:
            faults.append(f"{name}: {words!r} cannot be run in a transaction; write -- arxos: no-transaction")
        elif bare(statement).startswith("\\") or FROM_STDIN.match(bare(statement)):
            faults.append(f"{name}: {words!r} is psql's, not SQL")
    if faults:
        raise MigrationError("\n".join(faults))
    return Migration(
        name, sha256(text), tuple(Step((one,), False) for one in statements) if alone else (Step(tuple(statements)),), contract
    )


def parse_files(files: Mapping[str, str]) -> list[Migration]:
    """The migrations of a folder, in the order of their numbers. Raises MigrationError with all faults."""
    found, faults = [], []
    numbers: dict[int, str] = {}
    for name in sorted(files, key=lambda name: (int(match.group(1)) if (match := NAME.match(name)) else -1, name)):
        match = NAME.match(name)
        if not match:
            faults.append(f"{name}: a migration is named like 0001_add_colour.sql")
            continue
        other = numbers.setdefault(int(match.group(1)), name)
        if other != name:
            faults.append(f"{name}: {other} has the same number")
        try:
            found.append(parse_file(name, files[name]))
        except MigrationError as error:
            faults.append(str(error))
    if faults:
        raise MigrationError("\n".join(faults))
    return found


def parse_revision(name: str, source: str, sql: str) -> Migration:
    """A revision of alembic by the SQL that it renders to, which begins and ends a transaction by itself. Raises MigrationError."""
    steps: list[Step] = []
    inside: list[str] | None = None
    for statement in split(sql):
        control = CONTROL.match(bare(statement))
        if not control:
            if inside is None:
                steps.append(Step((statement,), False))
            else:
                inside.append(statement)
        elif control.group(1).upper() == "BEGIN" and inside is None:
            inside = []
        elif control.group(1).upper() == "COMMIT" and inside is not None:
            steps += [Step(tuple(inside))] if inside else []
            inside = None
        else:
            raise MigrationError(f"{name}: {control.group(1)} where there can be none")
    if inside:
        raise MigrationError(f"{name}: the transaction that it begins has no end")
    try:
        return Migration(name, sha256(source), tuple(steps), contract_of(source))
    except MigrationError as error:
        raise MigrationError(f"{name}: {error}") from error


def contract_faults(wanted: Iterable[Due], release: str, needed: Iterable[str]) -> list[str]:
    """Why what contracts may not be run now, a line each.

    release: the one that brings it. needed: releases that run now, or that a rollback goes to.
    """
    faults = []
    for migration in (entry.migration for entry in wanted if entry.migration.contract):
        try:
            since = release_number(migration.contract)
            if release_number(release) <= since:
                faults.append(
                    f"{migration.name} takes away what releases before {migration.contract} need, and {release} brings it: "
                    f"bring it in a release after {migration.contract}"
                )
            old = sorted({other for other in needed if other and release_number(other) < since}, key=release_number)
        except MigrationError as error:
            faults.append(f"{migration.name}: {error}")
            continue
        if old:
            faults.append(
                f"{migration.name} takes away what releases before {migration.contract} need, and {' and '.join(old)} "
                f"{'run' if len(old) > 1 else 'runs'} now or would be gone back to: bring it in a later release, once that is over"
            )
    return faults


def due(migrations: Sequence[Migration], applied: Mapping[str, Applied]) -> list[Due]:
    """What is to be run, in order. Raises MigrationError, with all faults, where history and release do not fit together.

    What was applied and is not in this release is left alone: an older release may be going back in.
    """
    faults: list[str] = []
    wanted: list[Due] = []
    for migration in migrations:
        entry = applied.get(migration.name)
        if entry is None:
            wanted.append(Due(migration))
        elif not entry.finished and entry.steps < len(migration.steps) and entry.checksum == migration.checksum_of(entry.steps):
            wanted.append(Due(migration, entry.steps))
        elif not entry.finished:
            faults.append(
                f"{migration.name} stopped after {entry.steps} steps, and those were changed since: put them back as they were, what follows may change"
            )
        else:
            if entry.checksum != migration.checksum:
                faults.append(f"{migration.name} was changed after it had been applied: put it back as it was, and write another")
            faults += [
                f"{late.migration.name} comes before {migration.name}, which has been applied: give it a later number" for late in wanted
            ]
            wanted = []
    if faults:
        raise MigrationError("\n".join(faults))
    return wanted
