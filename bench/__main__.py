"""`python -m bench [PART …]`: runs the named parts, or all of them but those that take long."""

import importlib
import sys

PARTS = ("sync", "watchers", "retrieval", "search", "vectors", "diff", "workers")
WHEN_NAMED = ("soak", "sizes", "limits")


def main(arguments: list[str]) -> int:
    """Runs the parts named before the first option; the options go to each of them."""
    names = [word for word in arguments if not word.startswith("-") and word in PARTS + WHEN_NAMED]
    options = [word for word in arguments if word not in names]
    for name in names or PARTS:
        print(f"== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main(options)
    return 0


sys.exit(main(sys.argv[1:]))
