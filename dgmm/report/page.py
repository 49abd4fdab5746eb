"""The page and report.json: the same sections as text and as numbers."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from dgmm.errors import InputNotFoundError, OutputFailedError
from dgmm.report.figure import ReportFigure
from dgmm.report.formatting import value_of
from dgmm.report.overview import Overview, overview
from dgmm.report.run_data import RunRecord
from dgmm.report.section import Section
from dgmm.report.sections import sections
from dgmm.runtime.blas_threads import limited_thread
from dgmm.storage.atomic_files import reason, write_json, write_text
from dgmm.storage.folders import Folder
from dgmm.version import __version__

PAGE, NUMBERS = "report.html", "report.json"
#: Of the form of report.json.
_SCHEMA_VERSION = 1


@limited_thread()
def write_report(run_directory: str | Path | Folder) -> Path:
    """Write `report.html`, `report.json` and the figures in `report/` of a run directory.

    Anything but run.json may be absent; what a run cannot show is named at the end of the page.

    Parameters
    ----------
    run_directory : str, Path or Folder
        As `dgmm run` or `dgmm predict` left it. Where it is held open, the page is written there,
        whatever becomes of its path.

    Returns
    -------
    report : Path
        The page: one file, no script, no reference to anything outside it.

    Raises
    ------
    InputNotFoundError, DataError
        Where run.json, the model, the sample or an output cannot be read.
    OutputFailedError
        Where the page or a figure cannot be written.
    """
    if not isinstance(run_directory, Folder):
        with _opened(Path(run_directory)) as folder:
            return write_report(folder)
    record = RunRecord.open(run_directory.path)
    drawn = sections(record)
    _write_figures(run_directory, [p for section in drawn for p in section.figures])
    about = overview(record)
    write_json(run_directory / NUMBERS, _numbers(about, drawn))
    # Last: where the page is there, everything is.
    write_text(run_directory / PAGE, _html(about, drawn))
    return run_directory.path / PAGE


def _opened(directory: Path) -> Folder:
    try:
        return Folder(directory, follow=True)
    except FileNotFoundError as error:
        raise InputNotFoundError(f"there is no run directory {directory}") from error
    except OSError as error:
        raise _cannot(directory, error) from error


def _write_figures(place: Folder, figures: list[ReportFigure]) -> None:
    try:
        folder = place.folder_made("report")
    except OSError as error:
        raise _cannot(place / "report", error) from error
    with folder:
        # A figure of an earlier report that this one lacks would be taken for its own.
        for name in set(folder.names()) - {f"{p.name}.svg" for p in figures}:
            if name.endswith((".svg", ".png")):  # earlier versions drew PNG files
                folder.remove(name)
        style = _sheets("theme.css", "figure.css")
        for figure in figures:
            write_text(folder / f"{figure.name}.svg", figure.file(style))


def _cannot(path: object, error: OSError) -> OutputFailedError:
    return OutputFailedError(
        f"{path}: cannot be written ({reason(error)}). Make the run directory writable, remove "
        "what is in the way, and run `dgmm report` again."
    )


def _numbers(about: Overview, drawn: list[Section]) -> dict[str, Any]:
    """report.json: what the page shows, in the same order, numbers unrounded."""
    return {
        "schema_version": _SCHEMA_VERSION,
        "dgmm_version": __version__,
        "title": about.title,
        "verdict": about.verdict,
        "summary": {name: value_of(text) for name, text in (*about.figures, *about.facts)},
        "warnings": about.warnings,
        "sections": [section.record for section in drawn if not section.is_empty],
        "omitted": [
            {"title": figure.title, "reason": figure.reason}
            for section in drawn
            for figure in section.omitted
        ],
    }


def _html(about: Overview, drawn: list[Section]) -> str:
    style = _sheets("theme.css", "figure.css", "report.css")
    return (
        _environment()
        .get_template("report.html")
        .render(
            overview=about,
            sections=[section for section in drawn if not section.is_empty],
            omitted=[figure for section in drawn for figure in section.omitted],
            style=style,
            style_hash=_style_hash(style),
            version=__version__,
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("dgmm.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _sheets(*names: str) -> str:
    """Style sheets, one after the other."""
    environment = _environment()
    loader = environment.loader
    if loader is None:
        raise RuntimeError("the template environment has a loader by construction")
    return "".join(loader.get_source(environment, name)[0] for name in names)


def _style_hash(style: str) -> str:
    """What lets the page's own style through its Content-Security-Policy, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
