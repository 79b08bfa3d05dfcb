"""A real browser without a window, driven through the DevTools protocol over a pipe.

A message is JSON that ends in a zero byte. https://chromedevtools.github.io/devtools-protocol
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

NAMES = "chromium", "chromium-browser", "google-chrome", "google-chrome-stable"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions",
    "--disable-background-networking", "--no-first-run", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 60  # seconds for an answer: a start on a busy core takes some


def find_browser() -> str | None:
    """The program, where there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One process with one tab. What a page asks for, complains of and throws is kept until the next."""

    def __init__(self, program: str, profile: Path) -> None:
        self.command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.count, self.buffer, self.session = 0, b"", ""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        # The protocol wants descriptors 3 and 4: a shell renames the pipes of standard input and output.
        self.process = subprocess.Popen(
            ["sh", "-c", 'exec "$@" 3<&0 4>&1 1>&2', "sh", *self.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        tabs = self.ask("Target.getTargets")["targetInfos"]
        tab = next(one["targetId"] for one in tabs if one["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in self.pipes():
            pipe.close()  # which ends it
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        """To the browser, and from it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        return self.process.stdin, self.process.stdout

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """What the browser answers; the events before that are kept."""
        self.count += 1
        session = {"sessionId": self.session} if self.session else {}
        message = {"id": self.count, "method": method, "params": params, **session}
        to, _ = self.pipes()
        to.write(json.dumps(message).encode() + b"\0")
        to.flush()
        answer = self.until(lambda one: one.get("id") == self.count)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def until(self, wanted: Any) -> dict[str, Any]:
        """The first message that is ``wanted``, among those kept or to come."""
        latest = time.monotonic() + PATIENCE
        _, source = self.pipes()
        while True:
            while b"\0" not in self.buffer:
                ready, _, _ = select.select([source], [], [], max(0, latest - time.monotonic()))
                read = os.read(source.fileno(), 1 << 20) if ready else b""
                if not read:
                    raise RuntimeError(f"the browser {'has ended' if ready else 'does not answer'}")
                self.buffer += read
            line, _, self.buffer = self.buffer.partition(b"\0")
            message = json.loads(line)
            self.events.append(message)
            if wanted(message):
                return message

    def open(self, page: Path | str, width: int, height: int, *, dark: bool) -> None:
        """Show the page, a file or an address, as a phone does where it is narrow, in the user's colours."""
        phone = width < 600
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip
        self.ask("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        if not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self.until(lambda one: one.get("method") == "Page.loadEventFired")

    def evaluate(self, expression: str) -> Any:
        """The value of JavaScript in the page; of a promise, what it comes to."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def screenshot(self, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        answer = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def complaints(self) -> list[str]:
        """Console errors, exceptions and failed loads of the page that is open."""
        found = []
        for one in self.events:
            method, params = one.get("method"), one.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(str(params["args"]))
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
        return found

    def addresses(self) -> list[str]:
        """Everything that the page that is open has asked for, itself included."""
        return [
            one["params"]["request"]["url"]
            for one in self.events
            if one.get("method") == "Network.requestWillBeSent"
        ]
