"""What a client does, with the numbers of the rows in the specification that it is about."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tests.hosting.peer import WirePeer, World

__all__ = ("SCENARIOS", "Scenario")

Scenario: TypeAlias = Callable[[World], Awaitable[None]]

SCENARIOS: dict[str, tuple[str, Scenario]] = {}
"""By name: the rows, and what to do."""


def scenario(rows: str) -> Callable[[Scenario], Scenario]:
    def register(function: Scenario) -> Scenario:
        SCENARIOS[function.__name__] = (rows, function)
        return function

    return register


def say(name: str, rows: str, target: str, *messages: str | bytes, **options: object) -> None:
    """Register a scenario: connect, say something, and look until the end."""

    async def play(world: World) -> None:
        headers = options.get("headers", ())
        peer = await world.connect(
            target,
            headers=headers,  # type: ignore[arg-type]
            subprotocols=str(options.get("subprotocols", "")),
        )
        for message in messages:
            if isinstance(message, str):
                peer.text(message)
            else:
                peer.binary(message)
        await peer.rest()

    assert name not in SCENARIOS
    SCENARIOS[name] = (rows, play)


def converse(name: str, rows: str, target: str, *messages: str | bytes, end: int | None = 1000) -> None:
    """Register a scenario: connect, wait for an answer to each message, close."""

    async def play(world: World) -> None:
        peer = await world.connect(target)
        for message in messages:
            if isinstance(message, str):
                peer.text(message)
            else:
                peer.binary(message)
            await peer.see()
        await peer.close(end)

    assert name not in SCENARIOS
    SCENARIOS[name] = (rows, play)


say("echo", "BO-3, BO-34", "/echo", "hi")
say("old_echo", "BO-4", "/old_echo", "hi")
say("old_echo_auto", "BO-4", "/old_echo_auto", "hi")
say("old_hello", "BO-36, BO-37", "/old_hello")
say("old_hello_manual", "BO-36", "/old_hello_manual")
say("old_hello_try", "BO-38", "/old_hello_try")
converse("echo_iter", "BO-29", "/echo_iter", "a", "b")
converse("echo_iter_going_away", "BO-29", "/echo_iter", "a", end=1001)
converse("echo_loop", "BO-29", "/echo_loop", "a", "b")
converse("ping_pong", "BO-37", "/ping_pong", '{"type": "ping"}', '{"type": "x"}')
say("ping_pong_bad", "BO-32", "/ping_pong", "{}")

say("unknown_route", "BO-7", "/nowhere")
say("http_route", "BO-8", "/page")
say("untyped", "BO-10", "/untyped/%C3%A9/b%20c")
say("untyped_slash", "BO-10", "/untyped/a%2Fb/c")
say("untyped_empty", "BO-10", "/untyped//c")
say("missing_arg", "BO-10", "/missing_arg")
say("extra_arg", "BO-10", "/extra_arg/x")
say("item_ok", "BO-11", "/item/42")
say("item_invalid", "BO-11, BO-12", "/item/foo")
say("item_manual_ok", "BO-12", "/item_manual/1")
say("item_manual_invalid", "BO-12", "/item_manual/foo")

for kind, values in {
    "int": ["1", "1.5", "1e3", "-7", "%34%32", "+5", "0x10", "1_000", "%201%20", "foo", "%20", "1e400", "nan", "007"],
    "float": ["1.5", "1", "-2e3", "inf", "nan", "1e400", "foo", ".5", "1_0"],
    "bool": [
        "true",
        "True",
        "TRUE",
        "on",
        "1",
        "false",
        "off",
        "0",
        "OFF",
        "yes",
        "no",
        "2",
        "foo",
        "null",
        "none",
        "t",
    ],
    "str": ["abc", "%20", "1"],
    "decimal": ["1.50", "1e3", "foo", "NaN", "-0", "Infinity"],
    "datetime": [
        "2019-01-02T03:04:05",
        "2019-01-02T03:04:05Z",
        "2019-01-02T03:04:05.123456",
        "2019-01-02%2003:04:05",
        "2019-01-02T03:04:05+02:00",
        "2019-01-02T03:04",
        "2019-01-02",
        "2019-13-02T03:04:05",
        "foo",
        "1546398245",
    ],
    "date": ["2019-01-02", "2019-1-2", "2019-02-30", "2019-01-02T00:00:00", "foo", "1546398245", "20190102"],
    "time": ["03:04:05", "03:04", "03:04:05.5", "25:00:00", "foo", "3:04", "030405", "03:04:05Z"],
}.items():
    for value in values:
        say(f"conversions {kind} {value}", "BO-11", f"/convert/{kind}/{value}")

say("query_int", "BO-13", "/query_int?limit=7")
say("query_int_absent", "BO-13", "/query_int")
say("query_int_repeated", "BO-13", "/query_int?limit=1&limit=2&other=3")
say("query_int_repeated_invalid", "BO-13", "/query_int?limit=x&limit=2")
say("query_int_empty", "BO-13", "/query_int?limit=")
say("query_int_invalid", "BO-12, BO-13", "/query_int?limit=x")
say("query_types_absent", "BO-13", "/query_types")
say("query_types", "BO-13", "/query_types?s=a+b&flag=on&untyped=%C3%A9&bad=3")
say("query_types_empty", "BO-13", "/query_types?s=")
say("query_types_empty_untyped", "BO-13", "/query_types?untyped=")
converse("route_and_query", "BO-14", "/route_and_query/a?anonymous=true", '"m"')
say("route_missing_header", "BO-14", "/route_and_query/a")
say("route_query_invalid", "BO-14", "/route_and_query/a?anonymous=maybe")


@scenario("BO-14")
async def route_header(world: World) -> None:
    peer = await world.connect("/route_and_query/b", headers=[("User", "Ann")])
    peer.text("[1]")
    await peer.see()
    await peer.close(1000)


say("typesystem_field", "BO-15", "/typesystem_field/3")
say("typesystem_field_invalid", "BO-15", "/typesystem_field/-1")
for target in ("x", "x/y", "", "x/"):
    say(f"wildcard /wild/{target}", "BO-16", f"/wild/{target}")
    say(f"path_converter /files/{target}", "BO-16", f"/files/{target}")
say("wildcard /wild", "BO-16", "/wild")
say("path_converter encoded slash", "BO-16", "/files/a%2Fb")
say("route_order", "BO-16", "/order/fixed")
say("no_leading_slash", "BO-16", "/no_leading_slash")
say("trailing_slash", "BO-16", "/echo/")
say("router_prefix", "BO-67", "/todos/5")
say("router_prefix_invalid", "BO-67", "/todos/x")
say("mounted", "BO-65", "/mounted/a/b")
say("mounted_root", "BO-65", "/mounted/")
say("mounted_no_slash", "BO-65", "/mounted")
say("mounted_type_error", "BO-65", "/mounted_type_error/")

say(
    "inspect_request",
    "BO-17, BO-18, BO-21",
    "/inspect_request/p?a=1&a=2&b=3",
    headers=[("X-Foo", "bar"), ("Cookie", "k=v; l=w")],
)
say("inspect_documented_name", "BO-19", "/inspect_documented_name?a=1")
say("session_none", "BO-20", "/session")
say("session_bad_signature", "BO-20", "/session", headers=[("Cookie", "session=eyJ1c2VyIjogImFubiJ9.XXXXXX.YYYY")])
say("session_write", "BO-20", "/session_write")


@scenario("BO-20")
async def sessions(world: World) -> None:
    status, fields, body = await world.http("/log_in")
    world.seen.append(f"{status} {body!r}")
    cookie = fields["set-cookie"].partition(";")[0]
    peer = await world.connect("/session", headers=[("Cookie", cookie)])
    await peer.rest()


for name in ("text_ok", "json_ok", "value_overrides"):
    converse(name, "BO-22, BO-23", f"/{name}", '"hi"', '""', '{"a": [1, null, "é", 1.5]}')
converse("text_empty", "BO-22", "/text_ok", "", "\0")
converse("text_long", "BO-22", "/text_ok", "x" * 70_000)
converse("bytes_ok", "BO-23", "/bytes_ok", b"\0\xff", b"")
say("json_in", "BO-23", "/json_in", '{"text": "t"}')
say("json_out", "BO-23", "/json_out", "é")
say("json_out_bad", "BO-28", "/json_out_bad")
say("json_invalid", "BO-27", "/json_ok", "{")
say("json_empty", "BO-27", "/json_ok", "")
say("json_nan", "BO-27", "/json_out", "x")
say("json_invalid_caught", "BO-27", "/json_invalid_caught", "{")
say("text_gets_bytes", "BO-26", "/text_ok", b"x")
say("text_gets_empty_bytes", "BO-26", "/text_ok", b"")
say("bytes_gets_text", "BO-26", "/bytes_ok", "x")
say("json_gets_bytes", "BO-26", "/json_ok", b"{}")
say("wrong_type_text", "BO-22", "/wrong_type_text")
say("event_type", "BO-23", "/event_type", "x")
say("explicit_methods", "BO-24", "/explicit_methods", "a", b"b", "[1]")
say("explicit_methods_wrong", "BO-24", "/explicit_methods", b"a")
say("asgi_echo", "BO-30", "/asgi_echo", "hi")
say("asgi_bad_send", "BO-30", "/asgi_bad_send")
say("old_asgi", "BO-31", "/old_asgi", "hi")


@scenario("BO-30")
async def asgi_disconnect(world: World) -> None:
    peer = await world.connect("/asgi_disconnect")
    await peer.close(4000)


for name in (
    "fail",
    "fail_after_send",
    "fail_accepted_manually",
    "fail_in_with",
    "fail_in_with_swallowed",
):
    say(name, "BO-32", f"/{name}")
for name in ("fail_not_accepted", "send_before_accept", "receive_before_accept"):
    say(name, "BO-33", f"/{name}")
say("manual", "BO-35", "/manual")
say("manual_with", "BO-36", "/manual_with")
say("manual_nothing", "BO-41", "/manual_nothing")
say("manual_no_close", "BO-41", "/manual_no_close")
say("accept_twice", "BO-39", "/accept_twice")
say("accept_then_with", "BO-39", "/accept_then_with")
say("with_twice", "BO-37", "/with_twice")
say("subprotocol", "BO-40", "/subprotocol", subprotocols="chat.v1, chat.v2")
say("subprotocol_not_offered", "BO-40", "/subprotocol")
say("close_in_with", "BO-42", "/close_in_with")
say("close_in_auto", "BO-42", "/close_in_auto")
say("double_close", "BO-43", "/double_close")
say("ensure_closed", "BO-44", "/ensure_closed")
say("send_after_close", "BO-45", "/send_after_close")
say("receive_after_close", "BO-45", "/receive_after_close")
say("reject", "BO-47", "/reject")
for name in ("api_key_verbatim", "api_key", "api_key_noreturn"):
    say(f"{name}_bad", "BO-48", f"/{name}", headers=[("API-Key", "wrong")])
    say(f"{name}_good", "BO-48", f"/{name}", headers=[("API-Key", "s3kr3t")])
say("close_before_accept", "BO-49", "/close_before_accept")
say("reject_after_accept", "BO-50", "/reject_after_accept")
say("reject_after_send", "BO-50", "/reject_after_send")
for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
    say(f"close_codes {code}", "BO-51", f"/close_codes/{code}")
for code in (0, 403, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 70000):
    say(f"close_codes_invalid {code}", "BO-51", f"/close_codes/{code}")
say("dangerous_verbatim", "BO-53", "/dangerous_verbatim", "x")
say("dangerous", "BO-53", "/dangerous/2", "x", "x", "x")
say("dangerous_to_the_end", "BO-53", "/dangerous/-1", *["x"] * 100)


@scenario("BO-46")
async def send_after_client_close(world: World) -> None:
    peer = await world.connect("/send_after_client_close")
    await peer.close(1000)


def _leaving(code: int | None) -> Callable[[WirePeer], Awaitable[None]]:
    return lambda peer: peer.close(code)


_WAYS: dict[str, Callable[[WirePeer], Awaitable[None]]] = {
    **{str(code): _leaving(code) for code in (1000, 1001, 1003, 1011, 1012, 3000, 4000)},
    "nocode": _leaving(None),
    "drop": lambda peer: peer.drop(),
}


def _leave(route: str, how: str, leave: Callable[[WirePeer], Awaitable[None]]) -> None:
    async def play(world: World) -> None:
        peer = await world.connect(f"/{route}")
        await leave(peer)

    SCENARIOS[f"{route}_{how}"] = ("BO-54 to BO-59", play)


for caught in ("default", "1006", "1000", "all", "none", "bare"):
    for how, leave in _WAYS.items():
        _leave(f"cc_{caught}", how, leave)
        if caught != "bare":
            _leave(f"ccm_{caught}", how, leave)

say("providers_with_route", "Providers", "/providers_with_route/Ann?shout=1")
say("providers_use", "Providers", "/providers_use")
say("providers_cleanup", "Providers", "/providers_cleanup", "x")
say("providers_cleanup_after_error", "Providers", "/providers_cleanup", "fail")
say("providers_lazy_used", "Providers", "/providers_lazy", "use")
say("providers_lazy_unused", "Providers", "/providers_lazy", "no")


@scenario("Providers")
async def providers_scopes(world: World) -> None:
    for _ in range(3):
        await (await world.connect("/providers_scopes")).rest()


@scenario("Providers")
async def providers_cleanup_when_client_goes(world: World) -> None:
    peer = await world.connect("/providers_cleanup")
    await peer.see()
    await peer.close(1000)


def _message(text: str) -> str:
    return json.dumps({"type": "message", "text": text})


@scenario("BO-5, BO-61, BO-63")
async def chat_room(world: World) -> None:
    await world.http("/clear-history")
    ann = await world.connect("/chat", name="ann")
    await ann.see()
    ben = await world.connect("/chat", name="ben")
    await ben.see()
    for speaker, text in ((ann, "hi"), (ben, "hello")):
        speaker.text(_message(text))
        await ann.see()
        await ben.see()
    ann.text('{"type": "status", "text": "kept"}')
    ann.text(_message("again"))
    await ann.see()
    await ben.see()
    cat = await world.connect("/chat", name="cat")
    await cat.see(5)
    for peer in (ann, ben, cat):
        await peer.close(1000)
    world.seen.append(repr((await world.http("/client-count"))[2]))


@scenario("BO-61, BO-63")
async def chat_room_gone(world: World) -> None:
    await world.http("/clear-history")
    ann = await world.connect("/chat", name="ann")
    await ann.see()
    ben = await world.connect("/chat", name="ben")
    await ben.see()
    await ben.drop()
    # As soon as the view has noticed, its clean-up has been done.
    while (await world.http("/client-count"))[2] != b'{"count": 1, "history": 0}':
        pass
    ann.text(_message("alone"))
    await ann.see()
    await ann.close(1000)


@scenario("BO-61")
async def chat_room_bad(world: World) -> None:
    await world.http("/clear-history")
    peer = await world.connect("/chat")
    await peer.see()
    peer.text('{"no": "type"}')
    await peer.rest()
    world.seen.append(repr((await world.http("/client-count"))[2]))


def fetch(name: str, rows: str, target: str, method: str = "GET", body: bytes = b"") -> None:
    """Register a scenario: an HTTP request."""

    async def play(world: World) -> None:
        status, fields, content = await world.http(target, method, body=body)
        kept = [f"{field}: {fields[field]}" for field in ("content-type", "location") if field in fields]
        lines = [f"HTTP {status}", *kept, *content.decode().split("\n")]
        world.seen += [line.replace(f"{world.host}:{world.port}", "HOST") for line in lines]

    assert name not in SCENARIOS
    SCENARIOS[name] = (rows, play)


fetch("chat_page", "BO-62", "/")
fetch("http_page", "BO-8", "/page")
fetch("http_to_ws_route", "BO-8", "/echo")
fetch("http_unknown", "BO-8", "/nowhere")
fetch("http_head", "BO-62", "/page", "HEAD")
fetch("http_wrong_method", "BO-62", "/page", "POST")
fetch("http_parameters", "BO-11", "/items/1.5?limit=9")
fetch("http_parameter_invalid", "BO-11", "/items/x")
fetch("http_query_invalid", "BO-13", "/items/1?limit=x")
fetch("http_class", "BO-62", "/class")
fetch("http_class_post", "BO-62", "/class", "POST", b'{"a": [1]}')
fetch("http_class_other_method", "BO-62", "/class", "DELETE")
fetch("http_trailing_slash", "BO-16", "/slash")
fetch("http_mounted", "BO-65", "/mounted/x")
fetch("declared", "BO-2, BO-9, BO-16, BO-25, Settings", "/declared")
fetch("tested", "BO-7, BO-20, BO-32, BO-40, Test client", "/tested")
