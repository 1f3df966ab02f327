"""One round of a transfer, from its claim to its end: tried until the file is whole or has failed for good.

Every step is told to the sequencer, and only what it took counts: whoever was cancelled meanwhile finds out,
and ends. A worker that is killed leaves the file as far as it was, for the next one to go on with.
"""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from agent.hash_rate import HashRate
from processors.instants import iso
from processors.transfer_commands import Claim, Command, Report
from processors.transfer_digests import Sums, digests_of
from processors.transfer_download import MISMATCH, Download, Head, TransferFailed
from processors.transfer_events import Told
from processors.transfer_names import safe
from processors.transfer_records import Transfer
from processors.transfer_root import Root
from processors.transfer_settings import TransferSettings
from processors.transfer_view import View

DOWNLOADING, COMPLETE = "Downloading", "Complete"
_CLAIM_S = 15.0
"""After this long without an answer a transfer is claimed again."""
_log = structlog.get_logger()


@dataclass(frozen=True)
class Tools:
    """What all rounds of a worker share."""

    worker: str
    """This life of the worker."""
    settings: TransferSettings
    root: Root
    view: View
    rate: HashRate
    told: Told
    send: Callable[[Command], Awaitable[None]]
    """Returns once the command is acknowledged; insists."""
    allow_private: bool


class Round:
    """Carries one round out."""

    def __init__(self, transfer: Transfer, tools: Tools) -> None:
        self.number = transfer.round
        self._transfer = transfer
        self._tools = tools
        self._download: Download | None = None
        self._head: Head | None = None
        self._answered = asyncio.Event()
        self._file = ""

    async def carry_out(self) -> None:
        """Fetch until it is whole, or has failed; returns once the view shows that. May be cancelled."""
        await self._claim()
        attempts = self._transfer.attempts
        while True:
            before = self._part_bytes()
            try:
                await self._try()
            except TransferFailed as failure:
                attempts = 1 if self._part_bytes() > before else attempts + 1
                if not failure.retriable or attempts >= self._tools.settings.attempts:
                    await self._failed(failure)
                    return
                await self._pause(failure, attempts)
            else:
                return

    async def _claim(self) -> None:
        tools, transfer = self._tools, self._transfer
        there = tools.root.has(transfer.directory)
        directory = transfer.directory if there else tools.root.fresh()
        try:
            while not self._is_mine():
                await tools.send(self._claim_of(directory))
                try:
                    await asyncio.wait_for(tools.view.changed(self._is_mine), _CLAIM_S)
                except TimeoutError:
                    _log.warning("a transfer is not given to this worker yet", transfer=transfer.id)
        except BaseException:
            if not there:
                tools.root.remove(directory, "")
            raise
        self._transfer = tools.view.transfers.rows[transfer.id]

    def _claim_of(self, directory: str) -> Claim:
        transfer, root = self._transfer, self._tools.root
        own = not transfer.local_dir or root.holds(transfer.local_dir)
        return Claim(
            **self._addressed(),
            host=socket.gethostname(),
            project=self._tools.settings.project or "",
            directory=directory,
            run=transfer.celery_task_id if transfer.phase == "running" else str(uuid.uuid4()),
            local_dir=root.place(directory) if own else None,
        )

    def _is_mine(self) -> bool:
        now = self._tools.view.transfers.rows.get(self._transfer.id)
        return now is not None and (now.round, now.worker) == (self.number, self._tools.worker)

    async def _try(self) -> None:
        """Make one attempt. Raises TransferFailed."""
        transfer = self._transfer
        root = self._tools.root
        whole = root.finished(transfer.directory, transfer.file) if transfer.file else None
        if whole is not None and whole.is_file() and not root.part(transfer.directory).exists():
            await self._complete(whole, await asyncio.to_thread(digests_of, whole, with_md5=True))
            return
        head, sums = await self._fetch()
        expected = self._now().md5sum
        if expected and not sums.md5:  # a client named it meanwhile
            sums = await asyncio.to_thread(digests_of, root.part(transfer.directory), with_md5=True)
        if expected and expected.strip().lower() != sums.md5:
            root.part(transfer.directory).unlink(missing_ok=True)
            failure = TransferFailed(MISMATCH, f"expected the MD5 {expected}, got {sums.md5}")
            failure.retriable = head.offset > 0  # its parts may have been of two contents
            raise failure
        file = self._file or safe(head.name)
        whole = await asyncio.to_thread(root.finish, transfer.directory, file)
        await self._complete(whole, sums)

    async def _fetch(self) -> tuple[Head, Sums]:
        tools, transfer = self._tools, self._now()
        loop = asyncio.get_running_loop()
        self._answered.clear()

        def note(head: Head) -> None:
            loop.call_soon_threadsafe(self._note, head)

        download = Download(
            tools.root.part(transfer.directory),
            tools.settings,
            tools.rate,
            note,
            allow_private=tools.allow_private,
            free_bytes=tools.root.free_bytes,
            with_md5=bool(transfer.md5sum),
        )
        running = asyncio.create_task(asyncio.to_thread(download.run, transfer.url, transfer.validator))
        announcing = asyncio.create_task(self._announce())
        ticking = asyncio.create_task(self._tick(download, announcing))
        try:
            head, sums = await asyncio.shield(running)
            await announcing
            return head, sums
        except asyncio.CancelledError:
            download.stop()
            await asyncio.wait([running])
            running.exception()
            raise
        finally:
            for task in (announcing, ticking):
                task.cancel()
            await asyncio.wait([announcing, ticking])

    def _note(self, head: Head) -> None:
        self._head = head
        self._answered.set()

    async def _announce(self) -> None:
        """Tell what the server answered."""
        await self._answered.wait()
        head = self._head
        assert head is not None
        now = self._now()
        name = safe(now.name) if now.name else head.name
        await self._report(
            status=DOWNLOADING,
            progress=head.offset,
            size=head.size,
            name=name,
            file=name,
            validator=head.validator,
            retry_at="",
        )
        self._file = name

    async def _tick(self, download: Download, announcing: asyncio.Task[None]) -> None:
        """Tell how far it is, as long as it takes."""
        await asyncio.wait([announcing])
        while True:
            await asyncio.sleep(self._tools.settings.progress_s)
            await self._report(progress=download.written)

    async def _complete(self, whole: Path, sums: Sums) -> None:
        size = await asyncio.to_thread(_size_of, whole)
        await self._tools.told.came(self._now(), whole, sums)
        await self._report(
            phase="complete",
            status=COMPLETE,
            progress=size,
            size=size,
            file=whole.name,
            error="",
            attempts=0,
            **sums._asdict(),
        )
        _log.info("transfer complete", transfer=self._transfer.id, bytes=size, sha256=sums.sha256)
        await self._ended()
        if not sums.md5:  # nobody waits for it
            filled = await asyncio.to_thread(digests_of, whole, with_md5=True)
            await self._report(md5=filled.md5)

    async def _failed(self, failure: TransferFailed) -> None:
        await self._report(
            phase="failed",
            status=failure.status,
            progress=self._part_bytes(),
            error=str(failure)[:500],
            retry_at="",
        )
        _log.warning("transfer failed", transfer=self._transfer.id, status=failure.status, error=str(failure))
        await self._ended()

    async def _pause(self, failure: TransferFailed, attempts: int) -> None:
        pause_s = self._tools.settings.pause_s(attempts)
        retry_at = iso(time.time_ns() + int(pause_s * 1e9))
        told = {"attempts": attempts, "error": f"{failure.status}: {failure}"[:500], "retry_at": retry_at}
        await self._report(progress=self._part_bytes(), **told)
        _log.info("transfer is tried again", transfer=self._transfer.id, pause_s=pause_s, error=str(failure))
        await asyncio.sleep(pause_s)

    async def _ended(self) -> None:
        await self._tools.view.changed(lambda: not self._is_mine() or self._now().phase != "running")

    async def _report(self, **told: Any) -> None:
        await self._tools.send(Report(**self._addressed(), **told))

    def _addressed(self) -> dict[str, Any]:
        return {
            "command": str(uuid.uuid4()),
            "at": iso(time.time_ns()),
            "id": self._transfer.id,
            "round": self.number,
            "worker": self._tools.worker,
        }

    def _now(self) -> Transfer:
        return self._tools.view.transfers.rows.get(self._transfer.id, self._transfer)

    def _part_bytes(self) -> int:
        try:
            return self._tools.root.part(self._transfer.directory).stat().st_size
        except OSError:
            return 0


def _size_of(path: Path) -> int:
    return path.stat().st_size
