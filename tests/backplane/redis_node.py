"""A node in a process of its own: ``python -m tests.backplane.redis_node LOOP URL OPTIONS CONNECTIONS``.

It tells what happens in lines of JSON, and goes on until it is killed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from autobahnlike.backplane import ConnectionInfo, Payload, RoomMessage, Verdict
from autobahnlike.backplane.redis import RedisBackplane
from autobahnlike.backplane.redis.options import RedisOptions
from tests.backplane.suite import Peer, RecordingNode


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


class TalkingNode(RecordingNode):
    def deliver(self, connection_id: str, payload: Payload, /) -> Verdict:
        verdict = super().deliver(connection_id, payload)
        say(deliver=connection_id, payload=str(payload), verdict=verdict.value)
        return verdict

    async def orphaned(self, info: ConnectionInfo, /) -> None:
        say(orphaned=info.connection_id)

    def declared_dead(self) -> None:
        super().declared_dead()
        say(declared_dead=True)

    def room_message(self, message: RoomMessage, /) -> None:
        say(room=message.room, sequence=message.sequence, payload=str(message.payload))

    def room_lost(self, room: str, first: int, last: int | None, /) -> None:
        say(lost=room, first=first, last=last)


async def main(url: str, options: str, connections: str) -> None:
    node = TalkingNode()
    peer = Peer(RedisBackplane(url, options=RedisOptions(**json.loads(options))), node)
    await peer.backplane.start(node)
    for room in "ab":
        await peer.backplane.subscribe(room, node)
    say(node=peer.backplane.node_id.hex(), ids=[await peer.connect() for _ in range(int(connections))])


if __name__ == "__main__":
    loop, *arguments = sys.argv[1:]
    if loop == "asyncio":

        async def run() -> None:
            await main(*arguments)
            await asyncio.Event().wait()

        asyncio.run(run())
    else:
        from twisted.internet import reactor
        from twisted.internet.defer import Deferred
        from twisted.python.failure import Failure

        def begin() -> None:
            Deferred.fromCoroutine(main(*arguments)).addErrback(Failure.printTraceback)

        started: Any = reactor
        started.callWhenRunning(begin)
        started.run()
