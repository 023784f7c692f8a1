"""The audit process: sequences, signs and publishes the log. Its key and its store are its own user's."""

import os

from sekisho.audit.service import run
from sekisho.programs.start import begin, run_program
from sekisho.system.clock import SystemClock


def main() -> None:
    begun = begin("audit", groups=lambda installation: (installation.log_group,))
    installation = begun.installation
    os.umask(0o027)
    run(
        directory=installation.log,
        key_path=installation.state / "keys" / "audit.key",
        origin=installation.origin,
        socket_path=installation.socket("audit"),
        producers={0: "agent", installation.uid("control"): "store", installation.uid("egress"): "egress"},
        clock=SystemClock(),
    )


if __name__ == "__main__":
    run_program(main)
