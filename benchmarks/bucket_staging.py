"""How fast a room's files come from a bucket: a session with a real agent, from the order to the room that may be entered, hashes taken and the room itself
made. Prints JSON.

Beside it, in the same run and from the same SeaweedFS on loopback, the peer: `aws s3 sync` into a folder in memory. It takes no hash.

    .venv/bin/python benchmarks/bucket_staging.py [--rounds 3] [--files 5000] [--file-bytes 4096] [--large-mib 2048] [--cpu 1.0]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "src"), str(Path(__file__).parents[1])]

from sekisho.runtime.protocol import BucketWanted, Renew, RuntimeState, SpecLimits
from tests.runtime.machine import MIB, Machine, machine
from tests.seaweed_server import KEY_ID, SECRET, Seaweed, running

BUCKET = "bench"
PATIENCE_SECONDS = 600
PART_BYTES = 64 * MIB


def fill(seaweed: Seaweed, *, files: int, file_bytes: int, large_mib: int) -> None:
    seaweed.fill(BUCKET)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: seaweed.put(BUCKET, f"small/{number // 500:02}/{number:05}.bin", os.urandom(file_bytes)), range(files)))
    upload = seaweed.client.create_multipart_upload(Bucket=BUCKET, Key="large/one.bin")["UploadId"]
    content, parts = os.urandom(min(PART_BYTES, large_mib * MIB)), []
    for number in range(1, 1 + max(1, large_mib * MIB // PART_BYTES)):
        answer = seaweed.client.upload_part(Bucket=BUCKET, Key="large/one.bin", UploadId=upload, PartNumber=number, Body=content)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    seaweed.client.complete_multipart_upload(Bucket=BUCKET, Key="large/one.bin", UploadId=upload, MultipartUpload={"Parts": parts})


class Bench:
    def __init__(self, agent: Machine, seaweed: Seaweed, *, data_bytes: int, cpu: float) -> None:
        self._agent = agent
        self._seaweed = seaweed
        self._limits = SpecLimits(512 * MIB, data_bytes, 16 * MIB, 16 * MIB, cpu, 256)

    def ours(self, prefix: str | None) -> float:
        wanted = (BucketWanted(BUCKET, prefix, "/data"),) if prefix is not None else ()
        self._agent.ask(Renew(0))  # the peer may have taken longer than a lease
        start = time.perf_counter()
        session = self._agent.create(buckets=wanted, limits=self._limits, seconds=PATIENCE_SECONDS)
        self._agent.wait(session, {RuntimeState.READY}, PATIENCE_SECONDS)
        took = time.perf_counter() - start
        self._agent.end(session)
        return took

    def peer(self, prefix: str) -> float:
        command = [str(Path(sys.executable).with_name("aws")), "s3", "sync", "--quiet", "--endpoint-url", self._seaweed.url, f"s3://{BUCKET}/{prefix}"]
        known = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            return timed(lambda: subprocess.run([*command, folder], env={**os.environ, **known}, check=True))


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def compared(ours: Sequence[float], peers: Sequence[float]) -> dict[str, object]:
    mine, peer = statistics.median(ours), statistics.median(peers)
    return {
        "seconds": round(mine, 2),
        "aws_s3_sync_seconds": round(peer, 2),
        "times_faster": round(peer / mine, 2),
        "each": [[round(one, 2) for one in pair] for pair in zip(ours, peers, strict=True)],
    }


def measure(found: argparse.Namespace) -> dict[str, object]:
    data_bytes = found.large_mib * MIB + found.files * max(4096, found.file_bytes) + 64 * MIB
    folder = Path(tempfile.mkdtemp())
    try:
        with running() as seaweed:
            fill(seaweed, files=found.files, file_bytes=found.file_bytes, large_mib=found.large_mib)
            with machine(folder / "agent", buckets=(seaweed.access(BUCKET),)) as agent:
                bench = Bench(agent, seaweed, data_bytes=data_bytes, cpu=found.cpu)
                bench.ours("small/00/")  # the image is mounted, the service's caches are warm
                alone = [bench.ours(None) for _ in range(found.rounds)]
                rounds = {name: [(bench.ours(prefix), bench.peer(prefix)) for _ in range(found.rounds)] for name, prefix in PREFIXES.items()}
        return {
            "small_files": {"files": found.files, "bytes_each": found.file_bytes, **compared(*zip(*rounds["small"], strict=True))},
            "large_file": {"bytes": found.large_mib * MIB, **compared(*zip(*rounds["large"], strict=True))},
            "both": compared(*zip(*rounds["both"], strict=True)),
            "a_room_without_files_seconds": round(statistics.median(alone), 2),
            "cpu_of_the_session": found.cpu,
            "load": os.getloadavg(),
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)


PREFIXES = {"small": "small/", "large": "large/", "both": ""}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--file-bytes", type=int, default=4096)
    parser.add_argument("--large-mib", type=int, default=2048)
    parser.add_argument("--cpu", type=float, default=1.0)
    print(json.dumps(measure(parser.parse_args()), indent=1))


if __name__ == "__main__":
    main()
