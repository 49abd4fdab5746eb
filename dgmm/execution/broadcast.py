"""A word to every worker, which one that hangs must not hold up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

#: Seconds in which a worker that does not hang has heard what all are told.
_HEARD_S = 5.0


def broadcast(client: Any, call: Callable[[], Any]) -> None:
    """Send every worker a word and wait for all, but not for one that hangs.

    It finds the word when it wakes up, before any run.
    """

    async def told() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(call(), _HEARD_S)

    asyncio.run_coroutine_threadsafe(told(), client.loop.asyncio_loop).result()
