"""What new settings change about a running agent: which roots begin, end and go on; pure."""

from __future__ import annotations

from typing import NamedTuple

from agent.settings import AgentSettings, RootSettings

_FIXED = ("state_dir", "host", "backend", "actors", "journal_max_bytes", "listen", "heartbeat_s", "stdout")
"""Settings that hold from start to end: what uses them was made of them."""


class Plan(NamedTuple):
    """What is to be done, in this order."""

    settings: AgentSettings
    """The settings from now on: the new ones, but for `unchanged`."""
    unchanged: tuple[str, ...]
    """Settings that differ and need a restart of the agent."""
    ending: tuple[RootSettings, ...]
    going_on: tuple[RootSettings, ...]
    beginning: tuple[RootSettings, ...]


def plan(before: AgentSettings, after: AgentSettings) -> Plan:
    """Compare settings; a project whose directory is another one ends and begins."""
    unchanged = tuple(key for key in _FIXED if getattr(before, key) != getattr(after, key))
    settings = after.model_copy(update={key: getattr(before, key) for key in unchanged})
    old = {_key(root): root for root in before.named_roots()}
    new = {_key(root): root for root in settings.named_roots()}
    return Plan(
        settings,
        unchanged,
        tuple(root for key, root in old.items() if key not in new),
        tuple(root for key, root in new.items() if key in old),
        tuple(root for key, root in new.items() if key not in old),
    )


def _key(root: RootSettings) -> tuple[str, str]:
    return root.project, str(root.dir)
