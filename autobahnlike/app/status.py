"""The status codes of HTTP and the close codes of WebSockets as constants: Starlette's, under their names.

``WS_1000_NORMAL_CLOSURE``, ``WS_1011_INTERNAL_ERROR``, ``HTTP_404_NOT_FOUND`` and so on.
"""

from __future__ import annotations

from starlette.status import *  # noqa: F403
from starlette.status import __all__ as __all__
