"""``run``: an application in a process of its own, on all four loops."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import re
import signal
import socket
import sys
import textwrap
import urllib.request
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from autobahnlike.asgi import LifespanFailed, run
from autobahnlike.asgi.failure import CannotListen, CannotServe
from autobahnlike.asgi.runner import is_installed, run_server
from tests.cli.process import APPLICATION, DEADLINE, LOOPS, Process

each_loop = pytest.mark.parametrize("loop", LOOPS)

PROGRAM = f"""
import json, sys
from autobahnlike.asgi import run
{APPLICATION}

run(app, announce=False, on_ready=lambda urls: print(json.dumps(urls), flush=True), **json.loads(sys.argv[1]))
print("over")
"""


def program(**arguments: object) -> Process:
    return Process(json.dumps(arguments), code=PROGRAM)


def urls_of(process: Process) -> list[str]:
    found: list[str] = json.loads(process.out.expect(r"\[.*\]")[0])
    return found


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=DEADLINE) as response:
        return str(response.read().decode())


@each_loop
def test_it_serves_everywhere_until_a_signal_ends_it_gracefully(loop: str) -> None:
    with program(listen=["0", "127.0.0.1:0"], loop=loop) as process:
        first, second = urls_of(process)
        for url in (first, second):
            assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*/", url)
            assert get(url) == f"http  {process.popen.pid}"
        with connect(f"ws{first.removeprefix('http')}") as connection:
            connection.send("hello")
            assert connection.recv(DEADLINE) == "hello"
            process.popen.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionClosed) as closed:
                connection.recv(DEADLINE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        assert process.status() == 0
        assert re.search(r"lifespan\.startup.*lifespan\.shutdown.*\nover\n$", process.out.all(), re.DOTALL)
        assert process.err.all() == ""


SLOW = """
from autobahnlike.asgi import run


async def app(scope, receive, send):
    while True:
        await receive()
        print("starting", flush=True)


run(app, listen="0", loop={loop!r}, lifespan_options)
print("over")
"""


@each_loop
def test_an_application_that_never_gets_ready_can_be_ended(loop: str) -> None:
    code = SLOW.format(loop=loop).replace(
        "lifespan_options", "options=__import__('autobahnlike.asgi').asgi.ServerOptions(shutdown_timeout=0.1)"
    )
    with Process(code=code) as process:
        process.out.expect("starting")
        process.popen.send_signal(signal.SIGINT)
        assert process.status() == 0
        assert "Listening" not in process.out.all()
        assert "Traceback" not in process.err.all()


REFUSING = textwrap.dedent(
    """
    import sys
    from autobahnlike.asgi import LifespanFailed, run


    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})


    try:
        run(app, listen="0", loop=sys.argv[1])
    except LifespanFailed as error:
        print("refused:", error)
    """
)


@each_loop
def test_an_application_that_does_not_start_is_an_exception(loop: str) -> None:
    with Process(loop, code=REFUSING) as process:
        assert process.status() == 0
        assert process.out.all() == "refused: the application failed to start: no database\n"


def test_the_reactor_of_asyncio_cannot_be_had_beside_another_one() -> None:
    code = textwrap.dedent(
        """
        from twisted.internet import reactor
        from autobahnlike.asgi import run
        run(lambda scope, receive, send: None, listen="0", loop="twisted-asyncio")
        """
    )
    with Process(code=code) as process:
        assert process.status() == 1
        assert "something imported twisted.internet.reactor too early" in process.err.all()


def app(scope: object, receive: object, send: object) -> None:
    raise AssertionError("not to be called")


def test_the_lifespan_error_is_public() -> None:
    assert issubclass(LifespanFailed, Exception)


def test_a_port_in_use_is_said_with_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotListen, match=f"cannot listen on {place}: Address already in use"):
            run(app, listen=place)


def test_nothing_stays_open_when_one_of_the_addresses_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(CannotListen, match="cannot listen on nonsense: give a port"):
        run(app, listen=[str(port), "nonsense"])
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_loop_that_does_not_exist() -> None:
    with pytest.raises(CannotServe, match="there is no loop 'trio', but asyncio, uvloop, twisted, twisted-asyncio"):
        run(app, loop="trio")


def test_a_loop_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "twisted", None)
    with pytest.raises(CannotServe, match=r"the loop twisted needs twisted: pip install 'autobahnlike\[twisted\]'"):
        run(app, loop="twisted")


def test_a_folder_that_a_plug_in_leaves_behind_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leftover" / "plugins").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert importlib.util.find_spec("leftover") is not None
    assert not is_installed("leftover")
    assert is_installed("h11")


def test_sockets_that_are_given_stay_open() -> None:
    class Failing:
        scheme = "ws"

        def on_asyncio(self, sockets: object) -> None:
            raise NotImplementedError

    with socket.create_server(("127.0.0.1", 0)) as sock:
        with pytest.raises(NotImplementedError):
            run_server(Failing(), [sock], "asyncio", print)  # type: ignore[arg-type]
        assert sock.fileno() >= 0
