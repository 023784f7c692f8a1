"""The base of every error that Sekisho raises on purpose.

A *refusal* is a value (`sekisho.policy.verdict.Deny`). *Trouble* is an error of the world that somebody can mend: it
carries a stable reference, what happened, and what to try. A bug is an assertion.
"""


class Trouble(Exception):
    """Something went wrong that a person can mend.

    `reference` is stable kebab-case: scripts and docs rely on it. No secret and no person's content may be put in any part.
    """

    def __init__(self, reference: str, what: str, *, expected: str = "", found: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.reference = reference
        self.what = what
        self.expected = expected
        self.found = found
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.what]
        if self.expected:
            parts.append(f"expected {self.expected}")
        if self.found:
            parts.append(f"found {self.found}")
        line = "; ".join(parts)
        return f"{line}. Try: {self.hint}" if self.hint else line
