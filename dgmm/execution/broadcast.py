"""A call on every worker that one which hangs does not delay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

#: Seconds in which a worker that does not hang has answered.
_ANSWER_S = 5.0


def broadcast(client: Any, call: Callable[[], Any]) -> None:
    """Call every worker and wait for all, but not for one that hangs.

    That one finds the call when it goes on, before any task.
    """

    async def bounded() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(call(), _ANSWER_S)

    asyncio.run_coroutine_threadsafe(bounded(), client.loop.asyncio_loop).result()
