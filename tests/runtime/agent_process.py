"""A real agent as a process of its own, for the tests: real runtime, real spool, nobody who takes its events away. Run with the folder that
holds everything, and the instance's name."""

import json
import os
import platform
import sys
from pathlib import Path

from sekisho.audit.shipper import Shipper
from sekisho.audit.spool import FileSpool
from sekisho.runtime.agent import Agent, AgentFacts
from sekisho.runtime.image_mounts import ImageMounts
from sekisho.runtime.journal import Journal
from sekisho.runtime.keeper import Keeper, KeeperFacts
from sekisho.runtime.paths import AgentPaths
from sekisho.runtime.protocol import OpenKind
from sekisho.runtime.seccomp import profile
from sekisho.runtime.staging_child import BucketAccess
from sekisho.staging.stager import run_stager
from sekisho.system.clock import SystemClock
from sekisho.system.seccomp_filter import compile_filter


def main() -> None:
    folder, instance, images, runtime = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    os.umask(0o022)
    clock = SystemClock()
    paths = AgentPaths(instance, Path("/run") / f"sekisho-{instance}", folder)
    paths.run.mkdir(mode=0o711, exist_ok=True)
    spool = FileSpool(folder / "spool", producer="agent", limit_bytes=1 << 24, limit_seconds=3600, clock=clock)
    filter_ = profile(platform.machine())
    facts = KeeperFacts(
        paths=paths,
        images=ImageMounts(files=images, mounts=paths.images),
        runtime=runtime,
        seccomp=filter_,
        filter_program=compile_filter(filter_),
        stager=run_stager,
        clock=clock,
        memory_bytes=6 << 30,
        uid_folder=Path("/run/sekisho-uids"),
        buckets={each["name"]: BucketAccess(**each) for each in json.loads((folder / "buckets.json").read_text())},
    )
    keeper = Keeper(facts, Journal(paths, spool, clock.now))
    Agent(
        AgentFacts(paths, 0, {0: frozenset({OpenKind.DESKTOP, OpenKind.TERMINAL})}, clock), keeper=keeper, shipper=Shipper(spool, folder / "nobody.sock", clock)
    ).run()


if __name__ == "__main__":
    main()
