"""Every block of code in the documentation is run, and the documentation builds without a warning.

What a block is, is seen from its text: a server that listens is started and talked to, a client runs against an echo
server, what belongs to an application is served and driven by a check of its own, see ``guide.run``, anything else in
Python is a piece of a programme, see ``fragments``. A command in a shell block is run, or is one of those that run
elsewhere.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from inspect import signature
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect, unix_connect

from autobahnlike.app import Room
from autobahnlike.asgi import ServerOptions
from autobahnlike.backplane.redis.options import RedisOptions
from autobahnlike.gateway import Limits
from autobahnlike.wire.options import OPTIONS
from tests.guide.checks import CHECKS
from tests.guide.redis import lacks_redis, redis_for
from tests.hostile.cases import CLIENTS as CLIENTS_ATTACKED
from tests.hostile.cases import SERVERS as SERVERS_ATTACKED
from tests.programs import PATIENCE, ROOT, Program, free_port, running

PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "THREAT_MODEL.md")),
    ROOT / "examples" / "README.md",
    *sorted((ROOT / "docs").rglob("*.rst")),
]

# Pages whose blocks belong to applications, see ``tests.guide``; elsewhere they are those that import from there.
OF_APPLICATIONS = (
    ROOT / "docs" / "tutorial.rst",
    ROOT / "docs" / "tutorial-gateway.rst",
    ROOT / "docs" / "migrating-bocadillo.rst",
    *(ROOT / "docs" / "guide" / "applications").glob("*.rst"),
    *(ROOT / "docs" / "guide" / "gateway").glob("*.rst"),
)

# Commands that are not run by this test, and what runs them.
ELSEWHERE = {
    "python -m venv .venv": ".ci/run",
    ".venv/bin/pip install '.[app,twisted,uvloop]'": ".ci/run installs the same with [dev]",
    ".venv/bin/pip install '.[app,testing]' pytest": ".ci/run installs the same with [dev]",
    ".venv/bin/pip install '.[chalice]' boto3": ".ci/run installs the same with [dev]",
    "pip install '.[app]'": ".ci/run installs the same with [dev]",
    "python -m pytest test_app.py": "test_application, with the file that it names",
    "curl -d 'Dinner is ready' http://127.0.0.1:8000/api/@connections/L0SM9cOFvHcCIhw%3D": "gateway/test_tutorial.py",
    "curl http://127.0.0.1:8000/api/@connections/L0SM9cOFvHcCIhw%3D": "gateway/test_tutorial.py",
    "curl -X DELETE http://127.0.0.1:8000/api/@connections/L0SM9cOFvHcCIhw%3D": "gateway/test_tutorial.py",
    "python tell.py L0SM9cOFvHcCIhw= 'Dinner is ready'": "gateway/test_tutorial.py",
    ".venv/bin/pip install -e '.[dev]'": ".ci/run",
    ".venv/bin/python -m pytest": ".ci/run",
    ".venv/bin/python setup.py -q build_ext --inplace": "test_build",
    "AUTOBAHNLIKE_PURE=1 .venv/bin/python -m pytest": ".ci/run",
    "autobahnlike --version": "test_speed",
    ".venv/bin/python -m pytest tests/wire/test_state.py": "test_named_files_exist",
    ".venv/bin/python -m pytest tests/test_layering.py -k asyncio -s": "test_named_files_exist",
    ".venv/bin/python -m tests.testsuite.run --cases quick": ".ci/run",
    ".venv/bin/python -m tests.testsuite.run --loops asyncio --roles server --cases '7.*,9.1.1'": "test_testsuite",
    ".venv/bin/python -m pytest tests/hostile": ".ci/run, with the other tests",
    ".venv/bin/python -m tests.hostile --loop asyncio": "its cases are those of tests/hostile",
    "autobahnlike chalice examples/chalice/app.py": "gateway/test_workers.py",
    "autobahnlike aws-proxy --to http://127.0.0.1:8000": "gateway/test_workers.py",
    "export HTTPS_PROXY=http://127.0.0.1:8443": "gateway/test_workers.py",
    "export AWS_CA_BUNDLE=$PWD/aws-proxy-ca-bundle.pem": "gateway/test_workers.py",
    "python worker_on_the_wire.py L0SM9cOFvHcCIhw= 'Dinner is ready'": "gateway/test_workers.py",
    "autobahnlike serve lambda_host:app": "gateway/test_workers.py",
    "export CURL_CA_BUNDLE=$AWS_CA_BUNDLE": "curl/test_worker.py",
    "sh worker.sh L0SM9cOFvHcCIhw= 'Dinner is ready'": "curl/test_worker.py",
    "tox -e docs": "test_the_build_has_no_warnings",
    "tox -e conformance": "tests.testsuite.run, with other arguments",
    "autobahnlike serve app:app --tls-cert fullchain.pem --tls-key privkey.pem": "tests/cli/test_serve_app.py",
    "pip install '.[monitoring]'": ".ci/run installs the same with [dev]",
    "curl http://127.0.0.1:9100/health": "monitoring/test_served.py",
    "curl http://127.0.0.1:9100/metrics": "monitoring/test_served.py",
    "twistd -n autobahnlike --app app:app --listen 8000": "tests/asgi/test_plugin.py",
    "twistd -n autobahnlike --app app:app --endpoint tcp:8000:interface=127.0.0.1": "tests/asgi/test_plugin.py",
    "twistd -n -r asyncio autobahnlike --app app:app": "tests/asgi/test_plugin.py",
    ".venv/bin/python -m trustme -i localhost": "trustme's own tests; test_examples makes the same files",
}

# Directives that hold no code, and the one whose code is a file.
OTHER_DIRECTIVES = {
    "autoclass",
    "autofunction",
    "automodule",
    "generated",
    "list-table",
    "literalinclude",
    "py:data",
    "py:exception",
    "rubric",
    "toctree",
}


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of code in a page."""

    page: Path
    line: int
    language: str
    text: str
    caption: str = ""

    @property
    def id(self) -> str:
        """Where it stands."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def listens(self) -> bool:
        """Whether it is a server."""
        return bool(
            re.search(
                r"\b(create_server|listenTCP|await listenWS|listenWS\(factory|app\.run\(|serve\(app|ASGIService\()",
                self.text,
            )
        )

    @property
    def is_of_application(self) -> bool:
        """Whether it is to be served and driven as an application."""
        if self.language not in ("python", "html") or self.listens or self.is_of_sdk:
            return False
        imports = re.search(r"\bautobahnlike\.(app|gateway|testing)\b", self.text)
        return bool(self.page in OF_APPLICATIONS or self.caption or imports)

    @property
    def is_of_sdk(self) -> bool:
        """Whether it is a programme that talks to a gateway with an SDK of AWS."""
        return "boto3.client(" in self.text

    @property
    def is_of_gateway(self) -> bool:
        """Whether its page is about the gateway."""
        return self.page.parent.name == "gateway" or self.page.stem == "tutorial-gateway"

    @property
    def is_for_reading(self) -> bool:
        """Whether it is an example of what is sent or given, which a test of its own compares with what really is."""
        return (self.page.stem, self.language) in (("events", "json"), ("tutorial-gateway", "text"))

    @property
    def connects(self) -> bool:
        """Whether it is a client."""
        return bool(re.search(r"\bconnectWS\(", self.text))


def blocks_of_markdown(page: Path) -> Iterator[Block]:
    fence: list[str] | None = None
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.startswith("```") and fence is None:
            fence, language, start = [], line[3:], number
        elif line.startswith("```"):
            assert fence is not None
            yield Block(page, start, language, "\n".join(fence))
            fence = None
        elif fence is not None:
            fence.append(line)
    assert fence is None, f"{page}: a block does not end"


def blocks_of_rst(page: Path) -> Iterator[Block]:
    lines = page.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        if found := re.match(r"( *)\.\. code-block:: *(\S*)", line):
            depth = len(found[1])
            body: list[str] = []
            for following in lines[number:]:
                if following and len(following) - len(following.lstrip()) <= depth:
                    break
                body.append(following)
            caption = ""
            while body and (option := re.fullmatch(r" +:(\w+): *(.*)", body[0])):
                assert option[1] == "caption", f"{page.relative_to(ROOT)}:{number}: an option that means nothing here"
                caption = option[2]
                del body[0]
            yield Block(page, number, found[2], textwrap.dedent("\n".join(body)).strip(), caption)
            continue
        directive = re.match(r" *\.\. ([\w:-]+)::", line)
        if directive is None:
            assert not line.endswith("::"), f"{page.relative_to(ROOT)}:{number}: a literal block, which no test runs"
        else:
            assert directive[1] in OTHER_DIRECTIVES, f"{page.relative_to(ROOT)}:{number}: does it hold code to be run?"


def all_blocks() -> list[Block]:
    return [
        block for page in PAGES for block in (blocks_of_markdown(page) if page.suffix == ".md" else blocks_of_rst(page))
    ]


BLOCKS = all_blocks()
OF_APPLICATION = [block for block in BLOCKS if block.is_of_application]
# That of the tutorial is a command, and has a test with the others there.
OF_SDK = [block for block in BLOCKS if block.is_of_sdk and block.caption != "tell.py"]
PYTHON = [
    block for block in BLOCKS if block.language == "python" and not block.is_of_application and not block.is_of_sdk
]
SERVERS = [block for block in PYTHON if block.listens]
PROGRAMS_OF_CLIENTS = [block for block in PYTHON if block.connects and not block.listens]
PIECES = [block for block in PYTHON if not block.listens and not block.connects]
COMMANDS = [
    (block, command.strip())
    for block in BLOCKS
    if block.language == "console"
    for line in block.text.splitlines()
    for command in line.split("&&")
]


def test_there_is_no_other_kind_of_block() -> None:
    assert {block.language for block in BLOCKS if not block.is_for_reading} == {"python", "console", "html"}
    # Whose own test is that of the browser.
    assert all(block.page in OF_APPLICATIONS and block.caption for block in BLOCKS if block.language == "html")


def test_code_of_files_is_that_of_examples() -> None:
    """Whose own test runs them."""
    for page in PAGES:
        for name in re.findall(r"\.\. literalinclude:: (\S+)", page.read_text()):
            included = (page.parent / name).resolve()
            assert included.is_file()
            assert included.is_relative_to(ROOT / "examples")


@pytest.mark.parametrize("block", SERVERS, ids=lambda block: block.id)
def test_server(block: Block, tmp_path: Path) -> None:
    """It echoes, and Ctrl-C ends it without a traceback."""
    port, admin = free_port(), free_port()
    ports = {9000: port, 9100: admin} if "9100" in block.text else {9000: port}
    with running(block.text, tmp_path, ports) as program:
        program.wait_until_listening(port)
        if "9100" in block.text:
            program.wait_until_listening(admin)
            assert httpx.get(f"http://127.0.0.1:{admin}/health", trust_env=False).json()["status"] == "ok"
            assert "autobahnlike_gateway_" in httpx.get(f"http://127.0.0.1:{admin}/metrics", trust_env=False).text
        with connect(f"ws://127.0.0.1:{port}/") as connection:
            # The view of an application takes one of the two.
            for message in ("grüße",) if re.search(r"App\(|Gateway\(", block.text) else ("grüße", b"\x00\xff"):
                connection.send(message)
                assert connection.recv() == message
        program.interrupt()


@pytest.fixture(scope="module")
def echo_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an echo server that answers everything before it answers a close."""
    port = free_port()
    source = (ROOT / "examples" / "echo" / "asyncio_server.py").read_text()
    with running(source, tmp_path_factory.mktemp("echo"), {9000: port}) as program:
        program.wait_until_listening(port)
        yield port
        program.interrupt()


@pytest.mark.parametrize("block", PROGRAMS_OF_CLIENTS, ids=lambda block: block.id)
def test_client(block: Block, echo_port: int, tmp_path: Path) -> None:
    with running(block.text, tmp_path, {9000: echo_port}) as program:
        assert program.finish() == "Hello, world\n"


def loops_of(block: Block) -> list[str]:
    """On which loops a piece runs: on the one that it names, or on both."""
    if block.caption.startswith("test_"):
        # pytest runs it, and the loop is its own matter.
        return ["asyncio"]
    named = [
        loop
        for loop in ("asyncio", "twisted")
        if re.search(rf"import {loop}\b|from {loop}\b|autobahnlike\.{loop}\b", block.text)
    ]
    return named if len(named) == 1 else ["asyncio", "twisted"]


@pytest.fixture(scope="module")
def problems() -> dict[tuple[str, str], str | None]:
    """What went wrong with each piece on each of its loops."""
    found: dict[tuple[str, str], str | None] = {}
    for loop in ("asyncio", "twisted"):
        pieces = [block for block in PIECES if loop in loops_of(block)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.fragments", loop],
            input=json.dumps([block.text for block in pieces]),
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=2 * PATIENCE,
        )
        assert done.returncode == 0, done.stderr
        results = json.loads(done.stdout)
        found |= {(block.id, loop): problem for block, problem in zip(pieces, results, strict=True)}
    return found


@pytest.mark.parametrize(
    ("block", "loop"),
    [pytest.param(block, loop, id=f"{block.id} {loop}") for block in PIECES for loop in loops_of(block)],
)
def test_piece(block: Block, loop: str, problems: dict[tuple[str, str], str | None]) -> None:
    problem = problems[block.id, loop]
    assert problem is None, problem


@pytest.fixture(scope="module")
def applications() -> tuple[dict[tuple[str, str], str | None], set[tuple[str, str]]]:
    """What went wrong with each block of an application on each of its loops, and which checks were used."""
    found: dict[tuple[str, str], str | None] = {}
    used: set[tuple[str, str]] = set()
    command = [sys.executable, "-m", "tests.guide.run"]
    with ThreadPoolExecutor() as both:

        def run(loop: str) -> subprocess.CompletedProcess[str]:
            given = [
                {"id": block.id, "page": block.page.stem, "caption": block.caption, "text": block.text}
                | {"run": block.language == "python" and loop in loops_of(block)}
                for block in OF_APPLICATION
            ]
            return subprocess.run(
                [*command, loop],
                input=json.dumps(given),
                capture_output=True,
                text=True,
                cwd=ROOT,
                timeout=6 * PATIENCE,
            )

        loops = ("asyncio", "twisted")
        for loop, done in zip(loops, both.map(run, loops), strict=True):
            assert done.returncode == 0, done.stderr
            results = json.loads(done.stdout)
            used |= {(page, view) for page, view in results["used"]}
            found |= {
                (block.id, loop): problem for block, problem in zip(OF_APPLICATION, results["problems"], strict=True)
            }
    return found, used


@pytest.mark.parametrize(
    ("block", "loop"),
    [
        pytest.param(block, loop, id=f"{block.id} {loop}")
        for block in OF_APPLICATION
        if block.language == "python"
        for loop in loops_of(block)
    ],
)
def test_application(
    block: Block, loop: str, applications: tuple[dict[tuple[str, str], str | None], set[tuple[str, str]]]
) -> None:
    problem = applications[0][block.id, loop]
    assert problem is None, problem


def test_every_check_is_used(
    applications: tuple[dict[tuple[str, str], str | None], set[tuple[str, str]]],
) -> None:
    """One for a view that no page shows any more is forgotten here."""
    assert set(CHECKS) == applications[1]


@pytest.mark.parametrize(
    ("block", "command"), [pytest.param(block, command, id=f"{block.id} {command}") for block, command in COMMANDS]
)
def test_command(block: Block, command: str, echo_port: int, tmp_path: Path) -> None:
    words = shlex.split(command)
    if command in ELSEWHERE:
        return
    if "|" in words:
        assert words[0] == "echo"
        assert words[2] == "|"
        said, words = f"{words[1]}\n", words[3:]
    else:
        said = "said\n"
    assert words[0].removeprefix(".venv/bin/") == "autobahnlike", "an unknown command: say in ELSEWHERE what runs it"
    if words[1] == "demo":
        check_demo(words[1:], tmp_path)
    elif words[1] == "chalice" or (words[1] == "serve" and words[2] != "echo"):
        check_application(block, words[1:], tmp_path)
    elif words[1] == "serve":
        check_serve(words[1:], tmp_path)
    elif block.page in OF_APPLICATIONS:
        port = free_port()
        how = ["chalice", "app.py"] if "chalice" in block.text else ["serve", "app:app"]
        with application_running(block, [*how, "--listen", str(port)], tmp_path) as program:
            program.wait_until_listening(port)
            answer = said if block.is_of_gateway else f"You said: {said}"
            converse([word.replace("8000", str(port)) for word in words[1:]], said, answer)
            program.interrupt()
    else:
        arguments = [word.replace("9000", str(echo_port)) for word in words[1:]]
        done = run_connect(arguments, said)
        # The echo server agrees to no subprotocol, which is no reason for a client to fail.
        assert (done.returncode, done.stdout) == (0, said), done.stderr


def run_connect(arguments: list[str], said: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autobahnlike", *arguments]
    return subprocess.run(command, input=said, capture_output=True, text=True, cwd=ROOT, timeout=PATIENCE)


def converse(arguments: list[str], said: str, answer: str) -> None:
    """As a person does it: type a line, and wait for the answer before the end."""
    command = [sys.executable, "-m", "autobahnlike", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(said)
        process.stdin.flush()
        assert process.stdout.readline() == answer
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
        watchdog.cancel()


@contextmanager
def application_running(block: Block, arguments: list[str], directory: Path) -> Iterator[Program]:
    """The command line, where ``app.py`` is what the page shows before, or else echoes at ``/echo``."""
    shown = [each for each in BLOCKS if each.page == block.page and each.caption == "app.py" and each.line < block.line]
    readme = next(each for each in OF_APPLICATION if each.page.name == "README.md")
    with redis_for("\0".join([(shown or [readme])[-1].text, *arguments])) as parts:
        text, *arguments = parts.split("\0")
        (directory / "app.py").write_text(text)
        with running(f"from autobahnlike.cli import main\nmain({arguments!r})\n", directory) as program:
            yield program


def check_application(block: Block, arguments: list[str], directory: Path) -> None:
    """Have it served, talked to, and stopped."""
    port = free_port()
    arguments = [re.sub(r"\b[89]000\b", str(port), word) for word in arguments]
    if "--admin" in arguments:
        arguments = [word.replace("9100", str(free_port())) for word in arguments]
    if "--listen" not in arguments:
        arguments += ["--listen", str(port)]
    with application_running(block, arguments, directory) as program:
        program.wait_until_listening(port)
        path, answer = ("/api/", "said") if block.is_of_gateway else ("/echo", "You said: said")
        if 'app_name="chat"' in (directory / "app.py").read_text():
            # It takes what is said first for a name.
            answer = "Hello, said. Type /help for the commands."
        with connect(f"ws://127.0.0.1:{port}{path}") as talking:
            talking.send("said")
            heard = talking.recv()
        if lacks_redis((directory / "app.py").read_text()):
            # The client is told that something failed, and the log says what.
            assert json.loads(heard)["message"] == "Internal server error"
            program.process.terminate()
            assert "Redis is away" in program.process.communicate(timeout=PATIENCE)[0]
            return
        assert heard == answer
        program.interrupt()


@pytest.mark.parametrize("loop", ["asyncio", "twisted"])
@pytest.mark.parametrize("block", OF_SDK, ids=lambda block: block.id)
def test_sdk(block: Block, loop: str, tmp_path: Path) -> None:
    """It sends to the connection whose id it is given, which ``app.py`` tells its client, and closes it."""
    port = free_port()
    with application_running(block, ["serve", "app:app", "--loop", loop, "--listen", str(port)], tmp_path) as program:
        program.wait_until_listening(port)
        with connect(f"ws://127.0.0.1:{port}/api/") as talking:
            talking.send("who am I?")
            connection_id = str(talking.recv(PATIENCE))
            script = tmp_path / "script.py"
            script.write_text(block.text.replace("8000", str(port)))
            # What a person has configured is not for tests.
            environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
            environment |= {"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "127.0.0.1", "HOME": str(tmp_path)}
            done = subprocess.run(
                [sys.executable, script, connection_id],
                capture_output=True,
                text=True,
                env=environment,
                timeout=PATIENCE,
            )
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == "since 127.0.0.1\ngone\n"
            assert talking.recv(PATIENCE) == "Dinner is ready"
            with pytest.raises(ConnectionClosedOK):
                talking.recv(PATIENCE)
        program.interrupt()


def check_demo(arguments: list[str], directory: Path) -> None:
    port = free_port()
    source = f"from autobahnlike.cli import main\nmain({[*arguments, '--listen', str(port)]!r})\n"
    with running(source, directory) as program:
        program.wait_until_listening(port)
        assert "<title>" in httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).text
        assert f"http://127.0.0.1:{port}/" in program.interrupt()


def check_serve(arguments: list[str], directory: Path) -> None:
    port = free_port()
    arguments = [word.replace("9000", str(port)) for word in arguments]
    if "--listen" not in arguments:
        arguments += ["--listen", str(port)]
    source = f"from autobahnlike.cli import main\nmain({arguments!r})\n"
    with running(source, directory) as program:
        if any(word.startswith("unix:") for word in arguments):
            path = directory / "echo.sock"
            program.wait_until_listening(path)
            connection = unix_connect(str(path))
        else:
            program.wait_until_listening(port)
            connection = connect(f"ws://127.0.0.1:{port}/")
        with connection as talking:
            talking.send("said")
            assert talking.recv() == "said"
        program.interrupt()


def test_commands_elsewhere_are_all_shown() -> None:
    """An entry that no page shows any more is forgotten here."""
    assert set(ELSEWHERE) <= {command for _, command in COMMANDS}


def test_named_files_exist() -> None:
    """Every path in a page, in code or as the target of a link, is there."""
    for page in PAGES:
        text = page.read_text()
        named = re.findall(r"`((?:autobahnlike|tests|docs(?!/_build)|examples|\.ci)/[\w./-]*)`", text)
        named += re.findall(r"\b(tests/[\w/]+\.py)", text)
        for name in named:
            assert (ROOT / name).exists(), f"{page.name} names {name}"
        if page.suffix == ".md":
            for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_threat_model_names_every_case() -> None:
    text = (ROOT / "THREAT_MODEL.md").read_text()
    named = set(re.findall(r"\b[HFCSKXMZELR]\d\d\b", text))
    for topic, first, last in re.findall(r"\b([HFCSKXMZELR])(\d\d) to \1(\d\d)\b", text):
        named |= {f"{topic}{number:02d}" for number in range(int(first), int(last) + 1)}
    assert named == {case.id for case in SERVERS_ATTACKED + CLIENTS_ATTACKED}


def test_the_threat_model_names_options_with_their_defaults() -> None:
    defaults = {info.name: info.default for info in OPTIONS}
    defaults |= {field.name: field.default for field in dataclasses.fields(ServerOptions)}
    defaults |= {name: signature(Room).parameters[name].default for name in ("limit", "limit_bytes")}
    defaults |= {each.name: each.default for options in (Limits, RedisOptions) for each in dataclasses.fields(options)}
    shown: dict[str, object] = {"off": 0, "on": True, "5 s": 5.0, "1 s": 1.0, "20 s": 20.0, "128": 128, "13": (13,)}
    shown |= {"64 KiB": 65536, "16 MiB": 16 << 20, "64 MiB": 64 << 20, "131072": 131072, "`*`": ("*",)}
    shown |= {"permessage-deflate": None, "10 s": 10.0, "30 s": 30.0, "60 s": 60.0}
    shown |= {"64 messages": 64, "1 MiB": 1 << 20, "16 messages": 16, "1024 messages": 1024, "4 MiB": 4 << 20}
    shown |= {"29 s": 29.0, "64 MiB (`RedisOptions`)": 64 << 20}
    pairs = re.findall(r"`(\w+)`, ([^;,|]+?)(?=[;,]| \|)", (ROOT / "THREAT_MODEL.md").read_text())
    named = [(name, default) for name, default in pairs if name in defaults]
    assert len(named) > 42
    for name, default in named:
        assert defaults[name] == shown[default], name


def test_the_build_has_no_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    done = subprocess.run([*command, ROOT / "docs", tmp_path], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
