"""Bounds on configs. Pure."""

from typing import Any

import pytest

from integrations_api.integrations.shapes import check_shape


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth > 1 else {"a": 1}


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"url": "https://x", "n": 1, "f": 1.5, "b": True, "none": None, "list": [1, [2]]},
        nested(20),
        {str(n): n for n in range(200)},
        {"k" * 200: "v" * 32_768},
        {"list": list(range(2000))},
        {"": "an empty key", "schlüssel": "ключ 🔑"},
        {"big": 2**64 - 1, "small": -(2**63)},
    ],
)
def test_ordinary_configs_pass(config: dict[str, Any]) -> None:
    assert check_shape(config) == []


@pytest.mark.parametrize(
    ("config", "field", "words"),
    [
        (nested(21), "config", "deeper than 20"),
        (nested(900), "config", "deeper than 20"),
        ({str(n): n for n in range(201)}, "config", "more than 200 keys"),
        ({"a": {str(n): n for n in range(150)}, "b": {str(n): n for n in range(60)}}, "config", "more than 200 keys"),
        ({"list": list(range(2001))}, "config", "more than 2000 list items"),
        ({"a": {"k" * 201: 1}}, "config.a", "longer than 200"),
        ({"a": "v" * 32_769}, "config.a", "longer than 32768"),
        ({"a": ["x\x00y"]}, "config.a.0", "NUL"),
        ({"a\x00": 1}, "config", "NUL"),
        ({"a": "\ud800"}, "config.a", "surrogates"),
        ({"\udfff": 1}, "config", "surrogates"),
        ({"a": float("nan")}, "config.a", "finite"),
        ({"a": float("-inf")}, "config.a", "finite"),
        ({"a": 2**64}, "config.a", "64 bits"),
        ({1: "a"}, "config", "strings as keys"),
        ({"a": object()}, "config.a", "JSON value"),
    ],
)
def test_what_cannot_be_stored_or_shown_is_refused(config: dict[str, Any], field: str, words: str) -> None:
    problems = check_shape(config)

    assert [problem.field for problem in problems] == [field]
    assert words in problems[0].message


def test_a_config_full_of_mistakes_gets_a_bounded_list() -> None:
    assert len(check_shape({str(n): "\x00" for n in range(200)})) == 20
