"""How Sphinx builds the site (`make docs`): Markdown by MyST, docstrings by numpydoc."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import reference_pages

import dgmm

project = "dgmm"
author = "the dgmm developers"
copyright = f"2026, {author}"  # noqa: A001 - Sphinx's name for it
version = release = dgmm.__version__
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 4  # `page.md#a-heading`, as a forge names headings

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc sections say types and shapes
autosummary_generate = False  # numpydoc loads it
numpydoc_show_class_members = False  # autodoc lists them already
python_use_unqualified_type_names = True

html_theme = "pydata_sphinx_theme"
html_title = f"dgmm {release}"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_end": [],
}


def _fill(_: object, document: str, source: list[str]) -> None:
    """Put generated parts in place, and keep links to pages of the root within the site."""
    text = source[0] if document.startswith("site/") else reference_pages.document(source[0])
    source[0] = reference_pages.filled(text)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
