"""What a run does: a webhook, a record on somebody's topic, a command. One attempt each; errors say why.

ActionFailed            this attempt failed, the next may succeed
└── ActionRefused       none will, or may: settings or the workflow do not allow it, or a command was cut off
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from tempfile import TemporaryFile
from typing import Self

import httpx2
import msgspec
import structlog
from standardwebhooks import Webhook as Signer

from processors.runs import Run
from processors.targets import PublicTransport, TargetRefused
from processors.workflow import Command, ToTopic, Webhook, Workflow

_TOLD_BYTES = 500
"""Of an answer or of what a command says, in the message of a failure."""
_USER_AGENT = "fswire-webhook"
_CONNECT_S = 10.0
"""For each address of a host, so that one that is dead leaves time for the next."""
_PIPE_BYTES = 65_536
_log = structlog.get_logger()


class ActionFailed(Exception):
    """An attempt failed; the message is what the run shows."""


class ActionRefused(ActionFailed):
    """It cannot succeed, or may have done its work already: nothing is tried again."""


class Actions:
    """Carries out attempts; `append` puts a record on a topic and returns once it is acknowledged."""

    def __init__(
        self,
        append: Callable[[str, bytes, bytes], Awaitable[None]],
        *,
        prefix: str,
        commands: tuple[str, ...],
        allow_private: bool,
    ) -> None:
        self._append = append
        self._prefix = prefix
        self._commands = commands
        self._client = httpx2.AsyncClient(
            transport=PublicTransport(allow_private=allow_private),
            follow_redirects=False,
            trust_env=False,
            timeout=httpx2.Timeout(None, connect=_CONNECT_S),
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def perform(self, workflow: Workflow, run: Run) -> None:
        """Make one attempt within the workflow's time. Raises ActionFailed, whatever goes wrong."""
        try:
            await self._perform(workflow, run)
        except ActionFailed:
            raise
        except Exception as error:  # whatever it is, it is this run alone
            _log.exception("an action failed in a way that is not known", run=run.id, workflow=workflow.name)
            raise ActionFailed(f"{type(error).__name__}: {error}"[:_TOLD_BYTES]) from error

    async def _perform(self, workflow: Workflow, run: Run) -> None:
        action = workflow.action
        try:
            async with asyncio.timeout(workflow.timeout_s):
                if action.webhook is not None:
                    await self._webhook(action.webhook, workflow, run)
                elif action.topic is not None:
                    await self._topic(action.topic, run)
                elif action.command is not None:
                    await self._command(action.command, run)
        except TimeoutError as error:
            late = f"not done within {workflow.timeout_s:g} s"
            if action.command is not None:
                raise ActionRefused(f"{late}, interrupted: whether it did its work is not known") from error
            raise ActionFailed(late) from error

    async def _webhook(self, webhook: Webhook, workflow: Workflow, run: Run) -> None:
        now = datetime.now(UTC)
        happened = msgspec.json.decode(run.event, type=_Told).timestamp_utc or run.queued_at
        told = {"type": workflow.fired(run.project_id), "timestamp": happened, "data": run.event}
        body = msgspec.json.encode(told)
        headers = {
            "accept-encoding": "identity",
            "content-type": "application/json",
            "user-agent": _USER_AGENT,
            "webhook-id": run.id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if webhook.secret_env is not None:
            headers["webhook-signature"] = _signer(webhook.secret_env).sign(run.id, now, body.decode())
        try:
            async with self._client.stream("POST", webhook.url, content=body, headers=headers) as answer:
                if not answer.is_success:
                    raise ActionFailed(f"answered {answer.status_code}: {await _beginning(answer)}")
        except TargetRefused as error:
            raise ActionRefused(str(error)) from error
        except httpx2.InvalidURL as error:
            raise ActionRefused("webhook.url is no URL that can be called") from error
        except httpx2.HTTPError as error:
            raise ActionFailed(f"{type(error).__name__}: {error}") from error

    async def _topic(self, to: ToTopic, run: Run) -> None:
        if to.topic.startswith(self._prefix):
            raise ActionRefused(f"topic {to.topic} is one of fswire's own")
        await self._append(to.topic, run.project_id.encode(), bytes(run.event))

    async def _command(self, command: Command, run: Run) -> None:
        if command.argv[0] not in self._commands:
            raise ActionRefused(f"{command.argv[0]} is not in FSWIRE_RUNNER_COMMANDS of the runner's host")
        with TemporaryFile() as told, _Said() as said:
            told.write(bytes(run.event))
            told.seek(0)
            status = await self._exit_status(command, run, told.fileno(), said.pipe)
        if status:
            raise ActionFailed(f"exit status {status}: {said.text}")

    async def _exit_status(self, command: Command, run: Run, stdin: int, stderr: int) -> int:
        """Run a program to its end, which is not held up by what it leaves running."""
        environment = {"PATH": os.environ.get("PATH", os.defpath), "FSWIRE_RUN_ID": run.id}
        try:
            process = await asyncio.create_subprocess_exec(
                *command.argv,
                stdin=stdin,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ActionRefused(f"{command.argv[0]}: {error.strerror}") from error
        try:
            return await process.wait()
        except BaseException:
            await _kill(process)
            raise


class _Told(msgspec.Struct, rename="camel"):
    timestamp_utc: str | None = None


class _Said:
    """The end of what a program writes to `pipe`, read while it runs."""

    def __init__(self) -> None:
        self._source, self.pipe = os.pipe()
        self._said = b""

    @property
    def text(self) -> str:
        """Return it, for the message of a failure."""
        return self._said.decode(errors="replace")

    def __enter__(self) -> Self:
        os.set_blocking(self._source, False)
        asyncio.get_running_loop().add_reader(self._source, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        self._read()
        asyncio.get_running_loop().remove_reader(self._source)
        os.close(self._source)
        os.close(self.pipe)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._said = (self._said + os.read(self._source, _PIPE_BYTES))[-_TOLD_BYTES:]


async def _beginning(answer: httpx2.Response) -> str:
    """Return the beginning of an answer's body, however long, wrongly encoded or cut off it is."""
    told = b""
    with contextlib.suppress(httpx2.HTTPError):
        async for piece in answer.aiter_raw(_TOLD_BYTES):
            told += piece
            if len(told) >= _TOLD_BYTES:
                break
    return told[:_TOLD_BYTES].decode(errors="replace")


def _signer(variable: str) -> Signer:
    secret = os.environ.get(variable)
    if not secret:
        raise ActionRefused(f"there is no {variable} in the runner's environment")
    try:
        return Signer(secret)
    except (ValueError, RuntimeError) as error:
        raise ActionRefused(f"{variable} holds no signing secret: whsec_ and base64 are expected") from error


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End a command with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    await process.wait()
