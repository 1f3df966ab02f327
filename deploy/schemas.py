"""JSON Schemas of what stands on each topic, generated from the code: `python -m deploy.schemas` writes them.

They are for services in any language; `deploy/schemas/` holds one file a topic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from agent.event import Batch
from processors import donutwork, notify, topics, watch
from processors.audit import Audit
from processors.dead_letters import DeadLetter
from processors.files import File
from processors.fleet import Heartbeat
from processors.outcomes import Outcome
from processors.registry import Key, NotifySettings, Pattern, Project
from processors.runs import Run
from processors.transfer_commands import Command
from processors.transfer_records import Transfer
from processors.workflow import Workflow

DIRECTORY = Path(__file__).parent / "schemas"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"

VALUES: dict[str, Any] = {
    topics.RAW: Batch,
    topics.DONUTWORK: donutwork.Record,
    topics.WATCH: watch.Change | watch.Error,
    topics.NOTIFY: (notify.Notification, notify.GapNotice),
    topics.FILES: File,
    topics.AGENTS: Heartbeat,
    topics.OUTCOMES: Outcome,
    topics.RUNS: Run,
    topics.TRANSFER_COMMANDS: Command,
    topics.TRANSFERS: Transfer,
    topics.DEAD_LETTERS: DeadLetter,
    topics.AUDIT: Audit,
}
"""The value of a record, by topic; of several types a list of one of them. `state` is nobody else's."""
ENTRIES: dict[str, Any] = {
    "project": Project,
    "pattern": Pattern,
    "key": Key,
    "workflow": Workflow,
    "setting": NotifySettings,
}
"""The value of a record of the registry, by what its key begins with."""


def generated() -> dict[str, str]:
    """Return the text of each file by its name."""
    named = VALUES | {f"{topics.REGISTRY}-{kind}": entry for kind, entry in ENTRIES.items()}
    return {f"{name}.json": _text(name, value) for name, value in named.items()}


def _text(name: str, value: Any) -> str:
    schema = {"$schema": _DRAFT, "title": f"fswire.{name}"} | _schema(value)
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2).decode() + "\n"


def _schema(value: Any) -> dict[str, Any]:
    if not isinstance(value, tuple):
        return msgspec.json.schema(value)
    items, definitions = msgspec.json.schema_components(value, ref_template="#/$defs/{name}")
    return {"anyOf": [{"type": "array", "items": each} for each in items], "$defs": definitions}


def write() -> None:
    """Bring the files up to date."""
    DIRECTORY.mkdir(exist_ok=True)
    for name, text in generated().items():
        (DIRECTORY / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write()
