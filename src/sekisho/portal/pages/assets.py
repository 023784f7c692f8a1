"""Style, script and pictures: for anyone, and kept by browsers, since their address changes with their content."""

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from sekisho.portal.assets import assets
from sekisho.portal.door import Rule, open_to

ROUTER = APIRouter(include_in_schema=False)

AssetName = Annotated[str, Path(max_length=100)]


@ROUTER.get("/static/{name:path}")
@open_to(Rule.ANYONE)
def asset(name: AssetName) -> Response:
    found = assets().get(name)
    if found is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": f'"{found.version}"'}
    return Response(found.content, media_type=found.media_type, headers=headers)
