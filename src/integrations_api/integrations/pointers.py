"""JSON pointers (RFC 6901): where a value stands in a config."""

from collections.abc import Sequence
from typing import Any


def child(pointer: str, key: str | int) -> str:
    """The pointer of a member or an item of what stands at `pointer`."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def parts(pointer: str) -> list[str]:
    """Keys and indexes from the outside in; none for the whole document."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def dotted(pointer: str) -> str:
    """As fields are named to clients: `config.accounts.0.password`."""
    return ".".join(["config", *parts(pointer)])


def put(document: Any, pointer: str, value: Any) -> None:
    """Replaces what stands at `pointer`, in place; KeyError or IndexError where nothing does."""
    *outer, last = parts(pointer)
    node = document
    for part in outer:
        node = node[_step(node, part)]
    step = _step(node, last)
    node[step]  # must be there: a secret without its place is a defect
    node[step] = value


def _step(node: Any, part: str) -> Any:
    return int(part) if isinstance(node, Sequence) else part
