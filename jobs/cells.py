"""Clusters an AnnData file by its principal components; labels come back by the cells' names.

The sample has the form of single-cell data: scikit-learn's 1,797 digits as "cells", their 30 first
principal components in `obsm/X_pca`, and the digit as a category of `obs`.

    python jobs/cells.py
"""

from __future__ import annotations

import sys
from pathlib import Path

from sample_job import needs, run_sample


def write(path: Path) -> None:
    """Write the .h5ad file."""
    try:
        import anndata  # noqa: PLC0415 - its absence is explained
        import pandas as pd  # noqa: PLC0415 - as above
        from sklearn.datasets import load_digits  # noqa: PLC0415 - as above
        from sklearn.decomposition import PCA  # noqa: PLC0415 - as above
    except ImportError as error:
        raise needs("anndata scikit-learn", error) from error
    digits = load_digits()
    names = [f"cell-{number:04d}" for number in range(len(digits.data))]
    obs = pd.DataFrame({"digit": pd.Categorical(digits.target.astype(str))}, index=names)
    cells = anndata.AnnData(X=digits.data.astype("float32"), obs=obs)
    cells.obsm["X_pca"] = PCA(30, random_state=0).fit_transform(digits.data)
    cells.write_h5ad(path)


def main(argv: list[str] | None = None) -> int:
    """Write the sample and fit it."""
    return run_sample("Cluster an AnnData file.", write, "cells.h5ad", "cells.yaml", argv)


if __name__ == "__main__":
    sys.exit(main())
