"""What `cluster.kind: auto` becomes: threads for little work, worker processes for much.

Worker processes take seconds to start, which import and load compiled code. Measured alternately on
two cores, the stage of EM then took them 0.91 and 0.95 of two threads' time where products dominate
(200,000 x 32, k = 32), and 1.04 to 1.28 where rows are decoded anew in every pass. So they pay
after about a minute of products. As many as the limit below take two cores 0.3 s a pass; with
passes in the hundreds, or more cores, processes are ahead, else the difference is a few seconds.
Beyond the limit of bytes they are for another matter than time: each worker is held to
`memory_limit`, and one that dies is replaced. No result depends on the kind; the rule follows from
the job and the sizes of its data, never from the machine.
"""

from __future__ import annotations

from dgmm.config import Job
from dgmm.data.number_words import in_units
from dgmm.data.stored_dataset import StoredDataset
from dgmm.job.memory_plan import MIB, Work

#: Rows of at most so many bytes, before compression, are threads' work ...
MOST_BYTES = 256 * MIB
#: ... where a pass makes at most so many products: rows x components x products of a row.
MOST_PRODUCTS = 10**10


def is_automatic(job: Job) -> bool:
    """Whether the plan chooses where tasks run."""
    c = job.cluster
    return c.kind == "auto" and c.address is None and c.scheduler_file is None


def of_kind(job: Job, kind: str) -> Job:
    """The same job with that `cluster.kind`."""
    return job.model_copy(update={"cluster": job.cluster.model_copy(update={"kind": kind})})


def chosen_kind(job: Job, dataset: StoredDataset, work: Work, n_mixtures: int) -> tuple[str, str]:
    """The kind of cluster that `auto` stands for, and why, in words.

    Parameters
    ----------
    job, dataset
        What is asked for, and the rows.
    work
        Its models, as one group.
    n_mixtures
        Mixtures that each of them is fitted as: one for each class, and fold.
    """
    for key, value in (("threads_per_worker", 1), ("memory_limit", "auto")):
        if getattr(job.cluster, key) != value:
            return "local", f"cluster.{key} is of worker processes"
    n_bytes = dataset.n_samples * dataset.n_features * dataset.dtype.itemsize
    n_products = dataset.n_samples * n_mixtures * _products_of_a_row(work)
    rows, products = f"{in_units(n_bytes)} of rows", f"{n_products:,} products a pass"
    if n_bytes > MOST_BYTES:
        return "local", f"{rows}, more than {in_units(MOST_BYTES)}"
    if n_products > MOST_PRODUCTS:
        return "local", f"{products}, more than {MOST_PRODUCTS:,}"
    limits = f"at most {in_units(MOST_BYTES)} and {MOST_PRODUCTS:,}"
    return "threads", f"{rows} and {products}, {limits}"


def _products_of_a_row(work: Work) -> int:
    d = work.grid.n_features
    return sum(one.n_candidates * one.n_components * one.family.width(d) for one in work.together)
