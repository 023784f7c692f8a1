"""kill -9 of every process at every step of a desktop's life: its screen is there as long as its session and no longer, whoever looks comes back to the picture
that was there, and no paste reaches a room that the log does not tell of."""

from pathlib import Path

import pytest
from tests.whole.desktop_lives import KILLED, PASTED, SHOWN, SHOWN_AFTER, STEPS, DesktopLife, kill, live_until
from tests.whole.lives import OVER, House
from tests.whole.system import until, whole

pytestmark = pytest.mark.root

# process, step: each at the step where its death could hurt most, each step at least once
POINTS = (
    ("control", "drawing"),
    ("agent", "drawing"),
    ("shim", "drawing"),
    ("screen", "drawing"),
    ("portal", "looking"),
    ("gateway", "looking"),
    ("agent", "looking"),
    ("screen", "looking"),
    ("shim", "looking"),
    ("up", "looking"),
    ("control", "pasting"),
    ("audit", "pasting"),
    ("gateway", "pasting"),
    ("agent", "ending"),
    ("shim", "ending"),
    ("screen", "ending"),
    ("control", "ending"),
)
CUT = {"screen": "room-stopped", "shim": "shim-lost"}  # what ends a session by its death, and what the person is told


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    with whole(tmp_path_factory.mktemp("desktops") / "state") as made:
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
    life = live_until(house, step)
    kill(house, process, life)
    told = life.told_of_paste() if step == "pasting" else ""
    house.wait_whole()
    if step == "ending" and process in {"gateway", "up"}:
        house.end_all()  # it may not have been heard, so it is said again, as the page does when it is back
    if process in CUT or step == "ending":
        life.wait(*OVER)
        assert life.screens() == []
        if step == "looking":
            assert life.viewer.wait_end() == {"reason": CUT[process]}
    else:
        life.wait("ready")
        goes_on(life, process, step, told)
        life.viewer.leave()
        assert life.viewer.wait_end() == {"reason": "left"}
        life.wait("destroyed")
    life.assert_over()


def goes_on(life: DesktopLife, process: str, step: str, told: str) -> None:
    """The desktop is as it was: the picture, whoever looked, and the clipboard."""
    if step == "drawing" or process in {"gateway", "up"}:
        life.come_in()
    if step == "drawing":
        life.draw(SHOWN)
    if step == "pasting":
        inside = life.clipboard()
        assert (inside, life.logged_pastes()) in allowed(told), (told, inside)
    life.assert_shows(SHOWN)
    life.draw(SHOWN_AFTER)
    life.assert_hears("a")


def allowed(told: str) -> list[tuple[str, list[str]]]:
    """What may be in the room's clipboard and what in the log, after what the person was told: the log may tell of a paste that did not happen, never miss one
    that did."""
    if told == "pasted":
        return [(PASTED, ["clipboard.pasted"])]
    if told == "log-unavailable":
        return [("", ["clipboard.pasted", "paste.refused"])]
    return [("", []), ("", ["clipboard.pasted"]), ("", ["clipboard.pasted", "paste.refused"])]


@pytest.mark.parametrize(("process", "step"), POINTS, ids=["-".join(point) for point in POINTS])
def test_a_killed_process_comes_back_and_the_desktop_is_what_its_grant_says(house: House, process, step):
    assert_converges(house, process, step)


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("process", KILLED)
def test_any_process_killed_at_any_step_of_a_desktop_is_borne(house: House, process, step):
    assert_converges(house, process, step)


def test_a_paste_waits_for_the_log_and_without_it_never_reaches_the_room(house: House):
    life = live_until(house, "pasting")
    assert life.clipboard() == ""
    assert life.told_of_paste() == "log-unavailable"
    life.go_on()
    until("the log has both", lambda: life.logged_pastes() == ["clipboard.pasted", "paste.refused"])
    assert life.clipboard() == ""
    number = life.viewer.paste(PASTED)
    assert life.viewer.answer(number) == "pasted"
    assert (life.clipboard(), life.logged_pastes()[2:]) == (PASTED, ["clipboard.pasted"])
    life.viewer.leave()
    life.wait("destroyed")
    life.assert_over()


def test_without_control_a_desktop_goes_on_and_takes_no_paste(house: House):
    life = live_until(house, "looking")
    house.keep_dead("control")
    life.draw(SHOWN_AFTER)
    assert life.viewer.answer(life.viewer.paste(PASTED)) == "control-unavailable"
    assert life.clipboard() == ""
    ended = house.approver.post(f"/api/requests/r-{life.session.removeprefix('s-')}/end", json={})
    assert ended.status_code == 200, ended.text
    house.release()
    assert life.viewer.wait_end() == {"reason": "ended-by-approver"}
    life.wait("destroyed")
    life.assert_over()


def test_with_nothing_started_again_the_screen_goes_at_the_deadline(house: House):
    life = DesktopLife(house, house.grant(room="seen", seconds=20))
    life.wait("ready")
    life.remember()
    life.come_in()
    (screen,) = life.screens()
    house.kill_everything()
    assert life.viewer.wait_end() == {}, "cut without a word"
    assert (Path("/proc") / str(screen)).exists(), "it lives on without anybody"
    until("only the books are left", lambda: not [each for each in life.leftovers() if not each.startswith(("lease", str(house.whole.state)))])
    assert life.screens() == []
    house.wait_whole()
    life.wait("destroyed")
    life.assert_over()
    assert [entry["reason"] for entry in house.log() if entry["kind"] == "session.ended" and entry["session"] == life.session] == ["time-over"]
