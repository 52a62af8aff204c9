"""One connection to Redis: logging in, commands and their replies in order, and what comes without being asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from autobahnlike.backplane.redis.loop import Loop, Promise, Timer, Wire
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.backplane.redis.resp import (
    Argument,
    Push,
    RedisBusy,
    RedisError,
    RedisLost,
    RedisMisconfigured,
    RedisRefused,
    RedisUnavailable,
    Reply,
    RespError,
    RespReader,
    pack,
)
from autobahnlike.backplane.redis.url import Place, RedisUrl, TcpPlace

__all__ = ("RUN_ID", "Connection", "find_master")

RUN_ID = b"run id"
"""In a command, this very object stands for the run id of the connection that it is sent on."""

_OLDEST = (6, 2)
_NO_LOGIN = frozenset({"WRONGPASS", "NOAUTH", "NOPERM", "DENIED"})


class Connection:
    """One connection.

    Args:
        loop: the loop.
        options: timeouts and limits.
        on_push: called with what comes without being asked for, except for confirmations.

    Attributes:
        lost: is resolved with the reason when the connection has ended.
        run_id: what Redis calls this run of itself; another one after each restart.
    """

    def __init__(self, loop: Loop, options: RedisOptions, on_push: Callable[[list[bytes]], None] | None = None) -> None:
        self.lost: Promise[RedisError] = Promise(loop)
        self.run_id = b""
        self._loop = loop
        self._options = options
        self._on_push = on_push
        self._reader = RespReader(options.max_reply_size)
        self._why_ended = ""
        self._wire: Wire | None = None
        self._place: Place | None = None
        self._pending: deque[tuple[Promise[Reply], int, float]] = deque()
        self._pending_bytes = 0
        self._out: list[bytes] = []
        self._watchdog: Timer | None = None

    async def open(self, place: Place) -> None:
        """Connect, without logging in.

        Raises:
            RedisUnavailable: see :meth:`~autobahnlike.backplane.redis.loop.Loop.connect`.
        """
        self._place = place
        wire = await self._loop.connect(place, self, self._options.connect_timeout)
        if self.lost.is_done:
            wire.abort()
            raise RedisUnavailable(str(await self.lost.wait()))
        self._wire = wire

    async def log_in(
        self, username: str | None, password: str | None, *, database: int = 0, name: str | None = None
    ) -> None:
        """Agree on the protocol, and say who we are.

        Raises:
            RedisMisconfigured: Redis is too old, or refuses user, password or database.
            RedisUnavailable: it refuses for now.
            RedisLost: the connection was lost.
        """
        login: list[Argument] = [] if password is None else ["AUTH", username or "default", password]
        named: list[Argument] = [] if name is None else ["SETNAME", name]
        hello = self.call("HELLO", "3", *login, *named)
        chosen = self.call("SELECT", database) if database else None
        patience = self._options.connect_timeout
        try:
            await hello.wait(patience)
            if chosen is not None:
                await chosen.wait(patience)
        except RedisRefused as error:
            raise self._refused(error, database) from None
        except TimeoutError:
            raise RedisLost(f"Redis at {self._place} did not let us in within {patience:g} seconds") from None

    async def examine(self) -> None:
        """Find out what it is that we are connected to: must be new enough, and no replica.

        Raises:
            RedisMisconfigured: Redis is too old, or keeps from us what we have to know.
            RedisUnavailable: it is a replica, or still loading.
            RedisLost: the connection was lost.
        """
        try:
            parts = [self.call("INFO", "server"), self.call("INFO", "replication")]
            text = b"".join([await part.wait(self._options.command_timeout) for part in parts])
        except RedisRefused as error:
            raise self._refused(error) from None
        except TimeoutError:
            raise RedisLost(f"Redis at {self._place} does not answer") from None
        facts = dict(line.split(b":", 1) for line in text.split(b"\r\n") if b":" in line)
        version = facts.get(b"redis_version", b"0").decode("ascii", "replace")
        numbers = [int(part) for part in version.split(".")[:2] if part.isdigit()]
        if tuple(numbers) < _OLDEST:
            raise RedisMisconfigured(f"Redis at {self._place} is version {version}; at least 6.2 or Valkey is needed")
        if facts.get(b"role", b"master") != b"master":
            raise RedisUnavailable(f"Redis at {self._place} is a replica; messages have to go through the primary")
        self.run_id = facts.get(b"run_id", b"")

    def _refused(self, error: RedisRefused, database: int = 0) -> RedisError:
        text = str(error)
        if error.code in _NO_LOGIN:
            return RedisMisconfigured(f"Redis at {self._place} refuses user or password, or what they may do: {text}")
        if error.code == "NOPROTO" or "unknown command" in text:
            return RedisMisconfigured(f"Redis at {self._place} is too old: at least 6.2 or Valkey is needed ({text})")
        if "DB index" in text:
            return RedisMisconfigured(f"Redis at {self._place} has no database {database}: {text}")
        return RedisUnavailable(f"Redis at {self._place} refuses: {text}")

    def call(self, *arguments: Argument) -> Promise[Reply]:
        """Send a command.

        Returns:
            A promise of the reply. Fails with ``RedisRefused``, if the reply is an error, or ``RedisLost``.

        Raises:
            RedisUnavailable: the connection has ended.
            RedisBusy: there are too many without a reply.
        """
        promise: Promise[Reply] = Promise(self._loop)
        self.forward(promise, arguments)
        return promise

    def forward(self, promise: Promise[Reply], arguments: tuple[Argument, ...]) -> None:
        """Send a command for which there is a promise already; otherwise like :meth:`call`."""
        if self.lost.is_done or self._wire is None:
            raise RedisUnavailable(self._why_ended or f"there is no connection to Redis at {self._place} yet")
        data = pack(tuple([self.run_id if each is RUN_ID else each for each in arguments]))
        if (
            len(self._pending) >= self._options.max_pending
            or self._pending_bytes + len(data) > self._options.max_pending_bytes
        ):
            raise RedisBusy(f"Redis at {self._place} has {len(self._pending)} commands before it already")
        self._pending.append((promise, len(data), self._loop.now()))
        self._pending_bytes += len(data)
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(self._options.command_timeout, self._check)
        self._write(data)

    def tell(self, *arguments: Argument) -> None:
        """Send a command to which there is no reply unless it fails, as it is with subscriptions."""
        if not self.lost.is_done:
            self._write(pack(arguments))

    def _write(self, data: bytes) -> None:
        # All that is asked for in one turn of the loop goes out at once.
        if not self._out:
            self._loop.call_later(0, self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._wire is not None and out and not self.lost.is_done:
            self._wire.write(b"".join(out))

    def _check(self) -> None:
        self._watchdog = None
        if not self._pending:
            return
        timeout = self._options.command_timeout
        left = self._pending[0][2] + timeout - self._loop.now()
        if left <= 0:
            self.abort(RedisLost(f"Redis at {self._place} has not replied for {timeout:g} seconds"))
        else:
            self._watchdog = self._loop.call_later(left, self._check)

    def abort(self, why: RedisError | None = None) -> None:
        """Drop the connection.

        Args:
            why: what those are told that wait for replies.
        """
        self._end(why or RedisLost(f"the connection to Redis at {self._place} was closed by us"))
        if self._wire is not None:
            self._wire.abort()

    def data_received(self, data: bytes) -> None:
        """See ``Receiver``."""
        try:
            for reply in self._reader.feed(data):
                if self.lost.is_done:
                    return
                if isinstance(reply, Push):
                    self._pushed(reply)
                elif self._pending:
                    self._replied(reply)
                else:
                    raise RespError(f"Redis at {self._place} says what it was not asked for: {reply!s:.200}")
        except RespError as error:
            self.abort(error)

    def _pushed(self, push: list[bytes]) -> None:
        # Confirmations of subscriptions need not be looked at: see Listener.
        if push and push[0] == b"message" and self._on_push is not None:
            self._on_push(push)

    def _replied(self, reply: Reply) -> None:
        promise, size, _ = self._pending.popleft()
        self._pending_bytes -= size
        if isinstance(reply, RedisRefused):
            promise.fail(reply)
            if reply.code == "READONLY":
                # The primary has become a replica.
                self.abort(RedisLost(f"Redis at {self._place} has become a replica"))
        else:
            promise.resolve(reply)

    def connection_lost(self, why: BaseException | None) -> None:
        """See ``Receiver``."""
        # Twisted's errors have line breaks and more than one sentence.
        reason = "it closed the connection" if why is None else " ".join(str(why).split()) or type(why).__name__
        self._end(RedisLost(f"the connection to Redis at {self._place} was lost: {reason}"))

    def _end(self, error: RedisError) -> None:
        if self.lost.is_done:
            return
        self._why_ended = str(error)
        self.lost.resolve(error)
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        self._out.clear()
        pending, self._pending = self._pending, deque()
        self._pending_bytes = 0
        for promise, _, _ in pending:
            promise.fail(error if isinstance(error, RedisLost) else RedisLost(str(error)))


async def find_master(loop: Loop, options: RedisOptions, url: RedisUrl) -> Place:
    """Return where Redis is: asks the Sentinels one after another if the address names a service.

    Raises:
        RedisUnavailable: no Sentinel can be reached that knows.
        RedisMisconfigured: none lets us in.
    """
    if url.service is None:
        return url.places[0]
    errors: list[RedisError] = []
    for place in url.places:
        connection = Connection(loop, options)
        try:
            await connection.open(place)
            await connection.log_in(url.sentinel_username, url.sentinel_password)
            asked = connection.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", url.service)
            found = await asked.wait(options.command_timeout)
        except TimeoutError:
            errors.append(RedisUnavailable(f"the Sentinel at {place} does not answer"))
        except RedisError as error:
            errors.append(error)
        else:
            if found is not None:
                host, port = found
                tls = place.tls if isinstance(place, TcpPlace) else None
                return TcpPlace(host.decode(), int(port), tls)
            errors.append(RedisUnavailable(f"the Sentinel at {place} knows no service {url.service!r}"))
        finally:
            connection.abort()
    kind = RedisMisconfigured if all(isinstance(error, RedisMisconfigured) for error in errors) else RedisUnavailable
    raise kind("; ".join(map(str, errors)))
