"""``--proxies``: whom the commands believe."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from twisted.python.usage import UsageError

from autobahnlike.cli.twistd import Options
from tests.cli.process import DEADLINE, LOOPS, Process, serving_app, write_application

TARGET = "tests.gateway.served_applications:app"


def scheme_of(url: str) -> str:
    """The scheme that the application sees when a client claims to use TLS."""
    answer = httpx.get(url, headers={"X-Forwarded-Proto": "https"}, trust_env=False, timeout=DEADLINE)
    return answer.text.split()[0]


@pytest.mark.parametrize("loop", LOOPS)
def test_serve_believes_as_many_as_it_is_told(tmp_path: Path, loop: str) -> None:
    write_application(tmp_path)
    with serving_app(tmp_path, "--loop", loop) as (_, urls):
        assert scheme_of(urls[0]) == "http"
    with serving_app(tmp_path, "--loop", loop, "--proxies", "1") as (_, urls):
        assert scheme_of(urls[0]) == "https"


def test_there_are_no_fewer_than_none(tmp_path: Path) -> None:
    write_application(tmp_path)
    with Process("serve", "hello:app", "--proxies", "-1", cwd=tmp_path) as process:
        assert process.status() == 2
        assert "proxies must be at least 0, not -1" in process.err.all()
    with pytest.raises(UsageError, match="proxies must be at least 0, not -1"):
        Options().parseOptions(["--app", TARGET, "--proxies", "-1"])  # type: ignore[no-untyped-call]


def test_twistd() -> None:
    options = Options()
    options.parseOptions(["--app", TARGET, "--proxies", "2"])  # type: ignore[no-untyped-call]
    assert options["options"].proxies == 2
