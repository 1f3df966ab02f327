"""The schemas of the topics are those of the code, and what is written obeys them."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from agent.event import encode
from deploy import schemas
from processors import donutwork, notify, watch
from tests.unit.processors.raw import batch, event, origin

KINDS = ("create", "modify", "closeWrite", "delete", "rename", "attribute", "access", "unknown")


@pytest.mark.parametrize("name", sorted(schemas.generated()))
def test_schema_is_generated_from_the_code(name: str) -> None:
    """`python -m deploy.schemas` brings a file up to date that the code has left behind."""
    assert (schemas.DIRECTORY / name).read_text("utf-8") == schemas.generated()[name]


def test_every_schema_has_its_code() -> None:
    """A file that nothing generates any more would mislead."""
    assert {path.name for path in schemas.DIRECTORY.iterdir()} == set(schemas.generated())


@pytest.mark.parametrize("kind", KINDS)
def test_records_obey_their_schemas(kind: str) -> None:
    """What the vocabularies make of an event is what subscribers were told to expect."""
    told = event(kind, "a", renamed_to="b", moved="within", size=1, mtime_ns=1, changed=["size", "uid"])
    found = {
        "raw": [encode(batch(told))],
        "donutwork": [donutwork.record(origin(), told, "evt_1", 1)],
        "watch": watch.records("/p", told),
        "notify": [notify.record("p", told)],
    }

    for topic, records in found.items():
        validator = Draft202012Validator(json.loads((schemas.DIRECTORY / f"{topic}.json").read_text("utf-8")))
        for record in records:
            assert record is None or list(validator.iter_errors(json.loads(record))) == []
