"""``RedisBackplane``: a node's part of a backplane on Redis; see :mod:`autobahnlike.backplane.redis`."""

from __future__ import annotations

import json
import logging
from collections import deque
from dataclasses import dataclass
from typing import Any

from autobahnlike.backplane.ids import new_node_id, node_of
from autobahnlike.backplane.interface import (
    ConnectionInfo,
    Health,
    Node,
    Payload,
    RoomListener,
    Subscription,
    Verdict,
)
from autobahnlike.backplane.memory import payload_size
from autobahnlike.backplane.redis.client import Client, Listener
from autobahnlike.backplane.redis.loop import Loop, Promise, current_loop
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.backplane.redis.presence import Presence, PresenceCounters
from autobahnlike.backplane.redis.resp import RedisBusy, RedisError, RedisLost, RedisMisconfigured
from autobahnlike.backplane.redis.rooms import RoomCounters, Rooms
from autobahnlike.backplane.redis.scripts import SEND, Keys
from autobahnlike.backplane.redis.url import parse_url

__all__ = ("RedisBackplane", "RedisCounters")

_log = logging.getLogger("autobahnlike.backplane")

_ECHO = b"echo"
# Requests for one connection that wait for those before them.
_MAX_TURNS = 1000
# Seconds after which it is looked again whether a node listens, at first; up to ten times as much later.
_RETRY = 0.02
# Seconds that it may take to find out whether a node that gave no verdict still lives.
_LAST_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class RedisCounters:
    """What a backplane has done and seen up to now.

    Attributes:
        rooms: what happened in rooms.
        presence: what happened to nodes.
        reconnects: how often a connection to Redis was lost and made again.
        deaf: how often it was noticed that nothing comes in on a connection that seems to be well.
        requests: requests to other nodes that wait for a verdict.
        lag: seconds that the last message to oneself took through Redis; None before the first.
    """

    rooms: RoomCounters
    presence: PresenceCounters
    reconnects: int
    deaf: int
    requests: int
    lag: float | None


class RedisBackplane:
    """A node's part of a backplane on Redis.

    Args:
        url: where Redis is; see :func:`~autobahnlike.backplane.redis.parse_url`.
        options: names, intervals and limits.
        reactor: the reactor to use on Twisted, if it is not that of the process. If None, whatever drives
            :meth:`start` is used, asyncio or Twisted.

    Raises:
        ValueError: the address is none.
    """

    def __init__(self, url: str, *, options: RedisOptions | None = None, reactor: Any = None) -> None:
        self._url = parse_url(url)
        self._options = RedisOptions() if options is None else options
        self._reactor = reactor
        self._keys = Keys(self._options.prefix)
        self._node_id = new_node_id()
        self._running: _Running | None = None
        self._is_stopped = False

    def __repr__(self) -> str:
        return f"<RedisBackplane at {self._url}, node {self._node_id.hex()}>"

    @property
    def node_id(self) -> bytes:
        """The 4 bytes that the ids of its connections begin with; others after it was taken for dead."""
        return self._node_id if self._running is None else self._running.node_id

    @property
    def health(self) -> Health:
        """How it is: well if both connections to Redis are there."""
        if self._running is None or self._is_stopped:
            return Health(False, "the backplane is not running")
        return self._running.health

    @property
    def counters(self) -> RedisCounters | None:
        """What has happened up to now; None before :meth:`start`."""
        return None if self._running is None else self._running.counters

    async def start(self, node: Node, /) -> None:
        """See :class:`~autobahnlike.backplane.Backplane`.

        Raises:
            RedisMisconfigured: Redis refuses user, password or database, or is too old (also ``ValueError``).
            RuntimeError: it was started before, or neither asyncio nor Twisted drives the coroutine.
        """
        if self._running is not None:
            raise RuntimeError("a backplane can be started once")
        loop = current_loop(self._reactor)
        self._running = _Running(loop, self._url, self._options, self._keys, node, self._node_id)
        try:
            await self._running.start()
        except RedisMisconfigured:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Leave the others."""
        if self._running is not None and not self._is_stopped:
            self._is_stopped = True
            await self._running.stop()

    async def register(self, info: ConnectionInfo, /) -> None:
        """Let the others know of a connection."""
        if self._running is not None and not self._is_stopped:
            await self._running.presence.register(info)

    async def unregister(self, connection_id: str, /) -> bool:
        """Forget a connection."""
        if self._running is None or self._is_stopped:
            return True
        return await self._running.presence.unregister(connection_id)

    async def send(self, connection_id: str, payload: Payload, /, *, timeout: float | None = None) -> Verdict:  # noqa: ASYNC109
        """Send a message to a connection of any node."""
        node_id, running = node_of(connection_id), self._running
        if node_id is None:
            return Verdict.GONE
        if running is None:
            return Verdict.UNKNOWN
        if node_id == running.node_id:
            return running.node.deliver(connection_id, payload)
        if payload_size(payload) > self._options.max_message_size:
            return Verdict.TOO_LARGE
        head = {"k": "send", "c": connection_id, "t": int(isinstance(payload, str))}
        body = payload.encode() if isinstance(payload, str) else payload
        return (await running.request(node_id, head, body, timeout))[0]

    async def close(self, connection_id: str, code: int, reason: str, /, *, timeout: float | None = None) -> Verdict:  # noqa: ASYNC109
        """Close a connection of any node."""
        node_id, running = node_of(connection_id), self._running
        if node_id is None:
            return Verdict.GONE
        if running is None:
            return Verdict.UNKNOWN
        if node_id == running.node_id:
            return running.node.close(connection_id, code, reason)
        head = {"k": "close", "c": connection_id, "code": code, "reason": reason}
        return (await running.request(node_id, head, b"", timeout))[0]

    async def info(
        self,
        connection_id: str,
        /,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> tuple[Verdict, ConnectionInfo | None]:
        """Ask what is known of a connection of any node."""
        node_id, running = node_of(connection_id), self._running
        if node_id is None:
            return Verdict.GONE, None
        if running is None:
            return Verdict.UNKNOWN, None
        if node_id == running.node_id:
            info = running.node.info(connection_id)
            return (Verdict.GONE if info is None else Verdict.DELIVERED), info
        return await running.request(node_id, {"k": "info", "c": connection_id}, b"", timeout)

    async def subscribe(self, room: str, listener: RoomListener, /) -> Subscription:
        """Have a listener told what is published to a room.

        Raises:
            RuntimeError: the backplane was not started.
        """
        return await self._require().rooms.subscribe(room, listener)

    async def publish(self, room: str, payload: Payload, /, *, origin: str = "") -> int:
        """Send a message to all listeners of a room.

        Raises:
            RuntimeError: the backplane was not started.
        """
        return await self._require().rooms.publish(room, payload, origin)

    def _require(self) -> _Running:
        if self._running is None:
            raise RuntimeError("the backplane was not started")
        return self._running


class _Running:
    """A backplane that was started."""

    def __init__(self, loop: Loop, url: Any, options: RedisOptions, keys: Keys, node: Node, node_id: bytes) -> None:
        self.node = node
        self.node_id = node_id
        self._loop = loop
        self._url = url
        self._options = options
        self._keys = keys
        self._client = Client(loop, url, options, "commands", self._client_up, self._client_down)
        self._listener = Listener(loop, url, options, "listener", self._listener_up, self._listener_down, self._heard)
        self.rooms = Rooms(loop, self._client, self._listener, options, keys)
        self.presence = Presence(loop, self._client, options, keys, node, node_id.hex(), self._declared_dead)
        self._channel = self._channel_of(node_id.hex())
        self._is_stopped = False
        self._stopped: Promise[None] = Promise(loop)
        self._hearing: Promise[None] = Promise(loop)
        # Heartbeats.
        self._wake: Promise[None] = Promise(loop)
        self._first_beat: Promise[None] = Promise(loop)
        self._ended: Promise[None] = Promise(loop)
        self._unheard = 0
        self._echo_sent_at = 0.0
        self._lag: float | None = None
        self._deaf = 0
        # Requests.
        self._number = 0
        self._requests: dict[int, Promise[tuple[Verdict, ConnectionInfo | None]]] = {}
        self._turns: dict[str, deque[Promise[None]]] = {}
        self._bytes = 0

    # Life.

    async def start(self) -> None:
        self._listener._channels[self._channel] = None
        self._client.start()
        self._listener.start()
        for keeper in (self._client, self._listener):
            error = await keeper.first.wait()
            if isinstance(error, RedisMisconfigured):
                raise error
        self._loop.spawn(self._beat_forever())
        if self._client.is_up:
            await self._first_beat.wait()

    async def stop(self) -> None:
        self._is_stopped = True
        self._stopped.resolve(None)
        self._wake.resolve(None)
        if self._client.is_up:
            await self.presence.leave()
        await self.halt()

    async def halt(self) -> None:
        """End without a word to the others."""
        self._is_stopped = True
        self._stopped.resolve(None)
        self._hearing.resolve(None)
        self.presence.halt()
        await self._client.stop()
        await self._listener.stop()
        for request in list(self._requests.values()):
            request.resolve((Verdict.UNKNOWN, None))

    @property
    def health(self) -> Health:
        for keeper, what in (
            (self._client, "other nodes are not reached"),
            (self._listener, "other nodes are not heard"),
        ):
            if not keeper.is_up:
                seconds = self._loop.now() - keeper.down_since
                return Health(False, f"{what}, for {seconds:.0f} s now: {keeper.reason}; trying again")
        if self._unheard >= 2:
            return Health(False, f"other nodes are not heard: Redis at {self._url} does not echo; connecting again")
        return Health(True)

    @property
    def counters(self) -> RedisCounters:
        reconnects = self._client.reconnects + self._listener.reconnects
        return RedisCounters(
            self.rooms.counters, self.presence.counters, reconnects, self._deaf, len(self._requests), self._lag
        )

    def _client_up(self) -> None:
        self._wake.resolve(None)
        self.rooms.can_ask()

    def _client_down(self) -> None:
        pass

    def _listener_up(self) -> None:
        self._unheard = 0
        self._hearing.resolve(None)
        self.rooms.hears_again()

    def _listener_down(self) -> None:
        if self._hearing.is_done:
            self._hearing = Promise(self._loop)
        self.rooms.went_away()

    def _declared_dead(self) -> None:
        """Others took this node for dead: go on as another one."""
        self._listener.unsubscribe(self._channel)
        self.node_id = new_node_id()
        self._channel = self._channel_of(self.node_id.hex())
        self.presence.rename(self.node_id.hex())
        self._unheard = 0
        self._loop.spawn(self._move(self._channel))
        try:
            self.node.declared_dead()
        except Exception:
            _log.exception("the gateway could not cope with having been taken for dead")

    async def _move(self, channel: str) -> None:
        await self._listener.subscribe(channel)
        self._wake.resolve(None)

    async def _beat_forever(self) -> None:
        while not self._is_stopped:
            self._wake = Promise(self._loop)
            if self._unheard >= 2:
                self._deaf += 1
                self._unheard = 0
                self._listener.drop(RedisLost(f"nothing is heard on the connection to Redis at {self._url}"))
            if self._client.is_up:
                await self._beat()
            if self._is_stopped:
                break
            self.rooms.check()
            try:
                await self._wake.wait(self._options.heartbeat_interval)
            except TimeoutError:
                pass

    async def _beat(self) -> None:
        was_hearing, channel = self._listener.is_up, self._channel
        self._echo_sent_at = self._loop.now()
        if was_hearing:
            self._unheard += 1
        try:
            await self.presence.beat(channel, _ECHO)
        except RedisError as error:
            # Whether it was published nobody knows.
            self._unheard = 0
            if not self._is_stopped:
                _log.warning("no sign of life could be given: %s", error)
        self._first_beat.resolve(None)

    def _channel_of(self, node_id: str) -> str:
        return self._keys.node_channel(node_id)

    # What comes in.

    def _heard(self, channel: bytes, data: bytes) -> None:
        try:
            if channel != self._channel.encode():
                self.rooms.published(channel, data)
            elif data == _ECHO:
                self._unheard = 0
                self._lag = self._loop.now() - self._echo_sent_at
            else:
                self._asked(data)
        except Exception:
            _log.exception("what was published in %r could not be dealt with", channel.decode(errors="replace"))

    def _asked(self, data: bytes) -> None:
        text, _, body = data.partition(b"\n")
        head = json.loads(text)
        kind, number = head["k"], head["r"]
        if kind == "verdict":
            request = self._requests.get(number)
            if request is not None:
                info = head.get("i")
                request.resolve((Verdict(head["v"]), None if info is None else ConnectionInfo.from_dict(info)))
            return
        reply = {"k": "verdict", "r": number, **self._answer(kind, head, body)}
        # If that fails, the sender is left without a verdict, and says so.
        self._client.send("PUBLISH", self._channel_of(head["f"]), _pack(reply))

    def _answer(self, kind: str, head: dict[str, Any], body: bytes) -> dict[str, Any]:
        connection_id = head["c"]
        if kind == "send":
            payload = body.decode() if head["t"] else body
            return {"v": self.node.deliver(connection_id, payload).value}
        if kind == "close":
            return {"v": self.node.close(connection_id, head["code"], head["reason"]).value}
        info = self.node.info(connection_id)
        if info is None:
            return {"v": Verdict.GONE.value}
        return {"v": Verdict.DELIVERED.value, "i": info.to_dict()}

    # What goes out.

    async def request(
        self, node_id: bytes, head: dict[str, Any], body: bytes, patience: float | None
    ) -> tuple[Verdict, ConnectionInfo | None]:
        """Ask another node for something, after what it was asked for before concerning the same connection."""
        deadline = self._loop.now() + (self._options.verdict_timeout if patience is None else patience)
        turns = self._turns.get(head["c"])
        if self._bytes + len(body) > self._options.max_pending_bytes or (turns and len(turns) >= _MAX_TURNS):
            return Verdict.BUFFER_FULL, None
        self._bytes += len(body)
        try:
            if turns is not None and not await self._my_turn(head["c"], turns, deadline):
                return Verdict.UNKNOWN, None
            if turns is None:
                turns = self._turns[head["c"]] = deque()
            try:
                return await self._ask(node_id.hex(), head, body, deadline)
            finally:
                self._next_turn(head["c"], turns)
        finally:
            self._bytes -= len(body)

    async def _my_turn(self, connection_id: str, turns: deque[Promise[None]], deadline: float) -> bool:
        turn: Promise[None] = Promise(self._loop)
        turns.append(turn)
        try:
            await turn.wait(deadline - self._loop.now())
        except TimeoutError:
            turns.remove(turn)
            return False
        except BaseException:
            # Whoever waited was cancelled.
            if turn in turns:
                turns.remove(turn)
            else:
                self._next_turn(connection_id, turns)
            raise
        return True

    def _next_turn(self, connection_id: str, turns: deque[Promise[None]]) -> None:
        if turns:
            turns.popleft().resolve(None)
        else:
            del self._turns[connection_id]

    async def _ask(
        self, node_id: str, head: dict[str, Any], body: bytes, deadline: float
    ) -> tuple[Verdict, ConnectionInfo | None]:
        if len(self._requests) >= self._options.max_pending:
            return Verdict.BUFFER_FULL, None
        self._number += 1
        number = self._number
        verdict = self._requests[number] = Promise(self._loop)
        message = _pack({**head, "r": number, "f": self.node_id.hex()}) + b"\n" + body
        command = ("EVAL", SEND, 1, self._keys.alive(node_id), self._channel_of(node_id), message)
        pause = _RETRY
        try:
            while await self._is_hearing(deadline):
                heard = await self._client.send(*command).wait(deadline - self._loop.now())
                if heard > 0:
                    return await verdict.wait(deadline - self._loop.now())
                if heard == 0:
                    return Verdict.GONE, None
                # It lives, but does not listen: usually it is connecting to Redis again.
                await self._pause(min(pause, deadline - self._loop.now()))
                pause = min(pause * 2, _RETRY * 10)
        except RedisBusy:
            return Verdict.BUFFER_FULL, None
        except TimeoutError:
            _log.debug("connection %s: no verdict in time", head["c"])
        except RedisError as error:
            _log.debug("connection %s: no verdict: %s", head["c"], error)
            return Verdict.UNKNOWN, None
        finally:
            del self._requests[number]
        return (Verdict.GONE if await self._has_died(node_id) else Verdict.UNKNOWN), None

    async def _has_died(self, node_id: str) -> bool:
        """Whether a node gives no sign of life any more, and so its connections are gone. Asked for a moment only."""
        if self._is_stopped or not self._client.is_up:
            return False
        try:
            signs: int = await self._client.send("EXISTS", self._keys.alive(node_id)).wait(_LAST_LOOK)
        except (TimeoutError, RedisError):
            return False
        return signs == 0

    async def _is_hearing(self, deadline: float) -> bool:
        """Whether a verdict would be heard; waits a moment for that."""
        if self._is_stopped or self._loop.now() >= deadline:
            return False
        if not self._listener.is_up:
            until = min(deadline, self._listener.down_since + self._options.patience)
            await self._hearing.wait(until - self._loop.now())
        return not self._is_stopped

    async def _pause(self, seconds: float) -> None:
        try:
            await self._stopped.wait(seconds)
        except TimeoutError:
            pass


def _pack(head: dict[str, Any]) -> bytes:
    return json.dumps(head, separators=(",", ":")).encode()
