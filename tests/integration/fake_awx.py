# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small AWX: as much of its API, and of what it refuses, as the modules of awx.awx 24.6 meet when they configure one.

It keeps objects of some kinds with their relations, pages its lists, hides secrets, and judges surveys, schedules, playbooks and names as AWX does. It
runs nothing.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ENCRYPTED = "$encrypted$"
PAGE = 25
# Kind (its place below /api/v2/) to the name of its type and the defaults of its fields. What is not here AWX does not know.
FIELDS: dict[str, tuple[str, dict[str, Any]]] = {
    "organizations": ("organization", {"name": "", "description": "", "max_hosts": 0, "default_environment": None}),
    "users": ("user", {"username": "", "is_superuser": False}),
    "teams": ("team", {"name": "", "description": "", "organization": None}),
    "execution_environments": (
        "execution_environment",
        {"name": "", "description": "", "organization": None, "image": "", "pull": "", "credential": None},
    ),
    "credential_types": (
        "credential_type",
        {"name": "", "description": "", "kind": "", "managed": False, "inputs": {}, "injectors": {}},
    ),
    "credentials": (
        "credential",
        {"name": "", "description": "", "organization": None, "credential_type": None, "inputs": {}},
    ),
    "inventories": (
        "inventory",
        {"name": "", "description": "", "organization": None, "kind": "", "host_filter": None, "variables": ""},
    ),
    "projects": (
        "project",
        {
            "name": "",
            "description": "",
            "organization": None,
            "scm_type": "",
            "scm_url": "",
            "scm_branch": "",
            "scm_clean": False,
            "scm_update_on_launch": False,
            "credential": None,
            "default_environment": None,
            "scm_revision": "",
        },
    ),
    "inventory_sources": (
        "inventory_source",
        {
            "name": "",
            "inventory": None,
            "source": "",
            "source_project": None,
            "source_path": "",
            "execution_environment": None,
            "overwrite": False,
            "overwrite_vars": False,
            "update_on_launch": False,
            "credential": None,
        },
    ),
    "notification_templates": (
        "notification_template",
        {"name": "", "description": "", "organization": None, "notification_type": "", "notification_configuration": {}},
    ),
    "job_templates": (
        "job_template",
        {
            "name": "",
            "description": "",
            "organization": None,
            "job_type": "run",
            "inventory": None,
            "project": None,
            "playbook": "",
            "execution_environment": None,
            "extra_vars": "",
            "timeout": 0,
            "allow_simultaneous": False,
            "survey_enabled": False,
            **{
                f"ask_{prompt}_on_launch": False
                for prompt in ("diff_mode", "job_type", "limit", "scm_branch", "skip_tags", "tags", "variables", "verbosity")
            },
        },
    ),
    "workflow_job_templates": (
        "workflow_job_template",
        {"name": "", "description": "", "organization": None, "allow_simultaneous": False, "survey_enabled": False, "inventory": None},
    ),
    "workflow_job_template_nodes": (
        "workflow_job_template_node",
        {
            "identifier": "",
            "workflow_job_template": None,
            "unified_job_template": None,
            "extra_data": {},
            "skip_tags": None,
            "all_parents_must_converge": False,
        },
    ),
    "workflow_approval_templates": ("workflow_approval_template", {"name": "", "description": "", "timeout": 0}),
    "schedules": (
        "schedule",
        {"name": "", "description": "", "rrule": "", "unified_job_template": None, "extra_data": {}, "enabled": True},
    ),
    "project_updates": ("project_update", {"status": "successful"}),
}
# Two of these may not have the same name within what the fields say.
UNIQUE = {
    "organizations": ("name",),
    "teams": ("name", "organization"),
    "credential_types": ("name",),
    "credentials": ("name", "organization", "credential_type"),
    "job_templates": ("name", "organization"),
    "schedules": ("name", "unified_job_template"),
}
# Roles of an object, and whether a team may have them.
ROLES = {
    "organizations": ("admin", "auditor", "member", "read", "execute"),
    "teams": ("admin", "member", "read"),
    "job_templates": ("admin", "execute", "read"),
    "workflow_job_templates": ("admin", "execute", "approval", "read"),
}
BUILT_IN = {
    "Machine": {"username": False, "ssh_key_data": True, "password": True},
    "Vault": {"vault_password": True, "vault_id": False},
    "Source Control": {"username": False, "ssh_key_data": True},
}
UNIFIED = ("job_templates", "workflow_job_templates", "projects", "inventory_sources", "workflow_approval_templates")
QUESTIONS = {"text": str, "textarea": str, "password": str, "multiplechoice": str, "multiselect": str, "integer": int, "float": float}


class Refused(Exception):
    """What AWX answers with another code than one of success."""

    def __init__(self, code: int, message: Any) -> None:
        super().__init__(message)
        self.code, self.body = code, message if isinstance(message, dict) else {"__all__": [message]}


class Awx:
    """What this AWX has. playbooks: those that its projects have, once they were updated. token, password: what it lets in (user admin)."""

    def __init__(self, playbooks: list[str], token: str, password: str) -> None:
        self.playbooks, self.token, self.password = set(playbooks), token, password
        self.objects: dict[str, dict[int, dict[str, Any]]] = {kind: {} for kind in FIELDS}
        self.secrets: dict[tuple[int, str], str] = {}
        self.surveys: dict[tuple[str, int], dict[str, Any]] = {}
        self.related: dict[tuple[str, int, str], list[int]] = {}
        self.settings: dict[str, Any] = {"AWX_ISOLATION_SHOW_PATHS": [], "AWX_TASK_ENV": {}}
        self.tokens: set[str] = set()
        self.changes: list[str] = []  # each request that changed something
        self.lock = threading.RLock()
        self._ids = itertools.count(1)
        for name, inputs in BUILT_IN.items():
            fields = [{"id": key, "type": "string", "secret": secret} for key, secret in inputs.items()]
            self._new("credential_types", {"name": name, "managed": True, "inputs": {"fields": fields}})

    # -- what tests ask

    def named(self, kind: str) -> dict[str, dict[str, Any]]:
        """Objects of a kind by their names."""
        return {item.get("name") or item.get("identifier") or item.get("username"): item for item in self.objects[kind].values()}

    def add_user(self, username: str) -> None:
        """Somebody who can log in."""
        self._new("users", {"username": username})

    def has(self, kind: str, name: str, relation: str) -> list[int]:
        """Ids that an object is related to."""
        return self.related.get((kind, self.named(kind)[name]["id"], relation), [])

    def granted(self, team: str, kind: str, name: str, role: str) -> bool:
        """Whether a team has a role of an object."""
        number = self.named(kind)[name]["summary_fields"]["object_roles"][f"{role}_role"]["id"]
        return self.named("teams")[team]["id"] in self.related.get(("roles", number, "teams"), [])

    # -- requests

    def answer(self, method: str, path: str, query: dict[str, str], data: Any) -> tuple[int, Any]:
        """Code and body for a request to what is below /api/v2/. Raises Refused."""
        words = [word for word in path.split("/") if word]
        if words[0] == "ping":
            return 200, {"version": "24.6.1"}
        if words == ["settings", "all"]:
            if method == "PATCH":
                self._change(method, path)
                self.settings.update(data)
            return 200, self.settings
        if words[0] == "roles":
            return self._relation(method, ("roles", int(words[1]), words[2]), words[2], query, data, path)
        kind = words[0]
        if kind == "unified_job_templates":
            return 200, self._page([item for each in UNIFIED for item in self.objects[each].values()], query, path)
        if kind not in FIELDS:
            raise Refused(404, "no such place")
        if len(words) == 1:
            if method == "POST":
                self._change(method, path)
                return 201, self._new(kind, data)
            return 200, self._page(list(self.objects[kind].values()), query, path)
        item = self.objects[kind].get(int(words[1]))
        if item is None:
            raise Refused(404, "no such object")
        if len(words) == 2:
            return self._one(method, kind, item, data, path)
        return self._below(method, kind, item, words[2], query, data, path)

    def _one(self, method: str, kind: str, item: dict[str, Any], data: Any, path: str) -> tuple[int, Any]:
        if method == "PATCH":
            self._change(method, path)
            self._fill(kind, item, data)
        elif method == "DELETE":
            self._change(method, path)
            del self.objects[kind][item["id"]]
            return 204, None
        return 200, item

    def _below(
        self, method: str, kind: str, item: dict[str, Any], what: str, query: dict[str, str], data: Any, path: str
    ) -> tuple[int, Any]:
        if what == "survey_spec":
            if method in ("POST", "DELETE"):
                self._change(method, path)
                self.surveys[kind, item["id"]] = self._judged(data) if method == "POST" else {}
                return 200, None
            return 200, self.surveys.get((kind, item["id"]), {})
        if what == "create_approval_template":
            self._change(method, path)
            made = self._new("workflow_approval_templates", data)
            item["unified_job_template"] = made["id"]
            item["related"]["unified_job_template"] = made["url"]
            return 201, made
        kinds = {
            "success_nodes": "workflow_job_template_nodes",
            "failure_nodes": "workflow_job_template_nodes",
            "always_nodes": "workflow_job_template_nodes",
            "credentials": "credentials",
        }
        of = kinds.get(what, "notification_templates" if what.startswith("notification_templates_") else "")
        if not of:
            raise Refused(404, "no such place below it")
        return self._relation(method, (kind, item["id"], what), of, query, data, path)

    def _relation(self, method: str, key: tuple[str, int, str], of: str, query: dict[str, str], data: Any, path: str) -> tuple[int, Any]:
        there = self.related.setdefault(key, [])
        if method != "POST":
            return 200, self._page([self.objects[of][number] for number in there], query, path)
        if data["id"] not in self.objects[of]:
            raise Refused(400, {"detail": "there is no such object"})
        if data.get("disassociate"):
            there.remove(data["id"])
        else:
            if of == "credentials":
                kinds = [self.objects[of][number]["credential_type"] for number in there]
                if self.objects[of][data["id"]]["credential_type"] in kinds:
                    raise Refused(400, {"detail": "Cannot assign multiple credentials of a type."})
            there.append(data["id"])
        self._change(method, path)
        return 204, None

    # -- objects

    def _new(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        kind_of, defaults = FIELDS[kind]
        number = next(self._ids)
        url = f"/api/v2/{kind}/{number}/"
        item: dict[str, Any] = {"id": number, "type": kind_of, "url": url, **json.loads(json.dumps(defaults))}
        item["related"] = {"survey_spec": f"{url}survey_spec/"} if kind.endswith("job_templates") else {}
        item["summary_fields"] = {
            "object_roles": {f"{role}_role": {"id": number * 100 + index} for index, role in enumerate(ROLES.get(kind, ()))}
        }
        self._fill(kind, item, data)
        same = UNIQUE.get(kind)
        if same and any(all(other[key] == item[key] for key in same) for other in self.objects[kind].values()):
            raise Refused(400, f"{kind_of} with this name exists already.")
        self.objects[kind][number] = item
        if kind == "projects":
            self._update_project(item)
        return item

    def _update_project(self, item: dict[str, Any]) -> None:
        update = self._new("project_updates", {})
        item["scm_revision"] = "f" * 40
        item["summary_fields"]["current_update"] = {"id": update["id"]}

    def _fill(self, kind: str, item: dict[str, Any], data: dict[str, Any]) -> None:
        unknown = set(data) - set(FIELDS[kind][1]) - {"type"}
        # AWX ignores what it does not know; a test should not.
        if unknown and kind not in ("workflow_approval_templates",):
            raise Refused(400, f"{kind} has no {', '.join(sorted(unknown))}")
        data = {key: value for key, value in data.items() if key in FIELDS[kind][1]}
        for key, value in data.items():
            place = {"unified_job_template": None, "default_environment": "execution_environments", "source_project": "projects"}.get(
                key, f"{key}s" if f"{key}s" in FIELDS else {"inventory": "inventories"}.get(key)
            )
            if isinstance(value, int) and not isinstance(value, bool) and place and value not in self.objects[place]:
                raise Refused(400, {key: [f"Invalid pk {value}: object does not exist."]})
        if kind == "credentials" and "inputs" in data:
            data["inputs"] = self._sealed(item, data)
        if kind == "notification_templates" and "notification_configuration" in data:
            hidden = {"password", "token", "account_token"}
            config = data["notification_configuration"]
            data["notification_configuration"] = {key: ENCRYPTED if key in hidden and value else value for key, value in config.items()}
        if kind == "job_templates" and data.get("playbook", "x") not in self.playbooks and "playbook" in data:
            raise Refused(400, {"playbook": ["Playbook not found for project."]})
        if kind == "schedules":
            self._judge_schedule({**item, **data})
        if kind == "inventories" and data.get("kind", "") is None:
            data["kind"] = ""
        item.update(data)

    def _sealed(self, item: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        kind = self.objects["credential_types"][data.get("credential_type") or item["credential_type"]]
        fields = {field["id"]: field.get("secret", False) for field in kind["inputs"]["fields"]}
        unknown = set(data["inputs"]) - set(fields)
        if unknown:
            raise Refused(400, {"inputs": [f"Additional properties are not allowed ({', '.join(sorted(unknown))})"]})
        for key, value in data["inputs"].items():
            if fields[key] and value != ENCRYPTED:
                self.secrets[item["id"], key] = value
        return {key: ENCRYPTED if fields[key] else value for key, value in data["inputs"].items()}

    def _judge_schedule(self, item: dict[str, Any]) -> None:
        if not re.match(r"DTSTART:\d{8}T\d{6}Z RRULE:.*FREQ=", item["rrule"]) or "INTERVAL=" not in item["rrule"]:
            raise Refused(400, {"rrule": ["DTSTART, FREQ and INTERVAL are required in rrule."]})
        asked = {question["variable"] for question in self.surveys.get(("job_templates", item["unified_job_template"]), {}).get("spec", [])}
        refused = set(item["extra_data"]) - asked
        if refused:
            raise Refused(400, {"extra_data": [f"Variables {', '.join(sorted(refused))} are not allowed on launch."]})

    def _judged(self, survey: dict[str, Any]) -> dict[str, Any]:
        """A survey as AWX keeps it. Raises Refused where AWX does, with its word `error`."""
        if (
            not all(isinstance(survey.get(key), kind) for key, kind in (("name", str), ("description", str), ("spec", list)))
            or not survey["spec"]
        ):
            raise Refused(400, {"error": "name, description or spec is missing"})
        for question in survey["spec"]:
            for key, kind in (("type", str), ("question_name", str), ("variable", str), ("required", bool)):
                if not isinstance(question.get(key), kind):
                    raise Refused(400, {"error": f"'{key}' missing from survey question {question}"})
            if question["type"] not in QUESTIONS:
                raise Refused(400, {"error": f"{question['type']} is not an allowed question type."})
            if question.get("default", "") != "" and not isinstance(question["default"], QUESTIONS[question["type"]]):
                raise Refused(400, {"error": f"Default value {question['default']} expected to be {question['type']}."})
            for key in ("min", "max"):
                if question.get(key) is not None and not isinstance(question[key], int):
                    raise Refused(400, {"error": f"The {key} limit expected to be integer."})
            if question["type"].startswith("multi"):
                if not question.get("choices"):
                    raise Refused(400, {"error": "a choice must specify choices."})
                if any(each not in question["choices"] for each in question.get("default", "").splitlines()):
                    raise Refused(400, {"error": "Default choice must be answered from the choices listed."})
        if len({question["variable"] for question in survey["spec"]}) != len(survey["spec"]):
            raise Refused(400, {"error": "variable duplicated in survey."})
        return survey

    def _page(self, items: list[dict[str, Any]], query: dict[str, str], path: str) -> dict[str, Any]:
        wanted = dict(query)
        page, size = int(wanted.pop("page", 1)), int(wanted.pop("page_size", PAGE))
        either = {key[4:]: wanted.pop(key) for key in list(wanted) if key.startswith("or__")}
        found = [
            item
            for item in items
            if all(key in item and str(item[key]) == value for key, value in wanted.items())
            and (not either or any(str(item.get(key)) == value for key, value in either.items()))
        ]
        more = f"/api/v2/{path.strip('/')}/?page={page + 1}&page_size={size}" if len(found) > page * size else None
        for key, value in wanted.items():
            more = more and f"{more}&{key}={value}"
        return {"count": len(found), "next": more, "previous": None, "results": found[(page - 1) * size : page * size]}

    def _change(self, method: str, path: str) -> None:
        self.changes.append(f"{method} {path}")


class Handler(BaseHTTPRequestHandler):
    """HTTP for an Awx."""

    awx: Awx
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: Any) -> None:
        """Nothing: tests ask the Awx."""

    def _send(self, code: int, body: Any) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(code)
        self.send_header("X-API-Product-Name", "AWX")
        self.send_header("X-API-Product-Version", "24.6.1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _handle(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length) if length else b""
        given = self.headers.get("Authorization", "")
        with self.awx.lock:
            basic = "Basic " + base64.b64encode(f"admin:{self.awx.password}".encode()).decode()
            path = url.path.removeprefix("/api/v2/")
            if path.startswith("tokens/") and given == basic:
                token = f"session-{len(self.awx.tokens)}"
                self.awx.tokens.add(token)
                return self._send(201 if self.command == "POST" else 204, {"id": 1, "token": token} if self.command == "POST" else None)
            if given.removeprefix("Bearer ") not in {self.awx.token, *self.awx.tokens}:
                return self._send(401, {"detail": "Authentication credentials were not provided."})
            try:
                # Through JSON and back, so that nobody outside holds what is kept here.
                code, body = self.awx.answer(self.command, path, dict(parse_qsl(url.query, True)), json.loads(text or b"{}"))
            except Refused as refused:
                code, body = refused.code, refused.body
            return self._send(code, body)

    do_GET = do_POST = do_PATCH = do_DELETE = _handle


@contextmanager
def serve(awx: Awx) -> Iterator[str]:
    """Serves an Awx on a port of loopback; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"awx": awx}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
