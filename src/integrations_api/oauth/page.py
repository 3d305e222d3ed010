"""The page that a browser sees when it comes back: words, and nothing of what it brought."""

import base64
import hashlib
from html import escape

_STYLE = "body { font: 16px/1.5 sans-serif; max-width: 32rem; margin: 15vh auto; padding: 0 1rem }"
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
"""Exactly this style, and nothing else. The address of the page holds code and state: no other server hears of it."""


def page(*, title: str, text: str) -> str:
    """A page with a headline and a paragraph, both as text."""
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title><style>{_STYLE}</style>\n"
        f'<h1>{escape(title)}</h1><p role="status">{escape(text)}</p></html>\n'
    )
