"""An administrator's JQL is judged before it is sent, and stands between other conditions unharmed."""

import pytest

from integrations_api.connectors.jira.jql import EVERYTHING, filter_problem, joined, scope


@pytest.mark.parametrize(
    "text",
    [
        "", "project = OPS", 'summary ~ "order by hand"', "status in (Open, 'In Progress') AND (a = 1 OR b = 2)",
        r'summary ~ "a \" quote)"', "text ~ 'he said \"no\"'", "reorder = by",
        r"component = a\(b\)", "path ~ a\\",
    ],
)  # fmt: skip
def test_a_sound_filter_passes(text: str) -> None:
    assert filter_problem(text) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("project = OPS ORDER BY created", "ORDER BY"),
        ("project = OPS order   by key DESC", "ORDER BY"),
        ("(ORDER BY key)", "ORDER BY"),
        ("project = OPS) OR (project = SECRET", "not opened"),
        ("(project = OPS", "not closed"),
        (r'a = \" ) OR (b = "x\""', "not opened"),
        (r"a = \' ) OR (b = 'x\''", "not opened"),
        ('summary ~ "open', "quote"),
        ("project = OPS\nAND x = 1", "line breaks"),
        ("x" * 5000, "longer"),
    ],
)
def test_a_filter_that_would_not_stay_in_its_place_is_refused(text: str, words: str) -> None:
    assert words in str(filter_problem(text))


def test_projects_and_filter_are_one_condition() -> None:
    assert scope("a = 1 OR b = 2", ["OPS", "AND"]) == 'project in ("OPS", "AND") AND (a = 1 OR b = 2)'
    assert scope("", []) == ""


def test_a_query_is_never_without_a_condition() -> None:
    assert joined("", "") == EVERYTHING
