"""Reads one field after the other by its rule, and collects what is wrong with all of them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from api.errors import Detail, FieldsRefused

_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")

T = TypeVar("T")


class Fields:
    """Fields by name, as a client gave them. A rule returns a value's one spelling, or raises ValueError."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._details: list[Detail] = []

    def required(self, name: str, rule: Callable[[Any], T], otherwise: T) -> T:
        """Return a field that must be there; `otherwise` stands for it until `check` raises."""
        if self._given.get(name) is None:
            self.refuse(name, "is required")
        value = self.optional(name, rule)
        return otherwise if value is None else value

    def optional(self, name: str, rule: Callable[[Any], T]) -> T | None:
        """Return a field that may be missing or null."""
        value = self._given.get(name)
        if value is None:
            return None
        try:
            return rule(value)
        except ValueError as error:
            self.refuse(name, str(error))
            return None

    def refuse(self, name: str, message: str) -> None:
        """Note that a field breaks a rule."""
        self._details.append(Detail(name, message))

    def check(self) -> None:
        """Raise FieldsRefused, with every bad field, if there was one."""
        if self._details:
            raise FieldsRefused(self._details)


def text(value: Any) -> str:
    """Rule: a string."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def sized_text(least: int, most: int) -> Callable[[Any], str]:
    """Return the rule: a string of so many characters."""

    def rule(value: Any) -> str:
        if not least <= len(text(value)) <= most:
            raise ValueError(f"must have {least} to {most} characters")
        return str(value)

    return rule


def sha256(value: Any) -> str:
    """Rule: 64 hex digits, in lower case."""
    if not _SHA256.fullmatch(text(value)):
        raise ValueError("must be 64 hex digits")
    return str(value).lower()
