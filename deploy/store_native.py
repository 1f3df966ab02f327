"""ClickHouse's Native blocks as a client of a later protocol revision reads them.

The engine writes Native for revision 0. A client that sends `client_protocol_version` expects a preamble
before each block and, from 54454 on, a byte after each column's type. To place those bytes the columns are
measured: their length follows from type, row count and the lengths within.
"""

from __future__ import annotations

import re
import struct

from deploy import store_errors as errors
from deploy.store_errors import StoreError

_WITH_CUSTOM_SERIALIZATION = 54454
_PREAMBLE = b"\x01\x00\x02\xff\xff\xff\xff\x00"
"""BlockInfo: field 1 `is_overflows` false, field 2 `bucket_num` -1, end."""

_WIDTHS = {
    **dict.fromkeys(("Int8", "UInt8", "Bool", "Enum8", "Nothing"), 1),
    **dict.fromkeys(("Int16", "UInt16", "Enum16", "Date", "BFloat16"), 2),
    **dict.fromkeys(("Int32", "UInt32", "Float32", "Date32", "DateTime", "IPv4", "Decimal32", "Time"), 4),
    **dict.fromkeys(("Int64", "UInt64", "Float64", "DateTime64", "Decimal64", "Time64"), 8),
    **dict.fromkeys(("Int128", "UInt128", "UUID", "IPv6", "Decimal128"), 16),
    **dict.fromkeys(("Int256", "UInt256", "Decimal256"), 32),
}
_GEO = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "MultiLineString": "Array(LineString)",
    "Polygon": "Array(Ring)",
    "MultiPolygon": "Array(Polygon)",
}
_U64 = struct.Struct("<Q")
_NAMED = re.compile(r"(?:`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*) +(?=\S)")


def to_revision(blocks: bytes, revision: int) -> bytes:
    """Return whole blocks as a client of that revision reads them. StoreError for a type unknown here."""
    out, at = [], 0
    custom = revision >= _WITH_CUSTOM_SERIALIZATION
    while at < len(blocks):
        start = at
        columns, at = _varint(blocks, at)
        rows, at = _varint(blocks, at)
        out += [_PREAMBLE, blocks[start:at]]
        for _ in range(columns):
            start = at
            at = _text(blocks, at)[1]
            type_name, at = _text(blocks, at)
            out += [blocks[start:at], b"\0" if custom else b""]
            start = at
            if rows:
                at = _data(blocks, _prefixes(blocks, at, type_name), type_name, rows)
            out.append(blocks[start:at])
    return b"".join(out)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _text(data: bytes, at: int) -> tuple[str, int]:
    length, at = _varint(data, at)
    return data[at : at + length].decode(), at + length


def _parse(type_name: str) -> tuple[str, list[str]]:
    """Split `Name(a, b)` into the name and its arguments; the names of tuple fields are left out."""
    name, bracket, rest = type_name.partition("(")
    if not bracket:
        return name, []
    arguments, depth, quote, start = [], 0, "", 0
    inner = rest[:-1]
    escaped = False
    for index, char in enumerate(inner):
        if quote:
            quote = "" if char == quote and not escaped else quote
            escaped = char == "\\" and not escaped
        elif char in "'`":
            quote = char
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char == "," and depth == 0:
            arguments.append(inner[start:index].strip())
            start = index + 1
    return name, [*arguments, inner[start:].strip()]


def _fields(arguments: list[str]) -> list[str]:
    return [_NAMED.sub("", field, count=1) if _NAMED.match(field) else field for field in arguments]


def _prefixes(data: bytes, at: int, type_name: str) -> int:
    """Skip what stands before the data: a version for every LowCardinality within the type."""
    name, arguments = _parse(type_name)
    if name in ("LowCardinality",):
        return at + 8
    if name in ("Array", "Nullable", "Map"):
        for argument in arguments:
            at = _prefixes(data, at, argument)
    elif name in ("Tuple", "Nested"):
        for field in _fields(arguments):
            at = _prefixes(data, at, field)
    elif name == "SimpleAggregateFunction":
        at = _prefixes(data, at, arguments[1])
    return at


def _data(data: bytes, at: int, type_name: str, rows: int) -> int:
    """Return where the data of a column end."""
    name, arguments = _parse(type_name)
    if name == "String":
        return _strings(data, at, rows)
    if name in _WIDTHS:
        return at + rows * _WIDTHS[name]
    if name == "Nullable":
        return _data(data, at + rows, arguments[0], rows)
    if name == "LowCardinality":
        return _low_cardinality(data, at, arguments[0], rows)
    if name in ("Array", "Map", "Nested"):
        end = at + 8 * rows
        values = _u64(data, end - 8) if rows else 0
        inner = arguments if name != "Nested" else _fields(arguments)
        return _columns(data, end, inner, values)
    if name == "Tuple":
        return _columns(data, at, _fields(arguments), rows) if arguments else at + rows
    return _rare(data, at, name, arguments, rows)


def _rare(data: bytes, at: int, name: str, arguments: list[str], rows: int) -> int:
    if name == "FixedString":
        return at + rows * int(arguments[0])
    if name == "Decimal":
        precision = int(arguments[0])
        return at + rows * next(
            width for limit, width in ((9, 4), (18, 8), (38, 16), (76, 32)) if precision <= limit
        )
    if name.startswith("Interval"):
        return at + rows * 8
    if name in _GEO:
        return _data(data, at, _GEO[name], rows)
    if name == "SimpleAggregateFunction":
        return _data(data, at, arguments[1], rows)
    raise StoreError(
        errors.NOT_IMPLEMENTED,
        f"A column of type {name} cannot be sent for client_protocol_version > 0; convert it, as by toString",
    )


def _columns(data: bytes, at: int, types: list[str], rows: int) -> int:
    for type_name in types:
        at = _data(data, at, type_name, rows) if rows else at
    return at


def _strings(data: bytes, at: int, rows: int) -> int:
    for _ in range(rows):
        length = data[at]
        at += 1
        if length >= 0x80:
            length, at = _varint(data, at - 1)
        at += length
    return at


def _low_cardinality(data: bytes, at: int, inner: str, rows: int) -> int:
    """Flags with the width of the indexes, the dictionary, the indexes (one dictionary to a block)."""
    width = 1 << (_u64(data, at) & 0xFF)
    name, arguments = _parse(inner)
    at = _data(data, at + 16, arguments[0] if name == "Nullable" else inner, _u64(data, at + 8))
    return at + 8 + rows * width


def _u64(data: bytes, at: int) -> int:
    value: int = _U64.unpack_from(data, at)[0]
    return value
