"""Pasting into a room: decided, limited, in the log before the gateway hears yes, and never with what was pasted."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.sessions.house import ROOM, House, in_house
from tests.sessions.peers import until

from sekisho.model.reasons import Reason
from sekisho.policy.clipboard import PASTE_LIMIT_BYTES, PASTES_IN_WINDOW, PASTES_WINDOW
from sekisho.sessions import doorway_server
from sekisho.sessions.doorway import Closed, Pasted, Refused


def test_a_paste_is_in_the_log_before_the_gateway_hears_yes_and_what_it_was_is_nowhere(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        session = house.grant()
        await house.ready()
        admitted = await house.enters(kind="desktop")
        house.audit.is_stalled = True
        asked = house.later(house.gateway.paste(admitted.connection, characters=3, size_bytes=9))
        await until(lambda: house.events("clipboard.pasted"), "it is decided")
        assert not asked.done()
        house.audit.resume()
        assert isinstance(await asked, Pasted)
        assert house.logged()[-1] == "clipboard.pasted"
        (pasted,) = house.events("clipboard.pasted")
        assert (pasted["by"], pasted["address"], pasted["channel"], pasted["session"]) == ("hanako", "10.0.0.7", "desktop", session)
        assert pasted["details"] == {"connection": admitted.connection, "person": "hanako", "characters": 3, "bytes": 9}

    in_house(tmp_path, story)


def _paste_is_off(house: House) -> None:
    house.bind("r-one", ROOM + "[clipboard]\nin = false\n")


def _freeze(house: House) -> None:
    house.set_state("frozen")


def _time_is_over(house: House) -> None:
    house.end()


def _sign_out(house: House) -> None:
    house.sign_out("hanako")


@pytest.mark.parametrize(
    ("lose", "size_bytes", "address", "reasons"),
    [
        (_paste_is_off, 9, "10.0.0.7", {Reason.PASTE_NOT_ALLOWED}),
        (_freeze, 9, "10.0.0.7", {Reason.SESSION_FROZEN}),
        (_time_is_over, 9, "10.0.0.7", {Reason.TIME_OVER, Reason.NO_GRANT}),
        (_sign_out, 9, "10.0.0.7", {Reason.NOT_SIGNED_IN, Reason.NO_GRANT}),
        (lambda house: None, 9, "192.0.2.1", {Reason.OUTSIDE_PLACE}),
        (lambda house: None, PASTE_LIMIT_BYTES + 1, "10.0.0.7", {Reason.PASTE_TOO_LONG}),
        (lambda house: None, 0, "10.0.0.7", {Reason.PASTE_EMPTY}),
        (lambda house: None, -5, "10.0.0.7", {Reason.PASTE_EMPTY}),
    ],
)
def test_what_may_not_be_pasted_is_told_why_and_the_log_too(
    tmp_path: Path, lose: Callable[[House], None], size_bytes: int, address: str, reasons: set[Reason]
) -> None:
    """Where control may have cut the connection by itself meanwhile, there are two reasons that it may give."""

    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters(kind="desktop")
        lose(house)
        refused = await house.gateway.paste(admitted.connection, size_bytes=size_bytes, address=address)
        assert isinstance(refused, Refused)
        assert refused.reason in reasons
        (event,) = house.events("paste.refused")
        assert (event["reason"], event["by"], event["details"]["bytes"]) == (refused.reason, "hanako", max(size_bytes, 0))
        assert event["details"].get("address_now", "10.0.0.7") == address
        assert not house.events("clipboard.pasted")

    in_house(tmp_path, story)


def test_a_paste_of_no_connection_or_one_that_is_over_is_refused(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        assert (await house.gateway.paste("c-unknown")).reason is Reason.NO_GRANT
        admitted = await house.enters(kind="desktop")
        house.gateway.say(Closed(admitted.connection, "disconnected", 1, 2))
        assert (await house.gateway.paste(admitted.connection)).reason is Reason.NO_GRANT

    in_house(tmp_path, story)


def test_while_the_log_is_away_nothing_is_pasted_and_it_says_so_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorway_server, "LOG_SECONDS", 0.2)

    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters(kind="desktop")
        house.audit.is_stalled = True
        assert (await house.gateway.paste(admitted.connection)).reason is Reason.LOG_UNAVAILABLE
        house.audit.resume()
        await until(lambda: house.logged()[-2:] == ["clipboard.pasted", "paste.refused"], "the log has both")
        assert house.events("paste.refused")[0]["reason"] == "log-unavailable"

    in_house(tmp_path, story)


def test_a_grant_revoked_while_the_log_is_waited_for_lets_nothing_be_pasted(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters(kind="desktop")
        house.audit.is_stalled = True
        asked = house.later(house.gateway.paste(admitted.connection))
        await until(lambda: house.events("clipboard.pasted"), "it is decided")
        house.end()
        await house.sees("destroyed")
        house.audit.resume()
        assert (await asked).reason in (Reason.TIME_OVER, Reason.NO_GRANT)
        assert len(house.events("paste.refused")) == 1

    in_house(tmp_path, story)


def test_a_burst_of_pastes_does_not_fill_the_log_and_another_connection_is_not_held_back_by_it(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted, other = await house.enters(kind="desktop"), await house.enters(kind="desktop")
        answers = [await house.gateway.paste(admitted.connection) for _ in range(PASTES_IN_WINDOW + 15)]
        assert [isinstance(each, Pasted) for each in answers] == [True] * PASTES_IN_WINDOW + [False] * 15
        assert {each.reason for each in answers[PASTES_IN_WINDOW:]} == {Reason.PASTE_TOO_OFTEN}
        assert (len(house.events("clipboard.pasted")), len(house.events("paste.refused"))) == (PASTES_IN_WINDOW, 10)
        assert isinstance(await house.gateway.paste(other.connection), Pasted)
        house.clock.ahead += PASTES_WINDOW
        assert isinstance(await house.gateway.paste(admitted.connection), Pasted)
        await house.gateway.paste(admitted.connection, size_bytes=0)
        for _ in range(PASTES_IN_WINDOW):
            await house.gateway.paste(admitted.connection)
        assert house.events("paste.refused")[-1]["details"]["more"] == 5

    in_house(tmp_path, story)
