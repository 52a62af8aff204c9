"""``autobahnlike aws-proxy``: what it says, and what it refuses to do."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest

from autobahnlike.cli import main
from tests.cli.process import Process

TO = ["--to", "http://127.0.0.1:8000"]


def fail(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as caught:
        main(["aws-proxy", *arguments])
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--to"),
        (["--to", "127.0.0.1:8000"], "is not like http://127.0.0.1:8000, https://host or unix:PATH"),
        ([*TO, "--listen", "nowhere"], "give a port"),
        ([*TO, "--listen", "unix:x"], "HTTPS_PROXY is a host and a port"),
        ([*TO, "--listen", "0.0.0.0:0"], "other machines could use the proxy at 0.0.0.0: say which of them may"),
        ([*TO, "--allow", "everybody"], "'everybody' is no address, and no network like"),
        ([*TO, "--host", "*"], "is for any domain"),
        ([*TO, "--host", "https://x"], "is no pattern"),
        ([*TO, "--idle-timeout", "0"], "idle_timeout has to be"),
        ([*TO, "--max-connections", "0"], "max_connections has to be"),
        ([*TO, "--ca", "x", "--bundle", "x"], "have to be three files"),
    ],
)
def test_what_cannot_be(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, shown = fail(capsys, *arguments)
    assert (status, said in shown) == (2, True), shown
    assert list(tmp_path.iterdir()) == []


def test_without_what_it_needs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("autobahnlike.cli.aws_proxy.is_installed", lambda package: package != "cryptography")
    assert fail(capsys, *TO) == (
        2,
        "autobahnlike: aws-proxy needs cryptography: pip install 'autobahnlike[aws-proxy]'\n",
    )


def test_what_is_out_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ca = ["--ca", str(tmp_path / "ca.pem")]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, said = fail(capsys, *TO, *ca, "--listen", port)
        assert (status, said) == (1, f"autobahnlike: cannot listen on {port}: Address already in use\n")
    (tmp_path / "ca.key").write_text("x")
    (tmp_path / "ca.key").chmod(0o644)
    status, said = fail(capsys, *TO, *ca, "--listen", "0")
    assert (status, "ca.key can be read by others" in said) == (1, True)
    status, said = fail(capsys, *TO, "--ca", str(tmp_path / "nowhere" / "ca.pem"), "--listen", "0")
    assert (status, "nowhere" in said) == (1, True)


def test_others_if_it_is_said_who(tmp_path: Path) -> None:
    ca = ["--ca", str(tmp_path / "ca.pem")]
    with Process("aws-proxy", *TO, *ca, "--listen", "0.0.0.0:0", "--allow", "172.17.0.0/16") as process:
        process.out.expect(r"HTTPS_PROXY=http://0\.0\.0\.0:\d+\n")
        process.err.expect("give the gateway keys, unless you trust all of 172.17.0.0/16")
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0


def test_files_where_they_are_wanted(tmp_path: Path) -> None:
    names = [str(tmp_path / name) for name in ("authority.crt", "private.pem", "all.pem")]
    files = ["--ca", names[0], "--ca-key", names[1], "--bundle", names[2]]
    with Process("aws-proxy", *TO, *files, "--listen", "0", "--host", "*.ws.example.com") as process:
        process.out.expect(rf"\nAWS_CA_BUNDLE={names[2]}\n")
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert process.err.all() == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.pem", "authority.crt", "private.pem"]
    # It was made for another domain than that of API Gateway.
    with Process("aws-proxy", *TO, *files, "--listen", "0") as process:
        process.err.expect(r"are for ws\.example\.com, not for amazonaws\.com: delete both")
        assert process.status() == 1
