"""The contracts, and that our classes keep them."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from zope.interface import Interface
from zope.interface.exceptions import Invalid
from zope.interface.interfaces import IInterface
from zope.interface.verify import verifyObject

import autobahnlike.websocket
from autobahnlike.websocket import interfaces
from autobahnlike.websocket.interfaces import (
    IWebSocketChannel,
    IWebSocketClientChannel,
    IWebSocketClientChannelFactory,
    IWebSocketHandler,
    IWebSocketSender,
    IWebSocketServerChannelFactory,
)
from autobahnlike.websocket.protocol import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahnlike.wire.options import CLIENT, OPTIONS, SERVER

CALLED = {"sendMessage", "sendPreparedMessage", "sendClose", "sendPing", "sendPong", "dropConnection"}
HOOKS = {"onConnect", "onOpen", "onMessage", "onPing", "onPong", "onClose"}


def test_what_is_called_and_what_is_implemented_are_different_interfaces() -> None:
    assert set(IWebSocketSender) == CALLED | {"drained", "bufferedAmount"}
    assert set(IWebSocketHandler) == HOOKS
    assert set(IWebSocketChannel) == set(IWebSocketSender) | set(IWebSocketHandler)
    assert set(IWebSocketClientChannel) == set(IWebSocketChannel) | {"onConnecting"}


@pytest.mark.parametrize(
    ("interface", "member"),
    [(getattr(interfaces, name), member) for name in interfaces.__all__ for member in getattr(interfaces, name)],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_everything_is_documented(interface: Any, member: str) -> None:
    assert IInterface.providedBy(interface)
    assert str(interface[member].__doc__).rstrip().endswith(".")


class TestOurClassesKeepThem:
    def test_server_factory(self) -> None:
        factory = WebSocketServerFactory()
        assert verifyObject(IWebSocketServerChannelFactory, factory)
        assert not IWebSocketClientChannelFactory.providedBy(factory)

    def test_client_factory(self) -> None:
        factory = WebSocketClientFactory()
        assert verifyObject(IWebSocketClientChannelFactory, factory)
        assert not IWebSocketServerChannelFactory.providedBy(factory)

    def test_server_protocol(self) -> None:
        assert verifyObject(IWebSocketChannel, WebSocketServerProtocol())

    def test_client_protocol(self) -> None:
        assert verifyObject(IWebSocketClientChannel, WebSocketClientProtocol(), tentative=True)

    def test_what_keeps_none_of_them_is_found_out(self) -> None:
        with pytest.raises(Invalid):
            verifyObject(IWebSocketChannel, object(), tentative=True)


class TestSignatures:
    @pytest.mark.parametrize(("factory", "side"), [(WebSocketServerFactory, SERVER), (WebSocketClientFactory, CLIENT)])
    def test_setProtocolOptions_takes_what_the_table_of_options_has(self, factory: Any, side: str) -> None:
        expected = {info.name for info in OPTIONS if side in info.sides and info.keyword}
        parameters = dict(inspect.signature(factory.setProtocolOptions).parameters)
        del parameters["self"]
        assert set(parameters) == expected
        assert all(parameter.default is None for parameter in parameters.values())

    @pytest.mark.parametrize(
        ("interface", "factory"),
        [
            (IWebSocketServerChannelFactory, WebSocketServerFactory),
            (IWebSocketClientChannelFactory, WebSocketClientFactory),
        ],
    )
    def test_methods_take_the_same_arguments_in_the_same_order(self, interface: type[Interface], factory: Any) -> None:
        methods = [name for name in interface if hasattr(interface[name], "getSignatureInfo")]
        assert len(methods) > 3
        for name in methods:
            declared = interface[name].getSignatureInfo()
            parameters = list(inspect.signature(getattr(factory, name)).parameters.values())[1:]
            # zope.interface does not know those that are given by name only.
            parameters = [each for each in parameters if each.kind is not each.KEYWORD_ONLY]
            assert list(declared["positional"]) == [parameter.name for parameter in parameters]
            defaults = {item.name: item.default for item in parameters if item.default is not item.empty}
            assert declared["optional"] == defaults


def test_the_package_exports_autobahns_names() -> None:
    for name in autobahnlike.websocket.__all__:
        assert getattr(autobahnlike.websocket, name).__name__ == name
    assert "IWebSocketChannel" in autobahnlike.websocket.__all__
