# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each format holds the model, in the format's own terms."""

from __future__ import annotations

import base64
import io
import json
import re
import struct
import zipfile

import pytest
from arxos_api_reference.bim import Model, assemble
from arxos_api_reference.exports import EXPORTS

EMPTY: Model = {"name": "empty", "walls": [], "rooms": []}


@pytest.fixture
def model() -> Model:
    plan = b'<svg><rect id="K\xc3\xbcche \'1\'" width="400" height="300"/><line x1="0" y1="0" x2="0" y2="900"/></svg>'
    return {"name": "Haus", **assemble(io.BytesIO(plan), ".svg", "simple")}


@pytest.mark.parametrize("kind", EXPORTS)
def test_a_model_without_anything_is_still_a_file(kind: str) -> None:
    assert EXPORTS[kind][0](EMPTY)  # type: ignore[index]


def test_geojson_has_polygons_that_close(model: Model) -> None:
    found = json.loads(EXPORTS["geojson"][0](model))
    assert found["type"] == "FeatureCollection"
    room, *walls = found["features"]
    assert room["geometry"]["coordinates"][0][0] == room["geometry"]["coordinates"][0][-1]
    assert [wall["geometry"]["type"] for wall in walls] == ["LineString"] * 5


def test_gltf_says_truly_what_its_buffer_holds(model: Model) -> None:
    found = json.loads(EXPORTS["gltf"][0](model))
    raw = base64.b64decode(found["buffers"][0]["uri"].partition("base64,")[2])
    positions, faces = found["bufferViews"]
    assert len(raw) == found["buffers"][0]["byteLength"] == positions["byteLength"] + faces["byteLength"]
    count = found["accessors"][0]["count"]
    assert count == 5 * 8 and positions["byteLength"] == count * 12
    vertices = list(struct.iter_unpack("<3f", raw[: positions["byteLength"]]))
    assert [min(axis) for axis in zip(*vertices, strict=True)] == pytest.approx(found["accessors"][0]["min"])
    assert [max(axis) for axis in zip(*vertices, strict=True)] == pytest.approx(found["accessors"][0]["max"])
    indices = [index for (index,) in struct.iter_unpack("<I", raw[positions["byteLength"] :])]
    assert len(indices) == found["accessors"][1]["count"] and max(indices) == count - 1


def test_ifc_refers_only_to_lines_before_and_hides_no_quote(model: Model) -> None:
    text = EXPORTS["ifc-lite"][0](model).decode("ascii")
    assert text.startswith("ISO-10303-21;") and text.endswith("END-ISO-10303-21;\n")
    lines = re.findall(r"^#(\d+)=(.*);$", text, re.M)
    assert [int(number) for number, _ in lines] == list(range(1, len(lines) + 1))
    for number, entity in lines:
        assert all(int(reference) < int(number) for reference in re.findall(r"#(\d+)", entity))
        assert entity.count("'") % 2 == 0
    ids = re.findall(r"IFC(?:WALL|SPACE|PROJECT|BUILDING|REL\w+)\('([^']*)'", text)
    assert all(len(found) == 22 for found in ids)
    assert (text.count("=IFCWALL("), text.count("=IFCSPACE(")) == (5, 1)
    assert "K\\X4\\000000FC\\X0\\che" in text


def test_excel_has_a_sheet_of_rooms_and_one_of_walls(model: Model) -> None:
    model["rooms"][0]["name"] = "=1+1"
    with zipfile.ZipFile(io.BytesIO(EXPORTS["excel"][0](model))) as book:
        assert {"xl/worksheets/sheet1.xml", "xl/worksheets/sheet2.xml"} <= set(book.namelist())
        assert book.read("xl/worksheets/sheet2.xml").count(b"<row ") == 6
        assert b"<f>" not in book.read("xl/worksheets/sheet1.xml"), "a name is no formula"
