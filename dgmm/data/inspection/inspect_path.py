"""A path described as comments, followed by a job file that runs on it as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from dgmm.data.inspection.descriptions import describe
from dgmm.data.inspection.job_text import comment, job_lines, rows_in_words
from dgmm.data.inspection.quick_look import QuickLook, quick_look
from dgmm.data.inspection.suggestion import Description, Suggestion
from dgmm.data.sources.content_kinds import content_of
from dgmm.data.sources.named_paths import expanded
from dgmm.errors import DataError, DgmmError

#: Suggestions that are opened at most, until one can be.
_MOST_TRIED = 12


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found.

    Attributes
    ----------
    text : str
        YAML: description as comments, and the job where there is one.
    why_not : str
        Why there is no job; empty where there is one.
    """

    text: str
    why_not: str = ""


def inspect_path(path: str) -> Inspection:
    """Describe what lies at a path, and write a job for it.

    Parameters
    ----------
    path : str
        A file, a folder, or a pattern of files, as a job's `data.path` takes it; the job repeats
        it as it stands.

    Raises
    ------
    DataError
        If it is of no kind that is read, or damaged.
    DataNotFoundError
        If there is nothing.
    UnavailableError
        If the library that reads it is not installed.
    """
    absolute = str(Path(path).expanduser().absolute())
    content = content_of(str(expanded(absolute)[0]))
    if content.kind in {"other", "unknown"}:
        raise DataError(f"{path} is {content.words}, which is not read. docs/data.md lists what is")
    described = describe(absolute, content)
    head = comment([f"{path}: {described.title}", *described.lines])
    job, why_not = _job(path, absolute, described)
    return Inspection("\n".join([*head, "#", *job]) + "\n", why_not)


def _job(path: str, absolute: str, described: Description) -> tuple[list[str], str]:
    """The job of the first suggestion that opens; why there is none."""
    reasons = []
    for suggested in described.suggestions[:_MOST_TRIED]:
        try:
            suggestion, look = _opened(suggested, absolute)
        except DgmmError as error:
            reasons.append(str(error))
            continue
        about = comment(["A job that runs as it is: dgmm run FILE", *rows_in_words(look)])
        return [*about, "", *job_lines(path, suggestion, look)], ""
    reasons = reasons or ["nothing in it looks like rows × features of numbers"]
    return comment(f"No job: {reason}" for reason in reasons), reasons[-1]


def _opened(suggested: Suggestion, path: str) -> tuple[Suggestion, QuickLook]:
    """A suggestion that opens, and its rows; chunks that are not stored are read as fill values.

    Writers leave out chunks of NaN alone. `absent_chunks: fill` is suggested where the data need
    it, and never otherwise.
    """
    try:
        return suggested, quick_look(suggested, path)
    except DataError as error:
        if "data.absent_chunks to fill" not in str(error):
            raise
    remark = "chunks that are not stored hold the fill value: see that none was lost"
    filled = replace(
        suggested,
        keys={**suggested.keys, "absent_chunks": "fill"},
        remarks={**suggested.remarks, "absent_chunks": remark},
    )
    return filled, quick_look(filled, path)
