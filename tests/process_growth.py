"""By how much the memory of a process of its own grows while it does one thing.

The peak of the tests' own process is that of any test before; and a process that is started takes
over `ru_maxrss` from the one that started it. The system's VmHWM is the new program's own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

#: Where the system tells it.
HAS_PEAKS = Path("/proc/self/status").exists()

_PROGRAM = """
import re
from pathlib import Path
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
{before}
start = peak()
{measured}
print("grown by", peak() - start)
"""


def growth_of(measured: str, before: str = "") -> int:
    """Bytes by which the peak grows in `measured`, after `before` has loaded what it needs.

    Both are statements; their error is this one's.
    """
    program = _PROGRAM.format(before=before, measured=measured)
    call = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(call, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.rpartition("grown by ")[2])
