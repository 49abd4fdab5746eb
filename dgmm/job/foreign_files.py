"""What others have put where a run's model or outputs go: it gets another name, and stays."""

from __future__ import annotations

import stat

from dgmm.data.transforms.asked_step import residual_place
from dgmm.data.zarr.folder_store import RUN_FILE
from dgmm.data.zarr.format_versions import METADATA, group_attributes
from dgmm.delivery.anomaly_table import ANOMALIES, FILES
from dgmm.ingest.prepared_arrays import PREPARED_ARRAYS
from dgmm.job.previous_attempts import UNFINISHED
from dgmm.job.products import MODEL, MODEL_FILES, PREPARED, set_aside
from dgmm.model.classifier_files import CLASSIFIER_FILE, is_model_folder
from dgmm.scoring.output_registry import ROW_OUTPUTS
from dgmm.storage.folders import Folder


def foreign_set_aside(folder: Folder, name: str) -> list[str]:
    """Give a folder that a product is about to replace another name, if not all in it is dgmm's.

    Returns
    -------
    list of str
        What to say of it.
    """
    if not _is_foreign(folder, name):
        return []
    aside = set_aside(folder, name)
    return [f"{name} held files that dgmm has not written: it is now {aside}, with all of them"]


def _is_foreign(folder: Folder, name: str) -> bool:
    """Whether something is there that is no link and not wholly dgmm's."""
    if not folder.holds_folder(name):
        return folder.holds(name) and not stat.S_ISLNK(folder.status(name).st_mode)
    with folder.folder(name) as held:
        names = {n for n in held.names() if not UNFINISHED.fullmatch(n)}
        if name == MODEL:
            return not names <= {*MODEL_FILES, CLASSIFIER_FILE, *filter(is_model_folder, names)}
        if name == ANOMALIES:
            return not names <= set(FILES)
        arrays = PREPARED_ARRAYS if name == PREPARED else ROW_OUTPUTS.names()
        residuals = {n for n in names if residual_place(n) is not None}
        own = {*METADATA, ".zmetadata", RUN_FILE, *arrays, *residuals}
        is_ours = group_attributes(held).get("written_by") == "dgmm"
        return not names <= own or bool(names and not is_ours)
