"""The agent's process: root, small. What it needs of the settings is read by another process, so that its own memory, which every shim
shares, holds no parser of them."""

import gc
import json
import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from sekisho.audit.shipper import Shipper
from sekisho.audit.spool import FileSpool, SpoolFull
from sekisho.model.errors import Trouble
from sekisho.programs.life import end_with, system_started
from sekisho.runtime import uids
from sekisho.runtime.agent import Agent, AgentFacts
from sekisho.runtime.image_mounts import ImageMounts
from sekisho.runtime.journal import Journal
from sekisho.runtime.keeper import Keeper, KeeperFacts
from sekisho.runtime.paths import AgentPaths
from sekisho.runtime.protocol import OpenKind
from sekisho.runtime.seccomp import profile
from sekisho.runtime.staging_child import BucketAccess
from sekisho.staging.stager import run_stager
from sekisho.system import kernel
from sekisho.system.clock import SystemClock
from sekisho.system.seccomp_filter import compile_filter

SPOOL_LIMIT_BYTES = 64 << 20
SPOOL_LIMIT_SECONDS = 3600.0  # the agent's events are of what happened already: they are kept long rather than refused


def main() -> None:
    told = _told(sys.argv[1:])
    kernel.set_name("sekisho-agent")
    os.umask(0o022)  # rooms must be able to walk to their folders; what is private has its mode given
    if told["parent"]:
        end_with(told["parent"])
    clock = SystemClock()
    paths = AgentPaths(told["instance"], Path(told["run"]), Path(told["state"]) / "agent")
    spool = FileSpool(Path(told["spool"]), producer="agent", limit_bytes=SPOOL_LIMIT_BYTES, limit_seconds=SPOOL_LIMIT_SECONDS, clock=clock)
    filter_ = profile(platform.machine())
    facts = KeeperFacts(
        paths=paths,
        images=ImageMounts(files=Path(told["images"]), mounts=paths.images),
        runtime=told["runtime"],
        seccomp=filter_,
        filter_program=compile_filter(filter_),
        stager=run_stager,
        clock=clock,
        memory_bytes=int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * told["memory_share"]),
        uid_folder=uids.FOLDER,
        buckets={each["name"]: BucketAccess(**each) for each in told["buckets"]},
    )
    openers = {told["gateway"]: frozenset({OpenKind.DESKTOP, OpenKind.TERMINAL}), told["egress"]: frozenset({OpenKind.EGRESS})}
    keeper = Keeper(facts, Journal(paths, spool, clock.now))
    agent = Agent(AgentFacts(paths, told["control"], openers, clock), keeper=keeper, shipper=Shipper(spool, Path(told["audit"]), clock))
    facts.images.release()
    for digest in told["digests"]:
        with suppress(Trouble):  # said again, to whoever asks for a room with it
            facts.images.path(digest)
    with suppress(SpoolFull):  # a full disk must not keep anybody from ending what runs
        spool.append(system_started("agent", clock.now()), closes=True)
        spool.sync()
    gc.collect()
    gc.freeze()  # a shim shares these pages until somebody writes to them; the collector would
    gc.disable()  # nothing here makes cycles that matter: values are frozen and few
    agent.run()


def _told(arguments: list[str]) -> dict[str, Any]:
    """What `programs.agent_settings` prints: run as a process of its own, for the sake of this one's memory."""
    done = subprocess.run([sys.executable, "-m", "sekisho.programs.agent_settings", *arguments], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


if __name__ == "__main__":
    main()
