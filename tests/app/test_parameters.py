"""The parameters of a view: which it gets, and what they are converted to."""

from __future__ import annotations

import datetime as dt
import enum
import functools
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from annotated_types import Ge
from starlette.datastructures import QueryParams

from autobahnlike.app.errors import ParameterError, RouteDeclarationError
from autobahnlike.app.parameters import ViewParameters
from autobahnlike.app.routing import Router
from autobahnlike.app.websocket import WebSocket
from tests.app.harness import Way, both_ways

if TYPE_CHECKING:
    from autobahnlike.app.websocket import WebSocket as NotThereAtRunTime

UTC = dt.UTC


class Color(enum.Enum):
    RED = "red"


class Unknown:
    """A class that pydantic knows nothing of."""


class Integer:
    """A field as those of typesystem."""

    def __init__(self, minimum: int) -> None:
        self.minimum = minimum

    def validate(self, value: str) -> int:
        if int(value) < self.minimum:
            raise ValueError(f"Must be greater than or equal to {self.minimum}.")
        return int(value)


def converted(annotation: Any, text: str) -> Any:
    async def view(ws: WebSocket, value): ...  # type: ignore[no-untyped-def]

    view.__annotations__["value"] = annotation
    return ViewParameters(view, 1, ["value"]).resolve({"value": text}, {})["value"]


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "42", 42),
        (int, "-7", -7),
        (int, "1.5", 1),
        (int, "-1.5", -1),
        (int, "1e3", 1000),
        (int, " 5 ", 5),
        (float, "1.5", 1.5),
        (float, "1e3", 1000.0),
        (Decimal, "1.50", Decimal("1.50")),
        (bool, "true", True),
        (bool, "TRUE", True),
        (bool, "On", True),
        (bool, "1", True),
        (bool, "false", False),
        (bool, "oFF", False),
        (bool, "0", False),
        (bool, "", False),
        (dt.date, "2019-01-31", dt.date(2019, 1, 31)),
        (dt.date, "2019-1-5", dt.date(2019, 1, 5)),
        (dt.time, "9:30", dt.time(9, 30)),
        (dt.time, "09:30:15", dt.time(9, 30, 15)),
        (dt.time, "09:30:15.25", dt.time(9, 30, 15, 250000)),
        (dt.datetime, "2019-1-5 9:30", dt.datetime(2019, 1, 5, 9, 30)),
        (dt.datetime, "2019-01-05T09:30:15.1234567Z", dt.datetime(2019, 1, 5, 9, 30, 15, 123456, UTC)),
        (
            dt.datetime,
            "2019-01-05T09:30-0130",
            dt.datetime(2019, 1, 5, 9, 30, tzinfo=dt.timezone(-dt.timedelta(hours=1, minutes=30))),
        ),
        (dt.datetime, "2019-01-05T09:30+02", dt.datetime(2019, 1, 5, 9, 30, tzinfo=dt.timezone(dt.timedelta(hours=2)))),
        (str, " as it is ", " as it is "),
        (Any, "1", "1"),
        (Unknown, "x", "x"),
        (uuid.UUID, "12345678123456781234567812345678", uuid.UUID(int=0x12345678123456781234567812345678)),
        (Color, "red", Color.RED),
        (Literal["a", "b"], "b", "b"),
        (Annotated[int, Ge(1)], "1.5", 1),
        (int | None, "1e1", 10),
        (Integer(0), "5", 5),
        # The same as text, which is what "from __future__ import annotations" makes of them.
        ("int", "1.5", 1),
        ("Integer(0)", "5", 5),
    ],
)
def test_conversion(annotation: Any, text: str, value: Any) -> None:
    result = converted(annotation, text)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "reason"),
    [
        (int, "foo", "is not a number"),
        (int, " ", "is not a number"),
        (int, "", "is not a number"),
        (int, "inf", "is not a finite number"),
        # An int of that many digits would take all memory.
        (int, "1e999999999", "is not a finite number"),
        (float, "inf", "is not a finite number"),
        (float, "nan", "is not a finite number"),
        (float, "1e400", "is not a finite number"),
        (Decimal, "x", "is not a number"),
        (bool, "yes", "is not one of true, on, 1, false, off, 0"),
        (dt.date, "2019-02-30", "is not in the calendar: day is out of range for month"),
        (dt.date, "1546300800", "is not a date like 2019-01-31"),
        (dt.time, "25:00", "is not in the calendar: hour must be in 0..23"),
        (dt.time, "09:30x", "is not a time like 09:30 or 09:30:15.25"),
        (dt.datetime, "2019-01-05", "is not a date and time like 2019-01-31T09:30:15+01:00"),
        (dt.datetime, "", "is not a date and time like 2019-01-31T09:30:15+01:00"),
        (uuid.UUID, "x", "is not valid: Input should be a valid UUID"),
        (Color, "blue", "is not valid: Input should be 'red'"),
        (Annotated[int, Ge(1)], "0", "is not valid: Input should be greater than or equal to 1"),
        (int | None, "x", "is not a number"),
        (Integer(0), "-1", "is not valid: Must be greater than or equal to 0."),
    ],
)
def test_refusal(annotation: Any, text: str, reason: str) -> None:
    with pytest.raises(ParameterError) as caught:
        converted(annotation, text)
    assert caught.value.reason.startswith(reason)
    assert (caught.value.name, caught.value.value) == ("value", text)
    assert str(caught.value) == f"parameter 'value': {text!r} {caught.value.reason}"


def resolve(
    view: Callable[..., Any], path: dict[str, str], query: str = "", provided: tuple[str, ...] = ()
) -> dict[str, Any]:
    return ViewParameters(view, 1, path).resolve(path, QueryParams(query), provided)


def test_every_mistake_is_told() -> None:
    async def view(ws: WebSocket, a: int, b: bool, c: str) -> None: ...

    with pytest.raises(ParameterError) as caught:
        resolve(view, {"a": "x", "b": "y", "c": "z"})
    assert list(caught.value.errors) == ["a", "b"]
    assert caught.value.values == {"a": "x", "b": "y", "c": "z"}


def test_path_parameters() -> None:
    async def view(ws: WebSocket, a, b: int): ...  # type: ignore[no-untyped-def]

    assert resolve(view, {"a": "1", "b": "2", "dropped": "3"}) == {"a": "1", "b": 2}


def test_missing_ones() -> None:
    async def view(ws: WebSocket, needed: int, *, also: int) -> None: ...

    with pytest.raises(TypeError) as caught:
        resolve(view, {"also": "x"})
    assert str(caught.value) == "missing a required argument: 'needed'"
    # Only those with a default come from the query.
    with pytest.raises(TypeError, match="missing a required argument: 'also'"):
        resolve(view, {"needed": "1"}, "also=1")


def test_query_parameters() -> None:
    async def view(ws: WebSocket, id: int, limit: int = "unvalidated", *, q: str = "") -> None: ...  # type: ignore[assignment]  # noqa: A002

    path = {"id": "1"}
    assert resolve(view, path) == {"id": 1}
    assert resolve(view, path, "limit=1&limit=2.5&q=%20&unknown=x&id=7") == {"id": 1, "limit": 2, "q": " "}
    with pytest.raises(ParameterError, match="parameter 'limit': '' is not a number"):
        resolve(view, path, "limit=")


def test_a_path_parameter_with_a_default() -> None:
    async def view(ws: WebSocket, page: int = 1) -> None: ...

    assert resolve(view, {"page": "3"}, "page=4") == {"page": 3}
    # The same view under another pattern.
    assert resolve(view, {}, "page=4") == {"page": 4}


def test_parameters_that_providers_fill_are_left_out() -> None:
    async def view(ws: WebSocket, history: list[str], user: str, limit: int = 3) -> None: ...

    assert resolve(view, {"user": "ann"}, "limit=5", ("history", "user", "limit")) == {"user": "ann"}


def test_variable_parameters() -> None:
    async def view(ws: WebSocket, a: int, *args: Any, **rest: int) -> None: ...

    assert resolve(view, {"a": "1", "b": "2.5"}, "c=3") == {"a": 1, "b": 2}

    async def all_of_them(*args: Any, **rest: Any) -> None: ...

    assert resolve(all_of_them, {"a": "1"}) == {"a": "1"}


def test_annotations_that_are_not_needed_need_not_exist() -> None:
    async def view(ws: NotThereAtRunTime, history: NotThereAtRunTime, id: int) -> None: ...  # noqa: A002

    assert resolve(view, {"id": "1"}, "", ("history",)) == {"id": 1}


def test_annotations_that_do_not_exist() -> None:
    async def view(ws: WebSocket, id: NotThereAtRunTime) -> None: ...  # noqa: A002

    parameters = ViewParameters(view, 1, ["id"])
    with pytest.raises(RouteDeclarationError, match="annotation 'NotThereAtRunTime' of parameter 'id' of the view"):
        parameters.resolve({"id": "1"}, {})


def test_annotations_that_are_defined_later() -> None:
    async def view(ws: WebSocket, id: DefinedLater) -> None: ...  # type: ignore[name-defined]  # noqa: A002, F821

    parameters = ViewParameters(view, 1, ["id"])
    globals()["DefinedLater"] = int
    try:
        assert parameters.resolve({"id": "1"}, {}) == {"id": 1}
    finally:
        del globals()["DefinedLater"]


def test_views_that_cannot_be_called() -> None:
    async def nothing() -> None: ...

    async def by_name(*, ws: WebSocket) -> None: ...

    async def positional(ws: WebSocket, id: int, /) -> None: ...  # noqa: A002

    async def request_only(req: Any) -> None: ...

    for view in (nothing, by_name):
        with pytest.raises(RouteDeclarationError, match="must be for the WebSocket"):
            ViewParameters(view, 1)
    with pytest.raises(RouteDeclarationError, match="'id' of the view 'positional' is positional-only"):
        ViewParameters(positional, 1)
    with pytest.raises(RouteDeclarationError, match="must be for the request and the response"):
        ViewParameters(request_only, 2)


def test_partial_and_wrapped_views() -> None:
    async def view(prefix: str, ws: WebSocket, id: int) -> None: ...  # noqa: A002

    assert resolve(functools.partial(view, "x"), {"id": "1"}) == {"id": 1}

    @functools.wraps(view)
    async def wrapper(*args: Any, **kwargs: Any) -> None: ...

    assert ViewParameters(wrapper, 2, ["id"]).resolve({"id": "1"}, {}) == {"id": 1}


@both_ways
async def test_a_view_gets_them(way: Way) -> None:
    router = Router()

    @router.websocket_route("/chat/{channel}")
    async def chat(ws: WebSocket, channel: str, anonymous: bool = False) -> None:
        await ws.send(f"{channel} {'Anonymous' if anonymous else ws.headers['user']}")

    assert (await way.talk(router, "/chat/a%20b?anonymous=true")).wire == [101, "a b Anonymous", ("close", 1000)]
    assert (await way.talk(router, "/chat/x", headers={"User": "ann"})).wire == [101, "x ann", ("close", 1000)]
    missing = await way.talk(router, "/chat/x")
    assert missing.wire == [101, ("close", 1011)]
    assert repr(missing.error) == "KeyError('user')"


@both_ways
@pytest.mark.parametrize("auto_accept", [True, False])
async def test_what_is_not_valid_is_refused_before_anything_else(
    way: Way, auto_accept: bool, caplog: pytest.LogCaptureFixture
) -> None:
    router = Router()

    @router.websocket_route("/items/{id}", auto_accept=auto_accept)
    async def item(ws: WebSocket, id: int, limit: int = 1) -> None:  # noqa: A002
        async with ws:
            await ws.send(f"{id} {limit}")

    assert (await way.talk(router, "/items/42?limit=1e1")).wire == [101, "42 10", ("close", 1000)]
    for path in ("/items/foo", "/items/%20", "/items/1?limit=", "/items/1?limit=x"):
        talk = await way.talk(router, path)
        assert (talk.wire, talk.error) == ([403], None), path
    assert "WebSocket to '/items/foo' refused with HTTP 403: parameter 'id': 'foo' is not a number" in caplog.messages


@both_ways
async def test_a_missing_parameter_is_the_failure_of_the_view(way: Way) -> None:
    router = Router()
    seen = []

    @router.websocket_route("/auto")
    async def auto(ws: WebSocket, needed: str) -> None:
        seen.append(needed)

    @router.websocket_route("/manual", auto_accept=False)
    async def manual(ws: WebSocket, needed: str) -> None:
        seen.append(needed)

    talk = await way.talk(router, "/auto")
    assert talk.wire == [101, ("close", 1011)]
    assert repr(talk.error) == "TypeError(\"missing a required argument: 'needed'\")"
    talk = await way.talk(router, "/manual")
    assert talk.wire == [403]
    assert isinstance(talk.error, TypeError)
    assert seen == []
