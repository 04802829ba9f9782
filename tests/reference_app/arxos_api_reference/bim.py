"""From a floor plan (SVG or other XML, or JSON) to a building model of walls and rooms."""

import math
from collections.abc import Iterator
from typing import Any, BinaryIO, Literal

import ijson
from defusedxml import DefusedXmlException
from defusedxml import ElementTree as DefusedTree
from svg.path import Close, Move, parse_path

Complexity = Literal["simple", "medium", "complex"]
Point = tuple[float, float]
Model = dict[str, Any]
SUFFIXES = {".svg": "image/svg+xml", ".xml": "application/xml", ".json": "application/json"}
METRES = 0.01  # of one unit of the drawing
MAXIMUM_ELEMENTS = 20_000
_ACTIVE = {"script", "foreignObject", "iframe", "handler"}
_LINKS = ("javascript:", "vbscript:", "data:text/html")


class PlanError(Exception):
    """The content is not what its name says, or nothing that may be stored."""


def read_elements(stream: BinaryIO, suffix: str) -> Iterator[dict[str, Any]]:
    """Each element as its attributes and its `type`, piece by piece to the end of the stream. Raises PlanError."""
    try:
        if suffix != ".json":
            yield from _read_xml(stream, suffix)
            return
        for item in ijson.items(stream, "elements.item", use_float=True):
            if not isinstance(item, dict):
                raise PlanError("elements has to be a list of objects")
            yield item
    except (DefusedTree.ParseError, DefusedXmlException, ijson.JSONError, ValueError) as error:
        raise PlanError(f"this is no well-formed {suffix[1:]}: {type(error).__name__}") from error


def _read_xml(stream: BinaryIO, suffix: str) -> Iterator[dict[str, Any]]:
    outermost = True
    for event, element in DefusedTree.iterparse(stream, events=("start", "end")):
        name = element.tag.rpartition("}")[2]
        if event == "end":
            element.clear()
            continue
        if outermost and suffix == ".svg" and name != "svg":
            raise PlanError(f"the outermost element is {name[:50]}, not svg")
        outermost = False
        links = ["".join(value.split()).lower() for value in element.attrib.values()]
        if name in _ACTIVE or any(key.lower().startswith("on") for key in element.attrib) or any(link.startswith(_LINKS) for link in links):
            raise PlanError(f"an element {name[:50]} may run code")
        yield {**element.attrib, "type": name}


def assemble(stream: BinaryIO, suffix: str, complexity: Complexity) -> Model:
    """simple: walls and rooms as drawn; medium: walls that rooms share are one; complex: and which rooms are neighbours. Raises PlanError."""
    lines: list[tuple[Point, Point, str]] = []  # start, end, room or ""
    rooms: list[Model] = []
    for number, element in enumerate(read_elements(stream, suffix)):
        if number >= MAXIMUM_ELEMENTS:
            raise PlanError(f"more than {MAXIMUM_ELEMENTS} elements")
        try:
            outlines = _outlines(element)
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise PlanError(f"the {element.get('type')} number {number} cannot be drawn") from error
        for points in outlines:
            room = ""
            if len(points) > 3 and points[0] == points[-1]:
                room = f"R{len(rooms) + 1}"
                area = abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in zip(points, points[1:], strict=False))) / 2
                rooms.append({"id": room, "name": str(element.get("id") or room)[:100], "points": points[:-1], "area": round(area, 3)})
            lines += [(start, end, room) for start, end in zip(points, points[1:], strict=False) if start != end]
    sides: dict[tuple[Point, Point], set[str]] = {}
    for start, end, room in lines:
        sides.setdefault((min(start, end), max(start, end)), set()).add(room)
    ends = [(start, end) for start, end, _ in lines] if complexity == "simple" else list(sides)
    walls = [
        {"id": f"W{number}", "start": start, "end": end, "height": 2.8, "thickness": 0.2} for number, (start, end) in enumerate(ends, 1)
    ]
    neighbours = sorted({(a, b) for side in sides.values() for a in side for b in side if "" < a < b})
    return {"complexity": complexity, "walls": walls, "rooms": rooms, **({"neighbours": neighbours} if complexity == "complex" else {})}


def _outlines(element: dict[str, Any]) -> list[list[Point]]:
    """The lines that a rect, line or path draws, in metres; one that closes ends where it began. A curve is the straight line to its end."""

    def point(x: Any, y: Any) -> Point:
        place = round(float(x) * METRES, 4), round(float(y) * METRES, 4)
        if not all(map(math.isfinite, place)):
            raise ValueError("a coordinate is not finite")
        return place

    def numbers(*names: str) -> list[float]:
        return [float(str(element.get(name) or 0).removesuffix("px")) for name in names]

    if element.get("type") == "rect":
        x, y, width, height = numbers("x", "y", "width", "height")
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
        return [[point(*corner) for corner in corners]] if width > 0 and height > 0 else []
    if element.get("type") == "line":
        x1, y1, x2, y2 = numbers("x1", "y1", "x2", "y2")
        return [[point(x1, y1), point(x2, y2)]]
    drawing = str(element.get("d", "")).strip() if element.get("type") == "path" else ""
    if drawing and drawing[0] not in "Mm":
        raise ValueError("a path begins somewhere")
    outlines: list[list[Point]] = []
    for segment in parse_path(drawing):
        end = point(segment.end.real, segment.end.imag)
        if isinstance(segment, Move):
            outlines.append([end])
        elif not isinstance(segment, Close) or outlines[-1][-1] != end:
            outlines[-1].append(end)
    return outlines
