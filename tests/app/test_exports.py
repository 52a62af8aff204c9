"""The names that users of Bocadillo import, and those that we offer."""

from __future__ import annotations

import subprocess
import sys

import pytest
import starlette.status

import autobahnlike.app
import autobahnlike.testing.app
from autobahnlike.app import status

# What bocadillo/__init__.py of 0.18.3 imports, and API of the older versions.
BOCADILLO = {
    "API",
    "App",
    "ClientDisconnect",
    "ExpectedAsync",
    "HTTPError",
    "LiveServer",
    "Middleware",
    "Redirect",
    "Request",
    "Response",
    "Router",
    "SettingsError",
    "Templates",
    "WebSocket",
    "WebSocketDisconnect",
    "configure",
    "create_client",
    "discover_providers",
    "provider",
    "server_event",
    "settings",
    "static",
    "useprovider",
}

# Of these we have not, and why.
NOT_OFFERED: dict[str, str] = {}


def test_what_bocadillo_exports_we_export_too() -> None:
    missing = {name for name in BOCADILLO if not hasattr(autobahnlike.app, name)}
    assert missing == NOT_OFFERED.keys()
    assert set(autobahnlike.app.__all__) >= BOCADILLO - NOT_OFFERED.keys()


def test_all_that_is_exported_exists() -> None:
    for name in autobahnlike.app.__all__:
        assert getattr(autobahnlike.app, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = autobahnlike.app.nope


def test_the_older_place_of_the_exception() -> None:
    from autobahnlike.app.exceptions import WebSocketDisconnect

    assert autobahnlike.app.WebSocketDisconnect is WebSocketDisconnect


def test_what_tests_need_is_the_same_in_both_places() -> None:
    assert autobahnlike.app.LiveServer is autobahnlike.testing.app.LiveServer
    assert autobahnlike.app.create_client is autobahnlike.testing.app.create_client


def test_close_codes_and_statuses() -> None:
    assert status.WS_1000_NORMAL_CLOSURE == 1000
    assert status.WS_1011_INTERNAL_ERROR == 1011
    assert status.HTTP_404_NOT_FOUND == 404
    assert set(status.__all__) == set(starlette.status.__all__)
    assert {name: getattr(status, name) for name in status.__all__} == {
        name: getattr(starlette.status, name) for name in starlette.status.__all__
    }


def test_extras_are_not_loaded_before_they_are_needed() -> None:
    code = "import sys, autobahnlike.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "autobahnlike.app.application" in loaded
    for name in ("h11", "httpx", "itsdangerous", "jinja2", "twisted", "whitenoise", "autobahnlike.testing"):
        assert name not in loaded
