"""kill -9 of agent, shim and screen at each step of a session's life: what comes back converges, nothing outlives its deadline, no event is lost or doubled."""

import contextlib
import hashlib
import os
import secrets
import select
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.runtime.machine import MIB, OVER, Machine, folder_source, machine, until

from sekisho.model import messages
from sekisho.model.session import EndReason
from sekisho.runtime import uids
from sekisho.runtime.protocol import Create, End, Failed, FromOpener, Open, OpenKind, Register, RuntimeState
from sekisho.runtime.undo import survivors
from sekisho.system.packets import connect

pytestmark = pytest.mark.root

LIFE = ("asked", "staging", "ready", "ending")
KINDS = (("terminal",), ("desktop", "terminal"))
ONCE = {"session.created", "session.ready", "session.ended", "session.failed", "session.destroyed"}


@pytest.fixture
def agent(tmp_path):
    with machine(tmp_path / "agent") as made:
        yield made


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(8):
        (folder / f"{number}.bin").write_bytes(os.urandom(4 * MIB))
    return folder_source(folder)


def live_until(agent: Machine, step: str, source, **changes) -> str:
    """Bring a session to a step of its life and stop there."""
    spec = agent.spec(folders=source, **changes)
    agent._number += 1
    agent.channel.send(messages.render(Create(agent._number, spec)))
    until("the session is journaled", (agent.folder / "sessions" / f"{spec.session}.json").exists)
    until("the shim is journaled", lambda: agent.remember(spec.session) or agent.shims[spec.session])
    if step == "staging":
        agent.wait(spec.session, {RuntimeState.STAGING, RuntimeState.READY})
    if step in {"ready", "ending"}:
        agent.wait(spec.session, {RuntimeState.READY})
    if step == "ending":
        agent.ask(End(0, spec.session, EndReason.LEFT))
    return spec.session


def kill_the_screen(agent: Machine, session: str) -> None:
    """As soon as there is one; or not at all, where the session is over before."""
    until("its screen, or its end", lambda: screens(agent, session) or f"shim {agent.shims[session]}" not in agent.leftovers(session))
    for pid in screens(agent, session):
        kill(pid)


def screens(agent: Machine, session: str) -> list[int]:
    found = []
    for pid in survivors(agent.bases[session], agent.run / "s" / session):
        with contextlib.suppress(OSError):
            found += [pid] if Path(f"/proc/{pid}").stat().st_uid == agent.bases[session] + uids.SCREEN else []
    return found


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    with contextlib.suppress(ProcessLookupError):  # it may have ended already
        os.kill(pid, number)


def told(agent: Machine, session: str) -> list[str]:
    entries = agent.events()
    assert [int(entry["number"]) for entry in entries] == list(range(1, len(entries) + 1)), "numbers without a gap"
    return [entry["kind"] for entry in entries if entry.get("session") == session]


def assert_told_once(agent: Machine, session: str) -> None:
    kinds = told(agent, session)
    assert not [kind for kind, count in Counter(kinds).items() if kind in ONCE and count > 1], kinds
    assert kinds[0] == "session.created"
    assert kinds[-1] == "session.destroyed"
    assert ("session.ended" in kinds) != ("session.failed" in kinds)


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
@pytest.mark.parametrize("step", LIFE)
def test_a_killed_agent_finds_its_session_again_and_ends_it_when_asked(agent: Machine, source, step, kinds):
    session = live_until(agent, step, source, kinds=kinds)
    agent.kill()
    agent.start()
    if step != "ending":
        agent.wait(session, {RuntimeState.READY})
        terminal = agent.terminal(session)
        assert terminal.run("ls /data | wc -l") == "8"
        terminal.close()
    seen = agent.end(session)
    assert seen.certificate.clean, seen
    assert agent.leftovers(session) == []
    assert_told_once(agent, session)


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
@pytest.mark.parametrize("step", LIFE)
def test_a_killed_shim_is_noticed_and_its_session_ended(agent: Machine, source, step, kinds):
    session = live_until(agent, step, source, kinds=kinds)
    os.kill(agent.shims[session], signal.SIGKILL)
    seen = agent.wait(session, OVER)
    assert seen.end_reason in {EndReason.SHIM_LOST, EndReason.LEFT}
    assert seen.certificate.clean, seen
    assert agent.leftovers(session) == []
    assert_told_once(agent, session)


@pytest.mark.parametrize("kinds", KINDS, ids="-".join)
@pytest.mark.parametrize("step", LIFE)
def test_with_agent_and_shim_killed_the_next_agent_ends_what_is_left(agent: Machine, source, step, kinds):
    session = live_until(agent, step, source, kinds=kinds)
    agent.kill()
    os.kill(agent.shims[session], signal.SIGKILL)
    agent.start()
    assert agent.listed()[session].state in OVER
    assert agent.leftovers(session) == []
    assert_told_once(agent, session)


@pytest.mark.parametrize("step", LIFE)
def test_a_killed_screen_ends_its_session(agent: Machine, source, step):
    session = live_until(agent, step, source, kinds=KINDS[1])
    kill_the_screen(agent, session)
    seen = agent.wait(session, OVER)
    assert seen.end_reason in {EndReason.ROOM_STOPPED, EndReason.OPEN_FAILED, EndReason.LEFT}, seen
    assert seen.certificate.clean, seen
    assert agent.leftovers(session) == []
    assert_told_once(agent, session)


@pytest.mark.parametrize("step", LIFE)
def test_with_agent_and_screen_killed_the_shim_ends_its_session_and_the_next_agent_tells(agent: Machine, source, step):
    session = live_until(agent, step, source, kinds=KINDS[1])
    agent.kill()
    kill_the_screen(agent, session)
    until("nothing is left but the lease", lambda: not [each for each in agent.leftovers(session) if "lease" not in each])
    agent.start()
    assert agent.listed()[session].state in OVER
    assert agent.leftovers(session) == []
    assert_told_once(agent, session)


@pytest.mark.parametrize("step", LIFE)
def test_with_agent_shim_and_screen_killed_the_next_agent_ends_what_is_left(agent: Machine, source, step):
    session = live_until(agent, step, source, kinds=KINDS[1])
    agent.kill()
    kill_the_screen(agent, session)
    kill(agent.shims[session])  # at once: it is about to end the session
    agent.start()
    assert agent.listed()[session].state in OVER
    assert agent.leftovers(session) == []
    assert_told_once(agent, session)


@pytest.mark.parametrize("step", ["asked", "staging", "ready"])
def test_with_nobody_else_alive_the_shim_ends_its_session_at_the_deadline(agent: Machine, source, step):
    session = live_until(agent, step, source, seconds=3.0)
    agent.kill()
    until("nothing is left but the lease", lambda: not [each for each in agent.leftovers(session) if "lease" not in each])
    agent.start()
    assert agent.listed()[session].end_reason is EndReason.TIME_OVER
    assert agent.leftovers(session) == []
    assert_told_once(agent, session)


@pytest.mark.parametrize("tenth", range(12))
def test_an_end_while_the_room_is_being_made_leaves_nothing(agent: Machine, source, tenth):
    """The moment of the end moves through the making, the runtime's own work included."""
    session = live_until(agent, "asked", source, kinds=KINDS[tenth % 2])
    moment = time.monotonic() + tenth / 100
    until("its moment", lambda: time.monotonic() >= moment)
    seen = agent.end(session)
    assert seen.certificate.clean, seen
    assert agent.leftovers(session) == []
    assert_told_once(agent, session)


def test_two_installations_on_one_machine_do_not_meet(agent: Machine, tmp_path):
    with machine(tmp_path / "other") as other:
        mine, theirs = agent.ready(), other.ready()
        assert agent.bases[mine] != other.bases[theirs]
        assert mine not in other.listed()
        other.kill()
        other.start()
        assert agent.listed()[mine].state is RuntimeState.READY
        other.end(theirs)
        assert agent.listed()[mine].state is RuntimeState.READY
        agent.end(mine)
        assert agent.leftovers(mine) == []
        assert other.leftovers(theirs) == []


@pytest.mark.long
@pytest.mark.parametrize("round_number", range(40))
def test_kills_at_any_moment_leave_nothing(agent: Machine, source, round_number):
    """The long form: the moment of the kill moves through the whole of a session's making and ending."""
    session = live_until(agent, "asked" if round_number % 2 else "ending", source, kinds=KINDS[round_number // 2 % 2])
    moment = time.monotonic() + round_number / 200
    until("its moment", lambda: time.monotonic() >= moment)
    if round_number % 3:
        agent.kill()
    if round_number % 3 != 1:
        kill(agent.shims[session])
    if agent.channel is None:
        agent.start()
    if agent.listed()[session].state not in OVER:
        agent.end(session)
    assert agent.leftovers(session) == []
    assert_told_once(agent, session)


def test_whoever_waits_for_a_shim_that_is_killed_is_told_at_once(agent: Machine):
    session = agent.ready()
    os.kill(agent.shims[session], signal.SIGSTOP)
    opener = connect(agent.run / "open.sock")
    secret = secrets.token_bytes(32)
    agent.ask(Register(0, hashlib.sha256(secret).hexdigest(), session, OpenKind.TERMINAL, "hanako", time.time() + 20))
    opener.send(messages.render(Open(7, secret.hex())))
    assert not select.select([opener], [], [], 0.3)[0], "the shim stands still"
    kill(agent.shims[session])
    assert select.select([opener], [], [], 5)[0], "nobody answers"
    packet, _ = opener.receive()
    assert messages.parse(packet, FromOpener) == Failed(7, "not-ready", "the session is over")
    opener.close()
    assert agent.wait(session, {RuntimeState.DESTROYED}).certificate.clean
