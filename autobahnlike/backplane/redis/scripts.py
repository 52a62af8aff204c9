"""What is done in Redis at once: scripts in Lua, with the names of the keys that they are about.

Nodes: ``{nodes}`` is a sorted set of all nodes with the time of their last sign of life; for each there are
``alive``, which expires, ``conns``, a hash of its connections, ``dead``, set when it was taken for dead, and ``claim``,
the survivor that sees to it. Rooms: ``head`` is a hash of epoch and number of the last message, ``log`` a stream of the
last messages.

An epoch is a time in which Redis has forgotten nothing of a room. It ends when Redis is restarted, or another one takes
over, as either may have lost what it had acknowledged.

The keys of one script have the same hash tag, so that they are on the same node of a cluster.
"""

from __future__ import annotations

__all__ = (
    "BEAT",
    "CLAIM",
    "FINISH",
    "LEAVE",
    "PUBLISH",
    "REGISTER",
    "SEND",
    "SYNC",
    "TAKE",
    "UNREGISTER",
    "Keys",
)


class Keys:
    """The names of keys and channels.

    Args:
        prefix: what they begin with.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes = f"{prefix}:{{nodes}}"

    def alive(self, node: str) -> str:
        """Return the key that says that a node lives; its value tells nodes of the same id apart."""
        return f"{self.nodes}:{node}:alive"

    def connections(self, node: str) -> str:
        """Return the key of the connections of a node: their ids, and what is known of them as JSON."""
        return f"{self.nodes}:{node}:conns"

    def dead(self, node: str) -> str:
        """Return the key that says that a node was taken for dead, and must not come back."""
        return f"{self.nodes}:{node}:dead"

    def claim(self, node: str) -> str:
        """Return the key that says who sees to a dead node."""
        return f"{self.nodes}:{node}:claim"

    def head(self, room: str) -> str:
        """Return the key of the epoch and the last number of a room."""
        return f"{self._prefix}:{{room:{room}}}:head"

    def log(self, room: str) -> str:
        """Return the key of the last messages of a room."""
        return f"{self._prefix}:{{room:{room}}}:log"

    def node_channel(self, node: str) -> str:
        """Return the channel that a node listens to."""
        return f"{self._prefix}:node:{node}"

    def room_channel(self, room: str) -> str:
        """Return the channel of a room."""
        return f"{self._prefix}:room:{room}"


# Keys: nodes, alive, dead. Arguments: node, token, milliseconds until it is dead, its channel, what to publish there,
# whether to look for dead nodes. Returns whether the node is dead (0), known (1) or new (2), and nodes that seem dead.
BEAT = """
local owner = redis.call('GET', KEYS[2])
if redis.call('EXISTS', KEYS[3]) == 1 or (owner and owner ~= ARGV[2]) then return {0} end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PUBLISH', ARGV[4], ARGV[5])
local seem_dead = {}
if ARGV[6] == '1' then
  seem_dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3], 'LIMIT', 0, 100)
end
return {owner and 1 or 2, seem_dead}
"""

# Keys: conns, dead, nodes. Arguments: node, id, information, id, information ...
# Returns 1, or 0 if the node was taken for dead: whoever sees to it has to come again.
REGISTER = """
for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
if redis.call('EXISTS', KEYS[2]) == 0 then return 1 end
redis.call('ZADD', KEYS[3], 0, ARGV[1])
return 0
"""

# Keys: conns, dead. Arguments: ids. Returns 1 if $disconnect of the (last) one is left to this node, else 0.
UNREGISTER = """
local removed = 0
for i = 1, #ARGV do removed = redis.call('HDEL', KEYS[1], ARGV[i]) end
if removed == 1 or redis.call('EXISTS', KEYS[2]) == 0 then return 1 end
return 0
"""

# Keys: nodes, alive, conns. Arguments: node. Returns the number of connections that it has left behind.
LEAVE = """
redis.call('DEL', KEYS[2])
local left = redis.call('HLEN', KEYS[3])
if left == 0 then redis.call('ZREM', KEYS[1], ARGV[1]) end
return left
"""

# Keys: alive, dead, claim. Arguments: who claims, milliseconds for the claim, seconds to remember the dead.
# Returns 1 if it is for the claimant to see to.
CLAIM = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if not redis.call('SET', KEYS[3], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[3])
return 1
"""

# Keys: conns, claim. Arguments: milliseconds for the claim.
# Takes one connection out: returns its information, or nothing.
TAKE = """
redis.call('PEXPIRE', KEYS[2], ARGV[1])
local id = redis.call('HRANDFIELD', KEYS[1])
if not id then return false end
local info = redis.call('HGET', KEYS[1], id)
redis.call('HDEL', KEYS[1], id)
return info
"""

# Keys: nodes, conns, claim. Arguments: the dead node. Returns whether nothing is left.
FINISH = """
redis.call('DEL', KEYS[3])
if redis.call('HLEN', KEYS[2]) > 0 then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
return 1
"""

# Keys: alive. Arguments: the channel of the node, what to publish there.
# Returns how many have heard it: -1 if there is such a node, but it does not listen.
SEND = """
local heard = redis.call('PUBLISH', ARGV[1], ARGV[2])
if heard == 0 and redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
return heard
"""

# Keys: head, log. Arguments: run id, something random, milliseconds after which a room is forgotten.
_HEAD = """
local head = redis.call('HMGET', KEYS[1], 'epoch', 'number')
local epoch, number = head[1], tonumber(head[2])
if not epoch or string.sub(epoch, 1, #ARGV[1]) ~= ARGV[1] then
  epoch, number = ARGV[1] .. '.' .. ARGV[2], 0
  redis.call('DEL', KEYS[2])
  redis.call('HSET', KEYS[1], 'epoch', epoch, 'number', 0)
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""

# Further arguments: the channel of the room, the message, how many to keep. Returns the number of the message.
PUBLISH = (
    _HEAD
    + """
number = redis.call('HINCRBY', KEYS[1], 'number', 1)
local text = string.format('%.0f', number)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], text .. '-0', 'm', ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('PUBLISH', ARGV[4], epoch .. ' ' .. text .. '\\n' .. ARGV[5])
return number
"""
)

# Further arguments: the epoch that the node is in, the first number that it lacks, how many to return.
# Returns epoch, number of the last message, and those that are lacking, if the epoch is still the same.
SYNC = (
    _HEAD
    + """
redis.call('PEXPIRE', KEYS[2], ARGV[3])
if epoch ~= ARGV[4] then return {epoch, number, {}} end
return {epoch, number, redis.call('XRANGE', KEYS[2], ARGV[5] .. '-0', '+', 'COUNT', ARGV[6])}
"""
)
