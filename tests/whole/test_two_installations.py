"""Two installations on one machine do not meet: everything of one is killed and ended, and the other does not notice."""

import os
from pathlib import Path

import pytest
from tests.whole.lives import House
from tests.whole.system import PROCESSES, until, whole

pytestmark = pytest.mark.root


@pytest.fixture
def houses(tmp_path):
    with whole(tmp_path / "one") as one, whole(tmp_path / "two") as two:
        yield House.of(one), House.of(two)
        one.stop()
        two.stop()


def processes(house: House) -> dict[str, int]:
    return {name: pid for name in PROCESSES for pid in house.whole.pids(name)}


def uids(house: House) -> set[int]:
    """The users that an installation's processes run as, root aside."""
    return {(Path("/proc") / str(pid)).stat().st_uid for pid in processes(house).values()} - {0}


def test_what_happens_to_one_installation_never_touches_another(houses):
    one, two = houses
    here, there = one.ready(), two.ready()
    for life in (here, there):
        life.enter()
        life.start_beating()
    assert uids(one).isdisjoint(uids(two))
    assert len(uids(one)) == len(uids(two)) == len(PROCESSES) - 1
    assert one.whole.installation.run != two.whole.installation.run
    assert here.uid_base != there.uid_base
    with two.whole.client() as stranger:
        stranger.headers["Authorization"] = one.operator.headers["Authorization"]
        assert stranger.get("/api/me").status_code == 401, "a token of one is nothing in the other"

    before = processes(one)
    two.kill_everything()
    os.kill(two.shim_of(there.session), 9)
    assert processes(one) == before
    here.assert_beating()
    here.assert_reaches()
    two.wait_whole()
    there.wait("destroyed")
    there.assert_over()
    assert processes(one) == before
    here.assert_beating()

    two.whole.stop()
    here.assert_beating()
    here.leave()
    here.wait("destroyed")
    here.assert_over()
    for house, foreign in ((one, there), (two, here)):
        assert foreign.session not in str(house.log())
    until("nothing of either is left", lambda: here.leftovers() == there.leftovers() == [])
