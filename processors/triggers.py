"""Which workflows an event triggers; pure but for the registry's view, of which it keeps a compiled form."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from pathspec import GitIgnoreSpec

from agent.event import Event
from processors.workflow import Workflow

_ASKED_FOR = frozenset(("gap", "gap_closed"))
"""Events that only a trigger which names them counts."""


class Trigger(NamedTuple):
    """A workflow in the form in which events are held against it."""

    workflow: str
    event: str | None
    kinds: frozenset[str]
    include: GitIgnoreSpec | None
    exclude: GitIgnoreSpec | None
    min_bytes: int
    max_bytes: int | None
    uids: frozenset[int]

    def fires(self, name: str, event: Event) -> bool:
        """Tell whether an event, called `name` in history, triggers it."""
        if self.event != name if self.event else name in _ASKED_FOR:
            return False
        if self.kinds and name not in self.kinds:
            return False
        return self._by_size(event.size or 0) and self._by_user(event) and self._by_path(event)

    def _by_size(self, size: int) -> bool:
        return size >= self.min_bytes and (self.max_bytes is None or size <= self.max_bytes)

    def _by_user(self, event: Event) -> bool:
        return not self.uids or (event.actor is not None and event.actor.uid in self.uids)

    def _by_path(self, event: Event) -> bool:
        paths = [path for path in (event.path, event.renamed_to) if path is not None]
        return any(
            (self.include is None or self.include.match_file(path))
            and not (self.exclude is not None and self.exclude.match_file(path))
            for path in paths
        )


class Triggers:
    """The workflows of every project, as the registry's view has them now."""

    def __init__(self, workflows: Mapping[str, Workflow]) -> None:
        self._workflows = workflows
        self._compiled: dict[str, tuple[Trigger, ...]] = {}
        self._known: tuple[Workflow, ...] = ()

    def of(self, project: str) -> tuple[Trigger, ...]:
        """Return the triggers of a project; none: most projects have none."""
        if not self._workflows and not self._known:
            return ()
        known = tuple(self._workflows.values())
        if known != self._known:
            self._known, self._compiled = known, {}
        if project not in self._compiled:
            self._compiled[project] = tuple(
                _compiled(each) for each in known if fnmatchcase(project, each.project)
            )
        return self._compiled[project]


def _compiled(workflow: Workflow) -> Trigger:
    return Trigger(
        workflow.name,
        workflow.event,
        frozenset(workflow.kinds),
        GitIgnoreSpec.from_lines(workflow.include) if workflow.include else None,
        GitIgnoreSpec.from_lines(workflow.exclude) if workflow.exclude else None,
        workflow.min_bytes,
        workflow.max_bytes,
        frozenset(workflow.uids),
    )
