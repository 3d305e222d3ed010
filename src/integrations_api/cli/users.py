"""`integrations-api users`: who may use the service."""

import sys
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from integrations_api.cli.errors import WrongUsage

if TYPE_CHECKING:
    from integrations_api.access.service import UserDetails

app = typer.Typer(no_args_is_help=True, help="Create, list, disable and enable users, and say what they may do.")

Email = Annotated[str, typer.Argument(help="The user's e-mail address.", show_default=False)]
RoleName = Annotated[str, typer.Option(help="admin, operator or viewer: a usual set of permissions.")]


@app.command("create")
def create(
    email: Email,
    role: RoleName = "viewer",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
    ] = False,
) -> None:
    """Create a user. The password is asked for, or read from standard input; never given as an argument.

    \b
    Examples:
      integrations-api users create ada@example.com --role admin
      pass show ada | integrations-api users create ada@example.com --password-stdin
    """
    permissions = _permissions_of(role)
    password = _password(password_stdin)
    from integrations_api.access.service import AccessService
    from integrations_api.cli.setup import run_with_parts, settings_for_command

    user = run_with_parts(
        settings_for_command(),
        lambda parts: parts[AccessService].create_user(email=email, password=password, permissions=permissions),
    )
    print(f"Created {user.email} ({role})")


@app.command("list")
def list_all() -> None:
    """List all users: e-mail, state, role or permissions.

    \b
    Example:
      integrations-api users list
    """
    from integrations_api.access.service import AccessService
    from integrations_api.cli.setup import run_with_parts, settings_for_command

    users = run_with_parts(settings_for_command(), lambda parts: parts[AccessService].list_users())
    if not users:
        print("There are no users yet: `integrations-api users create` makes one", file=sys.stderr)
    width = max((len(user.email) for user in users), default=0)
    for user in users:
        print(f"{user.email:<{width}}  {user.state:<8}  {_may(user)}")


@app.command("disable")
def disable(email: Email) -> None:
    """End a user's access, from the next request on; tokens given before end, too.

    \b
    Example:
      integrations-api users disable ada@example.com
    """
    from integrations_api.access.service import AccessService
    from integrations_api.cli.setup import run_with_parts, settings_for_command

    user = run_with_parts(settings_for_command(), lambda parts: parts[AccessService].disable_user(email))
    print(f"Disabled {user.email}")


@app.command("enable")
def enable(email: Email) -> None:
    """Let a disabled user in again, with what he might do before.

    Tokens given before stay void; API keys that have not expired open again.

    \b
    Example:
      integrations-api users enable ada@example.com
    """
    from integrations_api.access.service import AccessService
    from integrations_api.cli.setup import run_with_parts, settings_for_command

    user = run_with_parts(settings_for_command(), lambda parts: parts[AccessService].enable_user(email))
    print(f"Enabled {user.email}")


@app.command("set-permissions")
def set_permissions(
    email: Email,
    permissions: Annotated[
        Optional[list[str]],  # noqa: UP045 (typer reads the annotation)
        typer.Argument(help="Permissions by name, instead of a role.", show_default=False),
    ] = None,
    role: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="admin, operator or viewer.", show_default=False),
    ] = None,
) -> None:
    """Replace what a user may do, from the next request on.

    \b
    Examples:
      integrations-api users set-permissions ada@example.com --role operator
      integrations-api users set-permissions ada@example.com integration.view knowledge.view
    """
    if (role is None) == (not permissions):
        raise WrongUsage("Give either --role or permissions by name, such as integration.view")
    wanted = _permissions_of(role) if role is not None else permissions or []
    from integrations_api.access.service import AccessService
    from integrations_api.cli.setup import run_with_parts, settings_for_command

    user = run_with_parts(settings_for_command(), lambda parts: parts[AccessService].set_permissions(email, wanted))
    print(f"{user.email} may now: {_may(user)}")


def _permissions_of(role: str) -> list[str]:
    from integrations_api.access.permissions import ROLES, Role

    try:
        return sorted(ROLES[Role(role)])
    except ValueError:
        raise WrongUsage(f"There is no role {role}: choose admin, operator or viewer") from None


def _may(user: "UserDetails") -> str:
    """A role's name where the permissions are a role's, else the permissions."""
    from integrations_api.access.permissions import ROLES

    for role, permissions in ROLES.items():
        if user.permissions == permissions:
            return role.value
    return ", ".join(sorted(user.permissions)) or "nothing"


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return _first_line()
    if not (sys.stdin and sys.stdin.isatty()):
        raise WrongUsage("There is no terminal to ask for the password: give it on standard input, --password-stdin")
    password: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def _first_line() -> str:
    """Of standard input. What cannot be read is not quoted: it is a part of a password."""
    try:
        line = sys.stdin.readline().rstrip("\r\n")
        line.encode()  # In some locales Python lets other bytes pass, as what no text holds.
    except UnicodeError:
        raise WrongUsage("The password on standard input is not UTF-8 text") from None
    return line
