"""The audit log, for auditors: told in sentences, with every entry as it is written and the checkpoint that covers it."""

from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from sekisho.audit.published import LogUnreadable, PublishedLog
from sekisho.audit.reading import LogEntry, log_size, read_entries
from sekisho.portal.door import Rule, Visit, door, open_to
from sekisho.portal.rendering import page
from sekisho.portal.telling import tell

ROUTER = APIRouter(include_in_schema=False)
PAGE_ENTRIES = 50

Here = Annotated[Visit, Depends(door)]
Wanted = Annotated[str, Query(max_length=64)]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One page of the log: its entries, and where the pages before and after it are."""

    entries: list[LogEntry]
    size: int
    earlier: str | None
    later: str | None


@ROUTER.get("/log")
@open_to(Rule.AUDITOR)
def log(  # noqa: PLR0917  FastAPI gives them by name
    here: Here, person: Wanted = "", room: Wanted = "", session: Wanted = "", request: Wanted = "", after: int | None = None
) -> Response:
    filters = {"person": person.strip(), "room": room.strip(), "session": session.strip(), "request": request.strip()}
    leaf = _leaf(here, filters, after)
    return page(
        here,
        "log.html",
        entries=[tell(entry, here.words) for entry in leaf.entries],
        log_size=leaf.size,
        earlier=leaf.earlier,
        later=leaf.later,
        filters=filters,
        checkpoint=_checkpoint(here),
        log_vkey=here.portal.log_vkey,
    )


def _leaf(here: Visit, filters: dict[str, str], after: int | None) -> Leaf:
    """Everything is read from its end, where the news is; what is filtered from its beginning, as a story."""
    try:
        size = log_size(here.portal.log_directory)
    except LogUnreadable:
        return Leaf(entries=[], size=0, earlier=None, later=None)
    is_filtered = any(filters.values())
    start = max(-1, after) if after is not None else (-1 if is_filtered else max(-1, size - PAGE_ENTRIES - 1))
    wanted: dict[str, Any] = dict(filters)
    found = read_entries(here.portal.log_directory, after=start, limit=PAGE_ENTRIES + 1, **wanted)
    entries = found[:PAGE_ENTRIES]
    later = _address(filters, entries[-1].index) if len(found) > PAGE_ENTRIES else None
    earlier = _address(filters, max(-1, start - PAGE_ENTRIES)) if not is_filtered and start >= 0 else None
    return Leaf(entries=entries, size=size, earlier=earlier, later=later)


def _address(filters: dict[str, str], after: int) -> str:
    return "/log?" + urlencode({**{name: value for name, value in filters.items() if value}, "after": after})


def _checkpoint(here: Visit) -> str:
    found = PublishedLog(here.portal.log_directory).checkpoint()
    return found.decode("utf-8", "replace") if found is not None else ""
