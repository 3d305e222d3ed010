"""`/oauth_auth.do`: a browser comes, its user is signed in already and agrees, and it is sent back with a code."""

import secrets
from urllib.parse import urlencode

from msgspec import Struct

from integrations_api.simulator.common.clock import Clock
from integrations_api.simulator.common.messages import Answer
from integrations_api.simulator.common.signing_in import proves

CODE_SECONDS = 60


class Code(Struct, frozen=True):
    """What a code stands for."""

    client_id: str
    user_name: str
    redirect_uri: str
    challenge: str
    expires_at: int


class Codes:
    """Codes that were given out and not exchanged yet."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._given: dict[str, Code] = {}

    def give(self, params: dict[str, str], user_name: str) -> str:
        code = secrets.token_hex(20)
        self._given[code] = Code(
            client_id=params.get("client_id", ""),
            user_name=user_name,
            redirect_uri=params.get("redirect_uri", ""),
            challenge=params.get("code_challenge", ""),
            expires_at=self.clock.true_now() + CODE_SECONDS,
        )
        return code

    def take(self, form: dict[str, str]) -> str | None:
        """The user of the code in a token request; None where it is wrong in any way. It is used up either way."""
        code = self._given.pop(form.get("code", ""), None)
        if code is None or code.expires_at <= self.clock.true_now():
            return None
        if (code.client_id, code.redirect_uri) != (form.get("client_id"), form.get("redirect_uri")):
            return None
        return code.user_name if proves(form.get("code_verifier", ""), code.challenge) else None


def redirect(redirect_uri: str, **params: str) -> Answer:
    """Sends the browser back; what is empty is left out."""
    told = urlencode({name: value for name, value in params.items() if value})
    return Answer(302, {"Location": f"{redirect_uri}?{told}"})


def page(status: int, text: str) -> Answer:
    """What the browser shows when it cannot be sent back."""
    return Answer.html(f"<!doctype html><title>ServiceNow</title><h1>{text}</h1>", status)
