"""One tree's passes, in a process of its own: `python earlier_side.py TREE`, a request a line.

A list of family, dtype, n, d and k prepares rows and EM; "step" answers the seconds of two passes
and the processor seconds of one.
What it imports must be as it is in every tree that is compared.
"""

from __future__ import annotations

import json
import sys
import time

sys.path[0] = sys.argv[1]  # in place of this folder

from benchmarks.mixtures import clustered_rows, start_near  # noqa: E402 - of the tree that is asked for
from benchmarks.our_em import OurEM  # noqa: E402 - the same

_PASSES = 2


def main() -> None:
    """Answer until there are no requests."""
    em: OurEM | None = None
    for line in sys.stdin:
        request = json.loads(line)
        if request == "step" and em is not None:
            begun = time.process_time()
            seconds = em.step(_PASSES)
            used = (time.process_time() - begun) / _PASSES
            print(json.dumps({"seconds": seconds, "processor": used}), flush=True)
            continue
        if em is not None:
            em.close()
        family, dtype, n, d, k = request
        X, centres = clustered_rows(n, d, k)
        em = OurEM(X.astype(dtype), start_near(centres, family))
        em.catch_up(2)
        print(json.dumps("ready"), flush=True)
    if em is not None:
        em.close()


if __name__ == "__main__":
    main()
