"""Finding the application that ``module:attribute`` means, and saying why there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autobahnlike.asgi.failure import CannotLoad
from autobahnlike.asgi.loading import load


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where modules are found, which are forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


APPS = """
class Site:
    async def app(self, scope, receive, send): ...

    name = "site"


site = Site()


async def app(scope, receive, send): ...


def make():
    return app


def make_nothing():
    return None


def make_badly():
    return {}["missing"]
"""


def write(folder: Path, text: str, name: str = "loaded") -> None:
    path = folder / f"{name.replace('.', '/')}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("target", "factory", "name"),
    [("loaded:app", False, "app"), ("loaded:site.app", False, "app"), ("loaded:make", True, "app")],
)
def test_an_application_is_a_name_in_a_module_or_what_that_makes(
    folder: Path, target: str, factory: bool, name: str
) -> None:
    write(folder, APPS)
    assert load(target, factory).__name__ == name


def test_a_module_in_a_package(folder: Path) -> None:
    write(folder, APPS, "package.inner")
    assert load("package.inner:app").__module__ == "package.inner"


def test_the_application_itself_is_taken_as_it_is() -> None:
    async def app(scope: object, receive: object, send: object) -> None: ...

    assert load(app) is app
    assert load(lambda: app, factory=True) is app


@pytest.mark.parametrize(
    ("target", "factory", "problem"),
    [
        ("loaded", False, "write the application as module:attribute, as in chat:app, not 'loaded'"),
        ("loaded:", False, "write the application as module:attribute"),
        (":app", False, "write the application as module:attribute"),
        ("loaded.py:app", False, "there is no module loaded.py"),
        ("./loaded:app", False, "write the application as module:attribute"),
        ("nowhere:app", False, "there is no module nowhere: is it in this directory, or on PYTHONPATH?"),
        ("nowhere.inner:app", False, "there is no module nowhere:"),
        ("loaded:application", False, "the module loaded has no attribute application"),
        ("loaded:site.other", False, "the module loaded has no attribute site.other"),
        ("loaded:site.name", False, "loaded:site.name is not an application: an ASGI application is callable"),
        ("loaded:make", False, "loaded:make is not an application: .* is it a factory"),
        ("loaded:site.name", True, "loaded:site.name makes no application: it cannot be called"),
        ("loaded:make_nothing", True, "what loaded:make_nothing made is not an application"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder: Path, target: str, factory: bool, problem: str) -> None:
    write(folder, APPS)
    with pytest.raises(CannotLoad, match=problem) as caught:
        load(target, factory)
    assert "\n" not in str(caught.value)
    assert caught.value.traceback is None
    assert caught.value.asked_wrongly


@pytest.mark.parametrize(
    ("text", "line", "error"),
    [
        ("def f():\n    1 / 0\n\n\nf()", 5, "ZeroDivisionError: division by zero"),
        ("import nowhere_at_all", 1, "ModuleNotFoundError: No module named 'nowhere_at_all'"),
    ],
)
def test_a_module_that_fails_is_shown_with_its_own_part_of_the_traceback(
    folder: Path, text: str, line: int, error: str
) -> None:
    write(folder, text)
    with pytest.raises(CannotLoad, match="the module loaded failed with") as caught:
        load("loaded:app")
    shown = caught.value.traceback
    assert shown is not None
    assert not caught.value.asked_wrongly
    first, second, *_ = shown.splitlines()
    assert first == "Traceback (most recent call last):"
    assert second == f'  File "{folder / "loaded.py"}", line {line}, in <module>'
    assert shown.endswith(f"{error}\n")


def test_a_module_that_is_not_python_is_shown_without_any_frame(folder: Path) -> None:
    write(folder, "def f(:\n")
    with pytest.raises(CannotLoad) as caught:
        load("loaded:app")
    shown = caught.value.traceback
    assert shown is not None
    assert shown.startswith(f'  File "{folder / "loaded.py"}", line 1\n')
    assert "SyntaxError" in shown


def test_a_factory_that_fails_is_shown_in_the_same_way(folder: Path) -> None:
    write(folder, APPS)
    with pytest.raises(CannotLoad, match="loaded:make_badly failed to make the application with KeyError") as caught:
        load("loaded:make_badly", factory=True)
    assert caught.value.traceback is not None
    assert caught.value.traceback.splitlines()[1].endswith("in make_badly")
