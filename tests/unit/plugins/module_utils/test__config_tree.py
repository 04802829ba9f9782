# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The wish, the plan and the diff of config_tree, against real directories."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.arxos.platform.plugins.module_utils import _config_tree as ct

ME = {"owner": str(os.geteuid()), "group": str(os.getegid())}


def parse(contents: dict[str, str] | None = None, **options: Any) -> ct.Tree:
    result = ArgumentSpecValidator(ct.ARGUMENT_SPEC).validate({**ME, **options})
    assert not result.error_messages
    return ct.parse(result.validated_parameters, contents or {})


def plan(
    tmp_path: Path, contents: dict[str, str] | None = None, check: bool = False, loaded: ct.Loaded | None = None, **options: Any
) -> ct.Plan:
    places = ct.Places(str(tmp_path / "state"), str(tmp_path / "work"))
    return ct.make_plan(parse(contents, **options), places, check=check, loaded=loaded or (lambda units: {}))


def write(path: Path, text: str, mode: int = 0o644) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


# ---------------------------------------------------------------- the wish


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"files": [{"dest": "etc/x"}]}, "dest 'etc/x' is not an absolute path"),
        ({"files": [{"dest": "/etc/../x"}]}, "dest '/etc/../x' is not an absolute path"),
        ({"files": [{"dest": "/etc/x/"}]}, "dest '/etc/x/' is not an absolute path"),
        ({"files": [{"dest": "//etc/x"}]}, "dest '//etc/x' is not an absolute path"),
        ({"files": [{"dest": "/"}]}, "dest '/' is not an absolute path"),
        ({"files": [{"dest": "/x\0y"}]}, "is not an absolute path"),
        ({"files": [{"dest": None}]}, "dest '' is not an absolute path"),
        ({"files": [{"dest": "/" + "x" * 250}]}, "is too long"),
        ({"files": [{"dest": "/etc/.x.arxos-new"}]}, "ends like a temporary file"),
        ({"files": [{"dest": "/x", "mode": 420}]}, "mode 420 of /x is not a quoted octal string"),
        ({"files": [{"dest": "/x", "mode": "u=rw"}]}, "mode 'u=rw' of /x is not"),
        ({"files": [{"dest": "/x", "mode": "0888"}]}, "mode '0888' of /x is not"),
        ({"files": [{"dest": "/x", "mode": ["0644"]}]}, "mode ['0644'] of /x is not"),
        ({"files": [{"dest": "/x"}], "mode": 644}, "mode 644 of /x is not"),
        ({"files": [{"dest": "/x"}, {"dest": "/x"}]}, "/x is given twice, under files and under files"),
        ({"files": [{"dest": "/x"}], "absent": ["/x"]}, "/x is given twice, under files and under absent"),
        ({"files": [{"dest": "/x"}, {"dest": "/x/y"}]}, "/x/y lies below /x, which is given under files"),
        ({"files": [{"dest": "/x/y"}], "absent": ["/x"]}, "/x/y lies below /x, which is given under absent"),
        ({"directories": [{"path": "x"}]}, "directory 'x' is not an absolute path"),
        ({"directories": [{"path": "/x", "exclusive": ["*/y"]}]}, "exclusive pattern '*/y' of /x is not"),
        ({"directories": [{"path": "/x", "exclusive": [""]}]}, "exclusive pattern '' of /x is not"),
        ({"validate": ["x 'y"]}, "cannot be split into arguments"),
        ({"validate": [""]}, "is neither a command line nor a list"),
        ({"validate": [[]]}, "is neither a command line nor a list"),
        ({"validate": [{"a": 1}]}, "is neither a command line nor a list"),
        ({"validate": [7]}, "is neither a command line nor a list"),
        ({"units": ["nginx"]}, "'nginx' is not the full name of a unit"),
        ({"files": [{"dest": "/x", "units": ["--all"]}]}, "'--all' is not the full name of a unit"),
        ({"state_directory": "state"}, "state_directory 'state' is not an absolute path"),
    ],
)
def test_a_bad_wish_is_refused(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ct.ConfigTreeError) as error:
        parse(**options)
    assert fault in str(error.value)


def test_all_faults_are_in_one_message() -> None:
    with pytest.raises(ct.ConfigTreeError) as error:
        parse(files=[{"dest": "a", "mode": 1}, {"dest": "b"}], validate=[""])
    assert len(error.value.facts["faults"]) == 4


def test_nothing_said_is_root_and_0644() -> None:
    result = ArgumentSpecValidator(ct.ARGUMENT_SPEC).validate(
        {"files": [{"dest": "/x", "owner": None, "mode": None}], "owner": None, "mode": None}
    )
    assert ct.parse(result.validated_parameters, {}).files == (ct.File("/x", b"", "root", "root", 0o644),)


def test_commands_are_split_without_a_shell() -> None:
    tree = parse(validate=["x -t '{staged}/a b'", ["y", 1, "$(id)"]])
    assert tree.validate == (("x", "-t", "{staged}/a b"), ("y", "1", "$(id)"))


def test_what_is_packed_is_unpacked() -> None:
    contents = {"/etc/ä": "ünï\udcff\n", "/b": ""}
    packed = ct.pack(contents, ["text"])
    assert "etc" not in packed
    assert ct.unpack(packed) == (contents, ["text"])


@pytest.mark.parametrize("rendered", ["", "x", "eA==", "äö", ct.pack({}, [])[:-8]])
def test_what_was_not_packed_is_refused(rendered: str) -> None:
    with pytest.raises(ct.ConfigTreeError, match="as a task"):
        ct.unpack(rendered)


# ---------------------------------------------------------------- the plan


def test_a_new_file_and_its_parents(tmp_path: Path) -> None:
    dest = str(tmp_path / "a/b/x")
    result = plan(tmp_path, {dest: "1"}, files=[{"dest": dest}])
    assert result.changed_directories == [str(tmp_path / "a"), str(tmp_path / "a/b")]
    assert result.changed_files == [dest]
    assert result.changed


def test_nothing_differs(tmp_path: Path) -> None:
    dest = write(tmp_path / "x", "1", 0o640)
    assert not plan(tmp_path, {dest: "1"}, files=[{"dest": dest, "mode": "0640"}], directories=[{"path": str(tmp_path)}]).changed


@pytest.mark.parametrize(("content", "mode"), [("2", "0640"), ("1", "0644"), ("", "0640")])
def test_content_or_mode_differs(tmp_path: Path, content: str, mode: str) -> None:
    dest = write(tmp_path / "x", "1", 0o640)
    assert plan(tmp_path, {dest: content}, files=[{"dest": dest, "mode": mode}]).changed_files == [dest]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner_or_group_differs(tmp_path: Path) -> None:
    dest = write(tmp_path / "x", "1")
    assert plan(tmp_path, {dest: "1"}, files=[{"dest": dest, "owner": "1"}]).changed_files == [dest]
    assert plan(tmp_path, {dest: "1"}, files=[{"dest": dest, "group": "daemon"}]).changed_files == [dest]


def test_an_existing_directory_keeps_what_nothing_is_said_about(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o711)
    (tmp_path / "d").chmod(0o711)
    assert not plan(tmp_path, directories=[{"path": str(tmp_path / "d")}]).changed
    assert plan(tmp_path, directories=[{"path": str(tmp_path / "d"), "mode": "0750"}]).changed_directories == [str(tmp_path / "d")]


def test_exclusive_removes_what_matches_and_is_not_wanted(tmp_path: Path) -> None:
    kept = write(tmp_path / "d/kept.conf", "")
    doomed = write(tmp_path / "d/doomed.conf", "")
    (tmp_path / "d/link.conf").symlink_to("/nowhere")
    (tmp_path / "d/directory.conf").mkdir()
    write(tmp_path / "d/other.txt", "")
    write(tmp_path / "d/.hidden.conf", "")
    result = plan(tmp_path, {kept: ""}, files=[{"dest": kept}], directories=[{"path": str(tmp_path / "d"), "exclusive": ["*.conf"]}])
    assert result.changed_files == [doomed, str(tmp_path / "d/link.conf")]


def test_exclusive_in_a_directory_that_does_not_exist_yet(tmp_path: Path) -> None:
    result = plan(tmp_path, directories=[{"path": str(tmp_path / "d"), "exclusive": ["*"]}])
    assert (result.changed_directories, result.changed_files) == ([str(tmp_path / "d")], [])


def test_absent(tmp_path: Path) -> None:
    old = write(tmp_path / "old", "")
    (tmp_path / "link").symlink_to("old")
    absent = [old, str(tmp_path / "link"), str(tmp_path / "never"), str(tmp_path / "no/way")]
    assert plan(tmp_path, absent=absent).changed_files == absent[:2]
    assert plan(tmp_path, absent=absent).files[1].link == "old"


def test_what_is_in_the_way_is_refused_all_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    write(tmp_path / "file", "")
    paths = [str(tmp_path / name) for name in ("link", "directory", "fifo")]
    with pytest.raises(ct.ConfigTreeError) as error:
        plan(
            tmp_path,
            files=[{"dest": path} for path in paths] + [{"dest": str(tmp_path / "file/x")}],
            absent=[str(tmp_path)],
            directories=[{"path": str(tmp_path / "link2")}],
        )
    assert "lies below" in str(error.value)
    with pytest.raises(ct.ConfigTreeError) as error:
        plan(tmp_path, files=[{"dest": path} for path in paths] + [{"dest": str(tmp_path / "file/x")}], absent=["/etc"])
    assert "link is a symbolic link to /etc" in str(error.value)
    assert "directory exists and is not a regular file" in str(error.value)
    assert "file exists and is not a directory" in str(error.value)
    assert len(error.value.facts["faults"]) == 5


def test_a_link_on_the_way_is_followed_when_it_is_ours(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    dest = str(tmp_path / "link/x")
    assert plan(tmp_path, {dest: ""}, files=[{"dest": dest}]).changed_files == [dest]
    with pytest.raises(ct.ConfigTreeError, match="symbolic link"):
        plan(tmp_path, directories=[{"path": str(tmp_path / "link")}])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives links away")
def test_a_link_on_the_way_is_refused_when_it_is_another_users(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    os.lchown(tmp_path / "link", 65534, 65534)
    with pytest.raises(ct.ConfigTreeError, match="symbolic link to /etc"):
        plan(tmp_path, files=[{"dest": str(tmp_path / "link/x")}])


def test_accounts_that_do_not_exist_are_a_failure_that_says_what_to_create(tmp_path: Path) -> None:
    wish = {
        "files": [{"dest": str(tmp_path / "x"), "owner": "no-such-user"}],
        "directories": [{"path": str(tmp_path / "d"), "group": "no-such-group"}],
    }
    with pytest.raises(ct.ConfigTreeError) as error:
        plan(tmp_path, **wish)
    assert "user no-such-user does not exist: create it" in str(error.value)
    assert error.value.facts["missing"] == ["group no-such-group", "user no-such-user"]


def test_accounts_that_do_not_exist_are_a_change_in_check_mode(tmp_path: Path) -> None:
    dest = write(tmp_path / "x", "1")
    result = plan(tmp_path, {dest: "1"}, check=True, files=[{"dest": dest, "owner": "no-such-user"}])
    assert result.changed_files == [dest]
    assert "?:" in ct.make_diff(result)[0]["after"]


def test_a_file_that_its_unit_has_not_read_yet_is_changed_again(tmp_path: Path) -> None:
    dest, other = write(tmp_path / "x", "1"), write(tmp_path / "y", "1")
    os.utime(dest, (1000, 1000))
    files = [{"dest": dest}, {"dest": other, "units": []}]

    def seen(times: dict[str, float]) -> ct.Plan:
        return plan(
            tmp_path,
            {dest: "1", other: "1"},
            loaded=lambda units: {unit: times[unit] for unit in units if unit in times},
            files=files,
            units=["x.service"],
        )

    assert seen({"x.service": 999.0}).changed_files == [dest]
    assert not seen({"x.service": 999.0}).differs
    assert not seen({"x.service": 1001.0}).changed
    assert not seen({}).changed
    assert "x.service" in ct.make_diff(seen({"x.service": 999.0}))[0]["before"]


def test_a_removal_that_its_unit_has_not_noticed_yet_is_changed_again(tmp_path: Path) -> None:
    write(tmp_path / f"state/previous{tmp_path}/d/gone.conf", "")
    write(tmp_path / f"state/previous{tmp_path}/old", "")
    wish: dict[str, Any] = {
        "directories": [{"path": str(tmp_path / "d"), "exclusive": ["*.conf"]}],
        "absent": [str(tmp_path / "old")],
        "units": ["x.service"],
    }
    (tmp_path / "d").mkdir(mode=0o755)
    assert plan(tmp_path, loaded=lambda units: {"x.service": 1.0}, **wish).changed_files == [
        str(tmp_path / "old"),
        str(tmp_path / "d/gone.conf"),
    ]
    assert not plan(tmp_path, loaded=lambda units: {"x.service": 9e9}, **wish).changed


def test_the_target_of_a_temporary_file() -> None:
    assert len(ct.NEW_SUFFIX) == len(ct.OLD_SUFFIX)
    for path in ("/etc/hosts", "/hosts", "/etc/.x.arxos"):
        assert [ct.target(name) for name in (path, ct.beside(path, ct.NEW_SUFFIX), ct.beside(path, ct.OLD_SUFFIX))] == [path] * 3


def test_units_that_systemd_does_not_know() -> None:
    assert ct.loaded_units(["no-such-unit-of-arxos.service"]) == {}


# ---------------------------------------------------------------- the diff


def test_diff_of_content_and_attributes(tmp_path: Path) -> None:
    dest, new = write(tmp_path / "x", "1\n", 0o600), str(tmp_path / "new")
    diff = ct.make_diff(plan(tmp_path, {dest: "2\n", new: "3\n"}, files=[{"dest": dest}, {"dest": new}]))
    assert [(entry["before"], entry["after"]) for entry in diff] == [("1\n", "2\n"), (diff[1]["before"], diff[1]["after"]), ("", "3\n")]
    assert "0600" in diff[1]["before"] and "0644" in diff[1]["after"]
    assert diff[2]["before_header"] == f"{new} (absent)"
    assert all(set(entry) == {"before_header", "after_header", "before", "after"} for entry in diff)


def test_diff_of_a_secret_says_only_that_it_differs(tmp_path: Path) -> None:
    dest, new = write(tmp_path / "x", "old-secret"), str(tmp_path / "new")
    same = write(tmp_path / "same", "other-secret", 0o600)
    files = [{"dest": path, "secret": True} for path in (dest, new, same)]
    diff = ct.make_diff(plan(tmp_path, {dest: "new-secret", new: "new-secret", same: "other-secret"}, files=files))
    assert "-secret" not in str(diff)
    assert diff[0]["after"] == "(secret content, it differs)\n"
    assert [entry["before_header"] for entry in diff] == [dest, f"{new} (absent)", f"{same} (attributes)"]


def test_diff_of_a_file_that_goes_shows_no_content(tmp_path: Path) -> None:
    diff = ct.make_diff(plan(tmp_path, absent=[write(tmp_path / "x", "perhaps-secret")]))
    assert "perhaps-secret" not in str(diff)
    assert diff[0]["after"] == ""


def test_diff_of_what_is_not_text_or_is_huge(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    big = write(tmp_path / "big", "x" * 200_000)
    diff = ct.make_diff(plan(tmp_path, {str(tmp_path / "x"): "a\0b", big: ""}, files=[{"dest": str(tmp_path / "x")}, {"dest": big}]))
    assert diff[0]["before"] == "(2 bytes that are not text)\n"
    assert diff[0]["after"] == "(3 bytes that are not text)\n"
    assert diff[1]["before"] == "(200000 bytes, too many to show)\n"


# ---------------------------------------------------------------- what checkers say of secrets


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        ("line 3: unknown directive in /etc/x", "line 3: unknown directive in /etc/x"),
        ("bad value 'hunter2!Zebra'", "bad value '********'"),
        ("bad value 'hunter2!Z...'", "bad value '********...'"),
        ("near nter2!Zeb here", "near ******** here"),
        ("near hunter2\\!Zebra", "near ********\\********"),
        ("pin 9x7 refused", "pin ******** refused"),
        ("requirepass takes one argument", "requirepass takes one argument"),
    ],
)
def test_scrub(output: str, shown: str) -> None:
    assert ct.scrub(output, ["requirepass hunter2!Zebra\npin 9x7\n"], ["requirepass {{ password }}\npin {{ pin }}"]) == shown


def test_scrub_without_secrets_changes_nothing() -> None:
    assert ct.scrub("anything at all", [], []) == "anything at all"


def called(*files: str, checks: tuple[str, ...] = (), units: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    """Parameters of one call, as remembered() gets them."""
    given = [{"dest": dest, "secret": False, "units": None, **more} for dest in files]
    return {"files": given, "validate": list(checks), "units": list(units)}


def test_what_judges_and_reads_the_files_of_a_host_is_remembered() -> None:
    known = ct.remembered({}, called("/etc/x/x.conf", "/etc/x/y.conf", checks=("x -t {staged}/etc/x/x.conf",), units=("x.service",)))
    assert known == {
        "files": {
            "/etc/x/x.conf": {"secret": False, "units": ["x.service"]},
            "/etc/x/y.conf": {"secret": False, "units": ["x.service"]},
        },
        "checks": [{"command": ["x", "-t", "{staged}/etc/x/x.conf"], "files": ["/etc/x/x.conf", "/etc/x/y.conf"]}],
    }
    assert ct.remembered(known, called("/etc/x/x.conf", checks=("x -t {staged}/etc/x/x.conf",), units=("x.service",))) == known
    secret = ct.remembered(known, called("/etc/x/y.conf", secret=True, units=()))
    assert secret["files"]["/etc/x/y.conf"] == {"secret": True}


def test_a_check_that_a_role_does_not_bring_any_more_is_forgotten_and_one_of_other_files_is_not() -> None:
    both = ("a -t {staged}/etc/a", "b -t {staged}/etc/b")
    known = ct.remembered({}, called("/etc/a", "/etc/b", checks=both))
    part = ct.remembered(known, called("/etc/b", checks=both[1:]))  # a run of one tag
    assert [check["command"][0] for check in part["checks"]] == ["a", "b"]
    other = ct.remembered(known, called("/etc/a", "/etc/b", checks=("a -T {staged}/etc/a", both[1])))
    assert [check["command"][:2] for check in other["checks"]] == [["a", "-T"], ["b", "-t"]]


@pytest.mark.parametrize(
    ("command", "named"),
    [
        (["x", "-c", "{staged}/etc/x/x.conf"], {"/etc/x/x.conf"}),
        (["sh", "-c", "for file in {staged}/etc/x/*.conf; do x $file; done"], {"/etc/x/x.conf"}),
        (["x", "{staged}/etc/x"], {"/etc/x/x.conf", "/etc/x/y"}),
        (["x", "{staged}"], {"/etc/x/x.conf", "/etc/x/y", "/etc/z"}),
        (["x"], {"/etc/x/x.conf", "/etc/x/y", "/etc/z"}),
    ],
)
def test_a_check_names_what_it_judges(command: list[str], named: set[str]) -> None:
    assert ct.subjects({"command": command, "files": ["/etc/x/x.conf", "/etc/x/y", "/etc/z"]}) == named
