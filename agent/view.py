"""What has been reported of a tree, and how more is: one call changes baseline, directories and outbox.

Whatever calls it, replaying the events gives exactly the paths of the baseline. Here are the changes that
make a path appear, move or go; those of a file that stays where it is are in `agent.edits`.
"""

from __future__ import annotations

from collections.abc import Callable

from agent import identity
from agent.baseline import Known
from agent.event import Kind
from agent.files import State, look
from agent.hashing import Digest, Hasher
from agent.journal import Journal
from agent.own import OwnAccess
from agent.report import Place, Reporter, When, add_digest
from agent.watches import Directory, Watches, join


class View:
    """The tree below `root` as its consumers know it; one thread, used on one thread.

    `release` is called with each watch descriptor that is no longer needed.
    """

    def __init__(
        self,
        root: bytes,
        journal: Journal,
        watches: Watches,
        hasher: Hasher,
        own: OwnAccess,
        release: Callable[[int], None],
    ) -> None:
        self.root = root
        self.watches = watches
        self.journal = journal
        self.own = own
        self._hasher = hasher
        self.report = Reporter(journal, watches)
        self._baseline = journal.baseline
        self._release = release
        self._agent = journal.meta.agent

    def path(self, directory: Directory, name: bytes = b"") -> bytes:
        """Return the absolute path of a name in a directory, or of the directory itself."""
        below = self.watches.path(directory)
        relative = join(below, name) if name else below
        return join(self.root, relative) if relative else self.root

    def look(self, place: Place) -> State | None:
        """Return the state of what is at a place now, None if nothing is; OSError where it cannot be told."""
        return look(self.path(*place))

    def known(self, place: Place) -> Known | None:
        """Return what has been reported of a place."""
        return self._baseline.get(place[0].key, place[1])

    def put(self, place: Place, known: Known) -> None:
        """Write what has now been reported of a place."""
        self._baseline.put(place[0].key, place[1], known)

    def identify(self, directory: Directory, state: State) -> None:
        """Note which directory of the file system this one is."""
        if directory.identity == state.identity:
            return
        directory.identity = state.identity
        if directory.parent is not None:
            directory.file_id = identity.file_id(self._agent, state.identity)
            self.watches.changed()

    def appear(
        self,
        place: Place,
        state: State | None,
        when: When,
        *,
        is_dir: bool,
        hashed: bool,
        kind: Kind = "create",
    ) -> Directory | None:
        """Report a path that was not known and return the new directory, if it is one.

        `hashed`: with the content's hash, because no closeWrite will follow. `state` None: it was gone, or
        renamed, before it could be looked at.
        """
        directory, name = place
        child = self.watches.add(directory, name, self._baseline.new_key()) if is_dir else None
        if child and state:
            self.identify(child, state)
        event = self.report.event(kind, place, when, state, is_dir=is_dir)
        sha256 = None
        if state and not is_dir and (hashed or not state.is_regular):
            digest = self.digest(place, state)
            state, sha256 = digest.state, digest.sha256
            add_digest(event, digest)
        elif state and not is_dir:
            state = state._replace(ctime_ns=0)
        if kind == "rename":
            event.moved = "in"
        self.report.send(event)
        self.put(place, Known(child.key if child else None, state, sha256))
        return child

    def found_root(self, state: State) -> None:
        """Take the root as it is now; whether it is another than before is the caller's to report."""
        root = self.watches.root
        self.identify(root, state)
        if self.known((root, b"")) is None:
            self.put((root, b""), Known(root.key, state, None))

    def enter(self, place: Place, known: Known, state: State) -> Directory | None:
        """Return the directory at a place, None for anything else; a watch on another one is given up."""
        child = self._child(place, known)
        if child is None:
            return None
        if child.wd is not None and child.identity != state.identity:
            self._release_all(child)
            child = self.watches.add(*place, child.key)
        self.identify(child, state)
        return child

    def vanish(self, place: Place, known: Known, when: When, extra: str | None = None) -> None:
        """Report that a path is gone, and before it everything below it that was still known."""
        child = self._child(place, known)
        if child is not None:
            self.empty(child, when)
        event = self.report.event("delete", place, when, None, is_dir=known.is_dir, known=known)
        event.previous_sha256 = known.sha256.hex() if known.sha256 else None
        event.extra = extra
        self.report.send(event)
        self._drop(place, child)

    def empty(self, directory: Directory, when: When) -> None:
        """Report that everything in a directory is gone, the deepest first."""
        pending = [(directory, self._baseline.children(directory.key))]
        while pending:
            above, entries = pending[-1]
            entry = next(entries, None)
            if entry is None:
                pending.pop()
                if pending:
                    self._gone((pending[-1][0], above.name), when)
            elif entry[1].directory is not None:
                child = self._child((above, entry[0]), entry[1])
                assert child is not None
                pending.append((child, self._baseline.children(child.key)))
            else:
                self._gone((above, entry[0]), when)

    def rename(self, source: Place, target: Place, known: Known, state: State | None, when: When) -> None:
        """Report a rename within view; nothing is known at `target`, `state` is what is there."""
        path, path_b64 = self.report.path(source)
        child = self._child(source, known)
        self._baseline.move(source[0].key, source[1], target[0].key, target[1])
        if child is not None:
            self.watches.move(child, *target)
        event = self.report.event("rename", target, when, state, is_dir=known.is_dir, known=known)
        event.renamed_to, event.renamed_to_b64 = event.path, event.path_b64
        event.path, event.path_b64, event.moved = path, path_b64, "within"
        if state is not None and not known.is_dir:
            digest = self.carried(target, known, state)
            add_digest(event, digest)
            known = known._replace(state=digest.state, sha256=digest.sha256)
            self.put(target, known)
        self.report.send(event)

    def move_out(self, place: Place, known: Known, when: When) -> None:
        """Report that a path, with all below it, was moved out of view."""
        event = self.report.event("rename", place, when, None, is_dir=known.is_dir, known=known)
        event.moved = "out"
        self.report.send(event)
        child = self._child(place, known)
        if child is not None:
            self._forget_below(child)
        self._drop(place, child)

    def lose_root(self, when: When, *, moved: bool) -> None:
        """Report that the root itself was deleted, or moved away with all below it."""
        root = self.watches.root
        if not moved:
            self.empty(root, when)
        event = self.report.event("rename" if moved else "delete", (root, b""), when, None, is_dir=True)
        event.moved = "out" if moved else None
        self.report.send(event)
        self._baseline.clear()

    def carried(self, place: Place, known: Known, state: State) -> Digest:
        """Return the digest of a file known under another name, or in an older state; hashed if need be."""
        old = known.state
        trusted = old is not None and old.ctime_ns and old.identity == state.identity
        if old and trusted and known.sha256 and (old.size, old.mtime_ns) == (state.size, state.mtime_ns):
            return Digest("ok", known.sha256, state)
        return self.digest(place, state)

    def digest(self, place: Place, state: State) -> Digest:
        """Hash the file at a place, which was just seen in `state`."""
        with self.own.access(place):
            return self._hasher.digest(self.path(*place), state)

    def _gone(self, place: Place, when: When) -> None:
        """Report one path below something that has vanished; a directory's own entries are gone already."""
        known = self.known(place)
        if known is None:
            return
        event = self.report.event("delete", place, when, None, is_dir=known.is_dir, known=known)
        event.previous_sha256 = known.sha256.hex() if known.sha256 else None
        self.report.send(event)
        self._drop(place, self._child(place, known))

    def _child(self, place: Place, known: Known) -> Directory | None:
        """Return the directory at a place, which may be known only from an earlier run."""
        if known.directory is None:
            return None
        directory, name = place
        child = directory.children.get(name) or self.watches.add(directory, name, known.directory)
        if child.identity is None and known.state is not None:
            self.identify(child, known.state)
        return child

    def _drop(self, place: Place, child: Directory | None) -> None:
        if child is not None:
            self._release_all(child)
        self._baseline.remove(place[0].key, place[1])

    def _release_all(self, child: Directory) -> None:
        for wd in self.watches.remove(child):
            self._release(wd)

    def _forget_below(self, child: Directory) -> None:
        pending = [child.key]
        while pending:
            key = pending.pop()
            pending.extend(known.directory for _, known in self._baseline.children(key) if known.directory)
            self._baseline.remove_all(key)
