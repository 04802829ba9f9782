# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What config_tree does to a file system, and what it leaves behind when something goes wrong."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.arxos.platform.plugins.module_utils import _config_tree as ct
from ansible_collections.arxos.platform.plugins.module_utils import _config_tree_apply as apply

ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}
PYTHON = sys.executable


class Host:
    """A piece of file system to be configured: etc, and config_tree's own state and work."""

    def __init__(self, root: Path) -> None:
        self.root, self.etc = root, root / "etc"
        self.etc.mkdir(mode=0o755)
        self.places = ct.Places(str(root / "state/config_tree"), str(root / "work"))

    def tree(self, contents: dict[str, str], public: tuple[str, ...] = (), **options: Any) -> ct.Tree:
        """`contents` by names below etc; files that `options` does not describe are plain."""
        files = options.pop("files", [{"dest": name} for name in contents])
        files = [{**file, "dest": str(self.etc / file["dest"])} for file in files]
        result = ArgumentSpecValidator(ct.ARGUMENT_SPEC).validate({**ME, "files": files, **options})
        assert not result.error_messages
        return ct.parse(result.validated_parameters, {str(self.etc / name): text for name, text in contents.items()}, public)

    def converge(self, contents: dict[str, str], check: bool = False, **options: Any) -> apply.Outcome:
        return apply.converge(self.tree(contents, **options), self.places, check=check, loaded=lambda units: {})

    def kept(self, name: str) -> Path:
        return Path(f"{self.places.state}/previous{self.etc / name}")

    def snapshot(self) -> dict[str, tuple[int, int, bytes]]:
        """Everything below etc: mode, inode and content."""
        found = {}
        for path in sorted(self.etc.rglob("*")):
            status = path.lstat()
            content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(self.etc))] = (status.st_mode, status.st_ino, content)
        return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_directories_and_modes(host: Host) -> None:
    (host.etc / "d").mkdir()
    (host.etc / "d/gone.conf").write_text("")
    (host.etc / "old").write_text("")
    wish: dict[str, Any] = {
        "contents": {"a/b/x": "1", "d/y.conf": "ä"},
        "files": [{"dest": "a/b/x"}, {"dest": "d/y.conf", "mode": "0600"}],
        "directories": [{"path": str(host.etc / "d"), "mode": "0750", "exclusive": ["*.conf"]}],
        "absent": [str(host.etc / "old")],
    }
    umask = os.umask(0o077)
    try:
        outcome = host.converge(**wish)
    finally:
        os.umask(umask)
    assert outcome.plan.changed_files == [str(host.etc / name) for name in ("a/b/x", "d/y.conf", "old", "d/gone.conf")]
    assert (host.etc / "a/b/x").read_text() == "1"
    assert (host.etc / "d/y.conf").read_text() == "ä"
    assert [mode(host.etc / name) for name in ("a", "a/b", "a/b/x", "d", "d/y.conf")] == [0o755, 0o755, 0o644, 0o750, 0o600]
    assert set(host.snapshot()) == {"a", "a/b", "a/b/x", "d", "d/y.conf"}
    before = host.snapshot()
    assert not host.converge(**wish).plan.changed
    assert host.snapshot() == before


def test_nothing_differs_runs_no_checker_and_writes_nothing(host: Host) -> None:
    (host.etc / "x").write_text("1")
    (host.etc / "x").chmod(0o644)
    assert not host.converge({"x": "1"}, validate=["/bin/false"]).plan.changed
    assert not os.path.exists(host.places.work) and not os.path.exists(host.places.state)


def test_the_previous_version_is_kept_privately_with_its_mode(host: Host) -> None:
    (host.etc / "x").write_text("1")
    (host.etc / "x").chmod(0o640)
    (host.etc / "gone").symlink_to("x")
    host.converge({"x": "2"}, absent=[str(host.etc / "gone")])
    assert (host.kept("x").read_text(), mode(host.kept("x"))) == ("1", 0o640)
    assert os.readlink(host.kept("gone")) == "x"
    assert mode(Path(host.places.state)) == 0o700 and mode(host.kept("x").parent) == 0o700
    host.converge({"x": "3"})
    assert host.kept("x").read_text() == "2"


def test_a_file_that_is_new_again_has_no_previous_version(host: Host) -> None:
    host.converge({"x": "1"})
    host.converge({"x": "2"})
    (host.etc / "x").unlink()
    host.converge({"x": "3"})
    assert not host.kept("x").exists()


def test_kept_versions_follow_when_a_file_becomes_a_directory(host: Host) -> None:
    (host.etc / "x").write_text("file")
    host.converge({"x": "2"})
    (host.etc / "x").unlink()
    host.converge({"x/y": "1"})
    host.converge({"x/y": "2"})
    assert host.kept("x/y").read_text() == "1"


# ---------------------------------------------------------------- checkers


def test_the_whole_tree_is_staged_for_the_checker_and_gone_afterwards(host: Host) -> None:
    (host.etc / "same").write_text("same")
    (host.etc / "same").chmod(0o644)
    script = (
        "import os, sys; root = sys.argv[1]; etc = root + sys.argv[2]\n"
        "assert os.stat(root).st_mode & 0o7777 == 0o700\n"
        "assert open(etc + '/x').read() == 'new' and open(etc + '/same').read() == 'same'\n"
        "assert os.stat(etc + '/x').st_mode & 0o7777 == 0o600 and os.stat(etc + '/d').st_mode & 0o7777 == 0o710\n"
        "assert not os.path.exists(sys.argv[2] + '/x'), 'nothing is replaced before the checker has spoken'\n"
    )
    host.converge(
        {"x": "new", "same": "same"},
        files=[{"dest": "x", "mode": "0600"}, {"dest": "same"}],
        directories=[{"path": str(host.etc / "d"), "mode": "0710"}],
        validate=[[PYTHON, "-c", script, "{staged}", str(host.etc)]],
    )
    assert (host.etc / "x").read_text() == "new"
    assert os.listdir(host.places.work) == ["lock"]


def refusing(text: str) -> list[list[str]]:
    return [[PYTHON, "-c", "import sys; sys.stderr.write(sys.argv[1]); sys.exit(3)", text]]


@pytest.mark.parametrize("check", [False, True])
def test_a_refusal_replaces_nothing_and_says_why(host: Host, check: bool) -> None:
    (host.etc / "x").write_text("old")
    before = host.snapshot()
    with pytest.raises(ct.ConfigTreeError) as error:
        host.converge({"x": "new", "d/y": "1"}, check=check, validate=refusing("unknown directive in {staged}/etc/x:3"))
    assert "ended with 3): unknown directive in {staged}/etc/x:3" in str(error.value)
    assert error.value.facts["would_change"] == [str(host.etc / "x"), str(host.etc / "d/y")]
    assert host.snapshot() == before
    assert os.listdir(host.places.work) == ["lock"]


def test_a_refusal_shows_no_secret(host: Host) -> None:
    with pytest.raises(ct.ConfigTreeError) as error:
        host.converge(
            {"x": "requirepass hunter2zebra\n", "y": "port 6379 harmless-text"},
            public=("requirepass {{ password }}\n",),
            files=[{"dest": "x", "secret": True}, {"dest": "y"}],
            validate=[
                [PYTHON, "-c", "import sys; sys.exit(open(sys.argv[1]).read() + 'near harmless-text')", "{staged}" + str(host.etc / "x")]
            ],
        )
    assert "requirepass ********\nnear harmless-text" in str(error.value)
    assert "zebra" not in f"{error.value}{error.value.facts['stderr']}"


def test_both_streams_of_a_checker_are_told(host: Host) -> None:
    script = "import sys; print('the reason'); sys.stderr.write('a warning'); sys.exit(1)"
    with pytest.raises(ct.ConfigTreeError) as error:
        host.converge({"x": "1"}, validate=[[PYTHON, "-c", script]])
    assert error.value.facts["stderr"] == "the reason\na warning"


def test_only_the_end_of_much_output_is_told(host: Host) -> None:
    with pytest.raises(ct.ConfigTreeError) as error:
        host.converge({"x": "1"}, validate=refusing("a" * 5000 + "end"))
    assert error.value.facts["stderr"].endswith("end") and len(error.value.facts["stderr"]) == apply.OUTPUT_CHARACTERS


def test_a_checker_that_hangs_is_killed(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ct, "CHECKER_SECONDS", 0.3)
    with pytest.raises(ct.ConfigTreeError, match="took over"):
        host.converge({"x": "1"}, validate=[[PYTHON, "-c", "import signal; signal.pause()"]])
    assert not (host.etc / "x").exists()


def test_a_missing_checker_fails_but_not_in_check_mode(host: Host) -> None:
    with pytest.raises(ct.ConfigTreeError, match="checker no-such-checker is not on this host"):
        host.converge({"x": "1"}, validate=["no-such-checker -t"])
    assert not (host.etc / "x").exists()
    outcome = host.converge({"x": "1"}, check=True, validate=["no-such-checker -t"])
    assert outcome.plan.changed and outcome.warnings == [
        "not validated in check mode: no-such-checker is not installed yet (no-such-checker -t)"
    ]


def test_a_checker_that_cannot_be_run(host: Host) -> None:
    (host.root / "checker").write_text("no shebang")
    (host.root / "checker").chmod(0o755)
    with pytest.raises(ct.ConfigTreeError, match="Exec format error"):
        host.converge({"x": "1"}, validate=[str(host.root / "checker")])


def test_check_mode_writes_nothing(host: Host) -> None:
    (host.etc / "x").write_text("old")
    before = host.snapshot()
    outcome = host.converge({"x": "new", "d/y": "1"}, check=True, validate=["/bin/true {staged}"])
    assert len(outcome.plan.changed_files) == 2
    assert host.snapshot() == before
    assert not os.path.exists(host.places.state)


def test_check_mode_stages_files_of_owners_to_come(host: Host) -> None:
    files = [{"dest": "x", "owner": "no-such-user", "group": "no-such-group"}]
    directories = [{"path": str(host.etc / "d"), "owner": "no-such-user", "mode": "0700"}]
    script = "import os, sys; assert os.path.isfile(sys.argv[1])"
    host.converge(
        {"x": "1"}, check=True, files=files, directories=directories, validate=[[PYTHON, "-c", script, "{staged}" + str(host.etc / "x")]]
    )


# ---------------------------------------------------------------- errors midway


WISH: dict[str, Any] = {"contents": {"a": "new", "b": "new", "new/c": "new"}}


def prepare(host: Host) -> dict[str, tuple[int, int, bytes]]:
    for name in ("a", "b", "gone"):
        (host.etc / name).write_text("old")
        (host.etc / name).chmod(0o640)
    (host.etc / "d").mkdir(mode=0o700)
    WISH.update(absent=[str(host.etc / "gone")], directories=[{"path": str(host.etc / "d"), "mode": "0755"}])
    return host.snapshot()


def calls(host: Host, monkeypatch: pytest.MonkeyPatch, name: str) -> int:
    """How often a whole run calls os.<name>."""
    count = 0
    real = getattr(os, name)

    def counting(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        return real(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, counting)
        host.converge(**WISH)
    return count


@pytest.mark.parametrize("name", ["rename", "link", "open", "fsync", "mkdir", "fchmod"])
def test_an_error_at_any_call_puts_everything_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / "count").mkdir()
    host = Host(tmp_path / "count")
    prepare(host)
    total = calls(host, monkeypatch, name)
    assert total > 0
    real = getattr(os, name)
    undone = 0
    for fatal in range(1, total + 1):
        (tmp_path / f"{fatal}").mkdir()
        host = Host(tmp_path / f"{fatal}")
        before = prepare(host)
        count = 0

        def failing(*args: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == fatal:  # noqa: B023
                raise OSError(28, "No space left on device", str(args[0]))
            return real(*args, **options)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            with pytest.raises(ct.ConfigTreeError, match="No space left"):
                host.converge(**WISH)
        after = host.snapshot()
        if after["a"][2] == b"new":  # only the last step, making the renames durable, comes after the point of no return
            assert name in ("fsync", "open")
        else:
            assert after == before
            undone += 1
        host.converge(**WISH)
        assert {path: content for path, (_mode, _inode, content) in host.snapshot().items()} == {
            "a": b"new", "b": b"new", "d": b"", "new": b"", "new/c": b"new"
        }  # fmt: skip
    assert undone > 0


def test_a_file_that_cannot_be_put_back_is_named(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(host)
    real = os.rename

    def failing(source: str, target: str) -> None:
        if target.endswith("/b") or source.endswith(f"a{ct.OLD_SUFFIX}"):
            raise OSError(5, "Input/output error", source, None, target)
        real(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(ct.ConfigTreeError, match="putting back failed") as error:
        host.converge(**WISH)
    assert str(host.etc / "a") in str(error.value)


# ---------------------------------------------------------------- killed runs


@pytest.mark.parametrize("name", ["rename", "link", "fsync", "mkdir", "fchmod", "unlink"])
def test_a_run_killed_at_any_call_is_finished_by_the_next(tmp_path: Path, name: str) -> None:
    """A child process converges and dies, without any chance to clean up, before its nth call of os.<name>."""
    real = getattr(os, name)
    for fatal in range(1, 30):
        (tmp_path / f"{fatal}").mkdir()
        host = Host(tmp_path / f"{fatal}")
        prepare(host)
        child = os.fork()
        if child == 0:
            count = 0

            def dying(*args: Any, **options: Any) -> Any:
                nonlocal count
                count += 1
                if count == fatal:  # noqa: B023
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **options)

            setattr(os, name, dying)
            try:
                host.converge(**WISH, validate=["/bin/true {staged}"])
            finally:
                os._exit(0)
        _pid, status = os.waitpid(child, 0)
        torn = any(ct.LEFTOVER.fullmatch(path.name) for path in host.etc.rglob("*"))
        done = {path: content for path, (_mode, _inode, content) in host.snapshot().items()}
        outcome = host.converge(**WISH, validate=["/bin/true {staged}"])
        assert {path: content for path, (_mode, _inode, content) in host.snapshot().items()} == {
            "a": b"new", "b": b"new", "d": b"", "new": b"", "new/c": b"new"
        }  # fmt: skip
        assert mode(host.etc / "d") == 0o755
        assert os.listdir(host.places.work) == ["lock"]
        if torn and done["a"] == b"new" and f".a{ct.OLD_SUFFIX}" in done:
            assert str(host.etc / "a") in outcome.plan.changed_files, "nobody may have been told of it"
        assert not host.converge(**WISH, validate=["/bin/true {staged}"]).plan.changed
        if not os.WIFSIGNALED(status):
            assert fatal > 1
            return
    raise AssertionError("the child never got through")


def test_stale_staged_trees_go_even_when_nothing_differs(host: Host) -> None:
    host.converge({"x": "1"})
    os.makedirs(f"{host.places.work}/staged-of-a-killed-run/etc")
    assert not host.converge({"x": "1"}).plan.changed
    assert os.listdir(host.places.work) == ["lock"]


def test_the_staged_tree_of_a_running_call_is_left_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.converge({"x": "1"})
    os.makedirs(f"{host.places.work}/staged-of-a-running-call")
    with open(f"{host.places.work}/lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not host.converge({"x": "1"}).plan.changed
        assert os.path.exists(f"{host.places.work}/staged-of-a-running-call")
        monkeypatch.setattr(time, "monotonic", iter(range(0, 1000, 200)).__next__)
        with pytest.raises(ct.ConfigTreeError, match="another config_tree holds"):
            host.converge({"x": "2"})


def test_a_work_directory_of_somebody_else_is_refused(host: Host) -> None:
    Path(host.places.work).symlink_to("/tmp")
    with pytest.raises(ct.ConfigTreeError, match="is not a directory of user"):
        host.converge({"x": "1"})


def test_what_is_known_of_the_files_is_kept_once_and_privately(host: Host) -> None:
    params = {"files": [{"dest": "/etc/x", "secret": True, "units": None}], "units": ["x.service"], "validate": ["x {staged}/etc/x"]}
    apply.remember(params, host.places)
    path = Path(ct.known_path(host.places))
    assert ct.read_known(host.places)["files"] == {"/etc/x": {"secret": True, "units": ["x.service"]}}
    assert mode(path) == 0o600
    before = path.stat().st_ino
    apply.remember(params, host.places)
    assert path.stat().st_ino == before
    path.write_text("{")
    assert ct.read_known(host.places) == {}
