"""Every kind of page in a real browser: on a phone and on a desk, by day and by night."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Browser, find_browser
from every_page import PAGES, write_every_page
from PIL import Image

from cluit.apps import report

SCREENS = {"phone": (390, 844), "desk": (1200, 800)}
LEAST_CONTRAST = 4.5  # of text, as the Web Content Accessibility Guidelines (2.2, 1.4.3) ask
LEAST_PICTURE = 60  # pixels across
LEAST_LETTER = 10.0  # pixels, of a chart's labels on a phone

DRAWN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
LOOK = Path(__file__).with_name("look.js").read_text()


@dataclass(frozen=True)
class View:
    """A page as it is seen on one screen in one of the user's preferred colours."""

    name: str
    page: Path
    screen: str
    dark: bool
    seen: dict[str, Any]
    """What `LOOK` has measured."""
    pixels: np.ndarray
    """(H, W, 3) uint8, the screenshot."""
    complaints: list[str]
    addresses: list[str]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("no chromium or chrome is installed: pages are not looked at")
    with Browser(program, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> dict[str, Path]:
    return write_every_page(tmp_path_factory.mktemp("pages"), tiny_model)


SEEN = [(name, screen, dark) for name in PAGES for screen in SCREENS for dark in (False, True)]


@pytest.fixture(
    scope="module", params=SEEN, ids=lambda one: f"{one[0]}-{one[1]}-{'dark' if one[2] else 'light'}"
)
def view(request: pytest.FixtureRequest, browser: Browser, pages: dict[str, Path]) -> View:
    name, screen, dark = request.param
    width, height = SCREENS[screen]
    browser.open(pages[name], width, height, dark=dark)
    browser.evaluate(DRAWN)
    seen = browser.evaluate(LOOK.replace("WIDTH", str(width)))
    with Image.open(io.BytesIO(browser.screenshot())) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return View(name, pages[name], screen, dark, seen, pixels, browser.complaints(), browser.addresses())


def test_a_page_is_drawn_in_the_colours_that_the_user_prefers(view: View) -> None:
    ground, ink = np.median(view.pixels), np.percentile(view.pixels, (0.5, 99.5))
    assert ground < 60 if view.dark else ground > 240
    assert ink[1] - ink[0] > 130  # not blank
    assert (view.pixels[:4] == view.pixels[0, 0]).all()  # up to the border, where browsers begin


def test_a_page_is_no_wider_than_the_screen(view: View) -> None:
    assert view.seen["wide"] <= SCREENS[view.screen][0]
    assert view.seen["sticking_out"] == []
    assert view.seen["cut"] == []


def test_text_stands_out_from_its_ground(view: View) -> None:
    assert len(view.seen["words"]) > 10
    assert [word for word in view.seen["words"] if word["contrast"] < LEAST_CONTRAST] == []


def test_labels_of_charts_are_large_enough_whole_and_apart(view: View) -> None:
    assert [word for word in view.seen["words"] if word["letter"] < LEAST_LETTER] == []
    assert view.seen["outside"] == []
    assert view.seen["crowded"] == []
    assert max(view.seen["charts"], default=0) <= 480  # a chart alone is no poster


def test_every_picture_is_there_and_has_words(view: View) -> None:
    assert all(one["pixels"] > 0 for one in view.seen["pictures"])
    assert all(
        one["hidden"] or (one["alt"] and one["width"] >= LEAST_PICTURE) for one in view.seen["pictures"]
    )


def test_headings_go_down_one_at_a_time(view: View) -> None:
    levels = view.seen["headings"]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_nothing_is_fetched_and_nothing_complained_of(view: View) -> None:
    assert view.complaints == []
    assert view.page.as_uri() in view.addresses
    assert [one for one in view.addresses if not one.startswith("data:")] == [view.page.as_uri()]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_tells_no_path_of_its_machine(pages: dict[str, Path], name: str) -> None:
    assert str(pages[name].parents[1]) not in pages[name].read_text()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_has_a_twin_with_settings_versions_and_timings(pages: dict[str, Path], name: str) -> None:
    twin = json.loads(pages[name].with_suffix(".json").read_text())
    assert {"settings", "versions", "written", "machine"} <= twin.keys()
    assert twin.get("seconds") or twin["timings"]
    # A search, a walk and a list of clusters draw nothing by chance.
    assert name in ("clusters", "search", "interpolation") or "seed" in twin["settings"]


def test_a_page_cannot_fetch_even_what_it_names(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(b"")
    picture = report.Html('<img alt="a" src="http://127.0.0.1:9/a.png"><img alt="b" src="secret.png">')
    report.write(tmp_path / "index.html", report.page("A page", "a lead", picture), {})
    browser.open(tmp_path / "index.html", *SCREENS["desk"], dark=False)
    refused = [one for one in browser.complaints() if "Content Security Policy" in one]
    assert len(refused) == 2


def open_map(browser: Browser, page: Path, screen: str) -> tuple[float, float]:
    """The middle of the map on the screen, where its first picture is, once it is drawn."""
    browser.open(page, *SCREENS[screen], dark=False)
    browser.evaluate("document.getElementById('map').scrollIntoView()")
    browser.evaluate(DRAWN)
    x, y = browser.evaluate(
        "(({left, top, width, height}) => [left + width / 2, top + height / 2])"
        "(document.getElementById('map').getBoundingClientRect())"
    )
    return x, y


def caption(browser: Browser) -> str:
    return str(browser.evaluate("document.getElementById('name').textContent"))


def drawing(browser: Browser) -> str:
    return str(browser.evaluate("document.getElementById('map').toDataURL()"))


def test_a_tap_on_the_map_names_a_picture_and_two_fingers_enlarge_it(
    browser: Browser, pages: dict[str, Path]
) -> None:
    x, y = open_map(browser, pages["map"], "phone")
    assert caption(browser).startswith("Point at")
    touch(browser, "touchStart", (x, y))
    touch(browser, "touchEnd")
    assert caption(browser) == "0.png"
    before = drawing(browser)
    touch(browser, "touchStart", (x - 30, y), (x + 30, y))
    touch(browser, "touchMove", (x - 70, y), (x + 70, y))
    touch(browser, "touchEnd")
    assert drawing(browser) != before
    assert browser.evaluate("visualViewport.scale") == 1  # the map, not the page


def touch(browser: Browser, kind: str, *points: tuple[float, float]) -> None:
    fingers = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
    browser.ask("Input.dispatchTouchEvent", type=kind, touchPoints=fingers)


def test_pointing_wheel_and_buttons_work_on_the_map(browser: Browser, pages: dict[str, Path]) -> None:
    x, y = open_map(browser, pages["map"], "desk")
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert caption(browser) == "0.png"
    browser.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x + 100, y=y)
    assert caption(browser).startswith("Point at")
    whole = drawing(browser)
    browser.ask("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=-300)
    assert drawing(browser) != whole
    browser.evaluate("document.querySelector('[aria-label=\"whole map\"]').click()")
    assert drawing(browser) == whole
    browser.evaluate("document.querySelector('[data-class=\"1\"]').click()")
    assert drawing(browser) != whole
    browser.evaluate("document.querySelector('[data-class=\"1\"]').click()")
    assert drawing(browser) == whole
