"""What every OCI runtime under the agent must do: the contract of a session, from its creation to the certificate."""

import hashlib
import json
import os
import secrets
import select
import time
from dataclasses import replace

import pytest
from tests.runtime.machine import MIB, OVER, Machine, folder_source, machine, until

from sekisho.model import messages
from sekisho.model.session import EndReason
from sekisho.runtime.protocol import (
    Certificate,
    Changed,
    Create,
    Done,
    End,
    Extend,
    Failed,
    Forget,
    Freeze,
    OpenKind,
    Register,
    RuntimeState,
    SessionSeen,
    SpecLimits,
    Thaw,
)
from sekisho.system.packets import Channel, ChannelClosed, connect

pytestmark = pytest.mark.root


@pytest.fixture(scope="module", params=["runc"])
def agent(request, tmp_path_factory):
    with machine(tmp_path_factory.mktemp("agent"), runtime=request.param) as made:
        yield made


def test_a_session_becomes_ready_and_its_shell_answers(agent: Machine):
    session = agent.ready()
    terminal = agent.terminal(session)
    assert terminal.run("id -u; hostname; pwd; echo 日本語") == "1000\ncampaign\n/home/operator\n日本語"
    terminal.close()
    agent.end(session)


def test_leaving_the_shell_gives_a_new_one(agent: Machine):
    session = agent.ready()
    terminal = agent.terminal(session)
    terminal.run("true")
    terminal.write("exit\n")
    terminal.read(until_text="here is a new one")
    assert terminal.run("echo again") == "again"
    terminal.close()
    agent.end(session)


def test_nothing_is_left_of_a_session_that_ended(agent: Machine):
    session = agent.ready()
    terminal = agent.terminal(session)
    terminal.run("dd if=/dev/zero of=/data/secret bs=1M count=8 2>/dev/null; sleep 1000 & disown; (setsid nohup sleep 1000 >/dev/null 2>&1 &); true")
    seen = agent.end(session)
    assert (seen.state, seen.end_reason) == (RuntimeState.DESTROYED, EndReason.LEFT)
    assert seen.certificate.clean, seen.certificate
    assert seen.certificate.processes_killed >= 5
    assert seen.certificate.data_bytes >= 8 * MIB
    assert agent.leftovers(session) == []
    terminal.close()


def test_the_lifeline_ends_with_the_session(agent: Machine):
    session = agent.ready()
    terminal = agent.terminal(session)
    assert not select.select([terminal.lifeline], [], [], 0)[0]
    agent.end(session)
    assert os.read(terminal.lifeline, 1) == b""
    terminal.close()


def test_files_are_there_before_entry_with_their_hashes_in_the_journal(agent: Machine, tmp_path):
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "一覧.csv").write_text("a,b\n1,2\n")
    (source / os.fsdecode("売上.csv".encode("shift_jis"))).write_text("no name of ours")
    (source / "deep" / "er" / "x.bin").write_bytes(os.urandom(3 * MIB))
    source.chmod(0o700)
    session = agent.ready(folders=folder_source(source))
    terminal = agent.terminal(session)
    assert terminal.run("cat /data/一覧.csv") == "a,b\n1,2"
    assert terminal.run("touch /data/mine && echo hi > /data/mine && cat /data/mine") == "hi"
    assert "Permission denied" in terminal.run("echo x >> /data/一覧.csv")
    digest = terminal.run("sha256sum /data/deep/er/x.bin").split()[0]
    terminal.close()
    agent.end(session)
    events = [event for event in agent.events() if event.get("session") == session]
    staged = [file for event in events if event["kind"] == "files.staged" for file in event["details"]["files"]]
    assert {file["path"]: file["sha256"] for file in staged}["deep/er/x.bin"] == digest
    assert [event["kind"] for event in events] == ["session.created", "files.staged", "session.ready", "session.ended", "session.destroyed"]


@pytest.mark.parametrize("spoil", ["too-big", "link", "missing", "device"])
def test_files_that_can_not_be_staged_open_no_room(agent: Machine, tmp_path, spoil):
    source = tmp_path / "source"
    source.mkdir()
    (source / "ok.txt").write_text("ok")
    match spoil:
        case "too-big":
            (source / "big").write_bytes(bytes(65 * MIB))
        case "link":
            (source / "link").symlink_to("/etc/shadow")
        case "missing":
            source = tmp_path / "elsewhere"
        case "device":
            os.mkfifo(source / "fifo")
    session = agent.create(folders=folder_source(source))
    seen = agent.wait(session, {RuntimeState.FAILED})
    assert seen.end_reason is EndReason.FILES_FAILED
    assert {"too-big": "limits.data", "link": "neither a file nor a folder", "missing": "No such file", "device": "neither a file nor a folder"}[
        spoil
    ] in seen.why
    assert agent.leftovers(session) == []


def test_the_deadline_ends_a_session(agent: Machine):
    session = agent.ready(seconds=1.5)
    seen = agent.wait(session, {RuntimeState.DESTROYED})
    assert seen.end_reason is EndReason.TIME_OVER
    assert agent.leftovers(session) == []


def test_an_extension_moves_the_deadline_and_survives_the_agent(agent: Machine):
    session = agent.ready(seconds=2.0)
    later = time.time() + 60
    assert isinstance(agent.ask(Extend(0, session, later)), Done)
    record = json.loads((agent.folder / "sessions" / f"{session}.json").read_text())
    assert json.loads(record["create"])["spec"]["ends_at"] == later
    until("the first deadline is past", lambda: time.time() > later - 57)
    assert agent.listed()[session].state is RuntimeState.READY
    agent.end(session)


def test_a_frozen_session_stands_still_and_can_be_ended(agent: Machine):
    session = agent.ready()
    terminal = agent.terminal(session)
    terminal.run("true")
    agent.ask(Freeze(0, session))
    agent.wait(session, {RuntimeState.FROZEN})
    terminal.write("echo thawed-$((40+2))\n")
    assert not select.select([terminal.master], [], [], 0.3)[0] or b"thawed-42" not in os.read(terminal.master, 4096)
    assert isinstance(agent.open(session), Failed)
    agent.ask(Thaw(0, session))
    agent.wait(session, {RuntimeState.READY})
    terminal.read(until_text="thawed-42")
    agent.ask(Freeze(0, session))
    agent.wait(session, {RuntimeState.FROZEN})
    agent.end(session)
    assert agent.leftovers(session) == []
    terminal.close()


def test_a_room_whose_first_process_dies_is_ended(agent: Machine):
    session = agent.ready()
    terminal = agent.terminal(session)
    terminal.write("kill -9 1; kill -9 -1\n")
    terminal.write("python3 -c 'import os,signal; os.kill(os.getppid(), 9)'\n")
    os.kill(_first_process(agent, session), 9)
    assert agent.wait(session, {RuntimeState.DESTROYED}).end_reason is EndReason.ROOM_STOPPED
    assert agent.leftovers(session) == []
    terminal.close()


def _first_process(agent: Machine, session: str) -> int:
    return int((agent.run / "s" / session / "bundle" / "pid").read_text())


def test_a_capability_opens_once_and_only_its_own_kind(agent: Machine):
    session = agent.ready()
    answer = agent.show("00" * 32)
    assert isinstance(answer, Failed)
    assert answer.reference == "capability-refused"
    assert isinstance(agent.open(session, OpenKind.EGRESS), Failed)
    terminal = agent.terminal(session)
    terminal.close()
    agent.end(session)


def test_a_capability_outlives_its_session_and_opens_nothing(agent: Machine):
    """It was shown after the session was forgotten, and the agent died of it."""
    session, secret = agent.ready(), secrets.token_bytes(32)
    agent.ask(Register(0, hashlib.sha256(secret).hexdigest(), session, OpenKind.TERMINAL, "hanako", time.time() + 20))
    agent.end(session)
    agent.ask(Forget(0, session))
    answer = agent.show(secret.hex())
    assert isinstance(answer, Failed)
    assert answer.reference == "not-ready"
    assert agent.listed() is not None


def test_an_opener_may_not_use_up_the_agents_descriptors(agent: Machine):
    session = agent.ready()
    openers = [connect(agent.run / "open.sock") for _ in range(300)]
    try:
        until("most were hung up on", lambda: sum(not _is_hung_up(each) for each in openers) <= 128)
    finally:
        for each in openers:
            each.close()
    until("there is room again", lambda: not isinstance(_opened(agent, session), Failed))
    agent.end(session)


def _is_hung_up(opener: Channel) -> bool:
    try:
        return opener.receive() is not None
    except ChannelClosed:
        return True


def _opened(agent: Machine, session: str) -> object:
    try:
        answer = agent.open(session)
    except ChannelClosed:
        return Failed(1, "hung-up")
    if not isinstance(answer, Failed):
        for descriptor in answer[1]:
            os.close(descriptor)
    return answer


def test_create_asked_twice_makes_one_session(agent: Machine):
    spec = agent.spec()
    agent.ask(Create(0, spec))
    agent.ask(Create(0, spec))
    agent.remember(spec.session)
    agent.wait(spec.session, {RuntimeState.READY})
    assert list(agent.listed()).count(spec.session) == 1
    agent.end(spec.session)
    assert isinstance(agent.ask(Create(0, spec)), Done)
    assert agent.listed()[spec.session].state is RuntimeState.DESTROYED, "what is over is not made again"


def test_what_is_over_is_listed_until_control_has_it_in_writing(agent: Machine):
    session = agent.ready()
    agent.ask(Forget(0, session))
    assert session in agent.listed(), "what lives is not forgotten"
    agent.end(session)
    assert agent.listed()[session].state in OVER
    agent.ask(Forget(0, session))
    assert session not in agent.listed()
    assert not [path for path in (agent.folder / "sessions").iterdir() if session in path.name]


@pytest.mark.parametrize(
    ("order", "reference"),
    [
        (End(0, "s-nobody", EndReason.LEFT), "no-such-session"),
        (Extend(0, "s-nobody", 1.0), "no-such-session"),
        (Freeze(0, "s-nobody"), "no-such-session"),
    ],
)
def test_orders_about_nobody_are_refused(agent: Machine, order, reference):
    answer = agent.ask(order)
    assert isinstance(answer, Failed)
    assert answer.reference == reference


def test_a_session_larger_than_the_machine_is_refused(agent: Machine):
    spec = replace(agent.spec(), limits=SpecLimits(64 << 30, MIB, MIB, MIB, 1.0, 10))
    answer = agent.ask(Create(0, spec))
    assert isinstance(answer, Failed)
    assert answer.reference == "no-room"
    assert spec.session not in agent.listed()


@pytest.mark.parametrize("digest", ["0" * 64, "../../etc/passwd", ""])
def test_an_image_that_is_not_here_opens_nothing(agent: Machine, digest):
    answer = agent.ask(Create(0, replace(agent.spec(), image=digest)))
    assert isinstance(answer, Failed)
    assert answer.reference == "no-image"


def test_a_grant_that_is_over_opens_nothing(agent: Machine):
    answer = agent.ask(Create(0, agent.spec(seconds=-1)))
    assert isinstance(answer, Failed)
    assert answer.reference == "too-late"


def test_noexec_folders_run_nothing(agent: Machine):
    session = agent.ready(noexec=("/data", "/home", "/tmp"))
    terminal = agent.terminal(session)
    for folder in ("/data", "/home/operator", "/tmp"):
        assert "Permission denied" in terminal.run(f"cp /usr/bin/true {folder}/t && {folder}/t && echo ran")
    terminal.close()
    agent.end(session)


def test_however_many_sessions_ended_unheard_they_are_all_listed(agent: Machine):
    """While control is away what is over waits to be written down; a list longer than a packet once killed the agent at every question."""
    for number in range(150):
        spec = replace(agent.spec(), session=f"s-many{number:06}", image="0" * 64)
        record = agent.folder / "sessions" / f"{spec.session}.json"
        record.write_text(over_record(spec))
    agent.kill()
    agent.start()
    listed = [session for session in agent.listed() if session.startswith("s-many")]
    assert len(listed) == 150
    for session in listed:
        agent.ask(Forget(0, session))


def over_record(spec) -> str:
    certificate = Certificate(1, 2, 3, 4, 2_000_000_000, cgroup_empty=True, namespaces_gone=True, clean=True)
    seen = SessionSeen(spec.session, RuntimeState.FAILED, spec.ends_at, end_reason=EndReason.OPEN_FAILED, why="漢字" * 500, certificate=certificate)
    create, over = (messages.render(message).decode() for message in (Create(0, spec), Changed(seen)))
    kept = {"create": create, "uid_base": 2_000_000_000, "boot_deadline": 1.0, "shim": 0, "shim_started": "", "told_ready": False, "lease_frozen": False}
    return json.dumps({**kept, "over": over, "notes": [], "reserved": None})
