"""`make bench`: every benchmark, one after another, each a process of its own. Prints what each measured and the command that was run;
writes it all to bench-results/ as JSON."""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = ("sessions.py", "audit_rate.py", "egress_relay.py", "bucket_staging.py", "desktop_relay.py", "desktop.py")


def main() -> None:
    wanted = sys.argv[1:] or BENCHMARKS
    results: dict[str, object] = {"at": datetime.now(UTC).isoformat(), "kernel": platform.release(), "processors": os.cpu_count(), "load": os.getloadavg()}
    for name in wanted:
        command = [sys.executable, str(HERE / name)]
        shown = f".venv/bin/python benchmarks/{name}"
        print(f"$ {shown}", flush=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        print(done.stdout, flush=True)
        results[name] = {"command": shown, "measured": json.loads(done.stdout)}
    folder = HERE.parent / "bench-results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"written to {path.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
