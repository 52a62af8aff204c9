"""The sockets of a server, from when they are opened until whoever opened them is done."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Iterator

from autobahnlike.asgi.address import UnixAddress, open_sockets, parse_address
from autobahnlike.asgi.failure import CannotListen, explain
from autobahnlike.exception import InvalidArgument

__all__ = ("listening",)


@contextlib.contextmanager
def listening(listen: Iterable[str], otherwise: str = "") -> Iterator[list[socket.socket]]:
    """Open sockets, and in the end close them and remove the paths of those that have one.

    Args:
        listen: where; see ``parse_address``.
        otherwise: what else may be written instead of an address, as the end of a sentence.

    Yields:
        The sockets, in the order of the addresses. Whoever closes them has to expect that they are closed again.

    Raises:
        CannotListen: one of the addresses is none, or cannot be listened on.
    """
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        for text in listen:
            try:
                address = parse_address(text)
                opened = open_sockets(address)
            except InvalidArgument as error:
                raise CannotListen(f"cannot listen on {text}: {error}{otherwise}", asked_wrongly=True) from None
            except OSError as error:
                raise CannotListen(f"cannot listen on {text}: {explain(error)}") from None
            if isinstance(address, UnixAddress):
                stack.callback(_remove, address.path)
            for sock in opened:
                stack.callback(sock.close)
            sockets += opened
        yield sockets


def _remove(path: str) -> None:
    # The loop may have been quicker.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
