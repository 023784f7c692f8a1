"""Makes the store ready before the processes start: migrates it, makes the first people, prints sign-in links of those without a password as JSON."""

import argparse
import json
import os
from pathlib import Path

from sqlalchemy import select

from sekisho.identity.people import add_person, issue_sign_in_link
from sekisho.model.people import ADMINISTRATORS
from sekisho.policy.verdict import Deny
from sekisho.programs.demo import PEOPLE
from sekisho.programs.start import run_program
from sekisho.settings import open_installation, read_settings
from sekisho.store.database import Store
from sekisho.store.tables import memberships, people
from sekisho.system import kernel
from sekisho.system.clock import SystemClock

FIRST = (("admin", "Administrator", (ADMINISTRATORS,), "en"),)


def main() -> None:
    parser = argparse.ArgumentParser(prog="sekisho prepare")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--origin", required=True)
    parser.add_argument("--demo", action="store_true")
    found = parser.parse_args()
    installation = open_installation(found.state)
    settings = read_settings(installation.state)
    kernel.become(installation.uid("control"), (installation.store_group,))
    os.umask(0o007)
    store = Store.open(settings.database or installation.database_url)
    store.migrate()
    _add_first(store, PEOPLE if found.demo else FIRST)
    print(json.dumps([{"name": name, "link": f"{found.origin}/link/{secret}"} for name, secret in _links(store, demo=found.demo)]))


def _add_first(store: Store, first: tuple[tuple[str, str, tuple[str, ...], str], ...]) -> None:
    """Only into an empty store: who was removed does not come back."""
    now = SystemClock().now()
    with store.reading() as tx:
        if tx.execute(select(people.c.name).limit(1)).first():
            return
    for name, display, groups, language in first:
        add_person(store, by=None, name=name, display=display, groups=groups, language=language, now=now)


def _links(store: Store, *, demo: bool) -> list[tuple[str, str]]:
    """For the demonstration's people; else for administrators, and only while nobody can sign in: a link that an administrator handed out stays good."""
    now = SystemClock().now()
    with store.reading() as tx:
        active = select(people.c.name).where(people.c.disabled_at.is_(None))
        waiting = tx.execute(active.where(people.c.password_hash.is_(None)).order_by(people.c.name)).scalars().all()
        if not demo:
            somebody = tx.execute(active.where(people.c.password_hash.is_not(None)).limit(1)).first()
            administrators = set(tx.execute(select(memberships.c.person).where(memberships.c.group_name == ADMINISTRATORS)).scalars())
            waiting = [] if somebody else [name for name in waiting if name in administrators]
    issued = ((name, issue_sign_in_link(store, by=None, name=name, now=now)) for name in waiting)
    return [(name, secret) for name, secret in issued if not isinstance(secret, Deny)]


if __name__ == "__main__":
    run_program(main)
