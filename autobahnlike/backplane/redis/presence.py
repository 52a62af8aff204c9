"""Who is there: a node's signs of life, its connections, and what survivors do for those of a node that died."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from autobahnlike.backplane.ids import node_of
from autobahnlike.backplane.interface import ConnectionInfo, Node
from autobahnlike.backplane.redis.client import Client
from autobahnlike.backplane.redis.loop import Loop, Promise
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.backplane.redis.resp import RedisError
from autobahnlike.backplane.redis.scripts import (
    BEAT,
    CLAIM,
    FINISH,
    LEAVE,
    REGISTER,
    TAKE,
    UNREGISTER,
    Keys,
)

__all__ = ("Presence", "PresenceCounters")

_log = logging.getLogger("autobahnlike.backplane")

# Seconds for which it is remembered that a node was taken for dead: for as long as it might come back.
_REMEMBER_DEAD = 24 * 3600
# Milliseconds after which another survivor may see to a dead node if the first one is heard of no more.
_CLAIM = 30_000
# Handlers of $disconnect that one survivor runs at a time for one dead node.
_WORKERS = 16
_BATCH = 100
# Connections that have ended while Redis was away, above which all are forgotten and registered again.
_MAX_ENDED = 100_000


@dataclass(slots=True)
class PresenceCounters:
    """What has happened.

    Attributes:
        claimed: dead nodes that this node has seen to.
        orphans: their connections.
        declared_dead: how often this node was taken for dead itself.
    """

    claimed: int = 0
    orphans: int = 0
    declared_dead: int = 0


class Presence:
    """A node among the others.

    Args:
        loop: the loop.
        client: for commands.
        options: names and intervals.
        keys: the names of keys.
        node: the node.
        node_id: its id in hexadecimal.
        on_dead: called when others took it for dead; has to call :meth:`rename`.
    """

    def __init__(
        self,
        loop: Loop,
        client: Client,
        options: RedisOptions,
        keys: Keys,
        node: Node,
        node_id: str,
        on_dead: Callable[[], None],
    ) -> None:
        self.counters = PresenceCounters()
        self._loop = loop
        self._client = client
        self._options = options
        self._keys = keys
        self._node = node
        self._on_dead = on_dead
        self._id = node_id
        # Tells two nodes apart that happened to choose the same id.
        self._token = secrets.token_hex(8)
        # Whether Redis may lack connections, and which it may have that have ended.
        self._is_incomplete = False
        self._ended: dict[str, None] = {}
        self._suspects: set[bytes] = set()
        self._is_stopped = False

    def rename(self, node_id: str) -> None:
        """Be another node from now on, with connections of its own."""
        self._id = node_id
        self._token = secrets.token_hex(8)
        self._is_incomplete = True
        self._ended.clear()

    async def beat(self, channel: str, echo: bytes) -> None:
        """Give a sign of life, catch up with what Redis may not have, and look for nodes that give none.

        Args:
            channel: the channel of this node.
            echo: what to publish there, to hear it.

        Raises:
            RedisError: that was not possible.
        """
        keys, node_id = self._keys, self._id
        # Others may have been as cut off as this node, and need the time to say that they live.
        may_judge = self._loop.now() - self._client.up_since >= self._options.node_timeout
        timeout = int(self._options.node_timeout * 1000)
        found = await self._client.call(
            *("EVAL", BEAT, 3, keys.nodes, keys.alive(node_id), keys.dead(node_id)),
            *(node_id, self._token, timeout, channel, echo, int(may_judge)),
        )
        if node_id != self._id or self._is_stopped:
            return
        if found[0] == 0:
            self._declared_dead()
            return
        if found[0] == 2:
            self._is_incomplete = True
        if self._is_incomplete or self._ended:
            await self._catch_up()
        # A pause of Redis itself makes all nodes late; a second look is taken when those who live have been heard.
        seem_dead = set(found[1]) if may_judge else set()
        for dead in seem_dead & self._suspects:
            self._loop.spawn(self._see_to(dead.decode("ascii", "replace")))
        self._suspects = seem_dead

    def _declared_dead(self) -> None:
        _log.error("node %s was taken for dead by others; its connections are closed", self._id)
        self.counters.declared_dead += 1
        self._on_dead()

    async def register(self, info: ConnectionInfo) -> None:
        """See ``Backplane``."""
        self._ended.pop(info.connection_id, None)
        node_id = self._id
        try:
            is_alive = await self._register(node_id, [info])
        except RedisError as error:
            _log.debug("connection %s is registered later: %s", info.connection_id, error)
            self._is_incomplete = True
            return
        if not is_alive and node_id == self._id and not self._is_stopped:
            self._declared_dead()

    async def _register(self, node_id: str, infos: Iterable[ConnectionInfo]) -> bool:
        keys = self._keys
        fields = [text for info in infos for text in (info.connection_id, json.dumps(info.to_dict()))]
        where = (keys.connections(node_id), keys.dead(node_id), keys.nodes)
        return bool(await self._client.call("EVAL", REGISTER, 3, *where, node_id, *fields) == 1)

    async def unregister(self, connection_id: str) -> bool:
        """See ``Backplane``."""
        decoded = node_of(connection_id)
        # Of a name that this node had before, perhaps.
        node_id = self._id if decoded is None else decoded.hex()
        try:
            return await self._unregister(node_id, [connection_id])
        except RedisError as error:
            if node_id == self._id:
                _log.debug("connection %s is unregistered later: %s", connection_id, error)
                self._ended[connection_id] = None
        # Nobody else can have claimed it while nobody reaches Redis. If it is only this node that does not, others will
        # take it for dead: then its $disconnect may run twice, which is better than never.
        return True

    async def _unregister(self, node_id: str, connection_ids: list[str]) -> bool:
        where = (self._keys.connections(node_id), self._keys.dead(node_id))
        return bool(await self._client.call("EVAL", UNREGISTER, 2, *where, *connection_ids) == 1)

    async def _catch_up(self) -> None:
        """Have Redis know exactly the connections that there are."""
        node_id = self._id
        self._is_incomplete, was_incomplete = False, self._is_incomplete
        try:
            if len(self._ended) > _MAX_ENDED:
                self._ended.clear()
                await self._client.call("DEL", self._keys.connections(node_id))
                was_incomplete = True
            ended = list(self._ended)
            for start in range(0, len(ended), _BATCH):
                batch = ended[start : start + _BATCH]
                await self._unregister(node_id, batch)
                for connection_id in batch:
                    self._ended.pop(connection_id, None)
            infos = [info for info in self._node.connections() if was_incomplete and _is_of(info, node_id)]
            for start in range(0, len(infos), _BATCH):
                # Some may have ended meanwhile.
                batch_infos = [info for info in infos[start : start + _BATCH] if self._node.info(info.connection_id)]
                if batch_infos and node_id == self._id:
                    await self._register(node_id, batch_infos)
        except RedisError:
            self._is_incomplete = True
            raise

    async def leave(self) -> None:
        """Go in order."""
        self._is_stopped = True
        keys = self._keys
        try:
            if self._ended:
                await self._catch_up()
            await self._client.call(
                "EVAL", LEAVE, 3, keys.nodes, keys.alive(self._id), keys.connections(self._id), self._id
            )
        except RedisError as error:
            _log.debug("node %s could not say that it leaves: %s", self._id, error)

    def halt(self) -> None:
        """Do nothing any more."""
        self._is_stopped = True

    # What survivors do.

    async def _see_to(self, dead: str) -> None:
        """See to the connections of a dead node, unless another survivor does."""
        keys = self._keys
        try:
            claim = (keys.alive(dead), keys.dead(dead), keys.claim(dead), self._id, _CLAIM, _REMEMBER_DEAD)
            if await self._client.call("EVAL", CLAIM, 3, *claim) != 1:
                return
            _log.warning("node %s gives no sign of life; this node sees to its connections", dead)
            self.counters.claimed += 1
            workers = [self._start_worker(dead) for _ in range(_WORKERS)]
            for worker in workers:
                await worker.wait()
            await self._client.call("EVAL", FINISH, 3, keys.nodes, keys.connections(dead), keys.claim(dead), dead)
        except RedisError as error:
            _log.warning("node %s: its connections cannot be seen to at the moment: %s", dead, error)

    def _start_worker(self, dead: str) -> Promise[None]:
        done: Promise[None] = Promise(self._loop)
        self._loop.spawn(self._work(dead, done))
        return done

    async def _work(self, dead: str, done: Promise[None]) -> None:
        """Take one connection after another, and run its ``$disconnect``. What was taken nobody else can take."""
        where = (self._keys.connections(dead), self._keys.claim(dead))
        try:
            while not self._is_stopped:
                found = await self._client.call("EVAL", TAKE, 2, *where, _CLAIM)
                if found is None:
                    break
                self.counters.orphans += 1
                await self._orphaned(dead, found)
        except RedisError as error:
            done.fail(error)
        finally:
            done.resolve(None)

    async def _orphaned(self, dead: str, found: bytes) -> None:
        try:
            info = ConnectionInfo.from_dict(json.loads(found))
        except (ValueError, TypeError) as error:
            _log.error("node %s: what it registered of a connection cannot be read: %s", dead, error)
            return
        try:
            await self._node.orphaned(info)
        except Exception:
            _log.exception("connection %s: its $disconnect failed", info.connection_id)


def _is_of(info: ConnectionInfo, node_id: str) -> bool:
    decoded = node_of(info.connection_id)
    return decoded is None or decoded.hex() == node_id
