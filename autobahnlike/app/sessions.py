"""Sessions: a dictionary that the browser keeps for the application, in a cookie that is signed.

``configure(app, sessions={"secret_key": "..."})`` switches them on. Views then have ``req.session`` and ``ws.session``.
It is Starlette's ``SessionMiddleware``: what is in the cookie can be read by the user, but not changed, and a cookie
with a bad or old signature makes an empty session. A WebSocket view may read the session; what it writes there is not
kept, because the answer to the opening handshake, which would have to carry the cookie, is sent before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.middleware.sessions import SessionMiddleware

__all__ = ("session_middleware",)


def session_middleware() -> type[SessionMiddleware]:
    """Return the middleware class, for ``app.add_middleware(session_middleware(), secret_key=...)``.

    Raises:
        ImportError: itsdangerous, which signs the cookies, is not installed.
    """
    try:
        from starlette.middleware.sessions import SessionMiddleware
    except ImportError as error:
        raise ImportError("sessions need itsdangerous: pip install 'autobahnlike[app]'") from error
    return SessionMiddleware
