"""The backplane on Redis or Valkey: many processes, on many machines, on either loop.

A connection id names its node, so that a message goes straight there: it is published in the channel of the node, and
the node publishes its verdict in the channel of the sender. Rooms are numbered by Redis, and told when they come back
from it, so that all nodes see one order; gaps in the numbers are filled from a stream. Nodes give signs of life, and
survivors see to the connections of one that gives none.

Each node has two connections to Redis: one for commands, one to listen. Redis from 6.2 on is needed, or Valkey. A user
of Redis needs the commands HELLO, SELECT, INFO, PING, EVAL, SUBSCRIBE, UNSUBSCRIBE, PUBLISH, EXISTS and DEL, those of
the scripts in :mod:`~autobahnlike.backplane.redis.scripts`, and all keys and channels that begin with the prefix.
A cluster is not spoken to, as redirections are not followed; a proxy in front of one is.
"""

from __future__ import annotations

from autobahnlike.backplane.redis.backplane import RedisBackplane, RedisCounters
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.backplane.redis.presence import PresenceCounters
from autobahnlike.backplane.redis.resp import RedisError, RedisMisconfigured
from autobahnlike.backplane.redis.rooms import RoomCounters
from autobahnlike.backplane.redis.url import parse_url

__all__ = (
    "PresenceCounters",
    "RedisBackplane",
    "RedisCounters",
    "RedisError",
    "RedisMisconfigured",
    "RedisOptions",
    "RoomCounters",
    "parse_url",
)
