"""One question before what can't be taken back. A page of its own, so that it is asked without JavaScript too."""

from collections.abc import Mapping

from fastapi.responses import Response

from sekisho.portal.door import Visit
from sekisho.portal.rendering import page


def confirm(here: Visit, what: str, *, facts: Mapping[str, str], action: str, back: str) -> Response:
    """Asks `what`.question, says `what`.consequence, and sends the form to `action` on `what`.yes."""
    words = here.words
    return page(
        here,
        "confirm.html",
        question=words.say(f"{what}.question", **facts),
        consequence=words.say(f"{what}.consequence", **facts),
        yes=words.say(f"{what}.yes", **facts),
        action=action,
        back=back,
    )
