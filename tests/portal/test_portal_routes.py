"""Every route and every role: what each may use. The rows are checked against the router, so that a new route without a row fails here."""

from collections.abc import Iterator

import pytest
from sqlalchemy import delete, update
from tests.portal.portal_house import House

from sekisho.identity.people import add_person, issue_sign_in_link
from sekisho.portal.app import routers
from sekisho.portal.door import Rule, rule_of
from sekisho.store.tables import attempts, outbox, requests
from sekisho.system.randomness import identifier

ROLES = {"stranger": "", "disabled": "gone", "operator": "hanako", "auditor": "aoi", "administrator": "admin", "approver": "taro", "owner": "jiro"}

# One column for each role, in this order. 303 on a page without a sign-in leads to it; what is refused says so in the log.
#                                                     stranger disabled operator auditor admin approver owner
TABLE: dict[str, tuple[int, int, int, int, int, int, int]] = {
    "GET /static/{name:path}": (200, 200, 200, 200, 200, 200, 200),
    "GET /sign-in": (200, 200, 200, 200, 200, 200, 200),
    "POST /sign-in": (403, 403, 403, 403, 403, 403, 403),  # the password is wrong
    "POST /sign-in/code": (403, 403, 403, 403, 403, 403, 403),  # of no sign-in
    "GET /link/{secret}": (200, 200, 200, 200, 200, 200, 200),
    "POST /link/{secret}": (303, 303, 303, 303, 303, 303, 303),
    "POST /sign-out": (303, 303, 303, 303, 303, 303, 303),
    "POST /language": (303, 303, 303, 303, 303, 303, 303),
    "GET /": (303, 303, 200, 200, 200, 200, 200),
    "GET /fragments/mine": (303, 303, 200, 200, 200, 200, 200),
    "GET /rooms/{name}": (303, 303, 200, 200, 200, 200, 200),
    "POST /rooms/{name}": (303, 303, 303, 403, 403, 403, 303),  # the people of the room
    "GET /requests": (303, 303, 200, 200, 200, 200, 200),
    "GET /requests/{request}": (303, 303, 403, 200, 200, 200, 200),
    "GET /fragments/requests/{request}": (303, 303, 403, 200, 200, 200, 200),
    "GET /decisions": (303, 303, 200, 200, 200, 200, 200),
    "GET /fragments/queue/{mark}": (303, 303, 200, 200, 200, 200, 200),
    "GET /fragments/running": (303, 303, 200, 200, 200, 200, 200),
    "GET /requests/{request}/withdraw": (303, 303, 403, 200, 200, 200, 200),
    "POST /requests/{request}/withdraw": (303, 303, 403, 403, 403, 403, 303),
    "POST /requests/{request}/approve": (303, 303, 403, 403, 403, 303, 403),
    "POST /requests/{request}/deny": (303, 303, 403, 403, 403, 303, 403),
    "POST /requests/{request}/extend": (303, 303, 403, 403, 403, 303, 403),
    "GET /requests/{request}/end": (303, 303, 403, 200, 200, 200, 200),
    "POST /requests/{request}/end": (303, 303, 403, 403, 303, 303, 303),
    "POST /sessions/{session}/enter": (303, 303, 403, 403, 403, 403, 303),
    "GET /sessions/{session}/leave": (303, 303, 403, 200, 200, 200, 200),
    "POST /sessions/{session}/leave": (303, 303, 403, 403, 403, 403, 303),
    "GET /log": (303, 303, 403, 200, 200, 403, 403),
    "GET /people": (303, 303, 403, 403, 200, 403, 403),
    "POST /people": (303, 303, 403, 403, 200, 403, 403),
    "POST /people/{name}/groups": (303, 303, 403, 403, 303, 403, 403),
    "POST /people/{name}/link": (303, 303, 403, 403, 200, 403, 403),
    "GET /people/{name}/disable": (303, 303, 403, 403, 200, 403, 403),
    "POST /people/{name}/disable": (303, 303, 403, 403, 303, 403, 403),
    "GET /people/{name}/second-factor/reset": (303, 303, 403, 403, 200, 403, 403),
    "POST /people/{name}/second-factor/reset": (303, 303, 403, 403, 303, 403, 403),
    "GET /account": (303, 303, 200, 200, 200, 200, 200),
    "POST /account/password": (303, 303, 422, 422, 422, 422, 422),  # typed differently twice
    "POST /account/second-factor": (303, 303, 403, 403, 403, 403, 403),  # none of them has a password
    "POST /account/second-factor/confirm": (303, 303, 403, 403, 403, 403, 403),  # nothing was begun
    "POST /account/second-factor/recovery-codes": (303, 303, 403, 403, 403, 403, 403),
    "POST /account/second-factor/remove": (303, 303, 403, 403, 403, 403, 403),
    "GET /second-factor": (303, 303, 303, 303, 303, 303, 303),  # who has none is led to the account
    "POST /second-factor": (303, 303, 403, 403, 403, 403, 403),
    "POST /api/sign-in": (403, 403, 403, 403, 403, 403, 403),
    "POST /api/sign-out": (401, 401, 200, 200, 200, 200, 200),
    "GET /api/me": (401, 401, 200, 200, 200, 200, 200),
    "POST /api/second-factor/enrol": (401, 401, 403, 403, 403, 403, 403),
    "POST /api/second-factor/enrol/confirm": (401, 401, 403, 403, 403, 403, 403),
    "POST /api/second-factor/confirm": (401, 401, 403, 403, 403, 403, 403),
    "POST /api/second-factor/remove": (401, 401, 403, 403, 403, 403, 403),
    "POST /api/second-factor/recovery-codes": (401, 401, 403, 403, 403, 403, 403),
    "GET /api/openapi.json": (200, 200, 200, 200, 200, 200, 200),
    "GET /api/rooms": (401, 401, 200, 200, 200, 200, 200),
    "POST /api/requests": (401, 401, 201, 403, 403, 403, 201),
    "GET /api/requests": (401, 401, 200, 200, 200, 200, 200),
    "POST /api/requests/{request}/withdraw": (401, 401, 403, 403, 403, 403, 200),
    "POST /api/requests/{request}/approve": (401, 401, 403, 403, 403, 200, 403),
    "POST /api/requests/{request}/deny": (401, 401, 403, 403, 403, 200, 403),
    "POST /api/requests/{request}/extend": (401, 401, 403, 403, 403, 200, 403),
    "POST /api/requests/{request}/end": (401, 401, 403, 403, 200, 200, 200),
    "GET /api/sessions": (401, 401, 200, 200, 200, 200, 200),
    "POST /api/sessions/{session}/enter": (401, 401, 403, 403, 403, 403, 200),
    "POST /api/sessions/{session}/leave": (401, 401, 403, 403, 403, 403, 200),
    "GET /api/log": (401, 401, 403, 200, 200, 403, 403),
    "GET /api/log/proofs/{index}": (401, 401, 403, 200, 200, 403, 403),
    "GET /api/log/files/{path:path}": (401, 401, 403, 200, 200, 403, 403),
    "GET /api/people": (401, 401, 403, 403, 200, 403, 403),
    "POST /api/people": (401, 401, 403, 403, 201, 403, 403),
    "POST /api/people/{name}/link": (401, 401, 403, 403, 200, 403, 403),
    "PUT /api/people/{name}/groups": (401, 401, 403, 403, 200, 403, 403),
    "POST /api/people/{name}/disable": (401, 401, 403, 403, 200, 403, 403),
    "POST /api/people/{name}/second-factor/reset": (401, 401, 403, 403, 200, 403, 403),
}

GRANTED = ("/extend", "/end", "/enter", "/leave")
ASKED = {"reason": "Weekly export check", "ticket": "MKT-42", "duration": "1h", "starts": "now"}

FORMS = {
    "POST /sessions/{session}/enter": {"kind": "terminal"},
    "POST /sign-in": {"name": "nobody", "password": "a wrong password"},
    "POST /sign-in/code": {"step": "a" * 43, "code": "000000"},
    "POST /language": {"language": "ja", "back": "/account"},
    "POST /rooms/{name}": ASKED,
    "POST /requests/{request}/deny": {"note": "not today"},
    "POST /requests/{request}/extend": {"duration": "10m"},
    "POST /people": {"name": "fresh", "groups": "marketing"},
    "POST /people/{name}/groups": {"groups": "marketing security"},
    "POST /account/password": {"new": "correct horse battery", "again": "horse"},
}
BODIES = {
    "POST /api/sign-in": {"name": "nobody", "password": "a wrong password"},
    "POST /api/second-factor/enrol": {"password": "a wrong password"},
    "POST /api/second-factor/enrol/confirm": {"code": "000000"},
    "POST /api/second-factor/confirm": {"code": "000000"},
    "POST /api/second-factor/remove": {"password": "a wrong password", "code": "000000"},
    "POST /api/second-factor/recovery-codes": {"password": "a wrong password", "code": "000000"},
    "POST /api/requests": {"room": "campaign", "reason": "Weekly export check", "ticket": "MKT-42", "duration_seconds": 600},
    "POST /api/requests/{request}/approve": {"note": ""},
    "POST /api/requests/{request}/deny": {"note": "not today"},
    "POST /api/requests/{request}/extend": {"duration_seconds": 600},
    "POST /api/sessions/{session}/enter": {"kind": "terminal"},
    "POST /api/people": {"name": "fresh2", "display": "", "groups": [], "language": "ja"},
    "PUT /api/people/{name}/groups": {"groups": ["marketing"]},
}


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for all cells: each brings what it asks about."""
    house = House(tmp_path_factory.mktemp("town"))
    house.publish()
    yield house
    house.close()


def all_routes() -> dict[str, object]:
    return {f"{method} {route.path}": route.endpoint for router in routers() for route in router.routes for method in route.methods}


def test_every_route_has_a_row_and_every_row_a_route():
    assert set(TABLE) == set(all_routes())


def test_nothing_is_reached_but_through_the_routers(house):
    """No mount, no route of a library: only what passed `open_to`."""
    assert {type(route).__name__ for route in house.app.routes} == {"_IncludedRouter"}
    assert len(house.app.routes) == len(routers())


@pytest.mark.parametrize("endpoint", all_routes().values(), ids=all_routes().keys())
def test_every_route_says_who_may_use_it(endpoint):
    assert isinstance(rule_of(endpoint), Rule)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("route", TABLE)
def test_a_route_opens_to_those_it_is_for_and_to_nobody_else(town, route, role):
    expected = TABLE[route][list(ROLES).index(role)]
    clear(town)
    answer = send(town, route, ROLES[role])
    assert answer.status_code == expected, answer.text[-2_000:]
    if expected == 303 and TABLE[route][2] != 303 and ROLES[role] in ("", "gone"):
        assert answer.headers["location"].startswith("/sign-in")
    if expected == 403:
        assert town.last_event()["kind"].endswith(".refused")


def send(town: House, route: str, name: str):
    method, path = route.split(" ")
    filled = fill(town, path)
    is_ended = name == "gone"
    if path.startswith("/api/"):
        program = town.browser()
        program.headers = {"Authorization": f"Bearer {town.sign_in(name, kind='token', is_ended=is_ended)}"} if name else {}
        return program.send(method, filled, json=BODIES.get(route)) if route in BODIES else program.send(method, filled)
    browser = town.browser()
    if name:
        browser.cookies["__Host-sekisho"] = town.sign_in(name, is_ended=is_ended)
    if not name or is_ended:
        browser.get("/sign-in")
    return browser.get(filled) if method == "GET" else browser.post(filled, FORMS.get(route))


def fill(town: House, path: str) -> str:
    """The address of something fresh: a request or session of the owner, a person, a link."""
    if "{request}" in path or "{session}" in path:
        request = town.plant(state="approved" if path.endswith(GRANTED) else "pending")
        session = town.session(request) if path.endswith(GRANTED) else ""
        path = path.replace("{request}", request).replace("{session}", session)
    if "/people/{name}" in path:
        name = somebody(town)
        if path.endswith("/second-factor/reset"):
            town.enrol(name)
        path = path.replace("{name}", name)
    if "{secret}" in path:
        path = path.replace("{secret}", issue_sign_in_link(town.store, by=None, name=somebody(town), now=town.now))
    for pattern, value in (("{name:path}", "sekisho.css"), ("{path:path}", "checkpoint"), ("{mark}", "0" * 16), ("{index}", "0"), ("{name}", "campaign")):
        path = path.replace(pattern, value)
    return path


def somebody(town: House) -> str:
    name = identifier("x-")
    add_person(town.store, by=None, name=name, now=town.now)
    return name


def clear(town: House) -> None:
    """Nothing that an earlier cell did stands in the way: no request, no failed sign-in, no refusal that was counted."""
    with town.store.writing() as tx:
        tx.execute(update(requests).values(state="denied"))
        tx.execute(delete(attempts))
        tx.execute(delete(outbox))
    town.app.state.portal.tally._seen.clear()
