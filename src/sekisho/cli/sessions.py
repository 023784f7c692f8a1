"""`sekisho sessions | enter | open`: the rooms that run, and going in."""

import asyncio
import os
import re
import sys
import termios
import time
import webbrowser
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from sekisho.cli import signed_in
from sekisho.cli.entering import Disconnected, Lost, Outcome, attach
from sekisho.cli.local_terminal import LocalTerminal
from sekisho.cli.portal import Portal, Refused
from sekisho.cli.showing import local_time, print_json, print_table, size, tell, visible
from sekisho.cli.trust import context
from sekisho.gateway import wire
from sekisho.model.errors import Trouble
from sekisho.model.reasons import Reason, sentence
from sekisho.model.room import Kind
from sekisho.model.session import EndReason, RequestState, SessionState

_POLL_SECONDS = 0.3
_OVER = {SessionState.DESTROYED, SessionState.FAILED, SessionState.ENDING}
_ID = re.compile(r"s-[a-z2-7]{10}")
_ENDS = {
    EndReason.TIME_OVER: "the time is over",
    EndReason.ENDED_BY_APPROVER: "an approver ended it",
    EndReason.LEFT: "you left",
    EndReason.IDLE: "nothing was typed for too long",
    EndReason.LOG_UNAVAILABLE: "the audit log could not be written",
    EndReason.LEASE_LOST: "the controller was away for too long",
    EndReason.FILES_FAILED: "its files could not be fetched",
    EndReason.OPEN_FAILED: "it could not be opened",
    EndReason.ROOM_STOPPED: "its processes stopped",
    EndReason.SHIM_LOST: "its supervisor was lost",
    EndReason.PERSON_DISABLED: "this account was disabled",
    EndReason.NO_GRANT: "there is no grant for it any more",
}

Json = Annotated[bool, typer.Option("--json", help="For scripts.")]
Room = Annotated[str, typer.Argument(help="The room's name, or a session, s-….")]


def register(app: typer.Typer) -> None:
    app.command("sessions")(sessions)
    app.command("enter")(enter)
    app.command("open")(open_page)


def sessions(as_json: Json = False) -> None:
    """Your running rooms, and those that you may end."""
    with Portal.signed_in() as portal:
        found = portal.get("/api/sessions")
    if as_json:
        print_json(found)
        return
    columns = ("Session", "Room", "Shown as", "Person", "State", "Until", "Files", "Connections")
    print_table(columns, [_row(each) for each in found["sessions"]], empty="Nothing runs.")


def enter(room: Room) -> None:
    """Go into a room's terminal, in this terminal. `~.` at the start of a line disconnects; the room goes on until its end."""
    try:
        terminal = LocalTerminal(read_from=sys.stdin.fileno(), write_to=sys.stdout.fileno())
    except (termios.error, ValueError) as error:
        raise typer.BadParameter("standard input is no terminal; `sekisho enter` needs one") from error
    sign_in = signed_in.read()
    with Portal.of(sign_in) as portal:
        session = _wait_until_ready(portal, room)
        entry = _ticket(portal, session, Kind.TERMINAL)
    tell(f"{session['room']} until {local_time(session['ends_at'])}. ~. at the start of a line disconnects, ~? helps.")
    with terminal:
        outcome = asyncio.run(attach(entry["websocket"], ticket=entry["ticket"], trust=context(sign_in.authority_pem), terminal=terminal))
    _explain(outcome, session)


def open_page(
    room: Room,
    kind: Annotated[Kind | None, typer.Option("--kind", help="How the room is shown. Else its desktop, if it has one.")] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Only print the address.")] = False,
) -> None:
    """Go into a room, in the browser: its desktop, or its terminal if it has none. The address works once."""
    with Portal.signed_in() as portal:
        session = _wait_until_ready(portal, room)
        page = str(_ticket(portal, session, kind or next(iter(session["kinds"]), Kind.TERMINAL))["page"])
    print(visible(page))
    if not only_print and (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or sys.platform != "linux"):
        webbrowser.open(page)


def _ticket(portal: Portal, session: Mapping[str, Any], kind: str) -> dict[str, Any]:
    try:
        return portal.post(f"/api/sessions/{session['id']}/enter", {"kind": kind})
    except Refused as refused:
        if refused.reason != Reason.KIND_NOT_OFFERED:
            raise
        raise Refused(refused.reason, f"{refused.sentence} `sekisho open {session['room']}` shows what it offers, in the browser.") from refused


def _wait_until_ready(portal: Portal, room: str) -> dict[str, Any]:
    """The session, as soon as it may be entered; meanwhile says how far it is. Raises Refused if that will not come."""
    status = Console(stderr=True).status("")
    try:
        while isinstance(found := _ready_or_progress(portal, room), str):
            status.update(found)
            status.start()
            time.sleep(_POLL_SECONDS)
        return found
    finally:
        status.stop()


def _ready_or_progress(portal: Portal, room: str) -> dict[str, Any] | str:
    """The session if it may be entered now, or how far it is. Raises Refused if it will not come to that."""
    session = _find(portal, room)
    if session is None:
        _check_grant(portal, room)
        return "opening"
    match session["state"]:
        case SessionState.READY:
            return session
        case SessionState.FROZEN:
            raise Refused(Reason.SESSION_FROZEN, sentence(Reason.SESSION_FROZEN, {}))
        case state if state in _OVER:
            raise Refused(Reason.SESSION_NOT_READY, f"{session['room']} is {state}{': ' + session['why'] if session['why'] else '.'}")
        case _:
            return _progress(session)


def _find(portal: Portal, room: str) -> dict[str, Any] | None:
    """Your session of that room, the newest; one that is over only if it was asked for by its id, or came to nothing within its time."""
    found = portal.get("/api/sessions")["sessions"]
    mine = [each for each in found if each["is_mine"] and room in (each["room"], each["id"])]
    mine.sort(key=lambda each: (each["state"] not in _OVER, each["starts_at"]))
    return mine[-1] if mine and (mine[-1]["state"] not in _OVER or _ID.fullmatch(room) or _is_current(mine[-1])) else None


def _is_current(session: Mapping[str, Any]) -> bool:
    return session["state"] != SessionState.DESTROYED and datetime.fromisoformat(session["ends_at"]) > datetime.now(UTC)


def _check_grant(portal: Portal, room: str) -> None:
    """Returns only if a grant runs now, so that its session must be on its way."""
    found = [each for each in portal.get("/api/requests")["requests"] if each["is_mine"] and each["room"] == room]
    now = datetime.now(UTC)
    approved = sorted((each for each in found if each["state"] == RequestState.APPROVED), key=lambda each: str(each["starts_at"]))
    running = [each for each in approved if datetime.fromisoformat(each["starts_at"]) <= now < datetime.fromisoformat(each["ends_at"])]
    if running:
        return
    if coming := [each for each in approved if datetime.fromisoformat(each["starts_at"]) > now]:
        raise Refused(Reason.NOT_YET, sentence(Reason.NOT_YET, {"starts": local_time(coming[0]["starts_at"])}))
    if pending := [each for each in found if each["state"] == RequestState.PENDING]:
        raise Refused(Reason.NO_GRANT, f"{pending[0]['id']} for {room} waits for approval.")
    raise Refused(Reason.NO_GRANT, sentence(Reason.NO_GRANT, {"room": room}))


def _progress(session: Mapping[str, Any]) -> str:
    if session["state"] == SessionState.STAGING and session["staged_total_bytes"]:
        return f"fetching files: {size(session['staged_bytes'])} of {size(session['staged_total_bytes'])}"
    return str(session["state"])


def _explain(outcome: Outcome, session: Mapping[str, Any]) -> None:
    back = f"`sekisho enter {session['room']}` leads back."
    match outcome:
        case wire.Refused(reason, why):
            raise Refused(reason, why)
        case wire.Ended(reason):
            why = next((words for end, words in _ENDS.items() if end == reason), None) or _reason_sentence(reason)
            tell(f"{session['room']} is over for you: {why} ({reason}).")
        case Disconnected():
            tell(f"Disconnected. The room goes on until {local_time(session['ends_at'])}; {back}")
        case Lost():
            raise Trouble(
                "connection-lost",
                f"the connection was lost; the room goes on until {local_time(session['ends_at'])}",
                hint=f"`sekisho enter {session['room']}`",
            )


def _reason_sentence(reason: str) -> str:
    return sentence(Reason(reason), {}) if reason in set(Reason) else "it was cut"


def _row(each: Mapping[str, Any]) -> tuple[object, ...]:
    files = f"{each['staged_files']} files, {size(each['staged_bytes'])}" if each["staged_files"] else ""
    state = f"{each['state']}: {each['why']}" if each["why"] else each["state"]
    return (each["id"], each["room"], ", ".join(each["kinds"]), each["person"], state, local_time(each["ends_at"]), files, each["connections"])
