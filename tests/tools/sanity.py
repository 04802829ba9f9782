# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs `ansible-test sanity` on a copy of this checkout.

It insists on a real path that ends in ansible_collections/arxos/platform (a link is refused), so the files that git
knows, or would know, are copied to one. It also downloads a bootstrap script of pip from a host that a closed network
does not reach: a script of ours that asks Python's own ensurepip stands in for it, in a home folder of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".lab/sanity"
COPY = WORK / "ansible_collections/arxos/platform"
HOME = WORK / "home"

# Left out, and why.
SKIP = {
    "ansible-doc": "gate of its own (gates.py docs), which also covers roles",
    "yamllint": "gate of its own with the settings of .yamllint",
    "pep8": "ruff, with the line length of this project",
    "shellcheck": "no shellcheck package on PyPI without a download; gate `shell scripts` parses them",
    "pslint": "no PowerShell here",
}

BOOTSTRAP = """\
# Stands in for get-pip.py: Python's own ensurepip, then the pip version that ansible-test asked for.
import runpy
import subprocess
import sys

subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True, stdout=subprocess.DEVNULL)
sys.argv = ["pip", "install", *(word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel"))]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def copy_checkout() -> None:
    """Make the copy equal to what git lists in the checkout, new files that are not ignored included."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    shutil.rmtree(COPY, ignore_errors=True)
    for name in filter(None, listed):
        source, target = ROOT / name, COPY / name
        # The lab and the tests are no part of the built collection (galaxy.yml): ruff and mypy hold them, and Molecule's links are refused here.
        if not source.exists() or (name.startswith(("molecule/", "tests/")) and not name.startswith(("tests/sanity/", "tests/config.yml"))):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    # A repository of its own: ansible-test asks git for the files, and would ask the checkout's, which ignores .lab.
    subprocess.run(["git", "init", "-q"], cwd=COPY, check=True)
    subprocess.run(["git", "add", "-A"], cwd=COPY, check=True)


def link_dependencies() -> None:
    """Collections that ours imports from, where ansible-test looks for them: beside the copy."""
    import ansible_collections

    for name in yaml.safe_load((ROOT / "galaxy.yml").read_text())["dependencies"]:
        link = WORK / "ansible_collections" / name.replace(".", "/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(
            next(Path(place, *name.split(".")) for place in ansible_collections.__path__ if Path(place, *name.split(".")).is_dir())
        )


def bootstrap_scripts() -> None:
    """Put our pip bootstrap where the installed ansible-test looks for the one it would download."""
    import ansible_test

    sources = Path(ansible_test.__file__).parent / "_internal/python_requirements.py"
    versions = set(re.findall(r"pip=['\"]([\d.]+)['\"]", sources.read_text()))
    cache = HOME / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    for version in versions:
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(BOOTSTRAP)


def main() -> int:
    """Copy, then run; extra arguments go to ansible-test (a test name by --test, say)."""
    copy_checkout()
    link_dependencies()
    bootstrap_scripts()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = ["ansible-test", "sanity", "--local", "--python", version, "--color", "no"]
    for name in SKIP:
        command += ["--skip-test", name]
    # The virtual environments that ansible-test makes are kept in HOME for the next run.
    env = {**os.environ, "HOME": str(HOME)}
    return subprocess.run([*command, *sys.argv[1:]], cwd=COPY, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
