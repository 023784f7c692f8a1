"""May somebody sign in from here, try again, and stay signed in?

`sign_in_places` binds sign-in to places; empty means anywhere, unlike everywhere else, because each room has places of its own and an empty
setting must not lock the first administrator out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv6Address, ip_network

from sekisho.model.reasons import Reason
from sekisho.model.room import Place
from sekisho.policy.places import decide_place, parse_address
from sekisho.policy.texts import render_duration, shown
from sekisho.policy.verdict import Allow, Deny

PASSWORD_LEAST_CHARACTERS = 12
PASSWORD_MOST_CHARACTERS = 256
LINK_LIFE = timedelta(hours=24)
SIGN_IN_LIFE = timedelta(hours=12)  # of a cookie and of a token alike: a working day
COOKIE_IDLE = timedelta(hours=1)
ATTEMPTS_WINDOW = timedelta(minutes=5)
ATTEMPTS_OF_PERSON = 5  # by one address for one name
ATTEMPTS_OF_ADDRESS = 20  # by one address for any names
ATTEMPTS_OF_CODES = 5  # for one name from all addresses together: a code is short, and only who has the password comes to try one


@dataclass(frozen=True, slots=True)
class AttemptFacts:
    """Failures, and tries that are still under way, within the window."""

    address: str
    of_person: int
    of_address: int
    of_codes: int  # 0 where no code is tried
    places: Sequence[Place]
    sign_in_places: Sequence[str]


@dataclass(frozen=True, slots=True)
class SignInFacts:
    kind: str  # "cookie" or "token"
    address: str  # where it is used from now
    seen_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    is_person_disabled: bool
    places: Sequence[Place]
    sign_in_places: Sequence[str]
    now: datetime


def decide_sign_in_place(address: str, *, places: Sequence[Place], sign_in_places: Sequence[str]) -> Allow | Deny:
    if not sign_in_places:
        return Allow("anywhere")
    return decide_place(address, wanted=sign_in_places, places=places)


def decide_attempt(facts: AttemptFacts) -> Allow | Deny:
    """Before the password or the code is even looked at."""
    place = decide_sign_in_place(facts.address, places=facts.places, sign_in_places=facts.sign_in_places)
    if isinstance(place, Deny):
        return place
    if facts.of_person >= ATTEMPTS_OF_PERSON or facts.of_address >= ATTEMPTS_OF_ADDRESS or facts.of_codes >= ATTEMPTS_OF_CODES:
        return Deny(Reason.TOO_MANY_ATTEMPTS, {"wait": render_duration(ATTEMPTS_WINDOW)})
    return place


def decide_password(*, matches: bool, is_disabled: bool) -> Allow | Deny:
    """Who does not know the password does not learn whether the person exists or is disabled."""
    if not matches:
        return Deny(Reason.WRONG_PASSWORD)
    return Deny(Reason.PERSON_DISABLED) if is_disabled else Allow("password")


def decide_stay_signed_in(facts: SignInFacts) -> Allow | Deny:
    is_idle = facts.kind == "cookie" and facts.now - facts.seen_at >= COOKIE_IDLE
    if facts.ended_at is not None or facts.now >= facts.expires_at or is_idle:
        return Deny(Reason.NOT_SIGNED_IN)
    if facts.is_person_disabled:
        return Deny(Reason.PERSON_DISABLED)
    return decide_sign_in_place(facts.address, places=facts.places, sign_in_places=facts.sign_in_places)


def check_new_password(password: str) -> Deny | None:
    if len(password) < PASSWORD_LEAST_CHARACTERS:
        return Deny(Reason.PASSWORD_TOO_SHORT, {"least": str(PASSWORD_LEAST_CHARACTERS), "found": str(len(password))})
    if len(password) > PASSWORD_MOST_CHARACTERS:
        return Deny(Reason.PASSWORD_TOO_LONG, {"most": str(PASSWORD_MOST_CHARACTERS), "found": str(len(password))})
    return None


def counted_address(address: str) -> str:
    """What attempts are counted by: the address; of IPv6 its /64, for that many belong to one machine."""
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed) if parsed else shown(address)
