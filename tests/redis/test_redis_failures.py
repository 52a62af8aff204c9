"""What happens on Redis when something fails: a node, a connection, Redis itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from autobahnlike.backplane import BackplaneUnavailable, PublishUncertain, Verdict
from autobahnlike.backplane.redis.scripts import Keys
from tests.backplane.redis_process import NodeProcess
from tests.backplane.redis_server import RedisServer
from tests.backplane.redis_world import WORLDS, AsyncioWorld, BothWorld, RedisWorld, inner
from tests.backplane.suite import Listener, Peer

every_world = pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)
LOOPS = pytest.mark.parametrize("loop", ["asyncio", "twisted"])


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    # So that the history of a room is as short as was asked for.
    with RedisServer("stream-node-max-entries 1") as server:
        yield server


def tell(world: RedisWorld, story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        await story()

    world.run(told())


def kill_clients(redis: RedisServer, name: str) -> int:
    """Have Redis close all connections of a kind; returns how many."""
    return sum(redis.command("CLIENT", "KILL", "ID", number) for number in redis.clients(name))


def make_deaf(peer: Peer) -> None:
    """Have a node hear nothing any more, on a connection that is well."""
    running = inner(peer)._running
    assert running is not None
    connection = running._listener._connection
    assert connection is not None
    connection.tell("UNSUBSCRIBE")


class TestListeners:
    @every_world
    def test_one_that_is_killed_comes_back_and_misses_nothing(
        self, world: type[RedisWorld], redis: RedisServer
    ) -> None:
        there = world(redis.url)

        async def story() -> None:
            one, other = await there.peer(), await there.peer()
            listener = Listener()
            await one.backplane.subscribe("r", listener)
            sent = []
            for number in range(60):
                if number % 20 == 5:
                    await there.until(lambda: len(redis.clients("-listener")) == 2, "the listeners")
                    assert kill_clients(redis, "-listener") == 2
                sent.append(f"{number}")
                await other.backplane.publish("r", sent[-1])
            await there.until(lambda: len(listener.messages) >= len(sent), "all messages")
            assert listener.payloads == sent
            assert listener.lost == []
            connection_id = await one.connect()
            # Whoever sends waits a moment for a node that is connecting again.
            kill_clients(redis, "-listener")
            assert await other.backplane.send(connection_id, "x") in (Verdict.DELIVERED, Verdict.UNKNOWN)
            await there.until(lambda: other.backplane.health.is_healthy, "the listener")
            assert await other.backplane.send(connection_id, "y") is Verdict.DELIVERED

        tell(there, story)

    @every_world
    def test_one_that_is_deaf_is_noticed(self, world: type[RedisWorld], redis: RedisServer) -> None:
        there = world(redis.url)

        async def story() -> None:
            one, other = await there.peer(), await there.peer()
            listener = Listener()
            await one.backplane.subscribe("r", listener)
            connection_id = await one.connect()
            make_deaf(one)
            await other.backplane.publish("r", "missed")
            # The node lives, so that this waits until it listens again.
            assert await other.backplane.send(connection_id, "x") is Verdict.DELIVERED
            await there.until(lambda: listener.payloads == ["missed"], "what was missed")
            counters = inner(one).counters
            assert counters is not None
            assert counters.deaf == 1
            assert counters.rooms.recovered == 1
            assert one.backplane.health.is_healthy

        tell(there, story)

    def test_what_is_not_kept_any_more_is_reported_as_lost(self, redis: RedisServer) -> None:
        there = AsyncioWorld(redis.url, history=10)

        async def story() -> None:
            one, other = await there.peer(), await there.peer()
            listener = Listener()
            await one.backplane.subscribe("r", listener)
            first = await other.backplane.publish("r", "first")
            await there.until(lambda: bool(listener.messages), "the first message")
            make_deaf(one)
            for number in range(50):
                await other.backplane.publish("r", f"{number}")
            await there.until(lambda: len(listener.messages) == 11, "what is still there")
            assert listener.lost == [("r", first + 1, first + 40)]
            assert listener.payloads == ["first", *map(str, range(40, 50))]

        tell(there, story)

    def test_a_room_that_is_quiet_is_checked(self, redis: RedisServer) -> None:
        there = AsyncioWorld(redis.url, room_check_interval=0.2)

        async def story() -> None:
            one, other = await there.peer(), await there.peer()
            listener = Listener()
            await one.backplane.subscribe("r", listener)
            running = inner(one)._running
            assert running is not None
            connection = running._listener._connection
            assert connection is not None
            # Deaf for this room only, which no echo shows.
            connection.tell("UNSUBSCRIBE", Keys(there.options.prefix).room_channel("r"))
            await other.backplane.info(await one.connect())
            await other.backplane.publish("r", "missed")
            await there.until(lambda: listener.payloads == ["missed"], "what was missed")

        tell(there, story)


class TestDeadNodes:
    @LOOPS
    def test_a_node_that_is_killed(self, loop: str, redis: RedisServer) -> None:
        there = BothWorld(redis.url)

        async def story() -> None:
            survivors = [await there.peer(), await there.peer()]
            with NodeProcess(loop, redis.url, there.options, 50) as dead:
                await there.until(lambda: bool(dead.ids), "the node")
                for peer, connection_id in zip(survivors, dead.ids, strict=False):
                    assert await peer.backplane.send(connection_id, "x") is Verdict.DELIVERED
                ids = dead.ids
                dead.kill()
            # Right after its end, and it waits until it is clear that the node does not come back.
            assert await survivors[0].backplane.send(ids[0], "x") is Verdict.GONE

            def orphans() -> list[str]:
                return [info.connection_id for peer in survivors for info in peer.node.orphans]

            await there.until(lambda: len(orphans()) >= 50, "the $disconnect of all connections")
            for peer in survivors:
                for _ in range(3):
                    running = inner(peer)._running
                    assert running is not None
                    await there.pause(there.options.heartbeat_interval)
            assert sorted(orphans()) == sorted(ids)
            for peer in survivors:
                assert [await peer.backplane.send(each, "x") for each in ids[:3]] == [Verdict.GONE] * 3
            keys = Keys(there.options.prefix)
            await there.until(lambda: redis.command("ZCARD", keys.nodes) == 2, "the node to be forgotten")

        tell(there, story)

    @LOOPS
    def test_a_node_that_gives_no_verdict_any_more(self, loop: str, redis: RedisServer) -> None:
        there = AsyncioWorld(redis.url)

        async def story() -> None:
            survivor = await there.peer()
            with NodeProcess(loop, redis.url, there.options, 1) as asleep:
                await there.until(lambda: bool(asleep.ids), "the node")
                asleep.stop()
                # It was handed the message, and in the end it is clear that it does not come back.
                send = survivor.backplane.send(asleep.ids[0], "x", timeout=2 * there.options.node_timeout)
                assert await send is Verdict.GONE

        tell(there, story)

    @LOOPS
    def test_a_node_that_was_only_asleep_is_told(self, loop: str, redis: RedisServer) -> None:
        there = AsyncioWorld(redis.url)

        async def story() -> None:
            survivor = await there.peer()
            with NodeProcess(loop, redis.url, there.options, 3) as asleep:
                await there.until(lambda: bool(asleep.ids), "the node")
                asleep.stop()
                first = survivor.backplane.send(asleep.ids[0], "unknown", timeout=0.2)
                assert await first is Verdict.UNKNOWN
                await there.until(lambda: len(survivor.node.orphans) == 3, "the $disconnect of all connections")
                asleep.go_on()
                await there.until(lambda: len(asleep.all("declared_dead")) == 1, "the node to be told")
                ids = asleep.ids
                assert [await survivor.backplane.send(each, "x") for each in ids] == [Verdict.GONE] * 3
                keys = Keys(there.options.prefix)
                await there.until(lambda: redis.command("ZCARD", keys.nodes) == 2, "its new name")
            assert sorted(info.connection_id for info in survivor.node.orphans) == sorted(ids)

        tell(there, story)

    def test_nobody_is_taken_for_dead_when_redis_was_asleep(self, redis: RedisServer) -> None:
        there = BothWorld(redis.url, command_timeout=0.3, connect_timeout=0.5)

        async def story() -> None:
            peers = [await there.peer() for _ in range(3)]
            ids = [await peer.connect() for peer in peers]
            redis.pause()
            await there.until(lambda: not any(peer.backplane.health.is_healthy for peer in peers), "degraded health")
            await there.pause(there.options.node_timeout)
            redis.resume()
            await there.until(lambda: all(peer.backplane.health.is_healthy for peer in peers), "good health")
            await there.pause(2 * there.options.node_timeout)
            assert [peer.node.times_declared_dead for peer in peers] == [0, 0, 0]
            assert [peer.node.orphans for peer in peers] == [[], [], []]
            for peer in peers:
                assert [await peer.backplane.send(each, "x") for each in ids] == [Verdict.DELIVERED] * 3

        tell(there, story)

    def test_two_nodes_of_one_name(self, redis: RedisServer) -> None:
        there = AsyncioWorld(redis.url)

        async def story() -> None:
            one = await there.peer()
            name = one.backplane.node_id
            backplane = there.make(there.options, there.url)
            inner(Peer(backplane, one.node))._node_id = name
            other = Peer(backplane, type(one.node)())
            there.peers.append(other)
            await other.backplane.start(other.node)
            await there.until(lambda: other.node.times_declared_dead == 1, "the second one to get another name")
            assert one.node.times_declared_dead == 0
            assert one.backplane.node_id == name != other.backplane.node_id

        tell(there, story)


class TestRedisAway:
    @every_world
    def test_from_the_start(self, world: type[RedisWorld], redis: RedisServer) -> None:
        redis.kill()
        there = world(redis.url, patience=0.1)

        async def story() -> None:
            one, other = await there.peer(), await there.peer()
            health = one.backplane.health
            assert not health.is_healthy
            assert f"cannot connect to Redis at 127.0.0.1:{redis.port}: Connection refused" in health.reason
            here, elsewhere = await one.connect(), await other.connect()
            left = await one.connect()
            assert await one.disconnect(left)
            await there.pause(0.1)
            assert await one.backplane.send(here, "local") is Verdict.DELIVERED
            began = time.monotonic()
            assert await one.backplane.send(elsewhere, "remote") is Verdict.UNKNOWN
            assert await one.backplane.info(elsewhere) == (Verdict.UNKNOWN, None)
            listener = Listener()
            await one.backplane.subscribe("r", listener)
            with pytest.raises(BackplaneUnavailable, match="Connection refused"):
                await other.backplane.publish("r", "too early")
            assert time.monotonic() - began < 5
            redis.start()
            await there.until(lambda: one.backplane.health.is_healthy and other.backplane.health.is_healthy, "Redis")
            keys = Keys(there.options.prefix)
            conns = [keys.connections(peer.backplane.node_id.hex()) for peer in (one, other)]
            await there.until(
                lambda: [redis.command("HKEYS", each) for each in conns] == [[here], [elsewhere]], "what was registered"
            )
            assert await one.backplane.send(elsewhere, "remote") is Verdict.DELIVERED
            await there.until(lambda: bool(inner(one)._running.rooms._rooms["r"].is_live), "the room")  # type: ignore[union-attr]
            await other.backplane.publish("r", "x")
            await there.until(lambda: listener.payloads == ["x"], "a message")
            assert listener.lost == []

        tell(there, story)

    @every_world
    def test_restarted_under_traffic(self, world: type[RedisWorld], redis: RedisServer) -> None:
        there = world(redis.url, verdict_timeout=2.0)

        async def story() -> None:
            peers = [await there.peer() for _ in range(3)]
            ids = [await peer.connect() for peer in peers]
            listeners = [Listener() for _ in peers]
            for peer, listener in zip(peers, listeners, strict=True):
                await peer.backplane.subscribe("r", listener)
            delivered: dict[str, list[str]] = {each: [] for each in ids}
            published: list[str] = []
            uncertain: list[str] = []
            resumed = [False] * 3
            is_over = restarted = False

            async def send(sender: int) -> None:
                number = 0
                while not is_over:
                    text = f"{sender} {number}"
                    target = ids[(sender + 1) % 3]
                    if await peers[sender].backplane.send(target, text) is Verdict.DELIVERED:
                        delivered[target].append(text)
                        resumed[sender] |= restarted
                    try:
                        await peers[sender].backplane.publish("r", text)
                        published.append(text)
                    except PublishUncertain:
                        uncertain.append(text)
                    except BackplaneUnavailable:
                        pass
                    number += 1
                    await there.pause(0.001)

            async def disturb() -> None:
                nonlocal is_over, restarted
                await there.until(lambda: len(published) > 100, "traffic")
                redis.kill()
                await there.pause(0.1)
                redis.start()
                began = time.monotonic()
                restarted = True
                await there.until(lambda: all(resumed), "traffic again")
                assert time.monotonic() - began < 5
                before = len(published)
                await there.until(lambda: len(published) > before + 100, "more traffic")
                is_over = True

            await there.together(disturb(), *[send(sender) for sender in range(3)])
            last = published[-1]
            await there.until(lambda: all(last in listener.payloads for listener in listeners), "the last message")
            for peer, connection_id in zip(peers, ids, strict=True):
                inbox = peer.node.inbox[connection_id]
                assert len(set(inbox)) == len(inbox)
                assert [each for each in inbox if each in set(delivered[connection_id])] == delivered[connection_id]
            for listener in listeners:
                payloads = listener.payloads
                assert len(set(payloads)) == len(payloads)
                # Redis has forgotten everything, so that nobody can know whether something is missing.
                assert [(room, last) for room, _, last in listener.lost] == [("r", None)]
            # They may not have seen the end of what was before in the same way, but what came after.
            anew = [[message.payload for message in listener.messages[beginning(listener) :]] for listener in listeners]
            assert anew[0] == anew[1] == anew[2]
            assert len(anew[0]) > 100

        def beginning(listener: Listener) -> int:
            numbers = [message.sequence for message in listener.messages]
            start = len(numbers) - 1 - numbers[::-1].index(1)
            assert numbers == [*range(1, start + 1), *range(1, len(numbers) - start + 1)]
            return start

        tell(there, story)

    def test_it_forgot_everything(self, redis: RedisServer) -> None:
        there = AsyncioWorld(redis.url, room_check_interval=0.2)

        async def story() -> None:
            peer, other = await there.peer(), await there.peer()
            connection_id = await peer.connect()
            listener = Listener()
            await peer.backplane.subscribe("r", listener)
            await peer.backplane.publish("r", "1")
            await there.until(lambda: listener.payloads == ["1"], "the first message")
            redis.command("FLUSHALL")
            await there.until(lambda: listener.lost == [("r", 2, None)], "the notice")
            await other.backplane.publish("r", "2")
            await there.until(lambda: listener.payloads == ["1", "2"], "the next message")
            conns = Keys(there.options.prefix).connections(peer.backplane.node_id.hex())
            await there.until(lambda: redis.command("HKEYS", conns) == [connection_id], "what was registered")
            assert await other.backplane.send(connection_id, "x") is Verdict.DELIVERED

        tell(there, story)

    def test_commands_that_are_not_answered(self, redis: RedisServer) -> None:
        there = AsyncioWorld(redis.url, command_timeout=0.3, connect_timeout=0.3, patience=0.0)

        async def story() -> None:
            peer = await there.peer()
            redis.pause()
            with pytest.raises(PublishUncertain, match=r"has not replied for 0.3 seconds"):
                await peer.backplane.publish("r", "x")
            with pytest.raises(BackplaneUnavailable):
                await peer.backplane.publish("r", "x")
            assert not peer.backplane.health.is_healthy
            redis.resume()
            await there.until(lambda: peer.backplane.health.is_healthy, "Redis")
            await peer.backplane.publish("r", "x")

        tell(there, story)

    def test_stopping_while_it_is_away_ends_what_waits(self, redis: RedisServer) -> None:
        there = AsyncioWorld(redis.url, patience=30.0, verdict_timeout=30.0)

        async def story() -> None:
            one, other = await there.peer(), await there.peer()
            connection_id = await other.connect()
            redis.kill()
            await there.until(lambda: not one.backplane.health.is_healthy, "the loss")
            ended: list[Verdict | None] = []

            async def send() -> None:
                ended.append(await one.backplane.send(connection_id, "x"))

            async def publish() -> None:
                with pytest.raises(BackplaneUnavailable):
                    await one.backplane.publish("r", "x")
                ended.append(None)

            async def stop() -> None:
                await there.pause(0.05)
                assert ended == []
                await one.backplane.stop()

            began = time.monotonic()
            await there.together(send(), send(), publish(), stop())
            assert time.monotonic() - began < 10
            assert sorted(map(str, ended)) == ["None", "Verdict.UNKNOWN", "Verdict.UNKNOWN"]

        tell(there, story)


class TestRequests:
    def test_what_waits_has_a_bound(self, redis: RedisServer) -> None:
        there = AsyncioWorld(redis.url, max_pending_bytes=200_000)

        async def story() -> None:
            one, other = await there.peer(), await there.peer()
            connection_id = await other.connect()
            verdicts = []

            async def send() -> None:
                verdicts.append(await one.backplane.send(connection_id, "x" * 40_000))

            await there.together(*[send() for _ in range(20)])
            delivered = verdicts.count(Verdict.DELIVERED)
            assert 1 <= delivered <= 5
            assert verdicts.count(Verdict.BUFFER_FULL) == 20 - delivered
            assert await one.backplane.send(connection_id, "y") is Verdict.DELIVERED

        tell(there, story)

    def test_one_that_is_cancelled_does_not_hold_up_the_others(self, redis: RedisServer) -> None:
        import asyncio

        there = AsyncioWorld(redis.url)

        async def story() -> None:
            one, other = await there.peer(), await there.peer()
            connection_id = await other.connect()
            tasks = [asyncio.ensure_future(one.backplane.send(connection_id, str(number))) for number in range(10)]
            await asyncio.sleep(0)
            for task in tasks[:9:2]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert results[1::2] == [Verdict.DELIVERED] * 5
            assert [each for each in other.node.inbox[connection_id] if int(str(each)) % 2] == list("13579")

        tell(there, story)

    def test_no_command_looks_through_all_keys(self, redis: RedisServer) -> None:
        there = BothWorld(redis.url)

        async def story() -> None:
            one, other = await there.peer(), await there.peer()
            connection_id = await other.connect()
            await one.backplane.subscribe("r", Listener())
            await one.backplane.publish("r", "x")
            await one.backplane.send(connection_id, "x")
            await there.kill(other)
            await there.until(lambda: len(one.node.orphans) == 1, "the $disconnect")

        tell(there, story)
        used = {line.partition(":")[0] for line in redis.command("INFO", "commandstats").splitlines()}
        assert "cmdstat_eval" in used
        assert not used & {"cmdstat_keys", "cmdstat_scan", "cmdstat_hscan", "cmdstat_sscan", "cmdstat_zscan"}
