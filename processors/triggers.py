"""Which workflows an event triggers; pure but for the registry's view, of which it keeps a compiled form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

import structlog

from agent.event import Event
from agent.patterns import Patterns
from processors import donutwork, files
from processors.workflow import Workflow

_ASKED_FOR = frozenset(("gap", "gap_closed"))
"""Events that only a trigger which names them counts."""
_log = structlog.get_logger()


class Trigger(NamedTuple):
    """A workflow in the form in which events are held against it."""

    workflow: str
    event: str | None
    kinds: frozenset[str]
    include: Patterns | None
    exclude: Patterns | None
    min_bytes: int
    max_bytes: int | None
    uids: frozenset[int]

    def fires(self, name: str, event: Event) -> bool:
        """Tell whether an event, called `name` in history, triggers it."""
        if self.event != name if self.event else name in _ASKED_FOR:
            return False
        if self.kinds and name not in self.kinds:
            return False
        return self._by_size(donutwork.filesize(event)) and self._by_user(event) and self._by_path(event)

    def _by_size(self, size: int) -> bool:
        return size >= self.min_bytes and (self.max_bytes is None or size <= self.max_bytes)

    def _by_user(self, event: Event) -> bool:
        return not self.uids or (event.actor is not None and event.actor.uid in self.uids)

    def _by_path(self, event: Event) -> bool:
        if self.include is None and self.exclude is None:
            return True
        is_dir = bool(event.is_dir)
        return any(
            (self.include is None or self.include.verdict(path, is_dir=is_dir) is True)
            and not (self.exclude is not None and self.exclude.verdict(path, is_dir=is_dir))
            for path in files.names(event)
        )


class Triggers:
    """The workflows of every project, as the registry's view has them now."""

    def __init__(self, workflows: Mapping[str, Workflow]) -> None:
        self._workflows = workflows
        self._compiled: dict[str, tuple[Trigger, ...]] = {}
        self._known: tuple[Workflow, ...] = ()
        self._usable: list[tuple[str, Trigger]] = []
        """The projects, or the pattern of them, that each is for."""

    def of(self, project: str) -> tuple[Trigger, ...]:
        """Return the triggers of a project; none: most projects have none."""
        if not self._workflows and not self._known:
            return ()
        known = tuple(self._workflows.values())
        if known != self._known:
            self._known, self._compiled = known, {}
            self._usable = [(each.project, usable) for each in known if (usable := _usable(each)) is not None]
        if project not in self._compiled:
            self._compiled[project] = tuple(
                trigger for pattern, trigger in self._usable if fnmatchcase(project, pattern)
            )
        return self._compiled[project]


def _usable(workflow: Workflow) -> Trigger | None:
    """Return a workflow's trigger; None for one that cannot be used: no workflow may stop the partition."""
    try:
        return _compiled(workflow)
    except (ValueError, re.error) as error:
        _log.error("a workflow cannot be used: apply it anew", workflow=workflow.name, error=str(error))
        return None


def _compiled(workflow: Workflow) -> Trigger:
    return Trigger(
        workflow.name,
        workflow.event,
        frozenset(workflow.kinds),
        Patterns(workflow.include) if workflow.include else None,
        Patterns(workflow.exclude) if workflow.exclude else None,
        workflow.min_bytes,
        workflow.max_bytes,
        frozenset(workflow.uids),
    )
