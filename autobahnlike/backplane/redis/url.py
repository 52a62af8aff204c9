"""Where Redis is and who we are there: addresses like ``redis://user:password@host:6379/0``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from autobahnlike.backplane.redis.resp import RedisMisconfigured

__all__ = ("Place", "RedisUrl", "TcpPlace", "Tls", "UnixPlace", "parse_url")

_PORT = 6379
_SENTINEL_PORT = 26379
_SCHEMES = {
    "redis": (False, False),
    "rediss": (True, False),
    "valkey": (False, False),
    "valkeys": (True, False),
    "redis+sentinel": (False, True),
    "rediss+sentinel": (True, True),
}
_FILES = frozenset({"ca", "cert", "key"})
_SENTINEL_LOGIN = frozenset({"sentinel_username", "sentinel_password"})
_FORMS = (
    "redis://[[user]:password@]host[:port][/database], rediss://... for TLS, unix:///path[?db=number], or "
    "redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/service[/database]"
)


@dataclass(frozen=True, slots=True)
class Tls:
    """How TLS is spoken. The certificate of the server is always verified.

    Attributes:
        ca: a file with the authorities that are trusted, as PEM; those of the system if None.
        cert: a file with our certificate, as PEM; none if None.
        key: a file with its private key; the same file if None.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class TcpPlace:
    """A host and a port.

    Attributes:
        host: a name or an address.
        port: the port.
        tls: how TLS is spoken; None for no TLS.
    """

    host: str
    port: int
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixPlace:
    """A socket in the file system.

    Attributes:
        path: where it is.
    """

    path: str

    def __str__(self) -> str:
        return self.path


Place: TypeAlias = TcpPlace | UnixPlace


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """What an address says.

    Attributes:
        places: where Redis is; where Sentinels are, if ``service`` is not None.
        service: the name of what the Sentinels watch over.
        username: who we are; ``default`` if None and there is a password.
        password: the password; None to be nobody in particular.
        database: the number of the database.
        sentinel_username: who we are at the Sentinels.
        sentinel_password: the password there; None to be nobody in particular.
    """

    places: tuple[Place, ...]
    service: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        """Where it is, without the password."""
        where = ", ".join(map(str, self.places))
        return where if self.service is None else f"{self.service}, as Sentinel at {where} says"


def parse_url(text: str) -> RedisUrl:
    """Read an address.

    Args:
        text: ``redis://``, ``rediss://`` (TLS), ``unix://``, or either of the first two with ``+sentinel``; ``valkey``
            and ``valkeys`` mean the same as ``redis`` and ``rediss``. With TLS, the query may have ``ca``, ``cert`` and
            ``key``, which are files; with Sentinel, ``sentinel_username`` and ``sentinel_password``. User and password
            are percent-encoded.

    Raises:
        RedisMisconfigured: it is none. The message does not repeat it, as there may be a password in it.
    """
    try:
        return _parse(urlsplit(text))
    except RedisMisconfigured:
        raise
    except ValueError as error:
        raise RedisMisconfigured(f"the address of Redis is not usable: {error}; write {_FORMS}") from None


def _parse(url: SplitResult) -> RedisUrl:
    query = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
    login, _, hosts = url.netloc.rpartition("@")
    username, colon, password = login.partition(":")
    if login and not colon:
        raise ValueError("a user needs a password")
    who = (unquote(username) or None, unquote(password) if colon else None)
    if url.scheme == "unix":
        _refuse_others(query, frozenset({"db"}))
        if hosts or not url.path.strip("/"):
            raise ValueError("unix:// is followed by an absolute path")
        return RedisUrl((UnixPlace(unquote(url.path)),), None, *who, _database(query.get("db", "")))
    if url.scheme not in _SCHEMES:
        raise ValueError(f"{url.scheme or 'nothing'!r} is not a scheme for it")
    is_secure, is_sentinel = _SCHEMES[url.scheme]
    _refuse_others(query, (_FILES if is_secure else frozenset()) | (_SENTINEL_LOGIN if is_sentinel else frozenset()))
    tls = Tls(query.get("ca"), query.get("cert"), query.get("key")) if is_secure else None
    if tls is not None and tls.key is not None and tls.cert is None:
        raise ValueError("a key is of no use without its cert")
    port = _SENTINEL_PORT if is_sentinel else _PORT
    places = tuple(_tcp_place(each, port, tls) for each in hosts.split(","))
    parts = [unquote(part) for part in url.path.split("/")[1:]]
    if not is_sentinel:
        if len(places) > 1:
            raise ValueError("several hosts are for redis+sentinel://")
        if len(parts) > 1:
            raise ValueError("behind the host there is the number of a database, and nothing else")
        return RedisUrl(places, None, *who, _database(parts[0] if parts else ""))
    if not parts or not parts[0] or len(parts) > 2:
        raise ValueError("behind the hosts there is the name of the service, and perhaps the number of a database")
    database = _database(parts[1] if len(parts) > 1 else "")
    sentinel = (query.get("sentinel_username"), query.get("sentinel_password"))
    return RedisUrl(places, parts[0], *who, database, *sentinel)


def _refuse_others(query: dict[str, str], known: frozenset[str]) -> None:
    for name in query.keys() - known:
        raise ValueError(f"{name!r} is not an option of it")


def _tcp_place(text: str, default_port: int, tls: Tls | None) -> TcpPlace:
    match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?", text)
    if match is None:
        raise ValueError("there is no host, or its port is no number")
    host, name, port = match.groups()
    number = int(port or default_port)
    if not 0 < number < 65536:
        raise ValueError(f"there is no port {number}")
    return TcpPlace(host or unquote(name), number, tls)


def _database(text: str) -> int:
    if text and not re.fullmatch("[0-9]{1,5}", text):
        raise ValueError("a database has a number")
    return int(text or 0)
