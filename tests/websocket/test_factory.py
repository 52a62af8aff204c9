"""The factories that every loop's factories derive from."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import autobahnlike
from autobahnlike.exception import InvalidArgument
from autobahnlike.websocket.attributes import OptionAttributes
from autobahnlike.websocket.factory import (
    PreparedMessage,
    WebSocketClientFactory,
    WebSocketFactory,
    WebSocketServerFactory,
)
from autobahnlike.websocket.protocol import WebSocketClientProtocol, WebSocketServerProtocol
from autobahnlike.wire.connection import Connection
from autobahnlike.wire.options import OPTIONS, Options

FACTORIES = pytest.mark.parametrize("kind", [WebSocketServerFactory, WebSocketClientFactory])


class Channel:
    """A connection's protocol, as far as a factory knows it."""

    state = 3

    def sendClose(self, code: int | None = None, reason: str | None = None) -> None:
        raise AssertionError("nobody asked for it")

    def dropConnection(self, abort: bool = False) -> None:
        raise AssertionError("nobody asked for it")


def options_of(factory: WebSocketFactory, protocol: object = None) -> Options:
    return factory._resolve_options(protocol)


class TestSessionParameters:
    @FACTORIES
    def test_without_a_url(self, kind: Any) -> None:
        factory = kind()
        assert factory.url is None
        assert (factory.isSecure, factory.host, factory.port) == (False, "localhost", 80)
        assert (factory.resource, factory.path, factory.params) == ("/", "/", {})
        assert (factory.protocols, factory.headers) == ([], {})

    def test_server_by_position(self) -> None:
        factory = WebSocketServerFactory("wss://example.com:9000/ws", ["a"], "me", {"A": "b"}, 443)
        assert factory.url == "wss://example.com:9000/ws"
        assert (factory.isSecure, factory.host, factory.port, factory.path) == (True, "example.com", 9000, "/ws")
        assert (factory.protocols, factory.server, factory.headers) == (["a"], "me", {"A": "b"})
        assert factory.externalPort == 443
        assert factory.isServer is True

    def test_client_by_position(self) -> None:
        proxy = {"host": "proxy", "port": 8080}
        factory = WebSocketClientFactory("ws://h/p?a=b", "http://o", ("x", "y"), "agent", {"A": ["b", "c"]}, proxy)
        assert (factory.resource, factory.path, factory.params) == ("/p?a=b", "/p", {"a": ["b"]})
        assert (factory.origin, factory.protocols, factory.useragent) == ("http://o", ["x", "y"], "agent")
        assert (factory.headers, factory.proxy) == ({"A": ["b", "c"]}, proxy)
        assert factory.isServer is False

    def test_we_say_who_we_are(self) -> None:
        name = f"autobahnlike/{autobahnlike.__version__}"
        assert WebSocketServerFactory().server == name
        assert WebSocketClientFactory().useragent == name

    def test_setting_them_again_resets_what_is_not_given(self) -> None:
        server = WebSocketServerFactory("ws://h:1", ["a"], "me", {"A": "b"}, 443)
        server.setSessionParameters()
        assert (server.url, server.port, server.protocols) == (None, 80, [])
        assert (server.server, server.headers, server.externalPort) == (None, {}, None)
        client = WebSocketClientFactory("ws://h", "http://o", useragent="agent", proxy={"host": "p"})
        client.setSessionParameters("ws://g")
        assert (client.host, client.origin, client.useragent, client.proxy) == ("g", None, None, None)

    def test_the_url_of_a_server_has_no_query(self) -> None:
        with pytest.raises(InvalidArgument, match="no query"):
            WebSocketServerFactory("ws://localhost/?a=b")

    @FACTORIES
    @pytest.mark.parametrize("parameters", [{"url": "http://localhost"}, {"url": "ws://h", "protocols": "chat"}])
    def test_what_is_wrong_changes_nothing(self, kind: Any, parameters: dict[str, Any]) -> None:
        factory = kind("ws://localhost:9000", headers={"A": "b"})
        with pytest.raises(InvalidArgument):
            factory.setSessionParameters(**parameters)
        assert (factory.port, factory.headers) == (9000, {"A": "b"})

    @FACTORIES
    def test_headers_can_be_changed_here_and_where_they_came_from(self, kind: Any) -> None:
        headers: dict[str, Any] = {}
        factory = kind(headers=headers)
        headers["A"] = "b"
        factory.headers["C"] = "d"
        assert factory.headers == {"A": "b", "C": "d"}
        assert kind().headers == {}


class TestWithoutInit:
    @FACTORIES
    def test_everything_has_a_default(self, kind: Any) -> None:
        factory, other = kind.__new__(kind), kind()
        for name in vars(other):
            assert getattr(factory, name) == getattr(other, name), name
        assert factory.getConnectionCount() == 0
        assert options_of(factory) == options_of(other)

    @FACTORIES
    def test_what_can_be_changed_is_not_shared(self, kind: Any) -> None:
        factory, other = kind.__new__(kind), kind.__new__(kind)
        factory.headers["A"] = "b"
        factory.protocols.append("chat")
        factory.params["a"] = ["b"]
        factory._add(Channel())
        assert (other.headers, other.protocols, other.params, len(other._connections)) == ({}, [], {}, 0)

    def test_a_class_may_say_it_all(self) -> None:
        class Factory(WebSocketServerFactory):
            headers = {"A": "b"}  # noqa: RUF012
            server = "me"
            autoPingInterval = 7

            def __init__(self) -> None:
                pass

        factory = Factory()
        assert (factory.headers, factory.server, factory.host) == ({"A": "b"}, "me", "localhost")
        assert options_of(factory).auto_ping_interval == 7

    @FACTORIES
    def test_no_name_of_twisteds_reconnecting_factory_is_taken(self, kind: Any) -> None:
        names = "resetDelay retry stopTrying delay retries connector stop clients client debug name loop reactor clock"
        assert not [name for name in names.split() if hasattr(kind(), name)]

    def test_only_a_loop_has_an_event_loop(self) -> None:
        with pytest.raises(NotImplementedError, match="use the factory of Twisted or of asyncio"):
            WebSocketServerFactory().shutdown()


class TestOptionTable:
    @FACTORIES
    def test_every_option_is_an_attribute_with_the_default_of_the_table(self, kind: Any) -> None:
        side = "S" if kind.isServer else "C"
        for info in OPTIONS:
            if side in info.sides:
                assert getattr(kind(), info.name) == info.default
            else:
                assert not hasattr(kind(), info.name)

    @FACTORIES
    def test_every_option_is_annotated_and_nothing_else_looks_like_one(self, kind: Any) -> None:
        names = {info.name for info in kind._option_table}
        assert names <= set(inspect.get_annotations(WebSocketFactory)) | set(inspect.get_annotations(kind))

    @FACTORIES
    def test_without_any_change_the_options_are_the_defaults(self, kind: Any) -> None:
        assert options_of(kind()) == Options()

    @pytest.mark.parametrize("kind", [WebSocketServerProtocol, WebSocketClientProtocol])
    def test_our_own_protocols_override_no_option(self, kind: type) -> None:
        names = {info.name for info in OPTIONS}
        assert not names & {name for cls in kind.__mro__ if cls is not OptionAttributes for name in vars(cls)}


class TestSetProtocolOptions:
    def test_several_calls_add_up(self) -> None:
        factory = WebSocketServerFactory()
        factory.setProtocolOptions(autoPingInterval=1, maxConnections=5)
        factory.setProtocolOptions(autoPingInterval=2, failByDrop=True)
        options = options_of(factory)
        assert (options.auto_ping_interval, options.max_connections, options.fail_by_drop) == (2, 5, True)

    def test_none_leaves_an_option_as_it_is(self) -> None:
        factory = WebSocketServerFactory()
        factory.setProtocolOptions(webStatus=False)
        factory.setProtocolOptions(webStatus=None)
        assert factory.webStatus is False

    def test_allowNullOrigin_is_not_touched_by_a_call_that_does_not_name_it(self) -> None:
        factory = WebSocketServerFactory()
        factory.setProtocolOptions(openHandshakeTimeout=10)
        assert factory.allowNullOrigin is True
        factory.setProtocolOptions(allowNullOrigin=False)
        factory.setProtocolOptions(openHandshakeTimeout=11)
        assert options_of(factory).allow_null_origin is False

    def test_lists_are_taken_where_the_table_has_tuples(self) -> None:
        server, client = WebSocketServerFactory(), WebSocketClientFactory()
        server.setProtocolOptions(versions=[8, 13], allowedOrigins=["http://a:80", "*"])
        client.setProtocolOptions(perMessageCompressionOffers=[])
        assert options_of(server).versions == (8, 13)
        assert options_of(server).allowed_origins == ("http://a:80", "*")
        assert options_of(client).compression_offers == ()

    @pytest.mark.parametrize(
        "wrong",
        [
            {"autoPingSize": 3},
            {"autoPingSize": 126},
            {"maxConnections": -1},
            {"maxConnections": 1.5},
            {"maxConnections": "1"},
            {"trustXForwardedFor": -1},
            {"openHandshakeTimeout": -0.1},
            {"openHandshakeTimeout": float("nan")},
            {"versions": [14]},
            {"versions": []},
            {"webStatus": 1},
            {"allowNullOrigin": "yes"},
            {"allowedOrigins": "http://a:80"},
            {"allowedOrigins": [1]},
            {"perMessageCompressionAccept": 1},
        ],
    )
    def test_a_value_that_may_not_be_used_changes_nothing(self, wrong: dict[str, Any]) -> None:
        factory = WebSocketServerFactory()
        with pytest.raises(InvalidArgument, match=next(iter(wrong))):
            factory.setProtocolOptions(**{"autoPingInterval": 3, **wrong})
        assert options_of(factory) == Options()

    @pytest.mark.parametrize("wrong", [{"version": 19}, {"perMessageCompressionOffers": "deflate"}])
    def test_a_clients_values_are_checked_as_well(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidArgument):
            WebSocketClientFactory().setProtocolOptions(**wrong)

    def test_an_invalid_argument_is_a_value_error(self) -> None:
        with pytest.raises(ValueError, match="maxConnections must be"):
            WebSocketServerFactory().setProtocolOptions(maxConnections=-1)

    @pytest.mark.parametrize(
        ("kind", "name"),
        [
            (WebSocketServerFactory, "noSuchOption"),
            (WebSocketServerFactory, "serverConnectionDropTimeout"),
            (WebSocketClientFactory, "maxConnections"),
            (WebSocketServerFactory, "logFrames"),
        ],
    )
    def test_an_unknown_name_is_a_type_error(self, kind: Any, name: str) -> None:
        with pytest.raises(TypeError, match=name):
            kind().setProtocolOptions(**{name: 1})

    def test_other_factories_are_not_changed(self) -> None:
        WebSocketServerFactory().setProtocolOptions(autoPingInterval=99)
        assert WebSocketServerFactory().autoPingInterval == 20


class TestDefaults:
    @FACTORIES
    def test_reset_forgets_what_was_set(self, kind: Any) -> None:
        factory = kind()
        factory.setProtocolOptions(autoPingInterval=1)
        factory.openHandshakeTimeout = 2
        factory.logFrames = True
        factory.resetProtocolOptions()
        assert options_of(factory) == Options(log_frames=True)

    @FACTORIES
    def test_reset_keeps_what_the_class_says(self, kind: Any) -> None:
        factory = type("Factory", (kind,), {"autoPingInterval": 7})()
        factory.autoPingInterval = 8
        factory.resetProtocolOptions()
        assert options_of(factory).auto_ping_interval == 7

    @FACTORIES
    def test_autobahns_defaults_in_one_call(self, kind: Any) -> None:
        factory = kind()
        factory.setProtocolOptions(autoFragmentSize=3)
        factory.useAutobahnDefaults()
        options = options_of(factory)
        for info in factory._option_table:
            assert getattr(options, info.field) == info.autobahn, info.name
        assert options.fail_by_drop is True
        assert options.max_message_size == 0
        assert options.auto_ping_interval == 0

    def test_autobahns_defaults_accept_no_compression(self) -> None:
        factory = WebSocketServerFactory()
        factory.useAutobahnDefaults()
        assert factory.perMessageCompressionAccept is not None
        assert factory.perMessageCompressionAccept([]) is None
        assert factory.versions == [8, 13]


class TestResolving:
    def test_attributes_of_the_factory_are_options(self) -> None:
        factory = WebSocketServerFactory()
        factory.openHandshakeTimeout = 6
        factory.allowedOrigins = ["http://a:80"]
        factory.logOctets = True
        options = options_of(factory)
        assert (options.open_handshake_timeout, options.log_octets) == (6, True)
        assert options.allowed_origins == ("http://a:80",)

    def test_a_list_that_was_changed_counts(self) -> None:
        factory = WebSocketServerFactory()
        factory.setProtocolOptions(allowedOrigins=(origins := ["http://a:80"]))
        assert options_of(factory).allowed_origins == ("http://a:80",)
        origins.append("http://b:80")
        assert options_of(factory).allowed_origins == ("http://a:80", "http://b:80")

    def test_the_protocols_class_is_stronger_than_the_factory(self) -> None:
        class Base(WebSocketServerProtocol):
            autoPingInterval = 1
            autoPingTimeout = 2

        class Mixin:
            closeHandshakeTimeout = 3

        class Derived(Mixin, Base):
            autoPingTimeout = 4

        factory = WebSocketServerFactory()
        factory.setProtocolOptions(autoPingInterval=9, autoPingTimeout=9, closeHandshakeTimeout=9, maxFragments=9)
        options = options_of(factory, Derived())
        assert (options.auto_ping_interval, options.auto_ping_timeout) == (1, 4)
        assert (options.close_handshake_timeout, options.max_fragments) == (3, 9)

    def test_the_protocols_instance_is_stronger_than_its_class(self) -> None:
        class Overriding(WebSocketServerProtocol):
            autoPingInterval = 1

        protocol = Overriding()
        protocol.autoPingInterval = 0
        assert options_of(WebSocketServerFactory(), protocol).auto_ping_interval == 0

    def test_a_method_of_the_protocol_may_choose_the_compression(self) -> None:
        class Choosing(WebSocketServerProtocol):
            def perMessageCompressionAccept(self, offers: list[Any]) -> tuple[object, list[Any]]:
                return self, offers

        protocol = Choosing()
        accept = options_of(WebSocketServerFactory(), protocol).compression_accept
        assert accept is not None
        assert accept([1]) == (protocol, [1])

    def test_a_name_that_is_an_option_of_the_other_side_is_the_applications(self) -> None:
        class Versioned(WebSocketServerProtocol):
            version = "1.0"

        assert options_of(WebSocketServerFactory(), Versioned()) == Options()

    def test_a_protocol_without_a_dictionary(self) -> None:
        assert options_of(WebSocketServerFactory(), object()) == Options()

    def test_a_wrong_attribute_is_reported_with_its_name(self) -> None:
        factory: Any = WebSocketServerFactory()
        factory.openHandshakeTimeout = "soon"
        with pytest.raises(InvalidArgument, match="openHandshakeTimeout"):
            options_of(factory)

    def test_what_a_class_is_given_later_counts_from_then_on(self) -> None:
        base: Any = type("Base", (WebSocketServerProtocol,), {})
        mine: Any = type("Mine", (base,), {})
        factory = WebSocketServerFactory()
        assert options_of(factory, mine()).auto_ping_interval == 20
        base.autoPingInterval = 3
        assert options_of(factory, mine()).auto_ping_interval == 3
        mine.autoPingInterval = 4
        assert options_of(factory, mine()).auto_ping_interval == 4
        del base.autoPingInterval, mine.autoPingInterval
        assert options_of(factory, mine()).auto_ping_interval == 20

    def test_connections_share_their_options_until_something_changes(self) -> None:
        factory = WebSocketServerFactory()
        first = options_of(factory, WebSocketServerProtocol())
        assert options_of(factory, WebSocketServerProtocol()) is first
        factory.maxFragments = 5
        assert options_of(factory, WebSocketServerProtocol()) is not first


class TestPreparedMessage:
    @FACTORIES
    def test_a_factory_prepares_messages(self, kind: Any) -> None:
        prepared = kind().prepareMessage(b"hello", isBinary=True, doNotCompress=True)
        assert isinstance(prepared, PreparedMessage)
        assert (prepared.payload, prepared.isBinary, prepared.doNotCompress) == (b"hello", True, True)

    def test_the_frame_is_made_once(self) -> None:
        prepared = PreparedMessage(b"hello")
        assert prepared.frame == b"\x81\x05hello"
        assert prepared.frame is prepared.frame
        assert PreparedMessage(b"", isBinary=True).frame == b"\x82\x00"

    @pytest.mark.parametrize("length", [125, 126, 65535, 65536])
    def test_the_frame_is_what_a_server_sends(self, length: int) -> None:
        handler: Any = None
        connection = Connection(handler, Options(write_high_water=1 << 20), is_server=True, now=0.0)
        connection.accept(b"")
        connection.send_message(bytes(length), True)
        assert b"".join(map(bytes, connection.data_to_send())) == PreparedMessage(bytes(length), True).frame

    def test_the_payload_is_kept_as_it_was(self) -> None:
        payload: Any = bytearray(b"hello")
        prepared = PreparedMessage(payload)
        payload[0] = 0
        assert prepared.payload == b"hello"

    @pytest.mark.parametrize("payload", ["text", 5, None, [1]])
    def test_the_payload_must_be_bytes(self, payload: Any) -> None:
        with pytest.raises(InvalidArgument, match="must be bytes"):
            WebSocketServerFactory().prepareMessage(payload)


class TestCounting:
    @FACTORIES
    def test_connections_are_counted_while_they_last(self, kind: Any) -> None:
        factory, first, second = kind(), Channel(), Channel()
        factory._add(first)
        factory._add(second)
        assert (factory.countConnections, factory.getConnectionCount()) == (2, 2)
        factory._remove(first)
        factory._remove(first)
        assert factory.getConnectionCount() == 1
        factory._remove(second)
        assert factory.getConnectionCount() == 0

    def test_protocols_that_are_equal_or_cannot_be_hashed_are_counted_each(self) -> None:
        class Equal(Channel):
            def __eq__(self, other: object) -> bool:
                return True

        factory, first, second = WebSocketServerFactory(), Equal(), Equal()
        factory._add(first)
        factory._add(second)
        assert factory.getConnectionCount() == 2
        factory._remove(first)
        assert factory.getConnectionCount() == 1
