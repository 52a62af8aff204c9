"""Settings, and what is plugged in by them."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autobahnlike.app import App, Request, Response, SettingsError, configure, create_client, settings


class TestReading:
    def test_from_an_object_and_keywords(self) -> None:
        class Given:
            ONE = "one"
            TWO = "overridden"
            _IGNORED = "ignored"
            ignored_too = "ignored too"

        app = App()
        assert configure(app, Given(), two="two") is app
        assert (settings.ONE, settings.TWO) == ("one", "two")
        assert settings.get("TWO") == "two"
        assert settings.get("THREE", 3) == 3
        assert "ONE" in settings
        assert "two" not in settings
        for name in ("THREE", "_IGNORED", "ignored_too", "IGNORED_TOO"):
            assert name not in settings
            with pytest.raises(AttributeError, match=f"there is no setting {name}"):
                getattr(settings, name)
        settings.ONE = 1
        assert settings.ONE == 1

    def test_the_object_as_a_keyword(self) -> None:
        configure(App(), settings=SimpleNamespace(ONE="one"))
        assert settings.ONE == "one"

    def test_before_they_are_configured(self) -> None:
        assert not settings.configured
        assert "FOO" not in settings
        with pytest.raises(SettingsError, match=r"^Requested setting FOO but settings aren't configured yet\.$"):
            _ = settings.FOO
        with pytest.raises(SettingsError, match="FOO"):
            settings.get("FOO")
        with pytest.raises(SettingsError, match="FOO cannot be changed"):
            settings.FOO = 1

    def test_tools_that_ask_for_special_names_are_not_told_of_settings(self) -> None:
        assert not hasattr(settings, "__wrapped__")
        assert copy.copy(settings) is not settings

    def test_a_second_time(self) -> None:
        configure(App())
        assert settings.configured
        with pytest.raises(RuntimeError, match=r"^Settings are already configured$"):
            configure(App())

    def test_after_a_failure_they_can_be_configured_again(self) -> None:
        with pytest.raises(SettingsError):
            configure(App(), sessions={"secret_key": ""})
        assert not settings.configured
        configure(App(), sessions={"secret_key": "s3kr3t"})

    def test_names_of_settings_are_upper_case(self) -> None:
        with pytest.raises(SettingsError, match="'lower'"):
            settings.configure(lower=1)


class TestPlugins:
    def test_functions_and_conditions(self) -> None:
        called = []

        def one(app: App) -> None:
            called.append(("one", app, settings.MESSAGE))

        def two(app: App) -> None:
            called.append(("two", app, None))

        app = configure(App(), plugins=[one, {two: False}], message="hi")
        assert called == [("one", app, "hi")]
        settings._clear()
        called.clear()
        app = configure(App(), plugins=[{two: True}])
        assert called == [("two", app, None)]

    def test_allowed_hosts(self) -> None:
        app = configure(App(), allowed_hosts=["example.com"])

        @app.route("/")
        async def index(req: Request, res: Response) -> None: ...

        assert create_client(app, base_url="http://example.com").get("/").status_code == 200
        assert create_client(app, base_url="http://example.org").get("/").status_code == 400

    def test_any_host(self) -> None:
        app = configure(App(), allowed_hosts=["*"])
        assert create_client(app, base_url="http://example.org").get("/").status_code == 404

    @pytest.mark.parametrize(
        ("cors", "allowed"), [(True, None), ({"allow_origins": ["http://page.example"]}, "http://page.example")]
    )
    def test_cors(self, cors: Any, allowed: str | None) -> None:
        app = configure(App(), cors=cors)

        @app.route("/")
        async def index(req: Request, res: Response) -> None: ...

        response = create_client(app).get("/", headers={"origin": "http://page.example"})
        assert response.status_code == 200
        assert response.headers.get("access-control-allow-origin") == allowed

    def test_hsts(self) -> None:
        app = configure(App(), hsts=True)
        response = create_client(app).get("/path", follow_redirects=False)
        assert (response.status_code, response.headers["location"]) == (307, "https://testserver/path")

    def test_gzip_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="`GZIP` is not offered"):
            configure(App(), gzip=True)

    def test_provider_modules(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "providers_of_a_test.py").write_text(
            "from autobahnlike.app import provider\n"
            "@provider\ndef template(): return 'Hello, {}!'\n"
            "@provider\nasync def message(template, who):\n    yield template.format(who)\n"
            "@provider(scope='app')\ndef who(): yield 'providers'\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        app = configure(App(), provider_modules=["providers_of_a_test"])
        sys.modules.pop("providers_of_a_test")

        @app.route("/")
        async def index(req: Request, res: Response, message: str) -> None:
            res.text = message

        # Both are promised by Bocadillo's guide, and broken in Bocadillo: providers that use providers, and generators
        # when modules are named.
        assert create_client(app).get("/").text == "Hello, providers!"

    def test_provider_modules_must_be_a_list(self) -> None:
        with pytest.raises(SettingsError, match="must be a list of module names, not 'one'"):
            configure(App(), provider_modules="one")
        with pytest.raises(ImportError):
            configure(App(), provider_modules=["there_is_no_such_module"])

    def test_static_files(self, tmp_path: Path) -> None:
        (tmp_path / "foo.js").write_text("console.log('foo!');")
        app = configure(App(), static_dir=tmp_path, static_root="assets", static_config={"max_age": 30})
        client = create_client(app)
        response = client.get("/assets/foo.js")
        assert response.text == "console.log('foo!');"
        assert response.headers["cache-control"] == "max-age=30, public"
        assert client.get("/static/foo.js").status_code == 404

    def test_the_directory_static_is_served_if_it_exists(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        app = configure(App())
        assert app.router.routes == []
        (tmp_path / "static").mkdir()
        (tmp_path / "static" / "foo.js").write_text("foo")
        settings._clear()
        assert create_client(configure(App())).get("/static/foo.js").text == "foo"
        settings._clear()
        assert create_client(configure(App(), static_dir=None)).get("/static/foo.js").status_code == 404


class TestRedirectTrailingSlash:
    @pytest.mark.parametrize(("configured", "status"), [({}, 302), ({"redirect_trailing_slash": False}, 404)])
    def test_it_can_be_switched_off(self, configured: dict[str, Any], status: int) -> None:
        app = configure(App(), **configured)

        @app.route("/foo/")
        async def foo(req: Request, res: Response) -> None: ...

        response = create_client(app).get("/foo?a=1", follow_redirects=False)
        assert response.status_code == status
        if status == 302:
            assert response.headers["location"] == "http://testserver/foo/?a=1"
