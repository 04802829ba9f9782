"""The routes under /api/v1."""

import asyncio
import io
import json
import uuid
from pathlib import PurePath
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Body, Depends, HTTPException, Query, Response, UploadFile
from minio.error import S3Error
from psycopg.types.json import Jsonb

from . import metrics
from .access import Call, needs
from .bim import SUFFIXES, Complexity, Model, PlanError, assemble, read_elements
from .exports import EXPORTS, Format
from .security import SecurityError, allowed, verify_code, verify_password

MAXIMUM_UPLOAD = 50 * 1024 * 1024
router = APIRouter(prefix="/api/v1")
Asked = Annotated[Call, Depends()]
Name = Annotated[str, Body(min_length=1, max_length=255)]
Text = Annotated[str, Body(embed=True, max_length=1_000_000)]
Id = Annotated[uuid.UUID, Body()]
Limit = Annotated[int, Query(ge=1, le=1000)]
Definition = Annotated[dict[str, Any], Body()]


@router.post("/auth/login")
async def log_in(call: Asked, username: Name, password: Name, otp: Annotated[str, Body(pattern=r"^\d{6}$")]) -> dict[str, Any]:
    """Password and one-time code, both, always."""
    await call.refuse_guessing(username)
    user = next((user for user in call.services.settings.users if user["name"] == username), None)
    good = await asyncio.to_thread(verify_password, password, *([user["password_hash"]] if user else []))
    good = good and user is not None and verify_code(user["totp_secret"], otp)
    await call.refuse_guessing(username, good)
    metrics.LOGINS.labels("success" if good else "refused").inc()
    await call.audit("login", "success" if good else "refused", username)
    if not good or not user:
        raise HTTPException(401, "user name, password or one-time code is wrong")
    return await call.log_in(username, user["role"])


@router.post("/auth/refresh")
async def refresh(call: Asked, refresh_token: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
    return call.make_tokens(await call.authenticate("refresh", refresh_token))


@router.post("/auth/logout", status_code=204, dependencies=[needs()])
async def log_out(call: Asked) -> None:
    await call.log_out()
    await call.audit("logout")


@router.post("/svg/upload", status_code=201, dependencies=[needs("buildings:write")])
async def upload(call: Asked, file: UploadFile) -> dict[str, Any]:
    name, size = PurePath(file.filename or "").name, file.size or 0
    suffix = PurePath(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise HTTPException(415, f"only {', '.join(SUFFIXES)}")
    if size > MAXIMUM_UPLOAD:
        raise HTTPException(413, f"at most {MAXIMUM_UPLOAD} bytes")
    if len(name) > 255 or not name.isprintable():
        raise HTTPException(422, "the file name is too long or not printable")
    try:
        elements = await asyncio.to_thread(lambda: sum(1 for _ in read_elements(file.file, suffix)))
    except PlanError as error:
        raise HTTPException(422, str(error)) from error
    await file.seek(0)
    building = {"id": uuid.uuid4(), "name": name}
    await call.services.files.put(_object(building), file.file, size, SUFFIXES[suffix])
    statement = "INSERT INTO arxos_prod.buildings (id, name) VALUES (%s, %s) RETURNING id, name, created_at"
    rows = await call.services.database.write(statement, building["id"], name)
    metrics.UPLOADS.labels(suffix[1:]).inc()
    await call.audit("upload", building=str(building["id"]), bytes=size)
    return {**rows[0], "object": _object(building), "bytes": size, "elements": elements}


@router.get("/svg/{building_id}", dependencies=[needs("buildings:read")])
async def read_building(call: Asked, building_id: uuid.UUID) -> dict[str, Any]:
    statement = "SELECT id, name, created_at, updated_at FROM arxos_prod.buildings WHERE id = %s"
    building = _only(await call.services.database.read(statement, building_id))
    return {**building, "object": _object(building)}


@router.post("/bim/assemble", dependencies=[needs("buildings:write")])
async def assemble_building(call: Asked, building_id: Id, complexity: Annotated[Complexity, Body()] = "simple") -> Model:
    building, files = await read_building(call, building_id), call.services.files
    plan = io.BytesIO(await files.get_remembered(building["object"]))
    try:
        model = await asyncio.to_thread(assemble, plan, PurePath(building["name"]).suffix.lower(), complexity)
    except PlanError as error:
        raise HTTPException(422, str(error)) from error
    model = {"building_id": str(building_id), "name": building["name"], **model}
    content = json.dumps(model).encode()
    await files.put(f"models/{building_id}.json", io.BytesIO(content), len(content), "application/json")
    await call.audit("assemble", building=str(building_id), complexity=complexity)
    return model


@router.post("/export", dependencies=[needs("buildings:export")])
async def export(call: Asked, building_id: Id, format: Annotated[Format, Body()]) -> Response:
    try:
        model = json.loads(await call.services.files.get(f"models/{building_id}.json"))
    except S3Error as error:
        if error.code != "NoSuchKey":
            raise
        raise HTTPException(409, "assemble the building first") from error
    write, media_type, suffix = EXPORTS[format]
    content = await asyncio.to_thread(write, model)
    metrics.EXPORTS.labels(format).inc()
    await call.audit("export", building=str(building_id), format=format)
    return Response(content, media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{building_id}{suffix}"'})


def _only(rows: list[dict[str, Any]]) -> dict[str, Any]:
    if not rows:
        raise HTTPException(404, "there is none")
    return rows[0]


def _object(building: dict[str, Any]) -> str:
    return f"uploads/{building['id']}{PurePath(building['name']).suffix.lower()}"


_SYMBOL = "id, name, definition, created_at, updated_at"


@router.get("/symbols", dependencies=[needs("symbols:read")])
async def search_symbols(call: Asked, query: str = "", limit: Limit = 50) -> list[dict[str, Any]]:
    pattern = "%" + query.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
    statement = f"SELECT {_SYMBOL} FROM arxos_prod.symbols WHERE name ILIKE %s ORDER BY name LIMIT %s"
    return await call.services.database.read(statement, pattern, limit)


@router.post("/symbols", status_code=201, dependencies=[needs("symbols:write")])
async def create_symbol(call: Asked, name: Name, definition: Definition) -> dict[str, Any]:
    statement = f"INSERT INTO arxos_prod.symbols (id, name, definition) VALUES (%s, %s, %s) RETURNING {_SYMBOL}"
    return await _write_symbol(call, "create", statement, uuid.uuid4(), name, Jsonb(definition))


@router.put("/symbols/{symbol_id}", dependencies=[needs("symbols:write")])
async def update_symbol(call: Asked, symbol_id: uuid.UUID, name: Name, definition: Definition) -> dict[str, Any]:
    statement = f"UPDATE arxos_prod.symbols SET name = %s, definition = %s, updated_at = now() WHERE id = %s RETURNING {_SYMBOL}"
    return await _write_symbol(call, "update", statement, name, Jsonb(definition), symbol_id)


@router.delete("/symbols/{symbol_id}", status_code=204, dependencies=[needs("symbols:write")])
async def delete_symbol(call: Asked, symbol_id: uuid.UUID) -> None:
    await _write_symbol(call, "delete", f"DELETE FROM arxos_prod.symbols WHERE id = %s RETURNING {_SYMBOL}", symbol_id)


async def _write_symbol(call: Call, action: str, statement: str, *parameters: Any) -> dict[str, Any]:
    try:
        symbol = _only(await call.services.database.write(statement, *parameters))
    except psycopg.errors.UniqueViolation as error:
        raise HTTPException(409, "there is a symbol of that name") from error
    await call.audit(f"symbol {action}", symbol=str(symbol["id"]))
    return symbol


@router.post("/security/encrypt", dependencies=[needs("security:encrypt")])
async def encrypt(call: Asked, text: Text) -> dict[str, str]:
    await call.audit("encrypt")
    return {"text": call.services.cipher.encrypt(text)}


@router.post("/security/decrypt", dependencies=[needs("security:decrypt")])
async def decrypt(call: Asked, text: Text) -> dict[str, str]:
    try:
        plain = call.services.cipher.decrypt(text)
    except SecurityError as error:
        await call.audit("decrypt", "refused")
        raise HTTPException(422, str(error)) from error
    await call.audit("decrypt")
    return {"text": plain}


@router.get("/security/audit", dependencies=[needs("audit:read")])
async def read_audit(call: Asked, limit: Limit = 100) -> list[dict[str, Any]]:
    return await call.last_events(limit)


@router.post("/security/audit", status_code=201, dependencies=[needs("audit:write")])
async def write_audit(call: Asked, event: Name, details: Definition) -> dict[str, str]:
    await call.audit(event, details=details)
    return {"event": event}


@router.post("/security/rbac", dependencies=[needs()])
async def ask_rbac(call: Asked, permission: Annotated[str, Body(embed=True)]) -> dict[str, Any]:
    return {"role": call.user.role, "permission": permission, "allowed": allowed(call.user.role, permission)}
