"""What somebody sees who sets a password by a one-time link: the page's own script, under Node."""

import re
import subprocess

import pytest

from integrations_api.access.invitation_page import PAGE
from tests.support.browsers import NODE
from tests.support.processes import PATIENCE

_SCENE = """
const said = { textContent: "" }, heard = {};
const typed = { value: "a long sentence of my own" };
const form = { password: typed, again: typed, addEventListener: (name, react) => { heard[name] = react; } };
globalThis.document = { forms: [form], getElementById: () => said };
globalThis.location = { hash: "#iai_x", pathname: "/auth/invitation" };
globalThis.history = { replaceState: () => {} };
globalThis.fetch = async () => (%(answer)s);
{%(script)s}
heard.submit({ preventDefault() {} }).catch(() => {}).then(() => console.log(said.textContent));
"""


_SILENCE = "The service did not answer: try again soon."


def shown_after(answer: str) -> str:
    """What the page says once the form was sent and answered like this, an expression of JavaScript."""
    (script,) = re.findall(r"<script>(.*)</script>", PAGE, re.DOTALL)
    scene = _SCENE % {"answer": answer, "script": script}
    done = subprocess.run([NODE, "-e", scene], capture_output=True, text=True, timeout=PATIENCE, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (
            '{ json: async () => ({ success: true, user: { email: "ada@example.com" } }) }',
            "The password is set: ada@example.com can sign in now.",
        ),
        ('{ json: async () => ({ success: false, message: "password: is required" }) }', "password: is required"),
        ('{ json: async () => JSON.parse("<html>502 Bad Gateway") }', _SILENCE),
        ('await Promise.reject(new TypeError("Failed to fetch"))', _SILENCE),
    ],
)
def test_whoever_sends_the_form_is_told_what_came_of_it(answer: str, shown: str) -> None:
    assert shown_after(answer) == shown
