"""The egress process: the names that rooms may reach, and nothing else."""

from sekisho.audit.shipper import Shipper
from sekisho.audit.spool import FileSpool
from sekisho.egress.service import run
from sekisho.programs.life import system_started
from sekisho.programs.start import begin, run_program
from sekisho.system.clock import SystemClock

SPOOL_LIMIT_BYTES = 64 << 20
SPOOL_LIMIT_SECONDS = 30.0  # longer without the log, and nothing new is opened


def main() -> None:
    begun = begin("egress")
    installation = begun.installation
    clock = SystemClock()
    spool = FileSpool(installation.spool("egress"), producer="egress", limit_bytes=SPOOL_LIMIT_BYTES, limit_seconds=SPOOL_LIMIT_SECONDS, clock=clock)
    spool.append(system_started("egress", clock.now()), closes=True)  # also while the log is away: relays that are open go on
    spool.sync()
    run(
        orders_path=installation.socket("egress"),
        open_path=installation.socket("open"),
        books=installation.state / "egress",
        control_uid=installation.uid("control"),
        sink=spool,
        shipper=Shipper(spool, installation.socket("audit"), clock),
        hosts=begun.settings.egress.hosts,
        clock=clock,
    )


if __name__ == "__main__":
    run_program(main)
