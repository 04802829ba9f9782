# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the gates and tests of this collection and closes with one line, `N passed, N failed`.

    run_tests.py                      what CI runs: sanity, unit, local and lint side by side, then integration, faults:fast, verify
    run_tests.py lint unit            parts of it
    run_tests.py local                those files of tests/integration that need no lab
    run_tests.py molecule             every Molecule scenario in full, on a fresh lab
    run_tests.py molecule:cache       one scenario, on a fresh lab, with what it stands on brought by its prepare playbook
    run_tests.py vm                   the hosts stage on a virtual machine with a kernel of its own; its processor is emulated
    run_tests.py integration:go_live  tests/integration/test_go_live.py alone, with its slow cases
    run_tests.py faults               every fault of tests/faults, on the tiers that keep data, from bare hosts
    run_tests.py faults:database      tests/faults/test_database.py alone
    run_tests.py faults:certificates  tests/faults/test_certificates.py alone, which like the others of WHOLE is about a whole platform and no part of
                                      `faults`
    run_tests.py faults:fast          those marked so, on the platform as it stands in the test lab

A gate counts 1, a Molecule scenario one for each step of its sequence, pytest what its report says. A part that ran
nothing has failed. The whole output of each is in .lab/logs/, the end of it is printed where it failed.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".lab"
LOGS = STATE / "logs"
GATES = [sys.executable, "tests/tools/gates.py"]
SCENARIOS = ["hosts", "storage", "database", "cache", "application", "edge"]
# The steps of a scenario (.config/molecule/config.yml) that always run; prepare does only for a scenario run alone.
STEPS = ["create", "check", "converge", "idempotence", "check", "verify"]
VM_STEPS = ["create", "converge", "idempotence", "verify"]
# Files of tests/integration that bring all that they need.
LOCAL = ["configure_awx", "announcements", "run_record", "status_page", "generate_secrets", "execution_environment"]
FILES = "lint+sanity+unit+local"  # the parts that need no lab: they share one pool, in which the longest begin
LONGEST = ["unit", "ansible-lint", "local run_record", "local announcements", "local configure_awx", "local status_page"]
WHOLE = {  # faults of a platform that serves
    "certificates",
    "killed_runs",
    "release",
    "rollback_configuration",
    "rollback_full",
    "rotate_secrets",
    "run_record",
    "scale_app",
    "take_back",
    "testssl",
    "traffic",
}
ONLY_BY_NAME = {"announced_go_live"}  # files of tests/integration whose cases are slow, all of them
TAIL = 60


@dataclass
class Result:
    """What one command gave: how many passed and failed, in how many seconds."""

    name: str
    passed: int = 0
    failed: int = 0
    seconds: float = 0.0
    note: str = ""
    names: list[str] = field(default_factory=list)  # the test cases that failed


@dataclass
class Step:
    """One command of a part. `counts` turns its exit code and output into (passed, failed, note)."""

    name: str
    command: list[str]
    timeout: int = 600
    env: dict[str, str] = field(default_factory=dict)
    junit: Path | None = None
    molecule: list[str] = field(default_factory=list)  # the steps of a scenario that have to be executed


def environment() -> dict[str, str]:
    """The environment of every step: our tools first, no colours, and a lab beside the one of `make go-live`."""
    env = dict(os.environ)
    env["PATH"] = f"{ROOT / '.venv/bin'}:{env['PATH']}"
    env["VIRTUAL_ENV"] = str(ROOT / ".venv")
    env.update(ANSIBLE_NOCOLOR="1", NO_COLOR="1", PY_COLORS="0", ANSIBLE_FORCE_COLOR="0")
    env.pop("PYTHONPATH", None)
    env["LAB_NAME"] = env.get("TEST_LAB_NAME", "arxos-test")
    env["LAB_PREFIX"] = env.get("TEST_LAB_PREFIX", "172.30.21")
    return env


def end_leftovers(mark: str) -> None:
    """End what a step left running. Ansible's workers have sessions of their own: killing the group of a playbook does not reach them."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = f"ARXOS_STEP={mark}".encode() in (entry / "environ").read_bytes().split(b"\0")
            if ours and not (entry / "comm").read_text().startswith(("dockerd", "containerd")):
                os.kill(int(entry.name), signal.SIGKILL)


def call(step: Step) -> tuple[int, str]:
    """Run a step with its log in .lab/logs; returns the exit code (124 when it took too long) and the log's text."""
    log = LOGS / f"{step.name.replace('/', '-').replace(' ', '-')}.log"
    mark = f"{os.getpid()}-{log.stem}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            step.command,
            cwd=ROOT,
            env={**environment(), **step.env, "ARXOS_STEP": mark},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=step.timeout)
        except subprocess.TimeoutExpired:
            code = 124
        finally:
            # Also after Ctrl-C: nothing of a step outlives it.
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            end_leftovers(mark)
    return code, log.read_text(errors="replace")


def count_junit(report: Path, code: int) -> tuple[int, int, str]:
    """Counts of a pytest report. No report, no test at all, or an exit code that the report does not explain is a failure."""
    if not report.is_file():
        return 0, 1, "left no report"
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    total, bad, skipped = (
        sum(int(suite.get(key, 0)) for suite in suites for key in keys) for keys in (("tests",), ("failures", "errors"), ("skipped",))
    )
    passed = total - bad - skipped
    note = f"{skipped} skipped" if skipped else ""
    if passed == 0 and bad == 0:
        return 0, 1, "ran nothing"
    if code != 0 and bad == 0:
        return passed, 1, f"exit code {code}"
    return passed, bad, note


def failed_cases(report: Path) -> list[str]:
    """The names of a pytest report's cases that failed, as `file::case`."""
    if not report.is_file():
        return []
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return [
        f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]


def count_molecule(text: str, code: int, wanted: list[str]) -> tuple[int, int, str]:
    """Steps that Molecule says it executed, against those that it had to execute."""
    done = re.findall(r"\[[\w-]+ > (\w+)\] Executed: Successful", text)
    missing = list(wanted)
    for name in done:
        if name in missing:
            missing.remove(name)
    if missing:
        return len(done), 1, f"stopped at {missing[0]}"
    if "Skipping, no tests found" in text:
        return len(done) - 1, 1, "has no test to verify with"
    if code != 0:
        return len(done), 1, f"exit code {code}"
    return len(done), 0, ""


def run(step: Step) -> Result:
    """Run one step and judge it; print one line, and the end of its log when it failed."""
    if step.junit:
        step.junit.unlink(missing_ok=True)
    started = time.monotonic()
    code, text = call(step)
    result = Result(step.name, seconds=time.monotonic() - started)
    if step.junit:
        result.passed, result.failed, result.note = count_junit(step.junit, code)
        result.names = failed_cases(step.junit)
    elif step.molecule:
        result.passed, result.failed, result.note = count_molecule(text, code, step.molecule)
    else:
        result.passed, result.failed = (1, 0) if code == 0 else (0, 1)
    if code == 124:
        result.note = f"stopped after {step.timeout} s"
    report(result, text)
    return result


PRINT = threading.Lock()


def report(result: Result, text: str = "") -> None:
    """One line for a result; the end of the log of a failed one below it, shifted so that no line of it can be ours."""
    with PRINT:
        count = f"{result.passed} ok" + (f", {result.failed} FAILED" if result.failed else "")
        print(f"  {result.name:<28} {result.seconds:7.1f} s  {count:<16} {result.note}".rstrip(), flush=True)
        if result.failed:
            for line in text.rstrip().splitlines()[-TAIL:]:
                print(f"      | {line}")
            sys.stdout.flush()


def lint() -> list[Step]:
    """The gates that look at files."""
    return [
        Step("ansible-lint", ["ansible-lint", "--offline", "--profile", "production", "--nocolor", "-q"], timeout=1200),
        Step("mypy", ["mypy"]),
        # It copies the collections that ours depends on by what git lists, and git lists nothing of an ignored .venv: keep it from looking up.
        Step(
            "antsibull-docs",
            ["antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs=self", "."],
            env={"GIT_CEILING_DIRECTORIES": str(ROOT / ".venv")},
        ),
        Step("ansible-doc", [*GATES, "docs"]),
        Step("documentation site", [sys.executable, "tests/tools/docs_site.py"]),
        Step("collection build", [*GATES, "build"]),
        Step("yamllint", ["yamllint", "--strict", "."]),
        Step("ruff check", ["ruff", "check", "."]),
        Step("ruff format", ["ruff", "format", "--check", "."]),
        Step("antsibull-changelog", ["antsibull-changelog", "lint"]),
        Step("role README tables", [sys.executable, "tests/tools/role_docs.py", "--check"]),
        Step("inventories", [*GATES, "inventories"]),
        Step("shell scripts", [*GATES, "scripts"]),
    ]


def sanity() -> list[Step]:
    """ansible-test sanity; which of its tests are left out, and why, stands in tests/tools/sanity.py."""
    return [Step("ansible-test sanity", [sys.executable, "tests/tools/sanity.py"], timeout=900)]


def pytest_step(name: str, paths: list[str], timeout: int, extra: list[str] | None = None) -> Step:
    """A pytest run that leaves a report for the counts."""
    junit = STATE / "reports" / f"{name.replace(' ', '-')}.xml"
    return Step(name, [sys.executable, "-m", "pytest", "-q", f"--junitxml={junit}", *(extra or []), *paths], timeout, junit=junit)


def unit() -> list[Step]:
    """Pure logic, modules with a fake host, and rendered templates."""
    return [
        pytest_step(name, [path], 1500)
        for name, path in (("unit", "tests/unit"), ("templates", "tests/templates"), ("application", "tests/reference_app"))
        if any((ROOT / path).rglob("test_*.py"))
    ]


def lab_up(bare: bool) -> list[Step]:
    """The test lab's hosts: new and bare, or as they are."""
    play = ["ansible-playbook", "molecule/shared/create.yml"]
    steps = [Step("lab secrets", ["make", "-s", "secrets"]), Step("lab release", ["make", "-s", "release", "VERSION=1.0.0"])]
    if bare:
        steps.append(Step("lab removed", ["ansible-playbook", "molecule/shared/destroy.yml"]))
    return [*steps, Step("lab made", play)]


def molecule(only: str) -> list[Step]:
    """The scenarios on one lab, each on what the one before left; or one alone, which prepares its hosts itself."""
    steps = lab_up(bare=True)
    for scenario in [only] if only else SCENARIOS:
        ephemeral = STATE / "molecule" / scenario
        shutil.rmtree(ephemeral, ignore_errors=True)  # Molecule would skip what it thinks it has done in an earlier lab.
        env = {"MOLECULE_EPHEMERAL_DIRECTORY": str(ephemeral)}
        if not only:
            env["MOLECULE_PREPARE"] = "none.yml"
        command = ["molecule", "-c", ".config/molecule/config.yml", "test", "--destroy=never", "-s", scenario]
        limit = 5400 if only else 2400  # alone it makes all the tiers below it, too
        wanted = [*STEPS[:1], *(["prepare"] if only and scenario != "hosts" else []), *STEPS[1:]]
        steps.append(Step(f"molecule {scenario}", command, limit, env, molecule=wanted))
    return steps


def vm() -> list[Step]:
    """What a container cannot show: the hosts stage on a virtual machine, new for each run."""
    ephemeral = STATE / "molecule/vm"
    shutil.rmtree(ephemeral, ignore_errors=True)
    command = ["molecule", "-c", ".config/molecule/config.yml", "test", "--destroy=always", "-s", "vm"]
    return [
        Step("vm secrets", ["ansible-playbook", "playbooks/generate_secrets.yml", "-i", "molecule/vm/inventory"]),
        Step("molecule vm", command, 10800, {"MOLECULE_EPHEMERAL_DIRECTORY": str(ephemeral)}, molecule=VM_STEPS),
    ]


def local() -> list[Step]:
    """Playbooks and plugins for real, on this machine alone."""
    return [pytest_step(f"local {name}", [f"tests/integration/test_{name}.py"], 1500, ["-m", "not slow"]) for name in LOCAL]


def integration(only: str) -> list[Step]:
    """Whole playbooks, driven by ansible-runner, on a test lab that starts bare. By its name a file runs with its slow cases."""
    found = {path.stem[5:] for path in (ROOT / "tests/integration").glob("test_*.py")}
    names = [only] if only else sorted(found - ONLY_BY_NAME - set(LOCAL))
    chosen = [] if only else ["-m", "not slow"]
    return [
        *lab_up(bare=True),
        *(pytest_step(f"integration {name}", [f"tests/integration/test_{name}.py"], 3600, chosen) for name in names),
    ]


def faults(only: str) -> list[Step]:
    """Faults caused for real: all of them on a fresh lab without application and edge, or the fast ones on the platform as it is."""
    if only == "fast":
        return [pytest_step("faults fast", ["tests/faults"], 600, ["-m", "fast"])]
    if only in WHOLE:
        live = Step("lab platform", ["ansible-playbook", "playbooks/go_live.yml"], 2400)
        return [*lab_up(bare=True), live, pytest_step(f"faults {only}", [f"tests/faults/test_{only}.py"], 7200)]
    tiers = ["--limit", "database,app,cache,storage,monitoring,localhost"]
    steps = lab_up(bare=True)
    steps[-1].command += tiers
    for stage in ("hosts", "storage", "database", "cache"):
        steps.append(Step(f"lab {stage}", ["ansible-playbook", f"playbooks/{stage}.yml", *tiers], 900))
    names = [only] if only else sorted({path.stem[5:] for path in (ROOT / "tests/faults").glob("test_*.py")} - WHOLE)
    return [*steps, *(pytest_step(f"faults {name}", [f"tests/faults/test_{name}.py"], 3600) for name in names)]


def verify(only: str) -> list[Step]:
    """The testinfra tests of the scenarios, on the platform as it stands in the test lab."""
    paths = {name: f"molecule/{name}/tests" for name in ([only] if only else SCENARIOS)}
    return [pytest_step(f"verify {name}", [path], 900, ["--connection=docker"]) for name, path in paths.items()]


def side_by_side(steps: list[Step]) -> list[Result]:
    """Run steps two at a time, whatever becomes of them."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, steps))


def part(name: str) -> list[Result]:
    """Run one part. What needs no lab, or looks at tiers that do not disturb each other, runs two at a time; what builds on itself stops at its first
    failure.
    """
    kind, _sep, only = name.partition(":")
    print(f"== {name}", flush=True)
    if set(name.split("+")) <= set(FILES.split("+")):
        steps = [step for each in name.split("+") for step in {"lint": lint, "sanity": sanity, "unit": unit, "local": local}[each]()]
        steps.sort(key=lambda step: LONGEST.index(step.name) if step.name in LONGEST else len(LONGEST))
        results = side_by_side(steps)
    elif name == "verify":
        steps = verify("")
        # The database hands over while it is looked at, which those who ask it would see; the edge's limits are about time.
        last = [step for step in steps if step.name in ("verify application", "verify edge")]
        first = sorted((step for step in steps if step not in last), key=lambda step: step.name != "verify database")  # the longest
        results = side_by_side(first) + [run(step) for step in last]
    else:
        steps = vm() if kind == "vm" else {"molecule": molecule, "integration": integration, "faults": faults, "verify": verify}[kind](only)
        results = []
        for step in steps:
            results.append(run(step))
            if results[-1].failed and (kind not in ("faults", "verify") or step.name.startswith("lab ")):
                break
            if step.name == "integration go_live":  # the others have databases of their own on the platform that it leaves
                results += side_by_side(steps[len(results) :])
                break
        for step in steps[len(results) :]:
            print(f"  {step.name:<28} not run: it stands on what failed")
        results = [result for result in results if result.failed or not result.name.startswith("lab ")]
    if not results:
        results = [Result(name, failed=1, note="ran nothing")]
        report(results[0])
    return results


def main() -> int:
    """Run the parts that were asked for."""
    everything = [FILES, "integration", "faults:fast", "verify"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"parts to run; without one {', '.join(everything)}")
    parts = parser.parse_args().parts or everything
    known = [*everything, *FILES.split("+"), "faults", "molecule", "vm"]
    unknown = [name for name in parts if name.partition(":")[0] not in known]
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}")
    # So that a run which is ended takes its step along, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_ignored: sys.exit(143))
    for folder in (LOGS, STATE / "reports"):
        folder.mkdir(parents=True, exist_ok=True)

    table: list[tuple[str, list[Result], float]] = []
    for name in parts:
        started = time.monotonic()
        table.append((name, part(name), time.monotonic() - started))

    print("== summary")
    for name, results, seconds in table:
        passed, failed = (sum(getattr(result, key) for result in results) for key in ("passed", "failed"))
        print(f"  {name:<28} {seconds:7.1f} s  {passed} ok" + (f", {failed} FAILED" if failed else ""))
    # Once more by name: of a long run whoever looks sees the end first.
    for result in (result for _name, results, _s in table for result in results if result.failed):
        print(f"  FAILED {result.name}" + "".join(f"\n    {name}" for name in result.names))
    passed, failed = (sum(getattr(result, key) for _name, results, _s in table for result in results) for key in ("passed", "failed"))
    print(f"  {'all':<28} {sum(seconds for _name, _results, seconds in table):7.1f} s")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
