"""Rules of names: which project ids exist, and which relative paths an event may carry."""

from __future__ import annotations

import re

MAX_PATH_BYTES = 4096
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|[A-Za-z]:$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class PathRefused(ValueError):
    """A path that no event may carry; the message says which rule it breaks, never the whole path."""


def is_project_id(name: str) -> bool:
    """Tell whether a name may be a project id: 1 to 128 of letters, digits, `_`, `.`, `-`."""
    return _PROJECT.fullmatch(name) is not None


def relative(path: str) -> str:
    """Return a reported path in its one spelling: `./`, `//` and a trailing `/` removed.

    Called for paths that clients send (contracts: donutwork). A backslash is an ordinary character.
    Raises PathRefused: empty, too long, absolute, with a drive or UNC prefix, a `..` segment or a control
    character.
    """
    if not path:
        raise PathRefused("must not be empty")
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise PathRefused(f"must be at most {MAX_PATH_BYTES} bytes")
    if _CONTROL.search(path):
        raise PathRefused("must not contain control characters")
    if path.startswith(("/", "\\\\")) or _DRIVE.match(path):
        raise PathRefused("must be relative to the project")
    segments = [segment for segment in path.split("/") if segment not in ("", ".")]
    if ".." in segments:
        raise PathRefused("must not contain a '..' segment")
    if not segments:
        raise PathRefused("must name something below the project's root")
    return "/".join(segments)
