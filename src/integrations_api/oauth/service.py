"""Connecting an integration with a browser: the address to open, and what to do with what comes back.

The browser that comes back has no bearer token. The `state` it brings is its credential: 256 random bits, kept as a
hash, good once, for ten minutes, for one integration and for as long as the user who began may edit integrations, and
the API key he did it with, if he did.
"""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from msgspec import Struct
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.access.service import AccessService
from integrations_api.audit import service as audit
from integrations_api.clock import Clock
from integrations_api.connectors.errors import ConnectorError
from integrations_api.connectors.oauth import OAuthServer
from integrations_api.connectors.services import origin
from integrations_api.db.engine import Sessions
from integrations_api.egress.guard import EgressPolicy
from integrations_api.errors import ApplicationError, InvalidInput, NotFound
from integrations_api.integrations.applications import Application, redirect_uri_of
from integrations_api.integrations.connection import connected_values
from integrations_api.integrations.for_sync import IntegrationForSync, IntegrationReader
from integrations_api.integrations.repository import find as find_integration
from integrations_api.logs import get_logger
from integrations_api.oauth import repository
from integrations_api.oauth.models import OAuthFlow
from integrations_api.oauth.stored import Tokens, sealed, tokens_of
from integrations_api.oauth.subject import Subject, subject_of
from integrations_api.vault.cipher import Vault
from integrations_api.vault.errors import VaultError

log = get_logger(__name__)

LIFETIME = timedelta(minutes=10)
"""How long somebody has to sign in."""
_VOID = "This sign-in is not known, was completed already, or was begun more than ten minutes ago"
_AGAIN = "Begin again: ask for a new address to sign in at."

_ERRORS = {
    "access_denied": "Access was not granted",
    "invalid_scope": "The service does not know the scopes that were asked for",
    "unauthorized_client": "The service does not let this OAuth application sign in like this",
    "invalid_request": "The service could not read the request",
    "unsupported_response_type": "The service does not let this OAuth application sign in like this",
    "server_error": "The service has a problem",
    "temporarily_unavailable": "The service is not available at the moment",
}
"""What the codes of RFC 6749 (4.1.2.1) mean; any other text of the service is not repeated."""


class AuthorizationRequest(Struct, frozen=True):
    """An authorization request (RFC 6749, 4.1.1) that was begun: the address to open, and until when it is good."""

    url: str
    redirect_uri: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuthorizationResponse:
    """The authorization response (RFC 6749, 4.1.2), as a browser brings it back."""

    state: str = field(repr=False)
    code: str | None = field(repr=False)
    error: str | None
    issuer: str | None


class NotConnected(ApplicationError):
    """A sign-in that did not end in access; `remedy` is a whole sentence."""

    def __init__(self, message: str, remedy: str = _AGAIN, *, reason: str) -> None:
        super().__init__(message)
        self.remedy = remedy
        self.reason = reason
        """A word for the audit."""


class OAuthService:
    """Begins sign-ins and completes them; no transaction is open while the authorization server is asked."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        vault: Vault,
        integrations: IntegrationReader,
        access: AccessService,
        policy: EgressPolicy,
        public_url: str,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._vault = vault
        self._integrations = integrations
        self._access = access
        self._policy = policy
        self._clock = clock
        self.redirect_uri = redirect_uri_of(public_url)
        """Exactly what has to be registered at the service."""

    async def begin(self, integration_id: UUID, *, principal: Principal) -> AuthorizationRequest:
        """Raises `NotFound`, `InvalidInput` for an integration that nobody has to sign in for, and `Unauthenticated`
        for an API key that has ended meanwhile.
        """
        generation = await self._access.generation_of(principal.user_id)
        state, verifier, now = secrets.token_urlsafe(32), secrets.token_urlsafe(48), self._clock()
        try:
            async with self._sessions.begin() as session:
                _, subject = await self._load(session, integration_id)
                session.add(
                    OAuthFlow(
                        state_hash=_hash(state),
                        integration_id=integration_id,
                        user_id=principal.user_id,
                        token_generation=generation,
                        api_key_id=principal.api_key_id,
                        application=subject.application.id,
                        verifier=self._vault.seal(verifier, context=_verifier_context(state)),
                        created_at=now,
                    )
                )
                await _record(session, "connect_begun", integration_id, principal, service=subject.application.service)
        except IntegrityError:  # The integration or the key was deleted while we looked at it.
            if principal.api_key_id is not None:
                await self._access.recognise_key(principal.api_key_id, credential=principal.credential)
            raise NotFound("Integration not found") from None
        url = self._address(subject, state=state, challenge=_challenge(verifier))
        return AuthorizationRequest(url=url, redirect_uri=self.redirect_uri, expires_at=now + LIFETIME)

    def _address(self, subject: Subject, *, state: str, challenge: str) -> str:
        server = subject.application.server
        params = {
            "response_type": "code",
            "client_id": subject.requests.client_id,
            "redirect_uri": self.redirect_uri,
            "state": state,
            **({"scope": " ".join(server.scopes)} if server.scopes else {}),
            **({"code_challenge": challenge, "code_challenge_method": "S256"} if server.pkce else {}),
            **server.authorize_params,
        }
        return f"{server.authorize_url}{'&' if '?' in server.authorize_url else '?'}{urlencode(params)}"

    async def complete(self, brought: AuthorizationResponse) -> str:
        """Exchanges and stores; gives the integration's name. Raises `NotConnected`."""
        flow = await self._take(brought.state)
        try:
            principal = await self._recognise(flow)
            name = await self._connect(flow, brought, principal)
        except NotConnected as failure:
            await self._record_failure(flow, failure)
            raise
        log.info("oauth.connected", integration_id=str(flow.integration_id))
        return name

    async def _take(self, state: str) -> OAuthFlow:
        async with self._sessions.begin() as session:
            flow = await repository.take_flow(session, _hash(state), begun_after=self._clock() - LIFETIME)
        if flow is None:
            raise NotConnected(_VOID, reason="unknown_state")
        return flow

    async def _recognise(self, flow: OAuthFlow) -> Principal:
        """The user who began, with what he, or the API key he did it with, may do now."""
        shown = f"oauth:{flow.state_hash.hex()[:12]}"
        try:
            if flow.api_key_id is not None:
                principal = await self._access.recognise_key(flow.api_key_id, credential=shown)
            else:
                principal = await self._access.recognise(
                    flow.user_id, generation=flow.token_generation, credential=shown
                )
            principal.demand(Permission.INTEGRATION_EDIT)
        except ApplicationError:
            raise NotConnected(
                "Whoever began this sign-in may no longer edit integrations", reason="user_may_not"
            ) from None
        return principal

    async def _connect(self, flow: OAuthFlow, brought: AuthorizationResponse, principal: Principal) -> str:
        async with self._sessions() as session:
            try:
                integration, subject = await self._load(session, flow.integration_id)
            except (NotFound, InvalidInput):
                raise _edited() from None
        if subject.application.id != flow.application:
            raise _edited()
        code = _code_of(brought, subject.application.server)
        tokens = await self._exchanged(subject, code, verifier=self._verifier(flow, brought.state))
        await self._store(subject, tokens, integration, principal)
        return integration.service_name

    def _verifier(self, flow: OAuthFlow, state: str) -> str:
        try:
            return self._vault.open(flow.verifier, context=_verifier_context(state))
        except VaultError:  # The key it was sealed under was taken out within these minutes.
            raise NotConnected(_VOID, reason="unknown_key") from None

    async def _exchanged(self, subject: Subject, code: str, *, verifier: str) -> Tokens:
        asked_at = self._clock()
        sent_verifier = verifier if subject.application.server.pkce else None
        try:
            answer = await subject.requests.by_code(code, redirect_uri=self.redirect_uri, verifier=sent_verifier)
        except ConnectorError as error:
            remedy = f"{error.remedy}. {_AGAIN}" if error.remedy else _AGAIN
            raise NotConnected(error.message, remedy, reason="code_refused") from None
        return tokens_of(answer, asked_at=asked_at)

    async def _store(
        self, subject: Subject, tokens: Tokens, integration: IntegrationForSync, principal: Principal
    ) -> None:
        integration_id, application = subject.integration_id, subject.application.id
        async with self._sessions.begin() as session:
            row = await find_integration(session, integration_id, lock=True)
            if row is None or row.config_revision != integration.config_revision:
                raise _edited()
            await repository.ensure_tokens_row(session, integration_id, application=application)
            await repository.write_tokens(
                session,
                integration_id,
                application=application,
                ciphertext=sealed(tokens, integration_id, self._vault),
                renew_at=tokens.renew_at,
            )
            for name, value in connected_values(row, needs=None, now=self._clock()).items():
                setattr(row, name, value)
            await _record(session, "connected", integration_id, principal, service=subject.application.service)

    async def _load(self, session: AsyncSession, integration_id: UUID) -> tuple[IntegrationForSync, Subject]:
        integration = await self._integrations.load(session, integration_id)
        subject = subject_of(integration, policy=self._policy)
        if subject is None or not subject.application.needs_a_person:
            raise InvalidInput(_nobody_needed(subject.application if subject else None))
        return integration, subject

    async def _record_failure(self, flow: OAuthFlow, failure: NotConnected) -> None:
        async with self._sessions.begin() as session:
            await audit.record(
                session,
                action="integration.connect_failed",
                object_type="integration",
                object_id=flow.integration_id,
                actor="browser",
                actor_id=flow.user_id,
                details={"reason": failure.reason},
            )

    async def prune(self) -> None:
        """Forgets sign-ins that nobody can complete any more."""
        async with self._sessions.begin() as session:
            await repository.forget_flows(session, begun_before=self._clock() - LIFETIME)


def _code_of(brought: AuthorizationResponse, server: OAuthServer) -> str:
    """The code. Raises `NotConnected` where there is none, or where another server than ours speaks (RFC 9207)."""
    if brought.issuer is not None and not _is_from(brought.issuer, server):
        raise NotConnected("The answer comes from another server than was asked", reason="wrong_issuer")
    if brought.error is not None:
        message = _ERRORS.get(brought.error, "The service refused the sign-in")
        raise NotConnected(message, reason=brought.error if brought.error in _ERRORS else "refused")
    if not brought.code:
        raise NotConnected("The answer holds no code", reason="no_code")
    return brought.code


def _is_from(issuer: str, server: OAuthServer) -> bool:
    """Where the issuer's name is not known, its origin must at least be that of the address that was opened."""
    return issuer == server.issuer if server.issuer else origin(issuer) == origin(server.authorize_url)


def _edited() -> NotConnected:
    return NotConnected("The integration was edited or deleted in the meantime", reason="edited")


def _nobody_needed(application: Application | None) -> str:
    if application is None:
        return "This integration does not sign in by OAuth 2.0, or its configuration is not complete"
    return f"Nobody has to sign in for this integration: it gets its tokens by the grant {application.server.grant}"


def _challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _hash(state: str) -> bytes:
    return hashlib.sha256(state.encode("utf-8", "surrogatepass")).digest()


def _verifier_context(state: str) -> str:
    return f"oauth_flows/{_hash(state).hex()}/verifier"


async def _record(
    session: AsyncSession, verb: str, integration_id: UUID, principal: Principal, *, service: str
) -> None:
    await audit.record(
        session,
        action=f"integration.{verb}",
        object_type="integration",
        object_id=integration_id,
        principal=principal,
        details={"service": service},
    )
