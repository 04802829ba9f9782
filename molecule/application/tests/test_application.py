# -*- coding: utf-8 -*-
# Copyright: (c) 2026, The arxos.platform maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The application as it runs on every app host, asked over its own TLS port. The firewall lets nobody but the edge reach it, so the host asks itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import testinfra
import yaml
from passlib.totp import TOTP

LAB = os.environ.get("LAB_NAME", "arxos-lab")
PREFIX = os.environ.get("LAB_PREFIX", "172.30.20")
SECRETS = yaml.safe_load((Path(__file__).resolve().parents[3] / "inventories/lab/group_vars/all/vault.yml").read_text())
BUCKET = "arxos-production-files"
APP = os.environ.get("LAB_APP_HOSTS", "app1,app2,app3").split(",")
PLAN = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 500">
<rect id="kitchen" x="0" y="0" width="400" height="300"/><rect id="hall" x="400" y="0" width="300" height="300"/>
<path id="bath" d="M 0 300 h 400 v 200 h -400 z"/><line x1="700" y1="0" x2="900" y2="0"/></svg>"""


class Answer:
    """What curl got."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, self.body = self.body.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}

    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """The API of one host. What is sent is a file on the host first, so that no shell can spoil it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.host = testinfra.get_host(f"docker://{LAB}-{name}")
        self.token = ""

    def run(self, command: str) -> str:
        done = self.host.run(command)
        assert done.rc == 0, f"{self.name}: {command}: {done.stderr}{done.stdout}"
        return str(done.stdout)

    def send(self, content: bytes, name: str = "") -> str:
        """A file on the host with this content."""
        path = f"/tmp/test-{uuid.uuid4()}{name}"
        self.run(f"umask 077; echo {base64.b64encode(content).decode()} | base64 -d > {path}")
        return path

    def ask(self, method: str, path: str, body: Any = None, upload: tuple[str, bytes] | str = "", token: str | None = None) -> Answer:
        lines = [f'request = "{method}"', f'url = "https://127.0.0.1:8443{path}"', "silent", "show-error", "include"]
        lines += ['cacert = "/etc/ssl/arxos/ca.crt"', "max-time = 120"]
        if self.token if token is None else token:
            lines.append(f'header = "Authorization: Bearer {self.token if token is None else token}"')
        if body is not None:
            lines += ['header = "Content-Type: application/json"', f'data-binary = "@{self.send(json.dumps(body).encode())}"']
        if isinstance(upload, tuple):
            lines.append(f'form = "file=@{self.send(upload[1])};filename={upload[0]}"')
        elif upload:
            lines.append(f'form = "file=@{upload}"')
        command = f"curl --config {self.send(chr(10).join(lines).encode())}; code=$?; rm -f /tmp/test-*; exit $code"
        done = self.host.run(command)
        assert done.rc == 0, f"{self.name}: {method} {path}: {done.stderr}"
        return Answer(done.stdout_bytes)

    def log_in(self) -> Answer:
        code = TOTP(key=SECRETS["vault_arxos_api_admin_totp_secret"]).generate().token
        body = {"username": "admin", "password": SECRETS["vault_arxos_api_admin_password"], "otp": code}
        answer = self.ask("POST", "/api/v1/auth/login", body, token="")
        self.token = answer.json().get("access_token", "")
        return answer


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def forge(token: str, secret: str = SECRETS["vault_arxos_api_jwt_secret"], **changes: Any) -> str:
    """The token with other claims, signed anew."""

    def encode(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    text = f"{token.split('.')[0]}.{encode(json.dumps({**claims(token), **changes}).encode())}"
    return f"{text}.{encode(hmac.digest(secret.encode(), text.encode(), 'sha256'))}"


def until(good: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while not good():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


@pytest.fixture(scope="module", params=APP)
def each(request: pytest.FixtureRequest) -> Api:
    return Api(request.param)


@pytest.fixture(scope="module")
def api() -> Api:
    """One host, logged in."""
    one = Api(APP[0])
    assert one.log_in().status == 200
    return one


@pytest.fixture(scope="module")
def building(api: Api) -> dict[str, Any]:
    answer = api.ask("POST", "/api/v1/svg/upload", upload=("plan.svg", PLAN))
    assert answer.status == 201, answer.body
    found: dict[str, Any] = answer.json()
    return found


# ---------------------------------------------------------------- the service


def test_all_five_checks_are_healthy(each: Api) -> None:
    answer = each.ask("GET", "/health/")
    assert answer.status == 200, answer.body
    report = answer.json()
    assert report["status"] == "healthy"
    assert set(report["checks"]) == {"database", "cache", "file_storage", "security_services", "export_services"}
    assert all(check["status"] == "healthy" and check["duration_ms"] >= 0 for check in report["checks"].values())


def test_it_runs_the_release_that_is_current(each: Api) -> None:
    live = each.ask("GET", "/health/live").json()["version"]
    assert each.run("readlink /opt/arxos/current").strip() == f"releases/{live}"
    assert live in each.ask("GET", "/metrics").body.decode()


def test_it_is_drained_by_a_file_and_only_ready_says_so(each: Api) -> None:
    each.run("touch /run/arxos-api/drain")
    try:
        assert each.ask("GET", "/health/ready").status == 503
        assert each.ask("GET", "/health/live").status == 200
    finally:
        each.run("rm -f /run/arxos-api/drain")
    assert each.ask("GET", "/health/ready").status == 200


def test_it_can_do_no_more_than_it_needs(each: Api) -> None:
    shown = each.run(
        "systemctl show arxos-api.service -p User,NoNewPrivileges,ProtectSystem,PrivateTmp,MemoryMax,Restart,CapabilityBoundingSet"
    )
    values = dict(line.split("=", 1) for line in shown.splitlines())
    assert values.pop("MemoryMax").isdigit()
    assert values == {
        "User": "arxos",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "PrivateTmp": "yes",
        "Restart": "always",
        "CapabilityBoundingSet": "",
    }
    assert "PrivateUsers=yes" not in each.run("systemctl show arxos-api.service -p PrivateUsers")
    each.run("systemd-analyze security --threshold=20 --no-pager arxos-api.service")
    assert "arxos" in each.run("stat -c %U /run/arxos-api")


def test_a_renewed_certificate_is_taken_up(each: Api) -> None:
    """Its unit may do nothing but ask systemd, which must not refuse it."""
    each.run("systemctl start arxos-api-certificate.service")
    each.run("systemd-analyze security --threshold=40 --no-pager arxos-api-certificate.service")


def test_the_database_is_reached_through_the_pools_alone(each: Api) -> None:
    user = each.run("id -u arxos").strip()

    def connections(port: int) -> int:
        lines = each.run(f"ss -Htne state established '( dport = :{port} )'").splitlines()
        return sum(f"uid:{user} " in f"{line} " for line in lines)

    assert each.ask("GET", "/health/").status == 200
    assert connections(6432) > 0
    assert (connections(5000), connections(5001), connections(5432)) == (0, 0, 0)


def test_secrets_are_for_the_service_alone_and_passwords_of_users_are_not_there(each: Api) -> None:
    assert each.run("stat -c '%U:%G %a' /etc/arxos/api.env").strip() == "root:arxos 640"
    text = each.run("cat /etc/arxos/api.env")
    assert SECRETS["vault_arxos_api_admin_password"] not in text
    assert "rounds=10000" in text
    assert each.host.run("runuser -u nobody -- cat /etc/arxos/api.env").rc != 0


def test_the_log_is_json_is_rotated_and_goes_on(each: Api) -> None:
    each.run("logrotate --force /etc/logrotate.d/arxos-api")
    assert each.run("stat -c '%U:%G %a' /var/log/arxos/app.log").strip() == "arxos:adm 640"
    name = f"nobody-{uuid.uuid4()}"
    for _ in range(8):  # so that every worker has its turn
        each.ask("POST", "/api/v1/auth/login", {"username": name, "password": "x", "otp": "000000"})
    lines = [json.loads(line) for line in each.run("cat /var/log/arxos/app.log").splitlines()]
    assert any(line.get("user") == name and line["outcome"] == "refused" for line in lines)
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    settings = each.run("cat /etc/logrotate.d/arxos-api")
    assert "size 100M" in settings and "rotate 5" in settings


def test_a_renewed_certificate_is_taken_up_without_losing_a_request(each: Api) -> None:
    def workers() -> set[str]:
        return set(each.host.run("grep -la '[s]pawn_main' /proc/[0-9]*/cmdline").stdout.split())

    before, main = workers(), each.run("systemctl show -p MainPID arxos-api.service")
    each.run("touch /etc/ssl/arxos/host.crt")

    def replaced() -> bool:
        assert each.ask("GET", "/health/ready").status == 200
        return not before & workers()

    assert before and until(replaced)
    assert each.run("systemctl show -p MainPID arxos-api.service") == main


# ---------------------------------------------------------------- who may


def test_a_login_needs_password_and_code_and_says_how_long_it_lasts(api: Api) -> None:
    answer = Api(api.name).log_in()
    assert answer.status == 200
    assert (answer.json()["expires_in"], answer.json()["refresh_expires_in"]) == (3600, 604800)
    good = {"username": "admin", "password": SECRETS["vault_arxos_api_admin_password"]}
    code = TOTP(key=SECRETS["vault_arxos_api_admin_totp_secret"]).generate().token
    wrong = f"{(int(code) + 123457) % 1000000:06d}"
    assert api.ask("POST", "/api/v1/auth/login", {**good, "otp": wrong}, token="").status == 401
    assert api.ask("POST", "/api/v1/auth/login", good, token="").status == 422
    assert api.ask("POST", "/api/v1/auth/login", {"username": "admin", "password": "x", "otp": code}, token="").status == 401


def test_guessing_is_stopped(api: Api) -> None:
    body = {"username": f"guess-{uuid.uuid4()}", "password": "x", "otp": "000000"}
    answers = [api.ask("POST", "/api/v1/auth/login", body, token="").status for _ in range(6)]
    assert answers == [401] * 5 + [429]


def test_tokens_that_are_not_good_are_refused(api: Api) -> None:
    path, now = "/api/v1/symbols", int(time.time())
    assert api.ask("GET", path).status == 200
    assert api.ask("GET", path, token="").status == 401
    assert api.ask("GET", path, token="x.y.z").status == 401
    assert api.ask("GET", path, token=forge(api.token, secret="0" * 32)).status == 401
    assert api.ask("GET", path, token=forge(api.token, exp=now - 1)).status == 401
    assert api.ask("GET", path, token=forge(api.token, sid="none")).status == 401
    assert api.ask("GET", path, token=forge(api.token, kind="refresh")).status == 401


def test_a_refresh_token_gives_a_new_pair_and_a_logout_ends_both(api: Api) -> None:
    other = Api(api.name)
    refresh = other.log_in().json()["refresh_token"]
    assert other.ask("POST", "/api/v1/auth/refresh", {"refresh_token": refresh}, token="").status == 200
    assert other.ask("POST", "/api/v1/auth/refresh", {"refresh_token": other.token}, token="").status == 401
    assert other.ask("POST", "/api/v1/auth/logout").status == 204
    assert other.ask("GET", "/api/v1/symbols").status == 401
    assert other.ask("POST", "/api/v1/auth/refresh", {"refresh_token": refresh}, token="").status == 401


def test_roles_may_what_they_may(api: Api) -> None:
    viewer, operator = forge(api.token, role="viewer"), forge(api.token, role="operator")
    assert api.ask("GET", "/api/v1/symbols", token=viewer).status == 200
    assert api.ask("POST", "/api/v1/svg/upload", upload=("plan.svg", PLAN), token=viewer).status == 403
    assert api.ask("GET", "/api/v1/security/audit", token=operator).status == 403
    assert api.ask("POST", "/api/v1/security/rbac", {"permission": "audit:read"}).json()["allowed"] is True
    assert api.ask("POST", "/api/v1/security/rbac", {"permission": "audit:read"}, token=operator).json()["allowed"] is False


def test_the_quota_of_an_hour_is_kept(api: Api) -> None:
    answer = api.ask("GET", "/api/v1/symbols")
    assert answer.headers["x-ratelimit-limit"] == "1000"
    name = f"quota-{uuid.uuid4()}"
    script = f"""
import asyncio, time
from arxos_api_reference.backends import make_cache
from arxos_api_reference.settings import Settings
async def main():
    cache = make_cache(Settings.from_environment())
    await cache.set("arxos:{{{name}}}:session:s", "open", ex=60)
    for hour in (0, 1):
        await cache.set("arxos:{{{name}}}:quota:%d" % (time.time() // 3600 + hour), 999, ex=60)
    await cache.aclose()
asyncio.run(main())
"""
    path = api.send(script.encode())
    api.run(f"set -a; . /etc/arxos/api.env; /opt/arxos/current/bin/python {path}")
    token = forge(api.token, sub=name, sid="s")
    last, refused = (api.ask("GET", "/api/v1/symbols", token=token) for _ in range(2))
    assert (last.status, last.headers["x-ratelimit-remaining"]) == (200, "0")
    assert refused.status == 429 and 0 < int(refused.headers["retry-after"]) <= 3600


# ---------------------------------------------------------------- what it is for


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """S3 as the application sees it."""
    ca = tmp_path_factory.mktemp("ca") / "ca.crt"
    ca.write_text(SECRETS["vault_certificates_ca_certificate"])
    return boto3.client(
        "s3",
        endpoint_url=f"https://{PREFIX}.51:8334",
        region_name="us-east-1",
        verify=str(ca),
        aws_access_key_id=SECRETS["vault_object_storage_application_access_key"],
        aws_secret_access_key=SECRETS["vault_object_storage_application_secret_key"],
    )


def test_an_upload_is_in_the_database_and_in_s3(api: Api, building: dict[str, Any], s3: Any) -> None:
    assert (building["name"], building["elements"], building["bytes"]) == ("plan.svg", 5, len(PLAN))
    read = api.ask("GET", f"/api/v1/svg/{building['id']}").json()
    assert (read["name"], read["object"]) == ("plan.svg", f"uploads/{building['id']}.svg")
    assert s3.get_object(Bucket=BUCKET, Key=building["object"])["Body"].read() == PLAN
    assert api.ask("GET", f"/api/v1/svg/{uuid.uuid4()}").status == 404


def test_health_checks_leave_nothing_behind(api: Api, s3: Any) -> None:
    def versions() -> set[str]:
        return {version["VersionId"] for version in s3.list_object_versions(Bucket=BUCKET, Prefix="health/").get("Versions", [])}

    before = versions()
    for _ in range(3):
        api.ask("GET", "/health/")
    assert until(lambda: versions() <= before, 20)


@pytest.mark.parametrize(
    ("name", "content", "status"),
    [
        ("plan.xml", b"<plan><rect x='0' y='0' width='1' height='1'/></plan>", 201),
        ("PLAN.JSON", b'{"elements": [{"type": "rect", "x": 0, "y": 0, "width": 5, "height": 4}]}', 201),
        ("plan.png", b"\x89PNG", 415),
        ("plan", PLAN, 415),
        ("plan.svg.exe", PLAN, 415),
        ("plan.svg", b"not xml", 422),
        ("plan.svg", b"", 422),
        ("plan.svg", b"<html/>", 422),
        ("plan.svg", b"<svg><script>alert(1)</script></svg>", 422),
        ("plan.svg", b'<svg><rect onload="alert(1)"/></svg>', 422),
        ("plan.svg", b'<svg><a href="java\nscript:alert(1)"/></svg>', 422),
        ("plan.svg", b'<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg>&a;</svg>', 422),
        ("plan.svg", b'<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/passwd">]><svg>&a;</svg>', 422),
        ("plan.json", b'{"elements": [', 422),
        ("plan.json", b'{"elements": [1]}', 422),
        ("plan.json", b"\x00\x01", 422),
    ],
)
def test_only_floor_plans_that_do_nothing_are_taken(api: Api, name: str, content: bytes, status: int) -> None:
    answer = api.ask("POST", "/api/v1/svg/upload", upload=(name, content))
    assert answer.status == status, answer.body


@pytest.mark.parametrize(("size", "status"), [(50 * 1024 * 1024, 201), (50 * 1024 * 1024 + 1, 413), (60 * 1024 * 1024, 413)])
def test_fifty_megabytes_are_taken_and_no_byte_more(api: Api, s3: Any, size: int, status: int) -> None:
    path = f"/tmp/test-{uuid.uuid4()}.svg"
    api.run(f"(printf '<svg><!--'; head -c {size - 18} /dev/zero | tr '\\0' a; printf -- '--></svg>') > {path}")
    assert api.run(f"stat -c %s {path}").strip() == str(size)
    answer = api.ask("POST", "/api/v1/svg/upload", upload=path)
    assert answer.status == status, answer.body
    if status == 201:
        head = s3.head_object(Bucket=BUCKET, Key=answer.json()["object"])
        assert head["ContentLength"] == size
        s3.delete_object(Bucket=BUCKET, Key=answer.json()["object"])


def test_a_plan_becomes_a_model_and_files(api: Api, building: dict[str, Any]) -> None:
    assert api.ask("POST", "/api/v1/export", {"building_id": str(uuid.uuid4()), "format": "gltf"}).status == 409
    models = {
        kind: api.ask("POST", "/api/v1/bim/assemble", {"building_id": building["id"], "complexity": kind}).json()
        for kind in ("simple", "medium", "complex")
    }
    assert {kind: (len(model["rooms"]), len(model["walls"])) for kind, model in models.items()} == {
        "simple": (3, 13),
        "medium": (3, 11),
        "complex": (3, 11),
    }
    assert models["complex"]["neighbours"] == [["R1", "R2"], ["R1", "R3"]]
    assert [room["area"] for room in models["simple"]["rooms"]] == [12.0, 9.0, 8.0]

    def export(kind: str) -> bytes:
        answer = api.ask("POST", "/api/v1/export", {"building_id": building["id"], "format": kind})
        assert answer.status == 200, answer.body
        return answer.body

    assert json.loads(export("gltf"))["accessors"][0]["count"] == 11 * 8
    assert len(json.loads(export("geojson"))["features"]) == 14
    assert export("excel").startswith(b"PK")
    ifc = export("ifc-lite")
    assert ifc.startswith(b"ISO-10303-21;") and ifc.count(b"=IFCWALL(") == 11 and ifc.count(b"=IFCSPACE(") == 3
    assert api.ask("POST", "/api/v1/export", {"building_id": building["id"], "format": "dwg"}).status == 422


def test_symbols_are_made_found_changed_and_removed(api: Api) -> None:
    name = f"door 100%_{uuid.uuid4()}"
    made = api.ask("POST", "/api/v1/symbols", {"name": name, "definition": {"width": 0.9}})
    assert made.status == 201, made.body
    path = f"/api/v1/symbols/{made.json()['id']}"
    assert api.ask("POST", "/api/v1/symbols", {"name": name, "definition": {}}).status == 409
    assert until(lambda: len(api.ask("GET", f"/api/v1/symbols?query=100%25_{name[10:20]}").json()) == 1, 10)
    assert api.ask("PUT", path, {"name": name, "definition": {"width": 1.2}}).json()["definition"] == {"width": 1.2}
    assert api.ask("DELETE", path).status == 204
    assert api.ask("DELETE", path).status == 404


def test_text_is_encrypted_and_only_whole_ciphertexts_come_back(api: Api) -> None:
    sealed = api.ask("POST", "/api/v1/security/encrypt", {"text": "Grüße"}).json()["text"]
    assert api.ask("POST", "/api/v1/security/decrypt", {"text": sealed}).json() == {"text": "Grüße"}
    key = hashlib.sha256(base64.b64decode(SECRETS["vault_arxos_api_encryption_key"])).digest()[:8]
    assert base64.b64decode(sealed).startswith(key)
    assert api.ask("POST", "/api/v1/security/decrypt", {"text": sealed[:-8] + "AAAAAAA="}).status == 422


def test_what_happens_is_audited_and_secrets_are_masked(api: Api) -> None:
    secret, event = uuid.uuid4().hex, f"test-{uuid.uuid4()}"
    details = {"password": secret, "a": [{"api_key": secret, "plain": "seen"}], "access_token": secret}
    assert api.ask("POST", "/api/v1/security/audit", {"event": event, "details": details}).status == 201
    events = api.ask("GET", "/api/v1/security/audit?limit=50").json()
    entry = next(entry for entry in events if entry["event"] == event)
    assert (entry["user"], entry["outcome"], entry["client"]) == ("admin", "success", "127.0.0.1")
    assert entry["details"] == {"password": "***", "a": [{"api_key": "***", "plain": "seen"}], "access_token": "***"}
    log = api.run("cat /var/log/arxos/app.log")
    assert event in log and secret not in log and api.token not in log
