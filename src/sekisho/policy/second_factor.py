"""Has this sign-in proven a second factor where a room asks for one, is this code good, and who may set a factor up or take it away?

A proof belongs to one sign-in. It is given by a code at sign-in, by one given again later, or by the code that confirms a new factor, for which the
password was typed a moment before (decision 0014).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sekisho.model.people import Person
from sekisho.model.reasons import Reason
from sekisho.model.room import Room
from sekisho.policy.people import decide_administering
from sekisho.policy.texts import render_duration, shown
from sekisho.policy.verdict import Allow, Deny

PROOF_LIFE = timedelta(hours=12)
ENROLMENT_LIFE = timedelta(minutes=15)  # from the secret to the code that confirms it
STEP_LIFE = timedelta(minutes=10)  # from the password to the code
RECOVERY_CODES = 10


@dataclass(frozen=True, slots=True)
class Proof:
    """What one sign-in has of a second factor."""

    is_enrolled: bool
    at: datetime | None  # when this sign-in proved it last


NO_PROOF = Proof(is_enrolled=False, at=None)


def check_proof(room: Room, proof: Proof, now: datetime) -> Deny | None:
    """What stands in the way of entering, or approving, a room that asks for a second factor."""
    if not room.access.second_factor:
        return None
    if not proof.is_enrolled:
        return Deny(Reason.SECOND_FACTOR_MISSING, {"room": room.name})
    if proof.at is None or now - proof.at >= PROOF_LIFE:
        return Deny(Reason.SECOND_FACTOR_OLD, {"room": room.name, "most": render_duration(PROOF_LIFE)})
    return None


def decide_step(step: int | None, *, last_step: int) -> Allow | Deny:
    """`step` is the time step that a code is of, None if of none that counts now. Each is good once, and none before one that was used (RFC 6238 §5.2)."""
    if step is None:
        return Deny(Reason.CODE_WRONG)
    return Allow("code") if step > last_step else Deny(Reason.CODE_USED)


def decide_recovery(*, is_unused: bool | None) -> Allow | Deny:
    """None: there is no such recovery code of this person."""
    if is_unused is None:
        return Deny(Reason.CODE_WRONG)
    return Allow("recovery-code") if is_unused else Deny(Reason.CODE_USED)


def decide_beginning(*, has_password: bool, matches: bool, is_enrolled: bool) -> Allow | Deny:
    """Show a new secret: to who knows the password, not to whoever sits at an open page."""
    if not has_password:
        return Deny(Reason.PASSWORD_MISSING)
    if not matches:
        return Deny(Reason.WRONG_PASSWORD)
    return Deny(Reason.SECOND_FACTOR_THERE) if is_enrolled else Allow("password")


def decide_enrolling(*, begun_at: datetime | None, is_enrolled: bool, now: datetime) -> Allow | Deny:
    """May a code confirm the secret that was shown? Whether it is the right one comes after."""
    if is_enrolled:
        return Deny(Reason.SECOND_FACTOR_THERE)
    return Deny(Reason.CODE_TOO_LATE) if begun_at is None or now - begun_at >= ENROLMENT_LIFE else Allow("password")


def decide_resetting(by: Person, name: str, *, is_known: bool, is_enrolled: bool) -> Allow | Deny:
    """Take another person's factor away without a code: administrators, and never their own."""
    allowed = decide_administering(by)
    if isinstance(allowed, Deny):
        return allowed
    if by.name == name:
        return Deny(Reason.OWN_SECOND_FACTOR)
    if not is_known:
        return Deny(Reason.NO_SUCH_PERSON, {"name": shown(name)})
    return allowed if is_enrolled else Deny(Reason.NO_SECOND_FACTOR, {"name": shown(name)})
