"""What a decision answers: Allow or Deny with a reason. Never a bool, never an exception."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sekisho.model.reasons import Reason


@dataclass(frozen=True, slots=True)
class Allow:
    """`rule` names what allowed it, for the log: a group, a rule of the room file, a place."""

    rule: str


@dataclass(frozen=True, slots=True)
class Deny:
    """`facts` fill the sentence of the reason (`model.reasons.SENTENCES`): what was found, what was expected."""

    reason: Reason
    facts: Mapping[str, str] = field(default_factory=dict)
