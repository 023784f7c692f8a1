"""The installation's folders: who owns each, and who may look in. Made at every start, so that a wrong mode mends itself."""

import os
from pathlib import Path

from sekisho.settings import SERVICES, Installation


def make_folders(installation: Installation) -> None:
    state = installation.state
    control = installation.uid("control")
    audit = installation.uid("audit")
    _folder(state, 0, 0, 0o755)
    _folder(state / "db", control, installation.store_group, 0o2770)
    _folder(installation.rooms, 0, installation.store_group, 0o2750)
    _folder(installation.log, audit, installation.log_group, 0o2750)
    _folder(state / "keys", audit, audit, 0o700)
    _folder(state / "portal", 0, installation.uid("portal"), 0o750)
    _folder(state / "tls", 0, 0, 0o755)
    _folder(state / "agent", 0, 0, 0o700)
    _folder(state / "spool", 0, 0, 0o755)
    _folder(installation.spool("agent"), 0, 0, 0o700)
    _folder(installation.spool("egress"), installation.uid("egress"), installation.uid("egress"), 0o700)
    _folder(state / "egress", installation.uid("egress"), installation.uid("egress"), 0o700)
    _folder(installation.run, 0, 0, 0o711)
    for service in SERVICES:
        _folder(installation.run / service, installation.uid(service), installation.uid(service), 0o711)


def give(path: Path, uid: int, group: int, mode: int) -> None:
    os.chown(path, uid, group)
    path.chmod(mode)


def _folder(path: Path, uid: int, group: int, mode: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    give(path, uid, group, mode)
