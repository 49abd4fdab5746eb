"""The page itself: sections through a template, written aside and renamed."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from dgmm.errors import OutputFailedError
from dgmm.execution.blas import limited_thread
from dgmm.persistence import write_bytes, write_text
from dgmm.report.headline import headline
from dgmm.report.picture import Picture, drawing
from dgmm.report.run_record import RunRecord
from dgmm.report.sections import Section, sections
from dgmm.version import __version__


@limited_thread()
def write_report(run_directory: Path) -> Path:
    """Write `report.html` and the figures in `report/` from what a run directory holds.

    Anything but run.json may be absent; what a run cannot show is named at the end of the page.

    Parameters
    ----------
    run_directory : Path
        As `dgmm run` or `dgmm predict` left it.

    Returns
    -------
    report : Path
        The page: one file, no script, no reference to anything outside it.

    Raises
    ------
    ReportUnavailableError
        Where Matplotlib does not import.
    InputNotFoundError, DataError
        Where run.json, the model, the sample or an output cannot be read.
    OutputFailedError
        Where the page or a figure cannot be written.
    """
    directory = Path(run_directory)
    record = RunRecord.open(directory)
    with drawing():
        drawn = sections(record)
    _write_pictures(directory / "report", [p for section in drawn for p in section.pictures])
    page = directory / "report.html"
    write_text(page, _html(record, drawn))
    return page


def _write_pictures(folder: Path, pictures: list[Picture]) -> None:
    try:
        folder.mkdir(exist_ok=True)
        # A figure of an earlier report that this one lacks would be taken for its own.
        for stale in set(folder.glob("*.png")) - {folder / f"{p.name}.png" for p in pictures}:
            stale.unlink()
    except OSError as error:
        raise OutputFailedError(
            f"{folder}: cannot be written ({error.strerror or error}). "
            "Make the run directory writable and run `dgmm report` again."
        ) from error
    for picture in pictures:
        write_bytes(folder / f"{picture.name}.png", picture.png)


def _html(record: RunRecord, drawn: list[Section]) -> str:
    environment = Environment(
        loader=PackageLoader("dgmm.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    style = _source(environment, "report.css")
    return environment.get_template("report.html").render(
        headline=headline(record),
        sections=[section for section in drawn if not section.is_empty],
        absent=[absent for section in drawn for absent in section.absent],
        style=style,
        style_hash=_style_hash(style),
        version=__version__,
    )


def _source(environment: Environment, name: str) -> str:
    loader = environment.loader
    if loader is None:
        raise RuntimeError("the template environment has a loader by construction")
    return loader.get_source(environment, name)[0]


def _style_hash(style: str) -> str:
    """What lets the page's own style through its Content-Security-Policy, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
