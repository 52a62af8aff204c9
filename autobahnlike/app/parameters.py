"""What a view wants to know besides its connection: parameters of the path and of the query, converted.

A parameter of the view that the pattern of its route names gets that part of the path. One with a default gets the
value of its name from the query string: the last one if there are several, and the default, as it is, if there is none.
Both are converted to what the annotation says:

==========================  ===========================================================================
``int``                     any notation of a number; what stands after the decimal point is dropped
``float``, ``Decimal``      any notation of a finite number
``bool``                    ``true``, ``on``, ``1`` and ``false``, ``off``, ``0`` or nothing, in any case
``date``, ``time``          ``2019-1-31``, ``9:30``, ``09:30:15.25``
``datetime``                both, with ``T`` or a space between, and possibly ``Z`` or ``+01:00`` after it
a field                     any object with a method ``validate``, such as typesystem's ``Integer(minimum=0)``
what pydantic understands   ``UUID``, ``Literal["a", "b"]``, an ``Enum``, ``Annotated[int, Ge(1)]``, ``int | None``, ...
``str`` or anything else    the text as it is
==========================  ===========================================================================

Pydantic converts; before it stand only the notations that Bocadillo's users may write and pydantic would refuse.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import re
import sys
import types
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin

from pydantic import BeforeValidator, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from autobahnlike.app.errors import ParameterError, RouteDeclarationError

__all__ = ("ViewParameters",)

_T = TypeVar("_T")
_Converter: TypeAlias = Callable[[str], Any]
_Kind = inspect.Parameter
_BY_NAME = (_Kind.POSITIONAL_OR_KEYWORD, _Kind.KEYWORD_ONLY)

_BOOLEANS = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False, "": False}
_DATE = r"(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?:\.(?P<fraction>\d{1,12}))?)?"
_ZONE = r"(?P<zone>Z|[+-]\d{2}(?::?\d{2})?)?"
_DATE_ONLY = re.compile(_DATE, re.ASCII)
_TIME_ONLY = re.compile(_TIME, re.ASCII)
_DATE_AND_TIME = re.compile(f"{_DATE}[T ]{_TIME}{_ZONE}", re.ASCII)


class ViewParameters:
    """The parameters of one view, and how each is converted.

    Args:
        view: the view; a function or a bound method.
        skip: how many of its parameters the caller fills by position: 1 (``ws``) or 2 (``req, res``).
        pattern_names: the parameters of the route's pattern.

    Raises:
        RouteDeclarationError: the view cannot be called with what it is given.
    """

    def __init__(self, view: Callable[..., Any], skip: int, pattern_names: Collection[str] = ()) -> None:
        self._view = view
        self._name = view_name(view)
        parameters = list(_signature(view).parameters.values())
        first = [each for each in parameters if each.kind in (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD)]
        if len(first) < skip and not any(each.kind is _Kind.VAR_POSITIONAL for each in parameters):
            wanted = "the WebSocket" if skip == 1 else "the request and the response"
            raise RouteDeclarationError(f"the first parameters of the view '{self._name}' must be for {wanted}")
        skipped = {each.name for each in first[:skip]}
        rest = [each for each in parameters if each.name not in skipped]
        for each in rest:
            if each.kind is _Kind.POSITIONAL_ONLY:
                raise RouteDeclarationError(
                    f"parameter '{each.name}' of the view '{self._name}' is positional-only, but is passed by name"
                )
        self._parameters = {each.name: each for each in rest if each.kind in _BY_NAME}
        self._others = next((each for each in rest if each.kind is _Kind.VAR_KEYWORD), None)
        self._pattern_names = frozenset(pattern_names)
        # Made at the first use, when all that annotations may name has been defined.
        self._converters: dict[str, _Converter | None] = {}

    def resolve(
        self, path_params: Mapping[str, str], query_params: Mapping[str, str], provided: Collection[str] = ()
    ) -> dict[str, Any]:
        """Return the keyword arguments for the view.

        Args:
            path_params: the parameters of the path, as text. Those that the view does not declare are dropped, unless
                it takes ``**kwargs``.
            query_params: those of the query; a mapping that gives the last value of each name.
            provided: names of parameters that providers fill, which are left out here.

        Raises:
            ParameterError: some of them are not what the annotations say.
            RouteDeclarationError: an annotation names something that does not exist.
            TypeError: a parameter without a default is supplied by nobody.
        """
        given: dict[str, str] = {}
        for name, parameter in self._parameters.items():
            if name in path_params:
                given[name] = path_params[name]
            elif name in provided:
                continue
            elif parameter.default is parameter.empty:
                raise TypeError(f"missing a required argument: '{name}'")
            elif name in query_params and name not in self._pattern_names:
                given[name] = query_params[name]
        if self._others is not None:
            given |= {name: value for name, value in path_params.items() if name not in given}
        return self._converted(given)

    def _converted(self, given: Mapping[str, str]) -> dict[str, Any]:
        values = {}
        errors = {}
        for name, text in given.items():
            converter = self._converter(name)
            if converter is None:
                values[name] = text
                continue
            try:
                values[name] = converter(text)
            except _Refused as refused:
                errors[name] = refused.reason
        if errors:
            raise ParameterError(errors, given)
        return values

    def _converter(self, name: str) -> _Converter | None:
        if name not in self._converters:
            parameter = self._parameters.get(name, self._others)
            assert parameter is not None
            self._converters[name] = _converter_for(self._evaluated(parameter))
        return self._converters[name]

    def _evaluated(self, parameter: inspect.Parameter) -> Any:
        """Return the annotation of a parameter; of those that need none, none is looked at."""
        annotation = parameter.annotation
        try:
            if isinstance(annotation, str):
                # Not typing.get_type_hints(): for that a field like Integer(minimum=0) is no type.
                return eval(annotation, _globals(self._view))
            # What Python 3.14 leaves of an annotation whose names did not exist when the view was registered.
            evaluate = getattr(annotation, "evaluate", None)
            return annotation if evaluate is None else evaluate()
        except Exception as exc:
            raise RouteDeclarationError(
                f"the annotation {annotation!r} of parameter '{parameter.name}' of the view '{self._name}' cannot be "
                f"evaluated ({exc}): import what it names at run time, and define it in the module, not in a function"
            ) from exc


class _Refused(Exception):
    """A value that is not what the annotation says."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def view_name(view: Callable[..., Any]) -> str:
    """Return what a view is called in messages."""
    name = getattr(_function(view), "__name__", None)
    return name if isinstance(name, str) else repr(view)


def _function(view: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(view, functools.partial):
        view = view.func
    unwrapped: Callable[..., Any] = inspect.unwrap(view)
    return unwrapped


def _globals(view: Callable[..., Any]) -> dict[str, Any]:
    found = getattr(_function(view), "__globals__", {})
    assert isinstance(found, dict)
    return found


def _signature(view: Callable[..., Any]) -> inspect.Signature:
    if sys.version_info >= (3, 14):
        import annotationlib

        # The other annotations, like one imported for type checkers only, need not exist at all.
        return inspect.signature(view, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(view)


def _converter_for(annotation: Any) -> _Converter | None:
    """Return what converts text to what an annotation says; None if that is the text itself."""
    if annotation in (inspect.Parameter.empty, str, Any, object):
        return None
    if callable(getattr(annotation, "validate", None)) and not isinstance(annotation, type):
        return functools.partial(_validate_field, annotation)
    try:
        adapter = TypeAdapter(_widened(annotation))
    except PydanticUserError:
        # A class that pydantic knows nothing of: for Bocadillo, too, such an annotation says nothing.
        return None
    return functools.partial(_validate, adapter)


def _validate(adapter: TypeAdapter[Any], text: str) -> Any:
    try:
        return adapter.validate_python(text)
    except ValidationError as exc:
        raise _Refused("; ".join(_sentence(error["msg"]) for error in exc.errors(include_url=False))) from exc


def _validate_field(field: Any, text: str) -> Any:
    try:
        return field.validate(text)
    except Exception as exc:
        # Which exception says so is known to the library of the field alone.
        raise _Refused(f"is not valid: {exc}") from exc


def _sentence(message: str) -> str:
    return message if message.startswith("is ") else f"is not valid: {message}"


def _widened(annotation: Any) -> Any:
    """Return the annotation with the types in it replaced whose notations are wider than pydantic's."""
    if isinstance(annotation, type) and annotation in _WIDE:
        return _WIDE[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(_widened(arguments[0]), *arguments[1:])]
    if origin in (Union, types.UnionType):
        return functools.reduce(operator.or_, (_widened(each) for each in arguments))
    return annotation


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise PydanticCustomError("number", "is not a number") from None
    # Before anything is made of it: an int of 1e999999999 would have that many digits.
    if not math.isfinite(number):
        raise PydanticCustomError("finite", "is not a finite number")
    return number


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise PydanticCustomError("boolean", "is not one of true, on, 1, false, off, 0") from None


def _parts(pattern: re.Pattern[str], text: str, what: str) -> dict[str, str]:
    found = pattern.fullmatch(text.strip())
    if found is None:
        raise PydanticCustomError("format", "is not a {what}", {"what": what})
    return {name: value for name, value in found.groupdict().items() if value is not None}


def _date_of(parts: Mapping[str, str]) -> str:
    return f"{parts['year']}-{parts['month']:0>2}-{parts['day']:0>2}"


def _time_of(parts: Mapping[str, str]) -> str:
    second, fraction = parts.get("second", "0"), parts.get("fraction", "0")
    return f"{parts['hour']:0>2}:{parts['minute']:0>2}:{second:0>2}.{fraction[:6]:0<6}"


def _date(text: str) -> date:
    iso = _date_of(_parts(_DATE_ONLY, text, "date like 2019-01-31"))
    return _existing(date.fromisoformat, iso)


def _time(text: str) -> time:
    iso = _time_of(_parts(_TIME_ONLY, text, "time like 09:30 or 09:30:15.25"))
    return _existing(time.fromisoformat, iso)


def _datetime(text: str) -> datetime:
    parts = _parts(_DATE_AND_TIME, text, "date and time like 2019-01-31T09:30:15+01:00")
    return _existing(datetime.fromisoformat, f"{_date_of(parts)}T{_time_of(parts)}{parts.get('zone', '')}")


def _existing(parse: Callable[[str], _T], iso: str) -> _T:
    try:
        return parse(iso)
    except ValueError as exc:
        raise PydanticCustomError("calendar", "is not in the calendar: {why}", {"why": str(exc)}) from None


_WIDE: dict[type, Any] = {
    int: Annotated[int, BeforeValidator(lambda text: int(_number(text)))],
    float: Annotated[float, BeforeValidator(lambda text: float(_number(text)))],
    Decimal: Annotated[Decimal, BeforeValidator(_number)],
    bool: Annotated[bool, BeforeValidator(_boolean)],
    date: Annotated[date, BeforeValidator(_date)],
    time: Annotated[time, BeforeValidator(_time)],
    datetime: Annotated[datetime, BeforeValidator(_datetime)],
}
