"""Whatever people do in whatever order: requests stay within their table of states, every act leaves one event, and the laws hold."""

import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select
from tests.postgres_server import emptied, fresh_sqlite
from tests.sessions_acts.acts_house import CAMPAIGN, HOUR, MINUTE, NOW, World

from sekisho.identity.people import disable_person
from sekisho.model.session import Request, RequestState
from sekisho.sessions import records
from sekisho.sessions.acts.standing import approved_by
from sekisho.sessions.states import REQUESTS
from sekisho.store.database import Store
from sekisho.store.tables import people, requests

_PEOPLE = st.sampled_from(["hanako", "oliver", "taro", "grace", "aoi", "admin", "ghost", "unheard-of"])
_FOLLOWS = {(state, to) for (state, _), to in REQUESTS.items()} | {(state, state) for state in RequestState} | {(RequestState.PENDING, RequestState.DENIED)}


class Acts(RuleBasedStateMachine):
    """A day in the house."""

    template: Path
    postgres: Store | None = None

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="sekisho-acts-"))
        (self.directory / "rooms").mkdir()
        self.store = emptied(self.postgres) if self.postgres else fresh_sqlite(self.template, self.directory)
        self.world = World.made(self.store, self.directory / "rooms")
        self.before: dict[str, Request] = {}
        self.expected_events = 0

    def teardown(self) -> None:
        if hasattr(self, "directory"):
            if not self.postgres:
                self.store.close()
            shutil.rmtree(self.directory)

    def _some(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.before) or ["r-nothing"]))

    @rule(name=_PEOPLE, room=st.sampled_from(["campaign", "orders", "nope"]), minutes=st.integers(-5, 150), length=st.integers(0, 130))
    def ask(self, name: str, room: str, minutes: int, length: int) -> None:
        self.world.ask(name, room, starts=self.world.now + minutes * MINUTE, length=length * MINUTE)
        self.expected_events += 1

    @rule(name=_PEOPLE, data=st.data(), act=st.sampled_from(["approve", "approve", "deny", "extend", "end", "withdraw"]))
    def decide(self, name: str, data: st.DataObject, act: str) -> None:
        getattr(self.world, act)(name, self._some(data))
        self.expected_events += 1

    @rule(data=st.data(), act=st.sampled_from(["approve", "approve", "deny", "extend", "withdraw"]))
    def decide_on_their_own(self, data: st.DataObject, act: str) -> None:
        request = self._some(data)
        getattr(self.world, act)(self.before[request].person if request in self.before else "hanako", request)
        self.expected_events += 1

    @rule(name=st.sampled_from(["hanako", "oliver"]), room=st.sampled_from(["campaign", "orders"]), minutes=st.integers(0, 60))
    def ask_rightly(self, name: str, room: str, minutes: int) -> None:
        self.ask(name, room, minutes=minutes, length=30)

    @rule(name=st.sampled_from(["taro", "grace", "oliver"]), data=st.data())
    def approve_rightly(self, name: str, data: st.DataObject) -> None:
        self.decide(name, data, "approve")

    @rule(name=_PEOPLE, data=st.data())
    def leave(self, name: str, data: st.DataObject) -> None:
        self.world.leave(name, self._some(data).replace("r-", "s-"))
        self.expected_events += 1

    @rule(minutes=st.integers(1, 90))
    def wait(self, minutes: int) -> None:
        self.world.now += minutes * MINUTE

    @rule(longest=st.sampled_from(["1h", "2h"]))
    def change_the_room_file(self, longest: str) -> None:
        self.world.write("campaign", CAMPAIGN.replace("2h", longest))

    @precondition(lambda self: self.world.now > NOW + HOUR)
    @rule()
    def control_looks(self) -> None:
        """What control does with time that is over, as it does it."""
        for request in list(self.before.values()):
            if request.ends_at <= self.world.now and request.state is RequestState.PENDING:
                records.expire_request(self.store, request.id, now=self.world.now)
                self.expected_events += 1

    @precondition(lambda self: self.world.now > NOW + timedelta(hours=2))
    @rule(name=st.sampled_from(["hanako", "taro"]))
    def disable(self, name: str) -> None:
        if not self._is_disabled(name):
            self.expected_events += 1
        disable_person(self.store, by=None, name=name, now=self.world.now)

    def _is_disabled(self, name: str) -> bool:
        with self.store.reading() as tx:
            return tx.execute(select(people.c.disabled_at).where(people.c.name == name)).scalar() is not None

    @invariant()
    def keeps_the_laws(self) -> None:
        if not hasattr(self, "world"):
            return
        with self.store.reading() as tx:
            found = {row.id: (records.request_of(row), approved_by(tx, row.id)) for row in tx.execute(select(requests))}
        for name, (request, approvals) in found.items():
            before = self.before.get(name)
            assert (before.state if before else RequestState.PENDING, request.state) in _FOLLOWS
            assert request.person not in approvals, "nobody approves their own"
            assert len(set(approvals)) == len(approvals)
            assert request.decided_by != request.person
            if request.state in (RequestState.APPROVED, RequestState.ENDED) and request.decided_by:
                assert len(approvals) >= (2 if request.room == "orders" else 1)
            assert request.ends_at - request.starts_at <= 2 * HOUR
        self._never_two_at_a_time([request for request, _ in found.values()])
        self.before = {name: request for name, (request, _) in found.items()}
        assert len(self.world.events()) == self.expected_events, "one event for each act"

    def _never_two_at_a_time(self, found: list[Request]) -> None:
        alive = [request for request in found if request.state in (RequestState.PENDING, RequestState.APPROVED)]
        for one in alive:
            for other in alive:
                if one.id < other.id and (one.person, one.room) == (other.person, other.room):
                    assert one.ends_at <= other.starts_at or other.ends_at <= one.starts_at


def _run(**where: object) -> None:
    machine = type("ActsHere", (Acts,), where)
    machine.TestCase.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)
    machine.TestCase("runTest").runTest()


def test_no_sequence_of_acts_leaves_the_table_or_the_laws_on_sqlite(migrated_sqlite: Path):
    _run(template=migrated_sqlite)


@pytest.mark.postgres
def test_no_sequence_of_acts_leaves_the_table_or_the_laws_on_postgresql(migrated_postgres: Store):
    _run(postgres=migrated_postgres)
