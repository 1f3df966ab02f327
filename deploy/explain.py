"""One line for each error that can end a command: what was expected, what came, what to check."""

from __future__ import annotations

import os
import re

from aiokafka.errors import KafkaConnectionError, KafkaError
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

_SECRET = ("password", "secret", "token", "key", "url")
_FIELD = re.compile(r'field "(\w+)"')


def explain(error: Exception) -> str:
    """Return what a person needs to know of an error; never a secret."""
    if isinstance(error, ValidationError):
        return _settings(error)
    if isinstance(error, SettingsError):
        return _no_json(error)
    if isinstance(error, KafkaError):
        where = os.environ.get("FSWIRE_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")
        return broker_unusable(error, where)
    text = str(error)
    if type(error).__module__.split(".")[0] in ("agent", "processors", "api", "deploy"):
        return text
    if isinstance(error, OSError):
        return text
    return f"unexpected {type(error).__name__}: {text} (FSWIRE_TRACEBACK=1 shows where)"


def _settings(error: ValidationError) -> str:
    prefix = _prefixes().get(error.title)
    lines = []
    for problem in error.errors(include_url=False):
        key = ".".join(str(part) for part in problem["loc"])
        hidden = not key or any(word in key.lower() for word in _SECRET) or "@" in str(problem["input"])
        shown = "" if hidden else f" (came: {problem['input']!r})"
        name = key if prefix is None else f"{prefix}{key}".upper().rstrip("_")
        lines.append(f"{name}: {problem['msg'].removeprefix('Value error, ')}{shown}")
    return "; ".join(lines) if prefix is not None else f"{error.title}: {'; '.join(lines)}"


def _no_json(error: SettingsError) -> str:
    # pydantic-settings names the field alone, and puts what came nowhere.
    field = found[1].upper() if (found := _FIELD.search(str(error))) else ""
    names = [name for name in os.environ if name.startswith("FSWIRE_") and name.endswith(f"_{field}")]
    return f'{", ".join(sorted(names))}: a list is wanted as JSON, such as ["one", "two"]'


def _prefixes() -> dict[str, str]:
    """Return the prefix of the environment variables of each settings model that has been read."""
    return {model.__name__: model.model_config["env_prefix"] for model in BaseSettings.__subclasses__()}


def broker_unusable(error: KafkaError, where: str) -> str:
    """Return what stands between us and the broker at `where`, and what to check."""
    said = "does not answer" if isinstance(error, KafkaConnectionError) else f"refused: {error}"
    return (
        f"the Kafka broker at {where} {said} "
        "(check that it runs, and FSWIRE_KAFKA_BOOTSTRAP_SERVERS or --data-dir)"
    )
