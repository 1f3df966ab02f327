"""Which kinds of events are reported of a root: `only` and `except`, of all roots and of one; pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from agent.event import Kind

if TYPE_CHECKING:  # `fswire watch` starts without pydantic: that alone would be a third of its time
    from agent.settings import AgentSettings, RootSettings

Reported = Literal[
    "create", "modify", "closeWrite", "delete", "rename", "attribute", "access", "open", "closeNoWrite"
]

ON_REQUEST: frozenset[Kind] = frozenset({"access", "open", "closeNoWrite"})
"""What happens too often to be reported unless it is asked for by name."""
_ALL: frozenset[Reported] = frozenset(get_args(Reported))


def reported(settings: AgentSettings, root: RootSettings) -> frozenset[Kind]:
    """Return the kinds to report of a root that a setting can name.

    `only` of the root stands in place of that of all roots, `except` is added to it and always wins.
    """
    only = root.only or settings.only
    asked = (_ALL - ON_REQUEST) | settings.kinds
    return frozenset((only or asked) - settings.except_ - root.except_)


def dropped(settings: AgentSettings, root: RootSettings) -> frozenset[Kind]:
    """Return the kinds not to report; those that no setting can name, such as `gap`, never are among them."""
    return frozenset(_ALL) - reported(settings, root)
