"""`sekisho log | verify`: reading the audit log, and checking it with nobody's help."""

import base64
import json
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import rfc8785
import typer

from sekisho.audit.fault import Fault
from sekisho.audit.note import MalformedNote, UnverifiedNote, parse_vkey
from sekisho.audit.proof import verify_proof
from sekisho.audit.verify import Verified, verify_log
from sekisho.cli.mirror import mirror_log
from sekisho.cli.portal import Portal
from sekisho.cli.showing import log_time, print_json, print_json_line, tell, visible
from sekisho.cli.times import parse_since
from sekisho.model.errors import Trouble
from sekisho.settings import DEFAULT_STATE

_FOLLOW_SECONDS = 0.5
_PAGE = 500
_SHOWN_FIRST = ("at", "kind", "by", "address", "room", "request", "session", "reason")
_CHAIN = {"index", "producer", "number", "prev", "channel", "details"}

Json = Annotated[bool, typer.Option("--json", help="For scripts.")]


def register(app: typer.Typer) -> None:
    app.command("log")(log)
    app.command("verify")(verify)


def log(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on, as it grows.")] = False,
    since: Annotated[str, typer.Option("--since", help="A moment, or how long ago: 14:00, 2h, RFC 3339.")] = "",
    person: Annotated[str, typer.Option("--person")] = "",
    room: Annotated[str, typer.Option("--room")] = "",
    session: Annotated[str, typer.Option("--session")] = "",
    request: Annotated[str, typer.Option("--request")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; with --follow one a line.")] = False,
    proof: Annotated[int | None, typer.Option("--proof", metavar="INDEX", min=0, help="A proof that this entry is in the log, to keep as evidence.")] = None,
    vkey: Annotated[str, typer.Option("--vkey", help="With --proof: the verifier key that you trust, or a file that holds it.")] = "",
) -> None:
    """Who did what, when, from where. For auditors and administrators."""
    if proof is not None:
        with Portal.signed_in() as portal:
            _prove(portal, proof, vkey)
        return
    wanted = {"person": person, "room": room, "session": session, "request": request}
    if since:
        wanted["since"] = parse_since(since, now=datetime.now().astimezone()).isoformat()
    with Portal.signed_in() as portal:
        if as_json and not follow:
            print_json({"entries": _all(portal, wanted)})
            return
        after = -1
        while True:
            after = _print_new(portal, wanted, after=after, as_json=as_json)
            if not follow:
                return
            time.sleep(_FOLLOW_SECONDS)


def _prove(portal: Portal, index: int, vkey: str) -> None:
    """Print the C2SP tlog-proof of an entry, once it was checked against the entry's own bytes and the key that the auditor trusts."""
    if not vkey:
        raise Trouble("vkey-missing", "a proof is worth what the key is that it is checked with", hint="--vkey with the key that `sekisho up` prints")
    found = portal.get("/api/log", after=index - 1, limit=1)["entries"]
    content = portal.fetch(f"/api/log/proofs/{index}")
    if not found or found[0]["index"] != index or content is None:
        raise Trouble("no-such-entry", f"the log has no entry {index}", hint="sekisho log --json shows each entry's index")
    entry = rfc8785.dumps({name: value for name, value in found[0].items() if name != "index"})
    try:
        checkpoint = verify_proof(content, entry, parse_vkey(_key(vkey)))
    except (MalformedNote, UnverifiedNote) as error:
        raise Trouble("not-proved", f"the portal gives no proof of entry {index}: {error}", hint="sekisho verify") from error
    print(content.decode(), end="")
    tell(f"Entry {index} is in the log of {checkpoint.origin}, which had {checkpoint.size} entries.")


def verify(
    *,
    where: Annotated[str, typer.Argument(metavar="[PATH|URL]", help="A log's folder, or the portal you are signed in to. Else the log of --state.")] = "",
    vkey: Annotated[str, typer.Option("--vkey", help="The verifier key that you trust, or a file that holds it. Else the one beside the log.")] = "",
    state: Annotated[Path, typer.Option("--state", help="The installation's folder.")] = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Check that the log is whole: every entry, every hash, every signature. Needs no server and nobody's word."""
    if where.startswith("https://"):
        outcome = _verify_url(where, vkey)
    else:
        directory = Path(where) if where else state / "log"
        outcome = verify_log(directory, vkey=_key(vkey) if vkey else _key_beside(directory))
    _report(outcome, as_json=as_json)


def _verify_url(url: str, vkey: str) -> Verified | Fault:
    if not vkey:
        raise Trouble(
            "vkey-missing", "a log that a server shows is checked with a key that you trust", hint="--vkey KEY, as the installation printed it (log.vkey)"
        )
    with Portal.signed_in() as portal, tempfile.TemporaryDirectory(prefix="sekisho-log-") as folder:
        if url.rstrip("/") != portal.url:
            raise Trouble("other-portal", f"you are signed in to {portal.url}", found=url, hint=f"sekisho login --url {url}")
        mirror_log(portal, Path(folder))
        return verify_log(Path(folder), vkey=_key(vkey))


def _key(given: str) -> str:
    """A verifier key, or a file that holds one. What is neither is said of the key, not of the log."""
    path = Path(given)
    found = _key_of(path) if "+" not in given or path.is_file() else given
    try:
        parse_vkey(found)
    except MalformedNote as error:
        raise Trouble(
            "vkey-malformed", f"{given} is neither a verifier key nor a file with one: {error}", hint="the `log key` that sekisho up prints"
        ) from error
    return found


def _key_beside(directory: Path) -> str:
    tell("The key is the one beside the log; --vkey names one that you trust.")
    return _key_of(directory / "log.vkey")


def _key_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise Trouble("vkey-unreadable", f"{path} can't be read", hint="give the log's folder, or --vkey") from error


def _report(outcome: Verified | Fault, *, as_json: bool) -> None:
    match outcome:
        case Verified(origin, size, root):
            shown = base64.b64encode(root).decode()
            if as_json:
                print_json({"whole": True, "origin": origin, "size": size, "root": shown})
            else:
                print(f"The log is whole: {size} entries of {visible(origin)}, root {shown}")
        case Fault(index, path, what):
            if as_json:
                print_json({"whole": False, "index": index, "path": path, "what": what})
            else:
                place = path if index is None else f"entry {index} ({path})"
                print(f"The log is NOT whole: {visible(place)} {visible(what)}")
            raise typer.Exit(1)


def _all(portal: Portal, wanted: Mapping[str, str]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    while page := _page(portal, wanted, after=entries[-1]["index"] if entries else -1):
        entries += page
    return entries


def _print_new(portal: Portal, wanted: Mapping[str, str], *, after: int, as_json: bool) -> int:
    while page := _page(portal, wanted, after=after):
        for entry in page:
            print_json_line(entry) if as_json else print(_line(entry), flush=True)
        after = page[-1]["index"]
    return after


def _page(portal: Portal, wanted: Mapping[str, str], *, after: int) -> list[dict[str, Any]]:
    found = portal.get("/api/log", **wanted, after=after, limit=_PAGE)["entries"]
    return found if isinstance(found, list) else []


def _line(entry: Mapping[str, Any]) -> str:
    """index, time, kind, person@address, where, reason, details: what is absent leaves no hole."""
    who = "@".join(visible(entry[name]) for name in ("by", "address") if entry.get(name))
    where = " ".join(visible(entry[name]) for name in ("room", "request", "session") if entry.get(name))
    other = {name: value for name, value in entry.items() if name not in _CHAIN and name not in _SHOWN_FIRST}
    details = {**other, **(entry.get("details") or {})}
    parts = [who, where, visible(entry.get("reason", "")), json.dumps(details, ensure_ascii=False) if details else ""]
    return "  ".join(
        [f"{entry['index']:>6}", log_time(entry.get("at", "")), f"{visible(entry.get('kind', '')):<18}", *(visible(part) for part in parts if part)]
    )
