"""The typed registry of the parts a process is made of."""

from typing import Any, TypeVar, cast

T = TypeVar("T")


class Components:
    """Each part under its own type; `wiring` fills it, routers and tests look things up."""

    def __init__(self) -> None:
        self._parts: dict[type[Any], Any] = {}

    def add(self, part: T, *, as_: type[T] | None = None) -> T:
        """Registers a part under its class, or under the protocol or base class given as `as_`; returns it."""
        kind = as_ or type(part)
        if kind in self._parts:
            raise ValueError(f"There is a {kind.__name__} among the components already")
        self._parts[kind] = part
        return part

    def __getitem__(self, kind: type[T]) -> T:
        """The part of that type. Raises `LookupError` that names a missing one."""
        try:
            return cast(T, self._parts[kind])
        except KeyError:
            raise LookupError(f"No {kind.__name__} among the components: wire it in wiring.py") from None

    def __contains__(self, kind: type[Any]) -> bool:
        return kind in self._parts
