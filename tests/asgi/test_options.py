"""What can be set, and what cannot be an application."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from autobahnlike.asgi import ServerOptions
from autobahnlike.asgi.server import check_application
from autobahnlike.exception import InvalidArgument
from tests.asgi.kit import hello_app


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"lifespan": "maybe"}, "lifespan must be one of auto, on, off, not 'maybe'"),
        ({"root_path": "api"}, "root_path must begin with /, as in /api, unlike 'api'"),
        ({"proxies": -1}, "proxies must be at least 0, not -1"),
        ({"proxies": True}, "proxies is a number of proxies, not True"),
        ({"proxies": "127.0.0.1"}, "proxies is a number of proxies, not '127.0.0.1'"),
        ({"max_body_size": -1}, "max_body_size must be at least 0, not -1"),
        ({"head_timeout": -0.5}, "head_timeout must be at least 0, not -0.5"),
        ({"write_timeout": float("nan")}, "write_timeout must be at least 0, not nan"),
    ],
)
def test_values_that_may_not_be(options: Any, error: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        ServerOptions(**options)
    assert str(raised.value) == error


def test_defaults() -> None:
    options = ServerOptions()
    assert (options.lifespan, options.root_path, options.max_head_size) == ("auto", "", 65536)
    assert (options.max_body_size, options.body_timeout, options.write_timeout) == (16777216, 30.0, 60.0)
    assert ServerOptions(root_path="/api", max_body_size=0).root_path == "/api"


class Application:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        pass

    async def method(self, scope: Any, receive: Any, send: Any) -> None:
        pass


def test_applications() -> None:
    for app in (hello_app, Application(), Application().method, functools.partial(hello_app), lambda *arguments: None):
        check_application(app)
    # Which tells nothing about its arguments.
    check_application(type)


@pytest.mark.parametrize(
    ("app", "error"),
    [
        (None, "an ASGI application is callable, unlike None"),
        ("module:app", "an ASGI application is callable, unlike 'module:app'"),
        (lambda: hello_app, "is it a factory of applications"),
        (lambda scope: None, "does not take (scope, receive, send)"),
        (lambda environ, start_response: None, "or an application of ASGI 2 or WSGI?"),
        (Application, "does not take (scope, receive, send)"),
    ],
)
def test_what_is_none(app: Any, error: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        check_application(app)
    assert error in str(raised.value)
