"""Takes the JSON values out of a stream of bytes: a value may span lines, and a line may hold several; pure.

What is no JSON becomes `Garbled`, and the next line begins anew: a broken message costs no other.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

MAX_VALUE_BYTES = 1024 * 1024
"""Of one value; a request needs a path and a few words."""
_BLOCK_BYTES = 64 * 1024
"""Read at a time: what is left of a block is copied after each of its values."""
_ENDS = re.compile(r"[\]}\n]")
"""Without one of these nothing that can be a request is complete."""
_BEGINS_ANEW = re.compile(r"^[{\[]", re.MULTILINE)
"""What follows a broken value of several lines; its own other lines are indented, or close something."""
_BEGUN = ("true", "false", "null", "-", ".", "e+", "e-", "E+", "E-", "\\")


class Garbled(NamedTuple):
    """What could not be read; `text` is as much of it as there was."""

    text: str
    why: str


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_decode = json.JSONDecoder(parse_constant=_refuse).raw_decode


class Values:
    """The values of one connection."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._text = ""
        self._skipping: re.Pattern[str] | None = None
        """After a refusal: what the next value is to begin after."""

    def feed(self, data: bytes) -> Iterator[object]:
        """Yield what is complete with these bytes: values, and `Garbled` for what is none."""
        for start in range(0, len(data), _BLOCK_BYTES):
            yield from self._feed(data[start : start + _BLOCK_BYTES])

    def finish(self) -> Iterator[object]:
        """Yield what is left at the end of the stream, or of a message."""
        self._text += self._decoder.decode(b"", final=True)
        yield from self._complete(final=True)
        self._text, self._skipping = "", None

    def _feed(self, data: bytes) -> Iterator[object]:
        text = self._decoder.decode(data)
        self._text += text
        if _ENDS.search(text) or len(data) == _BLOCK_BYTES:
            yield from self._complete(final=False)
        elif self._skipping is not None:
            self._begin()
        if len(self._text) > MAX_VALUE_BYTES:
            yield self._drop(len(self._text), f"a value has at most {MAX_VALUE_BYTES} bytes")

    def _complete(self, *, final: bool) -> Iterator[object]:
        while self._begin():
            try:
                value, end = _decode(self._text)
            except json.JSONDecodeError as error:
                if not final and _may_go_on(error):
                    return
                yield self._drop(error.pos, str(error))
            except (ValueError, RecursionError) as error:
                yield self._drop(0, str(error))
            else:
                if end == len(self._text) and not final and not isinstance(value, dict | list | str):
                    return  # a number may have more digits
                taken, self._text = self._text[:end], self._text[end:]
                yield value if _is_unicode(value) else Garbled(taken, "it is no Unicode text")

    def _begin(self) -> bool:
        """Drop what stands before the next value; False: there is none."""
        if self._skipping is not None:
            found = self._skipping.search(self._text)
            if found is None:
                self._text = (
                    "\n" if self._text.endswith("\n") else "."
                )  # all that matters is where a line begins
                return False
            self._text, self._skipping = self._text[found.start() :], None
        self._text = self._text.lstrip(" \t\r\n")
        return bool(self._text)

    def _drop(self, position: int, why: str) -> Garbled:
        """Drop the value that is wrong at a position, with the rest of its line or lines."""
        spans_lines = "\n" in self._text[:position]
        end = self._text.find("\n", position)
        end = len(self._text) if end < 0 else end
        dropped, self._text = self._text[:end], self._text[end:]
        self._skipping = _BEGINS_ANEW if spans_lines else _NEWLINE
        return Garbled(dropped, why)


_NEWLINE = re.compile(r"\n")


def _may_go_on(error: json.JSONDecodeError) -> bool:
    """Tell whether there is nothing wrong but that the text ends."""
    rest = error.doc[error.pos :].lstrip()
    if error.msg.startswith("Unterminated string"):
        return True
    if error.msg.startswith("Invalid \\"):
        return len(rest) < 6 and "\n" not in error.doc[error.pos :]
    return not rest or any(word.startswith(rest) for word in _BEGUN)


def _is_unicode(value: object) -> bool:
    """Tell whether no text in a value has half a surrogate pair, or bytes that were no UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError):
        return False
    return True
