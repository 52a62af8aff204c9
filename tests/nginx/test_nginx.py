"""The documented configuration of nginx in front of real nodes, on every loop."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import boto3  # type: ignore[import-untyped]
import httpx
import pytest
import trustme
from botocore.config import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.cli.process import LOOPS, Process
from tests.hosting.serving import served
from tests.nginx.applications import KEYS
from tests.nginx.nginx_server import NAME, NginxServer
from tests.programs import ROOT

PATIENCE = 30.0
MIB = 1024 * 1024

# On Linux all of these are this machine.
CLIENT = "127.0.0.5"

SIGNED = "tests.nginx.applications:signed"
UNSIGNED = "tests.nginx.applications:unsigned"
PAGES = "tests.nginx.applications:pages"


def told(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 3 * PATIENCE))


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


@asynccontextmanager
async def opened(nginx: NginxServer, path: str = "/api/", **more: Any) -> AsyncIterator[ClientConnection]:
    """A client that comes from an address of its own, and pings nobody."""
    scheme = "ws" if nginx.port == nginx.plain_port else "wss"
    # The name is not looked up: the connection is made to the address.
    options: Any = {"host": "127.0.0.1", "port": nginx.port, "local_addr": (CLIENT, 0), "max_size": 2 * MIB} | more
    url = f"{scheme}://{NAME}:{nginx.port}{path}"
    async with connect(url, proxy=None, ping_interval=None, open_timeout=PATIENCE, **options) as client:
        yield client


async def ask(client: ClientConnection, what: str) -> str:
    await client.send(what)
    answer = await asyncio.wait_for(client.recv(), PATIENCE)
    assert isinstance(answer, str)
    return answer


async def closed_with(client: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as caught:
        await asyncio.wait_for(client.recv(), PATIENCE)
    return caught.value.rcvd.code if caught.value.rcvd else 1006


def client_of(nginx: NginxServer, **options: Any) -> httpx.Client:
    scheme = "http" if nginx.port == nginx.plain_port else "https"
    return httpx.Client(base_url=f"{scheme}://localhost:{nginx.port}", trust_env=False, timeout=PATIENCE, **options)


Node = tuple[Process, str]


@pytest.fixture(params=LOOPS)
def nodes(request: pytest.FixtureRequest) -> Iterator[list[Node]]:
    """Two nodes on one of the loops."""
    with ExitStack() as stack:
        yield [stack.enter_context(served(SIGNED, request.param, "--proxies", "1")) for _ in range(2)]


@pytest.fixture
def nginx(nodes: list[Node]) -> Iterator[NginxServer]:
    with NginxServer([port_of(url) for _, url in nodes]) as server:
        yield server


def test_it_has_nothing_to_complain_about(certificate: Path) -> None:
    with NginxServer([1, 2, 3]) as nginx, NginxServer([1, 2, 3], certificate=certificate) as secure:
        for each in (nginx, secure):
            assert "test is successful" in each.checked
            assert "[warn]" not in each.checked


def test_websockets_are_spread_over_the_nodes_which_see_the_client(nodes: list[Node], nginx: NginxServer) -> None:
    async def story() -> None:
        forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}
        async with opened(nginx) as one, opened(nginx) as two, opened(nginx, additional_headers=forged) as liar:
            asked = [await ask(each, "who are you?") for each in (one, two)]
            assert {int(pid) for pid in asked} == {process.popen.pid for process, _ in nodes}
            for each, chain in ((one, CLIENT), (two, CLIENT), (liar, f"6.6.6.6, {CLIENT}")):
                event = json.loads(await ask(each, "what do you see?"))
                assert event["requestContext"]["identity"]["sourceIp"] == CLIENT
                assert event["headers"]["X-Forwarded-For"] == chain
                assert event["headers"]["X-Forwarded-Proto"] == "http"
                assert event["headers"]["Host"] == f"{NAME}:{nginx.port}"

    told(story)
    assert nginx.log == ""


def test_messages_of_one_mebibyte(nginx: NginxServer) -> None:
    async def story() -> None:
        for compression in (None, "deflate"):
            async with opened(nginx, compression=compression) as client:
                for text in ("x" * MIB, "grüße " * (MIB // 8)):
                    assert await ask(client, text) == text

    told(story)


def test_a_node_that_is_stopped_gets_no_more_and_nobody_notices(nodes: list[Node], nginx: NginxServer) -> None:
    async def story() -> None:
        async with opened(nginx) as one, opened(nginx) as two:
            pids = {int(await ask(each, "who are you?")): each for each in (one, two)}
            stopped, stays = (process for process, _ in nodes)
            stopped.popen.terminate()
            assert await closed_with(pids[stopped.popen.pid]) == 1001
            # Nobody has to wait until it has ended: it does not listen any more.
            for _ in range(6):
                async with opened(nginx) as client:
                    assert int(await ask(client, "who are you?")) == stays.popen.pid
            assert await ask(pids[stays.popen.pid], "still there") == "still there"
            assert await asyncio.to_thread(stopped.status) == 0

    told(story)


def test_a_node_that_drops_a_connection_is_not_the_last_one_asked() -> None:
    """Workers of one machine have one address. Written twice, it is tried again, where another worker listens."""

    async def story() -> None:
        asked = 0

        async def worker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked
            asked += 1
            await reader.readuntil(b"\r\n\r\n")
            if asked > 1:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nhere")
                await writer.drain()
            writer.close()

        async with await asyncio.start_server(worker, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with NginxServer([port, port]) as nginx, client_of(nginx) as http:
                answer = await asyncio.to_thread(http.get, "/")
        assert (answer.status_code, answer.text, asked) == (200, "here", 2)

    told(story)


def test_silence_is_covered_by_pings_on_every_loop() -> None:
    """Nginx drops what is silent; a node that pings is not. Of ten seconds, so that no machine is too slow for it."""
    program = str(ROOT / "tests" / "nginx" / "applications.py")
    code = "import runpy, sys; sys.argv[0:1] = []; runpy.run_path(sys.argv[0], run_name='__main__')"
    with ExitStack() as stack:
        ports = []
        for loop, interval in (("asyncio", "0"), *((loop, "0.2") for loop in LOOPS)):
            process = stack.enter_context(Process(program, "signed", loop, "0", interval, code=code))
            ports.append(port_of(process.out.expect(r"Listening on (\S+) ")[1]))
        timeouts = {
            "proxy_read_timeout 60s": "proxy_read_timeout 10s",
            "proxy_send_timeout 60s": "proxy_send_timeout 10s",
        }
        silent = stack.enter_context(NginxServer(ports[:1], timeouts))
        pinged = [stack.enter_context(NginxServer([port], timeouts)) for port in ports[1:]]

        async def story() -> None:
            async with AsyncExitStack() as clients:
                living = [await clients.enter_async_context(opened(nginx)) for nginx in pinged]
                for client in living:
                    assert await ask(client, "hello") == "hello"
                # The last one that says something is the first to be dropped.
                async with opened(silent) as client:
                    assert await ask(client, "hello") == "hello"
                    assert await closed_with(client) == 1006
                for client in living:
                    assert await ask(client, "still there") == "still there"

        told(story)


def management(nginx: NginxServer, secret: str = KEYS["AKIDNGINX"]) -> Any:
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"http://localhost:{nginx.port}/api",
        region_name="eu-central-1",
        aws_access_key_id="AKIDNGINX",
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE, proxies={}),
    )


class TestConnectionsApi:
    """One node: without a backplane, another one does not know the connections."""

    @pytest.mark.parametrize("loop", LOOPS)
    def test_signed_requests_pass(self, loop: str) -> None:
        with served(SIGNED, loop, "--proxies", "1") as (_, url), NginxServer([port_of(url)]) as nginx:
            api, liar = management(nginx), management(nginx, "another secret")

            async def story() -> None:
                async with opened(nginx) as client:
                    connection_id = await ask(client, "who am I?")
                    for text in ("hello", "x" * MIB):
                        await asyncio.to_thread(api.post_to_connection, ConnectionId=connection_id, Data=text)
                        assert await asyncio.wait_for(client.recv(), PATIENCE) == text
                    info = await asyncio.to_thread(api.get_connection, ConnectionId=connection_id)
                    assert info["Identity"]["SourceIp"] == CLIENT
                    with pytest.raises(api.exceptions.PayloadTooLargeException):
                        await asyncio.to_thread(
                            api.post_to_connection, ConnectionId=connection_id, Data="x" * (MIB + 1)
                        )
                    with pytest.raises(liar.exceptions.ForbiddenException):
                        await asyncio.to_thread(liar.post_to_connection, ConnectionId=connection_id, Data="no")
                    await asyncio.to_thread(api.delete_connection, ConnectionId=connection_id)
                    assert await closed_with(client) == 1000
                    with pytest.raises(api.exceptions.GoneException):
                        await asyncio.to_thread(api.post_to_connection, ConnectionId=connection_id, Data="late")

            told(story)

    @pytest.mark.parametrize("loop", ["asyncio", "twisted"])
    @pytest.mark.parametrize("proxies", ["0", "1"])
    def test_without_keys_whoever_comes_through_nginx_is_not_of_this_machine(self, loop: str, proxies: str) -> None:
        with served(UNSIGNED, loop, "--proxies", proxies) as (_, url), NginxServer([port_of(url)]) as nginx:

            async def story() -> None:
                async with opened(nginx) as client:
                    path = f"/api/@connections/{quote(await ask(client, 'who am I?'), safe='')}"
                    with client_of(nginx) as http:
                        answer = await asyncio.to_thread(http.post, path, content="hello")
                    assert answer.status_code == 403
                    assert answer.headers["x-amzn-errortype"] == "ForbiddenException"
                    async with httpx.AsyncClient(base_url=url, trust_env=False) as http_here:
                        assert (await http_here.post(path, content="from here")).status_code == 200
                    assert await asyncio.wait_for(client.recv(), PATIENCE) == "from here"

            told(story)

    def test_for_others_nginx_has_nothing_of_it(self) -> None:
        with (
            served(SIGNED, "asyncio", "--proxies", "1") as (_, url),
            NginxServer([port_of(url)], {"allow 127.0.0.0/8;": "", "allow 10.0.0.0/8;": ""}) as nginx,
        ):
            with pytest.raises(ClientError) as caught:
                management(nginx).get_connection(ConnectionId="anybody")
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
            with client_of(nginx) as http:
                for path in ("/api/@connections/x", "/api/%40connections/x", "/@connections/x", "/%61pi/@connections/"):
                    answer = http.post(path)
                    assert (answer.status_code, "x-amzn-errortype" in answer.headers) == (403, False), path
                # The path is the node's to judge.
                assert http.get("/api/").status_code == 426
            # Nobody can get by it with another spelling, either: the node takes these for something else.
            for path in ("/api//@connections/x", "/x/../api/@connections/x", "/api/@connections/../../x"):
                assert raw_status(nginx.port, path) in (403, 404), path


def raw_status(port: int, path: str) -> int:
    """The status of a POST whose path nobody has tidied up."""
    import http.client

    connection = http.client.HTTPConnection("localhost", port, timeout=PATIENCE)
    try:
        connection.request("POST", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the files that nginx wants."""
    folder = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert(NAME, "localhost")
    issued.private_key_pem.write_to_path(folder / "privkey.pem")
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(folder / "fullchain.pem", append=number > 0)
    return folder


@pytest.fixture(scope="module", params=LOOPS)
def secure(request: pytest.FixtureRequest, certificate: Path) -> Iterator[NginxServer]:
    """TLS at nginx, and a node behind it that knows of none."""
    with (
        served(PAGES, request.param, "--proxies", "1") as (_, url),
        NginxServer([port_of(url)], certificate=certificate) as nginx,
    ):
        yield nginx


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


class TestTls:
    def test_pages_of_the_same_server_are_let_in(self, secure: NginxServer, trusting: ssl.SSLContext) -> None:
        async def story() -> None:
            origin: Any = f"https://{NAME}:{secure.port}"
            async with opened(secure, "/echo", ssl=trusting, origin=origin) as client:
                assert json.loads(await asyncio.wait_for(client.recv(), PATIENCE)) == {
                    "client": CLIENT,
                    "url": f"wss://{NAME}:{secure.port}/echo",
                }
                assert await ask(client, "hello") == "hello"
                assert await ask(client, "x" * MIB) == "x" * MIB

        told(story)

    @pytest.mark.parametrize("origin", ["https://evil.example", f"https://{NAME}", "null"])
    def test_pages_of_others_are_not(self, secure: NginxServer, trusting: ssl.SSLContext, origin: str) -> None:
        async def story() -> None:
            others: Any = origin
            with pytest.raises(InvalidStatus) as caught:
                async with opened(secure, "/echo", ssl=trusting, origin=others):
                    pass
            assert caught.value.response.status_code == 403

        told(story)

    def test_requests_see_scheme_and_client(self, secure: NginxServer, trusting: ssl.SSLContext) -> None:
        transport = httpx.HTTPTransport(verify=trusting, local_address=CLIENT)
        forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "http"}
        with client_of(secure, transport=transport, headers=forged) as http:
            answers = [http.get("/seen") for _ in range(3)]
        assert [each.json() for each in answers] == [
            {"client": CLIENT, "url": f"https://localhost:{secure.port}/seen"} for _ in range(3)
        ]

    def test_what_is_not_for_all(self, secure: NginxServer, trusting: ssl.SSLContext) -> None:
        with client_of(secure, verify=trusting) as http:
            for path in ("/health", "/metrics"):
                answer = http.get(path)
                assert (answer.status_code, "nginx" in answer.text) == (404, True)
        plain = f"http://localhost:{secure.plain_port}"
        redirected = httpx.get(f"{plain}/seen?x=1", trust_env=False, timeout=PATIENCE)
        assert redirected.status_code == 301
        assert redirected.headers["location"] == "https://localhost/seen?x=1"

    def test_other_names(self, secure: NginxServer, trusting: ssl.SSLContext) -> None:
        url = f"http://127.0.0.1:{secure.plain_port}/seen"
        assert httpx.get(url, headers={"Host": "evil.example"}, trust_env=False).status_code == 421
        with pytest.raises(httpx.ConnectError, match=r"(?i)unrecognized"), client_of(secure, verify=trusting) as http:
            http.get("/seen", extensions={"sni_hostname": "evil.example"})
