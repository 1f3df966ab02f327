"""Structured logs on standard error: JSON lines, or coloured text on a terminal.

Levels have a meaning: WARNING, nothing was lost; ERROR, data was lost or a person is needed. Of lines that
are too many alike a minute lets only the first through, and says how many were left out (`agent.log_limit`).
"""

from __future__ import annotations

import logging
import sys
import threading
import time

import structlog

from agent.log_limit import LINES_PER_MINUTE, LogLimit


def configure(part: str, *, level: str = "INFO", lines_per_minute: int = LINES_PER_MINUTE) -> None:
    """Set up logging of one process; `part` names it in every line. Standard logging goes the same way."""
    limit = LogLimit(lines_per_minute)
    shared: list[structlog.types.Processor] = [
        _named(part),
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.types.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[limit, *shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    handler.addFilter(limit)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _named(part: str) -> structlog.types.Processor:
    """Return what adds the part's name; not a context variable: threads have a context of their own."""

    def add(_logger: object, _method: str, entry: structlog.types.EventDict) -> structlog.types.EventDict:
        entry["part"] = part
        return entry

    return add


class Throughput:
    """Counts events through one stage and logs the total about once a second.

    `fswire up` reads these lines to show events per second: `{"event": "throughput", "stage", "events"}`.
    """

    def __init__(self, stage: str, *, every_s: float = 1.0) -> None:
        self.events = 0
        self._stage = stage
        self._every_s = every_s
        self._last = 0.0
        self._late: threading.Timer | None = None
        self._log = structlog.get_logger()

    def add(self, events: int) -> None:
        """Count events that passed; call once per batch. The last of a burst are logged a second later."""
        self.events += events
        wait_s = self._last + self._every_s - time.monotonic()
        if not events or self._late is not None:
            return
        if wait_s <= 0:
            self._tell()
        else:
            self._late = threading.Timer(wait_s, self._tell)
            self._late.daemon = True
            self._late.start()

    def _tell(self) -> None:
        self._late = None
        self._last = time.monotonic()
        self._log.info("throughput", stage=self._stage, events=self.events)
