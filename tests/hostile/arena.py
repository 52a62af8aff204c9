"""How cases are run: in which process, what is measured meanwhile, and what is checked afterwards."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, TypeVar

from .processes import Client, Healthy, Server, allow_many_files, script, split_command
from .registry import Case, Place, Report

STALL, STALL_HARD = 0.5, 5.0
CPU_HARD = 20.0

Target = TypeVar("Target", Server, Client)


class Arena(Generic[Target]):
    """The processes under attack on one loop, and the runs of cases in them.

    Args:
        launch: starts a process; it is told whether to give it short keepalive times.
    """

    def __init__(self, launch: Callable[[bool], Target]) -> None:
        allow_many_files()
        self._launch: Callable[[bool], Target] = launch
        self._targets: dict[Place, Target] = {}
        self._lock = threading.Lock()
        self._pool = concurrent.futures.ThreadPoolExecutor(max_workers=32)
        self._waiting: dict[str, tuple[Report, concurrent.futures.Future[None]]] = {}
        self._log_errors: list[AssertionError] = []

    def __enter__(self) -> Arena[Target]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
        for target in self._targets.values():
            target.stop()

    def _target(self, place: Place) -> Target:
        with self._lock:
            target = self._targets.get(place)
            if target is None or not target.alive():
                if target is not None:
                    self._retire(target)
                target = self._targets[place] = self._launch(place is Place.KEEPALIVE)
            return target

    def _retire(self, target: Target) -> None:
        try:
            target.check_log()
        except AssertionError as error:
            self._log_errors.append(error)
        target.stop()

    def begin_waiting(self, cases: Iterable[Case]) -> None:
        """Start those of the cases that do little but wait, all at once, so that their deadlines pass together."""
        for case in cases:
            if case.place in (Place.PATIENT, Place.KEEPALIVE) and case.id not in self._waiting:
                report = Report()
                self._waiting[case.id] = report, self._pool.submit(self._run_beside_others, case, report)

    def await_waiting(self) -> None:
        """Wait until all that was started by ``begin_waiting`` is over."""
        concurrent.futures.wait([future for _, future in self._waiting.values()])

    def run(self, case: Case, report: Report) -> None:
        """Run a case.

        Args:
            case: the case.
            report: where figures and notes go, also if the case fails.

        Raises:
            AssertionError: the rule does not hold.
        """
        if case.id == "M05":
            self._judge_logs()
        elif case.place in (Place.PATIENT, Place.KEEPALIVE):
            self.begin_waiting([case])
            found, future = self._waiting[case.id]
            try:
                future.result()
            finally:
                report.figures |= found.figures
                report.notes += found.notes
        elif case.place is Place.SHARED:
            self._run_alone(case, self._target(case.place), report)
        else:
            target = self._launch(False)
            try:
                self._run_alone(case, target, report)
            finally:
                self._retire(target)

    def _run_beside_others(self, case: Case, report: Report) -> None:
        target = self._target(case.place)
        case.attack(target, report)
        target.check_alive()

    def _run_alone(self, case: Case, target: Target, report: Report) -> None:
        healthy = Healthy(target) if isinstance(target, Server) and case.id[0] != "Z" else None
        target.forget_peak()
        rss, cpu, log = target.rss(), target.cpu(), target.log_size()
        if healthy:
            healthy.start()
        try:
            case.attack(target, report)
            if target.alive():
                report.figure("CPU", target.cpu() - cpu, "s", case.cpu, CPU_HARD)
                report.figure("RSS", max(0.0, target.peak_rss() - rss), "MiB", case.rss, case.rss)
        finally:
            stall = healthy.stop() if healthy else 0
        if healthy:
            report.figure("stall", stall, "s", STALL, STALL_HARD)
        if case.id[0] != "Z":
            target.check()
        target.check_log(log)

    def _judge_logs(self) -> None:
        for error in self._log_errors:
            raise error
        for target in self._targets.values():
            target.check_log()


def server_arena(loop: str, command: str | None = None) -> Arena[Server]:
    """An arena for the server cases.

    Args:
        loop: on which loop our server runs.
        command: the command line of another server, with ``{port}`` in it if it does not print its port.
    """
    words = split_command(command) if command else script("servers", loop)
    return Arena(lambda keepalive: Server(words, keepalive=keepalive))


def client_arena(loop: str, command: str | None = None) -> Arena[Client]:
    """An arena for the client cases; the parameters are those of ``server_arena``."""
    words = split_command(command) if command else script("clients", loop)
    return Arena(lambda keepalive: Client(words, keepalive=keepalive))
