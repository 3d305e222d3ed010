"""The doctor's look at keys: whether they are fit, and open what is stored. Nothing of either is shown but key ids."""

from contextlib import aclosing

from integrations_api.connectors.records import Check
from integrations_api.errors import ConfigurationError
from integrations_api.integrations.secrets import SecretKeeper
from integrations_api.operations.looking import AS_WHO_SERVES, Place
from integrations_api.settings import Settings
from integrations_api.vault.bootstrap import KEYS_FILE, ProcessSecrets, is_open_to_others, resolve_secrets
from integrations_api.vault.cipher import Vault

SAMPLES = 20
"""Stored secrets that are opened; `secrets check` opens all."""
_KEPT = "Look first for those that were in use before: stored secrets open under no others"


def own_keys(settings: Settings) -> Check:
    """The keys by themselves, where no row can be asked."""
    found = _resolved(settings)
    return found if isinstance(found, Check) else _well(settings, f"{_named(found)}; no stored secret was tried")


async def stored_secrets(place: Place) -> Check:
    """Whether every key that rows need is there, and some of the secrets open."""
    secrets = _resolved(place.settings)
    if isinstance(secrets, Check):
        return secrets
    keeper = SecretKeeper(sessions=place.sessions, vault=Vault(secrets.keyring))
    try:
        await keeper.require_keys()
    except ConfigurationError as error:
        return Check("keys", "failed", error.message, "It is in a backup of the settings; put it behind the first")
    tried, troubles = await _sampled(keeper)
    seen = f"{_named(secrets)}; {tried - troubles} of {tried} stored secrets that were tried open"
    if troubles:
        return Check("keys", "failed", seen, "`integrations-api secrets check` names those that do not")
    return _well(place.settings, seen)


def _resolved(settings: Settings) -> ProcessSecrets | Check:
    try:
        if _makes_its_keys(settings) and not (settings.data_dir / KEYS_FILE).exists():
            remedy = "`integrations-api serve` makes them at its first start"
            return Check("keys", "warning", "there are none yet", remedy)
        return resolve_secrets(settings, may_write=False)
    except ConfigurationError as error:
        return Check("keys", "failed", error.message, _KEPT)
    except OSError:
        return Check("keys", "failed", f"{KEYS_FILE} under DATA_DIR cannot be looked for", AS_WHO_SERVES)


def _makes_its_keys(settings: Settings) -> bool:
    return settings.uses_bundled_database and None in (settings.secret_key, settings.encryption_keys)


def _named(secrets: ProcessSecrets) -> str:
    first, *others = secrets.keyring.ids
    return f"SECRET_KEY is fit; key {first} seals" + (f", {', '.join(others)} open too" if others else "")


def _well(settings: Settings, seen: str) -> Check:
    path = settings.data_dir / KEYS_FILE
    if _makes_its_keys(settings) and is_open_to_others(path):
        return Check("keys", "warning", f"{seen}; other users can read {KEYS_FILE}", f"Run chmod 600 {path}")
    return Check("keys", "ok", seen)


async def _sampled(keeper: SecretKeeper) -> tuple[int, int]:
    """How many secrets were opened, and how many of them did not open."""
    tried = troubles = 0
    async with aclosing(keeper.check()) as checks:
        async for trouble in checks:
            tried += 1
            troubles += trouble is not None
            if tried == SAMPLES:
                break
    return tried, troubles
