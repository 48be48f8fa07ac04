"""Walk protobuf messages by length, copying nothing and trusting no size that they claim; and write some."""

import struct
from collections.abc import Iterable, Iterator

_TEXT_BYTES = 1 << 20
_MOST_NUMBERS = 20_000
"""Largest length of a list."""
Field = int | memoryview
Message = dict[int, list[Field]]
Written = int | bytes | memoryview
"""A value to write: a number, or a text, list or message by its bytes."""


class DamagedError(Exception):
    """A message is not protobuf, or does not hold what it should."""


def fields_of(view: memoryview) -> Iterator[tuple[int, Field]]:
    """Yield (number, value) of a protobuf message: varints as int, everything else as bytes."""
    position, end = 0, len(view)
    while position < end:
        tag, position = _varint(view, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(view, position)
            yield tag >> 3, value
            continue
        if kind == 2:
            length, position = _varint(view, position)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise DamagedError("it is not in the format of ONNX")
        if length > end - position:
            raise DamagedError("it ends too early")
        yield tag >> 3, view[position : position + length]
        position += length


def _varint(view: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            raise DamagedError("it ends too early")
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, position
    raise DamagedError("it is not in the format of ONNX")


def views(fields: list[Field]) -> list[memoryview]:
    """Return messages or bytes; raises DamagedError if one is a number."""
    if not all(isinstance(field, memoryview) for field in fields):
        raise DamagedError("it is not in the format of ONNX")
    return fields  # type: ignore[return-value]


def only(message: Message, number: int, what: str) -> memoryview:
    """Return the only message in a field; some readers would merge a second one with it."""
    found = views(message[number])
    if len(found) != 1:
        raise DamagedError(f"it has {len(found) or 'no'} {what}{'s' if found else ''} instead of one")
    return found[0]


def text(message: Message, number: int) -> str:
    """Return the text in a field, the last one of several, as in protobuf; empty if there is none."""
    found = views(message[number])
    return text_of(found[-1]) if found else ""


def text_of(view: memoryview) -> str:
    """Return a name; raises DamagedError if it is too long, and UnicodeDecodeError."""
    if len(view) > _TEXT_BYTES:
        raise DamagedError("a name in it has over a million characters")
    return str(view, "utf-8")


def integers(fields: list[Field]) -> tuple[int, ...]:
    """Return signed integers, packed or in fields of their own."""
    numbers: list[int] = []
    for field in fields:
        if isinstance(field, int):
            numbers.append(field)
            continue
        position = 0
        while position < len(field):
            number, position = _varint(field, position)
            numbers.append(number)
            if len(numbers) > _MOST_NUMBERS:
                raise DamagedError("a list in it is too long")
    return tuple(number - (1 << 64) if number >> 63 else number for number in numbers)


def floats(fields: list[Field]) -> tuple[float, ...]:
    """Return 32-bit floats, packed or in fields of their own."""
    content = b"".join(views(fields))
    return struct.unpack(f"<{len(content) // 4}f", content)


def message_of(fields: Iterable[tuple[int, Written]]) -> bytes:
    """Return the message with these fields, by number."""
    parts: list[bytes | memoryview] = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [_varint_of(number << 3), _varint_of(value & (1 << 64) - 1)]
        else:
            parts += [_varint_of(number << 3 | 2), _varint_of(len(value)), value]
    return b"".join(parts)


def _varint_of(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
