"""A headless Chromium, driven through the HTTP of its driver (W3C WebDriver)."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ("Browser", "browser")

DEADLINE = 30

# The name that the standard gives to what identifies an element.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"

_FLAGS = (
    "--headless",
    # Containers have neither the right to make a sandbox nor much shared memory.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

# Waits until an expression is true, without asking again and again: it is looked at after each change of the page.
_WAIT = """
const done = arguments[0];
const check = () => Boolean({expression});
if (check()) done(true);
else new MutationObserver((changes, observer) => {{
    if (check()) {{ observer.disconnect(); done(true); }}
}}).observe(document, {{attributes: true, characterData: true, childList: true, subtree: true}});
"""


class Browser:
    """A session of a browser.

    Args:
        port: where the driver listens, on 127.0.0.1.
        profile: an empty folder.
    """

    def __init__(self, port: int, profile: Path) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        options = {"args": [*_FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "timeouts": {"script": 1000 * DEADLINE, "pageLoad": 1000 * DEADLINE}}
        answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        self._connection.request(method, path, None if body is None else json.dumps(body))
        answer = json.loads(self._connection.getresponse().read())["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise RuntimeError(f"{answer['error']}: {answer['message']}")
        return answer

    def open(self, url: str) -> None:
        """Open a page."""
        self._ask("POST", f"{self._session}/url", {"url": url})

    def wait_for(self, expression: str) -> None:
        """Wait until an expression of JavaScript is true of the page."""
        script = _WAIT.format(expression=expression)
        self._ask("POST", f"{self._session}/execute/async", {"script": script, "args": []})

    def run(self, script: str) -> Any:
        """Run the body of a function, and return what it returns."""
        return self._ask("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def click(self, identifier: str) -> None:
        """Click on an element, as a person does."""
        self._ask("POST", f"{self._element(identifier)}/click", {})

    def type(self, identifier: str, text: str) -> None:
        """Type into a field, in place of what is there."""
        element = self._element(identifier)
        self._ask("POST", f"{element}/clear", {})
        self._ask("POST", f"{element}/value", {"text": text})

    def choose_file(self, identifier: str, path: Path) -> None:
        """Choose a file in a field for one."""
        self._ask("POST", f"{self._element(identifier)}/value", {"text": str(path)})

    def text(self, identifier: str) -> str:
        """Return what an element shows."""
        return str(self._ask("GET", f"{self._element(identifier)}/text"))

    def _element(self, identifier: str) -> str:
        selector = {"using": "css selector", "value": f"#{identifier}"}
        return f"{self._session}/element/{self._ask('POST', f'{self._session}/element', selector)[_ELEMENT]}"

    def console(self) -> list[str]:
        """Return what the browser has complained of."""
        return [entry["message"] for entry in self._ask("POST", f"{self._session}/se/log", {"type": "browser"})]

    def new_window(self) -> str:
        """Open another window, as one of another person, and return its handle."""
        return str(self._ask("POST", f"{self._session}/window/new", {"type": "window"})["handle"])

    def windows(self) -> list[str]:
        """Return the handles of all windows."""
        return list(self._ask("GET", f"{self._session}/window/handles"))

    def switch_to(self, handle: str) -> None:
        """Let everything that follows be about another window."""
        self._ask("POST", f"{self._session}/window", {"handle": handle})

    def close_window(self) -> None:
        """Close the window."""
        self._ask("DELETE", f"{self._session}/window")

    def command(self, name: str, **parameters: object) -> None:
        """Give a command of Chromium's DevTools protocol, which is for this window only."""
        self._ask("POST", f"{self._session}/goog/cdp/execute", {"cmd": name, "params": parameters})

    def screenshot(self) -> bytes:
        """Return what the window shows, as PNG."""
        return b64decode(self._ask("GET", f"{self._session}/screenshot"))

    def quit(self) -> None:
        """End the session and the browser."""
        self._ask("DELETE", self._session)
        self._connection.close()


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with a new profile.

    Args:
        profile: an empty folder.
    """
    with subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        try:
            session = Browser(_port(driver), profile)
            try:
                yield session
            finally:
                session.quit()
        finally:
            driver.terminate()


def _port(driver: subprocess.Popen[str]) -> int:
    assert driver.stdout is not None
    for line in driver.stdout:
        if match := re.search(r"started successfully on port (\d+)", line):
            return int(match[1])
    raise RuntimeError("chromedriver does not start")
