"""Whether a password is among the first that anybody would try. Rules and words of our own; pure.

Guessing programs begin with common words, their doublings, names of the product, runs of the keyboard and dates, all
with the usual letters swapped for digits. A rule covers all of those at once, where a list has only those it lists.
"""

import re

_WORDS = (
    "password", "passwort", "passphrase", "pass", "administrator", "admin", "root", "user", "login", "signin", "guest",
    "default", "changeme", "change", "letmein", "welcome", "hello", "iloveyou", "love", "secret", "master", "super",
    "system", "server", "service", "servicenow", "jira", "github", "integration", "integrations", "knowledge",
    "incident", "database", "postgres", "oracle", "company", "office", "test", "testing", "demo", "temp", "temporary",
    "spring", "summer", "autumn", "winter", "january", "february", "march", "april", "june", "july", "august",
    "september", "october", "november", "december", "monday", "friday", "sunday", "dragon", "monkey", "football",
    "baseball", "princess", "sunshine", "shadow", "starwars", "pokemon", "computer", "internet", "please", "access",
    "open", "trust",
)  # fmt: skip
_RUNS = (
    "abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm",
    "azertyuiop", "qsdfghjklm", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p", "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
)  # fmt: skip
_BOTH_WAYS = tuple(run for forward in _RUNS for run in (forward, forward[::-1]))
_SHORTEST_RUN = 4
_SWAPPED = str.maketrans("0134578@$!+|", "oieastbasitl")
_LEAST_LEFT = 6
"""Characters that must be left when everything common is taken away: `Password2026!` leaves five."""
_LEAST_DISTINCT = 5
_LONGEST_FIRST = sorted(_WORDS, key=len, reverse=True)


def is_common(password: str) -> bool:
    """Whether too little is left of a password without the words, runs and repeats that anybody tries."""
    text = password.casefold()
    if len(set(text)) < _LEAST_DISTINCT or _is_repeated(text):
        return True
    return min(_left(text), _left(text.translate(_SWAPPED))) < _LEAST_LEFT


def _is_repeated(text: str) -> bool:
    """Whether the whole is one piece several times over."""
    return text in (text + text)[1:-1]


def _left(text: str) -> int:
    """How many characters stand in no common word and no run; what only separates does not count."""
    for word in _LONGEST_FIRST:
        text = text.replace(word, " ")
    return len(re.sub(r"[\s_.-]+", "", _without_runs(text)))


def _without_runs(text: str) -> str:
    kept, at = [], 0
    while at < len(text):
        length = _run_at(text, at)
        if length < _SHORTEST_RUN:
            kept.append(text[at])
            length = 1
        at += length
    return "".join(kept)


def _run_at(text: str, at: int) -> int:
    """How many characters from `at` on follow each other in a run, or are the same."""
    best = len(text) - at - len(text[at:].lstrip(text[at]))
    for run in _BOTH_WAYS:
        length = 1
        while at + length < len(text) and text[at : at + length + 1] in run:
            length += 1
        best = max(best, length)
    return best
