"""Where we differ from Bocadillo 0.18.3 on purpose, what is seen with us instead, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ("DIFFERENCES", "Difference")


@dataclass(frozen=True)
class Difference:
    """What is different with us.

    Attributes:
        reason: why.
        ours: what is seen.
    """

    reason: str
    ours: list[str]


DIFFERENCES: dict[str, Difference] = {}


def _differ(names: str | Iterable[str], reason: str, *ours: str) -> None:
    for name in [names] if isinstance(names, str) else names:
        assert name not in DIFFERENCES, name
        DIFFERENCES[name] = Difference(reason, list(ours))


_INTERNAL_ERROR = ("101", "close 1011", "end")

# Opening

_differ(
    "old_echo_auto",
    "accept() after an automatic accept does nothing, so that code of the older document runs unchanged",
    *("101", "text 'You said: hi'", "close 1000", "end"),
)
_differ(
    "api_key_verbatim_bad",
    "the automatic accept is held back until it is needed, so that reject() answers HTTP 403 as documented",
    "HTTP 403",
)
_differ(
    "api_key_noreturn_bad",
    "the exception is a subclass of RuntimeError, by which it is known that there is nothing to report",
    *("HTTP 403", 'server: raised ConnectionRejected: Cannot call "send" once a close message has been sent.'),
)
_differ(
    "manual_nothing",
    "the view's mistake is told, and servers that would wait forever do not",
    "HTTP 500",
    "server: nothing",
    "server: raised RuntimeError: the view 'manual_nothing' has auto_accept=False, and has neither accepted nor "
    "rejected the connection",
)

# Parameters

_INVALID = {
    "int": ("0x10", "foo", "%20", "nan", "1e400"),
    "float": ("inf", "nan", "1e400", "foo"),
    "bool": ("yes", "no", "2", "foo", "null", "none", "t"),
    "decimal": ("foo", "NaN", "Infinity"),
    "datetime": ("2019-01-02", "2019-13-02T03:04:05", "foo", "1546398245"),
    "date": ("2019-02-30", "2019-01-02T00:00:00", "foo", "1546398245", "20190102"),
    "time": ("25:00:00", "foo", "030405"),
}
_differ(
    [
        "item_invalid",
        "query_int_empty",
        "query_int_invalid",
        "route_query_invalid",
        "typesystem_field_invalid",
        "router_prefix_invalid",
        *(f"conversions {kind} {value}" for kind, values in _INVALID.items() for value in values),
    ],
    "parameters are converted before the connection is accepted: HTTP 403, and not the close code 403, which is none",
    "HTTP 403",
)
_differ(
    "conversions time 03:04:05Z",
    "a time with a zone, which it would lose, is refused",
    "HTTP 403",
)
for _name, _parameter in (("http_parameter_invalid", "number"), ("http_query_invalid", "limit")):
    _differ(
        _name,
        "the words are ours, status and form of the body are the same",
        "HTTP 400",
        "content-type: application/json",
        f'{{"error": "400 Bad Request", "status": 400, "detail": {{"{_parameter}": "is not a number"}}}}',
    )
_differ("inspect_documented_name", "the name that the guide has exists", *("101", "text '1'", "close 1000", "end"))

# Messages

_differ(
    "wrong_type_text",
    "the message says what to do; there it depends on the server",
    *_INTERNAL_ERROR,
    "server: raised TypeError: a text message must be str, not bytes: use send_bytes() or send_json(), or set "
    'send_type="bytes" or "json"',
)

# Closing

_differ(
    "receive_after_close",
    "the exception says what is wrong, like that of sending",
    *("101", "close 4003", "end"),
    'server: raised RuntimeError: Cannot call "receive" once a close message has been sent.',
)
_TOO_LATE = (
    "server: raised ValueError: reject() answers the opening handshake with HTTP 403, but the connection has been "
    "accepted already: reject before anything is sent, received or waited for, or use close()"
)
_differ("reject_after_accept", "the exception says what is wrong", *_INTERNAL_ERROR, _TOO_LATE)
_differ(
    "reject_after_send",
    "the exception says what is wrong",
    *("101", "text 'open'", "close 1011", "end"),
    _TOO_LATE,
)
for _code in (0, 403, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 70000):
    _differ(
        f"close_codes_invalid {_code}",
        "an illegal code is refused whatever the server says of it; the words are ours",
        *_INTERNAL_ERROR,
        f"server: raised ValueError: the close code {_code} cannot be sent: it must be 1000 to 1003, 1007 to 1014 or "
        "3000 to 4999",
    )
for _code in (1012, 3000, 4000):
    _seen = ("101", "close 1000", "end", f"server: disconnect {_code} {_code}")
    _differ(f"cc_all_{_code}", "all is all codes", *_seen)
    _differ(f"ccm_all_{_code}", "all is all codes", *_seen, "server: after the block")

# Routes

_differ(
    "mounted_type_error",
    "an exception of a mounted application stays what it is",
    "HTTP 500",
    "server: raised TypeError: in the mounted application",
)
_differ(
    "http_trailing_slash",
    "responses have a content type",
    *("HTTP 302", "content-type: text/plain", "location: http://HOST/slash/", ""),
)
_differ(
    "declared",
    "what is wrong with a route is told when it is declared, by a class of its own, which is a TypeError",
    "HTTP 200",
    "content-type: text/plain",
    "ExpectedAsync: WebSocket view 'sync_view' must be asynchronous. Hint: use `async def` instead of `def`.",
    "ExpectedAsync: WebSocket view 'ClassView' must be asynchronous. Hint: use `async def` instead of `def`.",
    "WebSocketRoute",
    "TypeError",
    "TypeError",
    "RouteDeclarationError: Unknown path converter 'int' on route parameter 'a'. Available: path",
    "RouteDeclarationError: value_type must be one of text, bytes, json, event, not 'xml'",
    "RuntimeError: Settings are already configured",
)
