"""A proxy that brings what programmes send to API Gateway to a gateway of ours: ``autobahnlike aws-proxy``.

A programme that was written for AWS sends to ``https://{api}.execute-api.{region}.amazonaws.com``. With the variable
``HTTPS_PROXY`` in its environment it asks a proxy to connect it there (``CONNECT``, RFC 9110, section 9.3.6), whatever
language it is written in. This proxy answers for these hosts itself, with certificates of an authority that the
programme is told to trust, and passes on what is in the TLS connection: every byte as it is, so that signatures, which
cover the header ``Host``, stay valid. All other hosts it connects to as it is asked.

It runs on asyncio, in a process of its own: what drives the gateway does not matter.
"""

from __future__ import annotations

from autobahnlike.awsproxy.authority import Authority, CannotUseAuthority, write_bundle
from autobahnlike.awsproxy.options import AWS_HOSTS, ProxyOptions
from autobahnlike.awsproxy.proxy import Proxy
from autobahnlike.awsproxy.upstream import Upstream, parse_upstream

__all__ = (
    "AWS_HOSTS",
    "Authority",
    "CannotUseAuthority",
    "Proxy",
    "ProxyOptions",
    "Upstream",
    "parse_upstream",
    "write_bundle",
)
