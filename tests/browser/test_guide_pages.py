"""A real browser on the pages with scripts that the documentation shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.webdriver import Browser, browser
from tests.programs import ROOT, free_port, running
from tests.test_docs import BLOCKS, Block

TUTORIAL = ROOT / "docs" / "tutorial.rst"
GATEWAY = ROOT / "docs" / "tutorial-gateway.rst"
FIRST_STEPS = ROOT / "docs" / "guide" / "applications" / "first-steps.rst"

SERVE = """
from autobahnlike.cli import main

main(["serve", "app:app", "--listen", "9000", "--loop", "LOOP"])
"""

LOOPS = ("asyncio", "twisted")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as session:
        yield session


def page_of(path: Path) -> Block:
    """The one page with a script that a page of the documentation shows."""
    (found,) = (block for block in BLOCKS if block.page == path and block.language == "html")
    return found


def write(block: Block, directory: Path) -> None:
    path = directory / block.caption
    path.parent.mkdir(exist_ok=True)
    path.write_text(block.text)


def test_every_script_is_run_here() -> None:
    scripts = {block.id for block in BLOCKS if "<script" in block.text}
    # That of the gateway's tutorial is that of an example: see test_gateway.
    assert scripts == {page_of(TUTORIAL).id, page_of(FIRST_STEPS).id, page_of(GATEWAY).id}


@pytest.mark.parametrize("loop", LOOPS)
def test_the_chat_of_the_tutorial(chromium: Browser, tmp_path: Path, loop: str) -> None:
    page = page_of(TUTORIAL)
    app = next(b for b in BLOCKS if b.page == TUTORIAL and b.caption == "app.py" and b.line > page.line)
    write(page, tmp_path)
    write(app, tmp_path)
    port = free_port()
    with running(SERVE.replace("LOOP", loop), tmp_path, {9000: port}) as program:
        program.wait_until_listening(port)
        chromium.open(f"http://127.0.0.1:{port}/")
        # What is waited for is looked at when the page changes.
        chromium.run("socket.addEventListener('open', () => { document.body.dataset.state = 'open'; })")
        chromium.wait_for("socket.readyState === WebSocket.OPEN")
        chromium.type("user", "Ann")
        chromium.type("text", "<b>hello</b>")
        chromium.click("send")
        chromium.wait_for('document.querySelectorAll("#messages li").length === 1')
        assert chromium.text("messages") == "Ann: <b>hello</b>"
        # Who comes late gets the history.
        chromium.open(f"http://127.0.0.1:{port}/")
        chromium.wait_for('document.querySelectorAll("#messages li").length === 1')
        assert chromium.text("messages") == "Ann: <b>hello</b>"
        program.interrupt()


@pytest.mark.parametrize("loop", LOOPS)
def test_the_echo_of_the_first_steps(chromium: Browser, tmp_path: Path, loop: str) -> None:
    page = page_of(FIRST_STEPS)
    app = next(b for b in BLOCKS if b.page == FIRST_STEPS and b.caption == "app.py")
    write(page, tmp_path)
    (tmp_path / "app.py").write_text(
        f"{app.text}\n\n\n@app.route('/')\nasync def index(req, res):\n    res.html = open({page.caption!r}).read()\n"
    )
    port = free_port()
    with running(SERVE.replace("LOOP", loop), tmp_path, {9000: port}) as program:
        program.wait_until_listening(port)
        chromium.open(f"http://127.0.0.1:{port}/")
        chromium.wait_for('document.getElementById("answer").textContent === "You said: hello"')
        program.interrupt()
