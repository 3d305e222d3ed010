"""HEAD, which every route that knows GET has to answer (RFC 9110, 9.1): probes and `curl -I` ask by it."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Answers HEAD as GET is answered, without the body; of a stream that is its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        asked = {**scope, "method": "GET"}
        has_ended = False

        async def send_head(message: Message) -> None:
            nonlocal has_ended
            if message["type"] == "http.response.start":
                scope["route"] = asked.get("route")  # For what is logged and counted of the request.
                await send(message)
            elif not has_ended:
                has_ended = True
                await send({"type": "http.response.body", "body": b""})

        await self._app(asked, receive, send_head)
