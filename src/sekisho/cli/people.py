"""`sekisho login | whoami | logout | second-factor …`: who this user of this machine is to Sekisho."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from sekisho.cli import second_factor, signed_in
from sekisho.cli.loopback import is_localhost
from sekisho.cli.portal import Portal, Refused
from sekisho.cli.second_factor import ask_code, ask_password
from sekisho.cli.showing import local_time, print_json, tell
from sekisho.cli.signed_in import SignedIn
from sekisho.cli.trust import authority_by_fingerprint, authority_from_file
from sekisho.model.errors import Trouble
from sekisho.model.reasons import Reason
from sekisho.programs.web import remembered_portal
from sekisho.settings import DEFAULT_STATE

DEFAULT_URL = "https://sekisho.localhost:8443"
_AUTHORITY = Path("tls") / "ca.pem"


def register(app: typer.Typer) -> None:
    app.command()(login)
    app.command()(whoami)
    app.command()(logout)
    app.add_typer(second_factor.app, name="second-factor")


def login(
    *,
    name: Annotated[str, typer.Argument(help="Your name. Asked for if it is not given.")] = "",
    url: Annotated[str, typer.Option("--url", help=f"The portal. Else from --state, else {DEFAULT_URL}.")] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input; from its next line the code, if one is asked for.")
    ] = False,
    state: Annotated[Path | None, typer.Option("--state", help="The installation's folder, if it is on this machine: its address and its authority.")] = None,
    ca: Annotated[Path | None, typer.Option("--ca", help="Believe the certificates of this authority (a PEM file).")] = None,
    fingerprint: Annotated[str, typer.Option("--fingerprint", help="Believe the authority with this SHA-256, which `sekisho up` prints.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Sign in. What follows is done in your name, until `sekisho logout`."""
    url = _checked_url(url or _url_of(state))
    authority = _authority(url, state=state, ca=ca, fingerprint=fingerprint)
    name = name or typer.prompt("Name", err=True)
    password = ask_password(from_stdin=password_stdin)
    with Portal(url, authority_pem=authority) as portal:
        answer = _sign_in(portal, name, password, code_from_stdin=password_stdin)
    sign_in = SignedIn(url, str(answer["person"]["name"]), str(answer["token"]), str(answer["expires_at"]), authority)
    signed_in.write(sign_in)
    if as_json:
        print_json({"person": answer["person"], "url": url, "expires_at": sign_in.expires_at})
    else:
        tell(f"Signed in as {sign_in.person} at {url}, until {local_time(sign_in.expires_at)}.")


def whoami(as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False) -> None:
    """Who is signed in here, and from where the portal sees you come."""
    sign_in = signed_in.read()
    with Portal.of(sign_in) as portal:
        found = portal.get("/api/me")
    if as_json:
        print_json({**found, "url": sign_in.url})
        return
    person = found["person"]
    print(f"{person['name']}  {person.get('display', '')}".rstrip())
    tell(f"groups   {', '.join(person.get('groups', [])) or 'none'}")
    tell(f"portal   {sign_in.url}, which sees you at {found.get('address', '?')}")
    tell(f"code     {_proven(found['second_factor'])}")
    tell(f"until    {local_time(found.get('expires_at', sign_in.expires_at))}")


def logout() -> None:
    """Sign out: the token is worthless from then on, here and elsewhere."""
    with suppress(Refused), Portal.signed_in() as portal:  # refused: it was worthless already
        portal.post("/api/sign-out")
    signed_in.forget()
    tell("Signed out.")


def _proven(factor: Mapping[str, Any]) -> str:
    if not factor["enrolled"]:
        return "no second factor"
    return f"given at {local_time(factor['proven_at'])}" if factor["proven_at"] else "not given with this sign-in"


def _sign_in(portal: Portal, name: str, password: str, *, code_from_stdin: bool) -> dict[str, Any]:
    """Asks for a code only whom has a second factor."""
    told = {"name": name, "password": password}
    try:
        return portal.post("/api/sign-in", told)
    except Refused as refusal:
        if refusal.reason != Reason.CODE_ASKED:
            raise
        return portal.post("/api/sign-in", {**told, "code": ask_code(from_stdin=code_from_stdin)})


def _url_of(state: Path | None) -> str:
    return remembered_portal(state) if state else DEFAULT_URL


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise Trouble("url-malformed", "the portal's address is https://name[:port]", found=repr(url), hint=f"--url {DEFAULT_URL}")
    return f"https://{parts.netloc}"


def _authority(url: str, *, state: Path | None, ca: Path | None, fingerprint: str) -> str:
    """The one that was named; else, for this machine's own names, that of the installation in the usual folder; else the system's."""
    if fingerprint:
        return authority_by_fingerprint(url, fingerprint)
    if ca or state:
        return authority_from_file(ca or (state or DEFAULT_STATE) / _AUTHORITY)
    usual = DEFAULT_STATE / _AUTHORITY
    return authority_from_file(usual) if is_localhost(urlsplit(url).hostname or "") and usual.exists() else ""
