"""What must come of a raw topic, worked out from its records alone; none of fswire's code is used.

In flow the batches of one partition after another, in their order; out flow every event once, with what it
must become, and the tree that is left.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Identity = tuple[str, str, str, int]
"""Project, agent, epoch, number: what an event is, however often it is delivered."""
Src = tuple[int, int]
"""Raw offset and index in the batch of the first delivery."""

_NAMES = {
    "create": "created",
    "modify": "written",
    "closeWrite": "modified",
    "delete": "deleted",
    "rename": "renamed",
    "attribute": "attributes",
}


class Rule(NamedTuple):
    """A workflow: it runs for events of one name on files whose names begin so."""

    workflow: str
    event: str
    prefix: str


class Told(NamedTuple):
    """An event that must be told once, everywhere."""

    partition: int
    src: Src
    identity: Identity
    event: str
    path: str
    size: int
    duplicate: bool
    runs: tuple[str, ...]
    """Workflows that it triggers."""


class File(NamedTuple):
    """What is at a path in the end."""

    is_dir: bool
    sha256: str | None


class Model:
    """Takes batches as JSON objects; `told` are their events in order, `files` what they left, by project."""

    def __init__(self, rules: tuple[Rule, ...] = ()) -> None:
        self.told: list[Told] = []
        self.files: dict[str, dict[str, File]] = {}
        self._rules = rules
        self._next: dict[tuple[str, str, str], int] = {}

    def take(self, partition: int, offset: int, batch: dict[str, Any]) -> None:
        """Take a record of the raw topic; what was delivered before is passed over."""
        flow = batch["project"], batch["agent"], batch["epoch"]
        for index, event in enumerate(batch["events"]):
            seq, following = batch["first_seq"] + index, self._next.get(flow, 1)
            if seq < following:
                continue
            if seq > following:
                raise ValueError(f"the load itself left out {flow} {following}")
            self._next[flow] = seq + 1
            self._tell(partition, (offset, index), (*flow, seq), event)

    def _tell(self, partition: int, src: Src, identity: Identity, event: dict[str, Any]) -> None:
        tree, path, name = self.files.setdefault(identity[0], {}), event["path"], _NAMES[event["kind"]]
        known, content = tree.get(path), event.get("sha256")
        brings = name in ("created", "modified") and content is not None
        duplicate = brings and known is not None and known.sha256 == content
        base = path.rpartition("/")[2]
        runs = [rule.workflow for rule in self._rules if rule.event == name and base.startswith(rule.prefix)]
        size = 0 if name == "deleted" or event.get("is_dir") else event.get("size", 0)
        fired = () if duplicate else tuple(runs)
        self.told.append(Told(partition, src, identity, name, path, size, duplicate, fired))
        _change(tree, event)


def _change(tree: dict[str, File], event: dict[str, Any]) -> None:
    path, is_dir = event["path"], event.get("is_dir", False)
    known = tree.pop(path, None)
    below = [each for each in tree if each.startswith(path + "/")] if is_dir else []
    if event["kind"] == "delete":
        for each in below:
            del tree[each]
        return
    content = event.get("sha256") or (known.sha256 if known else None)
    target = event.get("renamed_to", path)
    if event["kind"] == "rename":
        tree.update({target + each[len(path) :]: tree.pop(each) for each in below})
    tree[target] = File(is_dir, content)
