"""How a route asks for one of the application's parts."""

from functools import cache
from typing import Generic, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request

from integrations_api.components import Components

T = TypeVar("T")


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
