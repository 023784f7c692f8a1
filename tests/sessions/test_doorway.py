"""The doorway: who is let in by a ticket, who may stay, and what is written when they go."""

import hashlib
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.sessions.house import House, in_house
from tests.sessions.peers import FakeGateway, until

from sekisho.model.reasons import Reason
from sekisho.runtime.protocol import OpenKind, RuntimeState
from sekisho.sessions import doorway_server
from sekisho.sessions.doorway import Admitted, Alive, Allowed, Closed, Refused
from sekisho.system.packets import Channel, ChannelClosed, connect


def test_a_good_ticket_lets_in_once_the_log_has_it_with_a_capability_of_the_agents(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        session = house.grant()
        await house.ready()
        admitted = await house.enters()
        assert isinstance(admitted, Admitted)
        assert (admitted.session, admitted.person, admitted.room, admitted.title, admitted.language) == (session, "hanako", "campaign", "Campaign data", "ja")
        assert admitted.ends_at == house.row("requests", "r-one").ends_at.timestamp()
        register = house.agent.registered[-1]
        assert register.capability_sha256 == hashlib.sha256(bytes.fromhex(admitted.capability)).hexdigest()
        assert (register.session, register.kind, register.person) == (session, OpenKind.TERMINAL, "hanako")
        assert register.expires_at - house.clock.now().timestamp() <= 10
        assert house.logged()[-1] == "connection.opened"
        (opened,) = house.events("connection.opened")
        assert (opened["by"], opened["address"], opened["channel"], opened["session"]) == ("hanako", "10.0.0.7", "terminal", session)

    in_house(tmp_path, story)


def test_a_desktop_is_opened_by_a_capability_of_that_kind_and_leaving_it_is_told_as_of_a_desktop(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters(kind="desktop")
        assert isinstance(admitted, Admitted)
        assert house.agent.registered[-1].kind is OpenKind.DESKTOP
        assert house.events("connection.opened")[0]["channel"] == "desktop"
        assert isinstance(await house.gateway.redeem(admitted.again, kind="desktop"), Admitted)
        house.gateway.say(Closed(admitted.connection, "left", 1, 2, left=True))
        await house.sees("destroyed")
        assert house.events("grant.ended")[0]["channel"] == "desktop"

    in_house(tmp_path, story)


def test_the_ticket_to_come_again_works_once_and_from_the_same_address_only(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        first = await house.enters()
        again = await house.gateway.redeem(first.again)
        assert isinstance(again, Admitted)
        assert again.connection != first.connection
        assert (await house.gateway.redeem(first.again)).reason is Reason.TICKET_USED_OR_OLD
        assert (await house.gateway.redeem(again.again, address="10.0.0.8")).reason is Reason.TICKET_USED_OR_OLD

    in_house(tmp_path, story)


def _out_of_place(house: House) -> str:
    return house.ticket(address="192.0.2.1")


def _late(house: House) -> str:
    return house.ticket(seconds=-1)


def _not_signed_in(house: House) -> str:
    secret = house.ticket()
    house.sign_out("hanako")
    return secret


def _expired_sign_in(house: House) -> str:
    house.clock.ahead += timedelta(hours=13)
    house.extend(seconds=24 * 3600)
    return house.ticket()


def _of_another(house: House) -> str:
    return house.ticket(person="taro")


def _for_a_page(house: House) -> str:
    return house.ticket(kind="page")


def _frozen(house: House) -> str:
    house.set_state("frozen")
    return house.ticket()


@pytest.mark.parametrize(
    ("make", "address", "kind", "reason"),
    [
        (lambda house: "no such ticket", "10.0.0.7", "terminal", Reason.TICKET_USED_OR_OLD),
        (lambda house: "x" * 5000, "10.0.0.7", "terminal", Reason.TICKET_USED_OR_OLD),
        (_late, "10.0.0.7", "terminal", Reason.TICKET_USED_OR_OLD),
        (House.ticket, "10.0.0.8", "terminal", Reason.TICKET_USED_OR_OLD),
        (House.ticket, "not an address", "terminal", Reason.TICKET_USED_OR_OLD),
        (House.ticket, "10.0.0.7", "desktop", Reason.TICKET_USED_OR_OLD),
        (_for_a_page, "10.0.0.7", "page", Reason.KIND_NOT_OFFERED),
        (_out_of_place, "192.0.2.1", "terminal", Reason.OUTSIDE_PLACE),
        (_not_signed_in, "10.0.0.7", "terminal", Reason.NOT_SIGNED_IN),
        (_expired_sign_in, "10.0.0.7", "terminal", Reason.NOT_SIGNED_IN),
        (_of_another, "10.0.0.7", "terminal", Reason.NO_GRANT),
        (_frozen, "10.0.0.7", "terminal", Reason.SESSION_FROZEN),
    ],
)
def test_who_is_not_let_in_is_told_why_and_the_log_too(tmp_path: Path, make: Callable[[House], str], address: str, kind: str, reason: Reason) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        refused = await house.gateway.redeem(make(house), address=address, kind=kind)
        assert isinstance(refused, Refused)
        assert refused.reason is reason
        (event,) = house.events("entry.refused")
        assert event["reason"] == reason
        assert not house.rows("connections")

    in_house(tmp_path, story)


def test_an_address_mapped_into_ipv6_is_the_same_address(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        assert isinstance(await house.gateway.redeem(house.ticket(), address="::ffff:10.0.0.7"), Admitted)

    in_house(tmp_path, story)


def test_a_ticket_used_twice_is_refused_and_the_second_try_is_in_the_log_with_its_owner(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        secret = house.ticket()
        first, second = await house.gateway.redeem(secret), await house.gateway.redeem(secret, address="10.0.0.99")
        assert isinstance(first, Admitted)
        assert second.reason is Reason.TICKET_USED_OR_OLD
        (event,) = house.events("entry.refused")
        assert (event["by"], event["address"], event["session"]) == ("hanako", "10.0.0.99", "s-one")

    in_house(tmp_path, story)


def test_who_makes_up_tickets_does_not_fill_the_log(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        late = house.ticket(seconds=-1)
        for at in range(25):
            assert (await house.gateway.redeem(f"made up {at}", address=f"2001:db8::{at:x}")).reason is Reason.TICKET_USED_OR_OLD
        assert len(house.events("entry.refused")) == 10
        await house.gateway.redeem(late, address="2001:db8::1")
        assert house.events("entry.refused")[10]["by"] == "hanako", "a ticket that was one is always written down"
        await house.gateway.redeem("made up", address="10.0.0.7")
        assert len(house.events("entry.refused")) == 12, "another caller is counted apart"
        house.clock.ahead += timedelta(minutes=1)
        await house.gateway.redeem("made up", address="2001:db8::1")
        assert house.events("entry.refused")[-1]["details"] == {"more": 15}

    in_house(tmp_path, story)


def test_a_ticket_shown_from_another_address_is_used_up_by_that(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        secret = house.ticket()
        assert (await house.gateway.redeem(secret, address="10.0.0.66")).reason is Reason.TICKET_USED_OR_OLD
        assert (await house.gateway.redeem(secret)).reason is Reason.TICKET_USED_OR_OLD

    in_house(tmp_path, story)


def test_while_the_log_is_away_nobody_is_let_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorway_server, "LOG_SECONDS", 0.2)

    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        house.audit.is_stalled = True
        registered = len(house.agent.registered)
        assert (await house.enters()).reason is Reason.LOG_UNAVAILABLE
        assert len(house.agent.registered) == registered
        (row,) = house.rows("connections")
        assert (row.why, row.closed_at is not None) == ("log-unavailable", True)

    in_house(tmp_path, story)


def test_a_grant_revoked_while_the_log_is_waited_for_lets_nobody_in(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        house.audit.is_stalled = True
        asked = house.later(house.enters())
        await until(lambda: house.rows("connections"), "the row is there")
        house.end()
        await house.sees("destroyed")
        house.audit.resume()
        assert (await asked).reason in (Reason.TIME_OVER, Reason.CONTROL_UNAVAILABLE)
        (row,) = house.rows("connections")
        assert row.closed_at is not None

    in_house(tmp_path, story)


def test_while_the_agent_is_away_nobody_is_let_in(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        house.agent.stop()
        assert (await house.enters()).reason is Reason.CONTROL_UNAVAILABLE
        house.agent.start()

    in_house(tmp_path, story)


def test_a_connection_goes_on_as_long_as_everything_holds(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters()
        assert await house.gateway.recheck(admitted.connection) == Allowed(to=2, ends_at=house.row("requests", "r-one").ends_at.timestamp())
        assert isinstance(await house.gateway.recheck(admitted.connection, address="10.0.0.200"), Allowed)
        house.set_state("frozen")
        assert isinstance(await house.gateway.recheck(admitted.connection), Allowed)

    in_house(tmp_path, story)


def test_a_place_lost_mid_connection_cuts_it_and_the_log_says_from_where(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters()
        refused = await house.gateway.recheck(admitted.connection, address="192.0.2.44")
        assert refused.reason is Reason.OUTSIDE_PLACE
        assert {fact.name: fact.value for fact in refused.facts} == {"address": "192.0.2.44", "places": "security-area"}
        (cut,) = house.events("connection.cut")
        assert (cut["reason"], cut["details"]["address_now"]) == ("outside-place", "192.0.2.44")
        house.gateway.say(Closed(admitted.connection, "outside-place", 10, 20))
        await until(lambda: house.events("connection.closed"), "closed")
        assert house.row("connections", admitted.connection).why == "outside-place"

    in_house(tmp_path, story)


@pytest.mark.parametrize(("lose", "reason"), [(House.sign_out, Reason.NOT_SIGNED_IN), (House.disable, "person-disabled")])
def test_who_signs_out_or_is_disabled_is_cut_without_being_asked(tmp_path: Path, lose: Callable[[House, str], None], reason: str) -> None:
    async def story(house: House) -> None:
        house.grant()
        house.grant("r-two", person="taro")
        await house.ready()
        await house.ready("s-two")
        admitted = await house.enters()
        other = await house.enters("s-two", person="taro")
        lose(house, "hanako")
        await until(lambda: house.gateway.cuts, "cut")
        assert {(cut.connection, cut.reason) for cut in house.gateway.cuts} == {(admitted.connection, reason)}
        assert (await house.gateway.recheck(admitted.connection)).reason in (Reason.NOT_SIGNED_IN, Reason.PERSON_DISABLED)
        assert isinstance(await house.gateway.recheck(other.connection), Allowed)

    in_house(tmp_path, story)


def test_what_closed_is_in_the_books_with_its_bytes_once(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters()
        for _ in range(2):
            house.gateway.say(Closed(admitted.connection, "disconnected", 120, 2**60))
        await until(lambda: house.row("connections", admitted.connection).closed_at, "closed")
        await house.enters_in_vain()
        row = house.row("connections", admitted.connection)
        assert (row.why, row.bytes_in, row.bytes_out) == ("disconnected", 120, 2**53 - 1)
        assert len(house.events("connection.closed")) == 1
        assert house.state() == "ready"

    in_house(tmp_path, story)


def test_who_leaves_ends_the_session_and_hearing_it_twice_is_harmless(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters()
        for _ in range(2):
            house.gateway.say(Closed(admitted.connection, "left", 1, 2, left=True))
        await house.sees("destroyed")
        request = house.row("requests", "r-one")
        assert (request.state, request.end_reason, request.ended_by) == ("ended", "left", "hanako")
        assert len(house.events("grant.ended")) == 1
        assert not house.events("decision.refused")

    in_house(tmp_path, story)


def test_a_gateway_that_died_leaves_no_connection_open_in_the_books(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        first, second = await house.enters(), await house.enters()
        await house.gateway.stop()
        house.gateway = FakeGateway(house.folder / "control.sock", house.chronicle)
        await house.gateway.start(alive=(second.connection, "c-unknown"))
        await until(lambda: house.row("connections", first.connection).closed_at, "the lost one is closed")
        assert house.row("connections", first.connection).why == "gateway-lost"
        assert house.row("connections", second.connection).closed_at is None
        await until(lambda: house.gateway.cuts, "what control does not know is cut")
        assert [(cut.connection, cut.reason) for cut in house.gateway.cuts] == [("c-unknown", "no-grant")]

    in_house(tmp_path, story)


def test_a_gateway_that_was_away_when_its_connection_was_cut_hears_it_when_it_is_back(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters()
        await house.gateway.stop()
        house.end()
        await house.sees("destroyed")
        house.gateway = FakeGateway(house.folder / "control.sock", house.chronicle)
        await house.gateway.start(alive=(admitted.connection,))
        await until(lambda: house.gateway.cuts, "cut")
        assert (house.gateway.cuts[0].connection, house.gateway.cuts[0].reason) == (admitted.connection, "ended-by-approver")

    in_house(tmp_path, story)


def test_who_has_none_of_the_listed_uids_is_dropped_and_who_talks_nonsense_too(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        channel = connect(tmp_path / "control.sock")
        channel.send(b'{"verb":"open-everything"}')
        await until(lambda: is_closed(channel), "dropped")
        house.peers.clear()
        stranger = connect(tmp_path / "control.sock")
        await until(lambda: is_closed(stranger), "dropped")
        house.peers[os.getuid()] = "portal"
        portal = connect(tmp_path / "control.sock")
        portal.send(b'{"verb":"nudge"}')
        portal.send(b'{"verb":"alive","connections":[]}')  # not the portal's to say
        await until(lambda: is_closed(portal), "dropped")

    in_house(tmp_path, story)


def is_closed(channel: Channel) -> bool:
    try:
        return channel.receive() is not None
    except ChannelClosed:
        channel.close()
        return True


def test_a_session_that_freezes_cuts_nobody_but_lets_nobody_in(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        await house.enters()
        house.audit.is_stalled = True
        await house.enters_in_vain()
        house.clock.ahead += timedelta(seconds=31)
        house.nudge()
        await house.sees("frozen")
        assert house.agent.sessions["s-one"].state is RuntimeState.FROZEN
        assert (await house.enters()).reason is Reason.SESSION_FROZEN
        assert not house.gateway.cuts

    in_house(tmp_path, story)


def test_alive_from_one_gateway_does_not_close_what_another_holds(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters()
        other = FakeGateway(house.folder / "control.sock", [])
        await other.start(alive=())
        other.say(Alive(()))
        await house.enters_in_vain()
        assert house.row("connections", admitted.connection).closed_at is None
        await other.stop()

    in_house(tmp_path, story)


def test_the_log_says_why_a_connection_was_cut_also_when_the_gateway_speaks_before_it_is_written_down(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters()
        house.gateway.say(Closed(admitted.connection, "ended-by-approver", 10, 20))  # its answer to a Cut that control has sent and not yet written
        await until(lambda: house.events("connection.closed"), "closed")
        (closed,) = house.events("connection.closed")
        assert closed["reason"] == "ended-by-approver"
        assert house.row("connections", admitted.connection).why == "ended-by-approver"

    in_house(tmp_path, story)
