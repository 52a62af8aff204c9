"""Tells ``twistd`` and ``twist`` of their command ``autobahnlike``. This folder must not be a package."""

from twisted.application.service import ServiceMaker

autobahnlike = ServiceMaker(
    "autobahnlike", "autobahnlike.cli.twistd", "Serve an ASGI application: WebSockets and HTTP/1.1.", "autobahnlike"
)
