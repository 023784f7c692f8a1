"""What people do with rooms: ask, withdraw, approve, deny, extend, end, leave, enter. Each is one function, one transaction, one event, refusals too.

An act gives the new value or a `Deny`. It locks what it decides on, reads the caller's groups anew, asks `policy/`, and only then writes. Control is
told by the caller (a nudge); nothing here waits for it. Sessions and connections are control's own rows and are never written here.
"""

from sekisho.sessions.acts.asking import request_room
from sekisho.sessions.acts.ending import end, leave
from sekisho.sessions.acts.granting import approve, deny, extend
from sekisho.sessions.acts.ticketing import TICKET_LIFE, Ticket, issue_ticket
from sekisho.sessions.acts.withdrawing import withdraw

__all__ = ["TICKET_LIFE", "Ticket", "approve", "deny", "end", "extend", "issue_ticket", "leave", "request_room", "withdraw"]
