"""`sekisho rooms | request | requests | withdraw | approve | deny | extend | end`: asking for rooms, and deciding."""

from datetime import datetime
from typing import Annotated, Any

import typer

from sekisho.cli.portal import Portal
from sekisho.cli.showing import local_time, print_json, print_table, tell
from sekisho.cli.times import parse_length, parse_moment, render_seconds
from sekisho.model.session import request_id

Json = Annotated[bool, typer.Option("--json", help="For scripts.")]
Id = Annotated[str, typer.Argument(help="The request, r-…, or its session, s-….")]
Length = Annotated[str, typer.Option("--for", help="How long, like 30m or 1h30m.")]


def register(app: typer.Typer) -> None:
    app.command("rooms")(rooms)
    app.command("request")(request)
    app.command("requests")(requests)
    app.command("withdraw")(withdraw)
    app.command("approve")(approve)
    app.command("deny")(deny)
    app.command("extend")(extend)
    app.command("end")(end)


def rooms(as_json: Json = False) -> None:
    """The rooms that you may ask for, and why not the others."""
    with Portal.signed_in() as portal:
        found = portal.get("/api/rooms")
    if as_json:
        print_json(found)
        return
    rows = [
        (
            room["name"],
            room["title"],
            ", ".join(room["kinds"]),
            render_seconds(room["longest_seconds"]),
            room["hours"] or "always",
            _may_request(room),
        )
        for room in found["rooms"]
    ]
    print_table(("Room", "Title", "Shown as", "Longest", "Hours", "May I"), rows, empty="There are no rooms.")


def _may_request(room: dict[str, Any]) -> str:
    if not room["may_request"]:
        return str(room["sentence"])
    return "yes; entering asks for a second factor" if room["second_factor"] else "yes"


def request(
    *,
    room: Annotated[str, typer.Argument(help="The room's name.")],
    length: Length,
    reason: Annotated[str, typer.Option("--reason", help="Why; the approver reads it, and the log keeps it.")],
    at: Annotated[str, typer.Option("--at", help="From when: 14:00, '2025-12-01 14:00' or RFC 3339. Else as soon as it is approved.")] = "",
    ticket: Annotated[str, typer.Option("--ticket", help="The ticket, where the room asks for one.")] = "",
    as_json: Json = False,
) -> None:
    """Ask for a room. Prints the request's id."""
    starts_at = parse_moment(at, now=datetime.now().astimezone()).isoformat() if at else None
    seconds = round(parse_length(length).total_seconds())
    body = {"room": room, "reason": reason, "ticket": ticket, "starts_at": starts_at, "duration_seconds": seconds}
    with Portal.signed_in() as portal:
        made = portal.post("/api/requests", body)
    if as_json:
        print_json(made)
        return
    print(made["id"])
    tell(f"Asked for {made['room']} from {local_time(made['starts_at'])} to {local_time(made['ends_at'])}; it is {made['state']}.")


def requests(
    only: Annotated[str, typer.Option("--only", help="pending, approved, denied, withdrawn, expired or ended.")] = "",
    as_json: Json = False,
) -> None:
    """Your requests, and those that wait for your decision."""
    with Portal.signed_in() as portal:
        found = portal.get("/api/requests", state=only)
    if as_json:
        print_json(found)
        return
    columns = ("Request", "Room", "Person", "From", "Until", "State", "Reason", "Ticket", "Yours to decide")
    print_table(columns, [_row(each) for each in found["requests"]], empty="There are no requests.")


def withdraw(request: Id, as_json: Json = False) -> None:
    """Take your request back before it is decided. What was granted is given back with `sekisho end`."""
    _decide(request, "withdraw", {}, as_json=as_json)


def approve(request: Id, note: Annotated[str, typer.Option("--note", help="For the person and the log.")] = "", as_json: Json = False) -> None:
    """Say yes. Nobody approves their own."""
    _decide(request, "approve", {"note": note}, as_json=as_json)


def deny(request: Id, note: Annotated[str, typer.Option("--note", help="Why; the person reads it.")], as_json: Json = False) -> None:
    """Say no, and why."""
    _decide(request, "deny", {"note": note}, as_json=as_json)


def extend(request: Id, length: Length, as_json: Json = False) -> None:
    """Let a running grant last longer."""
    _decide(request, "extend", {"duration_seconds": round(parse_length(length).total_seconds())}, as_json=as_json)


def end(request: Id, as_json: Json = False) -> None:
    """End a grant now: everybody in the room is cut, and the room is destroyed. Your own, or one that you may decide on."""
    _decide(request, "end", {}, as_json=as_json)


def _decide(request: str, act: str, body: dict[str, object], *, as_json: bool) -> None:
    wanted = request_id(request) if request.startswith("s-") else request
    if not wanted.startswith("r-") or not wanted[2:].isalnum():
        raise typer.BadParameter(f"a request's id looks like r-abcdefghij; found {request!r}")
    with Portal.signed_in() as portal:
        answer = portal.post(f"/api/requests/{wanted}/{act}", body)
    if as_json:
        print_json(answer)
    else:
        tell(_told(wanted, act, answer))


def _told(request: str, act: str, answer: dict[str, Any]) -> str:
    state = answer.get("state")
    if act == "extend":
        return f"{request} now lasts until {local_time(answer['ends_at'])}." if "ends_at" in answer else f"{request} was extended."
    if act == "approve" and state == "pending":
        return f"{request}: your yes counts; {len(answer.get('approvals', []))} of {answer.get('needed', '?')} are needed."
    return f"{request} is {state}." if state else f"{request}: done."


def _row(each: dict[str, Any]) -> tuple[object, ...]:
    state = f"{each['state']} ({each['end_reason']})" if each.get("end_reason") else each["state"]
    times = local_time(each["starts_at"]), local_time(each["ends_at"])
    return (each["id"], each["room"], each["person"], *times, state, each["reason"], each["ticket"], "yes" if each["may_decide"] else "")
