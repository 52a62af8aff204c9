"""Templates."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jinja2
import pytest

from autobahnlike.app import App, Request, Response, Templates

from .harness import Way, both_ways


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "hello.html").write_text("<h1>Hello, {{ name }}!</h1>")
    return tmp_path


@both_ways
async def test_render(way: Way, directory: Path) -> None:
    templates = Templates(directory=directory)
    expected = "<h1>Hello, Bocadillo!</h1>"
    assert await templates.render("hello.html", name="Bocadillo") == expected
    assert await templates.render("hello.html", {"name": "Bocadillo"}) == expected
    assert templates.render_sync("hello.html", name="Bocadillo") == expected


@both_ways
async def test_a_view_renders_a_page(way: Way, directory: Path) -> None:
    app = App()
    templates = Templates(app, directory=str(directory))

    @app.route("/{name}")
    async def page(req: Request, res: Response, name: str) -> None:
        res.html = await templates.render("hello.html", name=name)

    response = await way.request(app, "/Ann")
    assert (response.header("content-type"), response.text) == ("text/html", "<h1>Hello, Ann!</h1>")


@both_ways
async def test_values_are_escaped(way: Way, directory: Path) -> None:
    templates = Templates(directory=directory)
    expected = "<h1>Hello, &lt;b&gt;!</h1>"
    assert await templates.render("hello.html", name="<b>") == expected
    assert templates.render_sync("hello.html", name="<b>") == expected
    assert templates.render_string("{{ name }}", name="<b>") == "&lt;b&gt;"


@both_ways
async def test_in_a_coroutine_templates_may_wait(way: Way, directory: Path) -> None:
    (directory / "slow.html").write_text("{% for each in numbers() %}{{ each }}{% endfor %} {{ answer() }}")

    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            await way.settle()
            yield number

    async def answer() -> str:
        await way.settle()
        return "done"

    templates = Templates(directory=directory, context={"numbers": numbers})
    assert await templates.render("slow.html", answer=answer) == "012 done"


def test_render_string() -> None:
    assert Templates().render_string("<h1>{{ title }}</h1>", title="Hello") == "<h1>Hello</h1>"


@both_ways
async def test_another_directory(way: Way, directory: Path) -> None:
    templates = Templates()
    assert templates.directory == "templates"
    templates.directory = str(directory)
    assert templates.directory == str(directory)
    assert await templates.render("hello.html", name="you") == "<h1>Hello, you!</h1>"
    assert templates.render_sync("hello.html", name="you") == "<h1>Hello, you!</h1>"


@both_ways
async def test_variables_for_all(way: Way, directory: Path) -> None:
    templates = Templates(directory=directory, context={"name": "initial"})
    assert await templates.render("hello.html") == "<h1>Hello, initial!</h1>"
    templates.context = {"key": "value"}
    templates.context["foo"] = "bar"
    assert templates.render_string("{{ foo }}, {{ key }} and {{ name }}") == "bar, value and "
    assert await templates.render("hello.html") == "<h1>Hello, !</h1>"
    # What Jinja2 brings along stays.
    assert templates.render_string("{% for i in range(2) %}{{ i }}{% endfor %}") == "01"


@both_ways
async def test_one_that_does_not_exist(way: Way, directory: Path) -> None:
    with pytest.raises(jinja2.TemplateNotFound):
        await Templates(directory=directory).render("nope.html")
    with pytest.raises(jinja2.TemplateNotFound):
        Templates(directory=directory).render_sync("../hello.html")


def test_a_directory_in_the_wrong_place() -> None:
    with pytest.raises(TypeError, match=r"say Templates\(directory='pages'\)"):
        Templates("pages")


def test_without_jinja2(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "jinja2":
            raise ImportError("No module named 'jinja2'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'autobahnlike\[app\]'"):
        Templates()
