"""For which hosts the proxy answers, who may use it, and where the gateway is."""

from __future__ import annotations

import math
from typing import Any

import pytest

from autobahnlike.awsproxy import ProxyOptions, parse_upstream
from autobahnlike.awsproxy.authority import domains_of
from autobahnlike.awsproxy.options import AWS_HOSTS, parse_network


@pytest.mark.parametrize(
    ("host", "port", "is_ours"),
    [
        ("abc.execute-api.us-west-2.amazonaws.com", 443, True),
        ("abc.execute-api.cn-north-1.amazonaws.com.cn", 443, True),
        ("abc.execute-api.us-west-2.amazonaws.com", 8443, False),
        ("execute-api.us-west-2.amazonaws.com", 443, False),
        ("dynamodb.us-west-2.amazonaws.com", 443, False),
        ("abc.execute-api.us-west-2.amazonaws.com.evil.example", 443, False),
        ("abc.execute-api.us-west-2.evilamazonaws.com", 443, False),
    ],
)
def test_hosts_of_api_gateway(host: str, port: int, is_ours: bool) -> None:
    assert ProxyOptions().answers_for(host, port) is is_ours


def test_hosts_of_ones_own() -> None:
    options = ProxyOptions(hosts=("WS.example.com",))
    assert options.answers_for("ws.example.com", 443)
    assert not options.answers_for("abc.execute-api.us-west-2.amazonaws.com", 443)


def test_who_may() -> None:
    options = ProxyOptions(allowed=(parse_network("172.17.0.0/16"), parse_network("fd00::1")))
    for client in ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1", "172.17.200.9", "::ffff:172.17.0.9", "fd00::1"):
        assert options.is_allowed(client), client
    for client in ("172.18.0.1", "192.0.2.1", "fd00::2", "fe80::1%eth0", "::ffff:192.0.2.1"):
        assert not options.is_allowed(client), client
    assert not ProxyOptions().is_allowed("172.17.0.1")


@pytest.mark.parametrize("text", ["", "everybody", "10.0.0.1/8", "10.0.0.0/33", "example.com"])
def test_networks_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no address, and no network like"):
        parse_network(text)


@pytest.mark.parametrize(
    "options",
    [
        {"head_size": 0},
        {"max_connections": 0},
        {"idle_timeout": 0},
        {"head_timeout": -1},
        {"connect_timeout": math.inf},
        {"handshake_timeout": math.nan},
        {"hosts": [""]},
        {"hosts": ["https://example.com"]},
        {"hosts": ["example.com:443"]},
    ],
)
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"has to be|is no pattern"):
        ProxyOptions(**options)


def test_domains_of_patterns() -> None:
    assert domains_of(AWS_HOSTS) == ["amazonaws.com", "amazonaws.com.cn"]
    assert domains_of(["ws.example.com", "*.example.com", "a*.example.org", "?.example.org"]) == [
        "ws.example.com",
        "example.com",
        "example.org",
    ]
    for pattern in ("*", "*.*", "ex*", "[a-z]"):
        with pytest.raises(ValueError, match="is for any domain"):
            domains_of([pattern])


def test_where_the_gateway_is() -> None:
    upstream = parse_upstream("http://127.0.0.1:8000")
    assert (upstream.host, upstream.port, upstream.path, upstream.context) == ("127.0.0.1", 8000, None, None)
    assert parse_upstream("http://[::1]/").host == "::1"
    assert parse_upstream("http://gateway").port == 80
    secure = parse_upstream("https://gateway.example.com")
    assert (secure.host, secure.port) == ("gateway.example.com", 443)
    assert secure.context is not None
    assert secure.context.check_hostname
    assert parse_upstream("unix:/run/gateway.sock").path == "/run/gateway.sock"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000",
        "unix:",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://x/api",
        "http://u:p@x",
        "ws://x:1",
        "http://x?y",
        "http://x#y",
        "http://[::1",
    ],
)
def test_where_it_cannot_be(url: str) -> None:
    with pytest.raises(ValueError, match=r"is not like|is no URL|more than a host|is missing"):
        parse_upstream(url)
