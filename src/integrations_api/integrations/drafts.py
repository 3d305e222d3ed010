"""An integration as it was sent, checked and ready to be taken apart. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from integrations_api.connectors.registry import ServiceDescription, find_service
from integrations_api.errors import FieldProblem, InvalidInput
from integrations_api.integrations.applications import Application, application_of
from integrations_api.integrations.last_synced import KEY, take_last_synced
from integrations_api.integrations.origins import holds_credentials
from integrations_api.integrations.schemas import AuthType, IntegrationIn
from integrations_api.integrations.shapes import check_shape


@dataclass(frozen=True, slots=True)
class Draft:
    """What a client wants an integration to be; `config` still holds secrets or masks, and no `lastSynced`."""

    service_name: str
    auth_type: AuthType
    is_active: bool
    config: dict[str, Any] = field(repr=False)
    last_synced: datetime | None
    service: str | None
    """The known service it is, by its own name; None for one there is no connector for."""
    secret_names: Collection[str]
    fingerprint: str | None
    application: Application | None
    """What its tokens are for, where it signs in by oauth2."""
    missing: Sequence[FieldProblem]
    """Keys the service needs and the config lacks; a mere rename is stored all the same, and its sync will say so."""


def draft_of(sent: IntegrationIn, *, now: datetime) -> Draft:
    """Checks everything that can be checked without the stored row, but leaves it to the caller to refuse `missing`.

    Raises `InvalidInput` that lists all problems, missing keys too, where anything else is wrong.
    """
    shape = check_shape(sent.config)
    if shape:
        raise InvalidInput.of(shape)
    known = find_service(sent.service_name)
    config, last_synced, problems = _without_last_synced(sent.config, now)
    problems += _config_problems(known, sent.auth_type, config)
    missing = [problem for problem in problems if known and _is_missing(problem, known, sent.auth_type, config)]
    if len(missing) < len(problems):
        raise InvalidInput.of(problems)
    return Draft(
        service_name=sent.service_name,
        auth_type=sent.auth_type,
        is_active=sent.is_active,
        config=config,
        last_synced=last_synced,
        service=known.name if known else None,
        secret_names=known.secret_keys if known else (),
        fingerprint=known.fingerprint(config) if known and not missing else None,
        application=application_of(sent.service_name, sent.auth_type, config),
        missing=missing,
    )


def service_of(service_name: str) -> str | None:
    """The known service a name stands for, by its first word."""
    known = find_service(service_name)
    return known.name if known else None


def _is_missing(problem: FieldProblem, known: ServiceDescription, auth_type: AuthType, config: dict[str, Any]) -> bool:
    required = known.required_keys(auth_type, config)
    return any(problem.field == f"config.{key}" and config.get(key) in (None, "") for key in required)


def _without_last_synced(
    config: dict[str, Any], now: datetime
) -> tuple[dict[str, Any], datetime | None, list[FieldProblem]]:
    try:
        rest, moment = take_last_synced(config, now=now)
    except InvalidInput as wrong:
        return {key: config[key] for key in config if key != KEY}, None, list(wrong.problems)
    return rest, moment, []


def _config_problems(
    known: ServiceDescription | None, auth_type: AuthType, config: dict[str, Any]
) -> list[FieldProblem]:
    problems = list(known.validate(auth_type, config)) if known else []
    url = config.get("url")
    named = {problem.field for problem in problems}
    if isinstance(url, str) and holds_credentials(url) and "config.url" not in named:
        problems.append(
            FieldProblem("config.url", "must not hold a user name or password: they have keys of their own")
        )
    return problems
