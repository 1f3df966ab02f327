"""A display that remembers what it was told."""

from __future__ import annotations


class Recording:
    """States of parts, lines and texts, in order."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []
        self.lines: list[tuple[str, str]] = []
        self.said: list[str] = []

    def part(self, name: str, state: str) -> None:
        self.states.append((name, state))

    def heard(self, name: str, line: str) -> None:
        self.lines.append((name, line))

    def downloaded(self, arrived_bytes: int, total_bytes: int) -> None:
        pass

    def say(self, text: str) -> None:
        self.said.append(text)

    def ready(self, url: str) -> None:
        pass
