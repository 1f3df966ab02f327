"""Ids of events that came without one, and the digest by which a repeat is told from a conflict."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

import msgspec

from api.event_form import EventForm


def minted_id(project: str, form: EventForm, key_id: str) -> str:
    """Return the id of an event that names its time: a retry of the same request gets the same id."""
    recipe = [
        project,
        form.filename,
        form.event,
        form.filesize,
        form.sha256,
        form.pid,
        form.timestamp_us,
        key_id,
        form.host,
    ]
    return "evt_" + _digest(recipe)


def random_id() -> str:
    """Return an id for an event that names neither an id nor its time: its repeats cannot be told apart."""
    return "evt_" + secrets.token_hex(16)


def identify(project: str, form: EventForm, key_id: str) -> tuple[str, str]:
    """Return the event's id and the digest of the content that a repeat of this id must have.

    Under an id minted from the recipe every repeat is a duplicate, whatever else differs in it, also when
    the client sends that id along with its retry. Under any other id all known fields count.
    """
    minted = minted_id(project, form, key_id) if form.timestamp_us is not None else None
    if minted is not None and form.event_id in (None, minted):
        return minted, minted
    return form.event_id or random_id(), _digest(_content(form))


def _content(form: EventForm) -> list[Any]:
    return [
        form.filename,
        form.event,
        form.filesize,
        form.renamed_to,
        form.filetype,
        form.sha256,
        form.uid,
        form.pid,
        form.timestamp_us,
        form.host,
    ]


def _digest(values: list[Any]) -> str:
    return hashlib.blake2b(msgspec.json.encode(values), digest_size=16).hexdigest()
