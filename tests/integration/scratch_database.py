# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A database of the test's own, on the primary of the lab's database tier.

ARXOS_TEST_DATABASE_HOST names a container of the tier (arxos-lab-database1 unless set, or that of LAB_NAME); where it is a replica, the primary
among its siblings is taken.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# SPEC's table, with what a partition has to take over.
BUILDINGS = """
CREATE TABLE IF NOT EXISTS arxos_prod.{name} (
  id uuid DEFAULT gen_random_uuid(), name varchar(255) NOT NULL,
  created_at {type} NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
CREATE INDEX ON arxos_prod.{name} (name);
CREATE INDEX ON arxos_prod.{name} (created_at);
CREATE INDEX ON arxos_prod.{name} (updated_at);
"""


class ScratchDatabase:
    """Made by C(create), gone after C(drop). Names of tables in it are without their schema, C(arxos_prod)."""

    name = "arxos_partition_test"

    def __init__(self) -> None:
        named = os.environ.get("ARXOS_TEST_DATABASE_HOST") or os.environ.get("LAB_NAME", "arxos-lab") + "-database1"
        siblings = [re.sub(r"\d$", str(number), named) for number in (1, 2, 3)]
        for host in dict.fromkeys([named, *siblings]):
            done = self._psql(host, "postgres", "SELECT pg_is_in_recovery()", check=False)
            if done.returncode == 0 and done.stdout.strip() == "f":
                self.host = host
                return
        raise LookupError(f"no primary among {', '.join(siblings)}")

    @staticmethod
    def _psql(host: str, database: str, sql: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [
            "docker",
            "exec",
            "-i",
            host,
            "runuser",
            "-u",
            "postgres",
            "--",
            "psql",
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
        ]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, timeout=1200, check=False)
        if check and done.returncode:
            raise AssertionError(f"{host}: {done.stderr.strip()}")
        return done

    def create(self) -> None:
        self._roles: list[str] = []
        self.drop()
        self._psql(self.host, "postgres", f"CREATE DATABASE {self.name}")
        self.sql("CREATE SCHEMA arxos_prod")

    def drop(self) -> None:
        self._psql(self.host, "postgres", f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        for role in self._roles:
            self._psql(self.host, "postgres", f'DROP ROLE "{role}"')

    def roles(self, *names: str) -> None:
        """Roles that are there as long as the database is."""
        for name in names:
            self._psql(self.host, "postgres", f'DROP ROLE IF EXISTS "{name}"; CREATE ROLE "{name}"')
            self._roles.append(name)

    def sql(self, sql: str) -> str:
        return self._psql(self.host, self.name, sql).stdout.strip()

    def session(self, sql: str) -> subprocess.Popen[str]:
        """A session beside, that does this and waits until it is told more or is closed."""
        command = ["docker", "exec", "-i", self.host, "runuser", "-u", "postgres", "--", "psql", "-XAtq", "-d", self.name]
        beside = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert beside.stdin and beside.stdout
        beside.stdin.write(sql + ";\n\\echo ready\n")
        beside.stdin.flush()
        while beside.stdout.readline().strip() != "ready":
            pass
        return beside

    def buildings(self, *names: str, key: str = "timestamptz") -> None:
        self.sql("".join(BUILDINGS.format(name=name, type=key) for name in names))

    def partitions(self, table: str) -> list[str]:
        """Attached partitions in the order of their names."""
        return (
            self.sql(
                f"SELECT relid::regclass::text FROM pg_partition_tree('arxos_prod.{table}') WHERE level = 1 ORDER BY relid::regclass::text"
            )
            .replace("arxos_prod.", "")
            .split()
        )

    def command(self, tables: list[dict[str, Any]], check: bool = False, **given: Any) -> list[str]:
        arguments = {"login_db": self.name, "tables": [{"schema": "arxos_prod", "interval": "month", **table} for table in tables], **given}
        return self.raw_command(arguments) + (["--check"] if check else [])

    def raw_command(self, arguments: dict[str, Any], module: str = "postgresql_partition") -> list[str]:
        ansible = str(ROOT / ".venv/bin/ansible")
        way = ["all", "-i", f"{self.host},", "-c", "community.docker.docker", "-b", "--become-user", "postgres", "--diff"]
        return [ansible, *way, "-m", f"arxos.platform.{module}", "-a", json.dumps(arguments)]

    @staticmethod
    def environment() -> dict[str, str]:
        callback = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"}
        return {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **callback}

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, cwd=ROOT, env=self.environment()
        )

    def answer(self, started: subprocess.Popen[str]) -> dict[str, Any]:
        """What the module answered."""
        out, errors = started.communicate(timeout=1200)
        try:
            return json.JSONDecoder().raw_decode(out[out.index("{") :])[0]["plays"][0]["tasks"][0]["hosts"][self.host]
        except (ValueError, LookupError):
            raise AssertionError(out + errors) from None

    def run(self, *tables: dict[str, Any], check: bool = False, **given: Any) -> dict[str, Any]:
        """Run the module on the host; a table is a month's unless it says otherwise."""
        return self.answer(self.start(self.command(list(tables), check, **given)))
