# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges uploads by their content, before the application sees them.

NGINX has written the body of a request to a file and asks here, without the body: the header X-Edge-File names the file. What is good is answered with
X-Accel-Redirect, so that NGINX goes on with the request; what is not gets the answer for the client. Each request has a process of its own with limits
of its own, and one that dies refuses. Nothing that a client sent is logged.
"""

from __future__ import annotations

import http.server
import json
import mmap
import os
import re
import resource
import signal
import socket
import socketserver
import threading
from typing import Any, NoReturn, Union
from xml.parsers import expat

import ijson

FILE_BYTES = int(os.environ.get("FILE_BYTES", "52428800"))
PROCESSES = int(os.environ.get("PROCESSES", "4"))
CPU_SECONDS = int(os.environ.get("CPU_SECONDS", "20"))
MEMORY_BYTES = int(os.environ.get("MEMORY_MB", "512")) * 1024 * 1024
BODIES = "/var/lib/nginx/body/"
NEXT = "@application"

Bytes = Union[bytes, mmap.mmap]
CHUNK = 256 * 1024
DEPTH = 200
FIELDS = 16
# A part's headers, all of them on one line each, and a name without a path.
BOUNDARY = re.compile(r"multipart/form-data\s*;\s*boundary=(\"?)([A-Za-z0-9'()+_,./:=?-]{1,70})\1\s*", re.I)
DISPOSITION = re.compile(r'form-data; *name="([A-Za-z0-9_.-]{1,64})"(?:; *filename="([^"\\/\x00-\x1f\x7f]{1,255})")?', re.I)
PLAIN = re.compile(rb"[\w .,:+-]{0,255}")
ENCODINGS = {"utf-8", "us-ascii", "ascii", "iso-8859-1", "utf-16", None}

SVG = "http://www.w3.org/2000/svg"
FOREIGN = {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2001/XInclude", "http://www.w3.org/1999/XSL/Transform"}
# The last of these change another element's attribute when the drawing is shown; their values are looked at like any other's.
ACTIVE = {
    "script",
    "foreignobject",
    "iframe",
    "frame",
    "embed",
    "object",
    "applet",
    "handler",
    "listener",
    "base",
    "meta",
    "link",
    "audio",
    "video",
}
SCHEME = re.compile(r"(?:^|[;,])(?:javascript|vbscript|livescript|data:(?!image/(?:png|jpeg|gif|webp)[;,]))")
RUNS = re.compile(
    r"javascript:|vbscript:|expression\(|-moz-binding|behaviou?r:|@import|@charset|image-set\(|(?<![a-z-])src\(|url\(['\"]?(?!#|data:image/(?:png|jpeg|gif|webp)[;,])"
)
FETCHES = re.compile(r"url\(|image-set\(|src\(")
BASE = "http://www.w3.org/XML/1998/namespace base"
# Of namespaces that are not SVG's; of that, all but links do.
FETCHED = {
    "image",
    "use",
    "feimage",
    "pattern",
    "lineargradient",
    "radialgradient",
    "textpath",
    "tref",
    "mpath",
    "cursor",
    "filter",
    "font-face-uri",
}
ANIMATES = {"set", "animate", "animatecolor", "animatemotion", "animatetransform"}
INSIDE = re.compile(r"(?:#|data:image/(?:png|jpeg|gif|webp)[;,]|$)")


class Refused(Exception):
    """Why an upload is refused: HTTP status and one sentence for the client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def look_at_xml(stream: Part, svg: bool) -> None:
    """Raises Refused for what is no well-formed XML (or, where it has to be, no SVG), declares entities, fetches anything or may run code."""
    parser = expat.ParserCreate(namespace_separator=" ")
    depth = 0
    style: list[str] | None = None  # all text of the outermost one, also between elements in it
    opened = 0
    first = True

    def refuse(reason: str) -> NoReturn:
        raise Refused(422, reason)

    def declaration(version: str, encoding: str | None, standalone: int) -> None:
        if (encoding and encoding.lower()) not in ENCODINGS:
            refuse("The XML is in an encoding that is not accepted.")

    def doctype(name: str, system: str | None, public: str | None, internal: int) -> None:
        if (
            internal
            or (system or public)
            and not ((public or "").startswith("-//W3C//DTD SVG ") and re.match(r"https?://www\.w3\.org/", system or ""))
        ):
            refuse("The XML has a document type of its own.")

    def instruction(target: str, data: str) -> None:
        if target.lower().startswith("xml-stylesheet"):
            refuse("The XML names a style sheet.")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, first, style, opened
        depth += 1
        if depth > DEPTH:
            refuse("The XML is nested too deep.")
        space, _separator, local = name.rpartition(" ")
        local = local.rpartition(":")[2].lower()
        if first and svg and (local != "svg" or space not in ("", SVG)):
            raise Refused(415, "The file is not what its name says: it is no SVG.")
        first = False
        if local in ACTIVE and (local != "object" or space in ("", SVG)) or space in FOREIGN:
            refuse("The XML has an element that may run code.")
        plain = {key.rpartition(" ")[2].rpartition(":")[2].lower(): value for key, value in attributes.items()}
        goes = local in ANIMATES and "".join(plain.get("attributename", "").split()).rpartition(":")[2].lower() in ("href", "src")
        if BASE in attributes:
            refuse("The XML says where what it names is to be found.")
        drawing = space == SVG or svg and not space
        for key, value in attributes.items():
            key = key.rpartition(" ")[2].rpartition(":")[2].lower()
            packed = "".join(value.split()).lower()
            if key.startswith("on") or SCHEME.search(packed):
                refuse("The XML has an attribute that may run code.")
            css = "".join(unescaped(value).split()).lower() if "\\" in value else packed
            if key == "style" and runs(value) or FETCHES.search(css) and RUNS.search(css):
                refuse("The XML has a style that fetches or runs something.")
            if goes and key in ("to", "from", "by", "values"):
                fetches = not all(part.startswith("#") for part in packed.split(";") if part)
            else:
                reads = local in FETCHED or drawing and local != "a"
                fetches = key in ("href", "src") and reads and not INSIDE.match(packed)
            if fetches:
                refuse("The XML fetches something from elsewhere.")
        if local == "style" and style is None:
            style, opened = [], depth

    def text(data: str) -> None:
        if style is not None:
            style.append(data)

    def end(name: str) -> None:
        nonlocal depth, style
        depth -= 1
        if style is not None and depth < opened:
            if runs("".join(style)):
                refuse("The XML has a style that fetches or runs something.")
            style = None

    parser.XmlDeclHandler = declaration
    parser.StartDoctypeDeclHandler = doctype
    parser.ProcessingInstructionHandler = instruction
    parser.EntityDeclHandler = lambda *_: refuse("The XML declares an entity.")
    parser.UnparsedEntityDeclHandler = lambda *_: refuse("The XML declares an entity.")
    parser.ExternalEntityRefHandler = lambda *_: refuse("The XML refers to an external entity.")
    parser.SkippedEntityHandler = lambda *_: refuse("The XML refers to an entity that it does not declare.")
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.buffer_text = True
    try:
        while piece := stream.read(CHUNK):
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise Refused(415, "The file is no well-formed XML.") from error


def unescaped(style: str) -> str:
    """A style sheet's text without its escapes."""
    return re.sub(r"\\([0-9a-fA-F]{1,6})\s?", lambda found: chr(min(int(found[1], 16), 0x10FFFF)), style).replace("\\", "")


def runs(style: str) -> bool:
    """Whether a style sheet fetches or runs something. Escapes and comments, which would hide that, are undone first; what looks like a comment may as well
    stand in strings, so that it is judged with them as well. A comment that is never closed goes to the end: a search for the end of each one that is
    opened would take a time that grows with the square of their number.
    """
    texts = (style, re.sub(r"/\*.*?(?:\*/|\Z)", "", style, flags=re.S))
    return any(RUNS.search("".join(unescaped(text).split()).lower()) for text in texts)


class Part:
    """Some bytes of a file, as a file."""

    def __init__(self, data: Bytes, start: int, size: int) -> None:
        self.data, self.at, self.last = data, start, start + size

    def read(self, size: int = -1) -> bytes:
        size = self.last - self.at if size < 0 else min(size, self.last - self.at)
        self.at += size
        return self.data[self.at - size : self.at]


def look_at_json(stream: Part) -> None:
    """Raises Refused for what is no well-formed JSON, or nested too deep."""
    depth = 0
    try:
        for event, _value in ijson.basic_parse(stream, use_float=True, buf_size=CHUNK):
            if event in ("start_map", "start_array"):
                depth += 1
                if depth > DEPTH:
                    raise Refused(422, "The JSON is nested too deep.")
            elif event in ("end_map", "end_array"):
                depth -= 1
    except (ijson.JSONError, ValueError) as error:
        raise Refused(415, "The file is no well-formed JSON.") from error


def look_at_file(data: Bytes, start: int, size: int, name: str) -> None:
    """Judges one file, which lies in `data`. `name` is what the client calls it, or empty for a body that is the file."""
    if size > FILE_BYTES:
        raise Refused(413, f"The file is larger than {FILE_BYTES // 1024 // 1024} MB.")
    suffix = os.path.splitext(name)[1].lower()
    if name and suffix not in (".svg", ".xml", ".json"):
        raise Refused(415, "Only .svg, .xml and .json files are accepted.")
    head = data[start : start + min(size, 4096)].lstrip(b"\xef\xbb\xbf \t\r\n")
    xml = head[:1] == b"<" or head[:2] in (b"\xff\xfe", b"\xfe\xff") or head[1:2] == b"<" or head[1:2] == b"\x00"
    if suffix == ".json" and xml or suffix in (".svg", ".xml") and not xml:
        raise Refused(415, "The file is not what its name says.")
    if xml:
        look_at_xml(Part(data, start, size), svg=suffix == ".svg")
    else:
        look_at_json(Part(data, start, size))


def look_at_parts(data: Bytes, boundary: bytes) -> None:
    """Judges a multipart body: one file and a few short fields, written in the one way that every parser reads alike."""
    line = b"--" + boundary
    if data[: len(line) + 2] != line + b"\r\n":
        raise Refused(400, "The multipart body does not begin with its boundary.")
    at, names, files = len(line) + 2, [], 0
    while True:
        head_end = data.find(b"\r\n\r\n", at, at + 4096)
        following = data.find(b"\r\n" + line, at)
        if head_end < 0 or following < head_end + 4:
            raise Refused(400, "A part of the multipart body is not complete.")
        name, file_name = part_names(data[at:head_end])
        start, size = head_end + 4, following - head_end - 4
        names.append(name)
        if file_name is None:
            if not PLAIN.fullmatch(data[start : start + min(size, 256)]):
                raise Refused(422, "A form field holds more than a short word.")
        else:
            files += 1
            look_at_file(data, start, size, file_name)
        at = following + 2 + len(line)
        tail = data[at : at + 2]
        at += 2
        if tail == b"--":
            if data[at : at + 3] not in (b"", b"\r\n"):
                raise Refused(400, "Something follows the multipart body.")
            break
        if tail != b"\r\n":
            raise Refused(400, "The boundary is also part of the content.")
    if files != 1 or len(names) > FIELDS or len(set(names)) != len(names):
        raise Refused(400, "One file is expected, and each field once.")


def part_names(head: bytes) -> tuple[str, str | None]:
    """Field name and file name (or None) of a part's headers. Raises Refused for any that parsers could read in two ways."""
    names = None
    for line in head.split(b"\r\n"):
        try:
            key, colon, value = line.decode("utf-8").partition(":")
        except UnicodeDecodeError as error:
            raise Refused(400, "A part's header is not UTF-8.") from error
        key, value = key.lower(), value.strip()
        if not colon or key not in ("content-disposition", "content-type", "content-length") or any(ord(char) < 32 for char in value):
            raise Refused(400, "A part of the multipart body has a header that is not accepted.")
        if key == "content-disposition":
            found = DISPOSITION.fullmatch(value)
            if not found or names:
                raise Refused(400, "A part of the multipart body has no clear name.")
            names = found[1], found[2]
    if not names:
        raise Refused(400, "A part of the multipart body has no name.")
    if names[1] and (names[1].startswith(".") or ".." in names[1] or not names[1].isprintable()):
        raise Refused(422, "The file name is not accepted.")
    return names


def look_at_body(path: str, content_types: list[str]) -> None:
    """Raises Refused for a body that must not reach the application. A request without a body has nothing to look at."""
    if not path:
        return
    if len(content_types) != 1:
        raise Refused(400, "The request has no Content-Type, or more than one.")
    if not os.path.getsize(path):
        raise Refused(400, "The body is empty.")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if content_types[0].lower().startswith("multipart/"):
            found = BOUNDARY.fullmatch(content_types[0])
            if not found:
                raise Refused(415, "The multipart body has no clear boundary.")
            look_at_parts(data, found[2].encode())
        else:
            look_at_file(data, 0, len(data), "")


class Handler(http.server.BaseHTTPRequestHandler):
    """One question of NGINX."""

    server_version, sys_version = "upload-inspection", ""

    def answer(self) -> None:
        path = self.headers.get("X-Edge-File", "")
        try:
            if path and (not path.startswith(BODIES) or ".." in path):
                raise Refused(400, "The body is not where NGINX puts bodies.")
            if self.headers.get("Content-Encoding"):
                raise Refused(415, "The body is encoded.")
            look_at_body(path, self.headers.get_all("Content-Type", []))
        except Refused as refused:
            body = json.dumps({"detail": refused.reason}).encode()
            self.send_response(refused.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            entry = {"event": "refused", "request_id": self.headers.get("X-Request-ID"), "status": refused.status, "reason": refused.reason}
            print(json.dumps(entry), flush=True)
        else:
            self.send_response(204)
            self.send_header("X-Accel-Redirect", NEXT)
            self.end_headers()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_arguments: Any) -> None:
        """What is worth a line is written where it happens."""


class Server(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """On the socket that systemd hands over."""

    max_children = PROCESSES

    def server_bind(self) -> None:
        self.socket.close()
        self.socket = socket.socket(fileno=3)

    def server_activate(self) -> None:
        """It listens already."""

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, _address = self.socket.accept()
        connection.settimeout(60)
        return connection, ("", 0)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the child: its limits, then the answer."""
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        super().finish_request(request, client_address)


def main() -> None:
    """Serves until it is told to stop; what is being looked at then is looked at to the end."""
    server = Server("", Handler)
    # shutdown() waits for the loop, and so must not be called within it.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.1)
    server.server_close()


if __name__ == "__main__":
    main()
