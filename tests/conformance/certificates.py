"""Certificates for TLS: an authority that the platform is told to trust, and others that it is not."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trustme


@functools.cache
def authority() -> trustme.CA:
    """The authority that issues what is to be trusted."""
    return trustme.CA()


@functools.cache
def certificate(*names: str) -> trustme.LeafCert:
    """A certificate of the authority for some hosts."""
    return authority().issue_cert(*names)


@functools.cache
def untrusted() -> trustme.LeafCert:
    """A certificate for localhost of an authority that nobody knows."""
    return trustme.CA().issue_cert("localhost")


@contextlib.contextmanager
def trusted_by_the_platform(value: Any) -> Iterator[None]:
    """Have OpenSSL take an authority for one of the trust roots of the platform."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "authority.pem"
        value.cert_pem.write_to_path(path)
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(path)
        try:
            yield
        finally:
            del os.environ["SSL_CERT_FILE"]
            if before is not None:
                os.environ["SSL_CERT_FILE"] = before
