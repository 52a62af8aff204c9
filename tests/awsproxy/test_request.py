"""What clients of the proxy ask for, and how they are answered."""

from __future__ import annotations

import h11
import pytest

from autobahnlike.awsproxy.request import Head, Refused, Target

LIMIT = 4096


def ask(text: str | bytes) -> Target | None:
    return Head(LIMIT).feed(text.encode() if isinstance(text, str) else text)


def refusal_of(text: str | bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(text)
    return caught.value


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        ("abc.execute-api.us-west-2.amazonaws.com:443", "abc.execute-api.us-west-2.amazonaws.com", 443),
        ("ABC.Example.COM.:8443", "abc.example.com", 8443),
        ("127.0.0.1:1", "127.0.0.1", 1),
        ("[::1]:65535", "::1", 65535),
        ("under_score:443", "under_score", 443),
    ],
)
def test_targets(target: str, host: str, port: int) -> None:
    asked = ask(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
    assert asked == (host, port)
    assert str(asked) == (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


@pytest.mark.parametrize(
    "target",
    [
        "host",
        "host:",
        "host:0",
        "host:65536",
        "host:-1",
        ":443",
        "[::1]",
        "::1:443",
        "[nope]:443",
        "a..b:443",
        "https://host:443",
        "user@host:443",
        "host:443/",
        "h\xf6st:443",
        f"{'a' * 254}:443",
        ".:443",
        "a%41:443",
    ],
)
def test_targets_that_are_none(target: str) -> None:
    refused = refusal_of(f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode("latin-1"))
    assert refused.status == 400


@pytest.mark.parametrize(
    "line",
    ["GET http://example.com/ HTTP/1.1", "POST /api/@connections/x HTTP/1.1", "OPTIONS * HTTP/1.1"],
)
def test_plain_http_is_not_its_business(line: str) -> None:
    refused = refusal_of(f"{line}\r\nHost: x\r\n\r\n")
    assert refused.status == 405
    assert "HTTPS_PROXY" in refused.text


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"CONNECT host:443 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT host:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"CONNECT host:443 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"CONNECT host:443 HTTP/1.1\r\nHost: x\r\nX: " + b"x" * LIMIT, 431),
    ],
)
def test_requests_that_are_none(text: bytes, status: int) -> None:
    assert refusal_of(text).status == status


def test_a_request_that_comes_in_pieces_and_what_follows() -> None:
    head = Head(LIMIT)
    text = b"CONNECT host:443 HTTP/1.1\r\nHost: host:443\r\nProxy-Connection: keep-alive\r\n\r\n"
    for place in range(len(text) - 1):
        assert head.feed(text[place : place + 1]) is None
    assert head.feed(text[-1:] + b"\x16\x03") == ("host", 443)
    assert head.rest == b"\x16\x03"
    assert head.accepted() == b"HTTP/1.1 200 Connection established\r\n\r\n"


def test_an_end_before_a_request() -> None:
    with pytest.raises(EOFError):
        ask(b"")
    head = Head(LIMIT)
    assert head.feed(b"CONNECT ho") is None
    with pytest.raises(Refused):
        head.feed(b"")


def test_a_refusal_is_a_response() -> None:
    head = Head(LIMIT)
    with pytest.raises(Refused) as caught:
        head.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(head.refused(caught.value))
    response = client.next_event()
    assert isinstance(response, h11.Response)
    fields = dict(response.headers)
    assert (response.status_code, response.reason.decode()) == (405, caught.value.text)
    assert (fields[b"allow"], fields[b"connection"]) == (b"CONNECT", b"close")
    body = client.next_event()
    assert isinstance(body, h11.Data)
    assert body.data.decode() == f"{caught.value.text}\n"
    assert isinstance(client.next_event(), h11.EndOfMessage)
