"""Static files: only those below the directory, with what browsers need to keep them."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import pytest

from autobahnlike.app import App, static

from .harness import Response, Way, both_ways

TEXT = "console.log('foo!');"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "js").mkdir(parents=True)
    (folder / "js" / "foo.js").write_text(TEXT)
    (folder / "empty.txt").write_text("")
    (tmp_path / "secret.txt").write_text("secret")
    os.utime(folder / "js" / "foo.js", (1_500_000_000, 1_500_000_000))
    return folder


def mounted(root: Path, **options: Any) -> App:
    app = App()
    app.mount("static", static(root, **options))
    return app


@both_ways
async def test_a_file(way: Way, root: Path) -> None:
    response = await way.request(mounted(root), "/static/js/foo.js")
    assert (response.status, response.text) == (200, TEXT)
    assert response.header("content-type") == 'text/javascript; charset="utf-8"'
    assert response.header("content-length") == str(len(TEXT))
    assert response.header("cache-control") == "max-age=60, public"
    assert response.header("last-modified") == "Fri, 14 Jul 2017 02:40:00 GMT"
    assert response.header("etag")
    assert response.header("accept-ranges") == "bytes"


@both_ways
async def test_by_itself_and_below_a_root_path(way: Way, root: Path) -> None:
    assert (await way.request(static(root), "/js/foo.js")).text == TEXT
    assert (await way.request(static(root), "/site/js/foo.js", root_path="/site")).text == TEXT
    assert (await way.request(mounted(root), "/site/static/js/foo.js", root_path="/site")).text == TEXT


@both_ways
async def test_head(way: Way, root: Path) -> None:
    response = await way.request(mounted(root), "/static/js/foo.js", "HEAD")
    assert (response.status, response.body, response.header("content-length")) == (200, b"", str(len(TEXT)))
    response = await way.request(mounted(root), "/static/nope", "HEAD")
    assert (response.status, response.body) == (404, b"")


@both_ways
async def test_other_methods(way: Way, root: Path) -> None:
    response = await way.request(mounted(root), "/static/js/foo.js", "POST")
    assert (response.status, response.header("allow")) == (405, "GET, HEAD")


@both_ways
async def test_nothing_but_what_is_below_the_directory(way: Way, root: Path) -> None:
    app = mounted(root)
    for path in (
        "/static/nope.js",
        "/static/js",
        "/static/js/",
        "/static/",
        "/static/../secret.txt",
        "/static/js/../../secret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/..%2fsecret.txt",
        "/static/..%5csecret.txt",
        "/static//" + str(root.parent / "secret.txt").lstrip("/"),
        "/static/js/foo.js%00.txt",
        "/static/js/foo.js/",
    ):
        for autorefresh in (False, True):
            response = await way.request(mounted(root, autorefresh=autorefresh), path)
            assert response.status == 404, path
            assert "secret" not in response.text
    assert (await way.request(app, "/static/nope.js")).text == "Not Found"


@both_ways
async def test_a_directory_that_does_not_exist(way: Way, tmp_path: Path) -> None:
    assert (await way.request(mounted(tmp_path / "nope"), "/static/foo.js")).status == 404


@both_ways
async def test_what_the_browser_has_already(way: Way, root: Path) -> None:
    app = mounted(root)
    etag = (await way.request(app, "/static/js/foo.js")).header("etag")
    assert etag is not None

    async def conditional(**headers: str) -> Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await way.request(app, "/static/js/foo.js", headers=fields)

    for condition in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        response = await conditional(if_none_match=condition)
        assert (response.status, response.body) == (304, b"")
        assert response.header("etag") == etag
    assert (await conditional(if_none_match='"other"')).status == 200
    assert (await conditional(if_modified_since="Fri, 14 Jul 2017 02:40:00 GMT")).status == 304
    assert (await conditional(if_modified_since="Fri, 14 Jul 2017 02:39:59 GMT")).status == 200
    assert (await conditional(if_modified_since="whenever")).status == 200


@both_ways
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("bytes=0-6", (206, TEXT[:7], "bytes 0-6/20")),
        ("bytes=0-0", (206, TEXT[:1], "bytes 0-0/20")),
        ("bytes=8-", (206, TEXT[8:], "bytes 8-19/20")),
        ("bytes=-3", (206, TEXT[-3:], "bytes 17-19/20")),
        ("bytes=-99", (206, TEXT, "bytes 0-19/20")),
        ("bytes=10-99", (206, TEXT[10:], "bytes 10-19/20")),
        ("bytes=20-", (416, "", "bytes */20")),
        ("bytes=-0", (416, "", "bytes */20")),
        ("bytes=5-4", (200, TEXT, None)),
        ("bytes=0-1,3-4", (200, TEXT, None)),
        ("bytes=-", (200, TEXT, None)),
        ("lines=0-1", (200, TEXT, None)),
        ("bytes=" + "9" * 5000 + "-", (200, TEXT, None)),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
async def test_ranges(way: Way, root: Path, wanted: str, expected: tuple[int, str, str | None]) -> None:
    response = await way.request(mounted(root), "/static/js/foo.js", headers={"range": wanted})
    assert (response.status, response.text, response.header("content-range")) == expected
    assert response.header("content-length") == str(len(expected[1]))


@both_ways
async def test_a_range_of_what_the_client_has_a_part_of(way: Way, root: Path) -> None:
    app = mounted(root)
    etag = (await way.request(app, "/static/js/foo.js")).header("etag")
    assert etag is not None
    for condition, status in ((etag, 206), ("Fri, 14 Jul 2017 02:40:00 GMT", 206), ('"other"', 200)):
        headers = {"range": "bytes=0-1", "if-range": condition}
        assert (await way.request(app, "/static/js/foo.js", headers=headers)).status == status


@both_ways
async def test_an_empty_file(way: Way, root: Path) -> None:
    response = await way.request(mounted(root), "/static/empty.txt")
    assert (response.status, response.body, response.header("content-length")) == (200, b"", "0")
    response = await way.request(mounted(root), "/static/empty.txt", headers={"range": "bytes=0-"})
    assert response.status == 416


@both_ways
async def test_a_large_file_is_sent_in_parts(way: Way, root: Path) -> None:
    content = bytes(range(256)) * 1000
    (root / "large.bin").write_bytes(content)
    app = mounted(root)
    sizes = []

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        async def count(event: Any) -> None:
            sizes.append(len(event.get("body", b"")))
            await send(event)

        await app(scope, receive, count)

    assert (await way.request(counting, "/static/large.bin")).body == content
    assert max(sizes) <= 65536


@both_ways
async def test_files_that_change_and_go(way: Way, root: Path) -> None:
    app = mounted(root)
    (root / "js" / "foo.js").write_text("changed")
    response = await way.request(app, "/static/js/foo.js")
    assert (response.text, response.header("content-length")) == ("changed", "7")
    (root / "js" / "foo.js").unlink()
    assert (await way.request(app, "/static/js/foo.js")).status == 404
    (root / "new.txt").write_text("new")
    assert (await way.request(app, "/static/new.txt")).status == 404
    assert (await way.request(mounted(root, autorefresh=True), "/static/new.txt")).text == "new"


@both_ways
async def test_compressed_variants(way: Way, root: Path) -> None:
    (root / "js" / "foo.js.gz").write_bytes(b"short")
    headers = {"accept-encoding": "gzip"}
    response = await way.request(mounted(root), "/static/js/foo.js", headers=headers)
    assert (response.body, response.header("content-encoding")) == (b"short", "gzip")
    assert response.header("vary") == "Accept-Encoding"
    assert (await way.request(mounted(root), "/static/js/foo.js")).text == TEXT


@both_ways
async def test_index_files(way: Way, root: Path) -> None:
    (root / "js" / "index.html").write_text("index")
    app = mounted(root, index_file=True)
    assert (await way.request(app, "/static/js/")).text == "index"
    response = await way.request(app, "/static/js")
    assert (response.status, response.header("location")) == (302, "js/")


@both_ways
async def test_other_scopes(way: Way, root: Path) -> None:
    assert (await way.talk(mounted(root), "/static/js/foo.js")).wire == [403]
    with pytest.raises(ValueError, match="not to lifespan"):
        await static(root)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]


def test_without_whitenoise(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    real_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "whitenoise.base":
            raise ImportError("No module named 'whitenoise'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'autobahnlike\[app\]'"):
        static(root)
