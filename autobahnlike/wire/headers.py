"""Header fields: a container for them, the grammar of their lists, and the check of what an application puts in them.

What a peer sent is judged by the ``parse_*`` functions, which raise a plain ``ValueError``: the caller knows whether
that fails a request or a response. What the application gave is judged by ``check_header`` and ``flatten_headers``,
which raise ``InvalidArgument``.

There are no regular expressions here. Every function reads its text once, whatever the text is: patterns for quoted
lists are what made such headers an attack on other libraries (CVE-2020-7662, CVE-2021-32640).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from autobahnlike.exception import InvalidArgument

__all__ = (
    "Extension",
    "HeaderSource",
    "Headers",
    "check_header",
    "decode_value",
    "flatten_headers",
    "format_extension",
    "has_member",
    "is_token",
    "is_visible",
    "parse_extensions",
    "parse_token_list",
    "quote_text",
)

Extension: TypeAlias = tuple[str, list[tuple[str, "str | None"]]]
"""One element of Sec-WebSocket-Extensions: its name, and its parameters in order; a bare one has the value None."""

HeaderSource: TypeAlias = "Mapping[str, Any] | Iterable[tuple[str, Any]] | None"
"""Header fields as an application gives them; see ``flatten_headers``."""

# RFC 9110, section 5.6.2.
TOKEN_BYTES = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

# What a header line consists of, if it is as it usually is: printable ASCII, spaces and tabs.
TEXT_BYTES = bytes(range(0x20, 0x7F)) + b"\t"

# RFC 9110, section 5.6.3. str.strip() without an argument would also take NEL, FS and other characters away.
OPTIONAL_WHITESPACE = " \t"

_FORBIDDEN = frozenset(map(chr, range(0x20))) - {"\t"} | {"\x7f"}


class Headers:
    """The header fields of one request or response: in order, repeated ones kept, found without regard to case.

    Iterating gives each name once, in lower case. The representation shows the names only, because values may be
    credentials and representations end up in logs.

    Args:
        pairs: (name, value) pairs in the order of the lines. Names must be tokens already (RFC 9110, section 5.1).
    """

    __slots__ = ("_pairs", "_repeated", "_values")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = pairs = tuple(pairs)
        self._values = values = {name.lower(): value for name, value in pairs}
        # All the values of each field; hardly any message repeats one, so it is made only where one is.
        self._repeated: dict[str, list[str]] | None = None
        if len(values) < len(pairs):
            self._repeated = {name: [] for name in values}
            for name, value in pairs:
                self._repeated[name.lower()].append(value)

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value of a field, or ``default``; the values of a repeated field are joined by a comma."""
        if self._repeated is None:
            return self._values.get(name.lower(), default)
        values = self._repeated.get(name.lower())
        return default if values is None else ",".join(values)

    def get_all(self, name: str) -> list[str]:
        """The values of a field, one for each of its lines; empty if there is none."""
        return self.lines(name.lower())

    def lines(self, name: str) -> list[str]:
        """The same for a name that is in lower case."""
        if self._repeated is not None:
            return list(self._repeated.get(name, ()))
        value = self._values.get(name)
        return [] if value is None else [value]

    def items(self) -> tuple[tuple[str, str], ...]:
        """All lines as (name, value) pairs, in order, names spelled as they were sent."""
        return self._pairs

    def joined(self, separator: str = ", ") -> dict[str, str]:
        """A plain dictionary: names in lower case, the values of a repeated field joined by ``separator``."""
        if self._repeated is None:
            return self._values.copy()
        return {name: separator.join(values) for name, values in self._repeated.items()}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __eq__(self, other: object) -> bool:
        return self._pairs == other.items() if isinstance(other, Headers) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._pairs)

    def __repr__(self) -> str:
        return f"<Headers {', '.join(name for name, _ in self._pairs)}>"


def decode_value(value: bytes) -> str:
    """Decode a field value: as UTF-8, and if it is not, as Latin-1, so that no byte a peer sends raises an error.

    RFC 9110, section 5.5 calls bytes above 127 opaque; UTF-8 is what senders mean today.
    """
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def quote_text(text: str, limit: int = 64) -> str:
    """Quote what a peer sent for a reason or a log: one line of ASCII, no control characters, bounded.

    Args:
        text: anything.
        limit: how many characters of it to show.
    """
    return ascii(text[:limit]) + ("..." if len(text) > limit else "")


def is_token(text: str) -> bool:
    """Whether ``text`` is a token (RFC 9110, section 5.6.2)."""
    return bool(text) and text.isascii() and not text.encode("ascii").translate(None, TOKEN_BYTES)


def is_visible(text: str) -> bool:
    """Whether ``text`` consists of ASCII characters that can be seen, as a request target must (RFC 3986)."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def has_member(values: Iterable[str], wanted: str) -> bool:
    """Whether a comma-separated list over one or more lines has a member, without regard to the case of ASCII letters.

    Other members are not judged: ``Upgrade`` may hold protocols with versions, such as ``h2c/1``.

    Args:
        values: the values of the header lines.
        wanted: the member, in lower case.
    """
    for value in values:
        for member in value.split(","):
            # Only ASCII: the Kelvin sign lower-cases to "k", and a proxy in front would not take it for one.
            if member.strip(OPTIONAL_WHITESPACE).lower() == wanted and member.isascii():
                return True
    return False


def parse_token_list(value: str) -> list[str]:
    """Parse a comma-separated list of tokens; empty members are skipped, as RFC 9110, section 5.6.1.2 demands.

    Raises:
        ValueError: a member is not a token.
    """
    members = [member.strip(OPTIONAL_WHITESPACE) for member in value.split(",")]
    return [_token(member) for member in members if member]


def parse_extensions(values: Sequence[str]) -> list[Extension]:
    """Parse Sec-WebSocket-Extensions (RFC 6455, section 9.1), which may be spread over several lines.

    Names of extensions and parameters are given in lower case, quoted values without their quotes.

    Args:
        values: the values of the header lines, in order.

    Raises:
        ValueError: the text does not follow the grammar.
    """
    extensions: list[Extension] = []
    for value in values:
        for element in _split_unquoted(value, ","):
            if element:
                name, *params = _split_unquoted(element, ";")
                extensions.append((_token(name).lower(), [_parse_param(param) for param in params]))
    return extensions


def format_extension(name: str, params: Iterable[tuple[str, str | None]] = ()) -> str:
    """Format one element of Sec-WebSocket-Extensions, the reverse of ``parse_extensions``.

    Raises:
        InvalidArgument: a name or a value is not a token.
    """
    parts = [name]
    for key, value in params:
        parts.append(key if value is None else f"{key}={value}")
        for text in (key,) if value is None else (key, value):
            if not is_token(text):
                raise InvalidArgument(f"extension parameter {quote_text(text)} is not a token")
    if not is_token(name):
        raise InvalidArgument(f"extension name {quote_text(name)} is not a token")
    return "; ".join(parts)


def check_header(name: str, value: str) -> None:
    """Check a header field that the application gives, so that it cannot write any other line than its own.

    Raises:
        InvalidArgument: the name is not a token, or the value has a control character other than a tab (RFC 9110,
            section 5.5) or cannot be encoded as UTF-8.
    """
    if not isinstance(name, str) or not is_token(name):
        raise InvalidArgument(f"header name {name!r:.80} is not a token: use letters, digits and hyphens")
    if not isinstance(value, str) or not (value.isprintable() or _FORBIDDEN.isdisjoint(value)):
        raise InvalidArgument(f"value of header {name} must be text without line ends and control characters")
    if value.isascii():
        return
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidArgument(f"value of header {name} cannot be encoded as UTF-8") from None


def flatten_headers(headers: HeaderSource) -> list[tuple[str, str]]:
    """Turn header fields as an application gives them into checked (name, value) pairs, one for each line.

    Args:
        headers: a mapping, or (name, value) pairs, or None. A value is text, or an iterable of values, which become one
            line each, or any other object, which becomes its ``str``.

    Raises:
        InvalidArgument: see ``check_header``; also for bytes, which ``str`` would turn into ``b'...'``.
    """
    pairs: list[tuple[str, str]] = []
    for name, value in headers.items() if isinstance(headers, Mapping) else headers or ():
        lines = value if isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray)) else [value]
        for line in lines:
            if isinstance(line, (bytes, bytearray)):
                raise InvalidArgument(f"value of header {name!r:.80} must be str, not bytes: decode it")
            text = str(line)
            check_header(name, text)
            pairs.append((name, text))
    return pairs


def _token(text: str) -> str:
    if not is_token(text):
        raise ValueError(f"{quote_text(text)} is not a token")
    return text


def _split_unquoted(text: str, separator: str) -> list[str]:
    """Split at separators outside quoted strings (RFC 9110, section 5.6.4) and strip the parts."""
    if '"' not in text:
        return [part.strip(OPTIONAL_WHITESPACE) for part in text.split(separator)]
    parts: list[str] = []
    start = 0
    quoted = escaped = False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == '"':
            quoted = not quoted
        elif quoted:
            escaped = character == "\\"
        elif character == separator:
            parts.append(text[start:index].strip(OPTIONAL_WHITESPACE))
            start = index + 1
    if quoted:
        raise ValueError("a quoted string does not end")
    parts.append(text[start:].strip(OPTIONAL_WHITESPACE))
    return parts


def _parse_param(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    name = _token(name.rstrip(OPTIONAL_WHITESPACE)).lower()
    if not equals:
        return name, None
    value = value.lstrip(OPTIONAL_WHITESPACE)
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        characters = iter(value[1 : len(value) - 1])
        value = "".join(next(characters, "") if character == "\\" else character for character in characters)
    # RFC 6455, section 9.1: "When using the quoted-string syntax variant, the value after quoted-string unescaping MUST
    # conform to the 'token' ABNF."
    return name, _token(value)
