"""`python -m bench [PART … [OPTION …]]`: runs the named parts, or all of them but those that take long."""

import importlib
import sys
from itertools import takewhile

PARTS = ("sync", "api", "stream", "start", "retrieval", "search", "vectors", "diff", "workers")
WHEN_NAMED = ("soak", "sizes", "limits")


def main(arguments: list[str]) -> int:
    """Runs the parts named before the first option; the options go to each of them."""
    names = list(takewhile(lambda word: not word.startswith("-"), arguments))
    unknown = [name for name in names if name not in PARTS + WHEN_NAMED]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS + WHEN_NAMED)}", file=sys.stderr)
        return 2
    for name in names or PARTS:
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main(arguments[len(names) :])
    return 0


sys.exit(main(sys.argv[1:]))
