"""A full disk: nothing opens, and everything that is open can still be ended. What could not be written is written when there is room."""

import os
import subprocess
from contextlib import suppress

import pytest
from tests.runtime.machine import Machine, machine, until

from sekisho.model.session import EndReason
from sekisho.runtime import uids
from sekisho.runtime.protocol import Create, End, Failed, RuntimeState

pytestmark = pytest.mark.root


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk):
    descriptor = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    with suppress(OSError):
        while True:
            os.write(descriptor, bytes(4096))
    os.close(descriptor)


def leases(agent: Machine) -> set[str]:
    return {owner.partition("/")[2] for owner in uids.leased_by(agent.instance + "/")}


def test_with_a_full_disk_nothing_opens_and_everything_ends(disk):
    with machine(disk) as agent:
        first, second = agent.ready(), agent.ready()
        fill(disk)
        refused = agent.spec()
        assert isinstance(agent.ask(Create(0, refused)), Failed)
        assert refused.session not in leases(agent)
        assert agent.end(first).end_reason is EndReason.LEFT
        assert agent.leftovers(first) == [f"uid lease {agent.instance}/{first}"], "its range is kept until it is written that it is over"
        agent.kill()
        agent.start()
        agent.ask(End(0, second, EndReason.NO_GRANT))
        assert agent.wait(second, {RuntimeState.DESTROYED}).end_reason is not None
        (disk / "filler").unlink()
        until("all is written", lambda: leases(agent) == set())
        kinds = [(event["session"], event["kind"]) for event in agent.events() if "session" in event]
        for session in (first, second):
            assert [kind for whose, kind in kinds if whose == session] == ["session.created", "session.ready", "session.ended", "session.destroyed"]
