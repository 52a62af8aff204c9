"""``connect``: send what is typed, print what comes."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from typing import Any

from autobahnlike.asgi.failure import explain
from autobahnlike.asgi.signals import on_first_signal
from autobahnlike.asyncio.websocket import WebSocketClientFactory, WebSocketClientProtocol, connectWS
from autobahnlike.cli.failure import USAGE, CommandFailed
from autobahnlike.cli.stdin import StdinReader
from autobahnlike.cli.text import LineSplitter, format_binary, printable
from autobahnlike.exception import Disconnected, InvalidArgument, PayloadExceededError
from autobahnlike.wire.handshake import build_request

__all__ = ("connect",)

_INTERRUPTED = "interrupted before the connection was open"


class Conversation(WebSocketClientProtocol):
    """A client that prints what it receives.

    Attributes:
        ended_by_us: whether it was us who started to close.
        problem: why the conversation failed although the connection may be closed cleanly, or None.
    """

    ended_by_us = False
    problem: str | None = None

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Print it."""
        try:
            _print_message(payload, isBinary)
        except OSError as error:
            # Whoever read our output has gone.
            _discard_output()
            self.end(f"cannot write what was received: {explain(error)}")

    def end(self, problem: str | None = None) -> None:
        """Start the closing handshake, or give the opening handshake up.

        Args:
            problem: what went wrong, if something did.
        """
        self.problem = self.problem or problem
        if self.state == self.STATE_OPEN:
            self.ended_by_us = True
            self.sendClose(self.CLOSE_STATUS_CODE_NORMAL)
        elif self.state == self.STATE_CONNECTING:
            self.problem = _INTERRUPTED
            self.dropConnection(abort=True)


def connect(url: str, subprotocols: list[str], headers: list[str], insecure: bool) -> None:
    """Connect, and stay until one side closes the connection.

    Args:
        url: where.
        subprotocols: to offer, in order of preference.
        headers: header fields to send, as "Name: value".
        insecure: whether to take any certificate.

    Raises:
        CommandFailed: there is no connection, or it was not closed cleanly.
    """
    factory = _make_factory(url, subprotocols, headers)
    context = None
    if factory.isSecure and insecure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    asyncio.run(_converse(factory, context))


def _make_factory(url: str, subprotocols: list[str], headers: list[str]) -> WebSocketClientFactory:
    fields: dict[str, Any] = {}
    try:
        for header in headers:
            name, colon, value = header.partition(":")
            if not colon:
                raise InvalidArgument(f"write a header as 'Name: value', not {header!r:.80}")
            fields.setdefault(name, []).append(value.strip())
        factory = WebSocketClientFactory(url, protocols=subprotocols, headers=fields)
        # What must not be sent is known before anybody is connected to.
        build_request(
            host=factory.host,
            port=factory.port,
            secure=factory.isSecure,
            resource=factory.resource,
            key="",
            protocols=subprotocols,
            headers=fields,
        )
    except InvalidArgument as error:
        raise CommandFailed(str(error), USAGE) from None
    return factory


async def _converse(factory: WebSocketClientFactory, context: ssl.SSLContext | None) -> None:
    conversation = Conversation()
    factory.protocol = lambda: conversation
    connecting = asyncio.ensure_future(connectWS(factory, context))

    def interrupt() -> None:
        if not connecting.cancel():
            conversation.end()

    loop = asyncio.get_running_loop()
    # Before the first byte is sent: a signal that comes as soon as there is something to see closes cleanly.
    on_first_signal(lambda: loop.call_soon_threadsafe(interrupt), loop)
    try:
        await connecting
        await conversation.is_open
    except asyncio.CancelledError:
        raise CommandFailed(_INTERRUPTED) from None
    except OSError as error:
        raise CommandFailed(f"cannot connect to {factory.url}: {explain(error)}") from None
    except Disconnected as error:
        raise CommandFailed(conversation.problem or printable(str(error))) from None
    _greet(factory, conversation)
    sending = asyncio.create_task(_send_lines(conversation))
    await conversation.is_closed
    sending.cancel()
    _say_goodbye(conversation)


async def _send_lines(conversation: Conversation) -> None:
    """Send every line of standard input, no faster than the connection takes them; close it at the end."""
    reader = StdinReader()
    lines = LineSplitter(conversation.maxMessagePayloadSize)
    try:
        chunk = None
        while chunk != b"":
            chunk = await reader.read()
            for line in lines.feed(chunk):
                # RFC 6455, section 8.1: the server would have to close the connection.
                line.decode()
                conversation.sendMessage(line)
                await conversation.drained()
    except Disconnected:
        return
    except UnicodeDecodeError:
        conversation.end("not sent: a line is not UTF-8")
    except PayloadExceededError as error:
        conversation.end(f"not sent: {error}")
    else:
        conversation.end()


def _greet(factory: WebSocketClientFactory, conversation: Conversation) -> None:
    if sys.stdin is not None and sys.stdin.isatty():
        subprotocol = conversation.websocket_protocol_in_use
        agreed = f", subprotocol {subprotocol}" if subprotocol else ""
        _note(f"Connected to {factory.url}{agreed}. Each line that you type is sent; Ctrl-D or Ctrl-C closes.")


def _say_goodbye(conversation: Conversation) -> None:
    if not conversation.wasClean:
        raise CommandFailed(
            conversation.problem or printable(conversation.wasNotCleanReason or "the connection was lost")
        )
    if not conversation.ended_by_us:
        code, reason = conversation.remoteCloseCode, conversation.remoteCloseReason
        _note(f"Closed by the server: {code or 'no code'} {printable(reason or '')}".rstrip())
    if conversation.problem:
        raise CommandFailed(conversation.problem)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print_message(payload: bytes, is_binary: bool) -> None:
    out = sys.stdout
    if out is None:
        return
    if is_binary:
        line = format_binary(payload).encode()
    elif out.isatty():
        line = printable(payload.decode(), keep="\n\t").encode(out.encoding, "backslashreplace")
    else:
        line = payload
    out.buffer.write(line + b"\n")
    out.buffer.flush()


def _discard_output() -> None:
    """Let what is still to be written go nowhere, or the interpreter complains when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
