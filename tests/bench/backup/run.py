# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How fast the lab's database is backed up and restored: python tests/bench/backup/run.py [MiB]

Of data that cannot be compressed, and of rows like pgbench's, over TLS, encrypted and through zstd; S3 server, PostgreSQL and pgBackRest share this
machine, and of noise the S3 server takes nearly half of it. WAL is let into the archive before, so that a rate is that of the files alone. Data lie in
several tables, as months lie in partitions: a file is copied by one process. Seconds are those of the whole command, and beside them stands how busy
this machine's processors were.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

LAB = os.environ.get("LAB_NAME", "arxos-lab")
MEMBERS = ("database1", "database2", "database3")
DATABASE, PATH, NOISE = "arxos_backup_bench", "/var/lib/postgresql/backup-bench", "/var/lib/postgresql/noise"
NOISE_MIB, ROW, PGBENCH_ROW, TABLES = 64, 1900, 135, 8
AIM, NOTES = 200, "2.5 GB in 10.3 s, 243 MB/s"


def run(name: str, command: str) -> str:
    words = ["docker", "exec", "-u", "postgres", f"{LAB}-{name}", "sh", "-c", command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}: {command}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def query(name: str, statement: str, database: str = "postgres") -> str:
    return run(name, f'psql -XAtqw -v ON_ERROR_STOP=1 -d {database} -c "{statement}"')


def processor_seconds() -> float:
    """What this machine's processors have worked since it started."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq, steal = (int(word) for word in file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def timed(name: str, command: str) -> tuple[float, float]:
    """Seconds of a command, by the clock and of all processors."""
    start, worked = time.monotonic(), processor_seconds()
    run(name, command)
    return time.monotonic() - start, processor_seconds() - worked


def fill(leader: str, kind: str, mib: int) -> None:
    """Tables of a kind: noise has random bytes, in rows that are too short to be compressed by PostgreSQL; rows are what pgbench writes."""
    query(leader, f"CREATE DATABASE {DATABASE}")
    if kind == "noise":
        run(leader, f"head -c {NOISE_MIB}M /dev/urandom >{NOISE}")
        slices = NOISE_MIB * 1024 * 1024 // ROW
        columns, source, parts = "bytes bytea", f"pg_read_binary_file('{NOISE}', n::bigint * {ROW}, {ROW})", -(-mib // NOISE_MIB)
    else:
        slices = 1024 * 1024 * mib // TABLES // PGBENCH_ROW
        columns, source, parts = "aid int, bid int, abalance int, filler char(84)", "n, n / 100000, 0, ''", TABLES
    for table in range(TABLES):
        query(leader, f"CREATE TABLE bench{table} ({columns})", DATABASE)
    for part in range(parts):
        query(leader, f"INSERT INTO bench{part % TABLES} SELECT {source} FROM generate_series(0, {slices - 1}) n", DATABASE)
    waiting = "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'"
    while query(leader, waiting) != "0":
        time.sleep(1)


def measure(leader: str, replica: str, kind: str, mib: int) -> None:
    """Back data of a kind up, and restore it beside the cluster's."""
    restore = f"mkdir -m 700 {PATH} && pgbackrest --stanza=arxos --pg1-path={PATH} --type=immediate --archive-mode=off restore"
    try:
        fill(leader, kind, mib)
        size = int(query(leader, "select sum(pg_database_size(oid)) from pg_database"))
        report(f"backup of {kind}", size, *timed(replica, "pgbackrest --stanza=arxos --type=full backup"))
        report(f"restore of {kind}", size, *timed(replica, restore))
    finally:
        run(replica, f"rm -rf {PATH}")
        run(leader, f"rm -f {NOISE}")
        query(leader, f"DROP DATABASE IF EXISTS {DATABASE}")


def report(what: str, size: int, seconds: float, worked: float) -> None:
    rate = size / seconds / 1e6
    share = worked / seconds / (os.cpu_count() or 1)
    print(
        f"{what:<17} {size / 1e6:8.0f} MB in {seconds:6.1f} s: {rate:6.0f} MB/s (aim {AIM}; notes: {NOTES}), processors {share:.0%} busy",
        flush=True,
    )


def main() -> None:
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 2400
    leader = next(name for name in MEMBERS if query(name, "select pg_is_in_recovery()") == "f")
    replica = next(name for name in MEMBERS if name != leader)
    for kind in ("noise", "rows"):
        measure(leader, replica, kind, mib)


if __name__ == "__main__":
    main()
