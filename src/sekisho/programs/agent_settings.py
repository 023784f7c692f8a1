"""Prints what the agent needs of installation and settings, as JSON. A process of its own: see `programs.agent`."""

import json
from dataclasses import asdict

from sekisho.programs.start import parse_arguments, run_program
from sekisho.runtime.images import installed, names
from sekisho.settings import open_installation, read_settings


def main() -> None:
    arguments = parse_arguments("agent")
    installation = open_installation(arguments.state)
    settings = read_settings(installation.state)
    told = {
        "instance": installation.short,
        "run": str(installation.run),
        "state": str(installation.state),
        "spool": str(installation.spool("agent")),
        "audit": str(installation.socket("audit")),
        "images": str(settings.runtime.images),
        "digests": [image.digest for name in names() if (image := installed(name, settings.runtime.images))],
        "runtime": settings.runtime.command,
        "buckets": [asdict(access) for access in settings.bucket_access()],
        "memory_share": settings.runtime.memory_share,
        "control": installation.uid("control"),
        "gateway": installation.uid("gateway"),
        "egress": installation.uid("egress"),
        "parent": arguments.parent,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    run_program(main)
