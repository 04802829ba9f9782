# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the timers of role backup run on a database host, as a program. Its outcome goes into a file of figures; it ends with 1 when something is wrong.

    python3 -m ansible_collections.arxos.platform.plugins.module_utils._backup_timer JOB /etc/arxos/backup.json FIGURES

JOB is C(backup), C(backup-verify) or C(wal-archive). Every host runs all of them; one host alone acts, which the cluster tells anew each time.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.arxos.platform.plugins.module_utils._pgbackrest import (
    PgbackrestError,
    Schedule,
    acting_member,
    due,
    metric_of,
    newest,
    render_metrics,
)
from ansible_collections.arxos.platform.plugins.module_utils._pgbackrest_run import Repository, Run

# An idle cluster hands a segment over each minute, and pgBackRest tries for another one before it says that it failed.
WAITING_SECONDS = 180
ARCHIVE_QUERY = """
SELECT json_build_object('replica', pg_is_in_recovery(), 'archived', archived_count, 'failed', failed_count,
    'archived_at', extract(epoch FROM last_archived_time), 'failed_at', extract(epoch FROM last_failed_time),
    'failed_wal', last_failed_wal, 'waiting', waiting, 'oldest', oldest)
FROM pg_stat_archiver, (SELECT count(*) AS waiting, coalesce(extract(epoch FROM clock_timestamp() - min(modification)), 0) AS oldest
    FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready') AS ready
"""

Figures = dict[str, "tuple[str, float]"]
Job = Callable[[Mapping[str, Any], Run, "Callable[[], Mapping[str, Any]]", float], "tuple[Figures, str]"]


def run(words: Sequence[str]) -> tuple[int, str, str]:
    """A command, to its end."""
    done = subprocess.run(list(words), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def ask_patroni(url: str, ca_certificate: str) -> Mapping[str, Any]:
    """The cluster as Patroni of this host sees it. Raises PgbackrestError."""
    try:
        context = ssl.create_default_context(cafile=ca_certificate)
        with urllib.request.build_opener(urllib.request.HTTPSHandler(context=context)).open(f"{url}/cluster", timeout=10) as answer:
            found = json.load(answer)
    except (OSError, ValueError) as error:
        raise PgbackrestError(f"Patroni does not say who leads: {error}") from error
    return found if isinstance(found, dict) else {}


def back_up(settings: Mapping[str, Any], run: Run, cluster: Callable[[], Mapping[str, Any]], now: float) -> tuple[Figures, str]:
    """Make the backup that is due, where it is this host's turn. Every host tells what the repository holds."""
    repository = Repository(run, settings["stanza"])
    acting = acting_member(cluster()) == settings["member"]
    backups = repository.info().backups
    kind = due(Schedule(**settings["schedule"]), backups, now) if acting else ""
    if kind:
        backups = (*backups, repository.back_up(kind))
    figures: Figures = {"arxos_backup_acting": ("Whether this host is the one that makes the backups", float(acting))}
    for name in ("full", "diff", "incr"):
        found = newest(backups, name)
        if found:
            figures[f'arxos_backup_newest_timestamp_seconds{{at_least="{name}"}}'] = ("End of the newest backup of a kind", found.stop)
    last = newest(backups)
    if last:
        figures["arxos_backup_last_success_timestamp_seconds"] = ("End of the newest backup in the repository", last.stop)
        figures["arxos_backup_size_bytes"] = ("Size of the database in the newest backup", last.size)
        figures["arxos_backup_copied_bytes"] = ("What was copied for it", last.delta)
        figures["arxos_backup_seconds"] = ("How long it took", last.seconds)
        figures["arxos_backup_page_errors"] = ("Whether it met pages whose checksum is wrong", float(last.page_errors))
    if last is not None and last.page_errors:
        return figures, f"backup {last.label} met pages of the database whose checksum is wrong: see /var/log/pgbackrest"
    return figures, ""


def verify(settings: Mapping[str, Any], run: Run, cluster: Callable[[], Mapping[str, Any]], now: float) -> tuple[Figures, str]:
    """Check the whole repository, where it is this host's turn."""
    acting = acting_member(cluster()) == settings["member"]
    figures: Figures = {"arxos_backup_verify_acting": ("Whether this host is the one that checks the repository", float(acting))}
    if not acting:
        return figures, ""
    verdict = Repository(run, settings["stanza"]).verify()
    figures["arxos_backup_verify_files"] = ("Files that were checked", verdict.checked)
    figures["arxos_backup_verify_faults"] = ("Faults that were found", len(verdict.faults))
    if not verdict.ok:
        return figures, "the repository is damaged: " + "; ".join(verdict.faults[:20])
    figures["arxos_backup_verify_last_success_timestamp_seconds"] = ("When the repository was last found whole", now)
    return figures, ""


def _archive(run: Run, looks: int = 20, pause: Callable[[float], None] | None = None) -> str:
    """What PostgreSQL tells of its archive. A host that led is without one for some seconds when another takes over, which is no fault of the archive: so
    it is asked each second, C(looks) times. Raises PgbackrestError."""
    for look in range(looks):
        code, output, errors = run(["psql", "-XAtqw", "-d", "postgres", "-c", ARCHIVE_QUERY])
        if code == 0:
            return output
        if look + 1 < looks:
            (pause or time.sleep)(1)
    raise PgbackrestError(f"PostgreSQL does not tell about its archive: {errors.strip()}")


def look_at_archive(settings: Mapping[str, Any], run: Run, cluster: Callable[[], Mapping[str, Any]], now: float) -> tuple[Figures, str]:
    """Whether the leader's WAL reaches the archive."""
    found = json.loads(_archive(run))
    healthy = ("When WAL was last seen to reach the archive", now)
    if found["replica"]:
        return {
            "arxos_wal_archive_acting": ("Whether this host's WAL is the one to archive", 0),
            f"{PREFIX['wal-archive']}_{LAST}": healthy,
        }, ""
    figures: Figures = {
        "arxos_wal_archive_acting": ("Whether this host's WAL is the one to archive", 1),
        "arxos_wal_archive_waiting_segments": ("Segments of WAL that wait for the archive", found["waiting"]),
        "arxos_wal_archive_oldest_seconds": ("How long the oldest of them has been waiting", found["oldest"]),
        "arxos_wal_archive_failed_total": ("Attempts that failed since the statistics began", found["failed"]),
        "arxos_wal_archive_last_archived_timestamp_seconds": ("When a segment last arrived", found["archived_at"] or 0),
        "arxos_wal_archive_last_failed_timestamp_seconds": ("When an attempt last failed", found["failed_at"] or 0),
    }
    if (found["failed_at"] or 0) > (found["archived_at"] or 0):
        return (
            figures,
            f"segment {found['failed_wal']} cannot be archived, {found['waiting']} wait: see the log of PostgreSQL and /var/log/pgbackrest",
        )
    if found["oldest"] > WAITING_SECONDS:
        return figures, f"{found['waiting']} segments wait for the archive, the oldest for {found['oldest']:.0f} s"
    figures[f"{PREFIX['wal-archive']}_{LAST}"] = healthy
    return figures, ""


JOBS: dict[str, Job] = {"backup": back_up, "backup-verify": verify, "wal-archive": look_at_archive}
PREFIX = {job: f"arxos_{job.replace('-', '_')}" for job in JOBS}
LAST = "last_success_timestamp_seconds"


def main(arguments: Sequence[str], run: Run = run, clock: Callable[[], float] = time.time) -> int:
    """Does a job and writes its figures; returns the exit code."""
    job, path, written = arguments
    settings = json.loads(Path(path).read_text(encoding="utf-8"))
    published = Path(settings["metrics"], f"{PREFIX[job]}.prom")
    last = f"{PREFIX[job]}_{LAST}"
    figures: Figures = {}
    try:
        figures, problem = JOBS[job](settings, run, lambda: ask_patroni(settings["patroni"], settings["ca_certificate"]), clock())
    except PgbackrestError as error:
        problem = str(error)
    if last not in figures:
        before = metric_of(published.read_text(encoding="utf-8"), last) if published.exists() else None
        figures[last] = ("When this last went well; 0 if it never did", before or 0)
    figures[f"{PREFIX[job]}_success"] = ("Whether the last run went well; one in which it was another host's turn did", float(not problem))
    figures[f"{PREFIX[job]}_last_run_timestamp_seconds"] = ("When the last run ended", clock())
    Path(written).write_text(render_metrics(figures), encoding="utf-8")
    if problem:
        sys.stderr.write(f"{problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
