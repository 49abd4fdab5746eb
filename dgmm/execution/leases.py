"""The driver's side of leases: one for each worker that may be given tasks."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from dgmm.execution.broadcast import broadcast
from dgmm.execution.worker_lease import end_lease, take_lease

#: Before any other task that waits on a worker.
_FIRST = 1000


class Leases:
    """The leases of one fit.

    Parameters
    ----------
    client : distributed.Client
        Connected. Leases end with it, whatever ends it.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        #: Tells this fit from others on the same workers.
        self.token = f"dgmm-{uuid.uuid4().hex[:12]}"
        self._futures: dict[str, Any] = {}

    def take(self, workers: Iterable[str]) -> None:
        """Take a lease on each worker that has none; from any thread, without waiting."""
        self._client.loop.add_callback(self._submit, list(workers))

    def _submit(self, workers: Iterable[str]) -> None:
        for worker in workers:
            if worker in self._futures:
                continue
            key = f"{self.token}-lease-{len(self._futures)}-{uuid.uuid4().hex[:6]}"
            self._futures[worker] = self._client.submit(
                take_lease,
                self.token,
                key,
                key=key,
                workers=[worker],
                allow_other_workers=False,
                pure=False,
                priority=_FIRST,
            )

    def release(self, workers: Iterable[str]) -> None:
        """Release the leases of workers that left, or Dask would wait for them to come back."""
        for worker in workers:
            if (future := self._futures.pop(worker, None)) is not None:
                future.release()

    def close(self) -> None:
        """End all leases now; workers would do so by themselves a moment later."""
        if not self._futures:
            return
        with suppress(Exception):  # the scheduler may be gone, and the leases with it
            broadcast(
                self._client,
                lambda: self._client.run(
                    end_lease, self.token, workers=list(self._futures), on_error="ignore"
                ),
            )
        self.release(list(self._futures))
