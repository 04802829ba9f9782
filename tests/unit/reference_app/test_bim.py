# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Floor plans in, models out, and what is refused on the way."""

from __future__ import annotations

import io
from typing import Any

import pytest
from arxos_api_reference.bim import Complexity, Model, PlanError, assemble, read_elements


def svg(inner: str) -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg">{inner}</svg>'.encode()


def model(inner: str, complexity: Complexity = "simple") -> Model:
    return assemble(io.BytesIO(svg(inner)), ".svg", complexity)


def ends(found: Model) -> list[tuple[Any, Any]]:
    return [(wall["start"], wall["end"]) for wall in found["walls"]]


@pytest.mark.parametrize(
    ("inner", "walls", "areas"),
    [
        ('<rect x="100" y="0" width="400" height="300"/>', 4, [12.0]),
        ('<rect width="400px" height="300px"/>', 4, [12.0]),
        ('<rect width="0" height="300"/>', 0, []),
        ('<line x1="0" y1="0" x2="100" y2="0"/>', 1, []),
        ('<line x1="5" y1="5" x2="5" y2="5"/>', 0, []),
        ('<path d="M 0 0 L 400 0 L 400 300 L 0 300 Z"/>', 4, [12.0]),
        ('<path d="m 10,10 h 400 v 300 h -400 z"/>', 4, [12.0]),
        ('<path d="M0 0 100 0 100 100"/>', 2, []),
        ('<path d="M0 0 L100 0 L100 100 L0 0"/>', 3, [0.5]),
        ('<path d="M0 0h100v100z m 200 0h100v100z"/>', 6, [0.5, 0.5]),
        ('<path d="M0 0 C 10 10 20 20 100 0"/>', 1, []),
        ('<path d=""/>', 0, []),
        ('<g><rect width="100" height="100"/></g><circle r="5"/><text>x</text>', 4, [1.0]),
    ],
)
def test_what_an_element_draws(inner: str, walls: int, areas: list[float]) -> None:
    found = model(inner)
    assert len(found["walls"]) == walls
    assert [room["area"] for room in found["rooms"]] == areas


def test_lengths_are_metres() -> None:
    assert ends(model('<line x1="0" y1="50" x2="100" y2="250"/>')) == [((0.0, 0.5), (1.0, 2.5))]


TWO = '<rect id="hall" width="100" height="100"/><rect x="100" width="100" height="100"/>'


def test_complexity_decides_what_becomes_of_a_shared_wall() -> None:
    simple, medium, complex_ = (model(TWO, kind) for kind in ("simple", "medium", "complex"))
    assert [len(found["walls"]) for found in (simple, medium, complex_)] == [8, 7, 7]
    assert "neighbours" not in medium
    assert complex_["neighbours"] == [("R1", "R2")]
    assert [room["name"] for room in simple["rooms"]] == ["hall", "R2"]


def test_json_plans_have_the_same_elements() -> None:
    plan = b'{"name": "x", "elements": [{"type": "rect", "width": 400, "height": 300}, {"type": "line", "x2": 10}]}'
    found = assemble(io.BytesIO(plan), ".json", "simple")
    assert (len(found["walls"]), found["rooms"][0]["area"]) == (5, 12.0)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".svg", b""),
        (".svg", b"x"),
        (".svg", b"<svg>"),
        (".svg", b"<html/>"),
        (".svg", svg("<script/>")),
        (".svg", svg("<foreignObject/>")),
        (".svg", svg('<rect onClick="x"/>')),
        (".svg", svg('<a href=" java&#10;script:x"/>')),
        (".svg", b'<!DOCTYPE s [<!ENTITY a "b">]><svg>&a;</svg>'),
        (".svg", b'<!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>'),
        (".xml", b"<plan"),
        (".xml", b"<plan><script/></plan>"),
        (".json", b""),
        (".json", b"[1,"),
        (".json", b'{"elements": ["rect"]}'),
        (".json", b"\xff\xfe"),
        (".json", b'{"elements": []} trailing'),
    ],
)
def test_what_is_no_plan_or_may_run_code_is_refused(suffix: str, content: bytes) -> None:
    with pytest.raises(PlanError):
        list(read_elements(io.BytesIO(content), suffix))


@pytest.mark.parametrize(
    "inner",
    [
        '<rect width="wide" height="1"/>',
        '<rect width="1e400" height="1"/>',
        '<line x1="nan"/>',
        '<path d="M 0 0 L x"/>',
        '<path d="L 0 0"/>',
        '<path d="z"/>',
        '<path d="M 0 0 A 1 1 0 0"/>',
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_place(inner: str) -> None:
    with pytest.raises(PlanError, match="number 1 cannot be drawn"):
        model(inner)


def test_a_plan_of_too_many_elements_is_not_assembled() -> None:
    with pytest.raises(PlanError, match="more than 20000"):
        model("<g/>" * 20_001)


def test_other_xml_needs_no_svg_around_it() -> None:
    assert [element["type"] for element in read_elements(io.BytesIO(b"<plan><rect/></plan>"), ".xml")] == ["plan", "rect"]
