# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inspection of uploads against the corpora, without NGINX: each body lies in a file, as it does on a host."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))

from tests.corpora import replay  # noqa: E402


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("upload_inspection", ROOT / "roles/upload_inspection/files/upload_inspection.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


INSPECTION = load()
ATTACKS = [request for request in replay.attacks() if request.label.startswith("uploads: ")]
GOOD = [request for request, _says in replay.legitimate("", "", "") if request.label.startswith("uploading: ")]


def judge(request: replay.Request, folder: Path) -> None:
    body = folder / "body"
    body.write_bytes(request.body)
    types = [header.partition(": ")[2] for header in request.headers if header.startswith("Content-Type: ")]
    INSPECTION.look_at_body(str(body), types)


def upload(content: bytes, name: str = "a.svg") -> replay.Request:
    return replay.multipart("", name, content)


@pytest.mark.parametrize("request_", ATTACKS, ids=lambda request: request.label)
def test_every_attack_of_the_corpus_is_refused(request_: replay.Request, tmp_path: Path) -> None:
    with pytest.raises(INSPECTION.Refused) as refused:
        judge(request_, tmp_path)
    assert refused.value.status in (400, 413, 415, 422)


@pytest.mark.parametrize("request_", GOOD, ids=lambda request: request.label)
def test_every_good_file_of_the_corpus_passes(request_: replay.Request, tmp_path: Path) -> None:
    judge(request_, tmp_path)


@pytest.mark.parametrize(("size", "passes"), [(52428800, True), (52428801, False)])
def test_fifty_megabytes_are_those_of_the_file_alone(size: int, passes: bool, tmp_path: Path) -> None:
    request = upload(replay.PLAN + b"\n" * (size - len(replay.PLAN)))
    if passes:
        judge(request, tmp_path)
    else:
        with pytest.raises(INSPECTION.Refused) as refused:
            judge(request, tmp_path)
        assert refused.value.status == 413


def test_a_request_without_a_body_has_nothing_to_judge() -> None:
    INSPECTION.look_at_body("", [])


@pytest.mark.parametrize("types", [[], ["multipart/form-data; boundary=b", "application/json"]])
def test_a_body_has_exactly_one_type(types: list[str], tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(replay.PLAN)
    with pytest.raises(INSPECTION.Refused):
        INSPECTION.look_at_body(str(body), types)


def test_short_fields_may_stand_beside_the_file(tmp_path: Path) -> None:
    request = upload(replay.PLAN)
    boundary = request.body[: request.body.index(b"\r\n")]
    field = boundary + b'\r\nContent-Disposition: form-data; name="floor"\r\n\r\n2nd, north\r\n'
    request.body = field + request.body
    judge(request, tmp_path)
    request.body = field + request.body
    with pytest.raises(INSPECTION.Refused, match="each field once"):
        judge(request, tmp_path)


@pytest.mark.parametrize("text", [b"/*a" * 200_000, b"\\75 rl" * 100_000, b"url(#a)" * 100_000], ids=["comments", "escapes", "fetches"])
@pytest.mark.parametrize(("first", "last"), [(b"<style>", b"</style>"), (b"<rect style='", b"'/>"), (b"<rect fill='", b"'/>")])
def test_what_a_style_costs_grows_with_its_size(text: bytes, first: bytes, last: bytes, tmp_path: Path) -> None:
    def seconds(part: bytes) -> float:
        began = time.process_time()
        judge(upload(b"<svg xmlns='http://www.w3.org/2000/svg'>" + first + part + last + b"</svg>"), tmp_path)
        return time.process_time() - began

    # With the square it would be a hundred times as long, and minutes.
    assert seconds(text) < 30 * max(seconds(text[: len(text) // 10]), 0.05)


@pytest.mark.parametrize("depth", [200, 201])
@pytest.mark.parametrize(("name", "first", "last"), [("a.xml", b"<g>", b"</g>"), ("a.json", b"[", b"]")])
def test_depth_is_bounded(depth: int, name: str, first: bytes, last: bytes, tmp_path: Path) -> None:
    request = upload(first * depth + last * depth, name)
    if depth <= 200:
        judge(request, tmp_path)
    else:
        with pytest.raises(INSPECTION.Refused, match="nested too deep"):
            judge(request, tmp_path)
