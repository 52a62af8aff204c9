"""What the applications of the page about monitoring have to do."""

from __future__ import annotations

from tests.guide.peer import Peer, check


@check("monitoring", "mount /internal")
def internal(peer: Peer) -> None:
    assert peer.get("/internal/health").json() == {"status": "ok", "reason": "", "connections": 0, "node": None}
    metrics = peer.get("/internal/metrics")
    assert metrics.status_code == 200
    assert "process_cpu_seconds_total" in metrics.text
    assert peer.get("/health").status_code == 404
