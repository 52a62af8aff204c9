"""nginx for tests: the real one, with the configuration of ``examples/deploy``, on free ports of this machine."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.programs import ROOT, free_port

__all__ = ("CONFIGURATION", "NAME", "NginxServer", "with_settings")

CONFIGURATION = ROOT / "examples" / "deploy" / "nginx.conf"
NAME = "chat.example.com"

_PATIENCE = 20.0


def with_settings(text: str) -> str:
    """Take the comment away from the settings that are offered in one: ``#word``, unlike ``# Reasons``."""
    return re.sub(r"^( *)#(?=\w)", r"\1", text, flags=re.MULTILINE)


class NginxServer:
    """A server that runs while its context lasts.

    Ports, paths and nodes are others than in the documented configuration; what a change does not find there is an
    error.

    Args:
        nodes: the ports of the nodes.
        changes: what else is to be another in the configuration.
        certificate: the folder of ``fullchain.pem`` and ``privkey.pem``; with it, TLS is turned on as documented.

    Attributes:
        port: where it listens, with TLS if there is a certificate.
        plain_port: where it listens without.
        checked: what it says of its configuration.
    """

    checked = ""

    def __init__(
        self, nodes: Sequence[int], changes: dict[str, str] | None = None, certificate: Path | None = None
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nginx-test-")
        self._path = Path(self._folder.name)
        # Started by root, its processes are somebody else, who keeps large bodies there.
        self._path.chmod(0o755)
        self.port = self.plain_port = free_port()
        text = CONFIGURATION.read_text()
        servers = re.findall(r"^ *server node\d:8000 [^\n]*;\n", text, re.MULTILINE)
        assert len(servers) == 3
        for line in servers[1:]:
            text = self._replace(text, line, "")
        upstream = "".join(re.sub(r"node\d:8000", f"127.0.0.1:{port}", servers[0]) for port in nodes)
        text = self._replace(text, servers[0], upstream)
        if certificate is not None:
            text = with_settings(text)
            while self.port == self.plain_port:
                self.port = free_port()
            text = self._replace(text, "listen 443", f"listen 127.0.0.1:{self.port}", count=2)
            text = self._replace(text, "/etc/nginx/tls", str(certificate), count=2)
        text = self._replace(text, "listen 80", f"listen 127.0.0.1:{self.plain_port}", count=2)
        text = self._replace(text, "/var/log/nginx", str(self._path), count=2)
        # Where it writes, so that it needs to be nobody in particular.
        places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"    {name}_temp_path {self._path}/{name};\n" for name in places)
        text = self._replace(text, "http {\n", f"http {{\n{temporary}")
        for old, new in (changes or {}).items():
            text = self._replace(text, old, new)
        (self._path / "nginx.conf").write_text(f"daemon off;\npid {self._path}/nginx.pid;\n{text}")
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def _replace(text: str, old: str, new: str, count: int = 1) -> str:
        assert text.count(old) == count, f"{old!r} is {text.count(old)} times in the configuration, not {count} times"
        return text.replace(old, new)

    @property
    def log(self) -> str:
        """What it has to say, warnings and worse."""
        path = self._path / "error.log"
        return path.read_text() if path.exists() else ""

    def _command(self, *more: str) -> list[str]:
        program = shutil.which("nginx", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin")
        if program is None:
            raise RuntimeError("these tests need nginx: apt install nginx-light")
        return [program, "-p", str(self._path), "-e", str(self._path / "start.log"), "-c", "nginx.conf", *more]

    def __enter__(self) -> Self:
        done = subprocess.run(self._command("-t"), capture_output=True, text=True, timeout=_PATIENCE)
        self.checked = f"{done.stdout}{done.stderr}"
        assert done.returncode == 0, self.checked
        self._process = subprocess.Popen(self._command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _PATIENCE
        while not all(_accepts(port) for port in {self.port, self.plain_port}):
            assert self._process.poll() is None, (self._path / "start.log").read_text() + self.log
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._process is not None:
            # Its master ends the others.
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()


def _accepts(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
