"""A real browser on the page of ``serve echo``."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.webdriver import Browser, browser
from tests.cli.process import LOOPS, Process, serving


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as session:
        yield session


@pytest.fixture(params=LOOPS)
def served(request: pytest.FixtureRequest) -> Iterator[tuple[Process, str]]:
    with serving(request.param) as (process, url):
        yield process, url


@pytest.fixture
def page(chromium: Browser, served: tuple[Process, str]) -> Browser:
    """The page, connected."""
    chromium.open(served[1].replace("ws:", "http:"))
    chromium.wait_for(status("open"))
    return chromium


def status(text: str) -> str:
    return f'document.getElementById("status").textContent === "{text}"'


def lines(kind: str, count: int) -> str:
    return f'document.querySelectorAll("#log [data-kind={kind}]").length === {count}'


def shown(page: Browser, kind: str) -> list[str]:
    found = page.run(
        f'return [...document.querySelectorAll("#log [data-kind={kind}]")].map((line) => line.textContent)'
    )
    assert isinstance(found, list)
    return found


def test_compression_is_negotiated(page: Browser, served: tuple[Process, str]) -> None:
    assert page.text("url") == served[1]
    assert page.text("extensions").startswith("permessage-deflate")


def test_text_comes_back(page: Browser) -> None:
    texts = ["hello", "Grüße, 你好", "", "<b>no markup</b>", "x" * 3000]
    for number, text in enumerate(texts, 1):
        page.type("text", text)
        page.click("send-text")
        page.wait_for(lines("received", number))
    assert shown(page, "sent") == shown(page, "received") == texts
    assert page.run('return document.querySelectorAll("#log b").length') == 0


def test_binary_messages_come_back(page: Browser, tmp_path: Path) -> None:
    page.type("hex", "00 fF80")
    page.click("send-hex")
    page.wait_for(lines("received", 1))
    path = tmp_path / "bytes"
    path.write_bytes(bytes(range(256)) * 4096)
    page.choose_file("file", path)
    page.click("send-file")
    page.wait_for(lines("received", 2))
    first, second = shown(page, "received")
    assert first == "(binary, 3 bytes) 00 ff 80"
    assert second.startswith("(binary, 1048576 bytes) 00 01 02 03 ")
    assert shown(page, "sent") == [first, second]


@pytest.mark.parametrize("digits", ["0", "0x00", "zz"])
def test_what_is_no_hexadecimal_is_not_sent(page: Browser, digits: str) -> None:
    page.type("hex", digits)
    page.click("send-hex")
    page.wait_for(lines("note", 1))
    assert "two hexadecimal digits" in shown(page, "note")[0]
    assert shown(page, "sent") == []


@pytest.mark.parametrize(("code", "reason"), [("1000", ""), ("1000", "goodbye"), ("4321", "Grüße")])
def test_the_browser_closes_and_the_code_and_reason_come_back(page: Browser, code: str, reason: str) -> None:
    page.type("close-code", code)
    page.type("close-reason", reason)
    page.click("close")
    page.wait_for(status("closed"))
    seen = f"{code} {reason}".rstrip()
    assert page.text("closed-with") == seen
    assert shown(page, "note") == [f"closed: {seen}"]


@pytest.mark.parametrize(("code", "reason"), [("1002", ""), ("1000", "ü" * 62)])
def test_what_a_browser_may_not_close_with_is_told(page: Browser, code: str, reason: str) -> None:
    page.type("close-code", code)
    page.type("close-reason", reason)
    page.click("close")
    page.wait_for(lines("note", 1))
    assert "Failed to execute 'close' on 'WebSocket'" in shown(page, "note")[0]
    assert page.text("status") == "open"


def test_the_server_closes(page: Browser, served: tuple[Process, str]) -> None:
    process, _ = served
    process.popen.send_signal(signal.SIGTERM)
    page.wait_for(status("closed"))
    assert page.text("closed-with") == "1001"
    assert shown(page, "note") == ["closed: 1001"]
    assert process.status() == 0


def test_it_connects_again(page: Browser) -> None:
    page.click("close")
    page.wait_for(status("closed"))
    page.click("connect")
    page.wait_for(status("open"))
    page.type("text", "again")
    page.click("send-text")
    page.wait_for(lines("received", 1))


def test_the_browser_has_nothing_to_complain_of(page: Browser) -> None:
    assert page.console() == []
