"""Where to listen."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from autobahnlike.asgi.address import Address, TcpAddress, UnixAddress, open_sockets, parse_address, url_of
from autobahnlike.exception import InvalidArgument


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9000", TcpAddress("127.0.0.1", 9000)),
        ("0", TcpAddress("127.0.0.1", 0)),
        ("65535", TcpAddress("127.0.0.1", 65535)),
        ("localhost:8080", TcpAddress("localhost", 8080)),
        ("0.0.0.0:80", TcpAddress("0.0.0.0", 80)),
        ("[::1]:9000", TcpAddress("::1", 9000)),
        ("[fe80::1%eth0]:9000", TcpAddress("fe80::1%eth0", 9000)),
        ("unix:/run/echo.sock", UnixAddress("/run/echo.sock")),
        ("unix:echo.sock", UnixAddress(os.path.abspath("echo.sock"))),
    ],
)
def test_an_address_is_a_port_a_host_with_a_port_or_a_path(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "give a port"),
        ("http", "give a port"),
        ("-1", "give a port"),
        ("65536", "give a port"),
        ("9" * 5000, "give a port"),
        ("٣", "give a port"),
        ("localhost:", "give a port"),
        ("localhost:http", "give a port"),
        ("::1:9000", "in brackets"),
        (":9000", "the host is missing"),
        ("[]:9000", "the host is missing"),
        ("unix:", "the path"),
    ],
)
def test_anything_else_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        parse_address(text)


def test_port_0_is_any_free_port_and_the_url_has_the_real_one() -> None:
    (sock,) = open_sockets(TcpAddress("127.0.0.1", 0))
    with sock:
        port = sock.getsockname()[1]
        assert port != 0
        assert url_of(sock) == f"ws://127.0.0.1:{port}/"


@pytest.mark.parametrize("scheme", ["ws", "wss", "http", "https"])
def test_the_url_has_the_scheme_that_is_served(scheme: str) -> None:
    (sock,) = open_sockets(TcpAddress("127.0.0.1", 0))
    with sock:
        assert url_of(sock, scheme) == f"{scheme}://127.0.0.1:{sock.getsockname()[1]}/"


def test_the_url_of_ipv6_has_brackets() -> None:
    (sock,) = open_sockets(TcpAddress("::1", 0))
    with sock:
        assert url_of(sock) == f"ws://[::1]:{sock.getsockname()[1]}/"


def fake_resolver(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def getaddrinfo(host: str, port: int, **_: object) -> list[object]:
        return [
            (socket.AF_INET6, 1, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, 1, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_name_with_several_addresses_has_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_resolver(monkeypatch, "127.0.0.1", "127.0.0.1", "127.0.0.2")
    sockets = open_sockets(TcpAddress("somewhere", 0))
    names = [sock.getsockname() for sock in sockets]
    for sock in sockets:
        sock.close()
    assert [host for host, _ in names] == ["127.0.0.1", "127.0.0.2"]
    assert len({port for _, port in names}) == 1


def test_an_address_that_this_machine_does_not_have_is_left_out_if_there_is_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # TEST-NET-1 of RFC 5737
    fake_resolver(monkeypatch, "192.0.2.1", "127.0.0.1")
    (sock,) = open_sockets(TcpAddress("somewhere", 0))
    with sock:
        assert sock.getsockname()[0] == "127.0.0.1"


def test_it_is_an_error_if_there_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_resolver(monkeypatch, "192.0.2.1")
    with pytest.raises(OSError, match="assign") as caught:
        open_sockets(TcpAddress("somewhere", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_a_port_in_use_is_an_error_also_on_the_second_address(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_resolver(monkeypatch, "127.0.0.1", "127.0.0.2")
    with socket.create_server(("127.0.0.2", 0)) as taken, pytest.raises(OSError, match="in use"):
        open_sockets(TcpAddress("somewhere", taken.getsockname()[1]))


def test_what_cannot_be_a_host_name_is_an_error() -> None:
    with pytest.raises(OSError, match="is not a host name"):
        open_sockets(TcpAddress("a" * 64 + ".example", 0))


def test_the_url_of_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "a b"
    (sock,) = open_sockets(UnixAddress(str(path)))
    with sock:
        assert url_of(sock) == f"ws://unix:{tmp_path}/a%20b"


def test_a_unix_socket_that_nobody_listens_on_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "stale")
    for sock in open_sockets(UnixAddress(path)):
        sock.close()
    (sock,) = open_sockets(UnixAddress(path))
    with sock, socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_unix_socket_in_use_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "live")
    (sock,) = open_sockets(UnixAddress(path))
    with sock, socket.socket(socket.AF_UNIX) as client:
        with pytest.raises(OSError, match="in use"):
            open_sockets(UnixAddress(path))
        client.connect(path)


def test_a_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        open_sockets(UnixAddress(str(path)))
    assert path.read_text() == "precious"


def test_a_platform_without_unix_sockets_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")
    with pytest.raises(OSError, match="no Unix domain sockets"):
        open_sockets(UnixAddress("/nowhere"))
