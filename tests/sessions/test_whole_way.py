"""The whole way of one session on both databases, from the grant to what the log says of it."""

from pathlib import Path

from tests.sessions.house import House, in_house
from tests.sessions.peers import until

from sekisho.model.reasons import Reason
from sekisho.sessions.doorway import Admitted, Allowed, Closed
from sekisho.store.database import Store

STORY = [
    "session.opening",
    "connection.opened",
    "connection.cut",
    "connection.closed",
    "entry.refused",
    "connection.opened",
    "connection.closed",
    "grant.ended",
]


def test_a_session_is_opened_entered_cut_entered_again_left_and_destroyed(tmp_path: Path, store: Store) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        first = await house.enters()
        assert isinstance(await house.gateway.recheck(first.connection), Allowed)
        assert (await house.gateway.recheck(first.connection, address="192.0.2.1")).reason is Reason.OUTSIDE_PLACE
        house.gateway.say(Closed(first.connection, "cut", 1, 2))
        assert (await house.gateway.redeem(first.again, address="192.0.2.1")).reason is Reason.TICKET_USED_OR_OLD
        second = await house.enters()
        assert isinstance(second, Admitted)
        house.gateway.say(Closed(second.connection, "left", 3, 4, left=True))
        await house.sees("destroyed")
        await until(lambda: not house.agent.sessions, "the agent has forgotten it")
        await until(lambda: house.logged() == STORY, "the log has the story, in order")
        assert house.row("sessions", "s-one").certificate["clean"] is True
        assert house.row("requests", "r-one").end_reason == "left"

    in_house(tmp_path, story, store=store)
