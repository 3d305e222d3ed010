"""The product's routes as a template for FastAPI and SQLAlchemy would have them: models, schemas, a session a request.

The ORM in its plain form, on asyncpg, which is the faster way of it: `current_user` reads the user in the request's
session, handlers load objects, change them, commit, refresh, and answer by a `response_model`. It does the twin's work
(secrets sealed, audit written) on the product's models, not more.
"""

import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import StreamingResponse
from fastapi.security import OAuth2PasswordBearer
from jose import jwt
from jose.exceptions import JOSEError
from pydantic import BaseModel, ConfigDict
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import defer

from bench.contestants.serving import AUDIENCE, ISSUER, POOL_SIZE, serve
from integrations_api.access.models import User
from integrations_api.audit.models import AuditEntry
from integrations_api.integrations.models import Integration, IntegrationSecret
from integrations_api.knowledge.models import Content, Dataset, Document, Revision, Version
from integrations_api.sync.models import SyncEvent, SyncRun

SIGNING_KEY = hmac.digest(os.environ["SECRET_KEY"].encode(), b"integrations-api bearer tokens", hashlib.sha256)
SEALING_KEY = AESGCM(hashlib.sha256(os.environ["ENCRYPTION_KEYS"].encode()).digest())
MASK = "********"
ACTIVE = ("queued", "running")

app = FastAPI(openapi_url=None)


class Sent(BaseModel):
    """An integration as it comes."""

    service_name: str
    auth_type: Literal["basic_auth", "api_token", "oauth2"]
    config: dict[str, Any]
    is_active: bool


class IntegrationOut(BaseModel):
    """An integration as it leaves."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    service_name: str
    auth_type: str
    config: dict[str, Any]
    is_active: bool
    last_synced_at: datetime | None
    last_sync_status: str | None
    last_sync_error: str | None
    updated_at: datetime
    user_id: UUID | None
    next_sync_at: datetime | None
    running_run_id: UUID | None = None
    schedule_cron: str | None
    schedule_zone: str | None
    paused_reason: str | None
    needs_connection: str | None


class One(BaseModel):
    """An answer with one."""

    success: bool = True
    integration: IntegrationOut


class Many(BaseModel):
    """An answer with all."""

    success: bool = True
    integrations: list[IntegrationOut]


class Message(BaseModel):
    """An answer in words."""

    success: bool = True
    message: str


class IncidentOut(BaseModel):
    """An incident as it leaves."""

    id: UUID
    number: str
    external_id: str
    integration_id: UUID
    title: str
    text: str
    notes: list[dict[str, Any]]
    attributes: dict[str, Any]
    url: str | None
    source_updated_at: datetime | None
    synced_at: datetime | None
    version: int
    change: str
    changed_in: int


class IncidentAnswer(BaseModel):
    """An answer with an incident."""

    success: bool = True
    incident: IncidentOut


async def get_session(request: Request) -> AsyncIterator[AsyncSession]:
    """One for the request."""
    async with request.app.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]
Token = Annotated[str, Depends(OAuth2PasswordBearer(tokenUrl="auth/token"))]


async def current_user(session: Session, token: Token) -> User:
    """The user of a valid token, as his row is now."""
    try:
        claims = jwt.decode(token, SIGNING_KEY, algorithms=["HS256"], audience=AUDIENCE, issuer=ISSUER)
    except JOSEError:
        raise HTTPException(401, "sign in") from None
    user = await session.get(User, UUID(claims["sub"]))
    if user is None or user.disabled_at is not None or user.token_generation != claims["gen"]:
        raise HTTPException(401, "sign in")
    return user


def permitted(permission: str) -> Callable[[User], Coroutine[Any, Any, User]]:
    """A dependency: the current user, who may do this."""

    async def check(user: Annotated[User, Depends(current_user)]) -> User:
        if permission not in user.permissions:
            raise HTTPException(403, f"Missing permission: {permission}")
        return user

    return check


Viewer = Annotated[User, Depends(permitted("integration.view"))]
Creator = Annotated[User, Depends(permitted("integration.create"))]
Editor = Annotated[User, Depends(permitted("integration.edit"))]
Deleter = Annotated[User, Depends(permitted("integration.delete"))]
Syncer = Annotated[User, Depends(permitted("integration.sync"))]
Reader = Annotated[User, Depends(permitted("knowledge.view"))]


async def found(session: AsyncSession, integration_id: UUID) -> Integration:
    """The object, or 404."""
    row = await session.get(Integration, integration_id)
    if row is None:
        raise HTTPException(404, "Integration not found")
    return row


async def running_run(session: AsyncSession, integration_id: UUID) -> UUID | None:
    """The run that is going on."""
    return await session.scalar(
        select(SyncRun.id).where(SyncRun.integration_id == integration_id, SyncRun.state.in_(ACTIVE))
    )


def audited(session: AsyncSession, user: User, verb: str, row: Integration) -> None:
    """Who did it."""
    session.add(
        AuditEntry(
            actor_id=user.id,
            actor=user.email,
            action=f"integration.{verb}",
            object_type="integration",
            object_id=str(row.id),
            details={"service_name": row.service_name},
        )
    )


def sealed(integration_id: UUID, password: str) -> bytes:
    """The ciphertext to store."""
    nonce = os.urandom(12)
    return nonce + SEALING_KEY.encrypt(nonce, password.encode(), str(integration_id).encode())


async def one(session: AsyncSession, row: Integration) -> One:
    """The answer."""
    shown = IntegrationOut.model_validate(row)
    shown.running_run_id = await running_run(session, row.id)
    return One(integration=shown)


@app.get("/integrations/all", response_model=Many)
async def list_all(session: Session, _: Viewer) -> Any:
    """All, newest first."""
    rows = (await session.scalars(select(Integration).order_by(Integration.created_at.desc()))).all()
    active = await session.execute(select(SyncRun.integration_id, SyncRun.id).where(SyncRun.state.in_(ACTIVE)))
    running = {row.integration_id: row.id for row in active}
    shown = [IntegrationOut.model_validate(row) for row in rows]
    for integration in shown:
        integration.running_run_id = running.get(integration.id)
    return Many(integrations=shown)


@app.get("/integrations/id/{integration_id}", response_model=One)
async def get_one(session: Session, _: Viewer, integration_id: UUID) -> Any:
    """One."""
    return await one(session, await found(session, integration_id))


@app.post("/integrations/create", response_model=One, status_code=201)
async def create(session: Session, user: Creator, sent: Sent) -> Any:
    """A new one."""
    password = sent.config["password"]
    row = Integration(id=uuid4(), user_id=user.id, **sent.model_dump(exclude={"config"}))
    row.config = {**sent.config, "password": MASK}
    session.add(row)
    await session.flush()
    session.add(IntegrationSecret(integration_id=row.id, path="/password", ciphertext=sealed(row.id, password)))
    audited(session, user, "create", row)
    await session.commit()
    await session.refresh(row)
    return await one(session, row)


@app.put("/integrations/update/{integration_id}", response_model=One)
async def update(session: Session, user: Editor, integration_id: UUID, sent: Sent) -> Any:
    """Another one in its place."""
    row = await session.get(Integration, integration_id, with_for_update=True)
    if row is None:
        raise HTTPException(404, "Integration not found")
    secret = await session.get(IntegrationSecret, (integration_id, "/password"))
    password = sent.config["password"]
    if secret is None:
        session.add(IntegrationSecret(integration_id=row.id, path="/password", ciphertext=sealed(row.id, password)))
    elif password != MASK:
        secret.ciphertext = sealed(row.id, password)
    row.service_name, row.auth_type, row.is_active = sent.service_name, sent.auth_type, sent.is_active
    row.config = {**sent.config, "password": MASK}
    row.config_revision += 1
    row.updated_at = func.now()
    audited(session, user, "update", row)
    await session.commit()
    await session.refresh(row)
    return await one(session, row)


@app.delete("/integrations/delete/{integration_id}", response_model=Message)
async def delete(session: Session, user: Deleter, integration_id: UUID) -> Any:
    """Gone for good."""
    row = await found(session, integration_id)
    await running_run(session, integration_id)
    audited(session, user, "delete", row)
    await session.delete(row)
    await session.commit()
    return Message(message="Integration deleted successfully")


@app.post("/integrations/sync/{integration_id}")
async def sync(
    session: Session, _: Syncer, integration_id: UUID, last_event_id: Annotated[str, Header(alias="Last-Event-ID")]
) -> StreamingResponse:
    """The events of a run that is over, after the one named."""
    run_id, _colon, seq = last_event_id.partition(":")
    run = await session.get(SyncRun, UUID(run_id))
    if run is None:
        raise HTTPException(404, "Sync run not found")
    question = select(SyncEvent).where(SyncEvent.run_id == run.id, SyncEvent.seq > int(seq)).order_by(SyncEvent.seq)
    events = (await session.scalars(question)).all()

    async def frames() -> AsyncIterator[str]:
        for event in events:
            yield f"id: {run_id}:{event.seq}\nevent: {event.event}\ndata: {event.payload}\n\n"

    return StreamingResponse(frames(), media_type="text/event-stream")


@app.get("/knowledge/incidents/{number}", response_model=IncidentAnswer)
async def incident(session: Session, _: Reader, number: str) -> Any:
    """An incident as the head of its dataset has it."""
    question = (
        select(Revision, Document, Content, Version, Dataset.head)
        .join(Dataset, Dataset.id == Revision.dataset_id)
        .join(Document, Document.id == Revision.document_id)
        .join(Content, Content.id == Revision.content_id)
        .outerjoin(Version, (Version.dataset_id == Revision.dataset_id) & (Version.number == Revision.valid_from))
        .where(Revision.number == number, Revision.valid_from <= Dataset.head, Revision.valid_to > Dataset.head)
        .options(defer(Content.tsv))
    )
    rows = (await session.execute(question)).all()
    if len(rows) != 1:
        raise HTTPException(404 if not rows else 409, "Incident not found")
    revision, document, content, version, head = rows[0]
    await session.get(Version, (revision.dataset_id, head))
    shown = IncidentOut(
        id=document.id,
        number=revision.number,
        external_id=document.external_id,
        integration_id=revision.dataset_id,
        title=content.title,
        text=content.text,
        notes=content.notes,
        attributes=content.attributes,
        url=content.url,
        source_updated_at=revision.source_updated_at,
        synced_at=version.published_at,
        version=head,
        change=revision.change,
        changed_in=revision.valid_from,
    )
    return IncidentAnswer(incident=shown)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[FastAPI]:
    """The application with its engine."""
    engine = create_async_engine(url, pool_size=POOL_SIZE, max_overflow=0)
    app.state.sessions = async_sessionmaker(engine)
    try:
        yield app
    finally:
        await engine.dispose()


if __name__ == "__main__":
    serve(opened)
