"""What the demo shows: on a terminal with a live bar, elsewhere as plain lines that a log can keep."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from integrations_api.demo.api import StreamEvent
from integrations_api.errors import ApplicationError

_LINES = 10
"""How many lines of progress there are at most where there is no terminal."""


class Screen:
    """Lines and the bar. Nothing is wrapped: what is to be pasted stays on one line."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def say(self, text: str = "") -> None:
        """A plain line."""
        self._console.print(text, soft_wrap=True, markup=False)

    def fact(self, label: str, value: str) -> None:
        """A labelled line."""
        self._console.print(f"  [bold]{label:<12}[/bold]", end="")
        self.say(value)

    def title(self, text: str) -> None:
        """A headline."""
        self._console.print()
        self._console.print(text, style="bold", soft_wrap=True, markup=False)

    def follow(self, events: Iterable[StreamEvent]) -> dict[str, Any]:
        """Shows a sync as it goes on; gives the `complete` event. Raises `ApplicationError` when it fails."""
        last = self._bar(events) if self._console.is_terminal else self._lines(events)
        if last is None:
            raise ApplicationError("The stream ended before the sync did")
        if last.name == "error":
            raise ApplicationError(str(last.data["message"]))
        return last.data

    def _bar(self, events: Iterable[StreamEvent]) -> StreamEvent | None:
        columns = (
            SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"),
        )  # fmt: skip
        last = None
        with Progress(*columns, console=self._console) as progress:
            bar = progress.add_task("", total=None)
            for last in events:
                if last.name == "progress":
                    count = len(last.data.get("incidents", ()))
                    progress.update(
                        bar, advance=count, total=last.data.get("totalIncidents"), description=last.data["message"]
                    )
            progress.update(bar, description="")
        return last

    def _lines(self, events: Iterable[StreamEvent]) -> StreamEvent | None:
        last = None
        for last in events:
            if last.name == "progress" and _is_worth_a_line(last.data):
                self.say(f"  {last.data['message']}")
        return last


def _is_worth_a_line(data: dict[str, Any]) -> bool:
    """Everything before the batches; of these the last, and a few on the way."""
    batch, total = int(data["batch"]), int(data["totalBatches"])
    return batch == 0 or batch == total or batch % max(1, -(-total // _LINES)) == 0
