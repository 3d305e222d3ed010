"""The shapes that help-desk stories are written in."""

from msgspec import Struct


class Problem(Struct, frozen=True):
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


class Theme(Struct, frozen=True):
    """A field of work of the help desk: where its tickets are filed, and what goes wrong there."""

    category: str
    subcategory: str
    group: str
    services: tuple[str, ...]
    problems: tuple[Problem, ...]
