"""AnnData in memory or backed by a file: its one array as rows × features, else a refusal.

anndata is not imported: its objects are asked for what they have.
"""

from __future__ import annotations

from typing import Any

from dgmm.data.feature_names import feature_names_from, safe_text
from dgmm.data.unsupported_inputs import is_sparse, kind_of, library_of
from dgmm.errors import DataTypeError
from dgmm.terminal_text import listed


def is_annotated(X: Any) -> bool:
    """Whether X is an AnnData."""
    return library_of(X) == "anndata" and type(X).__name__ == "AnnData"


def annotated_rows(X: Any) -> tuple[Any, tuple[str, ...]]:
    """The array of observations × variables, and the variables' names.

    Raises
    ------
    DataTypeError
        If it is sparse or absent, or there are embeddings (`obsm`) beside it.
    DataError
        If two variables have one name.
    """
    embeddings = list(X.obsm.keys())
    values = X.X
    if values is not None and not embeddings and not is_sparse(values) and hasattr(values, "dtype"):
        names = [str(name) for name in X.var_names]
        return values, feature_names_from(names, len(names), "X.var_names")
    what = "no X" if values is None else "a sparse X" if is_sparse(values) else "a dense X"
    found = listed(f"X.obsm[{safe_text(str(name))!r}]" for name in embeddings)
    remedy = f"give one of its arrays: {found}" if embeddings else "X.X.toarray() is a dense array"
    raise DataTypeError(
        f"X is {kind_of(X)} with {what} and {len(embeddings)} embeddings (obsm); expected one "
        f"array of rows × features: {remedy}{', or X.X' if values is not None else ''}. "
        "X.obs['label'] = labels takes results back"
    )
