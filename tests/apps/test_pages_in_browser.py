"""Every kind of page in a real browser: on a phone and on a desk, by day and by night."""

import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import Browser, find_browser
from PIL import Image
from torch import Tensor

from cluit.apps import demo, evaluation_set, oracle_page, report, stylemap
from cluit.apps.api import load
from cluit.apps.evaluate import evaluate
from cluit.apps.interpolate import interpolate
from cluit.apps.run_page import CHARTS, write_run_page
from cluit.apps.search import search
from cluit.apps.settings import layered
from cluit.apps.truths import COLUMNS
from cluit.core.images import as_picture
from cluit.data.factors import SPECIES
from cluit.data.portrait_folder import write_folder
from cluit.evaluation.marks import Marks
from cluit.evaluation.oracle import Oracle, save_oracle
from cluit.evaluation.truth import held_out_pairs

PAGES = "demo", "evaluation", "failures", "interpolation", "map", "oracle", "attributes", "run", "search"
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
    """One page of each kind, of pictures and models that are as small as can be."""
    folder = tmp_path_factory.mktemp("pages")
    data, oracle = folder / "data", folder / "oracle"
    write_folder(data, 14, 32, split="test", species_weights={"cat": 1, "dog": 1})
    save_oracle(oracle, Oracle(list(SPECIES), depth=18, width=2, image_size=32), {})
    paths = sorted(data.rglob("*.png"))
    usual: Any = {"device": "cpu", "precision": "float32"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr(evaluation_set, "PORTRAITS_COUNT", 12)
        evaluate(
            tiny_model, "portraits", out=folder / "evaluation", each=2, limit=3, features=["random"],
            oracle=oracle, **usual,
        )  # fmt: skip
    interpolate(
        tiny_model, paths[0], paths[-2:], out=folder / "interpolation", frames=9, features="random",
        animation=folder / "walk.gif", seconds=0.1, **usual,
    )  # fmt: skip
    search(tiny_model, data, [paths[0]], out=folder / "search", k=5, features="random", **usual)
    write_map(folder / "map" / "index.html")
    write_oracle_page(folder / "oracle" / "report.html", several=False)
    write_oracle_page(folder / "attributes" / "report.html", several=True)
    write_run(folder / "run")
    write_demo(folder / "demo" / "index.html", tiny_model)
    special = {
        "failures": "evaluation/worst.html",
        **{k: f"{k}/report.html" for k in ("oracle", "attributes", "run")},
    }
    return {name: folder / special.get(name, f"{name}/index.html") for name in PAGES}


def write_map(path: Path) -> None:
    """One picture amid a ring of others, without the library that lays them out."""
    pictures = [Image.new("RGB", (48, 48), (200, 20 * i, 90)) for i in range(13)]
    ring = [math.tau * i / 12 for i in range(12)]
    places = [(0.0, 0.0), *((math.cos(angle), math.sin(angle)) for angle in ring)]
    record = {
        "settings": {"model": "portraits", "data": str(path.parent), "by": "tsne", "seed": 0},
        "machine": "a machine",
        "classes": ["cat", "dog"],
        "pictures": [{"name": f"{i}.png", "class": i % 2, "x": x, "y": y} for i, (x, y) in enumerate(places)],
        "trustworthiness": 0.9,
        "precision_at_10": {"codes": 0.5, "map": 0.5},
        "seconds": {"codes": 1.0, "layout": 1.0},
    }
    report.write(path, stylemap.document(record, pictures, stylemap.class_colours(2)), record)


def write_oracle_page(path: Path, several: bool) -> None:
    names = (
        "upright ears",
        "whiskers",
        "a background that is warm",
        "glasses",
        "striped",
        "spotted",
        "dark coat",
    )
    counts = torch.randint(1, 1000, (7, 2, 2)) if several else torch.randint(1, 1000, (7, 7))
    marks = Marks(names, counts)
    trials = [{"step": 500 * i, "loss": 1 / i, "marks": marks.record()} for i in range(1, 60)]
    record = {
        "settings": {
            "data": str(path.parent),
            "test": None,
            "seed": 0,
            "image_size": 32,
            "classes": list(names),
        },
        "machine": "a machine",
        "network": "resnet18-width2",
        "pictures": 4000,
        "skipped": {},
        "trials": trials,
        "seconds": {"training": 60.0},
        "pictures_per_second": {"training": 1234.5},
    }
    report.write(path, oracle_page.document(record, marks, marks), record)


def log_lines(scores: dict[str, float]) -> list[dict[str, Any]]:
    """A log of 30,000 steps."""
    steps = range(0, 30_000, 500)
    losses = [{"step": t, "seconds": t / 9, "contrast": 2 + t % 3000 / 1e4, "fool": 1e5 - t} for t in steps]
    return losses + [{"step": t, "seconds": t / 9, **scores} for t in steps[::10]]


def write_run(run: Path) -> None:
    names = {name for _, series in CHARTS.values() for name in series}
    (run / "grids").mkdir(parents=True)
    noise(9 * 32).save(run / "grids" / "step-00029500.png")
    lines = log_lines({name: 0.1 * i for i, name in enumerate(sorted(names))})
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = {"method": "cluit", "data": str(run.parent / "data"), "image_size": 32, "device": "cpu"}
    write_run_page(run, layered(settings), 29_500)


def write_demo(path: Path, model: Path) -> None:
    scores = dict.fromkeys(COLUMNS, 0.5)
    record = {
        "settings": {"run": str(path.parent / "run"), "seed": 0},
        "machine": "a machine",
        "steps": 480,
        "scores": dict.fromkeys(("this run, 480 steps", "return source", "return average"), scores),
        "seconds": {"training": 60.0},
    }
    painter = load(model, device="cpu", precision="float32")
    page = demo.document(record, painter, held_out_pairs(12, 32), log_lines({"realism": 0.1}))
    report.write(path, page, record)


def noise(side: int) -> Image.Image:
    pixels: Tensor = torch.randint(0, 256, (3, side, side), dtype=torch.uint8)
    return as_picture(pixels)


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
    # A search and a walk draw nothing by chance.
    assert name in ("search", "interpolation") or "seed" in twin["settings"]


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
