"""Escapes tried from inside a live session: each must be refused, and neither the machine nor the other session may feel it.

The attempts are `probes.py` and `attempts/`, which reach the room as any file does: staged into /data. A `BREACH` is never to be mended here.
"""

import ctypes
import os
import platform
import time
from pathlib import Path

import pytest
from tests.escape.inside import END_SECONDS, LIMITS, TOTAL, attempts, enter, facts_of, first_process, make_source, must_live
from tests.runtime.machine import MIB, machine, until

from sekisho.runtime import cgroups
from sekisho.runtime.protocol import Renew, RuntimeState

pytestmark = [pytest.mark.root, pytest.mark.skipif(platform.machine() != "x86_64", reason="the attempts know the call numbers of x86-64")]

ATTEMPTS = attempts("--list")
PLACES = {"/data": LIMITS.data_bytes, "/home/operator": LIMITS.home_bytes, "/tmp": LIMITS.tmp_bytes, "/dev/shm": LIMITS.tmp_bytes, "/run": LIMITS.tmp_bytes}
HARD_TO_END = (
    "deaf to signals", "spinning", "daemons", "zombies", "holding /data", "odd names", "forking without end", "stopped", "asleep in the kernel",
    "flooding the terminal",
)  # fmt: skip


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    with machine(tmp_path_factory.mktemp("agent")) as made:
        yield made


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def attacker(agent, source):
    inside = enter(agent, source)
    yield inside
    inside.terminal.close()


@pytest.fixture(scope="module")
def neighbour(agent, source):
    inside = enter(agent, source)
    yield inside
    inside.terminal.close()


@pytest.fixture(autouse=True)
def renewed(agent):
    agent.ask(Renew(0))


@pytest.fixture(scope="module")
def facts(agent, attacker, neighbour, tmp_path_factory):
    with facts_of(agent, attacker, neighbour, tmp_path_factory.mktemp("outside")) as told:
        yield told


@pytest.fixture(scope="module")
def answers(attacker, facts):
    attacker.terminal.run(f"printf %s '{facts}' > /tmp/facts")
    text = attacker.terminal.run("python3 /data/probes.py --all /tmp/facts 2>&1 < /dev/null", seconds=60)
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_room_refuses(answers, name):
    assert answers[name].startswith("refused: "), answers[name]


# between two sessions


@pytest.fixture(scope="module")
def other_side(attacker, neighbour):
    neighbour.behind("the_other_side", "treasure", ready="/tmp/held")
    yield
    neighbour.quiet()


@pytest.mark.parametrize("name", ["sockets_of_another_session", "files_of_another_session", "memory_and_queues_of_another_session", "locks_of_another_session"])
def test_another_session_is_out_of_reach(attacker, other_side, name):
    answer = attacker.attempt(name, "treasure")
    assert answer.startswith("refused: "), answer


def test_what_another_session_and_the_machine_do_can_not_be_watched(agent, attacker, neighbour):
    attacker.terminal.write("rm -f /tmp/watching; python3 /data/probes.py watching_what_another_session_does x > /tmp/seen 2>&1 < /dev/tty\n")
    until("it watches", Path(f"/proc/{first_process(agent, attacker.session)}/root/tmp/watching").exists)
    neighbour.terminal.run("id; ls / /usr/bin > /dev/null; cat /etc/passwd > /dev/null; head -c 1 /dev/zero /dev/urandom > /dev/null; cat /proc/uptime")
    Path("/dev/null").write_bytes(b"x")
    assert "refused: " in (seen := attacker.terminal.run("cat /tmp/seen")), seen


@pytest.mark.parametrize("kind", ["inotify", "signals", "queues"])
def test_what_one_session_uses_up_is_there_for_the_other_and_for_the_machine(attacker, neighbour, kind):
    attacker.behind("take_all", kind, ready=f"/tmp/taken-{kind}")
    try:
        if kind != "queues":  # a room has none of these at all
            answer = neighbour.attempt("have_some", kind)
            assert answer.startswith("refused: "), answer
        if kind == "signals":
            answer = neighbour.attempt("have_some", "timers")
            assert answer.startswith("refused: "), answer
        assert the_machine_still_has(kind)
    finally:
        attacker.quiet()


def the_machine_still_has(kind: str) -> bool:
    """One more of it for root outside."""
    libc = ctypes.CDLL(None, use_errno=True)
    match kind:
        case "inotify":
            made = libc.inotify_init1(0)
            return made >= 0 and os.close(made) is None
        case "signals":
            timer = ctypes.c_void_p()
            return libc.timer_create(1, None, ctypes.byref(timer)) == 0 and libc.timer_delete(timer) == 0
        case _:
            name = f"/sekisho-{os.getpid()}".encode()
            made = libc.syscall(240, name[1:], os.O_CREAT | os.O_RDWR, 0o600, None)
            return made >= 0 and os.close(made) is None and libc.syscall(241, name[1:]) == 0


def test_every_namespace_is_the_sessions_own(agent, attacker, neighbour):
    def namespaces(pid: object) -> dict[str, str]:
        return {kind: str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in ("user", "pid", "mnt", "ipc", "uts", "cgroup", "net")}

    mine, theirs, outside = namespaces(first_process(agent, attacker.session)), namespaces(first_process(agent, neighbour.session)), namespaces("self")
    for kind in mine:
        assert len({mine[kind], theirs[kind], outside[kind]}) == 3, kind
    shim = namespaces(agent.shims[attacker.session])
    assert {kind for kind in mine if mine[kind] == shim[kind]} == {"net"}, "the shim shares only the network that it made"


def test_sync_from_a_room_does_not_reach_the_disks_of_the_machine(attacker, tmp_path):
    """It would be a brake on every durable write of the log."""
    file = tmp_path / "unwritten"
    with file.open("wb") as content:
        content.write(os.urandom(4 * MIB))
        content.flush()
        before = unwritten()
        if before < 4 * MIB:
            pytest.skip("the folder of the tests lies on no disk")
        attacker.terminal.run("sync")
        assert unwritten() >= 4 * MIB, "sync wrote the machine's files"


def unwritten() -> int:
    return next(int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("Dirty:"))


# using up


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("fork_bomb", ("128",)),
        ("thread_bomb", ("128",)),
        ("descriptor_bomb", ("60",)),
        ("memory_in_sockets", (str(TOTAL // 4),)),
        *(("thousands_of", (kind,)) for kind in ("pipes", "sockets", "abstract sockets", "terminals", "epolls")),
        *(("full_of_bytes", (place, str(limit))) for place, limit in PLACES.items()),
        *(("full_of_files", (place, str(limit // 4096))) for place, limit in PLACES.items()),
        *(("full_of_attributes", (place,)) for place in ("/data",)),
        *(("memory_bomb", (kind,)) for kind in ("memory", "nameless files", "shared memory", "locked memory")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_bomb_is_felt_only_in_the_room(agent, attacker, neighbour, name, arguments):
    answer = attacker.attempt(name, *arguments)
    assert answer.startswith("refused: "), answer
    must_live(agent, neighbour)


def test_files_in_memory_are_counted_against_the_session(agent, attacker):
    group = cgroups.ROOT / "memory" / f"sekisho-{agent.instance}" / attacker.session / "memory.usage_in_bytes"
    if not group.exists():
        group = cgroups.ROOT / f"sekisho-{agent.instance}" / attacker.session / "memory.current"
    before = int(group.read_text())
    for number, place in enumerate(PLACES):
        attacker.terminal.run(f"head -c 4M /dev/zero > {place}/counted-{number}")
    used = int(group.read_text())
    assert before + len(PLACES) * 4 * MIB * 0.9 <= used <= TOTAL
    attacker.terminal.run("rm -f " + " ".join(f"{place}/counted-*" for place in PLACES))


# ending what does not want to end


@pytest.mark.parametrize("kind", HARD_TO_END)
def test_a_session_ends_whole_whatever_runs_in_it(agent, source, neighbour, kind):
    inside = enter(agent, source)
    inside.terminal.write(f"(setsid python3 /data/probes.py be '{kind}' > /tmp/behind 2>&1 < /dev/null &)\n")
    mark = Path(f"/proc/{first_process(agent, inside.session)}/root/tmp/hard")
    until(f"it is {kind}", mark.exists)
    must_live(agent, neighbour)
    begun = time.monotonic()
    seen = agent.end(inside.session)
    assert time.monotonic() - begun < END_SECONDS
    assert seen.state is RuntimeState.DESTROYED
    assert seen.certificate.clean, seen.certificate
    assert agent.leftovers(inside.session) == []
    inside.terminal.close()


def test_the_attackers_session_ends_whole_too(agent, attacker):
    seen = agent.end(attacker.session)
    assert seen.certificate.clean, seen.certificate
    assert agent.leftovers(attacker.session) == []
