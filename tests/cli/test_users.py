"""`users` and `token`: from the command line to a request that is let in."""

import os
import subprocess

import jose.jwt
import pytest

from integrations_api.cli.child import own_command
from tests.cli.conftest import Run
from tests.support.processes import PATIENCE

PASSWORD = "correct horse battery staple\n"

pytestmark = pytest.mark.usefixtures("on_database")


def create(run: Run, email: str, *more: str) -> None:
    assert run("users", "create", email, "--password-stdin", *more, typed=PASSWORD).code == 0


def test_a_created_user_is_listed_with_his_role(run: Run) -> None:
    create(run, "Ada@example.com", "--role", "admin")
    create(run, "bo@example.com")

    listed = run("users", "list").out.splitlines()

    assert [line.split() for line in listed] == [
        ["ada@example.com", "active", "admin"],
        ["bo@example.com", "active", "viewer"],
    ]


def test_where_there_is_nobody_yet_the_list_says_how_to_make_somebody(run: Run) -> None:
    nobody = run("users", "list")

    assert (nobody.code, nobody.out) == (0, "")
    assert nobody.complaint == "There are no users yet: `integrations-api users create` makes one"


def test_permissions_are_replaced_by_a_role_or_by_name(run: Run) -> None:
    create(run, "ada@example.com")

    by_role = run("users", "set-permissions", "ada@example.com", "--role", "operator")
    by_name = run("users", "set-permissions", "ada@example.com", "audit.view", "integration.view")

    assert by_role.out == "ada@example.com may now: operator\n"
    assert by_name.out == "ada@example.com may now: audit.view, integration.view\n"


def test_a_disabled_user_gets_no_token(run: Run) -> None:
    create(run, "ada@example.com")

    assert run("users", "disable", "ada@example.com").out == "Disabled ada@example.com\n"

    refused = run("token", "ada@example.com")
    assert (refused.code, refused.out) == (1, "")
    assert refused.complaint == (
        "integrations-api: The user ada@example.com is disabled: `integrations-api users enable` lets him in again"
    )
    assert "disabled" in run("users", "list").out


def test_a_user_who_was_disabled_by_mistake_is_let_in_again_with_what_he_had(run: Run) -> None:
    create(run, "ada@example.com", "--role", "admin")
    run("users", "disable", "ada@example.com")

    enabled, twice = (run("users", "enable", "Ada@example.com") for _ in range(2))

    assert (enabled.code, enabled.out, enabled.err) == (0, "Enabled ada@example.com\n", "")
    assert twice == enabled
    assert run("users", "list").out.split() == ["ada@example.com", "active", "admin"]
    assert run("token", "ada@example.com").code == 0


def test_token_prints_the_token_and_nothing_else(run: Run) -> None:
    create(run, "ada@example.com")

    issued = run("token", "ada@example.com", "--hours", "2")

    (token,) = issued.out.splitlines()
    claims = jose.jwt.get_unverified_claims(token)
    assert claims["exp"] - claims["iat"] == 7200
    assert issued.err == ""


def test_a_token_lives_as_long_as_the_settings_say(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_TOKEN_MINUTES", "7")
    create(run, "ada@example.com")

    claims = jose.jwt.get_unverified_claims(run("token", "ada@example.com").out.strip())

    assert claims["exp"] - claims["iat"] == 420


@pytest.mark.parametrize(
    ("arguments", "typed", "code", "said"),
    [
        (("users", "create", "ada@example.com"), "", 2, "--password-stdin"),
        (("users", "create", "ada@example.com", "--role", "boss", "--password-stdin"), PASSWORD, 2, "no role boss"),
        (("users", "create", "ada", "--password-stdin"), PASSWORD, 1, "must be an e-mail address"),
        (("users", "create", "ada@example.com", "--password-stdin"), "short\n", 1, "at least 12 characters"),
        (("users", "set-permissions", "ada@example.com"), "", 2, "--role or permissions"),
        (("users", "set-permissions", "ada@example.com", "integration.fly"), "", 1, "integration.fly is not a perm"),
        (("users", "disable", "nobody@example.com"), "", 1, "There is no user nobody@example.com"),
        (("users", "enable", "nobody@example.com"), "", 1, "There is no user nobody@example.com"),
        (("token", "nobody@example.com"), "", 1, "There is no user nobody@example.com"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    run: Run, arguments: tuple[str, ...], typed: str, code: int, said: str
) -> None:
    refused = run(*arguments, typed=typed)

    assert (refused.code, refused.out) == (code, "")
    assert said in refused.complaint


def test_the_same_user_is_not_created_twice(run: Run) -> None:
    create(run, "ada@example.com")

    again = run("users", "create", "ADA@example.com", "--password-stdin", typed=PASSWORD)

    assert (again.code, again.complaint) == (1, "integrations-api: There is a user ada@example.com already")


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_password_in_another_encoding_is_refused_without_a_part_of_it(locale: str) -> None:
    refused = subprocess.run(
        own_command("users", "create", "ada@example.com", "--password-stdin"),
        input=b"correct horse b\xe4ttery staple\n",
        env={**os.environ, "LC_ALL": locale},
        capture_output=True,
        timeout=PATIENCE,
    )

    assert refused.returncode == 2
    assert refused.stderr == b"integrations-api: The password on standard input is not UTF-8 text\n"
