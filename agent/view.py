"""What has been reported of a tree, and how more is: one call changes baseline, directories and outbox.

Whatever calls it, replaying the events gives exactly the paths of the baseline. Here are the changes that
make a path appear, move or go; those of a file that stays where it is are in `agent.edits`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from agent import changes, identity
from agent.baseline import Known
from agent.event import Kind
from agent.extended import NOTHING, Reader, outdated
from agent.files import State, look
from agent.hashes import Hashes
from agent.hashing import Digest, Hasher
from agent.journal import Journal
from agent.lives import Lives
from agent.own import OwnAccess
from agent.report import Place, Reporter, When, add_difference, add_digest
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
        self._above = b"" if root == b"/" else root
        self.watches = watches
        self.journal = journal
        self.own = own
        self.hashes = Hashes(hasher, own)
        self.report = Reporter(journal, watches)
        self._agent = journal.meta.agent
        self._attributes = Reader()
        self.lives = Lives(journal.baseline)
        self._baseline = journal.baseline
        self._release = release

    def path(self, directory: Directory, name: bytes = b"") -> bytes:
        """Return the absolute path of a name in a directory, or of the directory itself."""
        below = self.watches.path(directory)
        relative = join(below, name) if name else below
        return self._above + b"/" + relative if relative else self.root

    def look(self, place: Place) -> State | None:
        """Return the state of what is at a place now, None if nothing is; OSError where it cannot be told."""
        path = self.path(*place)
        state = look(path)
        if state is None:
            return None
        state = self.journal.devices.translated(state, path)
        return state if state.birth_ns else self.lives.now(state)

    def extend(self, place: Place, state: State, old: State | None = None, *, again: bool = False) -> State:
        """Add ACL and `user.*` attributes to what was just seen: those of `old` where nothing has changed.

        `again`: a record says that something has, whatever the times are.
        """
        if state.is_link:
            return state.having(NOTHING)
        before = old.extended if old is not None and old.identity == state.identity else None
        if before is not None and before.current and not again and old and old.ctime_ns == state.ctime_ns:
            return state.having(before)
        found = self._attributes.read(self.path(*place), state.device)
        if (found or before or NOTHING).same(before or NOTHING):
            return state.having(found or outdated(before))
        is_it = self._is_at(place, state)  # it was read by name, and another file may have that by now
        return state.having(found if is_it else outdated(before))

    def meet(self, place: Place, state: State, *, is_new: bool = True) -> State:
        """Complete the state of a file that nothing is known of; `is_new`: it was not there before."""
        return self.extend(place, self.lives.begin(state) if is_new else state)

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
        met: State | None = None,
    ) -> Directory | None:
        """Report a path that was not known and return the new directory, if it is one.

        `hashed`: with the content's hash, because no closeWrite will follow; one that takes long comes as a
        `modify` after it, that of a `baseline` as another `baseline`. `state` None: it was gone, or renamed,
        before it could be looked at; `met`: and is this file, which has another name by now.
        """
        directory, name = place
        state = state and self.meet(place, state, is_new=kind != "baseline")
        child = self.watches.add(directory, name, self._baseline.new_key()) if is_dir else None
        seen = state or met
        if child and seen:
            self.identify(child, seen)
        event = self.report.event(kind, place, when, state, is_dir=is_dir, known=Known(None, met, None))
        sha256 = None
        digest = None
        if state and not is_dir and (hashed or not state.is_regular):
            digest = self._in_sight(place, state, when)
        if digest:
            state, sha256 = digest.state, digest.sha256
            add_digest(event, digest)
        elif state and not is_dir:
            if hashed:
                self.hashes.decide_later(place, state, when)
            state = state if hashed and kind == "baseline" else state._replace(ctime_ns=0)
        if kind == "rename":
            event.moved = "in"
        self.report.send(event)
        state = state or (met and met._replace(ctime_ns=0))
        self.put(place, Known(child.key if child else None, state, sha256))
        return child

    def found_root(self, state: State) -> None:
        """Take the root as it is now; whether it is another than before is the caller's to report."""
        root = self.watches.root
        self.identify(root, state)
        if self.known((root, b"")) is None:
            self.put((root, b""), Known(root.key, self.extend((root, b""), state), None))

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

    def unwatch(self, directory: Directory) -> None:
        """Give up the watch of a directory alone."""
        wd = self.watches.unbind(directory)
        if wd is not None:
            self._release(wd)

    def vanish(self, place: Place, known: Known, when: When, extra: str | None = None) -> None:
        """Report that a path is gone, and before it everything below it that was still known."""
        child = self._child(place, known)
        self.hashes.leave(place, child)
        if child is not None:
            self.empty(child, when._replace(actor=None))
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
                self.journal.commit_if_large()

    def rename(self, source: Place, target: Place, known: Known, state: State | None, when: When) -> None:
        """Report a rename within view; nothing is known at `target`, `state` is what is there."""
        state = state and self.extend(target, state, known.state)
        path, path_b64 = self.report.path(source)
        former_spine = self.watches.spine(source[0])
        child = self._child(source, known)
        undecided = self.hashes.undecided(source)
        self.hashes.rename(source, target)
        self._baseline.move(source[0].key, source[1], target[0].key, target[1])
        if child is not None:
            self.watches.move(child, *target)
        event = self.report.event("rename", target, when, state, is_dir=known.is_dir, known=known)
        event.renamed_to, event.renamed_to_b64 = event.path, event.path_b64
        event.path, event.path_b64, event.moved = path, path_b64, "within"
        if event.spine is not None and source[0] is not target[0]:
            event.former_spine = [*former_spine, event.spine[-1]]
        if state is not None and not known.is_dir and target not in self.hashes.waits:
            digest = None if undecided else self._carried(target, known, state, when)
            if digest is None:
                self.hashes.decide_later(target, state, when)
            else:
                add_digest(event, digest)
                self.put(target, known._replace(state=digest.state, sha256=digest.sha256))
        self.report.send(event)
        if state is not None and known.state is not None:
            self._changed_before(target, known.state, state, when)

    def move_out(self, place: Place, known: Known, when: When, extra: str | None = None) -> None:
        """Report that a path, with all below it, went out of view: moved, or `excluded` from now on."""
        child = self._child(place, known)
        self.hashes.leave(place, child)
        event = self.report.event("rename", place, when, None, is_dir=known.is_dir, known=known)
        event.moved, event.extra = "out", extra
        self.report.send(event)
        if child is not None:
            self._forget_below(child)
        self._drop(place, child)

    def lose_root(self, when: When, *, moved: bool) -> None:
        """Report that the root itself was deleted, or moved away with all below it."""
        root = self.watches.root
        self.hashes.leave((root, b""), root)
        if not moved:
            self.empty(root, when)
        event = self.report.event("rename" if moved else "delete", (root, b""), when, None, is_dir=True)
        event.moved = "out" if moved else None
        self.report.send(event)
        self._baseline.clear()

    def digest(self, place: Place, state: State, when: When) -> Digest | None:
        """Hash the file at a place, which was just seen in `state`; None: it takes long, and is for later."""
        return self.hashes.digest(place, self.path(*place), state, scan=when.source != "kernel")

    def _changed_before(self, place: Place, old: State, state: State, when: When) -> None:
        """Report attributes that changed under the name before: when that was told, it was out of sight."""
        difference = changes.of_attributes(old, state, times=False)
        known = self.known(place) if difference[0] else None
        if known is None or known.state is None:
            return
        event = self.report.event("attribute", place, when, state, is_dir=known.is_dir, known=known)
        add_difference(event, difference)
        self.report.send(event)
        self.put(place, known._replace(state=known.state.adopting(state)))

    def _is_at(self, place: Place, state: State) -> bool:
        with contextlib.suppress(OSError):
            seen = self.look(place)
            return seen is not None and seen.identity == state.identity
        return False

    def _carried(self, place: Place, known: Known, state: State, when: When) -> Digest | None:
        """Return the digest of a file known under another name, or in an older state; hashed if need be."""
        old = known.state
        trusted = old is not None and old.ctime_ns and old.identity == state.identity
        if old and trusted and known.sha256 and (old.size, old.mtime_ns) == (state.size, state.mtime_ns):
            return Digest("ok", known.sha256, state)
        return self._in_sight(place, state, when)

    def _in_sight(self, place: Place, state: State, when: When) -> Digest | None:
        """Hash a file; None also if it got out of sight meanwhile, for its directory may only have moved."""
        digest = self.digest(place, state, when)
        return None if digest and digest.status == "vanished" and self.hashes.later else digest

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
