"""The screen of a desktop room: what it is held to, who can reach it, and that a session never outlives it nor it a session."""

import contextlib
import os
import re
import select
import signal
import socket
import time
from pathlib import Path

import pytest
from tests.runtime.machine import MIB, Machine, machine, until

from sekisho.runtime import cgroups, screen, uids
from sekisho.runtime.protocol import Failed, Freeze, OpenKind, RuntimeState, SpecLimits, Thaw

pytestmark = pytest.mark.root

LIMITS = SpecLimits(256 * MIB, 32 * MIB, 16 * MIB, 32 * MIB, 1.0, 128)


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    with machine(tmp_path_factory.mktemp("agent")) as made:
        yield made


@pytest.fixture(scope="module")
def shown(agent):
    """A session with a screen, for the tests that change nothing of it."""
    return agent.ready(kinds=("desktop",), limits=LIMITS, seconds=900.0)


def screen_of(agent: Machine, session: str) -> int:
    """The process of its Xvnc, known by its uid."""
    uid = agent.bases[session] + uids.SCREEN
    return until("its screen runs", lambda: next((int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _owner(p) == uid), None))


def _owner(process: Path) -> int | None:
    with contextlib.suppress(OSError):
        return process.stat().st_uid
    return None


def first_process(agent: Machine, session: str) -> int:
    return int((agent.run / "s" / session / "bundle" / "pid").read_text())


def greeting(descriptor: int) -> bytes:
    with socket.socket(fileno=os.dup(descriptor)) as end:
        end.setblocking(True)
        end.settimeout(10)
        return end.recv(12)


def look(agent: Machine, session: str):
    return agent.open(session, OpenKind.DESKTOP)


def close_all(descriptors) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def test_each_capability_opens_a_connection_of_its_own_to_the_rfb_server(agent, shown):
    first, second = look(agent, shown), look(agent, shown)
    try:
        assert [greeting(answer[1][0]) for answer in (first, second)] == [b"RFB 003.008\n"] * 2
    finally:
        close_all((*first[1], *second[1]))


def test_the_screen_loads_no_graphics_driver(agent, shown):
    loaded = (Path("/proc") / str(screen_of(agent, shown)) / "maps").read_text()
    assert "Xtigervnc" in loaded
    assert not re.search(r"LLVM|_dri\.so|libgallium", loaded)


def test_the_screen_has_no_capability_gains_none_and_is_filtered(agent, shown):
    status = Path(f"/proc/{screen_of(agent, shown)}/status").read_text()
    assert re.findall(r"^Cap(?:Inh|Prm|Eff|Amb):\s*(\S+)$", status, re.MULTILINE) == ["0" * 16] * 4
    assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)
    assert re.search(r"^Seccomp:\s*2$", status, re.MULTILINE)
    assert re.search(r"^Groups:\s*$", status, re.MULTILINE)


def test_the_screen_is_neither_of_the_machine_nor_of_the_room(agent, shown):
    pids = [screen_of(agent, shown), first_process(agent, shown), os.getpid(), agent.shims[shown]]
    for kind in ("net", "ipc", "uts", "mnt", "pid"):
        own, *others = [Path(f"/proc/{pid}/ns/{kind}").readlink() for pid in pids]
        assert own not in others, kind


def test_the_screens_root_holds_what_it_runs_on_and_its_own_three_folders(agent, shown):
    root = Path(f"/proc/{screen_of(agent, shown)}/root")
    assert {path.name for path in root.iterdir()} <= {"bin", "lib", "lib64", "usr", "dev", "own", "tmp"}
    assert {path.name for path in (root / "usr/bin").iterdir()} == {"Xtigervnc", "sh", "xkbcomp"}
    assert [str(path.relative_to(root)) for path in (root / "usr/share").rglob("*") if "xkb" not in str(path)] == ["usr/share/X11"]
    mounts = Path(f"/proc/{screen_of(agent, shown)}/mountinfo").read_text().splitlines()
    options = {line.split()[4]: set(line.split()[5].split(",")) for line in mounts}
    own = {"/own", "/tmp", "/tmp/.X11-unix"}
    assert {place for place, each in options.items() if "ro" not in each} == own
    assert all("nosuid" in each for each in options.values())
    assert all("noexec" in options[place] for place in (*own, "/dev"))


def test_the_screen_holds_no_descriptor_of_the_machine(agent, shown):
    folder = Path(f"/proc/{screen_of(agent, shown)}/fd")
    held = [str(path.readlink()) for path in folder.iterdir()]
    assert not [each for each in held if each.startswith("/") and each != "/dev/null"]


def test_what_it_uses_is_counted_against_the_session(agent, shown):
    memory = Path(f"/proc/{screen_of(agent, shown)}/cgroup").read_text()
    assert f"/sekisho-{agent.instance}/{shown}/screen" in memory
    assert cgroups.cgroup(f"/sekisho-{agent.instance}/{shown}").memory().used_bytes > 8 * MIB


def test_the_room_sees_the_x_socket_alone_and_cannot_change_it(agent, shown):
    root = Path(f"/proc/{first_process(agent, shown)}/root")
    assert [path.name for path in (root / "tmp/.X11-unix").iterdir()] == ["X0"]
    place = next(line for line in Path(f"/proc/{first_process(agent, shown)}/mountinfo").read_text().splitlines() if " /tmp/.X11-unix " in line)
    assert "ro" in place.split()[5].split(",")
    cookie = (root / "run/xauthority").stat()
    assert (cookie.st_uid - agent.bases[shown], cookie.st_mode & 0o777) == (uids.PERSON, 0o400)
    assert not [line for line in Path(f"/proc/{first_process(agent, shown)}/net/unix").read_text().splitlines() if "@" in line]


def test_without_the_cookie_the_display_stays_closed(agent, shown):
    folder = agent.run / "s" / shown
    through = f"/proc/{agent.shims[shown]}/root{folder}/screen/x11/X0"
    hello = b"l\0\x0b\0\0\0\0\0\0\0\0\0"  # X11 protocol, appendix B: little-endian, 11.0, no authorization
    with socket.socket(socket.AF_UNIX) as end:
        end.settimeout(10)
        end.connect(through)
        end.sendall(hello)
        assert end.recv(1) == b"\0", "the display took somebody without the cookie"


def test_the_cookie_is_another_one_in_every_session(agent, shown):
    other = agent.ready(kinds=("desktop",), limits=LIMITS)
    cookies = {Path(f"/proc/{first_process(agent, each)}/root/run/xauthority").read_bytes() for each in (shown, other)}
    assert len(cookies) == 2
    assert agent.end(other).certificate.clean


def test_a_session_ends_with_its_screen(agent):
    session = agent.ready(kinds=("desktop",), limits=LIMITS)
    os.kill(screen_of(agent, session), signal.SIGKILL)
    seen = agent.wait(session, {RuntimeState.DESTROYED})
    assert (seen.end_reason, seen.why) == ("room-stopped", "the screen ended")
    assert seen.certificate.clean
    assert agent.leftovers(session) == []


def test_a_screen_ends_with_its_shim(agent):
    session = agent.ready(kinds=("desktop",), limits=LIMITS)
    of_screen = screen_of(agent, session)
    os.kill(agent.shims[session], signal.SIGKILL)
    assert agent.wait(session, {RuntimeState.DESTROYED}).certificate.clean
    assert not Path(f"/proc/{of_screen}").exists()
    assert agent.leftovers(session) == []


def test_whoever_looks_is_cut_when_the_session_ends(agent):
    session = agent.ready(kinds=("desktop",), limits=LIMITS)
    _, (stream, lifeline) = look(agent, session)
    assert greeting(stream) == b"RFB 003.008\n"
    assert agent.end(session).certificate.clean
    end = time.monotonic() + 10
    while True:  # what was under way, and then the end
        assert time.monotonic() < end
        assert select.select([stream], [], [], 10)[0]
        with contextlib.suppress(ConnectionResetError):
            if os.read(stream, 65536):
                continue
        break
    assert os.read(lifeline, 1) == b""
    close_all((stream, lifeline))


def test_nobody_looks_at_a_frozen_room(agent):
    session = agent.ready(kinds=("desktop",), limits=LIMITS)
    agent.ask(Freeze(0, session))
    agent.wait(session, {RuntimeState.FROZEN})
    assert isinstance(look(agent, session), Failed)
    agent.ask(Thaw(0, session))
    agent.wait(session, {RuntimeState.READY})
    _, descriptors = look(agent, session)
    assert greeting(descriptors[0]) == b"RFB 003.008\n"
    close_all(descriptors)
    assert agent.end(session).certificate.clean


def test_a_room_that_shows_no_desktop_has_no_screen(agent):
    session = agent.ready(kinds=("terminal",), limits=LIMITS)
    assert isinstance(look(agent, session), Failed)
    assert not (Path(f"/proc/{first_process(agent, session)}/root/tmp/.X11-unix")).exists()
    assert agent.end(session).certificate.clean


def test_a_screen_that_does_not_answer_stops_nobody(agent):
    """Its backlog fills up; the shim refuses, and goes on."""
    session = agent.ready(kinds=("desktop",), limits=LIMITS)
    os.kill(screen_of(agent, session), signal.SIGSTOP)
    held = []
    try:
        for _ in range(400):
            answer = look(agent, session)
            if isinstance(answer, Failed):
                break
            held.append(answer[1])
        assert isinstance(answer, Failed)
    finally:
        for descriptors in held:
            close_all(descriptors)
    assert agent.end(session).certificate.clean
    assert agent.leftovers(session) == []


def test_a_link_in_the_place_of_its_socket_leads_nowhere(agent):
    """Whoever takes a screen over owns that folder: a link there would connect the shim, which is root, to whatever of the machine listens."""
    session = agent.ready(kinds=("desktop",), limits=LIMITS)
    own = Path(f"/proc/{screen_of(agent, session)}/root/own")
    (own / "rfb").rename(own / "elsewhere")
    (own / "rfb").symlink_to(agent.run / "s" / session / "screen" / "own" / "elsewhere")  # as the shim sees it
    assert isinstance(look(agent, session), Failed)
    (own / "rfb").unlink()
    (own / "elsewhere").rename(own / "rfb")
    _, descriptors = look(agent, session)
    assert greeting(descriptors[0]) == b"RFB 003.008\n"
    close_all(descriptors)
    assert agent.end(session).certificate.clean


def test_an_authority_entry_is_as_xau_writes_it():
    assert screen.render_authority(b"\x01" * 16) == b"\xff\xff\0\0\0\0\0\x12MIT-MAGIC-COOKIE-1\0\x10" + b"\x01" * 16
