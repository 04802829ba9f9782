# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small gates that no kept tool has: gates.py build|docs|inventories|scripts. Each prints its faults and exits 1 on any."""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COLLECTION = "arxos.platform"
# What an operator needs of the built collection, and what must never be in it.
SHIPPED = [
    "playbooks/go_live.yml",
    "playbooks/group_vars/all/topology.yml",
    "README.md",
    "LICENSE",
    "meta/runtime.yml",
    "plugins/modules/*.py",
]
NEVER = ["*/vault.yml", ".*", "dist/*", "molecule/*", "*.pyc", "*.tar.gz", "*.log", "*.key", "*.whl", "inventories/lab/*"]


def output(*command: str) -> str:
    """Standard output of a command; its standard error and exit code on failure."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def tracked(*patterns: str) -> list[str]:
    """Files that git knows, or would know once added."""
    return output("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns).split()


def build() -> list[str]:
    """Build the collection and look at what is in the tarball."""
    folder = ROOT / ".lab/build"
    output("ansible-galaxy", "collection", "build", "--force", "--output-path", str(folder))
    newest = max(folder.glob("arxos-platform-*.tar.gz"), key=lambda path: path.stat().st_mtime)
    with tarfile.open(newest) as tar:
        names = {member.name for member in tar.getmembers() if not member.isdir()} - {"MANIFEST.json", "FILES.json"}
    known = set(tracked())
    faults = [f"in the tarball, but git does not know it: {name}" for name in sorted(names - known)]
    faults += [f"leftover in the tarball: {name}" for name in sorted(names) if any(fnmatch.fnmatch(name, bad) for bad in NEVER)]
    faults += [f"missing in the tarball: {good}" for good in SHIPPED if not fnmatch.filter(names, good)]
    print(f"{newest.name}: {len(names)} files, {newest.stat().st_size // 1024} KiB")
    return faults + galaxy(newest)


def galaxy(tarball: Path) -> list[str]:
    """What Galaxy's importer says of a built collection beside that it is good; its error ends this. Its ansible-lint is the gate beside this one."""
    words = [sys.executable, "-m", "galaxy_importer.main", tarball.name]
    env = {**os.environ, "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false"}
    done = subprocess.run(words, cwd=tarball.parent, env=env, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    if done.returncode or "Importer processing completed successfully" not in said:
        sys.exit(f"galaxy-importer {tarball.name}\n" + "\n".join(said))
    return [line for line in said if line.startswith(("WARNING", "ERROR", "CRITICAL"))]


def docs() -> list[str]:
    """ansible-doc answers for every module, plugin and role."""
    wanted = {"role": sorted(path.parent.parent.name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))}
    for kind, folder in (("module", "modules"), ("callback", "callback"), ("lookup", "lookup")):
        wanted[kind] = sorted(path.stem for path in (ROOT / "plugins" / folder).glob("*.py") if path.stem != "__init__")
    # A file may hold several filters, each with documentation of its own beside it.
    listed = json.loads(output("ansible-doc", "-t", "filter", "--list", "--json", COLLECTION))
    wanted["filter"] = sorted(name.removeprefix(f"{COLLECTION}.") for name in listed)
    faults = [
        f"role {path.name} has no meta/argument_specs.yml"
        for path in (ROOT / "roles").iterdir()
        if not (path / "meta/argument_specs.yml").is_file()
    ]
    for kind, names in wanted.items():
        if not names:
            continue
        answer = json.loads(output("ansible-doc", "-t", kind, "--json", *(f"{COLLECTION}.{name}" for name in names)))
        for name in names:
            entry = answer.get(f"{COLLECTION}.{name}", {})
            said = bool(entry.get("entry_points")) if kind == "role" else bool(entry.get("doc", {}).get("description"))
            if not said:
                faults.append(f"ansible-doc has nothing on {kind} {name}")
        print(f"{kind}: {', '.join(names)}")
    return faults


def inventories() -> list[str]:
    """Every inventory loads, and has the tiers (storage may be somebody else's S3)."""
    faults = []
    for path in sorted((ROOT / "inventories").iterdir()):
        answer = json.loads(output("ansible-inventory", "-i", str(path), "--list"))
        print(f"{path.name}: {len(answer['_meta']['hostvars'])} hosts")
        for tier in ("edge", "app", "database", "cache"):
            if not answer.get(tier, {}).get("hosts"):
                faults.append(f"inventory {path.name} has no hosts in {tier}")
    return faults


def scripts() -> list[str]:
    """Shell scripts parse in the shell that they name."""
    faults = []
    for name in tracked():
        path = ROOT / name
        if path.is_symlink() or not path.is_file():
            continue
        with path.open("rb") as file:
            first = file.readline(80).decode(errors="replace").strip()
        if not first.startswith("#!") or not first.endswith(("bash", "/sh", "bash -eu", "sh -eu")) or name.endswith(".j2"):
            continue
        shell = "bash" if "bash" in first else "sh"
        done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
        print(f"{shell} -n {name}")
        if done.returncode:
            faults.append(f"{name}: {done.stderr.strip()}")
    return faults


if __name__ == "__main__":
    found = {"build": build, "docs": docs, "inventories": inventories, "scripts": scripts}[sys.argv[1]]()
    print("\n".join(found))
    sys.exit(1 if found else 0)
