"""``serve module:app``: applications on all four loops, with TLS, and what it says if they cannot be served."""

from __future__ import annotations

import re
import signal
import ssl
import sys
import urllib.request
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.sync.client import connect

from autobahnlike.asgi.failure import CannotUseCertificate
from autobahnlike.asgi.tls import Certificate
from autobahnlike.cli import main
from tests.cli.process import DEADLINE, LOOPS, Process, serving_app, write_application
from tests.programs import echoes_over_tls

each_loop = pytest.mark.parametrize("loop", LOOPS)


def get(url: str, tls: ssl.SSLContext | None = None) -> str:
    with urllib.request.urlopen(url, timeout=DEADLINE, context=tls) as response:
        return str(response.read().decode())


@each_loop
def test_http_and_websockets_are_served_and_logged(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path)
    arguments = ["--loop", loop, "--access-log", "--root-path", "/api"]
    with serving_app(tmp_path, *arguments) as (process, (url,)):
        assert process.out.expect(r"Listening.*\n")[0] == f"Listening on {url} ({loop})\n"
        assert get(f"{url}path") == f"http /api {process.popen.pid}"
        process.err.expect(r' 127\.0\.0\.1:\d+ "GET /path HTTP/1\.1" 200\n')
        with connect(f"ws{url.removeprefix('http')}") as connection:
            connection.send("hello")
            assert connection.recv(DEADLINE) == "hello"
        process.err.expect(r' 127\.0\.0\.1:\d+ "GET /\S* HTTP/1\.1" 101\n')
        process.popen.send_signal(signal.SIGINT)
        assert process.status() == 0
        assert "lifespan.shutdown" in process.out.all()
        assert "Traceback" not in process.err.all()


def test_without_being_asked_requests_are_not_worth_a_line(tmp_path: Path) -> None:
    write_application(tmp_path)
    with serving_app(tmp_path) as (process, (url,)):
        get(url)
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert process.err.all() == ""


def test_nothing_below_the_level_is_shown(tmp_path: Path) -> None:
    write_application(tmp_path)
    with serving_app(tmp_path, "--access-log", "--log-level", "warning") as (process, (url,)):
        get(url)
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert process.err.all() == ""


FACTORY = """
from hello import app


class Sites:
    def make(self):
        return app


sites = Sites()
"""


def test_a_factory_in_an_object_in_a_module_makes_the_application(tmp_path: Path) -> None:
    write_application(tmp_path)
    write_application(tmp_path, "sites", FACTORY)
    with Process("serve", "sites:sites.make", "--factory", "--listen", "0", cwd=tmp_path) as process:
        url = process.out.expect(r"Listening on (\S+)")[1]
        assert get(url).startswith("http")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """A certificate with its chain, its key, and both in one file."""
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.create_child_ca().issue_cert("127.0.0.1")
    chain, key, both = folder / "chain.pem", folder / "key.pem", folder / "both.pem"
    for certificate in issued.cert_chain_pems:
        certificate.write_to_path(str(chain), append=True)
    issued.private_key_pem.write_to_path(str(key))
    both.write_bytes(key.read_bytes() + chain.read_bytes())
    return str(chain), str(key), str(both)


@each_loop
def test_tls(loop: str, authority: trustme.CA, files: tuple[str, str, str], tmp_path: Path) -> None:
    write_application(tmp_path)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    chain, key, _ = files
    with serving_app(tmp_path, "--loop", loop, "--tls-cert", chain, "--tls-key", key) as (process, (url,)):
        assert url.startswith("https://127.0.0.1:")
        assert get(url, trusting) == f"https  {process.popen.pid}"
        assert echoes_over_tls(f"wss{url.removeprefix('https')}", trusting, "hello") == ["hello"]
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
        assert process.err.all() == ""


@pytest.mark.parametrize("loop", ["asyncio", "twisted"])
def test_certificates_that_cannot_be_used_are_told(loop: str, files: tuple[str, str, str], tmp_path: Path) -> None:
    def use(chain: str, key: str | None = None) -> object:
        certificate = Certificate.of(chain, key)
        assert certificate is not None
        return certificate.for_asyncio() if loop == "asyncio" else certificate.for_twisted()

    chain, key, both = files
    assert use(both) is not None
    other = tmp_path / "other.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_pem.write_to_path(str(other))
    empty = tmp_path / "empty.pem"
    empty.touch()
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    for cert_file, key_file, problem in [
        ("/nowhere.pem", None, "cannot use certificate and key in /nowhere.pem: No such file or directory"),
        (chain, "/nowhere.pem", f"in {re.escape(chain)} and /nowhere.pem: No such file or directory"),
        (chain, str(other), "have to be PEM, and to belong together"),
        (chain, None, "have to be PEM, and to belong together"),
        (str(empty), key, "have to be PEM, and to belong together"),
        (chain, str(encrypted), "the key is encrypted; decrypt it first"),
    ]:
        with pytest.raises(CannotUseCertificate, match=problem):
            use(cert_file, key_file)


def test_a_key_alone_is_of_no_use() -> None:
    assert Certificate.of(None, None) is None
    with pytest.raises(CannotUseCertificate, match="of no use without its certificate"):
        Certificate.of(None, "key.pem")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str]:
    with pytest.raises(SystemExit) as caught:
        main(["serve", *arguments])
    captured = capsys.readouterr()
    assert captured.out == ""
    return caught.value.code, captured.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["hello"], "autobahnlike: write the application as module:attribute, as in chat:app, not 'hello'\n"),
        (["nowhere:app"], "autobahnlike: there is no module nowhere: .*\n"),
        (["json:app"], "autobahnlike: the module json has no attribute app\n"),
        (["json:__name__"], "autobahnlike: json:__name__ is not an application: .*\n"),
        (["json:dumps", "--reload", "--workers", "2"], "autobahnlike: --reload is for one process, .*\n"),
        (["json:dumps", "--workers", "0"], "(?s).*a number of at least 1, not '0'\n"),
        (["json:dumps", "--workers", "two"], "(?s).*a number of at least 1, not 'two'\n"),
        (["json:dumps", "--loop", "trio"], "(?s).*invalid choice: 'trio'.*"),
        (["json:dumps", "--log-level", "loud"], "(?s).*invalid choice: 'loud'.*"),
        (["json:dumps", "--root-path", "api"], "autobahnlike: root_path must begin with /.*\n"),
        (["json:dumps", "--tls-key", "key.pem"], "autobahnlike: the key key.pem is of no use .*\n"),
        (["json:dumps", "--listen", "nonsense"], "autobahnlike: cannot listen on nonsense: give a port .*\n"),
        (
            ["json:dumps", "--listen", "tcp:0:interface=127.0.0.1", "--workers", "2"],
            "autobahnlike: cannot listen on tcp:.*; endpoint strings are not for --workers and --reload\n",
        ),
        (["json:dumps", "--inherit", "nonsense"], "autobahnlike: --inherit is for processes that .* start\n"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--listen" not in arguments:
        arguments = [*arguments, "--listen", "0"]
    before = signal.getsignal(signal.SIGINT)
    try:
        status, said = run(capsys, *arguments)
    finally:
        signal.signal(signal.SIGINT, before)
    assert status == 2
    assert re.fullmatch(problem, said)


def test_without_h11_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "h11", None)
    expected = "autobahnlike: serving applications needs h11: pip install 'autobahnlike[asgi]'\n"
    assert run(capsys, "json:dumps") == (2, expected)


@pytest.mark.parametrize("loop", ["asyncio", "twisted"])
def test_a_module_that_fails_is_shown_without_our_part_of_the_traceback(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path, text="1 / 0\n")
    with Process("serve", "hello:app", "--loop", loop, "--listen", "0", cwd=tmp_path) as process:
        assert process.status() == 3
        assert process.out.all() == ""
        said = process.err.all()
        assert said.count("  File ") == 1
        assert said.endswith(
            "ZeroDivisionError: division by zero\nautobahnlike: the module hello failed with ZeroDivisionError\n"
        )


REFUSING = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
"""


@each_loop
def test_an_application_that_does_not_start_is_one_line(loop: str, tmp_path: Path) -> None:
    write_application(tmp_path, text=REFUSING)
    with Process("serve", "hello:app", "--loop", loop, "--listen", "0", cwd=tmp_path) as process:
        assert process.status() == 3
        assert process.out.all() == ""
        assert process.err.all() == "autobahnlike: the application failed to start: no database\n"


def test_it_can_be_mounted_without_a_lifespan(tmp_path: Path) -> None:
    write_application(tmp_path, text=REFUSING.replace("async def", "print('loaded', flush=True)\n\n\nasync def"))
    with serving_app(tmp_path, "--lifespan", "off") as (process, _):
        process.popen.send_signal(signal.SIGTERM)
        assert process.status() == 0
