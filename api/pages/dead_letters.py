"""Dead letters: what could not be taken, why, its bytes shown so that nothing of them runs, another try."""

from __future__ import annotations

import base64

import msgspec
from aiokafka.errors import KafkaError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api import auth
from api.errors import Conflict, NotFound, Unavailable
from api.pages.hexdump import dump
from api.pages.parts import Parts
from api.pages.places import Place, before
from api.pages.session import Reader
from processors import letters
from processors.clickhouse import ClickHouseUnavailable
from processors.letters import Letter, ReplayRefused, UnknownLetter
from processors.sink_database import RowsRefused

ROWS = 50
SHOWN_BYTES = 8 * 1024
"""Of a letter's bytes, on its page; all that were kept can be downloaded."""
_LETTER = """toValidUTF8(project_id) AS project, source_topic, source_partition, source_offset, reason,
    detail, size, truncated, toUnixTimestamp64Micro(received) AS received_us, kafka_partition, kafka_offset,
    concat(leftPad(toString(kafka_partition), 10, '0'), '.', leftPad(toString(kafka_offset), 20, '0'))
        AS id,
    toBool((kafka_partition, kafka_offset) GLOBAL IN (
        SELECT source_partition, source_offset FROM dead_letters WHERE ROWS AND reason = 'replayed'
    )) AS replayed"""
_LETTERS = f"""
SELECT {_LETTER}, '' AS value_b64 FROM dead_letters FINAL
WHERE ROWS AND reason != 'replayed' AND ({{reason:String}} = '' OR reason = {{reason:String}})
    AND ({{project:String}} = '' OR project_id = {{project:String}})
    AND (received_us, id) < ({{before_us:Int64}}, {{before_id:String}})
ORDER BY received_us DESC, id DESC
LIMIT {{rows:UInt32}}
"""  # noqa: S608  our own columns; values are bound
_ONE = f"""
SELECT {_LETTER}, base64Encode(value) AS value_b64 FROM dead_letters FINAL
WHERE ROWS AND reason != 'replayed'
    AND kafka_partition = {{partition:UInt32}} AND kafka_offset = {{offset:UInt64}}
"""  # noqa: S608
_REASONS = (
    "SELECT reason, count() AS letters FROM dead_letters FINAL "
    "WHERE ROWS AND reason != 'replayed' GROUP BY reason ORDER BY reason"
)


class Shown(msgspec.Struct):
    """A dead letter as the table has it."""

    project: str
    source_topic: str
    source_partition: int
    source_offset: int
    reason: str
    detail: str
    size: int
    truncated: bool
    received_us: int
    kafka_partition: int
    kafka_offset: int
    id: str
    replayed: bool
    value_b64: str

    @property
    def url(self) -> str:
        """Its page."""
        return f"/pages/dead-letters/{self.kafka_partition}/{self.kafka_offset}"

    @property
    def place(self) -> letters.Place:
        """Where it stands in its topic."""
        return letters.Place(self.kafka_partition, self.kafka_offset)

    @property
    def is_whole(self) -> bool:
        """Tell whether all its bytes are here."""
        return bool(self.value_b64) and not self.truncated

    @property
    def value(self) -> bytes:
        """The bytes that were kept."""
        return base64.b64decode(self.value_b64)


class _Reason(msgspec.Struct):
    reason: str
    letters: int


class DeadLetters:
    """Serves the pages."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def get(self, request: Request) -> Response:
        """Show the letters that the reader may see, the newest first."""
        reader = await self._parts.sessions.reader(request)
        given = {name: request.query_params.get(name, "") for name in ("reason", "project")}
        place = before(request)
        bounds = given | place.bounds | {"rows": ROWS + 1}
        found = await self._parts.rows(_LETTERS.replace("ROWS", _visible(reader)), bounds, Shown)
        last = found[ROWS - 1] if len(found) > ROWS else None
        return self._parts.site.page(
            request,
            "dead_letters.html",
            title="Dead letters",
            letters=found[:ROWS],
            reasons=await self._parts.rows(_REASONS.replace("ROWS", _visible(reader)), {}, _Reason),
            given=given,
            first=None if place.is_first else place.first_url(request),
            next=Place(last.received_us, last.id).url(request) if last else None,
        )

    async def letter(self, request: Request) -> Response:
        """Show one letter and its bytes."""
        reader = await self._parts.sessions.reader(request)
        found = await self._found(request, reader)
        as_hex = request.query_params.get("as") == "hex"
        shown = found.value[:SHOWN_BYTES]
        return self._parts.site.page(
            request,
            "dead_letter.html",
            title=f"Dead letter {found.kafka_partition}:{found.kafka_offset}",
            letter=found,
            as_hex=as_hex,
            lines=dump(shown) if as_hex else shown.decode("utf-8", "surrogateescape").split("\n"),
            kept=len(found.value),
            shown=len(shown),
            replayed="done" in request.query_params,
            may_replay=not found.truncated
            and bool(found.value_b64)
            and self._may_replay(reader, found.project),
        )

    async def download(self, request: Request) -> Response:
        """Send the bytes that were kept, as nothing that a browser would show."""
        found = await self._found(request, await self._parts.sessions.reader(request))
        name = f"dead-letter-{found.kafka_partition}-{found.kafka_offset}.bin"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(found.value, media_type="application/octet-stream", headers=headers)

    async def replay(self, request: Request) -> Response:
        """Try a letter again, and lead back to it."""
        reader = await self._parts.sessions.reader(request, auth.WRITE)
        await self._parts.sessions.form(request)
        found = await self._found(request, reader)
        try:
            letter = await self._parts.operations.letter(
                letters.Place(found.kafka_partition, found.kafka_offset)
            )
            await self._require(reader, letter)
            await self._parts.operations.replay(letter)
        except UnknownLetter as error:
            raise NotFound("The topic does not hold this letter any more.") from error
        except (ReplayRefused, RowsRefused) as error:
            raise Conflict(f"Not replayed: {error}", code="replay_refused") from error
        except (KafkaError, ClickHouseUnavailable) as error:
            raise Unavailable("broker or database are not reachable", code="not_reachable") from error
        return RedirectResponse(f"{found.url}?done=replayed", 303)

    async def _found(self, request: Request, reader: Reader) -> Shown:
        found = await self._parts.rows(
            _ONE.replace("ROWS", _visible(reader)), dict(request.path_params), Shown
        )
        if not found:
            raise NotFound("There is no such dead letter, or not for this key.")
        return found[0]

    async def _require(self, reader: Reader, letter: Letter) -> None:
        """Raise unless the reader may bring events into every project that the letter names."""
        for project in {letter.project, letters.aimed_at(letter)}:
            reader.require(auth.WRITE, project)
            if not reader.may(auth.ADMIN):
                await self._parts.access.require_project(project)

    def _may_replay(self, reader: Reader, project: str) -> bool:
        if reader.may(auth.ADMIN):
            return True
        return reader.may(auth.WRITE) and self._parts.broker.registry.allowed(project)


def _visible(reader: Reader) -> str:
    """Return the condition of the letters that a reader may see: those without a project are an admin's."""
    return reader.rows if reader.may(auth.ADMIN) else f"({reader.rows}) AND project_id != ''"


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    pages = DeadLetters(parts)
    one = "/dead-letters/{partition:int}/{offset:int}"
    return [
        Route("/dead-letters", pages.get, methods=["GET"]),
        Route(one, pages.letter, methods=["GET"]),
        Route(f"{one}/bytes", pages.download, methods=["GET"]),
        Route(f"{one}/replay", pages.replay, methods=["POST"]),
    ]
