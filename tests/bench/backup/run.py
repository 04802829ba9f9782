# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How fast the lab's database is backed up and restored: python tests/bench/backup/run.py [MiB]

Of data that cannot be compressed, over TLS, encrypted and through zstd all the same; S3 server, PostgreSQL and pgBackRest share this machine. WAL is
let into the archive before, so that a rate is that of the files alone. Seconds are those of the whole command.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

LAB = os.environ.get("LAB_NAME", "arxos-lab")
MEMBERS = ("database1", "database2", "database3")
DATABASE, PATH, NOISE = "arxos_backup_bench", "/var/lib/postgresql/backup-bench", "/var/lib/postgresql/noise"
NOISE_MIB, ROW = 64, 1900
AIM, NOTES = 200, "2.5 GB in 10.3 s, 243 MB/s"


def run(name: str, command: str) -> str:
    words = ["docker", "exec", "-u", "postgres", f"{LAB}-{name}", "sh", "-c", command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name}: {command}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def query(name: str, statement: str, database: str = "postgres") -> str:
    return run(name, f'psql -XAtqw -v ON_ERROR_STOP=1 -d {database} -c "{statement}"')


def timed(name: str, command: str) -> float:
    start = time.monotonic()
    run(name, command)
    return time.monotonic() - start


def fill(leader: str, mib: int) -> None:
    """A table of random bytes, in rows that are too short to be compressed by PostgreSQL."""
    slices = NOISE_MIB * 1024 * 1024 // ROW
    run(leader, f"head -c {NOISE_MIB}M /dev/urandom >{NOISE}")
    query(leader, f"CREATE DATABASE {DATABASE}")
    query(leader, "CREATE TABLE noise (bytes bytea)", DATABASE)
    for _part in range(-(-mib // NOISE_MIB)):
        statement = (
            f"INSERT INTO noise SELECT pg_read_binary_file('{NOISE}', n::bigint * {ROW}, {ROW}) FROM generate_series(0, {slices - 1}) n"
        )
        query(leader, statement, DATABASE)
    waiting = "select count(*) from pg_ls_archive_statusdir() where name like '%.ready'"
    while query(leader, waiting) != "0":
        time.sleep(1)


def report(what: str, size: int, seconds: float) -> None:
    rate = size / seconds / 1e6
    print(f"{what:<8} {size / 1e6:8.0f} MB in {seconds:6.1f} s: {rate:6.0f} MB/s (aim {AIM}; notes: {NOTES})", flush=True)


def main() -> None:
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    leader = next(name for name in MEMBERS if query(name, "select pg_is_in_recovery()") == "f")
    replica = next(name for name in MEMBERS if name != leader)
    try:
        fill(leader, mib)
        size = int(query(leader, "select sum(pg_database_size(oid)) from pg_database"))
        report("backup", size, timed(replica, "pgbackrest --stanza=arxos --type=full backup"))
        report(
            "restore",
            size,
            timed(
                replica, f"mkdir -m 700 {PATH} && pgbackrest --stanza=arxos --pg1-path={PATH} --type=immediate --archive-mode=off restore"
            ),
        )
    finally:
        run(replica, f"rm -rf {PATH}")
        run(leader, f"rm -f {NOISE}")
        query(leader, f"DROP DATABASE IF EXISTS {DATABASE}")


if __name__ == "__main__":
    main()
