"""The wrapper that every door puts round its decision: one that raises is a refusal, never an entrance."""

from collections.abc import Callable

from sekisho.model.reasons import Reason
from sekisho.policy.verdict import Deny, Verdict


def deciding(decide: Callable[[], Verdict]) -> Verdict:
    """What `decide` answers; `Deny(DECISION_FAILED)` if it raises, with the error's type as a fact for the log."""
    try:
        return decide()
    except Exception as error:  # noqa: BLE001  fail closed, whatever it was
        return Deny(Reason.DECISION_FAILED, {"error": type(error).__name__})


def first_denial(*answers: Deny | None) -> Deny | None:
    """Precedence as a list: the first that denies."""
    return next((answer for answer in answers if answer is not None), None)
