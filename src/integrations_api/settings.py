"""Every setting of the service, from the environment or a `.env` file, with a sentence each.

`.env.example` is tested against this file. A malformed value, or an unknown name in one of our families
(`SYNC_…`, `EGRESS_…`), stops the start and is named.
"""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from dotenv.parser import parse_stream
from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from integrations_api.errors import ConfigurationError
from integrations_api.setting_values import (
    Authorities,
    Duration,
    FileName,
    HomePath,
    Origins,
    PositiveDuration,
    Proxies,
    SecondToDay,
    Words,
    is_address_of_a_service,
    missing_file_of_tls,
    names_one_server,
    names_several_servers,
)

_FAMILIES = (
    "SYNC_", "EGRESS_", "KNOWLEDGE_", "LOG_", "STREAM_", "STREAMS_", "WORKER_", "ACCESS_", "RAW_", "ENCRYPTION_",
    "CORS_", "EMBEDDINGS_", "METRICS_", "TRUSTED_",
)  # fmt: skip
_SERVICE_LINK = re.compile(r".+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
"""What Kubernetes sets in each container for every Service of its namespace, and so for one called `embeddings`:
https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables"""


SHORTEST_METRICS_TOKEN = 16


class Settings(BaseSettings):
    """One typed value for each setting; built by `load_settings`, handed down, never read at import."""

    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", extra="forbid", frozen=True, env_ignore_empty=False
    )

    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL to use, postgresql://user:password@host/database; "
        "?sslmode=verify-full&sslrootcert=FILE behind it encrypts the way there. "
        "Unset: the bundled PostgreSQL under DATA_DIR, for one machine.",
    )
    data_dir: HomePath = Field(Path("data"), description="Folder of the bundled PostgreSQL and its generated keys.")
    database_pool_size: int = Field(10, ge=2, le=200, description="Database connections one process may hold.")
    secret_key: SecretStr | None = Field(
        None,
        description="Signs bearer tokens; at least 32 characters. Made at first start with the bundled database, "
        "required with DATABASE_URL. `integrations-api secrets generate` prints one.",
    )
    encryption_keys: SecretStr | None = Field(
        None,
        description="Encrypts stored secrets: id:base64 of 32 bytes, comma-separated; the first encrypts, all "
        "decrypt. Made at first start with the bundled database, required with DATABASE_URL.",
    )
    host: str = Field("127.0.0.1", min_length=1, description="Address `serve` listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port `serve` listens on.")
    public_url: str = Field(
        default_factory=lambda known: f"http://127.0.0.1:{known.get('port') or 8000}",
        description="Where clients reach this service: one-time links begin with it, and an OAuth sign-in sends the "
        "browser back there. Unset: this machine, at PORT.",
    )
    trusted_proxies: Proxies = Field(
        (),
        description="Addresses or CIDR ranges of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are "
        "believed; comma-separated.",
    )
    access_token_minutes: int = Field(60, ge=1, le=60 * 24 * 30, description="Life of a bearer token, in minutes.")
    max_body_bytes: int = Field(1_000_000, ge=1000, description="Largest request body that is read, in bytes.")

    access_rate_factor: float = Field(
        1.0, ge=0, le=1000, description="Multiplies what a user may do of expensive things; 0 switches limits off."
    )
    cors_origins: Origins = Field(
        (),
        description="Origins, such as https://admin.example.com, whose pages may call this service from a browser; "
        "comma-separated. Empty: none but its own.",
    )

    sync_batch_size: int = Field(5, ge=1, le=1000, description="Incidents named by one progress event.")
    sync_page_size: int = Field(1000, ge=1, le=10_000, description="Records asked for in one request.")
    sync_fetch_concurrency: int = Field(4, ge=1, le=16, description="Ranges of one source read at the same time.")
    sync_overlap: Duration = Field(
        timedelta(minutes=5), description="How far an incremental sync reads back behind its watermark."
    )
    sync_chunk_size: int = Field(2000, ge=1, le=10_000, description="Incidents written in one transaction.")
    sync_retry_budget: PositiveDuration = Field(
        timedelta(minutes=10),
        description="How long one request to a source may be retried before the run fails; half a minute where the "
        "source cannot be reached when the run begins.",
    )
    sync_stall_timeout: PositiveDuration = Field(
        timedelta(minutes=15),
        description="A run without progress for this long is taken away and tried again.",
    )
    sync_delete_brake: float = Field(
        0.2, ge=0, le=1, description="A sync that would remove more than this share of a dataset is held for your word."
    )
    sync_delete_brake_minimum: int = Field(
        50, ge=1, description="Removing fewer documents than this is never held, whatever their share."
    )
    sync_pause_after_failures: int = Field(
        5, ge=1, le=1000, description="After so many failed syncs in a row a scheduled integration pauses itself."
    )
    sync_requests_per_host: int = Field(
        8,
        ge=1,
        le=100,
        description="Requests to one host at the same time, over all integrations, workers and machines.",
    )
    sync_keep_events: PositiveDuration = Field(
        timedelta(days=30), description="How long the event log of a finished run is kept."
    )
    knowledge_keep_versions: int | None = Field(
        None,
        ge=1,
        description="How many published versions of a dataset are kept: the newest, and those that a rollback went "
        "back to. Empty: all.",
    )
    knowledge_keep_raw_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Days after which the raw records of a finished sync are deleted; they are needed when a release "
        "maps records in another way. Empty: the newest of each incident is kept for ever.",
    )
    sync_max_attempts: int = Field(
        5, ge=1, le=100, description="How often a run is begun without getting any further before it fails."
    )
    raw_dump_path: FileName = Field(
        "src/data/incidentspulledfromsnow.json",
        description="File that gets the raw records of the latest fetch, as one JSON array; empty switches it off.",
    )
    worker_concurrency: int = Field(4, ge=1, le=64, description="Runs one worker carries out at the same time.")
    worker_silence: SecondToDay = Field(
        timedelta(seconds=10),
        description="A worker that was not heard of for this long has lost its runs: they go on elsewhere.",
    )
    stream_ping: PositiveDuration = Field(
        timedelta(seconds=15), description="How often an idle event stream sends a comment, to stay open."
    )
    streams_per_user: int = Field(
        2000, ge=1, description="Event streams one user may have open at the same time at one process."
    )

    egress_allowed_hosts: Words = Field(
        (),
        description="Hosts, host:port or CIDR ranges that may be reached though private, by plain http, or at another "
        "port than 443 and 8443; comma-separated.",
    )
    egress_ca_file: Authorities | None = Field(
        None, description="PEM file of private certificate authorities to trust."
    )
    egress_proxy: SecretStr | None = Field(
        None,
        description="Forward proxy that every connection to a source goes through, such as "
        "http://user:password@proxy.example.com:3128. HTTP_PROXY and its like are never read.",
    )
    egress_no_proxy: Words = Field(
        (),
        description="Hosts, host:port, addresses or CIDR ranges of addresses that are reached directly although "
        "EGRESS_PROXY is set; comma-separated.",
    )
    egress_timeout: PositiveDuration = Field(
        timedelta(seconds=70), description="Longest wait for a source to answer one request."
    )
    egress_max_response_bytes: int = Field(
        200_000_000, ge=1_000_000, description="Largest answer read from a source, decompressed, in bytes."
    )

    embeddings_url: str | None = Field(
        None,
        description="Service with an OpenAI-compatible /v1/embeddings, such as https://api.openai.com/v1: search then "
        "also finds by meaning, where PostgreSQL has pgvector. Its host needs no other setting to be reached.",
    )
    embeddings_model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Model asked of that service. After a change texts are embedded anew while the old model answers.",
    )
    embeddings_api_key: SecretStr | None = Field(None, description="Bearer token for that service, where it wants one.")
    embeddings_batch: int = Field(64, ge=1, le=2048, description="Texts embedded by one request.")

    metrics_token: SecretStr | None = Field(
        None,
        description="Bearer token, of 16 characters at least, that `GET /metrics` asks for. Unset: the API's port "
        "gives no metrics.",
    )
    metrics_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of its own where `serve` gives its metrics, without a token unless METRICS_TOKEN is set. "
        "Empty: none.",
    )
    worker_metrics_port: int | None = Field(
        None, ge=0, le=65535, description="The same for a worker, also for the one that `serve` starts. Empty: none."
    )
    metrics_host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address of these ports; one that other machines reach needs METRICS_TOKEN.",
    )

    log_format: Literal["text", "json"] = Field("text", description="Shape of log lines: text or json.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe line logged.")

    @model_validator(mode="before")
    @classmethod
    def _leave_compose_its_own(cls, values: Any) -> Any:
        """docker-compose.yml reads the same `.env`; its password for the database is no setting of ours."""
        if isinstance(values, dict):
            values.pop("postgres_password", None)
        return values

    @field_validator(
        "database_url",
        "secret_key",
        "encryption_keys",
        "egress_ca_file",
        "egress_proxy",
        "knowledge_keep_versions",
        "knowledge_keep_raw_days",
        "embeddings_url",
        "embeddings_model",
        "embeddings_api_key",
        "metrics_token",
        "metrics_port",
        "worker_metrics_port",
        mode="before",
    )
    @classmethod
    def _empty_means_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("database_url", "embeddings_api_key", "metrics_token", mode="before")
    @classmethod
    def _without_the_end_of_a_line(cls, value: Any) -> Any:
        """What is kept in a file brings one with it (Kubernetes, Docker), and nobody could send it."""
        return value.strip() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _names_the_driver(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        scheme, separator, rest = value.get_secret_value().partition("://")
        if not separator or scheme not in {"postgresql", "postgres", "postgresql+asyncpg"}:
            raise ValueError("expected postgresql://user:password@host:port/database")
        if names_several_servers(rest):
            raise ValueError("name one address, that leads to the primary also after a failover, and not several hosts")
        if not names_one_server(rest):
            raise ValueError("the host or port cannot be read; @ : / of a password are written as %40 %3A %2F")
        if (name := missing_file_of_tls(rest)) is not None:
            raise ValueError(f"there is no file where {name} says")
        return SecretStr(f"postgresql+asyncpg://{rest}")

    @field_validator("public_url")
    @classmethod
    def _is_where_clients_go(cls, value: str) -> str:
        if not is_address_of_a_service(value):
            raise ValueError("expected an address such as https://integrations.example.com, without a query")
        return value

    @field_validator("embeddings_url")
    @classmethod
    def _is_a_plain_address(cls, value: str | None) -> str | None:
        if value is not None and not is_address_of_a_service(value):
            raise ValueError("expected an address such as https://api.openai.com/v1; a key goes to EMBEDDINGS_API_KEY")
        return value

    @field_validator("metrics_token")
    @classmethod
    def _cannot_be_guessed(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < SHORTEST_METRICS_TOKEN:
            raise ValueError(f"must have at least {SHORTEST_METRICS_TOKEN} characters")
        return value

    @field_validator("metrics_host")
    @classmethod
    def _keeps_metrics_at_home(cls, value: str, info: ValidationInfo) -> str:
        if value not in {"localhost", "127.0.0.1", "::1"} and info.data.get("metrics_token") is None:
            raise ValueError("other machines could read the metrics there: set METRICS_TOKEN too, or use 127.0.0.1")
        return value

    @model_validator(mode="after")
    def _names_a_model(self) -> "Settings":
        if self.embeddings_url is not None and self.embeddings_model is None:
            raise ValueError("EMBEDDINGS_MODEL is required with EMBEDDINGS_URL: name one that the service offers")
        return self

    @property
    def uses_bundled_database(self) -> bool:
        """Whether no DATABASE_URL is given, so that the bundled PostgreSQL is started."""
        return self.database_url is None


def load_settings(**overrides: Any) -> Settings:
    """Reads the environment and `.env`; `overrides` win over both.

    Raises `ConfigurationError` that names each wrong setting and never shows its value.
    """
    _refuse_unknown_names()
    try:
        _refuse_broken_lines(Path(".env"))
        return Settings(**overrides)
    except OSError as error:
        raise ConfigurationError(f".env cannot be read ({error.strerror}): let it belong to who runs this") from None
    except UnicodeDecodeError:
        raise ConfigurationError(".env is not UTF-8 text: save it as UTF-8 without a byte order mark") from None
    except ValidationError as error:
        lines = [
            ": ".join([*_named(problem["loc"]), _in_words(problem["type"], problem["msg"])])
            for problem in error.errors(include_input=False, include_url=False, include_context=False)
            if problem["type"] != "default_factory_not_called"  # Another setting, before it, is wrong.
        ]
        raise ConfigurationError("Wrong settings: " + "; ".join(lines)) from None


def _named(place: tuple[int | str, ...]) -> list[str]:
    """The setting's name; none where several settings do not fit together: then the message names them."""
    return [".".join(str(part) for part in place).upper()] if place else []


def _in_words(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such setting (see .env.example)"
    return message.removeprefix("Value error, ")


def _refuse_broken_lines(path: Path) -> None:
    """A line that sets nothing would be passed over in silence; it is named by its number, for it may be a secret."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as stream:
        for line in parse_stream(stream):
            if line.error or (line.key is not None and line.value is None):
                blank = len(line.original.string) - len(line.original.string.lstrip("\r\n"))
                number = line.original.line + line.original.string[:blank].count("\n")
                raise ConfigurationError(f"Wrong settings: line {number} of .env: expected NAME=value")


def _refuse_unknown_names() -> None:
    known = {name.upper() for name in Settings.model_fields}
    ours = (name for name in os.environ if name.startswith(_FAMILIES) and not _SERVICE_LINK.fullmatch(name))
    unknown = sorted(name for name in ours if name not in known)
    if unknown:
        raise ConfigurationError(f"Wrong settings: {unknown[0]}: there is no such setting (see .env.example)")
