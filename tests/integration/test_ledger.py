"""A real source tree, unpacked, changed, renamed and deleted: every operation is a row exactly once."""

from __future__ import annotations

import hashlib
import json
import random
import sysconfig
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.ledger import Ledger
from tests.integration.running import Stack

pytestmark = pytest.mark.stack
FEWEST = 1_000
"""Files that a source tree must have to be one."""
ABSENT = "0" * 64

Row = dict[str, Any]


def rows_below(stack: Stack, below: str) -> list[Row]:
    """Return the rows of one directory in the order in which they happened."""
    statement = f"""
        SELECT event, path, renamed_to, is_dir, lower(hex(sha256)) AS sha256, event_id, epoch, seq
        FROM events
        WHERE project_id = '{stack.project}' AND (path = '{below}' OR startsWith(path, '{below}/'))
        ORDER BY kafka_offset FORMAT JSONEachRow
    """
    return [json.loads(line) for line in stack.query(statement).splitlines()]


def source_tree() -> Path:
    """Return the standard library of the running Python."""
    return Path(sysconfig.get_path("stdlib"))


def copy_parts(ledger: Ledger, source: Path, target: str) -> None:
    """Copy packages of the library until there are some thousand files; not what pip put there."""
    ledger.mkdir(target)
    for package in sorted(path for path in source.iterdir() if path.is_dir()):
        if package.name not in ("site-packages", "__pycache__", "ensurepip"):
            ledger.copy_tree(package, f"{target}/{package.name}")
        if len(ledger.created) > 4 * FEWEST:
            break


def mark_end(stack: Stack, name: str) -> None:
    """Make a file and wait for its row: what happened before it has been stored by then."""
    (stack.watched / name).touch()
    stack.await_rows(f"SELECT count() FROM events WHERE path = '{name}' AND event = 'created'", 1)


def replay(rows: list[Row]) -> dict[str, str | None]:
    """Return the tree that the rows, in order, lead to: path → sha256, None for a directory."""
    tree: dict[str, str | None] = {}
    for row in rows:
        path, kind = row["path"], row["event"]
        if kind == "deleted":
            del tree[path]
        elif kind == "renamed":
            moved = [name for name in tree if name == path or name.startswith(f"{path}/")]
            tree |= {row["renamed_to"] + name[len(path) :]: tree.pop(name) for name in moved}
        elif row["is_dir"]:
            tree[path] = None
        elif row["sha256"] != ABSENT or path not in tree:
            tree[path] = row["sha256"]
    return tree


def test_source_tree_is_in_the_history_exactly_once(stack: Stack) -> None:
    """Ground truth and `SELECT` agree: each operation once, in order, and the final state is the disk's."""
    ledger = Ledger(stack.watched)
    chance = random.Random(3)

    copy_parts(ledger, source_tree(), "library")
    mark_end(stack, "ledger-copied")
    copied = len(rows_below(stack, "library"))
    files = sorted(path for path, content in ledger.tree().items() if content and path.startswith("library/"))
    directories = sorted({str(Path(path).parent) for path in files})
    for path in (changed := chance.sample(files, 300)):
        ledger.write(path, f"# changed {chance.random()}\n".encode() * chance.randrange(1, 300))
    mark_end(stack, "ledger-written")  # content that has another name before it is read has no hash
    for path in chance.sample(sorted(set(files) - set(changed)), 300):
        ledger.rename(path, f"{path}.renamed")
    for path in changed[:100]:
        ledger.delete(path)
    whole = [path for path in directories if path.count("/") == 1 and path != "library"]
    for number, path in enumerate(whole[:5]):
        ledger.rename(path, f"library/moved-{number}")
    for path in whole[5:10]:
        ledger.delete_tree(path)
    mark_end(stack, "ledger-changed")

    rows = rows_below(stack, "library")
    events = {kind: [row for row in rows if row["event"] == kind] for kind in {row["event"] for row in rows}}
    files_now = {path: sha256 for path, sha256 in ledger.tree().items() if path.startswith("library")}
    assert len(files) > FEWEST
    assert Counter(row["path"] for row in events["created"]) == ledger.created
    assert Counter((row["path"], row["renamed_to"]) for row in events["renamed"]) == ledger.renamed
    assert Counter(row["path"] for row in events["deleted"]) == ledger.deleted
    written = Counter((row["path"], row["sha256"]) for row in rows[copied:] if row["event"] == "modified")
    assert written == ledger.written
    assert len({row["event_id"] for row in rows}) == len(rows)
    assert replay(rows) == files_now
    assert "gap" not in events
    assert hashlib.sha256(b"").hexdigest() in files_now.values()
