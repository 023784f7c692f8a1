"""The portal, put together from its parts: one application, one door, one guard."""

from collections.abc import Callable, Sequence
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI

from sekisho.identity.cipher import FactorCipher
from sekisho.model.room import Place
from sekisho.policy.caller_address import parse_networks
from sekisho.portal import api, pages
from sekisho.portal.answers import add_answers
from sekisho.portal.door import door
from sekisho.portal.guard import Guard, answer_headers
from sekisho.portal.parts import Portal
from sekisho.sessions.roombook import RoomBook
from sekisho.store.database import Store
from sekisho.system.clock import Clock


def create_app(
    *,
    store: Store,
    book: RoomBook,
    places: Sequence[Place],
    sign_in_places: tuple[str, ...],
    trusted_proxies: tuple[str, ...],
    portal_origin: str,
    rooms_origin: str,
    log_directory: Path,
    log_vkey: str,
    second_factor_key: bytes,
    nudge: Callable[[], None],
    clock: Clock,
) -> FastAPI:
    """The whole portal as an ASGI application.

    Origins are `https://name:port` without a path. `second_factor_key` are the 32 bytes that the secrets of second factors are encrypted with. `nudge` is
    called from worker threads after every change, and must not block. `book` is refreshed here at each request, and by nobody else. Raises ValueError if a
    proxy is neither an address nor a network.
    """
    headers = answer_headers(rooms_origin)
    app = FastAPI(
        title="Sekisho",
        version="1",
        description="Rooms, requests, sessions and the audit log. Refusals are 403 (401: not signed in) with a stable `reason`.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(door)],
    )
    app.state.portal = Portal(
        store=store,
        book=book,
        places=places,
        sign_in_places=sign_in_places,
        trusted=parse_networks(trusted_proxies),
        portal_origin=portal_origin,
        rooms_origin=rooms_origin,
        log_directory=log_directory,
        log_vkey=log_vkey,
        cipher=FactorCipher(second_factor_key),
        nudge=nudge,
        clock=clock,
    )
    for router in routers():
        app.include_router(router)
    add_answers(app, headers=headers)
    app.add_middleware(Guard, portal_origin=portal_origin, headers=headers)
    return app


def routers() -> tuple[APIRouter, ...]:
    """Everything that can be reached."""
    return (*pages.ROUTERS, *api.ROUTERS)
