# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the corpora, and sends them to an edge: python -m tests.corpora.replay attacks|legitimate..."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import re
import socket
import ssl
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from passlib.totp import TOTP

CORPORA = Path(__file__).resolve().parent
INVENTORY = CORPORA.parents[1] / "inventories/lab/group_vars/all"
SYMBOL = "/api/v1/symbols"
SOME = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
UPLOAD = "/api/v1/svg/upload"
PLAN = b"<svg xmlns='http://www.w3.org/2000/svg'><rect id='hall' x='0' y='0' width='400' height='300'/><line x1='0' y1='0' x2='9' y2='0'/></svg>"
WORDS = "The walls are 24 cm thick and the doors 90 cm wide, Türen öffnen nach außen; see plan no. 3 (second floor). "


@dataclass
class Request:
    """What goes over the wire, and where it comes from."""

    label: str
    line: str
    headers: list[str] = field(default_factory=list)
    body: bytes = b""

    def wire(self, host: str) -> bytes:
        """Host, Content-Length and Connection are added where none is given."""
        headers = [header.replace("{host}", host) for header in self.headers]
        names = {header.partition(":")[0].strip().lower() for header in headers}
        if "host" not in names:
            headers.insert(0, f"Host: {host}")
        if self.body and not names & {"content-length", "transfer-encoding"}:
            headers.append(f"Content-Length: {len(self.body)}")
        headers.append("Connection: close")
        return "\r\n".join([self.line, *headers, "", ""]).encode() + self.body


@dataclass
class Answer:
    """All that came back on the connection; status 0 where nothing did."""

    status: int
    text: bytes

    @property
    def reached(self) -> bool:
        """Whether the application answered."""
        return b"\r\nx-request-id:" in self.text.lower()

    def json(self) -> Any:
        return json.loads(self.text.partition(b"\r\n\r\n")[2])


class Edge:
    """An edge at an address, and who asks it."""

    def __init__(self, address: str, domain: str, ca: str) -> None:
        self.address, self.domain = address, domain
        self.context = ssl.create_default_context(cadata=ca)

    def send(self, request: Request, timeout: float = 60) -> Answer:
        """One request on a connection of its own. A connection that is cut is an answer: none."""
        got = b""
        with contextlib.suppress(ConnectionError, ssl.SSLEOFError, BrokenPipeError):
            connection = socket.create_connection((self.address, 443), timeout=timeout)
            with self.context.wrap_socket(connection, server_hostname=self.domain) as tls:
                with contextlib.suppress(ConnectionError, ssl.SSLEOFError):  # refused before all of it was sent
                    tls.sendall(request.wire(self.domain))
                while piece := tls.recv(65536):
                    got += piece
        first = got.split(b" ", 2)
        return Answer(int(first[1]) if len(first) > 1 and first[1].isdigit() else 0, got)

    def send_all(self, requests: list[Request], workers: int = 4) -> list[tuple[Request, Answer]]:
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            return list(zip(requests, pool.map(self.send, requests), strict=True))


def post(label: str, path: str, content: Any, method: str = "POST", content_type: str = "application/json") -> Request:
    body = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
    return Request(label, f"{method} {path} HTTP/1.1", [f"Content-Type: {content_type}", "User-Agent: python-httpx/0.27.0"], body)


def multipart(label: str, name: str, content: bytes, content_type: str = "image/svg+xml") -> Request:
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: {content_type}\r\n\r\n'
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return post(label, UPLOAD, body, content_type=f"multipart/form-data; boundary={boundary}")


def read(folder: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of its file, and each entry of the files of a corpus."""
    for path in sorted((CORPORA / folder).glob("*.yml")):
        for entry in yaml.safe_load(path.read_text()):
            yield path.stem, entry


def attack(kind: str, entry: dict[str, Any]) -> Request:
    """The request of one entry of the attacks."""
    label = f"{kind}: {json.dumps(entry, ensure_ascii=False)[:200]}"
    pad = entry.get("pad", {})
    padding = pad.get("with", "") * (pad.get("to", 0) // max(len(pad.get("with", "")), 1))
    if "line" in entry:
        headers = [*entry.get("headers", []), *(["X-Pad: " + "x" * entry["pad_header"]] if "pad_header" in entry else [])]
        return Request(label, entry["line"], headers, (entry.get("body", "") + padding).encode())
    if kind == "uploads":
        content = (entry.get("file", "") + padding).encode(entry.get("utf", "utf-8"))
        if "repeat" in entry:
            what, size = entry["repeat"]["what"].encode(), entry["repeat"]["bytes"]
            content = PLAN + (what * (size // len(what) + 1))[: size - len(PLAN)]
        if "as" in entry:
            request = post(label, UPLOAD, content, content_type=entry["as"])
            request.headers += [] if content else ["Content-Length: 0"]
            return request
        return multipart(label, entry["name"], content, entry.get("type", "image/svg+xml"))
    at, sent = entry["at"], entry["send"]
    if at == "path":
        return Request(label, f"GET {sent} HTTP/1.1")
    if at in ("agent", "referer", "cookie"):
        name = {"agent": "User-Agent", "referer": "Referer", "cookie": "Cookie"}[at]
        return Request(label, f"GET {SYMBOL} HTTP/1.1", [f"{name}: {'a=' if at == 'cookie' else ''}{sent}"])
    if at in ("query", "delete"):
        # What is written encoded already is sent as it is written.
        value = sent if re.search("%[0-9A-Fa-f]{2}", sent) and " " not in sent else quote(sent, safe="")
        return Request(label, f"GET {SYMBOL}?query={value} HTTP/1.1" if at == "query" else f"DELETE {SYMBOL}/{value} HTTP/1.1")
    method, path, content = {
        "name": ("POST", SYMBOL, {"name": sent, "definition": {"width": 0.9}}),
        "nested": ("POST", SYMBOL, {"name": "door", "definition": {"parts": [{"label": "frame"}, {"label": sent}]}}),
        "key": ("POST", SYMBOL, {"name": "door", "definition": {sent: 1}}),
        "put": ("PUT", f"{SYMBOL}/{SOME}", {"name": sent, "definition": {}}),
        "patch": ("PATCH", f"{SYMBOL}/{SOME}", {"name": sent}),
        "login": ("POST", "/api/v1/auth/login", {"username": sent, "password": "x", "otp": "123456"}),
        "audit": ("POST", "/api/v1/security/audit", {"event": "note", "details": {"note": sent}}),
    }[at]
    return post(label, path, content, method)


def attacks() -> list[Request]:
    return [attack(kind, entry) for kind, entry in read("attacks")]


def legitimate(token: str, building: str, symbol: str) -> list[tuple[Request, int]]:
    """Requests, and the status with which the application answers each."""
    known = {"{building}": building, "{symbol}": symbol, "{run}": uuid.uuid4().hex[:8]}

    def fill(text: str) -> str:
        for name, value in known.items():
            text = text.replace(name, value)
        return text

    found = []
    for kind, entry in read("legitimate"):
        label = f"{kind}: {json.dumps(entry, ensure_ascii=False)[:200]}"
        if "upload" in entry:
            parts = entry["file"] if isinstance(entry["file"], list) else [entry["file"], "", ""]
            first, middle, last = (part.encode(entry.get("utf", "utf-8")) for part in parts)
            room = entry.get("bytes", 0) - len(first) - len(last)
            content = first + middle * (room // max(len(middle), 1)) + last if room > 0 else first
            request = multipart(
                label, entry["upload"], content + b" " * (entry.get("bytes", 0) - len(content)), entry.get("type", "image/svg+xml")
            )
        else:
            method, path = fill(entry["call"]).split(" ", 1)
            content = json.loads(fill(json.dumps(entry["body"]))) if "body" in entry else None
            if "fill" in entry:
                long = {key: fill(value) if isinstance(value, str) else value for key, value in entry["fill"].items()}
                if "text" in long:
                    content = {"text": ("QUJD" * long["text"])[: long["text"]]}
                elif "numbers" in long:
                    points = [[index * 0.37, index * 1.61] for index in range(long["numbers"] // 2)]
                    content = {"name": long["name"], "definition": {"points": points}}
                else:
                    content = {"name": long["name"], "definition": {"text": (WORDS * long["letters"])[: long["letters"]]}}
            if content is None:
                request = Request(label, f"{method} {path} HTTP/1.1", ["User-Agent: python-httpx/0.27.0"])
            else:
                request = post(label, path, content, method, entry.get("type", "application/json"))
        for name, value in entry.get("headers", {}).items():
            request.headers = [header for header in request.headers if not header.lower().startswith(f"{name.lower()}:")] + [
                f"{name}: {value}"
            ]
        if entry.get("user") != "nobody":
            request.headers.append(f"Authorization: Bearer {token}")
        found.append((request, entry.get("says", 201 if "upload" in entry else 200)))
    return found


def log_in(edge: Edge) -> str:
    """An administrator's access token."""
    secrets = yaml.safe_load((INVENTORY / "vault.yml").read_text())
    code = TOTP(key=secrets["vault_arxos_api_admin_totp_secret"]).generate().token
    answer = edge.send(
        post("login", "/api/v1/auth/login", {"username": "admin", "password": secrets["vault_arxos_api_admin_password"], "otp": code})
    )
    assert answer.status == 200, answer.text
    return str(answer.json()["access_token"])


def prepare(edge: Edge) -> tuple[str, str, str]:
    """A token, a building that is assembled, and a symbol."""
    token = log_in(edge)

    def made(request: Request) -> Any:
        request.headers.append(f"Authorization: Bearer {token}")
        answer = edge.send(request)
        assert answer.status in (200, 201), answer.text
        return answer.json()

    building = made(multipart("building", "plan.svg", PLAN))["id"]
    made(post("model", "/api/v1/bim/assemble", {"building_id": building}))
    return token, building, made(post("symbol", SYMBOL, {"name": f"door {uuid.uuid4()}", "definition": {}}))["id"]


def lab() -> Edge:
    """The lab's edge, behind its virtual address."""
    prefix = os.environ.get("LAB_PREFIX", "172.30.20")
    domain = yaml.safe_load((INVENTORY / "platform.yml").read_text())["arxos_domain"]
    ca = yaml.safe_load((INVENTORY / "vault.yml").read_text())["vault_certificates_ca_certificate"]
    return Edge(os.environ.get("EDGE_ADDRESS", f"{prefix}.100"), domain, ca)


def main() -> None:
    edge = lab()
    if "attacks" in sys.argv[1:]:
        results = edge.send_all(attacks())
        through = [(request, answer) for request, answer in results if answer.reached]
        for request, answer in through:
            print(f"  let through ({answer.status}) {request.label}")
        share = 100 - 100 * len(through) / len(results)
        print(f"attacks: {len(results) - len(through)} of {len(results)} refused, {share:.2f} %")
    if "legitimate" in sys.argv[1:]:
        stub = "--stub" in sys.argv  # an application that answers anything with 200
        calls = legitimate(*(("token", SOME, SOME) if stub else prepare(edge)))
        # One after another: later calls count on what earlier ones did.
        answers = [(request, says, edge.send(request, 120)) for request, says in calls]
        refused = [entry for entry in answers if not entry[2].reached]
        odd = [entry for entry in answers if entry[2].reached and entry[2].status != entry[1] and not stub]
        for request, says, answer in refused + odd:
            print(f"  {answer.status} instead of {says}: {request.label}")
        print(f"legitimate: {len(refused)} of {len(answers)} refused, {len(odd)} answered otherwise")


if __name__ == "__main__":
    main()
