"""The audit log for programs: entries by what they are about, and the published files themselves, for whoever verifies them."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi import Path as FromPath
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime
from starlette.exceptions import HTTPException

from sekisho.audit.published import CHECKPOINT, PublishedLog
from sekisho.audit.reading import log_size, prove_entry, read_entries
from sekisho.audit.tiles import parse_path
from sekisho.portal.api.refusals import REFUSALS
from sekisho.portal.door import Rule, Visit, door, open_to

ROUTER = APIRouter(prefix="/api/log", tags=["log"], responses=REFUSALS)

Here = Annotated[Visit, Depends(door)]
Wanted = Annotated[str, Query(max_length=64)]


@ROUTER.get("")
@open_to(Rule.AUDITOR)
def entries(  # noqa: PLR0917  FastAPI gives them by name
    here: Here,
    after: Annotated[int, Query(ge=-1, description="Entries with a greater index.")] = -1,
    since: AwareDatetime | None = None,
    person: Wanted = "",
    room: Wanted = "",
    session: Wanted = "",
    request: Wanted = "",
    kind: Wanted = "",
    limit: Annotated[int, Query(ge=1, le=1_000)] = 500,
) -> JSONResponse:
    """`{"entries": [{"index", ...the entry}], "size"}`, in the order of the log; `size` is how many entries there are in all."""
    directory = here.portal.log_directory
    size = log_size(directory)
    found = read_entries(directory, after=after, limit=limit, since=since, person=person, room=room, session=session, request=request, kind=kind)
    shown: list[dict[str, Any]] = [{"index": entry.index, **entry.fields} for entry in found]
    return JSONResponse({"entries": shown, "size": size})


@ROUTER.get("/proofs/{index}", response_class=Response)
@open_to(Rule.AUDITOR)
def proof(here: Here, index: Annotated[int, FromPath(ge=0)]) -> Response:
    """A C2SP tlog-proof that the entry with this index is under the newest checkpoint: to be kept beside the entry, and believed without this server."""
    try:
        content = prove_entry(here.portal.log_directory, index)
    except IndexError:
        raise HTTPException(404) from None
    return Response(content, media_type="text/plain; charset=utf-8")


@ROUTER.get("/files/{path:path}")
@open_to(Rule.AUDITOR)
def file(here: Here, path: str) -> Response:
    """`checkpoint` or a tile of C2SP tlog-tiles, byte by byte. Nothing else has a path here."""
    log = PublishedLog(here.portal.log_directory)
    if path == CHECKPOINT:
        content = log.checkpoint()
    else:
        place = parse_path(path)
        content = log.file(place) if place is not None else None
    if content is None:
        raise HTTPException(404)
    return Response(content, media_type="text/plain; charset=utf-8" if path == CHECKPOINT else "application/octet-stream")
