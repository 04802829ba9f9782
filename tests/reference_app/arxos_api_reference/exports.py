"""A building model as a file of each format that the API offers. Lengths are metres."""

import base64
import io
import json
import math
import struct
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Literal

import xlsxwriter

from .bim import Model, Point

Format = Literal["ifc-lite", "gltf", "excel", "geojson"]
_BOX = [0, 2, 1, 0, 3, 2, 4, 5, 6, 4, 6, 7, 0, 1, 5, 0, 5, 4, 1, 2, 6, 1, 6, 5, 2, 3, 7, 2, 7, 6, 3, 0, 4, 3, 4, 7]
_IFC_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_$"


def _footprint(wall: Model) -> list[Point]:
    """The four corners of a wall seen from above."""
    (ax, ay), (bx, by) = wall["start"], wall["end"]
    half = wall["thickness"] / 2 / (math.dist((ax, ay), (bx, by)) or 1.0)
    dx, dy = (by - ay) * half, (ax - bx) * half
    return [(ax - dx, ay - dy), (bx - dx, by - dy), (bx + dx, by + dy), (ax + dx, ay + dy)]


def to_geojson(model: Model) -> bytes:
    def feature(thing: Model, kind: str, shape: str, coordinates: list[object], *names: str) -> Model:
        properties = {"kind": kind, **{name: thing[name] for name in names}}
        return {"type": "Feature", "id": thing["id"], "geometry": {"type": shape, "coordinates": coordinates}, "properties": properties}

    rooms = [feature(room, "room", "Polygon", [[*room["points"], room["points"][0]]], "name", "area") for room in model["rooms"]]
    walls = [feature(wall, "wall", "LineString", [wall["start"], wall["end"]], "height", "thickness") for wall in model["walls"]]
    return json.dumps({"type": "FeatureCollection", "features": rooms + walls}).encode()


def to_gltf(model: Model) -> bytes:
    """glTF 2.0 with its buffer inside: one mesh, a box a wall; y is up, as glTF wants it."""
    asset = {"asset": {"version": "2.0", "generator": "arxos-api"}}
    vertices = [(x, height, y) for wall in model["walls"] for height in (0.0, wall["height"]) for x, y in _footprint(wall)]
    indices = [number * 8 + corner for number in range(len(model["walls"])) for corner in _BOX]
    if not vertices:
        return json.dumps(asset).encode()
    positions, faces = b"".join(struct.pack("<3f", *vertex) for vertex in vertices), struct.pack(f"<{len(indices)}I", *indices)
    low, high = ([pick(axis) for axis in zip(*vertices, strict=True)] for pick in (min, max))
    uri = "data:application/octet-stream;base64," + base64.b64encode(positions + faces).decode()
    document = {
        **asset,
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "walls"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(vertices), "type": "VEC3", "min": low, "max": high},
            {"bufferView": 1, "componentType": 5125, "count": len(indices), "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": len(positions), "target": 34962},
            {"buffer": 0, "byteOffset": len(positions), "byteLength": len(faces), "target": 34963},
        ],
        "buffers": [{"byteLength": len(positions) + len(faces), "uri": uri}],
    }
    return json.dumps(document).encode()


def to_excel(model: Model) -> bytes:
    output = io.BytesIO()
    with xlsxwriter.Workbook(output, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        rooms = [[room["id"], room["name"], room["area"]] for room in model["rooms"]]
        walls = [[wall["id"], *wall["start"], *wall["end"], wall["height"], wall["thickness"]] for wall in model["walls"]]
        heads = {"Rooms": ["Room", "Name", "Area m2"], "Walls": ["Wall", "From x", "From y", "To x", "To y", "Height m", "Thickness m"]}
        for (name, head), rows in zip(heads.items(), (rooms, walls), strict=True):
            sheet = book.add_worksheet(name)
            for number, row in enumerate([head, *rows]):
                sheet.write_row(number, 0, row)
    return output.getvalue()


def to_ifc(model: Model) -> bytes:
    """IFC4 (ISO 10303-21) with walls and spaces as extruded outlines in one storey."""
    lines: list[str] = []

    def add(entity: str) -> str:
        lines.append(f"#{len(lines) + 1}={entity};")
        return f"#{len(lines)}"

    def root(kind: str, label: str, rest: str) -> str:
        number = uuid.uuid5(uuid.NAMESPACE_OID, f"{model['name']}/{kind}/{label}").int  # IFC writes it in 22 characters of its own
        identity = "".join(_IFC_DIGITS[number >> shift & 63] for shift in range(126, -1, -6))
        text = "".join(char if " " <= char < "\x7f" and char not in "'\\" else f"\\X4\\{ord(char):08X}\\X0\\" for char in label)
        return add(f"{kind}('{identity}',$,'{text}',$,{rest})")

    def shape(points: list[Point], height: float) -> str:
        corners = [add(f"IFCCARTESIANPOINT(({x:.4f},{y:.4f}))") for x, y in points]
        outline = add("IFCPOLYLINE((" + ",".join([*corners, corners[0]]) + "))")
        profile = add(f"IFCARBITRARYCLOSEDPROFILEDEF(.AREA.,$,{outline})")
        solid = add(f"IFCEXTRUDEDAREASOLID({profile},{axes},{up},{height:.4f})")
        body = add(f"IFCSHAPEREPRESENTATION({context},'Body','SweptSolid',({solid}))")
        return add(f"IFCPRODUCTDEFINITIONSHAPE($,$,({body}))")

    axes = add(f"IFCAXIS2PLACEMENT3D({add('IFCCARTESIANPOINT((0.,0.,0.))')},$,$)")
    place, up = add(f"IFCLOCALPLACEMENT($,{axes})"), add("IFCDIRECTION((0.,0.,1.))")
    context = add(f"IFCGEOMETRICREPRESENTATIONCONTEXT($,'Model',3,1.E-05,{axes},$)")
    units = add(f"IFCUNITASSIGNMENT(({add('IFCSIUNIT(*,.LENGTHUNIT.,$,.METRE.)')}))")
    project = root("IFCPROJECT", model["name"], f"$,$,$,({context}),{units}")
    building = root("IFCBUILDING", model["name"], f"$,{place},$,$,.ELEMENT.,$,$,$")
    storey = root("IFCBUILDINGSTOREY", "Storey", f"$,{place},$,$,.ELEMENT.,0.")
    walls = [root("IFCWALL", wall["id"], f"$,{place},{shape(_footprint(wall), wall['height'])},$,.STANDARD.") for wall in model["walls"]]
    rooms = [root("IFCSPACE", room["name"], f"$,{place},{shape(room['points'], 2.8)},$,.ELEMENT.,.INTERNAL.,$") for room in model["rooms"]]
    for whole, parts in ((project, [building]), (building, [storey]), (storey, rooms)):
        if parts:
            root("IFCRELAGGREGATES", "", f"{whole},({','.join(parts)})")
    if walls:
        root("IFCRELCONTAINEDINSPATIALSTRUCTURE", "", f"({','.join(walls)}),{storey}")
    made = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    header = f"FILE_DESCRIPTION((''),'2;1');\nFILE_NAME('model.ifc','{made}',(''),(''),'arxos-api','arxos-api','');\nFILE_SCHEMA(('IFC4'));"
    return f"ISO-10303-21;\nHEADER;\n{header}\nENDSEC;\nDATA;\n{chr(10).join(lines)}\nENDSEC;\nEND-ISO-10303-21;\n".encode("ascii")


EXPORTS: dict[Format, tuple[Callable[[Model], bytes], str, str]] = {  # writer, media type, suffix
    "ifc-lite": (to_ifc, "application/x-step", ".ifc"),
    "gltf": (to_gltf, "model/gltf+json", ".gltf"),
    "excel": (to_excel, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx"),
    "geojson": (to_geojson, "application/geo+json", ".geojson"),
}
