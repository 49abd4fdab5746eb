"""The page in headless Chromium: silent, alone, wide enough for a phone, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
#: What is wider than the window, the boxes that scroll on their own left out.
TOO_WIDE = """
[...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.scroll, .card, pre, .skip'))
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(e => e.tagName + '.' + e.className)
"""
LUMINANCE = """
(element, what) => {
  const [r, g, b] = getComputedStyle(element)[what].match(/[0-9.]+/g).map(Number);
  return (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
}
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = Browser()
    yield found
    found.close()


@pytest.fixture(scope="module", params=["hostile_run", "image_run"])
def page(request: pytest.FixtureRequest) -> Path:
    return Path(request.getfixturevalue(request.param)) / "report.html"


def test_a_page_is_silent_and_asks_for_nothing_but_itself(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.value("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert browser.said(*COMPLAINTS) == []
    asked = [found["request"]["url"] for found in browser.said("Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [page.resolve().as_uri()]
    assert browser.value("document.querySelectorAll('svg image').length") >= 3


def test_markup_in_names_is_text_and_nothing_runs(browser: Browser, hostile_run: Path) -> None:
    browser.open(hostile_run / "report.html")
    text = browser.value("document.body.textContent")
    assert "<img src=x onerror=alert(1)>" in text
    assert "<script>alert('warning')</script>" in text
    assert browser.value("document.querySelectorAll('script, img').length") == 0
    labels = browser.value("[...document.querySelectorAll('svg text')].map(t => t.textContent)")
    assert any(label.startswith("</script><i") for label in labels)


def test_a_script_that_got_into_a_page_would_not_run(browser: Browser, tmp_path: Path,
                                                     hostile_run: Path) -> None:  # fmt: skip
    text = (hostile_run / "report.html").read_text()
    (tmp_path / "page.html").write_text(text.replace("<main", "<script>var ran = 1</script><main"))
    browser.open(tmp_path / "page.html")
    assert browser.value("typeof ran") == "undefined"
    assert any("Content Security Policy" in entry["entry"]["text"]
               for entry in browser.said("Log.entryAdded"))  # fmt: skip


@pytest.mark.parametrize("width", [360, 820, 1280])
def test_a_page_does_not_scroll_sideways(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    browser.value("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    wide, view = browser.value(
        "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert wide == view > width - 20, browser.value(TOO_WIDE)  # an upright scroll bar takes 15
    assert browser.value(TOO_WIDE) == []
    assert browser.value("document.querySelector('.card').scrollWidth") >= width / 2


def test_long_texts_have_room_on_a_phone(browser: Browser, hostile_run: Path) -> None:
    """The last column of texts: its box scrolls, so that lines need not be of a few letters."""
    browser.open(hostile_run / "report.html", width=360)
    sums = "[...document.querySelectorAll('td')].find(e => /^[0-9a-f]{64}$/.test(e.textContent))"
    width, height = browser.value(f"(e => [e.offsetWidth, e.offsetHeight])({sums})")
    assert width > 250
    assert height < 100


def test_the_job_is_closed_until_it_is_asked_for(browser: Browser, hostile_run: Path) -> None:
    browser.open(hostile_run / "report.html")
    assert browser.value("document.querySelectorAll('details[open]').length") == 0


def test_figures_are_dark_where_the_reader_wants_that(browser: Browser, page: Path) -> None:
    found = {}
    for dark in (False, True):
        browser.open(page, dark=dark)
        found[dark] = [
            browser.value(f"({LUMINANCE})(document.querySelector({one!r}), {what!r})")
            for one, what in (
                ("body", "backgroundColor"),
                (".card", "backgroundColor"),
                ("#convergence svg text", "fill"),
                ("#convergence svg .axis", "stroke"),
            )
        ]
    for ground in (0, 1):
        assert found[False][ground] > 0.9
        assert found[True][ground] < 0.2
    # Letters stand out from their ground either way: at least half of the range between them.
    for dark in (False, True):
        assert abs(found[dark][2] - found[dark][1]) > 0.5
        assert abs(found[dark][3] - found[dark][1]) > 0.3


def test_print_is_black_on_white_with_all_numbers(browser: Browser, page: Path) -> None:
    browser.open(page, width=720, dark=True, media="print")
    assert browser.value(f"({LUMINANCE})(document.body, 'backgroundColor')") > 0.9
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    shown = "document.querySelector('details td').getBoundingClientRect().height"
    assert browser.value(shown) > 0
    # A page of A4 between its margins: what is wider would be cut off.
    assert browser.value("document.documentElement.scrollWidth") <= 720


def test_the_tab_key_reaches_the_skip_link_and_then_every_box_that_scrolls(
    browser: Browser, hostile_run: Path
) -> None:
    browser.open(hostile_run / "report.html")
    reached: list[str] = []
    while reached.count("skip|A") < 2 and len(reached) < 200:
        for kind in ("rawKeyDown", "keyUp"):
            browser.call(
                "Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9
            )
        element = "document.activeElement"
        reached.append(browser.value(f"{element}.className + '|' + {element}.tagName"))
        if reached[-1] in {"card|DIV", "scroll|DIV"}:
            assert browser.value(f"getComputedStyle({element}).outlineStyle") == "solid"
    assert reached[0] == "skip|A"
    assert reached.count("card|DIV") == browser.value("document.querySelectorAll('.card').length")
    shown = "[...document.querySelectorAll('.scroll')].filter(e => e.checkVisibility()).length"
    assert reached.count("scroll|DIV") == browser.value(shown)
