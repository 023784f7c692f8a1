"""Escapes tried from inside a desktop: what an X client can ask of its screen must not reach the machine, another session, or whoever looks at it.

The attempts are `attempts/screen*.py`; whoever looks is `view.py`. The other attempts are made here too: a room with a screen refuses what any room does.
"""

import contextlib
import os
import platform
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.escape.inside import END_SECONDS, HERE, TOTAL, Inside, attempts, enter, facts_of, first_process, make_source, must_live
from tests.escape.view import View
from tests.runtime.machine import MIB, Machine, machine, until

from sekisho.runtime import cgroups, screen
from sekisho.runtime.protocol import Failed, OpenKind, Renew, RuntimeState

pytestmark = [pytest.mark.root, pytest.mark.skipif(platform.machine() != "x86_64", reason="the attempts know the call numbers of x86-64")]

ON_SCREEN, IN_ANY_ROOM = attempts("--list-on-screen"), attempts("--list")
KINDS = ("desktop", "terminal")
MARKS = (0xC0FFEE, 0xFACADE)
SURVIVED = (
    "pixmaps", "windows", "properties", "glyphs", "clients", "strangers", "descriptors", "screen sizes", "bells", "keys", "cursors",
)  # fmt: skip
PERHAPS_FATAL = ("colormaps", "unread answers")
STAYING = ("grabbing the server", "grabbing all input", "being all its clients", "drawing without end", "keeping pixmaps")


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    with machine(tmp_path_factory.mktemp("agent")) as made:
        yield made


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def attacker(agent, source):
    inside = enter(agent, source, kinds=KINDS)
    yield inside
    inside.terminal.close()


@pytest.fixture(scope="module")
def neighbour(agent, source):
    inside = enter(agent, source, kinds=KINDS)
    yield inside
    inside.terminal.close()


@pytest.fixture(autouse=True)
def renewed(agent):
    agent.ask(Renew(0))


@pytest.fixture
def view(agent, attacker):
    seen = look(agent, attacker)
    yield seen
    seen.close()


def look(agent: Machine, inside: Inside) -> View:
    answer = agent.open(inside.session, OpenKind.DESKTOP)
    assert not isinstance(answer, Failed), answer
    try:
        view = View(answer[1][0])
    finally:
        for descriptor in answer[1]:
            os.close(descriptor)
    view.resize(320, 240)
    return view


def screen_of(agent: Machine, inside: Inside) -> int:
    """The process of its Xvnc."""
    folder = cgroups.ROOT / "memory" / f"sekisho-{agent.instance}" / inside.session / "screen" / "cgroup.procs"
    if not folder.exists():
        folder = cgroups.ROOT / f"sekisho-{agent.instance}" / inside.session / "screen" / "cgroup.procs"
    return int(folder.read_text().split()[0])


@pytest.fixture(scope="module")
def answers(agent, attacker, neighbour, tmp_path_factory):
    with facts_of(agent, attacker, neighbour, tmp_path_factory.mktemp("outside")) as facts:
        attacker.terminal.run(f"printf %s '{facts}' > /tmp/facts")
        text = attacker.terminal.run("for all in --all-on-screen --all; do python3 /data/probes.py $all /tmp/facts 2>&1 < /dev/null; done", seconds=60)
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


@pytest.mark.parametrize("name", ON_SCREEN + IN_ANY_ROOM)
def test_a_room_with_a_screen_refuses(answers, name):
    assert answers[name].startswith("refused: "), answers[name]


# out, to whoever looks


def ask_for_the_clipboard(view: View, mark_looked) -> None:
    """While `offer_the_clipboard` runs: in every way there is, before it shows each of its marks."""
    view.ask_for_the_clipboard()
    for mark, name in zip(MARKS, ("looked", "looked-again"), strict=True):
        view.until("the mark", lambda mark=mark: view.shows(mark))
        view.ask_for_the_clipboard()
        mark_looked(name)


@pytest.mark.parametrize("length", [32, 100_000, 2 * MIB], ids=["short", "long", "too-long-for-one-piece"])
def test_nothing_of_the_clipboard_reaches_whoever_looks(attacker, view, length):
    """Also after the room has tried to have it sent, and however the one who looks asks for it."""
    attacker.attempt("every_switch_of_the_screen")
    attacker.terminal.run(f"rm -f /tmp/looked*; (python3 /data/probes.py offer_the_clipboard treasure {length} /tmp/looked > /tmp/behind 2>&1 &)")
    ask_for_the_clipboard(view, lambda name: attacker.terminal.run(f"touch /tmp/{name}"))
    assert view.leaked == []
    assert view.name == b"room"


def test_the_one_who_looks_would_have_seen_the_clipboard(tmp_path):
    """The same attempt against an Xvnc with the switches that it is shipped with."""
    news, write = os.pipe()
    (tmp_path / "cookie").write_bytes(screen.render_authority(os.urandom(16)))
    own = {screen.DISPLAY: "", "/own/authority": str(tmp_path / "cookie"), "/own/rfb": str(tmp_path / "rfb")}
    words = [own.get(word, word) for word in screen.command(write) if not word.startswith(("-SendCutText", "-SendPrimary", "-AllowOverride"))]
    with contextlib.ExitStack() as started:
        server = subprocess.Popen([word for word in words if word], executable=screen.PROGRAM, pass_fds=[write], stderr=subprocess.DEVNULL)
        started.callback(server.wait)
        started.callback(server.kill)
        os.close(write)
        with os.fdopen(news) as said:
            number = said.read().strip()
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(tmp_path / "rfb"))
            view = View(end.fileno())
        started.callback(view.close)
        environment = {**os.environ, "DISPLAY": f":{number}", "XAUTHORITY": str(tmp_path / "cookie")}
        command = [sys.executable, str(HERE / "probes.py"), "offer_the_clipboard", "treasure", "32", str(tmp_path / "looked")]
        offering = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        started.callback(offering.wait)
        ask_for_the_clipboard(view, lambda name: (tmp_path / name).touch())
        assert view.leaked


def test_a_room_that_cuts_whoever_looks_is_seen_again(agent, attacker, view):
    """`vncconfig -disconnect` is the room's to do, and so is looking again ours."""
    attacker.attempt("cut_whoever_looks", "all")
    with pytest.raises((AssertionError, OSError)):
        view.until("something of a connection that is cut", lambda: False)
    again = look(agent, attacker)
    again.until("a picture", lambda: again.frame)
    again.close()


# between two sessions


def test_the_cookie_of_another_session_opens_nothing(agent, attacker, neighbour):
    content = Path(f"/proc/{first_process(agent, neighbour.session)}/root/run/xauthority").read_bytes()[-16:].hex()
    answer = attacker.attempt("cookie_of_another_session", content)
    assert answer.startswith("refused: "), answer


def test_a_display_that_takes_everybody_is_still_out_of_reach(agent, attacker, neighbour):
    """The room may say that no cookie is needed. Whoever is not of the room does not come to its socket."""
    assert neighbour.attempt("let_everybody_in", "everybody") == "refused: everybody"
    try:
        for answer in (attacker.attempt("cookie_of_another_session", "00" * 16), as_nobody_on_the_machine(agent, neighbour)):
            assert answer.startswith("refused: "), answer
    finally:
        neighbour.attempt("let_everybody_in", "nobody else")


def as_nobody_on_the_machine(agent: Machine, inside: Inside) -> str:
    """Another uid of the machine, at each path by which the socket is seen from there."""
    held = [agent.shims[inside.session], screen_of(agent, inside), first_process(agent, inside.session)]
    folder = agent.run / "s" / inside.session / "screen"
    paths = [f"{folder}/x11/X0", *(f"/proc/{pid}/root{place}" for pid in held for place in (f"{folder}/x11/X0", "/tmp/.X11-unix/X0", "/own/rfb"))]
    script = """
import socket, sys
for path in sys.argv[1:]:
    end = socket.socket(socket.AF_UNIX)
    try:
        end.connect(path)
        sys.exit(f"BREACH: {path}")
    except OSError:
        pass
"""
    done = subprocess.run([sys.executable, "-c", script, *paths], user=65_534, group=65_534, extra_groups=[], capture_output=True, text=True, check=False)
    return done.stderr.strip() or f"refused: {len(paths)} paths"


def test_what_another_session_shows_is_not_on_this_screen(agent, attacker, neighbour):
    shown = look(agent, neighbour)
    neighbour.behind("show_a_colour", "5ec1e7", ready="/tmp/shown")
    try:
        shown.until("the neighbour sees its own", lambda: shown.shows(0x5EC1E7))
        answer = attacker.attempt("see_a_colour", "5ec1e7")
        assert answer.startswith("refused: "), answer
        assert neighbour.attempt("see_a_colour", "5ec1e7").startswith("BREACH"), "whoever shows it would have seen it"
    finally:
        shown.close()
        neighbour.quiet()


def test_what_is_typed_in_another_session_is_not_heard(agent, attacker, neighbour):
    shown = look(agent, neighbour)
    for inside in (attacker, neighbour):
        inside.behind("log_keys", "/tmp/keys", ready="/tmp/keys")
    try:
        for letter in "treasure":
            shown.press(ord(letter))
        until("the neighbour hears its own", lambda: len(neighbour.terminal.run("cat /tmp/keys").splitlines()) >= len("treasure"))
        assert attacker.terminal.run("cat /tmp/keys") == ""
    finally:
        shown.close()
        attacker.quiet()
        neighbour.quiet()


# using up


@pytest.mark.parametrize("kind", SURVIVED)
def test_a_bomb_in_the_screen_is_felt_only_in_its_room(agent, attacker, neighbour, view, kind):
    """And not even there for long: whoever looks goes on seeing what is drawn next, and understands all that the screen says meanwhile."""
    view.move(10, 10)
    answer = attacker.attempt("screen_bomb", kind)
    assert answer.startswith("refused: "), answer
    must_live(agent, neighbour)
    attacker.behind("show_a_colour", "c0ffee", ready="/tmp/shown")
    try:
        view.until("what is drawn next", lambda: view.shows(MARKS[0]))
    finally:
        attacker.quiet()


@pytest.mark.parametrize("kind", PERHAPS_FATAL)
def test_a_bomb_that_the_screen_may_die_of_ends_its_own_session_at_most(agent, source, neighbour, kind):
    """The X server lives through some of what it gets no memory for, keeps what it has got, or ends; its session ends with it, whole."""
    inside = enter(agent, source, kinds=KINDS)
    inside.terminal.write(f"python3 /data/probes.py screen_bomb '{kind}' > /tmp/behind 2>&1; touch /tmp/over\n")
    over = Path(f"/proc/{first_process(agent, inside.session)}/root/tmp/over")
    until("it went off", lambda: over.exists() or agent.listed()[inside.session].state is RuntimeState.DESTROYED)
    must_live(agent, neighbour)
    if agent.listed()[inside.session].state is RuntimeState.READY:
        seen = agent.end(inside.session)
    else:
        seen = agent.wait(inside.session, {RuntimeState.DESTROYED})
        assert (seen.end_reason, seen.why) == ("room-stopped", "the screen ended")
    assert seen.certificate.clean
    assert agent.leftovers(inside.session) == []
    inside.terminal.close()


def test_what_x_clients_draw_is_counted_against_their_session(agent, attacker, neighbour):
    mine, others = (cgroups.cgroup(f"/sekisho-{agent.instance}/{each.session}") for each in (neighbour, attacker))
    before, others_before = mine.memory().used_bytes, others.memory().used_bytes
    try:
        neighbour.behind("hold_pixmaps", "64", ready="/tmp/held")
        assert before + 60 * MIB <= mine.memory().used_bytes <= TOTAL
        assert others.memory().used_bytes < others_before + 4 * MIB
    finally:
        neighbour.quiet()


@pytest.mark.parametrize("kind", STAYING)
def test_a_session_ends_whole_whatever_its_screen_is_busy_with(agent, source, neighbour, kind):
    inside = enter(agent, source, kinds=KINDS)
    inside.terminal.write(f"(setsid python3 /data/probes.py be_on_screen '{kind}' > /tmp/behind 2>&1 < /dev/null &)\n")
    until(f"it is {kind}", Path(f"/proc/{first_process(agent, inside.session)}/root/tmp/hard").exists)
    must_live(agent, neighbour)
    if kind == "being all its clients":
        look(agent, inside).close()
    begun = time.monotonic()
    seen = agent.end(inside.session)
    assert time.monotonic() - begun < END_SECONDS
    assert seen.state is RuntimeState.DESTROYED
    assert seen.certificate.clean, seen.certificate
    assert agent.leftovers(inside.session) == []
    inside.terminal.close()
