"""Where the time of a pass goes: what the threads are found doing, looked at every millisecond.

It sees whatever runs, NumPy or compiled, without a clock in the package. A thread that waits for
work is not counted.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import dgmm

_PACKAGE = str(Path(dgmm.__file__).resolve().parent)
_INTERVAL = 0.001
_WAITING = ("/threading.py", "/queue.py", "/concurrent/futures/")


def shares_of_time(action: Callable[[], object]) -> dict[str, float]:
    """Shares of the busy threads' time by function of dgmm, largest first; they add up to 1."""
    found: Counter[str] = Counter()
    ended = threading.Event()

    def look() -> None:
        me = threading.get_ident()
        while not ended.wait(_INTERVAL):
            for thread, frame in sys._current_frames().items():
                place = _place(frame) if thread != me else None
                if place is not None:
                    found[place] += 1

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        action()
    finally:
        ended.set()
        watcher.join()
    total = sum(found.values())
    return {place: n / total for place, n in found.most_common()} if total else {}


def in_words(shares: dict[str, float], most: int = 6) -> str:
    """`weighted_log_prob 41 %, accumulate 37 %, …`, the rest together."""
    shown = list(shares.items())[:most]
    words = [f"{place} {share:.0%}" for place, share in shown]
    rest = 1.0 - sum(share for _, share in shown)
    return ", ".join(words + ([f"the rest {rest:.0%}"] if rest > 0.005 else []))


def _place(frame: FrameType | None) -> str | None:
    """The innermost function of dgmm that a thread is in; None where it waits or is elsewhere."""
    if frame is None or any(part in frame.f_code.co_filename for part in _WAITING):
        return None
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_PACKAGE):
            return f"{Path(path).stem}.{frame.f_code.co_name}"
        frame = frame.f_back
    return None
