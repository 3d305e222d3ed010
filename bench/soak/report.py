"""What a soak says in the end."""

from collections.abc import Sequence

from bench.soak.life import Life
from bench.soak.samples import HISTORY, Samples, is_flat, thirds


def print_report(life: Life, samples: Samples, differences: Sequence[str | None]) -> bool:
    """Prints the table and the rest; whether all is well."""
    print("\n| medians of a third | start | middle | end | |\n|---|---|---|---|---|")
    verdicts = {name: is_flat(name, values) for name, values in samples.lines.items()}
    for name, values in samples.lines.items():
        told = " | ".join(f"{value:.1f}" for value in thirds(values))
        print(f"| {name} | {told} | {_WORDS[verdicts[name]]} |")
    _print_tables(samples)
    _print_counts(life)
    equal = sum(difference is None for difference in differences)
    print(f"\n{equal} of {len(differences)} datasets equal their sources")
    for difference in differences:
        if difference is not None:
            print(f"  {difference}")
    return False not in verdicts.values() and not life.unexpected and equal == len(differences)


_WORDS = {True: "flat", False: "**grows**", None: ""}


def _print_tables(samples: Samples) -> None:
    print("\n| MiB with indexes | start | middle | end | |\n|---|---|---|---|---|")
    names = sorted(samples.tables[-1], key=lambda name: -samples.tables[-1][name])
    for name in names[:12]:
        told = " | ".join(f"{value:.2f}" for value in thirds([sizes.get(name, 0.0) for sizes in samples.tables]))
        print(f"| {name} | {told} | {'history' if name in HISTORY else ''} |")


def _print_counts(life: Life) -> None:
    print(f"\nchanges at the sources: {sum(source.changes for source in life.sources)}")
    print(", ".join(f"{name}: {number}" for name, number in sorted(life.counts.items())))
    print(f"\nunexpected: {sum(life.unexpected.values())}")
    for what, number in life.unexpected.most_common(20):
        print(f"  {number} x {what}")
