"""Control between its grants and its runtime: what opens, what ends, what waits for the log and what does not."""

from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from tests.sessions.house import IMAGE, ROOM, House, in_house
from tests.sessions.peers import until

from sekisho.model.event import Event, EventKind
from sekisho.model.session import EndReason, session_id
from sekisho.runtime.protocol import FolderWanted, RuntimeState, SessionSeen
from sekisho.sessions import performing
from sekisho.store import outbox


def verbs(house: House, who: str) -> list[str]:
    return [message.VERB for peer, message in house.chronicle if peer == who]  # type: ignore[attr-defined]


def test_a_grant_in_force_becomes_a_ready_session_with_its_files_ports_and_names(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        session = house.grant()
        await house.ready()
        (spec,) = house.agent.specs
        assert (spec.session, spec.request, spec.person, spec.room, spec.image, spec.trust) == (session, "r-one", "hanako", "campaign", IMAGE, "PEM")
        assert spec.folders == (FolderWanted(str(tmp_path / "exports" / "campaign"), "/data"),)
        assert spec.ports == (443, 8443)
        assert spec.kinds == ("desktop", "terminal")
        assert spec.ends_at == house.row("requests", "r-one").ends_at.timestamp()
        served = house.egress.served[session]
        assert [(rule.name, rule.port, rule.wildcard) for rule in served.rules] == [("www.example.com", 443, False), ("example.org", 8443, True)]
        assert len(bytes.fromhex(served.capability)) == 32
        assert served.capability not in {each.capability_sha256 for each in house.agent.registered}

    in_house(tmp_path, story)


def test_a_session_is_created_only_after_the_log_has_its_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performing, "LOG_SECONDS", 0.2)

    async def story(house: House) -> None:
        house.audit.is_stalled = True
        house.grant()
        await until(lambda: house.row("sessions", "s-one") and house.row("sessions", "s-one").why.startswith("log-unavailable"), "it says what it waits for")
        assert house.state() == "opening"
        assert not house.told("agent", "create")
        house.audit.resume()
        await house.ready()
        assert house.logged()[0] == "session.opening"
        assert house.row("sessions", "s-one").why == ""

    in_house(tmp_path, story)


def test_while_the_log_is_away_ending_still_works(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        house.audit.stop()
        house.end()
        await house.sees("destroyed")
        house.audit.start()
        await until(lambda: len(house.agent.sessions) == 0, "it is forgotten")

    in_house(tmp_path, story)


def test_a_store_that_fails_ends_no_control_and_keeps_no_session_from_being_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone() -> NoReturn:
        raise OSError("the disk is gone")

    def failures() -> int:
        return caplog.messages.count("the outbox could not be shipped")

    async def story(house: House) -> None:
        house.grant(seconds=2)
        await house.ready()
        house.audit.is_stalled = True
        await house.enters_in_vain()
        with monkeypatch.context() as broken:
            broken.setattr(house.store, "writing", gone)
            house.audit.resume()  # what it accepted cannot be written down
            await until(failures, "shipping fails")
            await until(lambda: house.told("agent", "end"), "the agent is told to end what is over")
            broken.setattr(house.store, "reading", gone)
            before = failures()
            await until(lambda: failures() > before, "shipping is tried again")
        await house.sees("destroyed")
        await until(lambda: house.logged() == [event["kind"] for event in house.events()], "the log has every event, once")

    in_house(tmp_path, story)


def test_a_revoked_grant_cuts_every_open_channel_before_anything_else_and_without_the_log(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = [await house.enters() for _ in range(3)]
        house.audit.is_stalled = True
        house.chronicle.clear()
        house.end()
        await house.sees("destroyed")
        assert {(cut.connection, cut.reason) for cut in house.gateway.cuts} == {(each.connection, "ended-by-approver") for each in admitted}
        told = [(who, message.VERB) for who, message in house.chronicle]  # type: ignore[attr-defined]
        assert told[:3] == [("gateway", "cut")] * 3
        assert {told[3], told[4]} == {("agent", "end"), ("egress", "drop")}
        assert "connection.cut" not in house.logged()
        assert len(house.events("connection.cut")) == 3

    in_house(tmp_path, story)


def test_a_session_ends_when_its_time_is_over(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant(seconds=0.6)
        await house.ready()
        await house.enters()
        await house.sees("destroyed")
        request, session = house.row("requests", "r-one"), house.row("sessions", "s-one")
        assert (request.state, request.end_reason, session.end_reason) == ("ended", "time-over", "time-over")
        assert session.certificate["clean"] is True
        (ended,) = house.events("grant.ended")
        assert (ended["reason"], ended["details"]) == ("time-over", {"person": "hanako"})

    in_house(tmp_path, story)


def test_nothing_opens_before_the_grant_starts_and_then_at_once(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant(starts=0.5)
        await until(lambda: house.state() == "opening" or house.state() == "ready", "it opens")
        assert house.clock.now() >= house.row("requests", "r-one").starts_at
        assert (house.clock.now() - house.row("requests", "r-one").starts_at).total_seconds() < 1.0
        await house.ready()

    in_house(tmp_path, story)


def test_the_agent_forgets_a_session_only_after_its_end_was_written_down(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        seen: list[str] = []
        forget = house.agent._obey
        house.agent._obey = lambda order: (seen.append(house.state()) if order.VERB == "forget" else None, forget(order))[1]  # type: ignore[method-assign]
        house.end()
        await until(lambda: "s-one" not in house.agent.sessions, "it is forgotten")
        assert seen == ["destroyed"]

    in_house(tmp_path, story)


def test_an_extension_reaches_agent_egress_and_the_people_inside(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        await house.enters()
        ends_at = house.extend(seconds=600).timestamp()
        await until(lambda: house.agent.sessions["s-one"].ends_at == ends_at, "the agent knows")
        await until(lambda: house.egress.served["s-one"].ends_at == ends_at, "egress knows")
        assert house.egress.served["s-one"].capability == ""
        await until(lambda: [each.ends_at for each in house.gateway.extensions] == [ends_at], "the people know")
        assert house.state() == "ready"

    in_house(tmp_path, story)


def test_a_stalled_log_freezes_what_is_open_thaws_it_when_it_is_back_and_ends_it_in_the_end(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        house.grant("r-two", person="taro")
        await house.ready("s-one")
        await house.ready("s-two")
        house.audit.is_stalled = True
        await house.enters_in_vain()
        house.clock.ahead += timedelta(seconds=31)
        house.nudge()
        await house.sees("frozen", "s-one")
        await house.sees("frozen", "s-two")
        house.audit.resume()
        await house.sees("ready", "s-one")
        await house.sees("ready", "s-two")
        kinds = [event["kind"] for event in house.events() if event.get("session") == "s-one"]
        assert [kind for kind in kinds if kind in ("session.frozen", "session.thawed")] == ["session.frozen", "session.thawed"]
        house.audit.is_stalled = True
        await house.enters_in_vain()
        house.clock.ahead += timedelta(seconds=301)
        house.nudge()
        await house.sees("destroyed", "s-one")
        assert house.row("requests", "r-one").end_reason == "log-unavailable"

    in_house(tmp_path, story)


def test_a_backlog_from_before_control_started_freezes_nothing(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        await house.kill_control()
        house.audit.stop()
        with house.store.writing() as tx:
            outbox.append(tx, Event(EventKind.SIGNED_IN, house.clock.now() - timedelta(hours=1)))
        house.start_control()
        await until(lambda: house.agent.renewals >= 2, "control is back")
        assert house.state() == "ready"
        house.audit.start()
        await until(lambda: "signed-in" in house.logged(), "the backlog is shipped")
        assert not house.told("agent", "freeze")

    in_house(tmp_path, story)


@pytest.mark.parametrize("when", ["waiting for the log", "created", "ready", "ended"])
def test_control_killed_and_started_again_goes_on_with_the_one_session(tmp_path: Path, when: str) -> None:
    async def story(house: House) -> None:
        if when == "waiting for the log":
            house.audit.is_stalled = True
        if when == "created":
            house.agent.reaches = RuntimeState.STAGING
        house.grant()
        await house.sees({"waiting for the log": "opening", "created": "staging"}.get(when, "ready"))
        await house.kill_control()
        if when == "ended":
            house.end()
        if when == "created":
            house.agent.show("s-one", state=RuntimeState.READY)
        house.audit.resume()
        house.start_control()
        await (house.sees("destroyed") if when == "ended" else house.ready())
        assert len(house.told("agent", "create")) == 1
        assert len(house.events("session.opening")) == 1
        assert len(house.rows("sessions")) == 1

    in_house(tmp_path, story)


def test_egress_that_comes_back_is_given_what_it_served_and_one_that_stayed_only_the_rules(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        house.egress.restart()
        await house.ready()
        assert len(bytes.fromhex(house.egress.served["s-one"].capability)) == 32
        await house.kill_control()
        house.start_control()
        await until(lambda: house.egress.served["s-one"].capability == "", "it is told again, without a new capability")

    in_house(tmp_path, story)


def test_a_session_that_no_grant_wants_is_ended_and_forgotten(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.agent.sessions["s-stray"] = SessionSeen("s-stray", RuntimeState.READY, house.clock.now().timestamp() + 999)
        house.agent.start()
        house.egress.start()
        house.audit.start()
        house.start_control()
        await house.gateway.start()
        await until(lambda: not house.agent.sessions, "it is gone")
        (end,) = house.told("agent", "end")
        assert end.reason is EndReason.NO_GRANT

    in_house(tmp_path, story, is_complete=False)


def test_a_session_ended_while_the_agent_was_away_is_ended_when_it_is_back(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        house.agent.stop()
        house.end()
        await house.sees("ending")
        house.agent.start()
        await house.sees("destroyed")

    in_house(tmp_path, story)


def test_a_restarted_agent_that_has_not_heard_from_its_shims_yet_changes_nothing(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        house.agent.stop()
        house.agent.sessions["s-one"] = SessionSeen("s-one", RuntimeState.CREATING, house.agent.sessions["s-one"].ends_at)
        renewals = house.agent.renewals
        house.agent.start()
        await until(lambda: house.agent.renewals > renewals, "the agent is back")
        house.agent.show("s-one", state=RuntimeState.READY)
        await house.ready()
        assert verbs(house, "agent").count("create") == 1

    in_house(tmp_path, story)


def test_a_session_that_the_machine_lost_is_over_and_never_made_again(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        house.agent.stop()
        house.agent.sessions.clear()
        house.agent.start()
        await house.sees("destroyed")
        request, session = house.row("requests", "r-one"), house.row("sessions", "s-one")
        assert (request.state, request.end_reason) == ("ended", "shim-lost")
        assert session.why == "The machine that ran this room does not know it any longer."
        assert session.certificate is None
        assert len(house.told("agent", "create")) == 1

    in_house(tmp_path, story)


@pytest.mark.parametrize(
    ("break_it", "why"),
    [
        (lambda house: house.images.clear(), "the image 'terminal' is not built"),
        (lambda house: house.agent.refuses.update({"create": "no-image"}), "refused by the test"),
        (lambda house: house.lead_out_of_the_source(), "'file:exports/campaign' leads out of its source by a link"),
    ],
)
def test_what_cannot_be_made_fails_with_a_reason_and_its_grant_is_over(tmp_path: Path, break_it: object, why: str) -> None:
    async def story(house: House) -> None:
        break_it(house)  # type: ignore[operator]
        house.grant()
        await house.sees("failed")
        assert house.row("sessions", "s-one").why == why
        assert (house.row("requests", "r-one").state, house.row("requests", "r-one").end_reason) == ("ended", "open-failed")
        (ended,) = house.events("grant.ended")
        assert (ended["reason"], ended["details"]["why"]) == ("open-failed", why)

    in_house(tmp_path, story)


def test_a_full_machine_is_waited_for_and_said_so(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.agent.refuses["create"] = "no-room"
        house.grant()
        await until(lambda: house.row("sessions", "s-one") and house.row("sessions", "s-one").why == "refused by the test", "it says why")
        house.agent.refuses.clear()
        await house.ready()
        assert house.row("sessions", "s-one").why == ""

    in_house(tmp_path, story)


def test_a_session_that_failed_at_the_agent_ends_its_grant_with_the_agents_reason(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.agent.reaches = RuntimeState.STAGING
        house.grant()
        await house.sees("staging")
        house.agent.show("s-one", state=RuntimeState.FAILED, end_reason=EndReason.FILES_FAILED, why="a file is larger than /data")
        await house.sees("failed")
        assert house.row("requests", "r-one").end_reason == "files-failed"
        assert house.row("sessions", "s-one").why == "a file is larger than /data"
        await until(lambda: not house.agent.sessions, "it is forgotten")

    in_house(tmp_path, story)


def test_staging_is_shown_as_it_goes_and_in_the_end_exactly(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.agent.reaches = RuntimeState.STAGING
        house.grant()
        await house.sees("staging")
        for step in range(1, 101):
            house.agent.show("s-one", staged_bytes=step * 10, staged_total_bytes=1000, staged_files=step // 10)
        await until(lambda: house.row("sessions", "s-one").staged_bytes == 1000, "all of it")
        row = house.row("sessions", "s-one")
        assert (row.staged_total_bytes, row.staged_files, row.state) == (1000, 10, "staging")

    in_house(tmp_path, story)


def test_one_session_in_trouble_holds_up_no_other(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant("r-bad", person="taro")
        house.bind("r-bad", ROOM.replace('image = "terminal"', 'image = "explosive"'))
        house.grant()
        await house.ready()
        assert house.state("s-bad") == "opening"
        house.end("r-bad")
        await until(lambda: house.state("s-bad") in ("failed", "destroyed"), "it can still be ended")

    in_house(tmp_path, story)


def test_a_disabled_person_loses_grant_session_and_connections(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant()
        await house.ready()
        admitted = await house.enters()
        house.disable("hanako")
        await house.sees("destroyed")
        assert house.row("requests", "r-one").end_reason == "person-disabled"
        assert (admitted.connection, "person-disabled") in [(cut.connection, cut.reason) for cut in house.gateway.cuts]

    in_house(tmp_path, story)


def test_a_request_that_nobody_decided_on_expires(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.grant(seconds=0.2, state="pending")
        await until(lambda: house.row("requests", "r-one").state == "expired", "it expires")
        assert [event["kind"] for event in house.events()] == ["request.expired"]
        assert session_id("r-one") not in {row.id for row in house.rows("sessions")}

    in_house(tmp_path, story)


def test_a_grant_whose_room_file_is_not_kept_any_more_cannot_be_opened(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        house.agent.stop()
        house.grant()
        house.bind("r-one", None)
        house.agent.start()
        await house.sees("failed")
        assert house.row("sessions", "s-one").why == "the room file that this was granted under is not kept"

    in_house(tmp_path, story)


def test_room_files_that_come_into_force_or_are_refused_are_in_the_log(tmp_path: Path) -> None:
    async def story(house: House) -> None:
        (tmp_path / "rooms" / "campaign.toml").write_text(ROOM + "\n")
        (tmp_path / "rooms" / "broken.toml").write_text("title = 3")
        for server in (house.agent, house.egress, house.audit):
            server.start()
        house.start_control()
        await until(lambda: sorted(house.logged()) == ["room-file.in-force", "room-file.refused"], "both are logged")

    in_house(tmp_path, story, is_complete=False)
