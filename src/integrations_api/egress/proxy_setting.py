"""The setting EGRESS_PROXY, taken apart."""

from pydantic import SecretStr

from integrations_api.egress.guard import EgressRefused, Proxy, target_of
from integrations_api.errors import ConfigurationError

_WRONG = "Wrong settings: EGRESS_PROXY: expected http://user:password@host:port or https://…, without a path"


def read_proxy(setting: SecretStr | None) -> Proxy | None:
    """EGRESS_PROXY, taken apart. Raises `ConfigurationError`, which never shows a part of it."""
    if setting is None:
        return None
    import httpx

    try:
        url = httpx.URL(setting.get_secret_value())
        at = target_of(scheme=url.scheme, host=url.raw_host.decode("ascii"), port=url.port)
    except (httpx.InvalidURL, EgressRefused, ValueError):
        raise ConfigurationError(_WRONG) from None
    # A user with a colon cannot be told from its password in what is sent; a path shows a sign that was not escaped.
    if url.raw_path != b"/" or url.fragment or ":" in url.username:
        raise ConfigurationError(f"{_WRONG}; @ : / ? # of a password are written as %40 %3A %2F %3F %23")
    return Proxy(at, url.username, SecretStr(url.password)) if url.userinfo else Proxy(at)
