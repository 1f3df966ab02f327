"""What all vocabularies agree on about the end of writing; light, for `fswire watch` starts with it."""

from __future__ import annotations

from agent.event import Event


def content_written(event: Event) -> bool:
    """Tell whether a closeWrite closed a file whose content is new."""
    changed = event.changed
    return event.written or (changed is not None and ("data" in changed or "size" in changed))
