"""Patterns in gitignore's language, compiled by pathspec, and matched against paths that are bytes.

A path need not be UTF-8: a byte that is none matches as one character. No pattern can hold a line's end, so
that of a path is matched as a character too, which `$` and `.` of a regular expression would not do.
"""

from __future__ import annotations

import functools
import os
import re
import warnings
from collections.abc import Iterable

from pathspec import GitIgnoreSpec

_GROUP_NAME = re.compile(r"\(\?P<\w+>")
_LINE_END = "\udc0a"
"""Stands for a line's end; `surrogateescape` itself uses U+DC80 to U+DCFF only."""


class PatternRefused(ValueError):
    """A pattern that says nothing; the message names it."""


class Patterns:
    """A list of patterns, the last that matches decides."""

    def __init__(self, patterns: Iterable[str]) -> None:
        # pathspec would take re2 where that is installed, which knows no bytes that are no UTF-8
        self._spec = GitIgnoreSpec.from_lines(patterns, backend="simple")
        self._any = _union(pattern.regex.pattern for pattern in self._spec.patterns if pattern.regex)

    def verdict(self, path: bytes, *, is_dir: bool) -> bool | None:
        """Tell whether a relative path matches; None: no pattern speaks of it."""
        text = _text(path) + "/" if is_dir else _text(path)
        return self._spec.check_file(text).include if self._any.search(text) else None


def _union(patterns: Iterable[str]) -> re.Pattern[str]:
    """Return an expression that finds whatever any of them finds: a third of the time for what none does."""
    return re.compile("|".join(_GROUP_NAME.sub("(?:", pattern) for pattern in patterns))


def checked(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Return patterns that can be used; raises PatternRefused."""
    for pattern in patterns:
        check(pattern)
    return patterns


@functools.lru_cache(maxsize=1024)
def check(pattern: str) -> None:
    """Raise PatternRefused for what gitignore's language has no meaning for; comments and blanks are fine."""
    if "\n" in pattern:
        raise PatternRefused(f"pattern {pattern!r} has more than one line")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # `[[:alpha:]]`: a class that pathspec does not know
            compiled = list(GitIgnoreSpec.from_lines([pattern]).patterns)
    except (ValueError, re.error, Warning) as error:
        raise PatternRefused(f"pattern {pattern!r} does not parse: {error}") from error
    is_comment = not pattern.strip() or pattern.startswith("#")
    if not is_comment and all(each.include is None for each in compiled):
        raise PatternRefused(f"pattern {pattern!r} matches nothing")


def depends_on_place(patterns: Iterable[str]) -> bool:
    """Tell whether any pattern asks for more than a name: a directory's rename may change what matches."""
    return any("/" in pattern.strip().rstrip("/") for pattern in patterns)


def _text(path: bytes) -> str:
    text = os.fsdecode(path)
    return text.replace("\n", _LINE_END) if "\n" in text else text
