"""Using a code up: one of the app's, each good once, or one of the recovery codes.

The caller holds the person's row; each is used up by one conditional write besides, so that of two who show the same code at once one is refused.
"""

from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from sekisho.identity.cipher import FactorCipher
from sekisho.identity.codes import RECOVERY_DIGITS, matching_step, new_recovery_codes, parse_code, recovery_fingerprint, render_recovery_code
from sekisho.model.reasons import Reason
from sekisho.policy.deciding import deciding
from sekisho.policy.second_factor import RECOVERY_CODES, decide_recovery, decide_step
from sekisho.policy.verdict import Allow, Deny
from sekisho.store.tables import recovery_codes, second_factors, sign_ins


def use_code(tx: Connection, cipher: FactorCipher, *, person: str, typed: str, now: datetime) -> Allow | Deny:
    """What allowed it is "code" or "recovery-code". Raises Trouble if the secret cannot be decrypted, which no recovery code needs."""
    wanted = select(second_factors).where(second_factors.c.person == person, second_factors.c.confirmed_at.is_not(None))
    factor = tx.execute(wanted).first()
    if factor is None:
        return Deny(Reason.NO_SECOND_FACTOR, {"name": person})
    code = parse_code(typed)
    if len(code) == RECOVERY_DIGITS:
        return _use_recovery(tx, person, code, now=now)
    return use_step(tx, person, matching_step(code, cipher.decrypt(factor.secret, person=person), now=now), last_step=factor.last_step)


def use_step(tx: Connection, person: str, step: int | None, *, last_step: int) -> Allow | Deny:
    verdict = deciding(lambda: decide_step(step, last_step=last_step))
    if isinstance(verdict, Deny) or step is None:
        return verdict
    later = (second_factors.c.person == person, second_factors.c.last_step < step)
    is_mine = tx.execute(update(second_factors).where(*later).values(last_step=step)).rowcount == 1
    return verdict if is_mine else Deny(Reason.CODE_USED)


def _use_recovery(tx: Connection, person: str, code: str, *, now: datetime) -> Allow | Deny:
    own = (recovery_codes.c.fingerprint == recovery_fingerprint(code, person=person), recovery_codes.c.person == person)
    found = tx.execute(select(recovery_codes.c.used_at).where(*own)).first()
    verdict = deciding(lambda: decide_recovery(is_unused=None if found is None else found.used_at is None))
    if isinstance(verdict, Deny):
        return verdict
    is_mine = tx.execute(update(recovery_codes).where(*own, recovery_codes.c.used_at.is_(None)).values(used_at=now)).rowcount == 1
    return verdict if is_mine else Deny(Reason.CODE_USED)


def give_recovery_codes(tx: Connection, person: str) -> tuple[str, ...]:
    """New ones, as people read them; those that were there are void."""
    codes = new_recovery_codes(RECOVERY_CODES)
    tx.execute(delete(recovery_codes).where(recovery_codes.c.person == person))
    tx.execute(insert(recovery_codes), [{"fingerprint": recovery_fingerprint(code, person=person), "person": person} for code in codes])
    return tuple(render_recovery_code(code) for code in codes)


def recovery_codes_left(tx: Connection, person: str) -> int:
    unused = (recovery_codes.c.person == person, recovery_codes.c.used_at.is_(None))
    return tx.execute(select(func.count()).select_from(recovery_codes).where(*unused)).scalar_one()


def forget_factor(tx: Connection, person: str) -> None:
    """The factor, its recovery codes, and whatever was proven by them."""
    tx.execute(delete(second_factors).where(second_factors.c.person == person))
    tx.execute(delete(recovery_codes).where(recovery_codes.c.person == person))
    tx.execute(update(sign_ins).where(sign_ins.c.person == person).values(second_factor_at=None))
