"""AWS Signature Version 4: whether a request was signed with a key that we know.

Written from AWS's published rules ("Signature Version 4 signing process", General Reference) for requests whose header
``Authorization`` has the signature. The standard library has all that it takes.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import quote, unquote_plus

__all__ = ("NotSigned", "verify")

_ALGORITHM = "AWS4-HMAC-SHA256"
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256\s+Credential=([^\s,/]+)/(\d{8})/([^\s,/]+)/([^\s,/]+)/aws4_request,\s*"
    r"SignedHeaders=([a-z0-9;_-]+),\s*Signature=([0-9a-f]{64})"
)
_DATE = "%Y%m%dT%H%M%SZ"

# How far the clock of a client may be off, in seconds.
_CLOCK_SKEW = 300


class NotSigned(Exception):
    """A request has no signature, or a wrong one; the text says which, without anything secret."""


def verify(
    method: str,
    path: str,
    query: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    keys: Mapping[str, str],
    now: float,
    *,
    service: str = "execute-api",
) -> str:
    """Verify the signature of a request.

    Args:
        method: of the request.
        path: its path as it came, percent-encoded.
        query: its query as it came, without the question mark.
        headers: its header fields, names in lower case.
        body: its body.
        keys: secret keys by access key id.
        now: seconds since 1970.
        service: the service that it has to be signed for.

    Returns:
        The access key id.

    Raises:
        NotSigned: it is not, or the signature is wrong or old.
    """
    authorization = [value for name, value in headers if name == "authorization"]
    if len(authorization) != 1:
        raise NotSigned("Missing Authentication Token")
    found = _AUTHORIZATION.fullmatch(authorization[0].strip())
    if found is None:
        raise NotSigned(f"Authorization header is not a signature of {_ALGORITHM}")
    key_id, day, region, signed_service, signed_names, signature = found.groups()
    names = signed_names.split(";")
    if "host" not in names or "x-amz-date" not in names or names != sorted(set(names)):
        raise NotSigned("SignedHeaders must have host and x-amz-date, and be sorted")
    date = ",".join(value.strip() for name, value in headers if name == "x-amz-date")
    _check_date(date, day, now)
    if signed_service != service:
        raise NotSigned(f"Credential should be scoped to correct service: {service!r}")
    scope = f"{day}/{region}/{service}/aws4_request"
    request = _canonical_request(method, path, query, headers, names, body)
    text = "\n".join((_ALGORITHM, date, scope, hashlib.sha256(request.encode()).hexdigest()))
    secret = keys.get(key_id)
    # One that is not known takes as long.
    key = f"AWS4{'' if secret is None else secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    is_right = hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), signature)
    if secret is None:
        raise NotSigned("The security token included in the request is invalid")
    if not is_right:
        raise NotSigned("The request signature we calculated does not match the signature you provided")
    return key_id


def _check_date(date: str, day: str, now: float) -> None:
    try:
        signed = datetime.strptime(date, _DATE).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise NotSigned(f"X-Amz-Date must be like 20261120T175400Z, not {date!r:.40}") from None
    if not date.startswith(day):
        raise NotSigned("Date in Credential scope does not match X-Amz-Date")
    if signed < now - _CLOCK_SKEW:
        raise NotSigned(f"Signature expired: {date} is too long ago")
    if signed > now + _CLOCK_SKEW:
        raise NotSigned(f"Signature not yet current: {date} is still to come")


def _canonical_request(
    method: str, path: str, query: str, headers: Sequence[tuple[str, str]], names: Sequence[str], body: bytes
) -> str:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(" ".join(value.split()))
    missing = [name for name in names if name not in values]
    if missing:
        raise NotSigned(f"header fields that were signed are missing: {', '.join(missing)}")
    fields = "".join(f"{name}:{','.join(values[name])}\n" for name in names)
    # All services but S3 have the path encoded once more.
    lines = (method, quote(_normalize(path), safe="/~"), _canonical_query(query), fields, ";".join(names))
    return "\n".join((*lines, hashlib.sha256(body).hexdigest()))


def _normalize(path: str) -> str:
    """Return a path without empty and dotted segments."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    end = "/" if segments and path.endswith("/") else ""
    return f"/{'/'.join(segments)}{end}"


def _canonical_query(query: str) -> str:
    pairs = []
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.partition("=")
            pairs.append((quote(unquote_plus(name), safe="~"), quote(unquote_plus(value), safe="~")))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))
