from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from page_reading import Page

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


def test_every_figure_has_a_caption_an_alternative_text_and_its_own_file(
    hostile_run: Path, hostile_page: Page
) -> None:
    images = hostile_page.attributes("img")
    captions = [tag for tag, _ in hostile_page.tags if tag == "figcaption"]
    assert len(images) == len(captions) >= 9
    assert all(image["alt"] for image in images)
    embedded = {base64.b64decode((image["src"] or "").partition(",")[2]) for image in images}
    assert embedded == {path.read_bytes() for path in (hostile_run / "report").glob("*.png")}


def test_no_number_has_more_digits_than_a_reader_wants(hostile_page: Page) -> None:
    assert "−3.141593" in hostile_page.text
    assert "1,234,568" in hostile_page.text
    shown = hostile_page.text.replace("0.1.0", "")
    assert not re.search(r"\d\.\d{9,}", shown)


def test_writing_twice_gives_the_same_page_and_removes_figures_of_before(
    hostile_run: Path,
) -> None:
    from dgmm.report import write_report

    before = (hostile_run / "report.html").read_bytes()
    (hostile_run / "report" / "label-maps.png").write_bytes(b"stale")
    assert write_report(hostile_run) == hostile_run / "report.html"
    assert (hostile_run / "report.html").read_bytes() == before
    assert not (hostile_run / "report" / "label-maps.png").exists()
    assert not list(hostile_run.glob(".*tmp"))
