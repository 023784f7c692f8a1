"""A lane of its own for passwords: looking at one takes a while and much memory on purpose, and must hold no worker that everybody else's pages need."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

P = ParamSpec("P")
T = TypeVar("T")

_LANE = CapacityLimiter(4)


async def in_password_lane(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What `work` gives, done in a thread of this lane."""
    return await anyio.to_thread.run_sync(partial(work, *arguments, **named), limiter=_LANE)
