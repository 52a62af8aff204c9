"""Where Redis is, and who we are there: addresses, users, TLS, Unix sockets, Sentinels; on both loops."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import hiredis
import pytest
import trustme

from autobahnlike.backplane import Verdict
from autobahnlike.backplane.redis import RedisBackplane
from autobahnlike.backplane.redis.resp import RedisMisconfigured
from autobahnlike.backplane.redis.url import RedisUrl, TcpPlace, Tls, UnixPlace, parse_url
from tests.backplane.redis_server import RedisServer, free_port
from tests.backplane.redis_world import AsyncioWorld, RedisWorld, TwistedWorld

both_loops = pytest.mark.parametrize("world", [AsyncioWorld, TwistedWorld], ids=["asyncio", "twisted"])


def tell(world: RedisWorld, story: Callable[[], Awaitable[None]]) -> None:
    async def told() -> None:
        await story()

    world.run(told())


def meets(world: type[RedisWorld], url: str) -> None:
    """Two nodes find each other there."""
    there = world(url)

    async def story() -> None:
        one, other = await there.peer(), await there.peer()
        assert one.backplane.health.is_healthy, one.backplane.health
        assert await one.backplane.send(await other.connect(), "x") is Verdict.DELIVERED

    tell(there, story)


def refused(world: type[RedisWorld], url: str) -> str:
    """Starting is refused; returns how."""
    there = world(url)
    reasons = []

    async def story() -> None:
        with pytest.raises(ValueError, match="Redis") as caught:
            await there.peer()
        reasons.append(str(caught.value))
        assert not there.peers[0].backplane.health.is_healthy

    tell(there, story)
    return reasons[0]


def away(world: type[RedisWorld], url: str) -> str:
    """Redis is not there, or not for us; returns why."""
    there = world(url, connect_timeout=1.0)
    reasons = []

    async def story() -> None:
        peer = await there.peer()
        assert not peer.backplane.health.is_healthy
        reasons.append(peer.backplane.health.reason)

    tell(there, story)
    return reasons[0]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("redis://localhost", RedisUrl((TcpPlace("localhost", 6379),))),
        ("redis://h:1/3", RedisUrl((TcpPlace("h", 1),), database=3)),
        ("valkey://:secret@h", RedisUrl((TcpPlace("h", 6379),), password="secret")),
        ("redis://me:a%40b%2F@[::1]:2", RedisUrl((TcpPlace("::1", 2),), username="me", password="a@b/")),
        ("rediss://h", RedisUrl((TcpPlace("h", 6379, Tls()),))),
        (
            "valkeys://h?ca=/ca.pem&cert=/c.pem&key=/k.pem",
            RedisUrl((TcpPlace("h", 6379, Tls("/ca.pem", "/c.pem", "/k.pem")),)),
        ),
        ("unix:///run/redis.sock", RedisUrl((UnixPlace("/run/redis.sock"),))),
        ("unix://u:p@/run/r%20s?db=2", RedisUrl((UnixPlace("/run/r s"),), None, "u", "p", 2)),
        (
            "redis+sentinel://:p@a,b:5/main/1?sentinel_password=q",
            RedisUrl((TcpPlace("a", 26379), TcpPlace("b", 5)), "main", password="p", database=1, sentinel_password="q"),
        ),
    ],
)
def test_addresses(text: str, url: RedisUrl) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a scheme"),
        ("http://h", "'http' is not a scheme"),
        ("localhost:6379", "'localhost' is not a scheme"),
        ("redis://", "no host"),
        ("redis://h:x", "its port is no number"),
        ("redis://h:0", "no port 0"),
        ("redis://h:99999", "no port 99999"),
        ("redis://[::1", "IPv6"),
        ("redis://h/x", "a database has a number"),
        ("redis://h/1/2", "nothing else"),
        ("redis://a,b", "several hosts"),
        ("redis://secret@h", "a user needs a password"),
        ("redis://h?ca=x", "'ca' is not an option"),
        ("rediss://h?verify=no", "'verify' is not an option"),
        ("rediss://h?key=x", "a key is of no use without its cert"),
        ("redis://h?db", "bad query"),
        ("unix://h/path", "absolute path"),
        ("unix://", "absolute path"),
        ("redis+sentinel://a", "name of the service"),
        ("redis+sentinel://a/main/1/2", "name of the service"),
    ],
)
def test_what_is_no_address(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        RedisBackplane(text)
    assert "redis://" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_passwords_are_not_shown() -> None:
    url = "redis+sentinel://me:secret@h/main?sentinel_password=secret"
    assert "secret" not in f"{parse_url(url)!r} {parse_url(url)} {RedisBackplane(url)!r}"


@pytest.fixture(scope="module")
def guarded() -> Iterator[RedisServer]:
    users = (
        "user default on >p%40ss@ ~* &* +@all",
        # What the documentation says that a user needs.
        (
            "user gateway on >secret ~test-* &test-* -@all +hello +select +info +ping +eval +subscribe +unsubscribe "
            "+publish +del +get +set +exists +time +zadd +zrem +zrangebyscore +hset +hget +hdel +hlen +hrandfield "
            "+hmget +hincrby +xadd +xrange +pexpire"
        ),
        "user nobody on >secret ~test-* resetchannels -@all +hello +ping +subscribe +info",
    )
    with RedisServer(*users) as server:
        yield server


class TestUsers:
    @both_loops
    def test_they_log_in(self, world: type[RedisWorld], guarded: RedisServer) -> None:
        meets(world, f"redis://:p%2540ss%40@127.0.0.1:{guarded.port}/2")
        meets(world, f"redis://gateway:secret@127.0.0.1:{guarded.port}")

    @both_loops
    def test_wrong_ones_are_refused(self, world: type[RedisWorld], guarded: RedisServer) -> None:
        assert "refuses user or password, or what they may do: NOAUTH" in refused(world, guarded.url)
        reason = refused(world, f"redis://gateway:wrong@127.0.0.1:{guarded.port}")
        assert "WRONGPASS" in reason
        assert "wrong@" not in reason
        assert "no database 99" in refused(world, f"redis://gateway:secret@127.0.0.1:{guarded.port}/99")

    @both_loops
    def test_one_that_may_not_listen(self, world: type[RedisWorld], guarded: RedisServer) -> None:
        assert "NOPERM" in away(world, f"redis://nobody:secret@127.0.0.1:{guarded.port}")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("known", "unknown"):
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / f"{name}.pem")
        authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
            folder / f"{name}-own.pem"
        )
    # Two authorities in one file.
    both = (folder / "unknown.pem").read_text() + (folder / "known.pem").read_text()
    (folder / "both.pem").write_text(both)
    return folder


@pytest.fixture(scope="module")
def secure(files: Path) -> Iterator[RedisServer]:
    with RedisServer(
        f"tls-cert-file {files}/known-own.pem",
        f"tls-key-file {files}/known-own.pem",
        f"tls-ca-cert-file {files}/known.pem",
        "tls-auth-clients yes",
    ) as server:
        yield server


class TestTls:
    @both_loops
    def test_both_sides_are_verified(self, world: type[RedisWorld], secure: RedisServer, files: Path) -> None:
        where = f"rediss://127.0.0.1:{secure.port}"
        meets(world, f"{where}?ca={files}/known.pem&cert={files}/known-own.pem")
        meets(world, f"{where}?ca={files}/both.pem&cert={files}/known-own.pem&key={files}/known-own.pem")
        assert "certificate" in away(world, f"{where}?ca={files}/unknown.pem&cert={files}/known-own.pem")
        assert "certificate" in away(world, f"{where}?cert={files}/known-own.pem")
        # Not everybody says which it is that the other side does not like.
        assert f"Redis at 127.0.0.1:{secure.port}" in away(world, f"{where}?ca={files}/known.pem")

    @both_loops
    def test_files_that_are_none(self, world: type[RedisWorld], secure: RedisServer, files: Path) -> None:
        where = f"rediss://127.0.0.1:{secure.port}"
        assert "No such file" in refused(world, f"{where}?ca={files}/nothing.pem")
        (files / "nonsense.pem").write_text("nonsense")
        assert "files for TLS" in refused(world, f"{where}?cert={files}/nonsense.pem")

    @both_loops
    def test_plain_text_to_it(self, world: type[RedisWorld], secure: RedisServer) -> None:
        assert f"127.0.0.1:{secure.port} was lost" in away(world, secure.url)


@both_loops
def test_unix_sockets(world: type[RedisWorld], tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    with RedisServer(f"unixsocket {path}"):
        meets(world, f"unix://{path}?db=1")
    path.unlink(missing_ok=True)
    assert f"cannot connect to Redis at {path}: No such file or directory" in away(world, f"unix://{path}")


@both_loops
def test_names_that_nobody_knows(world: type[RedisWorld]) -> None:
    assert "cannot connect to Redis at nowhere.invalid:6379: " in away(world, "redis://nowhere.invalid")


class TestSentinel:
    @both_loops
    def test_they_know_where_it_is_also_after_a_failover(self, world: type[RedisWorld]) -> None:
        with (
            RedisServer("requirepass secret", "masterauth secret") as primary,
            RedisServer(
                f"replicaof 127.0.0.1 {primary.port}",
                "requirepass secret",
                "masterauth secret",
                "repl-diskless-sync-delay 0",
            ) as replica,
            RedisServer(
                f"sentinel monitor main 127.0.0.1 {primary.port} 1",
                "sentinel auth-pass main secret",
                "sentinel down-after-milliseconds main 300",
                "sentinel failover-timeout main 3000",
                sentinel=True,
            ) as sentinel,
        ):
            url = f"redis+sentinel://:secret@127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}/main"
            there = world(url)

            async def story() -> None:
                one, other = await there.peer(), await there.peer()
                connection_id = await one.connect()
                assert await other.backplane.send(connection_id, "before") is Verdict.DELIVERED
                await there.until(lambda: fails_over(sentinel), "the Sentinel to know the replica")
                await there.until(lambda: master(sentinel) == replica.port, "the failover")
                primary.kill()
                await there.until(
                    lambda: one.backplane.health.is_healthy and other.backplane.health.is_healthy, "the new primary"
                )
                # Healthy is also what was not yet told.
                while await other.backplane.send(connection_id, "after") is not Verdict.DELIVERED:
                    await there.pause(0.05)
                assert one.node.inbox[connection_id][0] == "before"
                assert one.node.inbox[connection_id][-1] == "after"

            tell(there, story)
            assert "knows no service 'other'" in away(world, f"redis+sentinel://127.0.0.1:{sentinel.port}/other")

    @both_loops
    def test_a_replica_is_of_no_use(self, world: type[RedisWorld]) -> None:
        with RedisServer() as primary, RedisServer(f"replicaof 127.0.0.1 {primary.port}") as replica:
            assert "is a replica" in away(world, replica.url)


def fails_over(sentinel: RedisServer) -> bool:
    try:
        return bool(sentinel.command("SENTINEL", "FAILOVER", "main") == "OK")
    except hiredis.ReplyError:
        return False


def master(sentinel: RedisServer) -> int:
    return int(sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1])


def test_misconfiguration_is_an_error_of_the_backplane_too() -> None:
    with pytest.raises(RedisMisconfigured):
        RedisBackplane("nonsense://")
