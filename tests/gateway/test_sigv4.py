"""Signatures, against those of botocore and the example that AWS published."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from autobahnlike.gateway.sigv4 import NotSigned, verify
from tests.gateway.served_applications import KEYS


def signed(
    method: str = "POST",
    path: str = "/api/@connections/L0SM9cOFvHcCIhw%3D",
    query: str = "",
    body: bytes = b"hello",
    secret: str = KEYS["AKIDEXAMPLE"],
    service: str = "execute-api",
    headers: Mapping[str, str] | None = None,
    token: str | None = None,
) -> tuple[list[tuple[str, str]], float]:
    """Have botocore sign a request; returns its header fields, and when it was signed."""
    credentials = Credentials("AKIDEXAMPLE", secret, token)
    url = f"http://127.0.0.1:8000{path}" + (f"?{query}" if query else "")
    request: Any = AWSRequest(method=method, url=url, data=body, headers=dict(headers or {}))
    SigV4Auth(credentials, service, "us-east-1").add_auth(request)
    fields = [(name.lower(), value) for name, value in request.headers.items()]
    date = dict(fields)["x-amz-date"]
    return [("host", "127.0.0.1:8000"), *fields], datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(
        tzinfo=UTC
    ).timestamp()


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/@connections/L0SM9cOFvHcCIhw%3D",
        "/api/%40connections/a%2Fb%2Bc%3D",
        "/@connections/%C3%BC",
        "/api/@connections/a%20b~c_d.e-f",
        "/",
        "/a//b/./c/../d/",
    ],
)
def test_what_botocore_has_signed(method: str, path: str) -> None:
    for body in (b"", b"hello", "grüße".encode(), b"\xff\x00"):
        headers, now = signed(method, path, body=body)
        assert verify(method, path, "", headers, body, KEYS, now) == "AKIDEXAMPLE"


@pytest.mark.parametrize("query", ["a=1", "b=2&a=1&a=0", "a=%20x%2Fy&b=", "Z=1&a=2"])
def test_queries(query: str) -> None:
    headers, now = signed(query=query)
    verify("POST", "/api/@connections/L0SM9cOFvHcCIhw%3D", query, headers, b"hello", KEYS, now)


def test_more_headers_and_a_session_token() -> None:
    headers, now = signed(token="x", headers={"X-Amz-Target": " several   spaces ", "Content-Type": "text/plain"})
    assert "x-amz-security-token" in dict(headers)["authorization"]
    verify("POST", "/api/@connections/L0SM9cOFvHcCIhw%3D", "", headers, b"hello", KEYS, now)


def test_the_published_example() -> None:
    """The request "get-vanilla" of AWS's Signature Version 4 test suite."""
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, "
        "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )
    headers = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z"), ("authorization", authorization)]
    now = datetime(2015, 8, 30, 12, 36, tzinfo=UTC).timestamp()
    assert verify("GET", "/", "", headers, b"", KEYS, now, service="service") == "AKIDEXAMPLE"


def refused(match: str, **changes: Any) -> None:
    headers, now = signed()
    request: dict[str, Any] = {
        "method": "POST",
        "path": "/api/@connections/L0SM9cOFvHcCIhw%3D",
        "query": "",
        "headers": headers,
        "body": b"hello",
        "keys": KEYS,
        "now": now,
    }
    request |= {name: value(request[name]) if callable(value) else value for name, value in changes.items()}
    with pytest.raises(NotSigned, match=match):
        verify(**request)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "DELETE"},
        {"path": "/api/@connections/other"},
        {"query": "a=1"},
        {"body": b"other"},
        {"keys": {"AKIDEXAMPLE": "other"}},
        {"headers": lambda fields: [(n, "other:1" if n == "host" else v) for n, v in fields]},
    ],
)
def test_what_was_changed(changes: dict[str, Any]) -> None:
    refused("does not match", **changes)


def test_a_key_that_is_not_known() -> None:
    refused("security token included in the request is invalid", keys={"other": "x"})
    refused("security token included in the request is invalid", keys={})


@pytest.mark.parametrize(("seconds", "match"), [(301, "expired"), (-301, "not yet current")])
def test_old_and_early_ones(seconds: int, match: str) -> None:
    refused(match, now=lambda now: now + seconds)
    headers, now = signed()
    path = "/api/@connections/L0SM9cOFvHcCIhw%3D"
    verify("POST", path, "", headers, b"hello", KEYS, now + (299 if seconds > 0 else -299))


def authorization(change: Any) -> Any:
    return lambda fields: [(n, change(v) if n == "authorization" else v) for n, v in fields]


def test_what_is_no_signature() -> None:
    refused("Missing Authentication Token", headers=lambda fields: fields[:1])
    refused("Missing Authentication Token", headers=lambda fields: [*fields, fields[-1], fields[-1]])
    for text in ("", "Basic eDp5", "AWS4-HMAC-SHA256 x"):
        refused("is not a signature", headers=authorization(lambda value, text=text: text))
    refused("is not a signature", headers=authorization(lambda value: value[:-1]))
    refused("must have host and x-amz-date", headers=authorization(lambda value: value.replace("host;", "")))
    refused("must have host and x-amz-date", headers=authorization(lambda value: value.replace(";x-amz-date", "")))
    refused(
        "missing: x-other", headers=authorization(lambda value: value.replace(";x-amz-date", ";x-amz-date;x-other"))
    )
    refused("correct service: 'execute-api'", headers=lambda fields: signed(service="s3")[0])


def test_dates_have_to_fit() -> None:
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y%m%d")
    refused(
        "does not match X-Amz-Date",
        headers=authorization(lambda value: re.sub(r"/\d{8}/", f"/{yesterday}/", value)),
    )
    refused("must be like", headers=lambda fields: [(n, "now" if n == "x-amz-date" else v) for n, v in fields])
