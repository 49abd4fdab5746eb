from __future__ import annotations

import base64
import hashlib
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import fabricated_runs
import pytest
from page_reading import Page

from dgmm.report import write_report

URL_ATTRIBUTES = {"src", "href", "srcset", "action", "data", "poster", "xlink:href", "background"}


def test_a_page_refers_to_nothing_outside_itself(hostile_page: Page) -> None:
    for tag, attributes in hostile_page.tags:
        for name in URL_ATTRIBUTES & attributes.keys():
            assert (attributes[name] or "").startswith(("data:image/png;base64,", "#")), tag
    assert not re.search(r"url\(|@import|http", hostile_page.style)


def test_a_page_has_no_script_and_no_event_handler(hostile_page: Page) -> None:
    assert not {"script", "iframe", "object", "embed", "link", "base", "form"} & {
        tag for tag, _ in hostile_page.tags
    }
    assert not [name for _, a in hostile_page.tags for name in a if name.startswith("on")]
    assert not [tag for tag, attributes in hostile_page.tags if "style" in attributes]


def test_the_security_policy_lets_through_this_style_only(hostile_page: Page) -> None:
    (policy,) = [
        a["content"] for a in hostile_page.attributes("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    ]  # fmt: skip
    digest = base64.b64encode(hashlib.sha256(hostile_page.style.encode()).digest()).decode()
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_markup_in_names_and_messages_is_shown_literally(hostile_page: Page) -> None:
    for literal in (
        "<script>alert('warning')</script>",
        "<img src=http://example.com/x.png>",
        "$x^2$",
        "{{ 7 * 7 }}",
    ):
        assert literal in hostile_page.text


def test_no_control_character_and_no_endless_name_reaches_a_page(hostile_page: Page) -> None:
    assert "\x1b" not in hostile_page.source
    assert max(map(len, re.findall("a+", hostile_page.text))) < 100


def test_every_link_of_the_contents_leads_to_a_heading(hostile_page: Page) -> None:
    ids = [a["id"] for _, a in hostile_page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    targets = {(a["href"] or "")[1:] for a in hostile_page.attributes("a")}
    assert targets <= set(ids)
    assert {"top", "fit", "components", "separation", "scores", "run"} <= targets


def test_every_figure_has_a_caption_an_alternative_text_its_numbers_and_its_own_file(
    hostile_run: Path, hostile_page: Page
) -> None:
    figures = hostile_page.attributes("figure")
    drawings = [a for a in hostile_page.attributes("svg") if a.get("role") == "img"]
    counts = [sum(tag == name for tag, _ in hostile_page.tags) for name in ("figcaption", "figure")]
    assert len(drawings) == len(figures) == counts[0] == counts[1] >= 9
    assert all(drawing["aria-label"] for drawing in drawings)
    summaries = [text for text in hostile_page.texts if text.startswith("Numbers: ")]
    assert len(summaries) == len(figures)
    assert {f"{a['id']}.svg" for a in figures} == {
        path.name for path in (hostile_run / "report").iterdir()
    }


def test_a_figure_is_an_svg_file_of_its_own_without_script_or_reference(hostile_run: Path) -> None:
    for path in (hostile_run / "report").iterdir():
        tree = ET.parse(path)  # noqa: S314 - our own file
        assert tree.getroot().tag == "{http://www.w3.org/2000/svg}svg", path
        for element in tree.iter():
            assert element.tag.rpartition("}")[2] not in {"script", "a", "foreignObject", "use"}
            assert not [name for name in element.attrib if name.startswith("on")]
            href = element.get("href", "data:image/png;base64,")
            assert href.startswith("data:image/png;base64,")


def test_headings_go_down_one_level_at_a_time(hostile_page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in hostile_page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_a_page_is_for_keyboards_and_screen_readers(hostile_page: Page) -> None:
    assert hostile_page.attributes("html") == [{"lang": "en"}]
    assert len(hostile_page.attributes("main")) == 1
    (navigation,) = hostile_page.attributes("nav")
    assert navigation["aria-label"]
    first = next(a for tag, a in hostile_page.tags if tag == "a")
    assert (first["class"], first["href"]) == ("skip", "#top")
    for box in hostile_page.attributes("div"):
        if box.get("class") in {"scroll", "card"}:
            assert (box["tabindex"], box["role"]) == ("0", "region")
            assert box["aria-label"]
    assert {a["scope"] for a in hostile_page.attributes("th")} == {"col", "row"}
    assert "viewport" in {a.get("name") for a in hostile_page.attributes("meta")}
    assert ":focus-visible" in hostile_page.style


def test_a_page_is_small(hostile_run: Path, image_run: Path) -> None:
    for run in (hostile_run, image_run):
        assert (run / "report.html").stat().st_size < 3e6


def test_the_page_of_4096_components_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing on it grows with their square, and tables, bars and ellipses end somewhere."""
    k, model = 4096, fabricated_runs.mixture(4096, 3)
    log = [
        {"iteration": 1 + j % 9, "restart": 0, "component": j, "kind": "regularised"}
        | {"message": f"component {j} of {k}: regularisation is more than 1 % of an eigenvalue"}
        for j in range(k)
    ]
    # As a run leaves it: no overlaps of more than 1,024 components.
    monkeypatch.setattr(fabricated_runs, "sample_of", lambda _, rows: {"rows": rows})
    counts = {"component_log": log, "label_counts": [1] * k}
    run = fabricated_runs.run_directory(tmp_path / "run", model, 500, 400, **counts)
    page = write_report(run)
    assert page.stat().st_size < 1.5e6
    assert (run / "report.json").stat().st_size < 200 * k
    assert sum(file.stat().st_size for file in (run / "report").iterdir()) < 2e6
    assert "4,096" in Page(page).text


def test_no_number_has_more_digits_than_a_reader_wants(hostile_page: Page) -> None:
    assert "−3.141593" in hostile_page.text
    assert "1,234,568" in hostile_page.text
    shown = hostile_page.text.replace("0.1.0", "")
    assert not re.search(r"\d\.\d{9,}", shown)


def test_writing_twice_gives_the_same_page_and_removes_figures_of_before(
    hostile_run: Path,
) -> None:
    before = (hostile_run / "report.html").read_bytes()
    (hostile_run / "report" / "label-maps.png").write_bytes(b"stale")
    (hostile_run / "report" / "label-maps.svg").write_bytes(b"stale")
    assert write_report(hostile_run) == hostile_run / "report.html"
    assert (hostile_run / "report.html").read_bytes() == before
    assert not list((hostile_run / "report").glob("label-maps.*"))
    assert not list(hostile_run.glob(".*tmp"))
