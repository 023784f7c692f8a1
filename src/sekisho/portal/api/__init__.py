"""The API: JSON over the same door as the pages, described by OpenAPI. One module for each noun."""

from sekisho.portal.api import log, people, requests, rooms, second_factor, sessions, signing

ROUTERS = (signing.ROUTER, second_factor.ROUTER, rooms.ROUTER, requests.ROUTER, sessions.ROUTER, log.ROUTER, people.ROUTER)
