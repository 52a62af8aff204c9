"""A real browser on the page of FastAPI's tutorial, served by us."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.webdriver import Browser, browser
from tests.cli.process import RUN, Process
from tests.hosting.applications import fastapi_tour
from tests.hosting.serving import ASYNCIO_LOOPS
from tests.programs import free_port


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as session:
        yield session


@pytest.fixture(params=ASYNCIO_LOOPS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The page, with another port than the tutorial's, because that may be in use."""
    port = free_port()
    source = inspect.getsource(fastapi_tour)
    assert source.count("ws://localhost:8000/") == 1
    (tmp_path / "tutorial.py").write_text(source.replace("localhost:8000", f"localhost:{port}"), encoding="utf-8")
    (tmp_path / "static").mkdir()
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {RUN}"
    arguments = ("serve", "tutorial:app", "--loop", request.param, "--listen", f"127.0.0.1:{port}")
    with Process(*arguments, code=code) as process:
        process.out.expect("Listening on ")
        yield f"http://localhost:{port}/"


def test_what_is_typed_comes_back(chromium: Browser, url: str) -> None:
    chromium.open(url)
    chromium.wait_for('document.body.dataset.state === "open"')
    texts = ["hello", "Grüße, 你好", "<b>no markup</b>"]
    for number, text in enumerate(texts, 1):
        chromium.type("text", text)
        chromium.click("send")
        chromium.wait_for(f'document.querySelectorAll("#messages li").length === {number}')
    shown = chromium.run('return [...document.querySelectorAll("#messages li")].map((item) => item.textContent)')
    assert shown == [f"Message text was: {text}" for text in texts]
