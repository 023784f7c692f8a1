"""Who may change people: administrators, and nobody themself. `by` is None where the system itself acts: at first set-up."""

from collections.abc import Collection

from sekisho.model.people import ADMINISTRATORS, Person
from sekisho.model.reasons import Reason
from sekisho.policy.texts import check_text, is_name, shown
from sekisho.policy.verdict import Allow, Deny

LANGUAGES = ("en", "ja")
_DISPLAY_MOST_CHARACTERS = 64
_GROUPS_MOST = 64


def decide_administering(by: Person | None) -> Allow | Deny:
    """May this person see and change people at all?"""
    if by is None:
        return Allow("system")
    return Allow(f"group:{ADMINISTRATORS}") if by.is_administrator else Deny(Reason.NOT_ADMINISTRATOR)


def decide_adding(by: Person | None, new: Person, *, is_taken: bool) -> Allow | Deny:
    allowed = decide_administering(by)
    if isinstance(allowed, Deny):
        return allowed
    if is_taken:
        return Deny(Reason.PERSON_EXISTS, {"name": shown(new.name)})
    return _check_person(new) or allowed


def decide_regrouping(by: Person | None, name: str, groups: Collection[str], *, is_known: bool) -> Allow | Deny:
    """Put another person into these groups and no others."""
    allowed = _decide_changing(by, name, is_known=is_known)
    return allowed if isinstance(allowed, Deny) else _check_groups(groups) or allowed


def decide_disabling(by: Person | None, name: str, *, is_known: bool) -> Allow | Deny:
    return _decide_changing(by, name, is_known=is_known)


def decide_linking(by: Person | None, name: str, *, is_known: bool, is_disabled: bool) -> Allow | Deny:
    """Give somebody a sign-in link. Administrators may give themselves one: it gives them nothing that they have not."""
    allowed = decide_administering(by)
    if isinstance(allowed, Deny):
        return allowed
    if not is_known:
        return Deny(Reason.NO_SUCH_PERSON, {"name": shown(name)})
    return Deny(Reason.PERSON_DISABLED) if is_disabled else allowed


def _decide_changing(by: Person | None, name: str, *, is_known: bool) -> Allow | Deny:
    allowed = decide_administering(by)
    if isinstance(allowed, Deny):
        return allowed
    if by is not None and by.name == name:
        return Deny(Reason.OWN_ACCOUNT)
    return allowed if is_known else Deny(Reason.NO_SUCH_PERSON, {"name": shown(name)})


def _check_person(new: Person) -> Deny | None:
    if not is_name(new.name):
        return Deny(Reason.NAME_MALFORMED, {"found": shown(new.name) or "nothing"})
    if (denial := check_text(new.display, field="The name that is shown", most=_DISPLAY_MOST_CHARACTERS) or _check_groups(new.groups)) is not None:
        return denial
    return None if new.language in LANGUAGES else Deny(Reason.LANGUAGE_UNKNOWN, {"known": ", ".join(LANGUAGES), "found": shown(new.language)})


def _check_groups(groups: Collection[str]) -> Deny | None:
    wrong = min((group for group in groups if not is_name(group)), default=None)
    if wrong is not None:
        return Deny(Reason.GROUP_MALFORMED, {"found": shown(wrong) or "nothing"})
    return Deny(Reason.GROUP_MALFORMED, {"found": f"{len(groups)} groups"}) if len(groups) > _GROUPS_MOST else None
