"""The product's routes by hand: bare FastAPI and asyncpg, the same token checks, the same queries, the same answers.

What a good programmer writes who needs nothing but these seven routes: one connection a request, no ORM, no models for
answers, no log, no metrics, no limits, no security headers, no checks of a config against its service. Statements are
the product's, on the same columns, in as many round trips.
"""

import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import asyncpg
import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from jose import jwt
from jose.exceptions import JOSEError
from pydantic import BaseModel

from bench.contestants.serving import AUDIENCE, ISSUER, POOL_SIZE, serve

SIGNING_KEY = hmac.digest(os.environ["SECRET_KEY"].encode(), b"integrations-api bearer tokens", hashlib.sha256)
SEALING_KEY = AESGCM(hashlib.sha256(os.environ["ENCRYPTION_KEYS"].encode()).digest())
MASK = "********"
RUNNING = (
    "(SELECT id FROM sync_runs r WHERE r.integration_id = i.id AND r.state IN ('queued', 'running')) AS running_run_id"
)
PATHS = "ARRAY(SELECT s.path FROM integration_secrets s WHERE s.integration_id = i.id) AS secret_paths"

app = FastAPI(openapi_url=None)


class Sent(BaseModel):
    """An integration as it comes."""

    service_name: str
    auth_type: Literal["basic_auth", "api_token", "oauth2"]
    config: dict[str, Any]
    is_active: bool


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and the connection that serves him."""

    id: UUID
    email: str
    credential: str
    address: str | None
    db: asyncpg.Connection


def permitted(permission: str) -> Callable[..., AsyncIterator[Caller]]:
    """A dependency: a valid token of a user who may do this, as his row is now."""

    async def check(request: Request) -> AsyncIterator[Caller]:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            claims = jwt.decode(
                token if kind == "Bearer" else "", SIGNING_KEY, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER
            )
        except JOSEError:
            raise HTTPException(401, "sign in") from None
        async with request.app.state.pool.acquire() as db:
            user = await db.fetchrow(
                "SELECT id, email, permissions, token_generation, disabled_at FROM users WHERE id = $1",
                UUID(claims["sub"]),
            )
            if user is None or user["disabled_at"] is not None or user["token_generation"] != claims["gen"]:
                raise HTTPException(401, "sign in")
            if permission not in user["permissions"]:
                raise HTTPException(403, f"Missing permission: {permission}")
            yield Caller(
                id=user["id"],
                email=user["email"],
                credential=f"token:{claims['jti']}",
                address=request.client.host if request.client else None,
                db=db,
            )

    return check


Viewer = Annotated[Caller, Depends(permitted("integration.view"))]
Creator = Annotated[Caller, Depends(permitted("integration.create"))]
Editor = Annotated[Caller, Depends(permitted("integration.edit"))]
Deleter = Annotated[Caller, Depends(permitted("integration.delete"))]
Syncer = Annotated[Caller, Depends(permitted("integration.sync"))]
Reader = Annotated[Caller, Depends(permitted("knowledge.view"))]


def answer(status: int = 200, **fields: Any) -> Response:
    """The envelope."""
    return Response(orjson.dumps({"success": True, **fields}), status_code=status, media_type="application/json")


def moment(value: datetime | None) -> str | None:
    """A time as it leaves."""
    return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def shown(row: asyncpg.Record) -> dict[str, Any]:
    """An integration as it leaves."""
    synced = row["shown_last_synced"]
    config = orjson.loads(row["config"])
    return {
        "id": str(row["id"]),
        "service_name": row["service_name"],
        "auth_type": row["auth_type"],
        "config": config if synced is None else {**config, "lastSynced": moment(synced)},
        "is_active": row["is_active"],
        "last_synced_at": moment(row["last_synced_at"]),
        "last_sync_status": row["last_sync_status"],
        "last_sync_error": row["last_sync_error"],
        "updated_at": moment(row["updated_at"]),
        "user_id": str(row["user_id"]),
        "next_sync_at": moment(row["next_sync_at"]),
        "running_run_id": None if row["running_run_id"] is None else str(row["running_run_id"]),
        "schedule": None
        if row["schedule_cron"] is None
        else {"cron": row["schedule_cron"], "time_zone": row["schedule_zone"]},
        "paused": row["paused_reason"],
        "needs_connection": row["needs_connection"],
    }


async def found(caller: Caller, integration_id: UUID, more: str = "") -> asyncpg.Record:
    """The row, or 404."""
    row = await caller.db.fetchrow(f"SELECT i.*, {RUNNING}{more} FROM integrations i WHERE id = $1", integration_id)
    if row is None:
        raise HTTPException(404, "Integration not found")
    return row


def apart(config: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    """What is shown of a config, and its password, unless that is the mask."""
    password = config.get("password")
    return {**config, "password": MASK}, None if password == MASK else password


def fingerprint(config: dict[str, Any]) -> str:
    """What names the source; of the URL alone."""
    return hashlib.sha256(str(config.get("url")).encode()).hexdigest()


def sealed_in(integration_id: UUID, password: str | None) -> list[bytes]:
    """The ciphertext of a password, where one was sent."""
    if password is None:
        return []
    nonce = os.urandom(12)
    return [nonce + SEALING_KEY.encrypt(nonce, password.encode(), str(integration_id).encode())]


def written(integration_id: UUID, sent: Sent, public: dict[str, Any], sealed: list[bytes]) -> list[Any]:
    """What creating and editing both write: $1 to $8."""
    return [
        integration_id,
        datetime.now(UTC),
        ["/password"] * len(sealed),
        sealed,
        sent.service_name,
        sent.auth_type,
        orjson.dumps(public).decode(),
        sent.is_active,
    ]


def entry(caller: Caller, verb: str, integration_id: UUID, service_name: str) -> list[Any]:
    """Who did it, for the audit."""
    return [
        caller.id,
        caller.email,
        caller.credential,
        f"integration.{verb}",
        "integration",
        str(integration_id),
        orjson.dumps({"service_name": service_name}).decode(),
        uuid4().hex,
        caller.address,
    ]


SECRET = """
    INSERT INTO integration_secrets (integration_id, path, ciphertext, set_at)
    SELECT $1, path, ciphertext, $2 FROM unnest($3::text[], $4::bytea[]) AS new (path, ciphertext)
    ON CONFLICT (integration_id, path) DO UPDATE SET ciphertext = excluded.ciphertext, set_at = excluded.set_at"""


def noted(first: int) -> str:
    """The audit's entry as a part of a statement, its nine places from `first` on."""
    places = ", ".join(f"${n}" for n in range(first, first + 9))
    return f"""INSERT INTO audit_entries
        (actor_id, actor, credential, action, object_type, object_id, details, request_id, address) VALUES ({places})"""


@asynccontextmanager
async def locked(db: asyncpg.Connection, lock: str) -> AsyncIterator[None]:
    """A transaction that begins with a lock, in one round trip."""
    try:
        await db.execute(f"BEGIN; {lock}")
        yield
    except Exception:
        await db.execute("ROLLBACK")
        raise
    await db.execute("COMMIT")


def lock_of(integration_id: UUID) -> str:
    """Keeps other edits out."""
    return f"SELECT FROM integrations WHERE id = '{integration_id}' FOR UPDATE"


@app.get("/integrations/all")
async def list_all(caller: Viewer) -> Response:
    """All, newest first."""
    rows = await caller.db.fetch(f"SELECT i.*, {RUNNING} FROM integrations i ORDER BY created_at DESC, id DESC")
    return answer(integrations=[shown(row) for row in rows])


@app.get("/integrations/id/{integration_id}")
async def get_one(caller: Viewer, integration_id: UUID) -> Response:
    """One."""
    return answer(integration=shown(await found(caller, integration_id)))


@app.post("/integrations/create")
async def create(caller: Creator, sent: Sent) -> Response:
    """A new one."""
    public, password, new = *apart(sent.config), uuid4()
    row = await caller.db.fetchrow(
        CREATE,
        *written(new, sent, public, sealed_in(new, password)),
        caller.id,
        1,
        fingerprint(public),
        None,
        None,
        False,
        None,
        *entry(caller, "create", new, sent.service_name),
    )
    assert row is not None
    return answer(201, integration=shown(row))


CREATE = f"""
    WITH made AS (
        INSERT INTO integrations
        (id, service_name, auth_type, config, is_active, user_id, config_revision, created_at, updated_at,
         fingerprint, watermark, shown_last_synced, needs_full, needs_connection)
        VALUES ($1, $5, $6, $7, $8, $9, $10, $2, $2, $11, $12, $13, $14, $15)
        RETURNING *, NULL AS running_run_id),
    stored AS ({SECRET}), noted AS ({noted(16)})
    SELECT * FROM made
"""


@app.put("/integrations/update/{integration_id}")
async def update(caller: Editor, integration_id: UUID, sent: Sent) -> Response:
    """Another one in its place."""
    public, password = apart(sent.config)
    async with locked(caller.db, lock_of(integration_id)):
        before = await found(caller, integration_id, f", {PATHS}")
        if password is None and not before["secret_paths"]:
            raise HTTPException(422, "config.password: the mask stands where no secret is stored")
        row = await caller.db.fetchrow(
            UPDATE,
            *written(integration_id, sent, public, sealed_in(integration_id, password)),
            before["config_revision"] + 1,
            fingerprint(public),
            None,
            None,
            fingerprint(public) != before["fingerprint"],
            None,
            before["running_run_id"],
            ["/password"],
            *entry(caller, "update", integration_id, sent.service_name),
        )
        assert row is not None
    return answer(integration=shown(row))


UPDATE = f"""
    WITH changed AS (
        UPDATE integrations SET service_name = $5, auth_type = $6, config = $7, is_active = $8,
        config_revision = $9, updated_at = $2, fingerprint = $10, watermark = $11, shown_last_synced = $12,
        needs_full = $13, needs_connection = $14
        WHERE id = $1 RETURNING *, $15::uuid AS running_run_id),
    dropped AS (DELETE FROM integration_secrets WHERE integration_id = $1 AND path <> ALL($16)),
    stored AS ({SECRET}), noted AS ({noted(17)})
    SELECT * FROM changed
"""


@app.delete("/integrations/delete/{integration_id}")
async def delete(caller: Deleter, integration_id: UUID) -> Response:
    """Gone for good."""
    run = f"integration_id = '{integration_id}' AND state IN ('queued', 'running')"
    async with locked(caller.db, f"SELECT FROM sync_runs WHERE {run} FOR UPDATE; {lock_of(integration_id)}"):
        row = await found(caller, integration_id)
        await caller.db.fetchrow(DELETE, integration_id, *entry(caller, "delete", integration_id, row["service_name"]))
    return answer(message="Integration deleted successfully")


DELETE = f"""
    WITH gone AS (DELETE FROM integrations WHERE id = $1 RETURNING id), noted AS ({noted(2)}) SELECT * FROM gone
"""


@app.post("/integrations/sync/{integration_id}")
async def sync(
    caller: Syncer, integration_id: UUID, last_event_id: Annotated[str, Header(alias="Last-Event-ID")]
) -> StreamingResponse:
    """The events of a run that is over, after the one named."""
    run, _, seq = last_event_id.partition(":")
    row = await caller.db.fetchrow("SELECT * FROM sync_runs WHERE id = $1", UUID(run))
    if row is None:
        raise HTTPException(404, "Sync run not found")
    events = await caller.db.fetch(
        "SELECT seq, event, payload FROM sync_events WHERE run_id = $1 AND seq > $2 ORDER BY seq", row["id"], int(seq)
    )

    async def frames() -> AsyncIterator[bytes]:
        for event in events:
            yield f"id: {run}:{event['seq']}\nevent: {event['event']}\ndata: {event['payload']}\n\n".encode()

    return StreamingResponse(frames(), media_type="text/event-stream")


@app.get("/knowledge/incidents/{number}")
async def incident(caller: Reader, number: str) -> Response:
    """An incident as the head of its dataset has it."""
    rows = await caller.db.fetch(AT_HEAD, number)
    if len(rows) != 1:
        raise HTTPException(409 if rows else 404, "Incident not found")
    return answer(incident=_incident(rows[0]))


AT_HEAD = """
    SELECT r.document_id AS id, r.dataset_id, r.number, d.external_id, c.title, c.text, c.notes, c.attributes, c.url,
           r.source_updated_at, v.published_at AS synced_at, r.change, r.valid_from, s.head, w.state
    FROM datasets s
    JOIN revisions r ON r.dataset_id = s.id AND r.number = $1 AND r.valid_from <= s.head AND r.valid_to > s.head
    JOIN versions w ON w.dataset_id = s.id AND w.number = s.head
    JOIN documents d ON d.id = r.document_id JOIN contents c ON c.id = r.content_id
    LEFT JOIN versions v ON v.dataset_id = r.dataset_id AND v.number = r.valid_from
    LIMIT 2
"""


def _incident(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "number": row["number"],
        "external_id": row["external_id"],
        "integration_id": str(row["dataset_id"]),
        "title": row["title"],
        "text": row["text"],
        "notes": orjson.loads(row["notes"]),
        "attributes": orjson.loads(row["attributes"]),
        "url": row["url"],
        "source_updated_at": moment(row["source_updated_at"]),
        "synced_at": moment(row["synced_at"]),
        "version": row["head"],
        "change": row["change"],
        "changed_in": row["valid_from"],
    }


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FastAPI]:
    """The application with its pool. Connections are given back as they are: nothing here changes their state."""

    async def as_it_is(_: asyncpg.Connection) -> None:
        return None

    options: dict[str, str] = {"jit": "off"}
    dsn = url.replace("postgresql+asyncpg://", "postgresql://", 1)
    pool = asyncpg.create_pool(dsn, min_size=1, max_size=POOL_SIZE, server_settings=options, reset=as_it_is)
    async with pool:
        app.state.pool = pool
        yield app


if __name__ == "__main__":
    serve(opened)
