"""Every option of a connection, declared once.

``Options`` is the one table: a field is an option, with its default and, in the field's metadata, Autobahn's name for
it, the side it concerns, its unit, its meaning and the default it has in Autobahn. Everything else is read off it: the
keywords of ``setProtocolOptions``, the attributes of factories and protocols, ``useAutobahnDefaults`` and the options
page of the documentation.

A connection is given one ``Options``, frozen, when it is made. Defaults are safe: every buffer has a bound and every
wait a deadline. 0 switches a limit or a deadline off, as in Autobahn.

To add an option: add a field here, and its keyword in ``autobahnlike.websocket.factory``; use it, and test it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from autobahnlike.exception import InvalidArgument

__all__ = ("CLIENT", "OPTIONS", "SERVER", "OptionInfo", "Options", "option_docs")

SERVER = "S"
CLIENT = "C"
BOTH = "SC"


@dataclasses.dataclass(frozen=True, slots=True)
class OptionInfo:
    """What is known of one option.

    Attributes:
        field: our name, the name of the field of ``Options``.
        name: Autobahn's name, the keyword of ``setProtocolOptions`` and the attribute of factories and protocols.
        sides: "S", "C" or "SC": whether it concerns servers, clients or both.
        unit: what a number counts ("bytes", "seconds", …), or "".
        meaning: one sentence for the documentation.
        default: our default.
        autobahn: the default in Autobahn, which ``useAutobahnDefaults`` restores.
        keyword: whether ``setProtocolOptions`` takes it; the others are set as attributes.
    """

    field: str
    name: str
    sides: str
    unit: str
    meaning: str
    default: Any
    autobahn: Any
    keyword: bool


_SAME = object()


def _option(
    name: str,
    default: Any,
    meaning: str,
    *,
    sides: str = BOTH,
    unit: str = "",
    autobahn: Any = _SAME,
    keyword: bool = True,
) -> Any:
    autobahn = default if autobahn is _SAME else autobahn
    return dataclasses.field(
        default=default,
        metadata={
            "name": name,
            "sides": sides,
            "unit": unit,
            "meaning": meaning,
            "autobahn": autobahn,
            "keyword": keyword,
        },
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one connection. Each field's meaning stands beside its default; see also ``option_docs``."""

    # Opening handshake
    versions: tuple[int, ...] = _option(
        "versions",
        (13,),
        "The values of Sec-WebSocket-Version that are accepted: 13, and 8 for peers older than RFC 6455.",
        sides=SERVER,
        autobahn=(8, 13),
    )
    version: int = _option(
        "version",
        18,
        "The specification to speak, as Autobahn counts them: 18 is RFC 6455 (version 13 on the wire), 10 to 12 are "
        "drafts with version 8.",
        sides=CLIENT,
    )
    web_status: bool = _option(
        "webStatus",
        True,
        "Answer a plain HTTP GET with a small page instead of status 426.",
        sides=SERVER,
    )
    open_handshake_timeout: float = _option(
        "openHandshakeTimeout",
        5.0,
        "From the connection being made until it is open, however slowly the peer sends. It includes onConnect.",
        unit="seconds",
        autobahn=5,
    )
    max_handshake_size: int = _option(
        "maxHandshakeSize",
        65536,
        "The request or response head. A line is bounded by a quarter of it.",
        unit="bytes",
        autobahn=0,
    )
    max_handshake_headers: int = _option(
        "maxHandshakeHeaders",
        128,
        "Header lines in the request or response head.",
        unit="lines",
        autobahn=0,
    )
    allowed_origins: tuple[str, ...] = _option(
        "allowedOrigins",
        ("*",),
        "Patterns of origins that may connect, with * as wildcard: scheme://host:port, the port always written out.",
        sides=SERVER,
    )
    allow_null_origin: bool = _option(
        "allowNullOrigin",
        True,
        "Accept the origin null, which browsers send for files and sandboxed frames.",
        sides=SERVER,
    )
    max_connections: int = _option(
        "maxConnections",
        0,
        "Connections of one factory at a time; more are refused with status 503.",
        sides=SERVER,
        unit="connections",
    )
    trust_x_forwarded_for: int = _option(
        "trustXForwardedFor",
        0,
        "The number of trusted proxies in front: the peer is taken from that entry of X-Forwarded-For, from the right.",
        sides=SERVER,
        unit="hops",
    )
    serve_flash_socket_policy: bool = _option(
        "serveFlashSocketPolicy",
        False,
        "Accepted for compatibility and without effect: Flash is no more.",
        sides=SERVER,
    )
    flash_socket_policy: str = _option(
        "flashSocketPolicy",
        "",
        "Accepted for compatibility and without effect.",
        sides=SERVER,
    )

    # Messages and frames
    max_message_size: int = _option(
        "maxMessagePayloadSize",
        16 * 1024 * 1024,
        "A message, in both directions; for a received one also after inflation. A larger one is refused with 1009.",
        unit="bytes",
        autobahn=0,
    )
    max_frame_size: int = _option(
        "maxFramePayloadSize",
        0,
        "The payload of one received frame, as it is on the wire.",
        unit="bytes",
    )
    max_fragments: int = _option(
        "maxFragments",
        131072,
        "Frames of one received message. More are refused with 1009.",
        unit="frames",
        autobahn=0,
    )
    auto_fragment_size: int = _option(
        "autoFragmentSize",
        0,
        "Send messages in frames of at most this payload.",
        unit="bytes",
    )
    validate_utf8: bool = _option(
        "utf8validateIncoming",
        True,
        "Fail a connection with 1007 at the first byte of a text message that is not UTF-8.",
    )
    require_masked_client_frames: bool = _option(
        "requireMaskedClientFrames",
        True,
        "Fail a connection with 1002 when a client does not mask a frame.",
        sides=SERVER,
    )
    mask_server_frames: bool = _option("maskServerFrames", False, "Mask the frames that a server sends.", sides=SERVER)
    accept_masked_server_frames: bool = _option(
        "acceptMaskedServerFrames", False, "Accept frames that a server masked.", sides=CLIENT
    )
    mask_client_frames: bool = _option(
        "maskClientFrames", True, "Mask the frames that a client sends, as RFC 6455 demands.", sides=CLIENT
    )
    apply_mask: bool = _option(
        "applyMask", True, "Apply masks; if not, frames carry a mask that is not applied. For tests only."
    )

    # Compression
    compression_accept: Callable[..., Any] | None = _option(  # noqa: RUF009 - a field, as the others
        "perMessageCompressionAccept",
        None,
        "On a server a function of the client's offers, on a client of the server's response, that gives an accept "
        "object or None. Not set (None): permessage-deflate is accepted. To switch compression off on a server, give a "
        "function that returns None.",
        autobahn=lambda _: None,
    )
    compression_offers: tuple[Any, ...] | None = _option(
        "perMessageCompressionOffers",
        None,
        "The compression offers a client sends, in order of preference. Not set (None): one offer of "
        "permessage-deflate. Empty: none.",
        sides=CLIENT,
        autobahn=(),
    )

    # Closing
    fail_by_drop: bool = _option(
        "failByDrop",
        False,
        "Answer a violation of the protocol by dropping the connection, without the close frame that says why.",
        autobahn=True,
    )
    echo_close_code_reason: bool = _option(
        "echoCloseCodeReason", False, "Answer a close with the peer's own code and reason instead of 1000."
    )
    close_handshake_timeout: float = _option(
        "closeHandshakeTimeout",
        5.0,
        "From our close frame until the peer's, and for what is still to be written then.",
        unit="seconds",
        autobahn=1,
    )
    server_connection_drop_timeout: float = _option(
        "serverConnectionDropTimeout",
        1.0,
        "From the end of the closing handshake until the server has ended the TCP connection.",
        sides=CLIENT,
        unit="seconds",
        autobahn=1,
    )

    # Keepalive
    auto_ping_interval: float = _option(
        "autoPingInterval",
        20.0,
        "From the connection being open, or the answer to the last one, to the next automatic ping.",
        unit="seconds",
        autobahn=0,
    )
    auto_ping_timeout: float = _option(
        "autoPingTimeout",
        20.0,
        "The wait for a sign of life after an automatic ping, then the connection is dropped. Also how long what is "
        "sent may stand without being taken.",
        unit="seconds",
        autobahn=0,
    )
    auto_ping_size: int = _option(
        "autoPingSize", 12, "The payload of an automatic ping, from 4 to 125 bytes.", unit="bytes"
    )
    auto_ping_restart_on_any_traffic: bool = _option(
        "autoPingRestartOnAnyTraffic",
        True,
        "Take anything the peer sends, not only the pong, as the sign of life that an automatic ping waits for.",
    )

    # Flow
    tcp_no_delay: bool = _option("tcpNoDelay", True, "Set TCP_NODELAY.")
    write_high_water: int = _option(
        "writeBufferHighWater",
        65536,
        "How much may wait to be written that answers the peer, before reading from it pauses.",
        unit="bytes",
    )
    read_ahead: int = _option(
        "readAhead",
        65536,
        "Messages that may be received while a hook of the application is still running.",
        unit="bytes",
    )
    max_send_queue: int = _option(
        "maxSendQueueSize",
        64 * 1024 * 1024,
        "What the application may have sent to a peer that does not take it. When it is exceeded already and more is "
        "sent, the connection is dropped.",
        unit="bytes",
        autobahn=0,
    )

    # Diagnostics
    log_octets: bool = _option(
        "logOctets", False, "Log at debug level what is received and sent, as hexadecimal digits.", keyword=False
    )
    log_frames: bool = _option(
        "logFrames", False, "Log at debug level the header of every frame that is received and sent.", keyword=False
    )

    def __post_init__(self) -> None:
        for info in OPTIONS:
            _check(info, getattr(self, info.field))
        if not self.versions or any(version not in (8, 13) for version in self.versions):
            raise InvalidArgument(f"versions must be from 8 and 13, not {self.versions!r}")
        if self.version not in range(10, 19):
            raise InvalidArgument(f"version must be from 10 to 18, not {self.version!r}")
        if not 4 <= self.auto_ping_size <= 125:
            raise InvalidArgument(f"autoPingSize must be from 4 to 125 bytes, not {self.auto_ping_size!r}")


def _check(info: OptionInfo, value: object) -> None:
    if isinstance(info.default, bool):
        if not isinstance(value, bool):
            raise InvalidArgument(f"{info.name} must be True or False, not {value!r}")
    elif isinstance(info.default, (int, float)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise InvalidArgument(f"{info.name} must be a number of at least 0 ({info.unit}), not {value!r}")
        if isinstance(info.default, int) and not isinstance(value, int):
            raise InvalidArgument(f"{info.name} must be a whole number ({info.unit}), not {value!r}")
    elif isinstance(info.default, tuple):
        if not isinstance(value, tuple):
            raise InvalidArgument(f"{info.name} must be a list, not {value!r}")
    elif info.field == "compression_accept" and value is not None and not callable(value):
        raise InvalidArgument(f"{info.name} must be a function, not {value!r}")


OPTIONS: tuple[OptionInfo, ...] = tuple(
    OptionInfo(field=field.name, default=field.default, **field.metadata) for field in dataclasses.fields(Options)
)


def option_docs() -> str:
    """The table of all options as reStructuredText, for the documentation."""
    rows = [".. list-table::", "   :header-rows: 1", ""]
    rows += ["   * - Option", "     - Side", "     - Default", "     - In Autobahn", "     - Meaning"]
    for info in OPTIONS:
        default, autobahn = (_show(value, info.unit) for value in (info.default, info.autobahn))
        side = {"S": "server", "C": "client"}.get(info.sides, "both")
        rows += [f"   * - ``{info.name}``", f"     - {side}", f"     - {default}", f"     - {autobahn}"]
        rows += [f"     - {info.meaning}"]
    return "\n".join(rows) + "\n"


def _show(value: object, unit: str) -> str:
    if callable(value):
        return "none accepted"
    if value is None:
        return "permessage-deflate"
    if unit and value == 0:
        return "off"
    text = (
        f"{value:g}" if isinstance(value, float) else ", ".join(map(str, value)) if isinstance(value, tuple) else value
    )
    return f"{text} {unit}".strip() or "none"
