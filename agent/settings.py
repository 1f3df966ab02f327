"""What an agent is told: roots and how to watch them, by a TOML file, the environment, the command line."""

from __future__ import annotations

import json
import os
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from agent.kinds import Reported
from agent.paths import is_project_id
from agent.patterns import checked

_PREFIX = "FSWIRE_AGENT_"

Backend = Literal["auto", "inotify", "fanotify", "watchfiles", "poll"]


class SettingsRefused(ValueError):
    """Settings that cannot be used; the message has a line for each, with its key and value."""


def _state_home() -> Path:
    given = os.environ.get("XDG_STATE_HOME")
    return (Path(given) if given else Path.home() / ".local" / "state") / "fswire"


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _decode(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("an address is HOST:PORT, such as 127.0.0.1:9100")
    return value


Kinds = Annotated[frozenset[Reported], NoDecode, BeforeValidator(_split)]
Patterns = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_decode), AfterValidator(checked)]


class RootSettings(BaseModel):
    """One directory and the project that it is reported as."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    dir: Path
    project: str
    """A project id; `{host}` in it stands for the host's name."""
    include: Patterns = ()
    """Patterns of this root, beside those of all roots."""
    exclude: Patterns = ()
    """Patterns of this root, beside those of all roots."""
    only: Kinds = frozenset()
    """Kinds that are reported of this root, in place of those named for all roots."""
    except_: Kinds = Field(default=frozenset(), alias="except")
    """Kinds that are not reported of this root, beside those named for all roots."""


class AgentSettings(BaseSettings):
    """Settings of `fswire agent`, each also `FSWIRE_AGENT_…`; the environment wins over the file."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_prefix_target="all", frozen=True, extra="forbid", populate_by_name=True
    )

    roots: Annotated[tuple[RootSettings, ...], NoDecode, BeforeValidator(_decode)] = Field(min_length=1)
    """Directories to watch; none inside another, each with a project of its own."""
    state_dir: Path = Field(default_factory=_state_home)
    """Where journals are kept: a directory per project. Never reported, wherever it is."""
    own_dirs: Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_decode)] = ()
    """Directories of fswire itself: not watched and not reported, with all below them."""
    include: Patterns = ()
    """Patterns as in `.gitignore`, relative to each root: only files that match are reported. None: all."""
    exclude: Patterns = ()
    """Patterns as in `.gitignore`, relative to each root: what matches is neither watched nor reported."""
    ignore_files: bool = False
    """Read further patterns from files `.fswireignore` in the tree, each for its directory and below."""
    host: str = Field(default_factory=socket.gethostname, min_length=1)
    backend: Backend = "auto"
    """`auto`: inotify on Linux, fanotify where its watches run out and this process may, poll on network file
    systems, watchfiles elsewhere."""
    actors: bool = True
    """Ask fanotify who did it, beside inotify, where this process may (CAP_SYS_ADMIN)."""
    kinds: Kinds = frozenset()
    """Kinds to report beside the changes: `access`, `open`, `closeNoWrite`."""
    only: Kinds = frozenset()
    """The only kinds to report; none named: all. `gap`, `gap_closed` and `baseline` always are."""
    except_: Kinds = Field(default=frozenset(), alias="except")
    """Kinds not to report, whatever else names them."""
    settle_ms: int = Field(default=1000, ge=1)
    """A file that stays open is reported once per this time while it is written to."""
    max_hash_bytes: int = Field(default=64 * 1024 * 1024, ge=0)
    """Files above this are not hashed; 0: none is."""
    hash_bytes_per_second: int = Field(default=0, ge=0)
    """Hashing reads no faster than this, for all roots together; 0: as fast as it can."""
    poll_every_s: float = Field(default=10.0, gt=0)
    """How often what no kernel event covers is listed: network file systems, directories without a watch."""
    rescan_every_s: float = Field(default=0.0, ge=0)
    """How often the whole tree is compared with what was reported; 0: only when something was lost."""
    journal_max_bytes: int = Field(default=1024**3, ge=16 * 1024**2)
    """Largest size of a journal, one for each project, on disk: a `gap` says what it could not hold."""
    listen: Annotated[str, AfterValidator(_address)] | None = None
    """`HOST:PORT` on which `/metrics` and `/health` are served; none without it."""
    grace_s: float = Field(default=5.0, ge=0)
    """How long a stopping agent tries to publish what it has taken in; the rest waits in the journal."""
    heartbeat_s: float = Field(default=10.0, gt=0)
    """After this time without an event a heartbeat says how the agent is doing; among events, every third."""
    stdout: bool = False
    """Print raw events as JSON lines instead of publishing them; keeps no state."""

    @model_validator(mode="before")
    @classmethod
    def _unknown_variables(cls, values: Any) -> Any:
        known = {field.alias or name for name, field in cls.model_fields.items()}
        for name, value in os.environ.items():
            if name.startswith(_PREFIX) and name.removeprefix(_PREFIX).lower() not in known:
                raise ValueError(f"{name} = {value!r}: there is no such setting")
        return values

    @model_validator(mode="after")
    def _agree(self) -> AgentSettings:
        projects = [root.project for root in self.named_roots()]
        for project in projects:
            if not is_project_id(project):
                raise ValueError(f"project = {project!r}: 1 to 128 of letters, digits, '_', '.', '-'")
            if projects.count(project) > 1:
                raise ValueError(f"project = {project!r}: two directories cannot be one project on one agent")
        directories = [Path(os.path.realpath(root.dir)) for root in self.roots]
        for one in directories:
            if any(one in other.parents for other in directories) or directories.count(one) > 1:
                raise ValueError(f"dir = '{one}': two roots are the same or one is inside the other")
        return self

    def named_roots(self) -> tuple[RootSettings, ...]:
        """Return the roots with `{host}` replaced and the directories made absolute."""
        return tuple(
            root.model_copy(
                update={
                    "dir": Path(os.path.realpath(root.dir)),
                    "project": root.project.replace("{host}", self.host),
                }
            )
            for root in self.roots
        )


def state_dir(config: Path | None = None) -> Path:
    """Return where the agent with this configuration keeps its journals; raises SettingsRefused."""
    told = os.environ.get(f"{_PREFIX}STATE_DIR") or (_read_toml(config) if config else {}).get("state_dir")
    if told is not None and not isinstance(told, str):
        raise SettingsRefused(f"state_dir = {told!r}: not a path")
    return Path(told) if told else _state_home()


def read(config: Path | None = None, **given: Any) -> AgentSettings:
    """Return settings from the command line (`given`), the environment and a TOML file, in this order.

    Raises SettingsRefused for a file that cannot be read, an unknown key, a value of a wrong type.
    """
    content = _read_toml(config) if config else {}

    class Configured(AgentSettings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, content)

    try:
        return Configured(**given)
    except ValidationError as error:
        raise SettingsRefused(_lines(error)) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsRefused(f"{path}: {error}") from error


def _lines(error: ValidationError) -> str:
    errors = error.errors(include_url=False)
    return "\n".join(_line(each) for each in errors if not _follows(each, errors))


def _line(error: ErrorDetails) -> str:
    key = ".".join(map(str, error["loc"]))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{key}: is needed, and not set"
    return f"{key} = {error['input']!r}: {message}" if key else message


def _follows(error: ErrorDetails, errors: list[ErrorDetails]) -> bool:
    """Tell whether a list is too short only because one of its items was refused."""
    of_items = (each["loc"][: len(error["loc"])] for each in errors if len(each["loc"]) > len(error["loc"]))
    return error["type"] == "too_short" and error["loc"] in of_items
