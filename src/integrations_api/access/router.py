"""`/auth`: signing in and out, one's own credentials. `/users`: those of others. `/audit`: who did what."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from fastapi.security import OAuth2PasswordRequestForm
from pydantic import AwareDatetime

from integrations_api.access.account import Account
from integrations_api.access.administration import Link, UserAdministration
from integrations_api.access.api_keys import ApiKeys
from integrations_api.access.dependencies import PUBLIC, KeyMaker, Person, SignedIn, require
from integrations_api.access.invitation_page import PAGE, POLICY
from integrations_api.access.permissions import Permission
from integrations_api.access.principal import Principal
from integrations_api.access.rates import Rate
from integrations_api.access.schemas import (
    AUDIT_LINE,
    DISABLED_USER,
    AcceptRequest,
    ApiKeyAnswer,
    ApiKeyOut,
    ApiKeyRequest,
    ApiKeysAnswer,
    AuditAnswer,
    InviteRequest,
    LinkAnswer,
    LinkOut,
    ManagedUser,
    MeAnswer,
    NewApiKeyAnswer,
    PasswordRequest,
    PermissionsRequest,
    TokenAnswer,
    UserAnswer,
    UserOnTheWire,
    UsersAnswer,
)
from integrations_api.access.service import AccessService, UserDetails, normal_email
from integrations_api.access.tokens import IssuedToken
from integrations_api.api.answers import answer, created
from integrations_api.api.components import component
from integrations_api.api.envelope import SuccessMessage
from integrations_api.api.openapi import answers, errors
from integrations_api.api.page_parameters import Cursor, Limit
from integrations_api.api.pagination import DEFAULT_LIMIT
from integrations_api.api.routes import Router
from integrations_api.api.times import WrittenTime
from integrations_api.audit.reading import AuditFilter, AuditReader
from integrations_api.settings import Settings

router = Router(prefix="/auth", tags=["access"])
users = Router(prefix="/users", tags=["access"])
audit = Router(prefix="/audit", tags=["access"])
"""The record; routed here, for who may read it is said by this room, which stands above the audit's."""

Access = Annotated[AccessService, Depends(component(AccessService))]
OwnAccount = Annotated[Account, Depends(component(Account))]
Administration = Annotated[UserAdministration, Depends(component(UserAdministration))]
Chosen = Annotated[Settings, Depends(component(Settings))]
Manager = Annotated[Principal, Depends(require(Permission.USER_MANAGE))]
Keys = Annotated[ApiKeys, Depends(component(ApiKeys))]
UserId = Annotated[UUID, Path(description="The user's id.")]
KeyId = Annotated[UUID, Path(description="The key's id.")]

_NO_KEY = "An API key cannot do this: sign in with e-mail and password"
_NO_USER = "User not found"
_LAST = "Nobody could manage users any more: give somebody else user.manage first"
_VOID = "This link is not valid, was used already, or has expired: ask for a new one"
_SHORT = "must have at least 12 characters"
_WAIT = "Too many attempts: wait 30 seconds"
_KEY_DELETED = {"message": "API key deleted successfully"}


@router.post(
    "/token",
    summary="Sign in",
    dependencies=[PUBLIC],
    responses=errors(401, 413, 415, 422, 429, m401="Wrong e-mail or password", m429=_WAIT),
)
async def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], access: Access) -> TokenAnswer:
    """Gives a bearer token for an e-mail (as `username`) and password: the OAuth2 password form."""
    return _token(await access.sign_in(form.username, form.password))


@router.get("/me", summary="Who am I?", responses=errors(401))
async def me(principal: SignedIn) -> MeAnswer:
    """Tells who the token stands for and which permissions count at this moment."""
    return MeAnswer(user=UserOnTheWire.of(principal))


@router.post(
    "/logout",
    summary="Sign out",
    responses=answers(200, {"message": "Signed out everywhere"}, 401, 403, m403=_NO_KEY),
)
async def sign_out(principal: Person, account: OwnAccount) -> SuccessMessage:
    """Ends this token and every older one of yours, on whatever device."""
    await account.sign_out(principal)
    return SuccessMessage(message="Signed out everywhere")


@router.post(
    "/password",
    summary="Change your password",
    responses=errors(401, 403, 413, 415, 422, 429, m403=_NO_KEY, m422=f"new_password: {_SHORT}", m429=_WAIT),
)
async def change_password(sent: PasswordRequest, principal: Person, account: OwnAccount) -> TokenAnswer:
    """Ends every older token of yours; the answer holds the one to go on with."""
    changed = await account.change_password(principal, current=sent.current_password, new=sent.new_password)
    return _token(changed)


@router.get("/invitation", dependencies=[PUBLIC], include_in_schema=False)
async def invitation_page() -> HTMLResponse:
    """What a one-time link opens."""
    return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})


@router.post(
    "/invitation",
    summary="Set a password by a one-time link",
    dependencies=[PUBLIC],
    responses=errors(404, 413, 415, 422, m404=_VOID, m422=f"password: {_SHORT}"),
)
async def accept(sent: AcceptRequest, administration: Administration) -> UserAnswer:
    """Uses up the token of an invitation or reset; older bearer tokens of the user end."""
    return _user(await administration.accept(sent.token, sent.password))


@router.get(
    "/sign-ins",
    summary="List your sign-ins",
    response_model=AuditAnswer,
    responses=errors(401, 403, 422, m403=_NO_KEY),
)
async def list_sign_ins(
    person: Person, account: OwnAccount, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Response:
    """When and from where somebody came in as you, or was refused, newest first; tokens that an operator made for you
    too. If you do not know one of them: change your password, which ends every older token."""
    entries, next_cursor = await account.sign_ins(person, limit=limit, cursor=cursor)
    return answer(entries=entries, next_cursor=next_cursor)


@router.post(
    "/api-keys",
    summary="Make an API key",
    status_code=201,
    response_model=NewApiKeyAnswer,
    responses=errors(401, 403, 409, 413, 415, 422, 429, m403=_NO_KEY, m409="You have 50 API keys: delete one first"),
)
async def make_key(sent: ApiKeyRequest, person: KeyMaker, keys: Keys, request: Request) -> Response:
    """For scripts: `Authorization: Bearer iak_…`. It may do what is named here and what you may do at the moment it
    is used; it ends with its expiry or its deletion, and opens nothing while you are disabled. It is shown only now."""
    made = await keys.make(name=sent.name, permissions=sent.permissions, days=sent.expires_in_days, principal=person)
    new = NewApiKeyAnswer(api_key=ApiKeyOut.of(made.details), key=made.text)
    return created(answer(**new.model_dump(mode="json")), request, f"/auth/api-keys/{made.details.id}")


@router.get("/api-keys", summary="List your API keys", responses=errors(401, 403, m403=_NO_KEY))
async def list_keys(person: Person, keys: Keys) -> ApiKeysAnswer:
    """Your keys, newest first, the expired ones too; never any part of a key."""
    return ApiKeysAnswer(api_keys=[ApiKeyOut.of(key) for key in await keys.of_user(person.user_id)])


@router.get(
    "/api-keys/{key_id}",
    summary="Get an API key",
    responses=errors(401, 403, 404, 422, m403=_NO_KEY, m404="API key not found"),
)
async def get_key(key_id: KeyId, person: Person, keys: Keys) -> ApiKeyAnswer:
    """One key of yours; never any part of the key itself."""
    return ApiKeyAnswer(api_key=ApiKeyOut.of(await keys.get(key_id, of=person.user_id)))


@router.delete(
    "/api-keys/{key_id}",
    summary="Delete an API key",
    responses=answers(200, _KEY_DELETED, 401, 403, 404, 422, m403=_NO_KEY, m404="API key not found"),
)
async def delete_key(key_id: KeyId, person: Person, keys: Keys) -> SuccessMessage:
    """Ends a key of yours from the next request on."""
    await keys.delete(key_id, principal=person)
    return SuccessMessage(message="API key deleted successfully")


@users.get("", summary="List users", responses=errors(401, 403, 422))
async def list_users(
    _: Manager, administration: Administration, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> UsersAnswer:
    """Everybody, by e-mail."""
    page, next_cursor = await administration.page(limit=limit, cursor=cursor)
    return UsersAnswer(users=[ManagedUser.of(user) for user in page], next_cursor=next_cursor)


@users.post(
    "",
    summary="Invite a user",
    status_code=201,
    response_model=LinkAnswer,
    responses=errors(
        401, 403, 409, 413, 415, 422,
        m403="Missing permission: knowledge.purge",
        m409="There is a user ada@example.com already",
        m422="email: must be an e-mail address such as ada@example.com",
    ),
)  # fmt: skip
async def invite(
    sent: InviteRequest, principal: Manager, administration: Administration, chosen: Chosen, request: Request
) -> Response:
    """Makes a user who sets his password by the link in the answer, within three days. You can give only what you
    have yourself. No mail is sent: pass the link on over a channel you trust."""
    user, link = await administration.invite(email=sent.email, permissions=sent.permissions, by=principal)
    return created(answer(**_link(user, link, chosen).model_dump(mode="json")), request, f"/users/{user.id}")


@users.get("/{user_id}", summary="Get a user", responses=errors(401, 403, 404, 422, m404=_NO_USER))
async def get_user(user_id: UserId, _: Manager, administration: Administration) -> UserAnswer:
    """One user: his state and what he may do."""
    return _user(await administration.get(user_id))


@users.put(
    "/{user_id}/permissions",
    summary="Say what a user may do",
    responses=errors(401, 403, 404, 409, 413, 415, 422, m404=_NO_USER, m409=_LAST),
)
async def set_permissions(
    user_id: UserId, sent: PermissionsRequest, principal: Manager, administration: Administration
) -> UserAnswer:
    """Replaces his permissions, from his next request on. You need every one he has and every one he gets."""
    return _user(await administration.set_permissions(user_id, sent.permissions, by=principal))


@users.post(
    "/{user_id}/disable",
    summary="Disable a user",
    responses=answers(200, {"user": DISABLED_USER}, 401, 403, 404, 409, 422, m404=_NO_USER, m409=_LAST),
)
async def disable(user_id: UserId, principal: Manager, administration: Administration) -> UserAnswer:
    """Ends his access from the next request on, whatever credential he uses. You need every permission he has."""
    return _user(await administration.disable(user_id, by=principal))


@users.post(
    "/{user_id}/enable",
    summary="Enable a user",
    responses=errors(401, 403, 404, 422, m404=_NO_USER),
)
async def enable(user_id: UserId, principal: Manager, administration: Administration) -> UserAnswer:
    """Lets a disabled user sign in again, with the permissions he had. Older tokens stay void; API keys of his that
    have not expired open again: delete those that must not."""
    return _user(await administration.enable(user_id, by=principal))


@users.post(
    "/{user_id}/reset",
    summary="Reset a user's password",
    responses=errors(
        401, 403, 404, 409, 422, m404=_NO_USER, m409="The user ada@example.com is disabled: enable him first"
    ),
)
async def reset(user_id: UserId, principal: Manager, administration: Administration, chosen: Chosen) -> LinkAnswer:
    """Gives a link with which he sets a new password (or his first); a link given before is void. The old password
    works until then: to shut somebody out at once, disable him."""
    user, link = await administration.reset(user_id, by=principal)
    return _link(user, link, chosen)


@users.get(
    "/{user_id}/api-keys",
    summary="List a user's API keys",
    responses=errors(401, 403, 404, 422, m404=_NO_USER),
)
async def list_keys_of(user_id: UserId, _: Manager, administration: Administration, keys: Keys) -> ApiKeysAnswer:
    """His keys, newest first, the expired ones too; never any part of a key."""
    user = await administration.get(user_id)
    return ApiKeysAnswer(api_keys=[ApiKeyOut.of(key) for key in await keys.of_user(user.id)])


@users.delete(
    "/{user_id}/api-keys/{key_id}",
    summary="Delete a user's API key",
    responses=answers(200, _KEY_DELETED, 401, 403, 404, 422, m404="API key not found"),
)
async def delete_key_of(
    user_id: UserId, key_id: KeyId, principal: Manager, administration: Administration
) -> SuccessMessage:
    """Ends a key of his from the next request on. You need every permission he has."""
    await administration.delete_key(user_id, key_id, by=principal)
    return SuccessMessage(message="API key deleted successfully")


async def audit_filter(
    actor: Annotated[
        str | None, Query(max_length=300, description="E-mail, or the process that acted; in any case.")
    ] = None,
    action: Annotated[str | None, Query(max_length=100, description="Such as `integration.update`.")] = None,
    object_type: Annotated[str | None, Query(max_length=100, description="Such as `integration` or `user`.")] = None,
    object_id: Annotated[str | None, Query(max_length=300, description="The id of what it was done to.")] = None,
    since: Annotated[WrittenTime[AwareDatetime] | None, Query(description="From this time on.")] = None,
    until: Annotated[WrittenTime[AwareDatetime] | None, Query(description="Before this time.")] = None,
) -> AuditFilter:
    """Which entries are asked for. Actors are written down in small letters, as e-mails are."""
    return AuditFilter(normal_email(actor) if actor else actor, action, object_type, object_id, since, until)


@audit.get("", summary="Read the audit", response_model=AuditAnswer, responses=errors(401, 403, 422))
async def read_audit(
    _: Annotated[Principal, Depends(require(Permission.AUDIT_VIEW))],
    wanted: Annotated[AuditFilter, Depends(audit_filter)],
    reader: Annotated[AuditReader, Depends(component(AuditReader))],
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Response:
    """Who did what, newest first, narrowed by any of the filters. Secrets are never in it."""
    entries, next_cursor = await reader.page(wanted, limit=limit, cursor=cursor)
    return answer(entries=entries, next_cursor=next_cursor)


@audit.get(
    "/export",
    summary="Export the audit",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One entry on each line, oldest first.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}, "example": AUDIT_LINE}},
        },
        **errors(401, 403, 422, 429),
    },
)
async def export_audit(
    principal: Annotated[Principal, Depends(require(Permission.AUDIT_VIEW, Rate.EXPORT))],
    wanted: Annotated[AuditFilter, Depends(audit_filter)],
    reader: Annotated[AuditReader, Depends(component(AuditReader))],
) -> StreamingResponse:
    """Every entry the filters leave, of any number, as lines of JSON. That it was exported is itself an entry."""
    lines = await reader.export(wanted, by=principal)
    return StreamingResponse(
        lines,
        media_type="application/x-ndjson",
        headers={"Content-Disposition": 'attachment; filename="audit.ndjson"'},
    )


def _token(token: IssuedToken) -> TokenAnswer:
    return TokenAnswer(access_token=token.text, expires_in=int(token.lifetime.total_seconds()))


def _user(user: UserDetails) -> UserAnswer:
    return UserAnswer(user=ManagedUser.of(user))


def _link(user: UserDetails, link: Link, settings: Settings) -> LinkAnswer:
    url = f"{settings.public_url.rstrip('/')}/auth/invitation#{link.token}"
    return LinkAnswer(user=ManagedUser.of(user), link=LinkOut(url=url, token=link.token, expires_at=link.expires_at))
