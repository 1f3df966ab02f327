"""Transfers of the file monitor: a list with bars that move, forms to begin, cancel, retry and forget one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api import auth, filemonitor_form
from api.errors import BadRequest, Conflict, NotFound
from api.pages.parts import Parts
from api.pages.session import Reader
from processors import transfer_filters
from processors.transfer_commands import Cancel, Create, Delete, Retry
from processors.transfer_records import Transfer

ROWS = 50
STATES = ("queued", "running", "complete", "failed", "outside")
_OPEN = ("queued", "running")
_ASKED = {"cancel": Cancel, "retry": Retry, "delete": Delete}


@dataclass(frozen=True)
class Shown:
    """A transfer as a row of the page."""

    transfer: Transfer

    @property
    def percent(self) -> int | None:
        """How much of it is there; None where its size is not known."""
        size = self.transfer.size
        return min(100, self.transfer.progress * 100 // size) if size and size > 0 else None

    @property
    def updated_us(self) -> int:
        """When it was last written."""
        return int(datetime.fromisoformat(self.transfer.updated).timestamp() * 1_000_000)

    @property
    def is_open(self) -> bool:
        """Tell whether it can be cancelled."""
        return self.transfer.phase in _OPEN

    @property
    def has_failed(self) -> bool:
        """Tell whether it can be tried again."""
        return self.transfer.phase == "failed"

    @property
    def tone(self) -> str:
        """The colour of its status."""
        if self.has_failed or "Error" in self.transfer.status:
            return "bad"
        return {"complete": "good", "running": "busy"}.get(self.transfer.phase, "quiet")


class TransfersPage:
    """Serves the page, its rows alone for the script that follows them, and its forms."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def get(self, request: Request) -> Response:
        """Show transfers, the newest first."""
        reader = await self._parts.sessions.reader(request, auth.FILES_READ)
        context = await self._context(request, reader)
        return self._parts.site.page(request, "transfers.html", title="Transfers", **context)

    async def rows(self, request: Request) -> Response:
        """Return the rows of the same list, as a piece of the page."""
        reader = await self._parts.sessions.reader(request, auth.FILES_READ)
        context = await self._context(request, reader)
        part = self._parts.site.part("transfer_rows.html", csrf=request.state.csrf, **context)
        return Response(part, media_type="text/html", headers={"Cache-Control": "no-store"})

    async def make(self, request: Request) -> Response:
        """Queue a URL."""
        reader = await self._parts.sessions.reader(request, auth.FILES_WRITE)
        given = await self._parts.sessions.form(request)
        body = {"url": given.get("url", "").strip(), "tags": given.get("tags", "")}
        body |= {"md5sum": given["md5sum"].strip()} if given.get("md5sum", "").strip() else {}
        await self._parts.desk.decided(Create, reader.key.id, fields=filemonitor_form.fields(body))
        return RedirectResponse("/pages/transfers", 303)

    async def change(self, request: Request) -> Response:
        """Cancel, retry or delete one transfer."""
        kind = _ASKED.get(request.path_params["what"])
        identity = request.path_params["id"]
        if kind is None or not identity.isdecimal() or int(identity) >= 2**63:
            raise NotFound("There is no such page.")
        reader = await self._parts.sessions.reader(request, auth.FILES_WRITE)
        await self._parts.sessions.form(request)
        try:
            answer = await self._parts.desk.decided(kind, reader.key.id, id=int(identity))
        except BadRequest as error:
            raise Conflict(f"Transfer {identity}: {error.message}.") from error
        if answer.result == "absent":
            raise NotFound("There is no such transfer any more.")
        return RedirectResponse("/pages/transfers", 303)

    async def _context(self, request: Request, reader: Reader) -> dict[str, Any]:
        given = {name: request.query_params.get(name, "") for name in ("state", "text")}
        before = request.query_params.get("before", "")
        found = _matching((await self._parts.desk.transfers()).newest_first(), given)
        if before.isdecimal():
            found = [row for row in found if row.id < int(before)]
        shown = [Shown(row) for row in found[:ROWS]]
        following = urlencode(given | {"before": found[ROWS - 1].id}) if len(found) > ROWS else None
        return {
            "transfers": shown,
            "moving": any(each.is_open for each in shown),
            "may_write": reader.may(auth.FILES_WRITE),
            "states": STATES,
            "given": given,
            "rows_url": f"/pages/transfers/rows?{urlencode(given | {'before': before})}",
            "first": f"/pages/transfers?{urlencode(given)}" if before else None,
            "next": f"/pages/transfers?{following}" if following else None,
        }


def _matching(rows: list[Transfer], given: dict[str, str]) -> list[Transfer]:
    """Return the transfers in a state whose URL holds a text."""
    if given["state"] in STATES:
        rows = [row for row in rows if row.phase == given["state"]]
    return transfer_filters.parse([("url__icontains", given["text"])]).select(rows) if given["text"] else rows


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    page = TransfersPage(parts)
    return [
        Route("/transfers", page.get, methods=["GET"]),
        Route("/transfers", page.make, methods=["POST"]),
        Route("/transfers/rows", page.rows, methods=["GET"]),
        Route("/transfers/{id}/{what}", page.change, methods=["POST"]),
    ]
