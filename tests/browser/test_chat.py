"""Real browser windows in the chat room of ``autobahnlike demo``."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from autobahnlike.app import LiveServer
from autobahnlike.demo.chat import app
from tests.browser.webdriver import Browser, browser
from tests.cli.process import LOOPS, Process

MARKUP = '<img src="x" onerror="window.hacked = true"><b>bold</b>'


class Window:
    """A window of the browser.

    Attributes:
        handle: by which the browser knows it.
    """

    def __init__(self, chromium: Browser) -> None:
        self._browser = chromium
        self.handle = chromium.new_window()

    @property
    def page(self) -> Browser:
        """The browser, for what it does next in this window."""
        self._browser.switch_to(self.handle)
        return self._browser

    def enter(self, url: str, name: str) -> None:
        """Open the page, and give a name."""
        self.page.open(url)
        self.wait_for_state("open")
        # The key Enter is what ends the input.
        self._browser.type("user", f"{name}\n")
        self.page.wait_for(f"[...document.querySelectorAll('#people .you')].some((one) => one.title === '{name}')")

    def say(self, text: str) -> None:
        """Type a message, and send it."""
        self.page.type("text", f"{text}\n")

    def wait_for_state(self, state: str) -> None:
        """Wait until the connection is in a state."""
        self.page.wait_for(f"document.getElementById('state').dataset.state === '{state}'")

    def wait_for_messages(self, *texts: str) -> None:
        """Wait until these messages are shown, and no others."""
        # The time is an element after the text.
        self._wait_for("#messages .text", "one.firstChild.data", texts)

    def wait_for_people(self, *names: str) -> None:
        """Wait until these people are shown, and nobody else."""
        self._wait_for("#people li", "one.title", names)
        assert self.page.text("count") == str(len(names))

    def _wait_for(self, selector: str, expression: str, wanted: tuple[str, ...]) -> None:
        found = f"[...document.querySelectorAll({selector!r})].map((one) => {expression})"
        try:
            self.page.wait_for(f"JSON.stringify({found}) === JSON.stringify({json.dumps(wanted)})")
        finally:
            # Says what is there, if it is not that.
            assert self.list(selector, expression) == [*wanted]

    def texts(self, part: str) -> list[str]:
        """Return what a part of each message says."""
        return self.list(f"#messages {part}", "one.firstChild.data")

    def own(self) -> list[bool]:
        """Return of each message whether it is shown as written here: on the right."""
        middle = "one.getBoundingClientRect().left + one.getBoundingClientRect().right"
        log = "document.getElementById('talk').getBoundingClientRect()"
        on_the_right = self.list("#messages li", f"{middle} > {log}.left + {log}.right")
        assert on_the_right == self.list("#messages li", "one.classList.contains('own')")
        return [bool(each) for each in on_the_right]

    def list(self, selector: str, expression: str) -> list[Any]:
        """Return what an expression gives for each element."""
        found = self.page.run(f"return [...document.querySelectorAll({selector!r})].map((one) => {expression})")
        return [*found]

    def focus(self) -> object:
        """Return the identifier of the element that the keyboard goes to."""
        return self.page.run("return document.activeElement.id")

    def resize(self, width: int, height: int) -> None:
        """Give the window the size of another screen."""
        self.page.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )


Open = Callable[[], Window]


@contextmanager
def room(loop: str, listen: str = "127.0.0.1:0") -> Iterator[tuple[Process, str]]:
    """A running ``demo``, and its URL."""
    with Process("demo", "--loop", loop, "--listen", listen) as process:
        yield process, process.out.expect(r"http://\S+/")[0]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as session:
        yield session


@pytest.fixture
def url() -> Iterator[str]:
    """The URL of a room, for what does not depend on the loop."""
    with LiveServer(app, ready_timeout=30, stop_timeout=30) as server:
        yield f"{server.url}/"


@pytest.fixture
def window(chromium: Browser) -> Iterator[Open]:
    """Opens windows, which are closed at the end; the browser must have had nothing to complain of."""
    before = chromium.windows()
    chromium.console()
    yield lambda: Window(chromium)
    complaints = chromium.console()
    for handle in set(chromium.windows()) - set(before):
        chromium.switch_to(handle)
        chromium.close_window()
    chromium.switch_to(before[0])
    # It cannot be kept from telling that there is no server.
    assert [each for each in complaints if "net::ERR_CONNECTION_" not in each] == []


@pytest.mark.parametrize("loop", LOOPS)
def test_windows_hear_each_other_also_when_the_server_is_started_again(window: Open, loop: str) -> None:
    ann, bob = window(), window()
    with room(loop) as (process, url):
        ann.enter(url, "Ann")
        bob.enter(url, "Bob")
        ann.wait_for_people("Ann", "Bob")
        bob.wait_for_people("Ann", "Bob")
        ann.say("Is anybody here?")
        bob.wait_for_messages("Is anybody here?")
        bob.say("Yes: Grüße, 你好")
        for each in (ann, bob):
            each.wait_for_messages("Is anybody here?", "Yes: Grüße, 你好")
            assert each.focus() == "text"
        assert ann.own() == [True, False]
        assert bob.own() == [False, True]
        assert bob.texts(".by") == ["Ann", "You"]

        # Who comes later sees what was said, and is seen.
        eve = window()
        eve.enter(url, "Eve")
        eve.wait_for_messages("Is anybody here?", "Yes: Grüße, 你好")
        assert eve.own() == [False, False]
        ann.wait_for_people("Ann", "Bob", "Eve")
        # Who goes is seen too.
        eve.page.close_window()
        ann.wait_for_people("Ann", "Bob")

        process.popen.send_signal(signal.SIGINT)
        for each in (ann, bob):
            each.wait_for_state("closed")
        assert process.status() == 0
        assert process.err.all() == ""
    ann.say("in between")
    assert "Not sent" in ann.page.text("notice")
    assert ann.focus() == "text"
    with room(loop, url.removeprefix("http://").rstrip("/")) as (_, again):
        assert again == url
        for each in (ann, bob):
            each.wait_for_state("open")
        # It is another server, which knows of nothing that was said.
        ann.wait_for_messages()
        assert ann.page.run("return document.getElementById('text').value") == "in between"
        ann.page.click("submit")
        for each in (ann, bob):
            each.wait_for_messages("in between")
        assert ann.own() == [True]
        assert bob.own() == [False]
        assert ann.focus() == "text"


def test_what_people_type_is_only_text(window: Open, url: str) -> None:
    ann, bob = window(), window()
    bob.enter(url, "Bob")
    ann.enter(url, MARKUP[:30])
    ann.say(MARKUP)
    for each in (ann, bob):
        each.wait_for_messages(MARKUP)
        each.wait_for_people("Bob", MARKUP[:30])
        assert each.list("#messages img, #messages b, #people img", "one.outerHTML") == []
        assert each.page.run("return window.hacked") is None
    assert bob.texts(".by") == [MARKUP[:30]]


def test_no_other_script_runs_in_the_page(chromium: Browser, window: Open, url: str) -> None:
    ann = window()
    ann.page.open(url)
    ann.page.run(f"document.getElementById('messages').innerHTML = {MARKUP!r}")
    ann.page.run("const s = document.createElement('script'); s.text = 'window.hacked = true'; document.body.append(s)")
    # Until the image is there, or known not to be.
    ann.page.run("return document.querySelector('#messages img').decode().catch(() => null)")
    assert ann.page.run("return window.hacked") is None
    # The browser says so, and what it says is not left for the end.
    assert len([each for each in chromium.console() if "Content Security Policy" in each]) >= 2


def test_people_of_the_same_name_are_told_apart(window: Open, url: str) -> None:
    ann, other = window(), window()
    ann.enter(url, "Ann")
    other.enter(url, "Ann")
    ann.say("I am Ann")
    other.say("So am I")
    for each in (ann, other):
        each.wait_for_messages("I am Ann", "So am I")
        each.wait_for_people("Ann", "Ann")
        assert each.list("#people li span", "one.textContent") == ["Ann", "Ann"]
        (mark,) = each.list("#people li + li small", "one.textContent")
    assert ann.own() == [True, False]
    assert other.own() == [False, True]
    assert ann.texts(".by") == ["You", f"Ann {mark}"]


def test_a_page_that_is_loaded_again_is_the_same_person(window: Open, url: str) -> None:
    ann = window()
    ann.enter(url, "Ann")
    ann.say("Hello")
    ann.wait_for_messages("Hello")
    ann.page.open(url)
    ann.wait_for_messages("Hello")
    ann.wait_for_people("Ann")
    assert ann.own() == [True]
    assert ann.page.run("return document.getElementById('user').value") == "Ann"


def test_a_lost_connection_is_made_again_and_nothing_is_missing(window: Open, url: str) -> None:
    ann, bob = window(), window()
    ann.enter(url, "Ann")
    bob.enter(url, "Bob")
    bob.say("one")
    ann.wait_for_messages("one")
    ann.page.run("dispatchEvent(new Event('offline'))")
    ann.wait_for_state("closed")
    bob.wait_for_people("Bob")
    bob.say("two")
    bob.wait_for_messages("one", "two")
    ann.page.run("dispatchEvent(new Event('online'))")
    ann.wait_for_state("open")
    ann.wait_for_messages("one", "two")
    bob.wait_for_people("Bob", "Ann")


def test_who_writes_too_fast_gets_the_text_back(window: Open, url: str) -> None:
    ann = window()
    ann.enter(url, "Ann")
    ann.page.run(
        """
        for (let number = 0; number < 12; number++) {
          document.getElementById("text").value = `message ${number}`;
          document.forms[0].requestSubmit();
        }
        """
    )
    ann.page.wait_for("document.getElementById('notice').textContent.includes('wait')")
    # The name was told twice.
    ann.wait_for_messages(*(f"message {number}" for number in range(6)))
    assert ann.page.run("return document.getElementById('text').value").startswith("message ")
    assert ann.page.run("return document.getElementById('state').dataset.state") == "open"


def test_screens_of_all_sizes(window: Open, url: str) -> None:
    ann, bob = window(), window()
    ann.enter(url, "M" * 30)
    bob.enter(url, "Bob")
    for text in ("x" * 500, "https://example.com/" + "path/" * 60, "word " * 200, "short", "W" * 80):
        ann.say(text)
    bob.page.wait_for("document.querySelectorAll('#messages li').length === 5")
    for width, height in ((360, 640), (320, 568), (800, 360), (1280, 800)):
        bob.resize(width, height)
        assert bob.page.run("return [innerWidth, innerHeight]") == [width, height]
        root = "document.documentElement"
        assert bob.page.run(f"return [{root}.scrollWidth, {root}.scrollHeight]") == [width, height]
        # Nothing is wider than what it stands in, nor cut off on the right.
        inside = "one.getBoundingClientRect().left >= 0 && one.getBoundingClientRect().right <= innerWidth"
        assert all(bob.list("#messages li, #messages .text, #state, #user, #text, #submit, #count", inside))
        assert bob.page.run("return talk.scrollWidth <= talk.clientWidth")
        # The last message is in sight.
        bob.page.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert bob.page.run("return talk.scrollHeight - talk.scrollTop - talk.clientHeight") <= 1


def test_nothing_moves(window: Open, url: str) -> None:
    ann, bob = window(), window()
    ann.resize(360, 640)
    ann.page.open(url)
    ann.wait_for_state("open")
    places = "[one.id, one.getBoundingClientRect().top, one.getBoundingClientRect().height]"
    parts = "header, aside, #user, #talk, #text, #submit"
    before = ann.list(parts, places)
    bob.enter(url, "Somebody with a long name")
    bob.say("Hello " * 100)
    ann.page.wait_for("document.querySelectorAll('#messages li').length === 1")
    ann.page.run("notify('Something to be told')")
    assert ann.list(parts, places) == before
    ann.page.run("dispatchEvent(new Event('offline'))")
    ann.wait_for_state("closed")
    assert ann.list(parts, places) == before


def test_everything_has_a_name_for_who_does_not_see_it(window: Open, url: str) -> None:
    ann = window()
    ann.enter(url, "Ann")
    ann.say("Hello")
    ann.wait_for_messages("Hello")
    assert ann.list("input", "one.labels.length") == [1, 1]
    assert ann.list("[role=log], aside", "one.getAttribute('aria-label')") == ["People", "Messages"]
    assert ann.list("#state, #notice", "one.getAttribute('role')") == ["status", "alert"]
    # Who wrote it is not only shown by where it stands.
    assert ann.texts(".by") == ["You"]
