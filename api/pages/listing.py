"""What stands in a directory, now and at a moment in the past, as rows of `listing_queries`. Pure."""

from __future__ import annotations

import msgspec

from agent.event import Former


class State(msgspec.Struct, array_like=True):
    """What the last event said, or the one from which the rest is inferred."""

    mode: int | None
    owner_uid: int | None
    owner_gid: int | None
    mtime_ns: int | None
    told_us: int
    event_id: str
    host: str


class Entry(msgspec.Struct):
    """A name in a directory."""

    name: str
    directory: bool
    evidence: str
    """`known`; of the past also `implied` by what was below it, `later`: an event after the moment tells that
    it was there, `kept`: nothing has happened to it since it was found."""
    size: int | None
    """Bytes; of a directory now, those of all that is below it."""
    files: int
    """Of a directory now: how many are below it."""
    sha256: str
    state: State
    changed: list[str] = []
    former_sha256: str = ""
    former: str = ""


def as_of(entry: Entry) -> Entry:
    """Return an entry as it was before a later event that tells of it; what that does not say is left out."""
    if entry.evidence == "implied":
        return msgspec.structs.replace(entry, size=None, sha256="")
    if entry.evidence != "later":
        return entry
    former = msgspec.json.decode(entry.former or "{}", type=Former)
    state = entry.state
    before = State(
        _first(former.mode, state.mode),
        _first(former.uid, state.owner_uid),
        _first(former.gid, state.owner_gid),
        former.mtime_ns if "mtime" in entry.changed else state.mtime_ns,
        state.told_us,
        state.event_id,
        state.host,
    )
    size = former.size if "size" in entry.changed or state.mtime_ns is None else entry.size
    sha256 = entry.former_sha256 or ("" if "data" in entry.changed else entry.sha256)
    return msgspec.structs.replace(entry, size=size, sha256=sha256, state=before)


def _first(former: int | None, present: int | None) -> int | None:
    return present if former is None else former
