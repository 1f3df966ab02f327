"""What the modules of pages are made from: the api's own parts, and the pages' site and sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from api.access import Access
from api.broker import Broker
from api.database import Database
from api.export import Export
from api.filemonitor_desk import Desk
from api.history import History
from api.live import Hub
from api.operations import Operations
from api.pages.session import Sessions
from api.pages.site import Site
from api.settings import ApiSettings

Row = TypeVar("Row")


@dataclass(frozen=True)
class Parts:
    """Given to `routes` of every module of pages, once per process."""

    settings: ApiSettings
    access: Access
    broker: Broker
    database: Database
    history: History
    export: Export
    operations: Operations
    hub: Hub
    site: Site
    sessions: Sessions
    desk: Desk

    async def rows(self, sql: str, parameters: dict[str, Any], row: type[Row]) -> list[Row]:
        """Return the rows of a query of a page; Unavailable where the database cannot be asked."""
        bounds = {"max_execution_time": self.settings.pages_timeout_s}
        return await self.database.rows(sql, parameters, row, bounds)
