"""Workflows of the registry, their runs, one run with every state that it went through, another try."""

from __future__ import annotations

import time
from urllib.parse import quote, urlsplit

import msgspec
from aiokafka.errors import KafkaError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from api import auth
from api.errors import Conflict, NotFound, Unavailable
from api.pages.parts import Parts
from api.pages.places import Place, before
from api.pages.session import Reader
from processors.retry import RetryRefused
from processors.workflow import Workflow

ROWS = 50
FOLLOWED_S = 300
"""After a change the page of a run that has not ended loads itself anew for this long."""
STATES = ("queued", "running", "succeeded", "failed")
_RUN = """run_id, workflow, project_id, event_id, path, state, attempts, again, error, superseded_by,
    toUnixTimestamp64Micro(queued) AS queued_us, toUnixTimestamp64Micro(updated) AS updated_us,
    kafka_partition, kafka_offset"""
_RUNS = f"""
SELECT {_RUN} FROM runs FINAL
WHERE ROWS AND ({{state:String}} = '' OR state = {{state:String}})
    AND ({{workflow:String}} = '' OR workflow = {{workflow:String}})
    AND ({{project:String}} = '' OR project_id = {{project:String}})
    AND (updated_us, run_id) < ({{before_us:Int64}}, {{before_id:String}})
ORDER BY updated DESC, run_id DESC
LIMIT {{rows:UInt32}}
"""  # noqa: S608  our own columns; values are bound
_ONE = f"""
SELECT {_RUN} FROM runs FINAL WHERE project_id = {{project:String}} AND run_id = {{run:String}}
"""  # noqa: S608
_HISTORY = """
SELECT state, attempts, again, error, toUnixTimestamp64Micro(updated) AS updated_us
FROM run_states FINAL WHERE project_id = {project:String} AND run_id = {run:String}
ORDER BY kafka_offset
LIMIT 1000
"""
_COUNTS = """
SELECT workflow, countIf(state = 'queued') AS queued, countIf(state = 'running') AS running,
    countIf(state = 'succeeded') AS succeeded, countIf(state = 'failed') AS failed
FROM runs FINAL WHERE ROWS GROUP BY workflow
"""


class Run(msgspec.Struct):
    """The newest state of a run, as the table has it."""

    run_id: str
    workflow: str
    project_id: str
    event_id: str
    path: str
    state: str
    attempts: int
    again: int
    error: str
    superseded_by: str
    queued_us: int
    updated_us: int
    kafka_partition: int
    kafka_offset: int

    @property
    def url(self) -> str:
        """Its page."""
        return f"/pages/workflows/runs/{self.project_id}/{self.run_id}"


class Step(msgspec.Struct):
    """A state that a run went through."""

    state: str
    attempts: int
    again: int
    error: str
    updated_us: int


class Counts(msgspec.Struct):
    """Runs of a workflow by their newest state."""

    workflow: str = ""
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0


class Workflows:
    """Serves the pages."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def get(self, request: Request) -> Response:
        """Show workflows and runs, the newest first."""
        reader = await self._parts.sessions.reader(request)
        given = {name: request.query_params.get(name, "") for name in ("state", "workflow", "project")}
        place = before(request)
        bounds = given | place.bounds | {"rows": ROWS + 1}
        found = await self._parts.rows(_RUNS.replace("ROWS", reader.rows), bounds, Run)
        counts = await self._parts.rows(_COUNTS.replace("ROWS", reader.rows), {}, Counts)
        last = found[ROWS - 1] if len(found) > ROWS else None
        return self._parts.site.page(
            request,
            "workflows.html",
            title="Workflows and runs",
            workflows=self._workflows(reader),
            counts={each.workflow: each for each in counts},
            no_runs=Counts(),
            runs=found[:ROWS],
            states=STATES,
            given=given,
            target=target,
            first=None if place.is_first else place.first_url(request),
            next=Place(last.updated_us, last.run_id).url(request) if last else None,
        )

    async def run(self, request: Request) -> Response:
        """Show one run."""
        project = request.path_params["project"]
        reader = await self._parts.sessions.reader(request, project=project)
        run = await self._run(request)
        steps = await self._parts.rows(_HISTORY, {"project": project, "run": run.run_id}, Step)
        asked = request.query_params.get("again", "")
        is_awaited = asked.isdecimal() and run.again < int(asked)
        is_moving = run.state in ("queued", "running") and time.time() - run.updated_us / 1e6 < FOLLOWED_S
        return self._parts.site.page(
            request,
            "run.html",
            title=f"Run of {run.workflow}",
            run=run,
            steps=steps,
            workflow=self._parts.broker.registry.workflows.get(run.workflow),
            target=target,
            asked=bool(asked),
            waiting=is_awaited or is_moving,
            may_retry=run.state == "failed" and not is_awaited and reader.may(auth.WRITE),
        )

    async def retry(self, request: Request) -> Response:
        """Queue a failed run again, and lead back to its page."""
        project = request.path_params["project"]
        await self._parts.sessions.reader(request, auth.WRITE, project)
        await self._parts.sessions.form(request)
        run = await self._run(request)
        try:
            asked = await self._parts.operations.retry(run.run_id, run.kafka_partition, run.kafka_offset)
        except RetryRefused as error:
            raise Conflict(str(error), code="retry_refused") from error
        except KafkaError as error:
            raise Unavailable("the broker is not reachable", code="broker_unavailable") from error
        return RedirectResponse(f"{quote(run.url)}?again={asked.again}", 303)

    async def _run(self, request: Request) -> Run:
        found = await self._parts.rows(_ONE, dict(request.path_params), Run)
        if not found:
            raise NotFound("There is no such run, or not yet: they show here a moment after they are queued.")
        return found[0]

    def _workflows(self, reader: Reader) -> list[Workflow]:
        every = self._parts.broker.registry.workflows.values()
        return sorted((each for each in every if reader.covers(each.project)), key=lambda each: each.name)


def target(workflow: Workflow) -> str:
    """Return what a workflow's action is aimed at; never what may be a secret of a URL or of an argument."""
    action = workflow.action
    if action.webhook is not None:
        parts = urlsplit(action.webhook.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    if action.topic is not None:
        return action.topic.topic
    return action.command.argv[0] if action.command is not None else ""


def routes(parts: Parts) -> list[Route]:
    """Return the routes of this module."""
    workflows = Workflows(parts)
    one = "/workflows/runs/{project}/{run}"
    return [
        Route("/workflows", workflows.get, methods=["GET"]),
        Route(one, workflows.run, methods=["GET"]),
        Route(f"{one}/retry", workflows.retry, methods=["POST"]),
    ]
