"""`/auth`: signing in, and who am I."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import OAuth2PasswordRequestForm

from integrations_api.access.dependencies import PUBLIC, SignedIn
from integrations_api.access.schemas import MeAnswer, TokenAnswer, UserOnTheWire
from integrations_api.access.service import AccessService
from integrations_api.api.components import component
from integrations_api.api.openapi import errors
from integrations_api.api.routes import Router

router = Router(prefix="/auth", tags=["access"])

Access = Annotated[AccessService, Depends(component(AccessService))]


@router.post(
    "/token",
    summary="Sign in",
    dependencies=[PUBLIC],
    responses=errors(401, 413, 415, 422, m401="Wrong e-mail or password"),
)
async def sign_in(form: Annotated[OAuth2PasswordRequestForm, Depends()], access: Access) -> TokenAnswer:
    """Gives a bearer token for an e-mail (as `username`) and password: the OAuth2 password form."""
    token = await access.sign_in(form.username, form.password)
    return TokenAnswer(access_token=token.text, expires_in=int(token.lifetime.total_seconds()))


@router.get("/me", summary="Who am I?", responses=errors(401))
async def me(principal: SignedIn) -> MeAnswer:
    """Tells who the token stands for and which permissions count at this moment."""
    return MeAnswer(user=UserOnTheWire.of(principal))
