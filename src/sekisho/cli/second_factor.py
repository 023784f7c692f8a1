"""`sekisho second-factor …`: set one up, give a code again, take it away; and, for administrators, reset another person's."""

import sys
from typing import Annotated, Any

import segno
import typer

from sekisho.cli.portal import Portal
from sekisho.cli.showing import print_json_line, tell, visible
from sekisho.policy.texts import is_name

app = typer.Typer(help="The codes of an authenticator app, besides your password.", no_args_is_help=True)

PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input, the code from the next.")]
Json = Annotated[bool, typer.Option("--json", help="For scripts, one object a line.")]


@app.command()
def enrol(password_stdin: PasswordStdin = False, as_json: Json = False) -> None:
    """Set one up: shows the secret once, as a QR code and as text, and asks for the first code. Then shows the recovery codes, once."""
    with Portal.signed_in() as portal:
        shown = portal.post("/api/second-factor/enrol", {"password": ask_password(from_stdin=password_stdin)})
        _show(shown, as_json=as_json)
        answer = portal.post("/api/second-factor/enrol/confirm", {"code": ask_code(from_stdin=password_stdin)})
    tell("Your second factor is set up.")
    _show_recovery_codes(answer, as_json=as_json)


@app.command()
def confirm(code: Annotated[str, typer.Argument(help="The code. Asked for if it is not given.")] = "") -> None:
    """Give a code again, for what asks for one that is not old."""
    with Portal.signed_in() as portal:
        portal.post("/api/second-factor/confirm", {"code": code or ask_code()})
    tell("Confirmed.")


@app.command()
def remove(password_stdin: PasswordStdin = False) -> None:
    """Take yours away, with your password and a code."""
    with Portal.signed_in() as portal:
        portal.post("/api/second-factor/remove", _both(from_stdin=password_stdin))
    tell("Your second factor is removed.")


@app.command("recovery-codes")
def recovery_codes(password_stdin: PasswordStdin = False, as_json: Json = False) -> None:
    """New recovery codes, with your password and a code. The old ones are void."""
    with Portal.signed_in() as portal:
        answer = portal.post("/api/second-factor/recovery-codes", _both(from_stdin=password_stdin))
    _show_recovery_codes(answer, as_json=as_json)


@app.command()
def reset(name: Annotated[str, typer.Argument(help="Whose.")]) -> None:
    """For administrators: take another person's away, when the device is lost. Their sign-ins end."""
    if not is_name(name):
        raise typer.BadParameter(f"a person's name is lower-case letters, digits, dot, hyphen and underscore; found {name!r}")
    with Portal.signed_in() as portal:
        portal.post(f"/api/people/{name}/second-factor/reset")
    tell(f"{name} has no second factor any more.")


def ask_password(*, from_stdin: bool) -> str:
    return _line() if from_stdin else str(typer.prompt("Password", hide_input=True, err=True))


def ask_code(*, from_stdin: bool = False) -> str:
    return _line() if from_stdin else str(typer.prompt("Code", err=True))


def _both(*, from_stdin: bool) -> dict[str, object]:
    return {"password": ask_password(from_stdin=from_stdin), "code": ask_code(from_stdin=from_stdin)}


def _line() -> str:
    return sys.stdin.readline().rstrip("\n")


def _show(shown: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json_line(shown)
    else:
        segno.make_qr(str(shown["uri"]), error="l").terminal(out=sys.stdout, compact=True)
        print(visible(shown["uri"]))
        tell("Scan this with your authenticator app, or type its secret. It is shown only now.")
    sys.stdout.flush()


def _show_recovery_codes(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json_line(answer)
        return
    for code in answer["recovery_codes"]:
        print(visible(code))
    tell("Recovery codes: each is good once instead of a code. They are shown only now; keep them where your password is not.")
