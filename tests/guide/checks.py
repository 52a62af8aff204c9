"""All checks: importing the modules registers them."""

from __future__ import annotations

from tests.guide import check_applications, check_gateway, check_gateway_tutorial, check_monitoring, check_tutorial
from tests.guide.peer import CHECKS

__all__ = (
    "CHECKS",
    "check_applications",
    "check_gateway",
    "check_gateway_tutorial",
    "check_monitoring",
    "check_tutorial",
)
