"""Which keys are secret by their name, and how a secret looks from outside."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

MASK = "********"

_SECRET_WORDS = (
    "password",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "authorization",
    "credential",
)
_NOT_A_LETTER = re.compile(r"[\W_]+")
# Letters of other alphabets that look like Latin ones and that NFKC leaves alone.
_LOOKALIKES = str.maketrans(
    "аеорсхуіјѕԁһкмтвнгпԝɡıɩοαερτυκνιχγς",
    "aeopcxyijsdhkmtbhrnwgiioaeptukvixyc",
)


def is_secret_key(name: str) -> bool:
    """Whether a config key is secret by its name: any case, spelling or look-alike of the words above, or containing
    one (`api-key`, `apiKey`, `X_AUTH_TOKEN`, `ｐａｓｓｗｏｒｄ`)."""
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold())
    plain = "".join(c for c in decomposed if unicodedata.category(c) not in {"Mn", "Cf"})
    squeezed = _NOT_A_LETTER.sub("", plain.translate(_LOOKALIKES))
    return any(word in squeezed for word in _SECRET_WORDS)


def masked(value: Any, *, is_secret: Callable[[str], bool] = is_secret_key) -> Any:
    """A copy of a JSON value with everything under a secret key, at any depth, replaced by the mask.

    An object or list under a secret key is hidden whole, its own keys too; null stays null.
    """
    if isinstance(value, Mapping):
        return {
            key: MASK if child is not None and is_secret(str(key)) else masked(child, is_secret=is_secret)
            for key, child in value.items()
        }
    if isinstance(value, list | tuple):
        return [masked(child, is_secret=is_secret) for child in value]
    return value
