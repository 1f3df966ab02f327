"""What a run does: a webhook, a record on somebody's topic, a command. One attempt each; errors say why.

ActionFailed            this attempt failed, the next may succeed
└── ActionRefused       no attempt will: settings, or the workflow itself, do not allow it
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import httpx2
import msgspec
from standardwebhooks import Webhook as Signer

from processors.runs import Run
from processors.targets import PublicTransport, TargetRefused
from processors.workflow import Command, ToTopic, Webhook, Workflow

_TOLD_BYTES = 500
"""Of an answer or of what a command says, in the message of a failure."""
_USER_AGENT = "fswire-webhook"


class ActionFailed(Exception):
    """An attempt failed; the message is what the run shows."""


class ActionRefused(ActionFailed):
    """It cannot succeed: nothing is tried again."""


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
            transport=PublicTransport(allow_private=allow_private), follow_redirects=False, trust_env=False
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()

    async def perform(self, workflow: Workflow, run: Run) -> None:
        """Make one attempt within the workflow's time. Raises ActionFailed."""
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
            raise ActionFailed(f"not done within {workflow.timeout_s:g} s") from error

    async def _webhook(self, webhook: Webhook, workflow: Workflow, run: Run) -> None:
        now = datetime.now(UTC)
        told = {"type": workflow.trigger, "timestamp": now.isoformat(), "data": run.event}
        body = msgspec.json.encode(told)
        headers = {
            "content-type": "application/json",
            "user-agent": _USER_AGENT,
            "webhook-id": run.id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if webhook.secret_env is not None:
            headers["webhook-signature"] = _signer(webhook.secret_env).sign(run.id, now, body.decode())
        try:
            answer = await self._client.post(webhook.url, content=body, headers=headers, timeout=None)
        except TargetRefused as error:
            raise ActionRefused(str(error)) from error
        except httpx2.HTTPError as error:
            raise ActionFailed(f"{type(error).__name__}: {error}") from error
        if not answer.is_success:
            raise ActionFailed(f"answered {answer.status_code}: {answer.text[:_TOLD_BYTES]}")

    async def _topic(self, to: ToTopic, run: Run) -> None:
        if to.topic.startswith(self._prefix):
            raise ActionRefused(f"topic {to.topic} is one of fswire's own")
        await self._append(to.topic, run.project_id.encode(), bytes(run.event))

    async def _command(self, command: Command, run: Run) -> None:
        if command.argv[0] not in self._commands:
            raise ActionRefused(f"{command.argv[0]} is not in FSWIRE_RUNNER_COMMANDS of the runner's host")
        environment = {"PATH": os.environ.get("PATH", os.defpath), "FSWIRE_RUN_ID": run.id}
        try:
            process = await asyncio.create_subprocess_exec(
                *command.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise ActionRefused(f"{command.argv[0]}: {error.strerror}") from error
        try:
            _, said = await process.communicate(bytes(run.event))
        except BaseException:
            await _kill(process)
            raise
        if process.returncode:
            raise ActionFailed(
                f"exit status {process.returncode}: {said[-_TOLD_BYTES:].decode(errors='replace')}"
            )


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
