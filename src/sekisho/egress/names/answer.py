"""What the room's name server answers to one query. Pure but for the book, which may gain a name."""

from dataclasses import dataclass

from sekisho.egress.names.book import NameBook, admit_name
from sekisho.egress.names.wire import MalformedQuery, Query, ResponseCode, parse_query, render_answer
from sekisho.model.reasons import Reason
from sekisho.policy.egress import Rules
from sekisho.policy.verdict import Deny


@dataclass(frozen=True, slots=True)
class Reply:
    """`message` may be empty: nothing is to be said. `denied` is what the log is to hold, of which name."""

    message: bytes
    unverified_name: str = ""
    denied: Deny | None = None


def reply_to(unverified: bytes, *, rules: Rules, book: NameBook) -> Reply:
    """The reply to any bytes at all."""
    try:
        query = parse_query(unverified)
    except MalformedQuery as error:
        return Reply(error.reply)
    if query.edns_version:
        return Reply(render_answer(query, ResponseCode.BAD_VERSION))
    if not query.is_internet:
        return Reply(render_answer(query, ResponseCode.REFUSED))
    return _reply(query, rules, book)


def _reply(query: Query, rules: Rules, book: NameBook) -> Reply:
    name = query.unverified_name
    try:
        listed = admit_name(rules, book, name, None)
    except OSError:
        return Reply(render_answer(query, ResponseCode.SERVER_FAILURE), name, Deny(Reason.DECISION_FAILED))
    if isinstance(listed, Deny):
        code = ResponseCode.REFUSED if listed.reason is Reason.TOO_MANY_NAMES else ResponseCode.NAME_ERROR
        return Reply(render_answer(query, code), name, listed)
    address = book.address_of(listed.name, is_chosen=listed.rule.wildcard) if query.is_for_address else None
    return Reply(render_answer(query, ResponseCode.NO_ERROR, address))
