# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole way, on a lab that starts bare: checked, killed on its way, finished, proven, run again, checked, released, rolled back, restarted.

The tests stand in the order of a platform's life and build on each other.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from .conftest import ROOT, Api, Lab

# Where the controller dies: while the hosts, the database, its schema, the cache and the application are half made. Each costs another run up to there: all
# but the first are left to `integration:go_live` by its name, as tests/faults/test_killed_runs.py is to its own.
KILLED_AT = [
    "certificates : Make the request",
    pytest.param("postgresql : ", marks=pytest.mark.slow),
    pytest.param("postgresql_schema : ", marks=pytest.mark.slow),
    pytest.param("redis_cluster : ", marks=pytest.mark.slow),
    pytest.param("arxos_api : ", marks=pytest.mark.slow),
]
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 80"><rect width="100" height="80"/></svg>'


def until(true: Callable[[], bool], seconds: float, what: str) -> float:
    """Seconds until a predicate held, looking twice a second; fails when the time is up."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        with contextlib.suppress(Exception):
            if true():
                return time.monotonic() - began
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {seconds} s")


def failed_units(lab: Lab) -> dict[str, str]:
    """Units that have failed, by host."""
    found = {host: lab.run(host, "systemctl", "--failed", "--no-legend", "--plain") for host in lab.hosts}
    return {host: units for host, units in found.items() if units}


def play_and_kill(lab: Lab, task: str, log: Path) -> bool:
    """Starts a go-live and kills it (-9, with all that it started) as soon as a task of that name begins. Whether it was killed."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            lab.command("go_live.yml"), cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
        while process.poll() is None:
            if f"TASK [arxos.platform.{task}" in log.read_text(errors="replace"):
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return True
            time.sleep(0.2)
    return False


def healthy(api: Api) -> bool:
    """Whether the front door answers with all five checks healthy."""
    answer = api.get("/health/")
    return answer.status_code == 200 and answer.json()["status"] == "healthy" and len(answer.json()["checks"]) == 5


def leader(lab: Lab) -> str:
    """The database host that takes writes."""
    for host in lab.tiers["database"]:
        with contextlib.suppress(AssertionError):
            if lab.sql(host, "SELECT pg_is_in_recovery()") == "f":
                return host
    raise AssertionError("no database host takes writes")


def test_check_mode_says_what_bare_hosts_lack(lab: Lab) -> None:
    played = lab.play("go_live.yml", "--check --diff")
    assert played.rc == 0, played.stdout[-3000:]


@pytest.mark.parametrize("task", KILLED_AT)
def test_a_killed_go_live_leaves_something_to_go_on_from(lab: Lab, task: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert play_and_kill(lab, task, log), f"the run ended before {task!r} began:\n{log.read_text(errors='replace')[-3000:]}"


@pytest.mark.slow
def test_a_go_live_that_ends_before_it_opened_leaves_the_front_door_closed(lab: Lab, api: Api, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert play_and_kill(lab, "prove : ", log), log.read_text(errors="replace")[-3000:]
    answer = api.get("/api/v1/symbols", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "120") and "Closed for maintenance" in answer.text
    assert healthy(api), "probes get no answer"


@pytest.mark.slow
def test_check_mode_says_what_a_half_made_platform_lacks(lab: Lab) -> None:
    played = lab.play("go_live.yml", "--check --diff")
    assert played.rc == 0, played.stdout[-3000:]


def test_running_it_again_completes(lab: Lab) -> None:
    played = lab.play("go_live.yml")
    assert played.rc == 0, played.stdout[-3000:]
    assert set(lab.hosts) <= set(played.stats["ok"])


def test_the_front_door_is_healthy(api: Api) -> None:
    answer = api.get("/health/")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert api.get("/").status_code == 200, "it was not opened"
    assert body["status"] == "healthy"
    assert set(body["checks"]) == {"database", "cache", "file_storage", "security_services", "export_services"}
    assert {check["status"] for check in body["checks"].values()} == {"healthy"}


def test_an_upload_is_in_s3_and_in_this_months_partition_on_every_database_host(lab: Lab, api: Api) -> None:
    boto3 = pytest.importorskip("boto3", reason="requirements.txt brings boto3")
    api.login()
    answer = api.post("/api/v1/svg/upload", files={"file": ("plan.svg", SVG, "image/svg+xml")})
    assert answer.status_code in (200, 201), answer.text
    building = answer.json()["id"]
    s3 = boto3.client(
        "s3",
        endpoint_url=f"https://{lab.prefix}.51:8334",
        verify=api.session.verify,
        region_name="us-east-1",
        aws_access_key_id=lab.secrets["vault_object_storage_admin_access_key"],
        aws_secret_access_key=lab.secrets["vault_object_storage_admin_secret_key"],
    )
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="arxos-production-files", Prefix="uploads/").get("Contents", [])]
    key = next(key for key in keys if building in key)
    assert s3.get_object(Bucket="arxos-production-files", Key=key)["Body"].read() == SVG
    partition = f"arxos_prod.buildings_{datetime.now(timezone.utc):%Y_%m}"
    for host in lab.tiers["database"]:
        until(lambda host=host: lab.sql(host, f"SELECT count(*) FROM {partition} WHERE id = '{building}'") == "1", 10, f"row on {host}")


def test_a_second_run_changes_nothing_shows_no_secret_and_says_where_the_platform_is(lab: Lab) -> None:
    played = lab.play("go_live.yml", "-vvv")
    assert played.rc == 0, played.stdout[-3000:]
    assert played.changes() == []
    assert played.changed == {}
    everything = played.stdout + json.dumps(played.events, default=str)
    # The CA's certificate is public, and an S3 access key names its owner as a user name does: AWS's own modules show it.
    secrets = {
        name: value
        for name, value in lab.secrets.items()
        if name.startswith("vault_") and not name.endswith(("_ca_certificate", "_access_key"))
    }
    assert [name for name, value in secrets.items() if max(str(value).splitlines(), key=len) in everything] == []
    plays = [event["event_data"]["name"] for event in played.events if event["event"] == "playbook_on_play_start"]
    stages = [play for play in plays if play.startswith("(")]  # the seal at the end of a run is none
    assert [stage.split(")")[0] for stage in dict.fromkeys(stage.split(" |")[0] for stage in stages)] == [f"({n}/9" for n in range(1, 10)]


@pytest.fixture
def load(lab: Lab, api: Api, ca: Path, tmp_path: Path) -> Iterator[Callable[[], dict[str, float]]]:
    """50 requests a second over HTTPS until asked; what they came to."""
    token = api.login()
    report = tmp_path / "load.json"
    process = subprocess.Popen(
        [str(ROOT / ".venv/bin/locust"), "-f", str(ROOT / "tests/integration/locustfile.py"), "--headless", "--only-summary"]
        + ["--host", api.base, "--users", "100", "--spawn-rate", "50", "--stop-timeout", "30", "--json-file", str(report.with_suffix(""))],
        env={**os.environ, "ARXOS_ADDRESS": lab.address, "ARXOS_CA": str(ca), "ARXOS_TOKEN": token},
        stdout=subprocess.DEVNULL,
        stderr=(tmp_path / "locust.log").open("wb"),
        stdin=subprocess.DEVNULL,
    )
    began = time.monotonic()

    def finish() -> dict[str, float]:
        """Lets it come to 3000 requests, ends it, and sums up. The rate is that from the first request to the last: not of Locust's own start and end."""
        time.sleep(max(0.0, 75.0 - (time.monotonic() - began)))
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        entries = json.loads(report.read_text())
        requests = sum(entry["num_requests"] for entry in entries)
        seconds = max(entry["last_request_timestamp"] for entry in entries) - min(entry["start_time"] for entry in entries)
        return {
            "requests": requests,
            "failures": sum(entry["num_failures"] for entry in entries),
            "seconds": seconds,
            "rate": requests / seconds,
            "slowest": max(entry["max_response_time"] for entry in entries) / 1000,
            "log": (tmp_path / "locust.log").read_text()[-2000:],
        }

    yield finish
    if process.poll() is None:
        process.kill()


def assert_untouched(came_to: dict[str, float]) -> None:
    """No request failed, and there were enough at the rate that was meant: too few would prove nothing."""
    print(came_to)
    assert came_to["requests"] >= 3000, came_to
    assert came_to["rate"] >= 45, came_to
    assert came_to["failures"] == 0, came_to


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> None:
    """1.1.0, which is well, 1.2.0, whose health fails, and 1.3.0 and 1.4.0, whose migrations may not be run."""
    folder = tmp_path_factory.mktemp("migrations")
    build = [str(ROOT / ".venv/bin/python"), str(ROOT / "tests/reference_app/build_release.py"), "--output", str(ROOT / "dist")]
    subprocess.run([*build, "--version", "1.1.0"], check=True, cwd=ROOT)
    subprocess.run([*build, "--version", "1.2.0", "--health", "fail"], check=True, cwd=ROOT)
    # One that fails half way, and one that the linter knows better than.
    for version, sql in (
        ("1.3.0", "CREATE TABLE arxos_prod.half (); SELECT 1 / 0;"),
        ("1.4.0", "ALTER TABLE arxos_prod.buildings DROP COLUMN name;"),
    ):
        migration = folder / f"{version}/9999_bad.sql"
        migration.parent.mkdir()
        migration.write_text(sql)
        subprocess.run([*build, "--version", version, "--migration", str(migration)], check=True, cwd=ROOT)


@pytest.mark.usefixtures("releases")
def test_deploy_and_rollback_lose_no_request(lab: Lab, load: Callable[[], dict[str, float]]) -> None:
    deployed = lab.play("deploy.yml", "-e arxos_api_version=1.1.0")
    assert deployed.rc == 0, deployed.stdout[-3000:]
    assert {lab.release(host) for host in lab.tiers["app"]} == {"1.1.0"}
    # The inventory has 1.0.0 still: no run takes users back to that unless it is named.
    refused = lab.play("release.yml")
    assert refused.rc != 0 and "which was left for it" in " ".join(refused.stdout.split()), refused.stdout[-3000:]
    assert {lab.release(host) for host in lab.tiers["app"]} == {"1.1.0"}
    began = time.monotonic()
    rolled_back = lab.play("rollback_application.yml")
    seconds = time.monotonic() - began
    assert rolled_back.rc == 0, rolled_back.stdout[-3000:]
    assert {lab.release(host) for host in lab.tiers["app"]} == {"1.0.0"}
    assert_untouched(load())
    print(f"the rollback took {seconds:.0f} s")
    assert seconds < 300, "its budget"


def test_the_migrations_of_a_release_were_run_once_as_the_owner_and_stay_after_a_rollback(lab: Lab) -> None:
    host = leader(lab)
    history = lab.sql(host, "SELECT name, release FROM arxos_migrations.history WHERE finished_at IS NOT NULL ORDER BY name").splitlines()
    assert history == ["0001_buildings_description.sql|1.1.0", "0002_symbols_updated_at.sql|1.1.0"]
    assert lab.sql(host, "SELECT tableowner FROM pg_tables WHERE tablename = 'history'") == "arxos_owner"
    assert lab.sql(host, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'arxos_prod.symbols_updated_at_idx'::regclass") == "t"
    assert lab.sql(host, "SELECT has_schema_privilege('arxos_application', 'arxos_migrations', 'USAGE')") == "f"


@pytest.mark.usefixtures("releases")
@pytest.mark.parametrize(("version", "reason"), [("1.3.0", "division by zero"), ("1.4.0", "ban-drop-column")])
def test_a_migration_that_fails_or_breaks_others_stops_the_release_before_anything_switches(lab: Lab, version: str, reason: str) -> None:
    before = lab.release(lab.tiers["app"][0])
    started = [lab.run(host, "systemctl", "show", "-p", "ExecMainStartTimestamp", "arxos-api.service") for host in lab.tiers["app"]]
    played = lab.play("deploy.yml", f"-e arxos_api_version={version}")
    assert played.rc != 0 and reason in played.stdout, played.stdout[-3000:]
    assert "9999_bad.sql" in played.stdout
    assert {lab.release(host) for host in lab.tiers["app"]} == {before}
    assert [lab.run(host, "systemctl", "show", "-p", "ExecMainStartTimestamp", "arxos-api.service") for host in lab.tiers["app"]] == started
    assert (
        lab.sql(
            leader(lab), "SELECT to_regclass('arxos_prod.half') IS NULL, count(*) FROM arxos_migrations.history WHERE name LIKE '9999%'"
        )
        == "t|0"
    )


@pytest.mark.usefixtures("releases")
def test_a_release_that_is_not_healthy_stops_at_the_first_host_and_is_put_back(lab: Lab, load: Callable[[], dict[str, float]]) -> None:
    played = lab.play("deploy.yml", "-e arxos_api_version=1.2.0")
    assert played.rc != 0
    first, *others = lab.tiers["app"]
    assert first in played.stdout.split("was stopped")[-1], played.stdout[-2000:]
    assert {lab.release(host) for host in lab.tiers["app"]} == {"1.0.0"}
    for host in others:
        assert lab.run(host, "readlink", "/opt/arxos/previous", check=False).endswith("1.1.0"), f"{host} was switched"
    assert_untouched(load())


def test_every_host_restarted_at_once_comes_back_within_two_minutes(lab: Lab, api: Api) -> None:
    subprocess.run(["docker", "restart", "-t", "10", *(f"{lab.name}-{host}" for host in lab.hosts)], check=True, capture_output=True)
    seconds = until(lambda: healthy(api), 120, "front door healthy")
    print(f"healthy again after {seconds:.0f} s")
    until(
        lambda: lab.sql(leader(lab), "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "2",
        120 - seconds,
        "two replicas",
    )
    # What a timer was due for meanwhile waits for the others; the look at the archive of WAL, each minute, may have met a store that was still starting.
    with contextlib.suppress(AssertionError):
        until(lambda: not failed_units(lab), 150, "no unit has failed")
    assert failed_units(lab) == {}
    assert {lab.run(host, "systemctl", "is-system-running", "--wait", check=False) for host in lab.hosts} == {"running"}


@pytest.mark.parametrize("playbook", ["release.yml", "edge.yml", pytest.param("go_live.yml", marks=pytest.mark.slow)])
def test_check_mode_says_that_nothing_is_left_to_do_after_all_that(lab: Lab, playbook: str) -> None:
    played = lab.play(playbook, "--check --diff")
    assert played.rc == 0, played.stdout[-3000:]
    assert played.changes() == []
