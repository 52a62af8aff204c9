"""``/health`` when Redis goes away and comes back: degraded, and clients are still to come."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backplane.redis_server import RedisServer
from tests.cli.process import LOOPS, Process
from tests.monitoring.test_served import APPLICATION, health, read, until


@pytest.mark.parametrize("loop", LOOPS)
def test_redis_goes_and_comes_back(loop: str, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(APPLICATION)
    with RedisServer() as redis:
        arguments = ["--loop", loop, "--listen", "0", "--admin", "0", "--backplane", redis.url]
        with Process("serve", "hello:app", *arguments, cwd=tmp_path) as process:
            admin = process.out.expect(r"Health and metrics on (\S+)\n")[1]
            process.out.expect(r"Listening on (\S+) ")
            status, report = health(admin)
            assert (status, report["status"]) == (200, "ok")
            assert f"backplane_info {report['node']}" in read(admin)
            redis.kill()
            until(admin, {"backplane_healthy": 0})
            status, report = health(admin)
            assert (status, report["status"]) == (200, "degraded")
            assert "other nodes are not" in report["reason"]
            redis.start()
            until(admin, {"backplane_healthy": 1})
            assert health(admin)[1]["status"] == "ok"
            assert read(admin)["backplane_reconnects_total"] >= 2
            process.popen.terminate()
            assert process.status() == 0
