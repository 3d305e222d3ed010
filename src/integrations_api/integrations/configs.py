"""Configs and their secrets: taking them apart, keeping what comes back masked, putting them together again.

A secret is the whole value under a secret key, whatever its type, so that neither the values nor the keys inside
it are shown. Outside of the vault it exists as JSON text, which brings a number back as a number.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from integrations_api.errors import FieldProblem, InvalidInput
from integrations_api.integrations.origins import holds_credentials, points_elsewhere
from integrations_api.integrations.pointers import child, dotted, parts, put
from integrations_api.vault.mask import MASK, is_secret_key

MAX_POINTER_BYTES = 1000
"""The path of a secret is a primary key, and PostgreSQL's index rows end at 2,700 bytes."""

_WORDS = {"api": "API", "apikey": "API key", "id": "ID", "url": "URL", "uri": "URI", "oauth": "OAuth", "ssh": "SSH"}


@dataclass(slots=True)
class SplitConfig:
    """A config taken apart: `public` is what is shown, in the order it was sent, with secrets as the mask.

    `secrets` are the new ones (JSON pointer to JSON text), `kept` the pointers whose stored secret stays.
    """

    public: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    kept: set[str] = field(default_factory=set)


def split(config: Mapping[str, Any], *, secret_names: Collection[str], stored: Collection[str] = ()) -> SplitConfig:
    """Takes a config apart; `secret_names` are the service's own, for the first level, beside the name rule.

    `stored` are the pointers of the secrets there are. A value that is exactly the mask keeps what is stored at
    the same pointer. Raises `InvalidInput` for a mask where nothing is stored.
    """
    splitter = _Splitter(frozenset(secret_names), frozenset(stored))
    splitter.result.public = splitter.members(config, "")
    if splitter.problems:
        raise InvalidInput.of(splitter.problems)
    return splitter.result


def split_edit(
    config: Mapping[str, Any],
    *,
    secret_names: Collection[str],
    stored: Collection[str],
    before: Mapping[str, Any],
    same_service: bool,
) -> SplitConfig:
    """`split` for an edit of `before`: refuses to keep a secret that the edit would send to another origin.

    `same_service` says whether the connector stays the same; another one has another address of its own where
    the config names none.
    """
    result = split(config, secret_names=secret_names, stored=stored)
    if result.kept and _is_moved(before, result, same_service=same_service):
        kept = [pointer for pointer in _in_order(result.public, "") if pointer in result.kept]
        raise _must_be_entered_again(kept)
    return result


def _is_moved(before: Mapping[str, Any], edited: SplitConfig, *, same_service: bool) -> bool:
    # With the new secrets in it: `token_url` has a secret's name and is an address all the same.
    after = reassemble(edited.public, edited.secrets)
    return points_elsewhere(before, after) or (not same_service and "url" not in after)


def reassemble(public: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """The full config again; `secrets` maps pointers to JSON text. Neither argument is changed."""
    full: dict[str, Any] = orjson.loads(orjson.dumps(public))
    for pointer, text in secrets.items():
        put(full, pointer, orjson.loads(text))
    return full


def changed_keys(before: Mapping[str, Any], after: SplitConfig) -> list[str]:
    """The keys of the first level an edit adds, removes or changes, sorted; a secret entered again counts."""
    old, new = _texts(before), _texts(after.public)
    keys = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
    return sorted(keys | {parts(pointer)[0] for pointer in after.secrets})


def _texts(config: Mapping[str, Any]) -> dict[str, bytes]:
    # As JSON, for to Python 1 equals True, and objects are equal whatever the order of their keys.
    return {key: orjson.dumps(value) for key, value in config.items()}


class _Splitter:
    def __init__(self, secret_names: frozenset[str], stored: frozenset[str]) -> None:
        self.secret_names = secret_names
        self.stored = stored
        self.result = SplitConfig()
        self.problems: list[FieldProblem] = []

    def members(self, node: Mapping[str, Any], pointer: str) -> dict[str, Any]:
        return {
            key: self.value(value, child(pointer, key), is_secret=self._is_secret(key, top=not pointer))
            for key, value in node.items()
        }

    def value(self, value: Any, pointer: str, *, is_secret: bool) -> Any:
        if value == MASK and pointer in self.stored:
            # Also where the name is no longer a secret's: the service may have been renamed since.
            self.result.kept.add(pointer)
            return MASK
        if is_secret or (isinstance(value, str) and holds_credentials(value)):
            return self._secret(value, pointer)
        if isinstance(value, dict):
            return self.members(value, pointer)
        if isinstance(value, list):
            return [self.value(item, child(pointer, i), is_secret=False) for i, item in enumerate(value)]
        return value

    def _is_secret(self, key: str, *, top: bool) -> bool:
        return is_secret_key(key) or (top and key in self.secret_names)

    def _secret(self, value: Any, pointer: str) -> Any:
        if value is None:
            return None
        if _has_mask(value):
            self._problem(pointer, "the mask ******** stands where no secret is stored; send the value itself")
        elif len(pointer.encode()) > MAX_POINTER_BYTES:
            self._problem("", "must not have secrets under such long keys")
        else:
            self.result.secrets[pointer] = orjson.dumps(value).decode()
        return MASK

    def _problem(self, pointer: str, message: str) -> None:
        self.problems.append(FieldProblem(dotted(pointer), message))


def _has_mask(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_mask(inner) for inner in value.values())
    if isinstance(value, list):
        return any(_has_mask(inner) for inner in value)
    return bool(value == MASK)


def _in_order(node: Any, pointer: str) -> list[str]:
    """The pointers of all values that are the mask, in the order they stand in the config."""
    if node == MASK:
        return [pointer]
    members = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [found for key, value in members for found in _in_order(value, child(pointer, key))]


def _must_be_entered_again(pointers: list[str]) -> InvalidInput:
    problems = [
        FieldProblem(dotted(p), f"Re-enter the {_words(p)}: the URL points to another origin") for p in pointers
    ]
    return InvalidInput(problems[0].message, problems)


def _words(pointer: str) -> str:
    """The nearest key of a pointer as people write it: `clientSecret` is "client secret"."""
    key = next((part for part in reversed(parts(pointer)) if not part.isdigit()), "secret")
    spaced = re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", key)).lower().split()
    return " ".join(_WORDS.get(word, word) for word in spaced) or "secret"
