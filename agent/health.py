"""Whether an agent does its work: of each root what is wrong, and of all of them one word; pure.

`failing`: a root is not watched, or what happens there cannot be kept. `degraded`: everything is kept, but
the broker has been away for longer than `PATIENCE_S`. Both have reasons; only the first is no health.
"""

from __future__ import annotations

from typing import Literal

import msgspec

PATIENCE_S = 30.0
"""A broker that is restarted, or changes its leader, is back sooner."""

Word = Literal["ok", "degraded", "failing"]


class RootHealth(msgspec.Struct, frozen=True):
    """One root, its `status` as in a heartbeat; `trouble`: why it is not watched, or not kept, just now."""

    project: str
    dir: str
    status: dict[str, object]
    trouble: str | None = None
    broker_away_s: float = 0.0

    @property
    def word(self) -> Word:
        """Return how this root is doing."""
        if self.trouble is not None:
            return "failing"
        return "degraded" if self.broker_away_s > PATIENCE_S else "ok"


class Health(msgspec.Struct, frozen=True):
    """The answer of `/health`."""

    status: Word
    reasons: list[str]
    roots: list[RootHealth]


def health(roots: list[RootHealth]) -> Health:
    """Return the worst of all roots, and why."""
    words = {root.word for root in roots}
    worst: Word = "failing" if "failing" in words else "degraded" if "degraded" in words else "ok"
    return Health(worst, [_reason(root) for root in roots if root.word != "ok"], roots)


def _reason(root: RootHealth) -> str:
    if root.trouble is not None:
        return f"{root.project}: {root.trouble}"
    return f"{root.project}: the broker has not taken anything for {root.broker_away_s:.0f} s; all is kept"
