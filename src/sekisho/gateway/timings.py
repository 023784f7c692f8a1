"""How long the gateway waits for what, in seconds. One value, so that tests can be quick and the numbers stand in one place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timings:
    first_message: float = 10.0  # from the WebSocket's opening to its ticket
    answer: float = 10.0  # control and the agent: an entry waits for the log
    recheck: float = 60.0  # between two questions whether this connection may go on
    recheck_again: float = 5.0  # when the last one was not answered
    unanswered: float = 300.0  # then the connection is closed
    stalled: float = 30.0  # a connection that takes nothing at all while the room waits for it
    probe: float = 5.0  # whether a client whose messages the room does not take is still there
    reason: float = 5.0  # after a room stopped, for control to say why, also one that was started again and is not reached yet
    last_word: float = 2.0  # to send the last message and the close
    tick: float = 1.0  # between two looks at the clocks, which may have been set or have slept
