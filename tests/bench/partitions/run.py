# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What partitions cost, on the primary of the lab's database tier: python tests/bench/partitions/run.py [tables] [partitions a table]

Each table is SPEC's: a primary key and three indexes. Printed are the module's own figures, beside plain CREATE TABLE ... PARTITION OF, one
statement a partition, in the same database. CPU is that of the server's sessions, which a busy machine changes less than the time that passes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "integration"))

from scratch_database import ScratchDatabase

NOW = "2026-01-15T00:00:00Z"


def cpu_seconds(database: ScratchDatabase) -> float:
    """CPU seconds of all sessions that have ended: the postmaster counts those of its children."""
    directory = database.sql("SHOW data_directory")
    command = ["docker", "exec", database.host, "sh", "-c", f"cat /proc/$(head -1 {directory}/postmaster.pid)/stat"]
    fields = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rpartition(")")[2].split()
    return sum(map(int, fields[13:15])) / 100


def plain_seconds(database: ScratchDatabase, tables: int, each: int) -> float:
    """Seconds of PARTITION OF for as many partitions, without those of starting psql."""
    names = [f"plain_{number:03d}" for number in range(tables)]
    database.buildings(*names)
    start = time.monotonic()
    database.sql("SELECT 1")
    idle = time.monotonic() - start
    months = [f"{2026 + month // 12}-{month % 12 + 1:02d}-01 00:00+00" for month in range(each + 1)]
    statements = [
        f"CREATE TABLE arxos_prod.{name}_{number} PARTITION OF arxos_prod.{name} FOR VALUES FROM ('{lower}') TO ('{upper}');"
        for name in names
        for number, (lower, upper) in enumerate(zip(months, months[1:]))
    ]
    start = time.monotonic()
    database.sql("SET TimeZone = 'UTC';\n" + "\n".join(statements))
    return time.monotonic() - start - idle


def main() -> None:
    tables, each = int(sys.argv[1]) if len(sys.argv) > 1 else 500, int(sys.argv[2]) if len(sys.argv) > 2 else 8
    total = tables * each
    database = ScratchDatabase()
    database.name = "arxos_partition_bench"
    database.create()
    try:
        names = [f"bench_{number:03d}" for number in range(tables)]
        wanted = [{"table": name, "future": each - 1} for name in names]
        database.buildings(*names)
        before = cpu_seconds(database)
        made = database.run(*wanted, now=NOW)
        cpu = (cpu_seconds(database) - before) / total * 1000
        assert len(made["attached"]) == total, made.get("msg")
        seconds = made["change_seconds"]
        print(
            f"created     {total} partitions of {tables} tables by one call: {seconds:.2f} s, {seconds / total * 1000:.2f} ms each (aim 3.00)"
        )
        print(f"            of which CPU {cpu:.2f} ms each")
        before = cpu_seconds(database)
        looks = [database.run(*wanted, now=NOW)["query_seconds"] for _look in range(5)]
        cpu = (cpu_seconds(database) - before) / len(looks)
        print(
            f"no-op       {total} partitions: {min(looks):.3f} s in the database (aim 0.100), of {', '.join(f'{look:.3f}' for look in looks)}"
        )
        print(f"            of which CPU {cpu:.3f} s")
        few = max(1, tables // 10)
        before = cpu_seconds(database)
        seconds = plain_seconds(database, few, each) / few / each * 1000
        cpu = (cpu_seconds(database) - before) / few / each * 1000
        print(f"comparison  PARTITION OF, {few * each} statements: {seconds:.2f} ms each, of which CPU {cpu:.2f} ms")
    finally:
        database.drop()


if __name__ == "__main__":
    main()
