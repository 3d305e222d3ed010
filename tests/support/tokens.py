"""Access tokens without an authorization server behind them, for tests of connectors."""

from dataclasses import dataclass, field


@dataclass
class GivenTokens:
    """Hands out the first of `tokens`, and the next one each time the one in use was refused."""

    tokens: list[str] = field(default_factory=lambda: ["token-1", "token-2"])
    refused: list[str] = field(default_factory=list)
    """What was given back as refused, in order."""

    async def current(self) -> str:
        return self.tokens[min(len(self.refused), len(self.tokens) - 1)]

    async def renewed(self, refused: str) -> str:
        if refused == await self.current():
            self.refused.append(refused)
        return await self.current()
