"""The shapes that help-desk stories are written in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One recurring problem, told in several wordings.

    Texts may name slots in braces (see `company.words`). Wordings of one problem share their vocabulary, as the
    tickets of
    a real recurring problem do, so that a similarity search has something to find.
    """

    titles: tuple[str, ...]
    details: tuple[str, ...]
    notes: tuple[str, ...]
    comments: tuple[str, ...]
    fixes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Theme:
    """A field of work of the help desk: where its tickets are filed, and what goes wrong there."""

    category: str
    subcategory: str
    group: str
    services: tuple[str, ...]
    problems: tuple[Problem, ...]
