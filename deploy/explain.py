"""One line for each error that can end a command: what was expected, what came, what to check."""

from __future__ import annotations

import os

from aiokafka.errors import KafkaConnectionError, KafkaError
from pydantic import ValidationError

_SECRET = ("password", "secret", "token", "key", "url")


def explain(error: Exception) -> str:
    """Return what a person needs to know of an error; never a secret."""
    if isinstance(error, ValidationError):
        return _settings(error)
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
    lines = []
    for problem in error.errors(include_url=False):
        name = ".".join(str(part) for part in problem["loc"])
        shown = "" if any(word in name.lower() for word in _SECRET) else f" (came: {problem['input']!r})"
        lines.append(f"{name}: {problem['msg']}{shown}")
    return f"{error.title}: " + "; ".join(lines)


def broker_unusable(error: KafkaError, where: str) -> str:
    """Return what stands between us and the broker at `where`, and what to check."""
    said = "does not answer" if isinstance(error, KafkaConnectionError) else f"refused: {error}"
    return (
        f"the Kafka broker at {where} {said} "
        "(check that it runs, and FSWIRE_KAFKA_BOOTSTRAP_SERVERS or --data-dir)"
    )
