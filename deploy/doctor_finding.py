"""One thing that was looked at, how it is, and what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple

Verdict = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    """A line of `fswire doctor`; `todo` is empty where nothing is to be done."""

    check: str
    verdict: Verdict
    said: str
    todo: str = ""
