"""The typed registry of the parts an application is made of, and how a route asks for one."""

from functools import cache
from typing import Any, Generic, TypeVar, cast

from starlette.applications import Starlette
from starlette.requests import Request

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


def install_components(app: Starlette, components: Components) -> None:
    """Puts the registry where `component` finds it."""
    app.state.components = components


class ComponentOf(Generic[T]):
    """A dependency that gives the part of one type."""

    def __init__(self, kind: type[T]) -> None:
        self.kind = kind

    # A coroutine, although nothing is awaited: FastAPI would send a plain function to a thread.
    async def __call__(self, request: Request) -> T:
        """Raises `LookupError`."""
        components: Components = request.app.state.components
        return components[self.kind]


@cache
def component(kind: type[T]) -> ComponentOf[T]:
    """The dependency, the same for all who ask: `Annotated[Vault, Depends(component(Vault))]`."""
    return ComponentOf(kind)
