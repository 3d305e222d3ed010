"""`If-Match` (RFC 9110, 13.1.1): which revisions of an integration an edit was made for. Pure."""

import re

_TAG = re.compile(r'"([0-9]{1,18})"')


def revisions_of(if_match: str | None) -> frozenset[int] | None:
    """The revisions an edit may replace; None for any (no header, or `*`).

    A tag that is none of ours, or weak, matches nothing: such an edit is refused rather than made blindly.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tags = (_TAG.fullmatch(tag.strip()) for tag in if_match.split(","))
    return frozenset(int(tag[1]) for tag in tags if tag)
