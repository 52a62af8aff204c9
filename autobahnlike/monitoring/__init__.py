"""Monitoring: whether a server is well, and what it does, for load balancers and for Prometheus.

``Monitor`` watches servers, gateways, applications and backplanes, and is an ASGI application with ``/health`` and
``/metrics``. ``autobahnlike serve --admin ADDRESS`` serves that beside an application, at an address of its own.

Metrics need the extra ``monitoring``.
"""

from __future__ import annotations

from autobahnlike.monitoring.monitor import HealthReport, Monitor, Status

__all__ = ("HealthReport", "Monitor", "Status")
