"""The gateway process: the rooms' host. It has no database; what it may open, control decides."""

import uvloop

from sekisho.gateway.app import serve
from sekisho.programs.start import begin, run_program
from sekisho.system.clock import SystemClock


def main() -> None:
    begun = begin("gateway", listens=lambda where: (where.host, where.rooms_port))
    installation = begun.installation
    certificate, key = installation.tls("gateway")
    assert begun.listener is not None
    uvloop.run(
        serve(
            listener=begun.listener,
            certificate=certificate,
            key=key,
            control_path=installation.socket("control"),
            open_path=installation.socket("open"),
            rooms_origin=begun.where.rooms_origin,
            portal_origin=begun.where.portal_origin,
            trusted_proxies=begun.settings.web.trusted_proxies,
            clock=SystemClock(),
        )
    )


if __name__ == "__main__":
    run_program(main)
