"""Where a refusal leads that a page of ours can mend: to set a second factor up, or to give a code and come back. Pure."""

import re
from dataclasses import dataclass

from sekisho.model.reasons import Reason
from sekisho.model.session import request_id
from sekisho.policy.verdict import Deny
from sekisho.portal.inputs import own_path

_REQUEST = re.compile(r"(/requests/r-[a-z2-7]{10})/[a-z/-]+")
_SESSION = re.compile(r"/sessions/(s-[a-z2-7]{10})/[a-z/-]+")


@dataclass(frozen=True, slots=True)
class Step:
    path: str
    key: str  # of the sentence on the button


def way_on(refusal: Deny, path: str) -> Step | None:
    """The next step from a refusal that was met at `path`."""
    match refusal.reason:
        case Reason.SECOND_FACTOR_MISSING:
            return Step("/account", "second-factor.set-up")
        case Reason.SECOND_FACTOR_OLD:
            return Step(f"/second-factor?next={page_of(path)}", "code.again-title")
        case _:
            return None


def page_of(path: str) -> str:
    """The page that has the button for what was tried at `path`; `path` itself where that is a page."""
    if found := _REQUEST.fullmatch(path):
        return found[1]
    if found := _SESSION.fullmatch(path):
        return f"/requests/{request_id(found[1])}"
    return own_path(path)
