"""Chromium without a window, spoken to over a pipe in its DevTools protocol: what a page really does in a browser."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# No sandbox, since tests run as root in containers; the rest keeps Chromium from calling home.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--remote-debugging-pipe"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
)
COMPLAINTS = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}


@dataclass
class Page:
    """A page that was opened: what it asked for and what the console said, and a way to ask it."""

    _browser: Browser
    _session: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        answer = self._browser.call("Runtime.evaluate", self._session, expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")


class Browser:
    """Messages to Chromium and back, one JSON text and a zero byte each."""

    def __init__(self, to_chromium: int, from_chromium: int) -> None:
        self._write, self._read = os.fdopen(to_chromium, "wb"), os.fdopen(from_chromium, "rb")
        self._numbers, self._rest = itertools.count(1), b""
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come first are kept."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait(self, method: str) -> None:
        """Wait for an event."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._read.fileno(), 1 << 20)
            assert more, "Chromium has gone"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def open(self, url: str, width: int, scheme: str) -> Page:
        """Open a page in a window of that width, for a reader who prefers ``light`` or ``dark``."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable", session)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", session, **size)
        preference = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", session, features=[preference])
        self.events.clear()
        self.call("Page.navigate", session, url=url)
        self.wait("Page.loadEventFired")
        page = Page(self, session)
        page.evaluate("document.fonts.ready.then(() => 1)")
        for event in self.events:
            if event["method"] == "Network.requestWillBeSent":
                page.requests.append(event["params"]["request"]["url"])
            if event["method"] in COMPLAINTS:
                page.complaints.append(json.dumps(event["params"]))
        return page


@contextmanager
def chromium(program: str) -> Iterator[Browser]:
    """A browser of its own, with an empty profile, until the end."""
    to_chromium, we_write = os.pipe()
    we_read, from_chromium = os.pipe()

    def as_it_expects() -> None:  # it reads from descriptor 3 and writes to 4
        spare = [os.dup(to_chromium), os.dup(from_chromium)]
        os.dup2(spare[0], 3)
        os.dup2(spare[1], 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={Path(profile)}"],
            close_fds=False,
            preexec_fn=as_it_expects,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(to_chromium)
        os.close(from_chromium)
        try:
            browser = Browser(we_write, we_read)
            yield browser
            browser.call("Browser.close")
        finally:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
