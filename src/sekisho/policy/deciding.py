"""The wrapper that every door puts round its decision: one that raises is a refusal, never an entrance."""

from collections.abc import Callable

from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Allow, Deny


def deciding(decide: Callable[[], Allow | Deny]) -> Allow | Deny:
    """What `decide` answers; `Deny(DECISION_FAILED)` if it raises, or answers anything else, with what it was as a fact for the log."""
    try:
        verdict = decide()
    except Exception as error:  # noqa: BLE001  fail closed, whatever it was
        return Deny(Reason.DECISION_FAILED, {"error": type(error).__name__})
    if isinstance(verdict, Allow | Deny):
        return verdict
    return Deny(Reason.DECISION_FAILED, {"error": type(verdict).__name__})  # type: ignore[unreachable]  # a bug, but still no entrance


def first_denial(*answers: Deny | None) -> Deny | None:
    """Precedence as a list: the first that denies."""
    return next((answer for answer in answers if answer is not None), None)
