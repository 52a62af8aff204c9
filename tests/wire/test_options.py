"""The one table of options."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from autobahnlike.exception import InvalidArgument
from autobahnlike.wire.options import CLIENT, OPTIONS, SERVER, OptionInfo, Options, option_docs

BY_NAME = {info.name: info for info in OPTIONS}

# The keywords of setProtocolOptions of Autobahn's server and client factories.
AUTOBAHN_BOTH = {
    "logOctets", "logFrames", "utf8validateIncoming", "applyMask", "maxFramePayloadSize",
    "maxMessagePayloadSize", "autoFragmentSize", "failByDrop", "echoCloseCodeReason", "openHandshakeTimeout",
    "closeHandshakeTimeout", "tcpNoDelay", "autoPingInterval", "autoPingTimeout", "autoPingSize",
    "autoPingRestartOnAnyTraffic", "perMessageCompressionAccept",
}  # fmt: skip
AUTOBAHN_SERVER = {
    "versions", "webStatus", "requireMaskedClientFrames", "maskServerFrames", "serveFlashSocketPolicy",
    "flashSocketPolicy", "allowedOrigins", "allowNullOrigin", "maxConnections", "trustXForwardedFor",
}  # fmt: skip
AUTOBAHN_CLIENT = {
    "version", "acceptMaskedServerFrames", "maskClientFrames", "serverConnectionDropTimeout",
    "perMessageCompressionOffers",
}  # fmt: skip


class TestTable:
    def test_every_field_is_an_option(self) -> None:
        assert [info.field for info in OPTIONS] == [field.name for field in dataclasses.fields(Options)]

    def test_names_are_unique(self) -> None:
        assert len(BY_NAME) == len(OPTIONS)

    @pytest.mark.parametrize("info", OPTIONS, ids=lambda info: info.name)
    def test_an_option_is_described(self, info: OptionInfo) -> None:
        assert info.sides in (SERVER, CLIENT, SERVER + CLIENT)
        assert info.meaning[0].isupper()
        assert info.meaning.endswith(".")
        if isinstance(info.default, int | float) and not isinstance(info.default, bool) and info.name != "version":
            assert info.unit

    @pytest.mark.parametrize("info", OPTIONS, ids=lambda info: info.name)
    def test_the_default_is_what_a_connection_gets(self, info: OptionInfo) -> None:
        assert getattr(Options(), info.field) == info.default

    @pytest.mark.parametrize("info", OPTIONS, ids=lambda info: info.name)
    def test_the_default_of_autobahn_is_allowed(self, info: OptionInfo) -> None:
        given: dict[str, Any] = {info.field: info.autobahn}
        assert getattr(Options(**given), info.field) == info.autobahn

    @pytest.mark.parametrize(
        ("names", "sides"), [(AUTOBAHN_BOTH, "SC"), (AUTOBAHN_SERVER, "S"), (AUTOBAHN_CLIENT, "C")], ids=str
    )
    def test_every_option_of_autobahn_is_known_on_its_side(self, names: set[str], sides: str) -> None:
        assert names <= BY_NAME.keys()
        assert {BY_NAME[name].sides for name in names} == {sides}

    def test_options_cannot_be_changed(self) -> None:
        with pytest.raises(dataclasses.FrozenInstanceError):
            Options().fail_by_drop = True  # type: ignore[misc]

    def test_options_are_given_by_name(self) -> None:
        with pytest.raises(TypeError):
            Options((13,))  # type: ignore[call-arg]


class TestSafeDefaults:
    """Every buffer has a bound and every wait a deadline."""

    @pytest.mark.parametrize(
        "field",
        [
            "max_handshake_size",
            "max_handshake_headers",
            "max_message_size",
            "max_fragments",
            "write_high_water",
            "read_ahead",
            "max_send_queue",
            "open_handshake_timeout",
            "close_handshake_timeout",
            "server_connection_drop_timeout",
            "auto_ping_interval",
            "auto_ping_timeout",
        ],
    )
    def test_nothing_is_unbounded(self, field: str) -> None:
        assert getattr(Options(), field) > 0

    def test_the_figures_that_are_promised(self) -> None:
        options = Options()
        assert options.max_message_size == 16 * 1024 * 1024
        assert options.max_handshake_size == 65536
        assert options.max_handshake_headers == 128
        assert options.open_handshake_timeout == options.close_handshake_timeout == 5
        assert options.auto_ping_interval == options.auto_ping_timeout == 20
        assert options.fail_by_drop is False
        assert options.versions == (13,)
        assert options.allowed_origins == ("*",)


class TestChecks:
    @pytest.mark.parametrize(
        ("field", "value", "complaint"),
        [
            ("fail_by_drop", 1, "failByDrop must be True or False, not 1"),
            ("fail_by_drop", None, "failByDrop must be True or False"),
            ("max_message_size", -1, "maxMessagePayloadSize must be a number of at least 0 .bytes., not -1"),
            ("max_message_size", "1", "maxMessagePayloadSize must be a number"),
            ("max_message_size", True, "maxMessagePayloadSize must be a number"),
            ("max_message_size", None, "maxMessagePayloadSize must be a number"),
            ("max_message_size", 0.5, "maxMessagePayloadSize must be a whole number .bytes., not 0.5"),
            ("auto_ping_interval", -0.1, "autoPingInterval must be a number of at least 0 .seconds., not -0.1"),
            ("auto_ping_interval", float("nan"), "autoPingInterval must be a number of at least 0"),
            ("allowed_origins", ["*"], "allowedOrigins must be a list"),
            ("compression_accept", 5, "perMessageCompressionAccept must be a function, not 5"),
            ("versions", (), "versions must be from 8 and 13"),
            ("versions", (13, 7), "versions must be from 8 and 13, not"),
            ("version", 9, "version must be from 10 to 18, not 9"),
            ("version", 19, "version must be from 10 to 18, not 19"),
            ("auto_ping_size", 3, "autoPingSize must be from 4 to 125 bytes, not 3"),
            ("auto_ping_size", 126, "autoPingSize must be from 4 to 125 bytes, not 126"),
        ],
    )
    def test_refused(self, field: str, value: Any, complaint: str) -> None:
        with pytest.raises(InvalidArgument, match=complaint):
            Options(**{field: value})

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("open_handshake_timeout", 3),
            ("open_handshake_timeout", 0.25),
            ("max_frame_size", 1),
            ("versions", (8, 13)),
            ("version", 10),
            ("auto_ping_size", 4),
            ("auto_ping_size", 125),
            ("compression_accept", len),
            ("compression_offers", ()),
            ("flash_socket_policy", "<policy/>"),
        ],
    )
    def test_allowed(self, field: str, value: Any) -> None:
        assert getattr(Options(**{field: value}), field) == value

    @pytest.mark.parametrize("info", OPTIONS, ids=lambda info: info.name)
    def test_zero_switches_a_bound_off(self, info: OptionInfo) -> None:
        if info.unit and info.name != "autoPingSize":
            given: dict[str, Any] = {info.field: 0}
            assert getattr(Options(**given), info.field) == 0


class TestDocumentation:
    def test_every_option_has_a_row(self) -> None:
        text = option_docs()
        rows = [line for line in text.splitlines() if line.startswith("   * - ``")]
        assert rows == [f"   * - ``{info.name}``" for info in OPTIONS]

    @pytest.mark.parametrize(
        ("name", "side", "default", "autobahn"),
        [
            ("maxMessagePayloadSize", "both", "16777216 bytes", "off"),
            ("openHandshakeTimeout", "both", "5 seconds", "5 seconds"),
            ("failByDrop", "both", "False", "True"),
            ("versions", "server", "13", "8, 13"),
            ("version", "client", "18", "18"),
            ("perMessageCompressionAccept", "both", "permessage-deflate", "none accepted"),
            ("perMessageCompressionOffers", "client", "permessage-deflate", "none"),
            ("flashSocketPolicy", "server", "none", "none"),
            ("maxFramePayloadSize", "both", "off", "off"),
        ],
    )
    def test_a_row_says_side_and_defaults(self, name: str, side: str, default: str, autobahn: str) -> None:
        row = option_docs().partition(f"   * - ``{name}``\n")[2].splitlines()[:4]
        assert row == [f"     - {side}", f"     - {default}", f"     - {autobahn}", f"     - {BY_NAME[name].meaning}"]
