"""The clients of :mod:`benchmarks.gateway_nodes`: a process of its own, which must cost less than what it measures.

It reads commands from stdin, a line of JSON each, and answers each with such a line. One thread and one epoll hold all
connections; in between, what comes in is taken, and pings are answered. Sending is an open loop: messages leave by the
clock, whatever became of those before, and their time counts from when they were due. A message has a number of its
own, so that what is lost, comes twice or overtakes another one is seen.
"""

from __future__ import annotations

import json
import os
import random
import select
import sys
import time
import zlib
from array import array
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.gateway_streams import Stream, Way, WebSocket

__all__ = ("Load", "percentile")

# Handshakes that are under way at once.
_OPENING = 64
# Seconds without any progress after which what is missing is taken for lost; a verdict takes 5 at most.
_PATIENCE = 8.0
# Ports that one address of ours can use towards one node.
_PORTS = 25_000
# Connections to each node over which is asked to send; each has one request under way.
_WAYS = 16


def percentile(values: array[float], share: float) -> float:
    """Return the value below which a share of sorted values is; 0 if there are none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


class Load:
    """All connections."""

    def __init__(self) -> None:
        self.poller = select.epoll()
        self.streams: dict[int, Stream] = {}
        self.ports: list[int] = []
        self.problems: Counter[str] = Counter()
        self.clients: list[WebSocket] = []
        self.members: list[WebSocket] = []
        self._ways: dict[tuple[str, int], list[Way]] = {}
        self._ended = False
        self._commands = b""
        self._last_progress = 0.0
        self._begin(0)

    def _begin(self, room: int) -> None:
        """Forget the messages of the last run."""
        self._number = 0
        self._due: array[float] = array("d")
        self._arrivals = bytearray()
        self._latencies: array[float] = array("d")
        self._verdicts: Counter[str] = Counter()
        self._delivered: set[int] = set()
        self._open = 0
        self._doubled = self._overtaken = self._foreign = 0
        self._missing = 0
        self._lateness = 0.0
        self._room = room
        for client in self.clients:
            client.newest.clear()
            client.order = client.told = 0

    def progress(self) -> None:
        """Something happened that was waited for."""
        self._last_progress = time.monotonic()

    # -- What comes in

    def arrived(self, client: WebSocket, text: str) -> None:
        """A message has come: number, way and target are in it."""
        now = time.monotonic()
        number, way, target, _ = text.split(" ", 3)
        index = int(number)
        if target != client.connection_id or index >= len(self._arrivals):
            self._foreign += 1
            return
        self._last_progress = now
        self._arrivals[index] += 1
        if self._arrivals[index] > 1:
            self._doubled += 1
            return
        self._missing -= 1
        self._latencies.append(now - self._due[index])
        if client.newest.get(int(way), -1) > index:
            self._overtaken += 1
        client.newest[int(way)] = index

    def arrived_in_room(self, client: WebSocket, text: str) -> None:
        """A message of the room has come."""
        now = self._last_progress = time.monotonic()
        index = int(text.partition(" ")[0])
        if index >= len(self._due):
            self._foreign += 1
            return
        client.told += 1
        client.order = zlib.crc32(index.to_bytes(8), client.order)
        self._missing -= 1
        self._latencies.append(now - self._due[index])

    def judged(self, number: int, kind: str, verdict: str) -> None:
        """It is known what became of a message."""
        self.progress()
        self._open -= 1
        if verdict in ("delivered", "200"):
            self._delivered.add(number)
        else:
            # What was refused need not come.
            self._missing -= self._room or (0 if self._arrivals[number] else 1)
        self._verdicts[f"{kind} {verdict}"] += 1

    # -- What is asked for

    def run(self) -> None:
        """Do what stdin asks for, until it ends."""
        os.set_blocking(0, False)
        self.poller.register(0, select.EPOLLIN)
        while not self._ended:
            self._poll(1.0)
            while b"\n" in self._commands:
                line, _, self._commands = self._commands.partition(b"\n")
                command = json.loads(line)
                before = time.process_time()
                answer = getattr(self, f"do_{command.pop('do')}")(**command)
                answer["problems"] = dict(self.problems)
                answer["cpu"] = time.process_time() - before
                self.problems.clear()
                print(json.dumps(answer), flush=True)

    def _poll(self, seconds: float) -> None:
        for fd, mask in self.poller.poll(max(0.0, seconds)):
            if fd == 0:
                data = os.read(0, 1 << 20)
                self._commands += data
                self._ended = not data
            elif (stream := self.streams.get(fd)) is not None:
                stream.ready(mask)

    def _until(self, is_so: Callable[[], bool]) -> bool:
        """Wait for something for as long as there is progress; returns whether it is so."""
        self.progress()
        while not is_so():
            self._poll(0.1)
            if time.monotonic() - self._last_progress > _PATIENCE:
                return False
        return True

    def do_open(self, ports: list[int], connections: int) -> dict[str, Any]:
        """Open connections, as many to each node; each is told its id."""
        self.ports = ports
        began = time.monotonic()
        opening: list[WebSocket] = []

        def go_on() -> bool:
            opening[:] = [each for each in opening if not each.connection_id and each.fd in self.streams]
            while len(opening) < _OPENING and len(self.clients) < connections:
                number = len(self.clients)
                source = f"127.0.0.{1 + number // (_PORTS * len(ports))}"
                self.clients.append(WebSocket(self, number % len(ports), source))
                opening.append(self.clients[-1])
            return not opening

        self._until(go_on)
        opened = [sum(bool(each.connection_id) for each in self.clients if each.node == n) for n in range(len(ports))]
        return {"opened": opened, "seconds": time.monotonic() - began}

    def do_prepare(self, kinds: list[str], nodes: list[int]) -> dict[str, Any]:
        """Make ready the ways over which nodes are asked to send."""
        made = []
        for kind in kinds:
            for node in nodes:
                if (kind, node) not in self._ways:
                    first = sum(map(len, self._ways.values()))
                    self._ways[kind, node] = [Way(self, first + each, kind, node) for each in range(_WAYS)]
                    made += self._ways[kind, node]
        return {"ready": self._until(lambda: all(way.is_ready for way in made))}

    def do_join(self, members: int) -> dict[str, Any]:
        """Have clients join the room, of all nodes alike."""
        self.members = self.clients[:members]
        joined: list[str] = []

        def answered(verdict: str) -> None:
            self.progress()
            joined.append(verdict)

        for member in self.members:
            member.on_verdict = answered
            member.send('{"action": "join", "to": "room"}')
            self._poll(0)
        self._until(lambda: len(joined) == len(self.members))
        for member in self.members:
            member.on_verdict = None
        return {"joined": joined.count("joined")}

    def do_idle(self, seconds: float) -> dict[str, Any]:
        """Do nothing but answer pings."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._poll(left)
        return {}

    def do_send(
        self, kinds: list[str], senders: list[int], receivers: list[int], rate: float, seconds: float, size: int
    ) -> dict[str, Any]:
        """Send to random connections."""
        self._begin(0)
        targets = [each for each in self.clients if each.node in receivers and each.fd in self.streams]
        ways = [way for kind in kinds for node in senders for way in [self._ways[kind, node]]]

        def send(number: int) -> None:
            target = random.choice(targets)
            several = random.choice(ways)
            # What goes from one node to one connection goes over one way, and has an order.
            way = several[target.fd % len(several)]
            text = f"m {number} {way.number} {target.connection_id} "
            self._missing += 1
            self._arrivals.append(0)
            way.send(number, target.connection_id, text.ljust(size, "x"))

        return self._send_all(send, rate, seconds)

    def do_publish(self, senders: list[int], rate: float, seconds: float, size: int) -> dict[str, Any]:
        """Publish to the room."""
        self._begin(len(self.members))
        ways = [way for node in senders for way in self._ways["room", node]]

        def send(number: int) -> None:
            self._missing += self._room
            ways[number % len(ways)].send(number, "room", f"room {number} ".ljust(size, "x"))

        found = self._send_all(send, rate, seconds)
        told = len(self._delivered)
        found["lost"] = sum(max(0, told - member.told) for member in self.members)
        found["doubled"] = sum(max(0, member.told - self._number) for member in self.members)
        orders = Counter(member.order for member in self.members)
        found["overtaken"] = len(self.members) - max(orders.values(), default=0)
        return found

    def _send_all(self, send: Callable[[int], None], rate: float, seconds: float) -> dict[str, Any]:
        """Send by the clock; wait for what is missing; say what was found."""
        cpu = time.process_time()
        began = time.monotonic()
        count = max(1, int(rate * seconds))
        while self._number < count and self._open < 2 * rate + 1000:
            now = time.monotonic()
            due = began + self._number / rate
            if now < due:
                self._poll(due - now)
                continue
            self._lateness = max(self._lateness, now - due)
            self._due.append(due)
            self._open += 1
            self._number += 1
            send(self._number - 1)
            # Not to be deaf while there is much to catch up with.
            if self._number % 16 == 0:
                self._poll(0)
        sending = time.monotonic() - began
        self._until(lambda: not self._open and self._missing <= 0)
        # What comes a second time comes soon.
        self.do_idle(0.2)
        latencies = array("d", sorted(self._latencies))
        return {
            "asked": count,
            "sent": self._number,
            "seconds": sending,
            "until_last": self._last_progress - began,
            "received": len(latencies),
            "verdicts": dict(self._verdicts),
            "unanswered": self._open,
            "lost": sum(not self._arrivals[number] for number in self._delivered) if self._arrivals else 0,
            "doubled": self._doubled,
            "overtaken": self._overtaken,
            "foreign": self._foreign,
            "p50": percentile(latencies, 0.5),
            "p99": percentile(latencies, 0.99),
            "max": latencies[-1] if latencies else 0.0,
            "lateness": self._lateness,
            "load_cpu": time.process_time() - cpu,
        }


if __name__ == "__main__":
    Load().run()
    sys.exit(0)
