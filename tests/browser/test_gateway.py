"""Real browser windows in the chat of the gateway's tutorial, and in the chat of Chalice's."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.browser.webdriver import Browser, browser
from tests.cli.process import DEADLINE, LOOPS, Process
from tests.gateway.chalice_kit import copy_app, hosting
from tests.gateway.test_chalice_apps import WITH_TABLE, stop
from tests.programs import ROOT
from tests.test_docs import BLOCKS

EXAMPLE = ROOT / "examples" / "gateway_chat"
TUTORIAL = ROOT / "docs" / "tutorial-gateway.rst"
LAST_LINE = "The connection is closed. Reload the page to come back."
MARKUP = '<img src="x" onerror="window.hacked = true"><b>bold</b>'


class Window:
    """A window of the browser with the page of the chat.

    Args:
        chromium: the browser.
        url: of the page.
    """

    def __init__(self, chromium: Browser, url: str) -> None:
        self._browser = chromium
        self._handle = chromium.new_window()
        self.page.open(url)
        self.page.wait_for("!document.getElementById('send').disabled")

    @property
    def page(self) -> Browser:
        """The browser, for what it does next in this window."""
        self._browser.switch_to(self._handle)
        return self._browser

    def say(self, text: str) -> None:
        """Type something, and send it."""
        self.page.type("text", text)
        self._browser.click("send")

    def shows(self, *lines: str) -> None:
        """Wait until just these lines are shown."""
        wanted = "".join(f"{line}\n" for line in lines)
        shown = "document.getElementById('messages').textContent"
        try:
            self.page.wait_for(f"{shown} === {json.dumps(wanted)}")
        finally:
            # Says what is there, if it is not that.
            assert self.page.run(f"return {shown}") == wanted

    def last_line(self) -> str:
        """Return what is shown last."""
        return str(self.page.text("messages").splitlines()[-1])


Open = Callable[[str], Window]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as session:
        yield session


@pytest.fixture
def window(chromium: Browser) -> Iterator[Open]:
    """Opens windows, which are closed at the end; the browser must have had nothing to complain of."""
    before = chromium.windows()
    chromium.console()
    yield lambda url: Window(chromium, url)
    complaints = chromium.console()
    for handle in set(chromium.windows()) - set(before):
        chromium.switch_to(handle)
        chromium.close_window()
    chromium.switch_to(before[0])
    # It asks for one by itself.
    assert [each for each in complaints if "favicon.ico" not in each] == []


@contextmanager
def example(loop: str) -> Iterator[tuple[Process, str]]:
    """The chat of ``examples/``, and its URL."""
    with Process("serve", "app:app", "--loop", loop, "--listen", "127.0.0.1:0", cwd=EXAMPLE) as process:
        yield process, process.out.expect(r"Listening on (\S+) ")[1]


def test_the_page_is_that_of_the_tutorial() -> None:
    (page,) = (block for block in BLOCKS if block.page == TUTORIAL and block.language == "html")
    assert (EXAMPLE / page.caption).read_text().rstrip() == page.text


@pytest.mark.parametrize("loop", LOOPS)
def test_two_windows(window: Open, loop: str) -> None:
    with example(loop) as (process, url):
        ann, bob = window(url), window(url)
        ann.say("Ann")
        hello = "Type /help for the commands."
        ann.shows(f"Hello, Ann. {hello}")
        ann.say("/join garden")
        ann.shows(f"Hello, Ann. {hello}", "Ann has joined.")
        bob.say("Bob")
        bob.say("/join garden")
        bob.shows(f"Hello, Bob. {hello}", "Bob has joined.")
        ann.say("Is anybody here?")
        bob.shows(f"Hello, Bob. {hello}", "Bob has joined.", "Ann: Is anybody here?")
        bob.say("Yes: Grüße, 你好")
        bob.say(MARKUP)
        both = ["Ann: Is anybody here?", "Bob: Yes: Grüße, 你好", f"Bob: {MARKUP}"]
        bob.shows(f"Hello, Bob. {hello}", "Bob has joined.", *both)
        ann.shows(f"Hello, Ann. {hello}", "Ann has joined.", "Bob has joined.", *both)
        assert ann.page.run("return document.querySelector('#messages *')") is None
        assert ann.page.run("return window.hacked") is None
        # From outside, to one of them.
        ann.say("/id")
        ann.page.wait_for("document.getElementById('messages').textContent.endsWith('=\\n')")
        connection_id = ann.last_line()
        path = f"{url}api/@connections/{quote(connection_id, safe='')}"
        sent = httpx.post(path, content="Dinner is ready", timeout=DEADLINE, trust_env=False)
        assert sent.status_code == 200
        ann.shows(f"Hello, Ann. {hello}", "Ann has joined.", "Bob has joined.", *both, connection_id, "Dinner is ready")
        # Who closes the window is gone for the others.
        ann.page.close_window()
        bob.shows(f"Hello, Bob. {hello}", "Bob has joined.", *both, "Ann has left.")
        process.popen.send_signal(signal.SIGINT)
        bob.shows(f"Hello, Bob. {hello}", "Bob has joined.", *both, "Ann has left.", LAST_LINE)
        assert process.status() == 0
        assert process.err.all() == ""


@pytest.mark.parametrize("loop", ["asyncio", "twisted"])
def test_the_same_on_chalice(window: Open, loop: str, tmp_path: Path) -> None:
    """The last step of the tutorial, in which Chalice serves the page."""
    chalice = next(block for block in BLOCKS if block.page == TUTORIAL and "Chalice(" in block.text)
    (tmp_path / "app.py").write_text(chalice.text)
    shutil.copy(EXAMPLE / "index.html", tmp_path)
    with hosting(tmp_path, loop) as (process, url):
        page = f"http{url.removeprefix('ws').removesuffix('api/')}"
        ann, bob = window(page), window(page)
        ann.say("Ann")
        ann.say("/join garden")
        hello = "Type /help for the commands."
        ann.shows(f"Hello, Ann. {hello}", "Ann has joined.")
        bob.say("Bob")
        bob.say("/join garden")
        bob.say("hi")
        bob.shows(f"Hello, Bob. {hello}", "Bob has joined.", "Bob: hi")
        bob.page.close_window()
        ann.shows(f"Hello, Ann. {hello}", "Ann has joined.", "Bob has joined.", "Bob: hi", "Bob has left.")
        assert stop(process) == ""


@pytest.mark.parametrize("loop", ["asyncio", "twisted"])
def test_the_same_page_with_the_chat_of_chalice(window: Open, loop: str, tmp_path: Path) -> None:
    """Which is another server than that of the page."""
    with example("asyncio") as (_, page), hosting(copy_app("chat", tmp_path), loop, code=WITH_TABLE) as (process, url):
        jenny, bob = window(f"{page}#{url}"), window(f"{page}#{url}")
        jenny.say("jenny")
        hello = ["Using nickname: jenny", "Type /help for list of commands."]
        jenny.shows(*hello)
        jenny.say("anybody here?")
        hello.append("Cannot send message if not in chatroom.")
        jenny.shows(*hello)
        jenny.say("/join chalice")
        hello.append('Joined chat room "chalice"')
        jenny.shows(*hello)
        bob.say("bob")
        bob.say("/ls")
        bob.say("/join chalice")
        welcome = ["Using nickname: bob", "Type /help for list of commands.", "chalice", 'Joined chat room "chalice"']
        bob.shows(*welcome)
        jenny.shows(*hello, "bob has joined.")
        jenny.say("hello")
        jenny.shows(*hello, "bob has joined.", "jenny: hello")
        bob.shows(*welcome, "jenny: hello")
        bob.say("/quit")
        bob.shows(*welcome, "jenny: hello", LAST_LINE)
        jenny.shows(*hello, "bob has joined.", "jenny: hello", "bob has left.")
        assert stop(process) == ""
