"""A worker without an SDK of AWS, in another language: that of the shell, which signs what it sends."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.gateway.chalice_kit import hosting
from tests.gateway.test_chalice_apps import each_loop, hear, stop
from tests.gateway.test_workers import GONE, WRONG, base_of, folder, id_of
from tests.gateway.workers_kit import KEY, proxying, run_worker

__all__ = ("folder",)


@each_loop
@pytest.mark.parametrize("is_signed", [False, True])
def test_a_worker_in_shell(loop: str, is_signed: bool, folder: Path) -> None:
    arguments = ["--keys", str(folder / "keys")] if is_signed else []
    with (
        hosting(folder, loop, *arguments) as (gateway, url),
        proxying(base_of(url), folder) as (_, environment),
        connect(url) as client,
    ):
        environment |= {"CURL_CA_BUNDLE": environment["AWS_CA_BUNDLE"]}
        # Of characters that ids and messages have, none may be lost between all the quotes.
        for text in ("Dinner is ready", "", "gr\xfc\xdfe\n  'and' \"more\" $x `y` %41 \\n"):
            done = run_worker(["worker.sh", id_of(client), text], folder, environment | KEY)
            assert (done.stdout, done.stderr) == ("sent\n", "")
            assert hear(client) == text
        for connection_id in (GONE, "-_-_-_-_-_-_-_-=", secrets.token_urlsafe(11)):
            done = run_worker(["worker.sh", connection_id, "x"], folder, environment | KEY)
            assert (done.stdout, done.stderr) == (f"{connection_id} is gone\n", "")
        if is_signed:
            done = run_worker(["worker.sh", id_of(client), "x"], folder, environment | WRONG)
            assert (done.returncode, done.stderr) == (1, "the answer was 403\n")
            client.send("nothing else came")
            assert hear(client) == "nothing else came"
        assert stop(gateway) == ""


def test_what_curl_is_told_if_there_is_no_gateway(folder: Path) -> None:
    with proxying("http://127.0.0.1:9", folder) as (_, environment):
        environment |= {"CURL_CA_BUNDLE": environment["AWS_CA_BUNDLE"]}
        done = run_worker(["worker.sh", GONE, "x"], folder, environment | KEY)
        assert done.returncode != 0
        assert "502" in done.stderr
