"""kill -9 of every process at every step of a session's life: what comes back converges to what the grant says, nothing is left of what is over, and the log
tells all of it once."""

import contextlib
from pathlib import Path

import pytest
from tests.whole.lives import KILLED, NAME, OVER, STEPS, House, Life, take_over, ticks
from tests.whole.system import until, whole

pytestmark = pytest.mark.root

# process, step: each at the step where its death could hurt most, each step at least once
POINTS = (
    ("portal", "asked"),
    ("audit", "opening"),
    ("control", "opening"),
    ("agent", "opening"),
    ("shim", "opening"),
    ("control", "staging"),
    ("agent", "staging"),
    ("shim", "staging"),
    ("egress", "ready"),
    ("shim", "entered"),
    ("gateway", "reaching"),
    ("agent", "reaching"),
    ("egress", "reaching"),
    ("control", "ending"),
    ("agent", "ending"),
    ("audit", "ending"),
    ("egress", "ending"),
    ("shim", "ending"),
    ("audit", "destroyed"),
    ("control", "destroyed"),
    ("up", "reaching"),
)


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    with whole(tmp_path_factory.mktemp("kills") / "state") as made:
        yield House.of(made)
        made.stop()


@pytest.fixture
def house(installation):
    """One installation lives through all of these; a test that failed leaves nothing behind."""
    yield installation
    installation.release()
    installation.wait_whole()
    installation.end_all()


def assert_converges(house: House, process: str, step: str) -> None:
    """Live until the step, kill, and see the session through to what its grant says."""
    life = house.live_until(step)
    house.kill(process, life.session)
    house.wait_whole()
    if step == "asked":
        house.approve(life.session)
    if process == "shim" or step in {"ending", "destroyed"}:
        life.wait(*OVER)
    else:
        life.wait("ready")
        life.remember()
        prompt = life.enter()
        assert prompt.run("ls /data | wc -l") == ("6" if step == "staging" else "1")
        if step in {"entered", "reaching"}:
            life.assert_beating()
        life.assert_reaches()
        life.leave()
        assert prompt.wait_end() == {"reason": "left"}
        life.wait("destroyed")
    life.assert_over()


@pytest.mark.parametrize(("process", "step"), POINTS, ids=["-".join(point) for point in POINTS])
def test_a_killed_process_comes_back_and_the_session_is_what_its_grant_says(house: House, process, step):
    assert_converges(house, process, step)


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("process", KILLED)
def test_any_process_killed_at_any_step_is_borne(house: House, process, step):
    if process == "shim" and step in {"asked", "destroyed"}:
        pytest.skip("there is no shim then")
    assert_converges(house, process, step)


def test_with_nothing_started_again_the_shim_ends_its_session_at_the_deadline(house: House):
    """And whoever lost the shim too is ended by the next agent."""
    timed, shimless = house.ready(seconds=15), house.ready(room="bulk")
    timed.enter()
    timed.start_beating()
    timed.start_upload()
    shim = house.shim_of(timed.session)
    house.kill_everything()
    house.kill("shim", shimless.session)
    assert (Path("/proc") / str(shim)).exists(), "it lives on without anybody"
    assert any("/data" in each for each in timed.leftovers())
    until("only the books are left", lambda: not [each for each in timed.leftovers() if not each.startswith(("lease", str(house.whole.state)))])
    house.wait_whole()
    timed.wait("destroyed")
    shimless.wait("destroyed")
    timed.assert_over()
    shimless.assert_over()
    ended = {entry["session"]: entry["reason"] for entry in house.log() if entry["kind"] == "session.ended"}
    assert (ended[timed.session], ended[shimless.session]) == ("time-over", "shim-lost")


def test_without_the_log_nothing_opens_and_ending_works_at_once(house: House):
    inside, outside = house.ready(), house.ready(room="bulk")
    prompt = inside.enter()
    house.keep_dead("audit")
    assert house.whole.enter(house.operator, outside.session).said["refused"]["reason"] == "log-unavailable"
    inside.leave()
    assert prompt.wait_end(seconds=5) == {"reason": "left"}
    inside.wait("destroyed")
    until("nothing is left", lambda: inside.leftovers() == [])
    asked = Life(house, house.grant())
    until("people are told why it does not open", lambda: "log" in asked.why())
    assert asked.state() == "opening"
    assert not (house.whole.state / "agent" / "sessions" / f"{asked.session}.json").exists()
    house.release()
    asked.wait("ready")
    for life in (asked, outside):
        life.enter()
        life.leave()
    for life in (inside, asked, outside):
        life.assert_over()


def is_interrupted(prompt) -> bool:
    """Ctrl-C, as often as it takes: one that meets bash between the fork and the exec of a loop's command is lost, in any terminal."""
    prompt.type("\x03")
    with contextlib.suppress(TimeoutError):
        return "$ " in prompt.read("$ ", seconds=2)
    return False


def test_with_the_gateway_killed_the_running_command_goes_on_and_is_shown_again(house: House):
    life = house.ready()
    prompt = life.enter()
    prompt.type("n=0; while sleep 0.05; do n=$((n+1)); echo tick-$n; done\n")
    before = ticks(prompt.read("tick-5"))[-1]
    house.kill("gateway")
    assert prompt.wait_end() == {}, "cut without a word"
    prompt = life.enter()
    shown = ticks(prompt.read(f"tick-{before + 40}"))
    assert shown == list(range(shown[0], shown[-1] + 1)), "nothing that it printed is missing"
    until("the loop is interrupted", lambda: is_interrupted(prompt))
    assert prompt.run("echo back") == "back"
    life.leave()
    life.wait("destroyed")
    life.assert_over()


def test_without_control_a_terminal_goes_on_nobody_new_comes_in_and_an_end_waits_for_it(house: House):
    life = house.ready()
    prompt = life.enter()
    house.keep_dead("control")
    assert prompt.run("echo on") == "on"
    assert house.whole.enter(house.operator, life.session).said["refused"]["reason"] == "control-unavailable"
    ended = house.approver.post(f"/api/requests/r-{life.session.removeprefix('s-')}/end", json={})
    assert ended.status_code == 200, ended.text
    assert prompt.run("echo still on") == "still on"
    house.release()
    assert prompt.wait_end() == {"reason": "ended-by-approver"}
    life.wait("destroyed")
    life.assert_over()


def test_while_egress_is_dead_nobody_in_the_room_takes_its_ports(house: House):
    life = house.ready()
    prompt = life.enter()
    life.start_upload()
    house.keep_dead("egress")
    until("the upload is cut", lambda: "cut" in prompt.run("cat /tmp/upload.out"))
    taken = take_over(life)
    assert {port: ways for port, ways in taken.items() if ways} == {9000: taken[9000]}
    house.release()
    life.assert_reaches()
    assert prompt.run(f"curl -s -o /dev/null -w '%{{http_connect}}' -p -x http://127.0.0.1:3128 https://{NAME}/") == "200"
    life.leave()
    life.wait("destroyed")
    life.assert_over()
