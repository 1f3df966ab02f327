"""A workflow: what is done when something happens in a project. Kept in the registry, read from TOML."""

from __future__ import annotations

import re
import tomllib
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from agent import patterns
from agent.paths import is_project_id

_PREFIX, _SUFFIX = "DirectoryMonitor.", "notify"
_TOPIC = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]+")
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class WorkflowRefused(ValueError):
    """A workflow that cannot be used; the message names the key and what was expected."""


class Webhook(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Send the event by HTTP POST in the Standard Webhooks form (standardwebhooks.com)."""

    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^\s]+$", max_length=2048)]
    secret_env: str | None = None
    """Name of the variable of the runner's environment that holds the signing secret (`whsec_…`)."""


class ToTopic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Append the event to a topic of somebody else's."""

    topic: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,249}$")]


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Run a program on the runner's host, if its operator lists it; the event is its standard input."""

    argv: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    """The program and its arguments; never given to a shell."""


class Action(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a run does: exactly one of these."""

    webhook: Webhook | None = None
    topic: ToTopic | None = None
    command: Command | None = None

    @property
    def kind(self) -> str:
        """Return which it is."""
        return next(name for name in self.__struct_fields__ if getattr(self, name) is not None)


class Retry(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How often a run is tried and how long it waits in between; the wait doubles from `first_s`."""

    attempts: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5
    first_s: _Seconds = 1.0
    longest_s: _Seconds = 300.0


class Workflow(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What happens, to what, and what is done then."""

    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")]
    project: str
    """A project, or a pattern of projects (`etc-*`)."""
    trigger: str
    """`DirectoryMonitor.{project}.notify`, or `DirectoryMonitor.{project}.{event}.notify`."""
    action: Action
    include: tuple[str, ...] = ()
    """Patterns as in `.gitignore`: only what matches counts; none: everything."""
    exclude: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    """Names of events, as history shows them; none: all."""
    min_bytes: Annotated[int, msgspec.Meta(ge=0)] = 0
    max_bytes: int | None = None
    uids: tuple[int, ...] = ()
    """User ids of the process that did it; none: anybody."""
    retry: Retry = Retry()
    timeout_s: _Seconds = 30.0
    """For one attempt."""
    debounce_s: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 0.0
    """A run waits until its path has been quiet for this long; of several that wait the last runs."""
    concurrency: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 0
    """Runs under way at once, per partition; 0: as many as the runner's setting says."""
    created_ns: int = 0

    @property
    def event(self) -> str | None:
        """Return the event that the trigger names, None where any counts."""
        rest = self.trigger.removeprefix(f"{_PREFIX}{self.project}.")
        return None if rest == _SUFFIX else rest.removesuffix("." + _SUFFIX)

    def fired(self, project: str) -> str:
        """Return the trigger with a project in the place of the pattern that let it in."""
        return f"{_PREFIX}{project}{self.trigger.removeprefix(_PREFIX + self.project)}"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    workflow: list[Workflow]


def read(text: str, now_ns: int) -> list[Workflow]:
    """Return the workflows of a TOML file. Raises WorkflowRefused."""
    try:
        found = msgspec.convert(tomllib.loads(text), _File).workflow
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise WorkflowRefused(str(error)) from error
    names = [each.name for each in found]
    for each in found:
        check(each)
        if names.count(each.name) > 1:
            raise WorkflowRefused(f"name = {each.name!r}: two workflows have it")
    return [msgspec.structs.replace(each, created_ns=now_ns) for each in found]


def check(workflow: Workflow) -> None:
    """Raise WorkflowRefused for what the types alone do not say."""
    where = f"workflow {workflow.name!r}: "
    if not is_project_id(workflow.name):
        raise WorkflowRefused(f"{where}name: expected 1 to 128 letters, digits, `_`, `.`, `-`")
    if not is_project_id(workflow.project.replace("*", "x").replace("?", "x")):
        raise WorkflowRefused(f"{where}project = {workflow.project!r}: no project id or pattern")
    stem = f"{_PREFIX}{workflow.project}."
    if not (workflow.trigger.startswith(stem) and workflow.event != ""):
        raise WorkflowRefused(
            f"{where}trigger = {workflow.trigger!r}: expected {stem}notify or {stem}EVENT.notify"
        )
    if not workflow.trigger.endswith("." + _SUFFIX):
        raise WorkflowRefused(f"{where}trigger = {workflow.trigger!r}: expected {_SUFFIX} at its end")
    action: dict[str, Any] = msgspec.structs.asdict(workflow.action)
    if sum(each is not None for each in action.values()) != 1:
        raise WorkflowRefused(f"{where}action: expected exactly one of {', '.join(action)}")
    if workflow.max_bytes is not None and workflow.max_bytes < workflow.min_bytes:
        raise WorkflowRefused(f"{where}max_bytes = {workflow.max_bytes}: expected at least min_bytes")
    try:
        patterns.checked(workflow.include + workflow.exclude)
        _check_action(workflow.action)
    except ValueError as error:
        raise WorkflowRefused(f"{where}{error}") from error


def _check_action(action: Action) -> None:
    """Raise ValueError for an action that no runner could carry out."""
    if action.webhook is not None and not _is_url(action.webhook.url):
        raise ValueError("webhook.url: expected http(s)://, a host name or address, a port below 65536")
    if action.topic is not None and not _TOPIC.fullmatch(action.topic.topic):
        raise ValueError("topic.topic: expected letters, digits, `.`, `_`, `-`, and not `.` or `..`")
    if action.command is not None and "\0" in "".join(action.command.argv):
        raise ValueError("command.argv: expected no NUL character")


def _is_url(url: str) -> bool:
    """Tell whether a URL has a host that can be looked up."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port, host.encode("idna")
    except ValueError:
        return False
    return bool(host) and url.isprintable()
