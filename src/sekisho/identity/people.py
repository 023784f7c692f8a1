"""Acts on people: one function, one transaction, one event, refusals too. Only administrators, or the system at first set-up (`by=None`), act on
others; nobody changes their own groups.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select, update

from sekisho.model.event import EventKind
from sekisho.model.people import Caller, Person
from sekisho.model.session import EndReason, RequestState
from sekisho.policy.deciding import deciding
from sekisho.policy.people import decide_adding, decide_administering, decide_disabling, decide_linking, decide_regrouping
from sekisho.policy.signin import LINK_LIFE
from sekisho.policy.texts import one_line, shown
from sekisho.policy.verdict import Allow, Deny
from sekisho.store.database import Store
from sekisho.store.events import note, refuse
from sekisho.store.people import PersonRow, as_of_now, find_person, list_people
from sekisho.store.tables import memberships, people, requests, sign_in_links, sign_in_steps, sign_ins
from sekisho.system import randomness


def add_person(
    store: Store, *, by: Caller | None, name: str, display: str = "", groups: Iterable[str] = (), language: str = "en", now: datetime
) -> Person | Deny:
    """A new person, who cannot sign in until they are given a link."""
    new = Person(name, frozenset(groups), display=one_line(display) or name, language=language)
    with store.writing() as tx:
        is_taken = find_person(tx, name) is not None if _is_text(name) else False
        verdict = _decided(tx, by, lambda person: decide_adding(person, new, is_taken=is_taken))
        if isinstance(verdict, Deny):
            return _refused(tx, verdict, by=by, now=now, act="add-person", name=name)
        tx.execute(insert(people).values(name=name, display=new.display, language=language, created_at=now))
        _set_groups(tx, name, new.groups)
        note(tx, EventKind.PERSON_ADDED, by=by, now=now, details={"person": name, "groups": sorted(new.groups)})
        return new


def change_groups(store: Store, *, by: Caller | None, name: str, groups: Iterable[str], now: datetime) -> Person | Deny:
    """The groups that the person is in from now on."""
    wanted = frozenset(groups)
    with store.writing() as tx:
        found = _locked(tx, name)
        verdict = _decided(tx, by, lambda person: decide_regrouping(person, name, wanted, is_known=found is not None))
        if isinstance(verdict, Deny):
            return _refused(tx, verdict, by=by, now=now, act="change-groups", name=name)
        assert found is not None
        _set_groups(tx, name, wanted)
        before = sorted(found.person.groups)
        note(tx, EventKind.PERSON_CHANGED, by=by, now=now, details={"person": name, "before": before, "groups": sorted(wanted)})
        return Person(name, wanted, display=found.person.display, language=found.person.language)


def disable_person(store: Store, *, by: Caller | None, name: str, now: datetime) -> Person | Deny:
    """Every sign-in, link and grant of the person ends with it, and no request of theirs can be approved any more. Disabling twice is done at once."""
    with store.writing() as tx:
        found = _locked(tx, name)
        verdict = _decided(tx, by, lambda person: decide_disabling(person, name, is_known=found is not None))
        if isinstance(verdict, Deny):
            return _refused(tx, verdict, by=by, now=now, act="disable-person", name=name)
        assert found is not None
        if not found.is_disabled:
            tx.execute(update(people).where(people.c.name == name).values(disabled_at=now))
            told = {**_end_requests(tx, name, by.person.name if by else ""), "sign_ins": end_sign_ins(tx, name, now=now)}
            note(tx, EventKind.PERSON_DISABLED, by=by, now=now, details={"person": name, **told})
        return found.person


def issue_sign_in_link(store: Store, *, by: Caller | None, name: str, now: datetime) -> str | Deny:
    """The secret of a link, good once and for 24 hours. Links that the person was given before are void."""
    with store.writing() as tx:
        found = _locked(tx, name)
        is_disabled = found is not None and found.is_disabled
        verdict = _decided(tx, by, lambda person: decide_linking(person, name, is_known=found is not None, is_disabled=is_disabled))
        if isinstance(verdict, Deny):
            return _refused(tx, verdict, by=by, now=now, act="issue-link", name=name)
        secret = randomness.token()
        _void_links(tx, name, now=now)
        tx.execute(insert(sign_in_links).values(fingerprint=randomness.fingerprint(secret), person=name, expires_at=now + LINK_LIFE))
        note(tx, EventKind.SIGN_IN_LINK_ISSUED, by=by, now=now, details={"person": name})
        return secret


def people_for(store: Store, *, by: Caller, now: datetime) -> list[PersonRow] | Deny:
    """Everybody, for administrators; a refusal is written down."""
    with store.writing() as tx:
        verdict = _decided(tx, by, decide_administering)
        return _refused(tx, verdict, by=by, now=now, act="list-people", name="") if isinstance(verdict, Deny) else list_people(tx)


def end_sign_ins(tx: Connection, name: str, *, now: datetime, kept: str = "") -> int:
    """End the sign-ins of a person, but for the one with the id `kept`, those that wait for a code too, and void their links. Gives how many were ended."""
    _void_links(tx, name, now=now)
    tx.execute(delete(sign_in_steps).where(sign_in_steps.c.person == name))
    live = (sign_ins.c.person == name, sign_ins.c.ended_at.is_(None), sign_ins.c.id != kept)
    return tx.execute(update(sign_ins).where(*live).values(ended_at=now)).rowcount


def _decided(tx: Connection, by: Caller | None, decide: Callable[[Person | None], Allow | Deny]) -> Allow | Deny:
    caller = as_of_now(tx, by) if by else None
    if isinstance(caller, Deny):
        return caller
    return deciding(lambda: decide(caller.person if caller else None))


def _refused(tx: Connection, denial: Deny, *, by: Caller | None, now: datetime, act: str, name: str) -> Deny:
    return refuse(tx, EventKind.ACCESS_REFUSED, denial, by=by, now=now, details={"act": act, **({"person": shown(name)} if name else {})})


def _is_text(name: str) -> bool:
    """Only what a database can be asked for."""
    return name.isprintable() and len(name) <= 256


def _locked(tx: Connection, name: str) -> PersonRow | None:
    return find_person(tx, name, lock=True) if _is_text(name) else None


def _set_groups(tx: Connection, name: str, groups: frozenset[str]) -> None:
    tx.execute(delete(memberships).where(memberships.c.person == name))
    if groups:
        tx.execute(insert(memberships), [{"person": name, "group_name": group} for group in sorted(groups)])


def _void_links(tx: Connection, name: str, *, now: datetime) -> None:
    tx.execute(update(sign_in_links).where(sign_in_links.c.person == name, sign_in_links.c.used_at.is_(None)).values(used_at=now))


def _end_requests(tx: Connection, name: str, by: str) -> Mapping[str, list[str]]:
    """What was granted ends; what was asked for is denied. Gives the ids of both, for the event."""
    alive = (requests.c.person == name, requests.c.state.in_([RequestState.PENDING.value, RequestState.APPROVED.value]))
    found = tx.execute(select(requests.c.id, requests.c.state).where(*alive).order_by(requests.c.id).with_for_update()).all()
    granted = [row.id for row in found if row.state == RequestState.APPROVED.value]
    asked = [row.id for row in found if row.state == RequestState.PENDING.value]
    over = {"end_reason": EndReason.PERSON_DISABLED.value}
    tx.execute(update(requests).where(requests.c.id.in_(granted)).values(state=RequestState.ENDED.value, ended_by=by, **over))
    tx.execute(update(requests).where(requests.c.id.in_(asked)).values(state=RequestState.DENIED.value, decided_by=by, **over))
    return {"grants_ended": granted, "requests_denied": asked}
