"""Validation of arguments: each function returns the stored form of a value, or raises `InvalidRequest`."""

from __future__ import annotations

import json
import json.encoder
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from jobstate.domain.errors import InvalidRequest

Value = TypeVar("Value")
Json = None | bool | int | float | str | list[Any] | dict[str, Any]

MAX_TEXT: Final = 255
MAX_REASON: Final = 4096
MAX_DEPTH: Final = 100
MAX_LABELS: Final = 64
MAX_ID: Final = 2**63 - 1
DEFAULT_DESCRIPTOR_LIMIT: Final = 1024 * 1024

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_LEAVES: Final = frozenset({str, int, bool, type(None)})
_NAMES: Final = frozenset({str})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)
_LONGEST: Final = timedelta.max.total_seconds()


def text(field: str, value: object, longest: int = MAX_TEXT, *, empty: bool = False) -> str:
    """A printable one-line text of 1..`longest` characters (0.. where `empty` is allowed)."""
    if not isinstance(value, str):
        raise InvalidRequest(field, f"must be text, not {type(value).__name__}")
    if not value and not empty:
        raise InvalidRequest(field, "must not be empty")
    if len(value) > longest:
        raise InvalidRequest(field, f"must have at most {longest} characters, not {len(value)}")
    if not value.isprintable():
        raise InvalidRequest(field, "must be printable text on one line")
    return value


def kinds(values: Iterable[str] | None) -> list[str] | None:
    """The kinds that a worker takes, each once; None for any."""
    if values is None:
        return None
    chosen: dict[str, None] = {}
    if type(values) is list or (isinstance(values, Iterable) and not isinstance(values, str)):
        for kind in values:  # a loop: every claim pays for it, and a comprehension costs a call
            chosen[text("kinds", kind)] = None
    if not chosen:
        raise InvalidRequest("kinds", "must be a list of at least one kind, or None for any")
    return list(chosen)


def several(field: str, values: object, what: str) -> list[Any]:
    """A list, a tuple or any other iterable."""
    if not isinstance(values, Iterable):
        raise InvalidRequest(field, f"must be a list of {what}, not {values!r}")
    return list(values)


def instance(field: str, value: object, kind: type[Value]) -> Value:
    """A value of that type."""
    if not isinstance(value, kind):
        raise InvalidRequest(field, f"must be a {kind.__name__}, not {value!r}")
    return value


def callback(field: str, value: object) -> None:
    """Something to call, or None."""
    if value is not None and not callable(value):
        raise InvalidRequest(field, f"must be a function, or None, not {value!r}")


def flag(field: str, value: object) -> bool | None:
    """True, False, or None for either."""
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(field, f"must be True, False or None, not {value!r}")
    return value


def reason(value: object) -> str | None:
    """Why something is done: free text of up to 4096 characters, shortened beyond that, or None."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRequest("reason", f"must be text, not {type(value).__name__}")
    return storable(value, MAX_REASON) or None


def message(field: str, value: object) -> str:
    """What went wrong, in words: any text that is not empty."""
    if not isinstance(value, str) or not value:
        raise InvalidRequest(field, f"must be a text that says what went wrong, or an exception, not {value!r}")
    return value


def storable(value: str, longest: int) -> str:
    """`value` as any database can store it: NUL and lone surrogates replaced, cut to `longest` with a mark."""
    clean = value.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def integer(field: str, value: object, low: int, high: int) -> int:
    """An integer in `low`..`high`; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRequest(field, f"must be an integer, not {value!r}")
    if not low <= value <= high:
        raise InvalidRequest(field, f"must be in {low}..{high}, not {_shown(value)}")
    return value


def seconds_of(field: str, value: object) -> float:
    """A duration, in seconds or as a timedelta, >= 0, as seconds."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(field, f"must be seconds or a timedelta, not {value!r}")
    if not 0 <= value <= _LONGEST:  # NaN is not in there either
        raise InvalidRequest(field, f"must be a duration >= 0, not {_shown(value)}")
    return float(value)


def duration_us(field: str, value: object, *, positive: bool = False) -> int:
    """A duration, in seconds or as a timedelta, as microseconds; > 0 where `positive`."""
    stored = round(seconds_of(field, value) * 1_000_000)
    if positive and stored == 0:
        raise InvalidRequest(field, "must be greater than 0")
    return min(stored, MAX_ID // 4)


def instant_us(field: str, value: object) -> int:
    """An aware datetime as microseconds since 1970 UTC; naive ones are refused, as they name no instant."""
    if not isinstance(value, datetime):
        raise InvalidRequest(field, f"must be a datetime with a time zone, not {value!r}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidRequest(field, "must have a time zone, for example datetime.now(timezone.utc)")
    return (value - _EPOCH) // _MICROSECOND


def instant_or_none(stored_us: int | None) -> datetime | None:
    """As `instant`, for what may be absent."""
    return None if stored_us is None else instant(stored_us)


def instant(stored_us: int) -> datetime:
    """The stored microseconds as an aware datetime in UTC; outside the years 1..9999, the nearest one there is."""
    try:
        return _EPOCH + stored_us * _MICROSECOND
    except OverflowError:
        return _LATEST if stored_us > 0 else _EARLIEST


def json_text(field: str, value: object, limit: int) -> str:
    """`value` as JSON text that every JSON reader and every database takes.

    Refused, with the place named: values outside JSON (NaN, sets, keys that are not text), NUL and lone surrogates
    in text, more than 100 levels, more than `limit` bytes of UTF-8.
    """
    plain = _is_plain(value, 1)
    if not plain:
        _check_json(field, value)
    try:
        stored = _encoded(value)
    except ValueError as error:  # Python refuses to write integers of thousands of digits
        raise InvalidRequest(field, f"cannot be written as JSON: {error}") from error
    ascii_only = stored.isascii()
    if plain and not (ascii_only and "\\u0000" not in stored):
        _check_json(field, value)
    if len(stored) > limit or (not ascii_only and len(stored.encode()) > limit):
        raise InvalidRequest(
            field, f"must be at most {limit} bytes of JSON; keep large data elsewhere and name it here"
        )
    return stored


def json_object(field: str, value: object, limit: int) -> str:
    """A mapping as JSON text; see `json_text`."""
    if value is None or value == {}:
        return "{}"
    if type(value) is dict:
        return json_text(field, value, limit)
    if not isinstance(value, Mapping):
        raise InvalidRequest(field, f"must be a JSON object (a dict), not {type(value).__name__}")
    return json_text(field, dict(value), limit)


def labels_text(value: object) -> str:
    """Labels as JSON text: at most 64 texts by name."""
    if not value:
        return "{}"
    if not isinstance(value, Mapping) or len(value) > MAX_LABELS:
        raise InvalidRequest("labels", f"must be a dict of at most {MAX_LABELS} texts")
    checked = {text("labels", name): text(f"labels.{name}", label, empty=True) for name, label in value.items()}
    return json.dumps(checked, ensure_ascii=False, separators=(",", ":"))


def canonical(value: Json) -> str:
    """The same text for equal JSON values: keys sorted, no white space, 1.0 written as 1."""
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _plain(value: Json) -> Json:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return value


def _is_plain(value: object, depth: int) -> bool:
    """Whether a quick check shows a JSON value, texts aside; true for nearly every descriptor."""
    kind = type(value)
    if kind in _LEAVES:
        return True
    if depth > MAX_DEPTH:
        return False
    if kind is dict:
        within: Collection[object] = value.values()  # type: ignore[attr-defined]
        if not _NAMES.issuperset(map(type, value)):  # type: ignore[call-overload]
            return False
    elif kind is list:
        within = value  # type: ignore[assignment]
    else:
        return False
    return _LEAVES.issuperset(map(type, within)) or all(_is_plain(inner, depth + 1) for inner in within)


def _check_json(field: str, value: object) -> None:
    level: list[tuple[str, object]] = [(field, value)]
    depth = 0
    while level:
        depth += 1
        deeper: list[tuple[str, object]] = []
        for place, entry in level:
            if depth > MAX_DEPTH and isinstance(entry, dict | list | tuple):
                raise InvalidRequest(field, f"must not be nested deeper than {MAX_DEPTH} levels")
            if isinstance(entry, str):
                _check_string(place, entry)
            elif isinstance(entry, dict):
                for name, inner in entry.items():
                    if not isinstance(name, str):
                        raise InvalidRequest(place, f"must have text as keys, not {name!r}")
                    _check_string(place, name)
                    deeper.append((f"{place}.{name}", inner))
            elif isinstance(entry, list | tuple):
                deeper.extend((f"{place}[{number}]", inner) for number, inner in enumerate(entry))
            elif isinstance(entry, float) and not math.isfinite(entry):
                raise InvalidRequest(place, "must be a finite number; JSON has no NaN or infinity")
            elif entry is not None and not isinstance(entry, int | float):
                kind = type(entry).__name__
                raise InvalidRequest(place, f"must be JSON (dict, list, text, number, bool, None), not {kind}")
        level = deeper


def _prepared() -> Callable[[object], str]:
    """`_ENCODER.encode`, without what it sets up anew at every call; as it is, where Python keeps its parts elsewhere.

    It does not watch for lists within themselves: those are refused before.
    """
    parts: Any = json.encoder
    try:
        write = parts.c_make_encoder(
            None, _ENCODER.default, parts.encode_basestring, None, _ENCODER.key_separator, _ENCODER.item_separator,
            _ENCODER.sort_keys, _ENCODER.skipkeys, _ENCODER.allow_nan,
        )  # fmt: skip
        if "".join(write({"a": [1]}, 0)) != _ENCODER.encode({"a": [1]}):
            return _ENCODER.encode
    except (AttributeError, TypeError):
        return _ENCODER.encode
    join = "".join
    return lambda value: join(write(value, 0))


_encoded: Final = _prepared()


def _shown(value: float) -> str:
    """The number, unless it has more digits than anyone wants to see."""
    return repr(value) if abs(value) < 10**30 else "such a large number"


def _check_string(place: str, value: str) -> None:
    if value.isascii():
        if "\0" in value:
            raise InvalidRequest(place, "must not contain NUL")
        return
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(place, "must not contain lone surrogates") from None
    if "\0" in value:
        raise InvalidRequest(place, "must not contain NUL")
