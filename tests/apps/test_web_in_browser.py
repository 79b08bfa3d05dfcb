"""The real page, of the shipped model, in a real browser; and the same as an API."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import Browser, find_browser
from PIL import Image, ImageChops

import cluit
from cluit.core.images import as_picture
from cluit.data.portraits import Portraits

if find_spec("gradio") is None:  # the command alone needs it; to import it takes seconds
    pytest.skip("gradio is not installed (cluit[app])", allow_module_level=True)

SCREENS = {"phone": (390, 844), "desk": (1280, 900)}
PATIENCE = 90  # seconds for what takes one or two: a start on a busy core takes some
MADE = "[...document.querySelectorAll('.made img')].filter(e => e.naturalWidth).map(e => e.src)"
SOURCES, REFERENCES = 0, 1  # the two places to drop pictures, from top to bottom


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Portraits that the page does not offer, and files that it cannot use."""
    folder = tmp_path_factory.mktemp("uploads")
    portraits = Portraits(3, 64, seed=5)
    for name, pixels in zip(("source", "reference", "second"), portraits.batch(range(3)), strict=True):
        as_picture(pixels).save(folder / f"{name}.png")
    (folder / "fake.png").write_text("no picture")
    (folder / "notes.txt").write_text("no picture either")
    as_picture(torch.randint(0, 256, (3, 400, 400), dtype=torch.uint8)).save(folder / "heavy.png")
    Image.new("RGB", (700, 700)).save(folder / "wide.png")
    return folder


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server keeps what it needs while it runs."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def address(scratch: Path) -> Iterator[str]:
    """The page, served by the command. Terminated, it leaves nothing."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = f"app --port {port} --device cpu --precision float32 --megabytes 0.3 --megapixels 0.3"
    server = subprocess.Popen(
        [sys.executable, "-m", "cluit", *words.split()],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"},
    )
    try:
        yield told_address(server)
        server.send_signal(signal.SIGTERM)
        assert server.wait(PATIENCE) == 128 + signal.SIGTERM
        assert list(scratch.iterdir()) == []
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def told_address(server: subprocess.Popen[str]) -> str:
    """What the command says once the page is there."""
    late = threading.Timer(PATIENCE, server.kill)
    late.start()
    assert server.stdout is not None
    lines = list[str]()
    for line in server.stdout:
        lines.append(line)
        if "the page is at" in line:
            late.cancel()
            return line.split()[4]
    raise AssertionError(f"the page was not served: {lines}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip("no chromium or chrome is installed: the page is not looked at")
    with Browser(program, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def wait(browser: Browser, expression: str, seconds: float = PATIENCE) -> Any:
    """The first value of JavaScript that counts as true."""
    latest = time.monotonic() + seconds
    while not (value := browser.evaluate(expression)):
        assert time.monotonic() < latest, f"never: {expression}"
        time.sleep(0.1)
    return value


def open_page(browser: Browser, address: str, screen: str) -> list[str]:
    """The addresses of the translations that the page opens with."""
    browser.open("about:blank", *SCREENS[screen], dark=False)  # whatever the page before still says
    browser.open(address, *SCREENS[screen], dark=False)
    return list(wait(browser, f"{MADE}.length && {MADE}"))


def wait_for_another(browser: Browser, before: list[str]) -> None:
    """Until the page shows one translation, and not that from before."""
    wait(browser, f"{MADE}.length === 1 && !{json.dumps(before)}.includes({MADE}[0])")


def upload(browser: Browser, place: int, *files: Path) -> None:
    wait(browser, f"document.querySelectorAll('.chosen')[{place}].querySelector('input[type=file]') !== null")
    root = browser.ask("DOM.getDocument", depth=0)["root"]["nodeId"]
    places = browser.ask("DOM.querySelectorAll", nodeId=root, selector=".chosen")["nodeIds"]
    field = browser.ask("DOM.querySelector", nodeId=places[place], selector="input[type=file]")["nodeId"]
    browser.ask("DOM.setFileInputFiles", nodeId=field, files=list(map(str, files)))


def clear(browser: Browser, place: int) -> None:
    button = f"document.querySelectorAll('.chosen')[{place}].querySelector('button[aria-label=Clear]')"
    wait(browser, button + " !== null")
    browser.evaluate(button + ".click()")
    wait(browser, f"!document.querySelectorAll('.chosen')[{place}].querySelector('img')")


def press(browser: Browser, words: str, kind: str = "button") -> None:
    button = (
        f"[...document.querySelectorAll('{kind}')].find(e => e.textContent.trim() === {json.dumps(words)})"
    )
    wait(browser, f"{button} !== undefined")
    browser.evaluate(f"{button}.click()")


def slide(browser: Browser, value: float) -> None:
    browser.evaluate(
        "(e => { e.value = VALUE; e.dispatchEvent(new Event('input', {bubbles: true})); "
        "e.dispatchEvent(new Event('pointerup', {bubbles: true})); })"
        "(document.querySelector('#strength input[type=range]'))".replace("VALUE", str(value))
    )


def download(browser: Browser, folder: Path) -> Image.Image:
    """What the page's own button gives, once there is something: until then it does nothing."""
    folder.mkdir(parents=True)
    browser.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    latest = time.monotonic() + PATIENCE
    while not (found := list(folder.glob("*.png"))):
        assert time.monotonic() < latest, "nothing was downloaded"
        press(browser, "Download")
        time.sleep(1)
    with Image.open(found[0]) as picture:
        return picture.convert("RGB")


def alike(a: Image.Image, b: Image.Image) -> bool:
    """The same but for rounding: the server and this process may divide the work otherwise."""
    return a.size == b.size and bool(np.asarray(ImageChops.difference(a, b)).max() <= 2)


def wait_for_download(browser: Browser, folder: Path, expected: Image.Image) -> None:
    """Until the button gives this picture. Gradio may ask twice, so that a new one need not be the latest."""
    latest = time.monotonic() + PATIENCE
    tries = itertools.count()
    while not alike(download(browser, folder / str(next(tries))), expected):
        assert time.monotonic() < latest, f"what was downloaded is another picture, see {folder}"


def test_upload_translate_slide_and_download(
    browser: Browser, address: str, uploads: Path, tmp_path: Path
) -> None:
    model = cluit.load("portraits", device="cpu", precision="float32")
    source, reference = uploads / "source.png", uploads / "reference.png"
    open_page(browser, address, "desk")
    for place, file in ((SOURCES, source), (REFERENCES, reference)):
        clear(browser, place)
        upload(browser, place, file)
    wait_for_download(browser, tmp_path / "whole", model.translate(source, reference))
    slide(browser, 0)
    wait_for_download(browser, tmp_path / "own", model.translate(source, source))
    upload(browser, SOURCES, uploads / "second.png")
    wait(browser, f"{MADE}.length === 2")


def test_a_wrong_file_is_told_of_in_one_sentence_and_left_out(
    browser: Browser, address: str, uploads: Path
) -> None:
    made = open_page(browser, address, "phone")
    said = "(document.querySelector('[data-testid=toast-body]')?.textContent ?? '')"
    refused = "(document.getElementById('refusal')?.textContent ?? '')"
    for name, words, place in (
        ("fake.png", "fake.png cannot be used: not a PNG, JPEG, WebP or BMP picture", said),
        ("wide.png", "wide.png cannot be used: 700 × 700 pixels, more than 0.3 million", said),
        ("notes.txt", "notes.txt cannot be used: not a .bmp, .jpeg, .jpg, .png, .webp picture", refused),
        ("heavy.png", "heavy.png cannot be used: 0.5 megabytes, more than 0.3; give a smaller file", refused),
    ):
        upload(browser, SOURCES, uploads / name)
        text = wait(browser, f"{place}.includes({json.dumps(words)}) && {place}")
        assert text.count(words) == 1
        assert "/" not in text  # no path of the server's
        wait(browser, "document.querySelectorAll('.chosen')[0].querySelectorAll('img').length === 1")
    wait_for_another(browser, made)


@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_fits_the_screen_and_fetches_nothing_from_elsewhere(
    browser: Browser, address: str, screen: str
) -> None:
    open_page(browser, address, screen)
    assert browser.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen][0]
    asked = [one for one in browser.addresses() if not one.startswith(("data:", "blob:"))]
    assert len(asked) > 10
    assert [one for one in asked if not one.startswith(address)] == []
    assert browser.complaints() == []


@pytest.mark.parametrize("screen", SCREENS)
def test_what_the_tabs_make_is_large_and_no_words_cover_it(
    browser: Browser, address: str, screen: str
) -> None:
    open_page(browser, address, screen)
    press(browser, "Paint every source in every reference's style")
    wide = wait(browser, "document.querySelector('.made .image-frame img[src]')?.clientWidth")
    assert wide > 200  # of 66 pixels
    press(browser, "Nearest styles", "button[role=tab]")
    press(browser, "Find pictures in the style of the references")
    found = "[...document.querySelectorAll('.cells .thumbnail-lg:has(.caption-label)')]"
    wait(browser, f"{found}.length === 8 && {found}.every(e => e.querySelector('img').naturalWidth)")
    below = (
        f"{found}.map(e => e.querySelector('.caption-label').getBoundingClientRect().top"
        " - e.querySelector('img').getBoundingClientRect().bottom)"
    )
    assert all(gap >= -1 for gap in browser.evaluate(below))
    assert browser.evaluate("document.documentElement.scrollWidth") <= SCREENS[screen][0]


def test_what_was_uploaded_goes_when_the_page_is_closed(
    browser: Browser, address: str, uploads: Path, scratch: Path
) -> None:
    made = open_page(browser, address, "desk")
    upload(browser, REFERENCES, uploads / "second.png")
    wait_for_another(browser, made)
    kept = [*scratch.glob("*/*/second.png"), *scratch.glob("*/results/*")]
    assert len(kept) >= 2
    browser.ask("Page.navigate", url="about:blank")
    latest = time.monotonic() + PATIENCE
    while any(path.exists() for path in kept):
        assert time.monotonic() < latest, "what was uploaded is still there"
        time.sleep(0.1)


def test_the_same_functions_are_an_api_with_docs(address: str, uploads: Path) -> None:
    gradio_client = pytest.importorskip("gradio_client")  # a part of gradio, without types
    client = gradio_client.Client(address, verbose=False)
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert named.keys() == {"/translate", "/grid", "/strip", "/animate", "/nearest"}
    assert all(endpoint["description"] for endpoint in named.values())
    pictures = [
        {"image": gradio_client.handle_file(uploads / name), "caption": None}
        for name in ("source.png", "second.png")
    ]
    shown, kept = client.predict(pictures[:1], pictures[1:], strength=1, api_name="/translate")
    assert len(shown) == 1
    model = cluit.load("portraits", device="cpu", precision="float32")
    with Image.open(kept) as picture:
        assert alike(picture.convert("RGB"), model.translate(uploads / "source.png", uploads / "second.png"))
    sheet, _ = client.predict(pictures, pictures, api_name="/grid")
    assert Path(sheet).is_file()
    assert len(client.predict(pictures, count=3, api_name="/nearest")) == 3


def test_who_waits_for_an_animation_holds_up_nobody(address: str, uploads: Path) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    slow, quick = (gradio_client.Client(address, verbose=False) for _ in range(2))
    source, *references = (
        {"image": gradio_client.handle_file(uploads / f"{name}.png"), "caption": None}
        for name in ("source", "second", "reference")
    )
    films = [slow.submit([source], references, seconds=2, api_name="/animate") for _ in range(3)]
    quick.predict([source], references, api_name="/translate")
    assert not films[-1].done()  # animations are made one after the other
    with Image.open(films[0].result()[0]) as film:
        assert getattr(film, "n_frames", 1) > 50
    for one in films:
        one.cancel()
