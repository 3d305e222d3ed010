"""What a soak says in the end."""

from collections.abc import Sequence

from bench.soak.life import Life
from bench.soak.samples import HISTORY, Samples, is_flat, thirds

WARM_UP = 4.0
"""Minutes. A shorter soak ends before versions and event logs have come to what is kept of them."""


def print_report(life: Life, samples: Samples, differences: Sequence[str | None], *, minutes: float) -> bool:
    """Prints the table, the rest, and what follows from it; whether all is well."""
    print("\n| medians of a third | start | middle | end | |\n|---|---|---|---|---|")
    verdicts = {name: is_flat(name, values) for name, values in samples.lines.items()}
    grow = [name for name, verdict in verdicts.items() if verdict is False]
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
    wrong = [f"{name} grows" for name in grow]
    wrong += [f"{life.unexpected.total()} answers or log lines were not expected"] if life.unexpected else []
    wrong += [f"{len(differences) - equal} datasets differ"] if equal < len(differences) else []
    print(f"\nNot well: {'; '.join(wrong)}" if wrong else "\nAll is well")
    if grow and minutes < WARM_UP:
        print(f"What grows in less than {WARM_UP:g} minutes may be warming up: try longer")
    return not wrong


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
