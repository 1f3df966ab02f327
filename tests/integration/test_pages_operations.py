"""The operators' pages in a real browser: agents, gaps, runs, dead letters, the tree now and in the past."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from playwright.sync_api import Browser, expect

from agent.event import Batch, Event, Gap
from processors import registry
from processors.registry import Project
from processors.workflow import Action, Command, Retry, ToTopic, Workflow
from tests.integration.browser import PATIENCE_MS, PHONE, Visitor
from tests.integration.normalizing import write
from tests.integration.running import Stack

pytestmark = pytest.mark.stack
expect.set_options(timeout=PATIENCE_MS)
PHONE_IN_THE_DARK = {"viewport": PHONE, "color_scheme": "dark", "has_touch": True}
SCRIPT = "<script>document.title='run'</script>"


@pytest.fixture
def project(stack: Stack) -> str:
    """A project of the test's own."""
    name = f"ops-{secrets.token_hex(4)}"
    register(stack, registry.registered_now(name))
    return name


@pytest.fixture
def directory(stack: Stack) -> Iterator[Path]:
    """A directory of the test's own in the watched tree."""
    made = stack.watched / f"ops-{secrets.token_hex(4)}"
    made.mkdir()
    yield made


def batch(project: str, *events: Event) -> Batch:
    return Batch(
        v=1,
        project=project,
        host="host-1",
        sent_ns=time.time_ns(),
        agent="agt_ops",
        epoch="e1",
        first_seq=1,
        events=list(events),
    )


def key_for(stack: Stack, project: str, *scopes: str) -> str:
    options = [option for scope in scopes for option in ("--scope", f"directory_monitor:{scope}")]
    made = stack.command("key", "create", "--project", project, *options)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def register(stack: Stack, *entries: Project | Workflow) -> None:
    apart(asyncio.run, registry.write(stack.kafka, *entries))


def failed_run(stack: Stack, project: str, action: Action) -> str:
    """Register a workflow whose action fails at the first attempt, the last one; return its run's id."""
    trigger = f"DirectoryMonitor.{project}.notify"
    register(stack, Workflow(f"flow-{project}", project, trigger, action, retry=Retry(attempts=1)))
    apart(stack.settle)
    assert put(stack, project)["workflowTriggered"]
    query = f"FROM runs FINAL WHERE project_id = '{project}' AND state = 'failed'"
    stack.await_rows(f"SELECT count() {query}", 1)
    return stack.query(f"SELECT run_id {query}").strip()


def put(stack: Stack, project: str) -> dict[str, Any]:
    event = {"projectId": project, "filename": f"{SCRIPT}.txt", "event": "created", "filesize": 1}
    status, answer = stack.send(
        "PUT", f"/2026-02-01/directory-monitor/{project}.json", event, stack.admin_key
    )
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


def make_topic(stack: Stack, name: str) -> None:
    async def make() -> None:
        admin = AIOKafkaAdminClient(**stack.kafka.client())
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, 1, 1)])
        finally:
            await admin.close()

    apart(asyncio.run, make())


def await_event(stack: Stack, condition: str) -> None:
    stack.await_rows(f"SELECT count() FROM events WHERE project_id = '{stack.project}' AND {condition}", 1)


def test_failed_run_is_retried(visitor: Visitor, stack: Stack, project: str) -> None:
    """It says why it failed; once that is mended, a button carries it out; all its states stay in view."""
    topic = f"builds-{secrets.token_hex(4)}"
    run = failed_run(stack, project, Action(topic=ToTopic(topic)))
    visitor.sign_in()

    visitor.go(f"/pages/workflows?project={project}&state=failed")
    expect(visitor.page.get_by_role("row").filter(has_text=f"there is no topic {topic}")).to_have_count(1)
    visitor.shoot("workflows")
    visitor.page.get_by_role("link", name=f"Run of flow-{project}").click()
    visitor.page.wait_for_url(f"**/{run}")
    visitor.shoot("run-failed")
    make_topic(stack, topic)
    visitor.page.get_by_role("button", name="Retry this run").click()
    expect(visitor.page.get_by_role("status")).to_contain_text("Queued again")
    expect(visitor.page.locator(".details .badge.good")).to_have_text("succeeded")
    expect(visitor.page.get_by_role("button", name="Retry this run")).to_have_count(0)
    visitor.shoot("run-retried")

    stack.await_rows(f"SELECT count() FROM run_states FINAL WHERE run_id = '{run}'", 6)
    steps = f"SELECT state, again FROM run_states FINAL WHERE run_id = '{run}' ORDER BY kafka_offset"
    assert [line.split("\t") for line in stack.query(steps).splitlines()] == [
        *(["queued", "0"], ["running", "0"], ["failed", "0"]),
        *(["queued", "1"], ["running", "1"], ["succeeded", "1"]),
    ]
    assert visitor.page.title().startswith("Run of")


def test_run_is_retried_only_by_who_may_and_from_a_page_of_ours(
    visitor: Visitor,
    stack: Stack,
    project: str,
) -> None:
    """A reader has no button, and what he sends all the same is refused; so is a form without our token."""
    run = failed_run(stack, project, Action(command=Command(("/bin/true",))))
    address = f"/pages/workflows/runs/{project}/{run}"
    forms: list[dict[str, str | float | bool]] = [{}, {"csrf": "0" * 64}]

    visitor.sign_in(key_for(stack, project, "read"))
    visitor.go(address)
    forms.append({"csrf": visitor.page.locator("input[name=csrf]").first.get_attribute("value") or ""})
    assert visitor.page.get_by_role("button", name="Retry this run").count() == 0
    send = visitor.context.request.post
    by_reader = send(f"{stack.api}{address}/retry", form=forms[2]).status
    visitor.context.clear_cookies()
    visitor.sign_in(key_for(stack, project, "read", "write"))
    by_others = [send(f"{stack.api}{address}/retry", form=form).status for form in forms]

    assert [by_reader, *by_others] == [403, 403, 403, 403]
    assert stack.query(f"SELECT max(again) FROM runs WHERE run_id = '{run}'").strip() == "0"


def test_command_lists_runs_and_retries_them(stack: Stack, project: str) -> None:
    """Without a browser the same: a run that failed is queued again, one that is not there is named."""
    run = failed_run(stack, project, Action(command=Command(("/bin/true",))))

    listed = stack.command("workflow", "runs", "--project", project, "--state", "failed")
    retried = stack.command("workflow", "retry", run, "run_nope")

    assert run in listed.stdout
    assert (retried.returncode, retried.stdout.splitlines()[0]) == (1, f"{run}: queued again")
    assert "run_nope: not retried: there is no run" in retried.stdout
    stack.await_rows(f"SELECT max(again) FROM runs WHERE run_id = '{run}' AND state = 'failed'", 1)


def test_dead_letter_is_shown_and_replayed(visitor: Visitor, stack: Stack) -> None:
    """Its reason, its bytes as text and digits, none of it run; once what was wrong is mended it is taken."""
    late = f"late-{secrets.token_hex(4)}"
    write_raw(stack, (late, batch(late, Event("create", SCRIPT, time.time_ns()))))
    stack.await_rows(f"SELECT count() FROM dead_letters WHERE project_id = '{late}'", 1)
    visitor.sign_in()

    visitor.go(f"/pages/dead-letters?project={late}")
    expect(visitor.page.get_by_text("unknown_project").first).to_be_visible()
    visitor.page.locator("table a.mono").click()
    expect(visitor.page.locator("pre")).to_contain_text(SCRIPT)
    visitor.shoot("dead-letter")
    visitor.page.get_by_role("link", name="Hexadecimal").click()
    expect(visitor.page.locator("pre")).to_contain_text("7b 22 76 22")
    register(stack, registry.registered_now(late))
    visitor.page.get_by_role("button", name="Replay").click()
    expect(visitor.page.get_by_role("status")).to_contain_text("Replayed")
    visitor.shoot("dead-letter-replayed")
    marks = f"SELECT count() FROM dead_letters WHERE project_id = '{late}' AND reason = 'replayed'"
    stack.await_rows(marks, 1)
    visitor.go(f"/pages/dead-letters?project={late}")
    expect(visitor.page.locator("tbody tr")).to_have_count(1)
    expect(visitor.page.locator("tbody tr")).to_contain_text("replayed")

    stack.await_rows(f"SELECT count() FROM events WHERE project_id = '{late}'", 1)
    assert visitor.page.title().startswith("Dead letter")


def test_letter_that_cannot_be_replayed_says_why(visitor: Visitor, stack: Stack, project: str) -> None:
    """What is no batch stays none; a reader of another project does not see it."""
    write_raw(stack, (project, b'{"' + SCRIPT.encode() + b"\x00\xff"))
    stack.await_rows(f"SELECT count() FROM dead_letters WHERE project_id = '{project}'", 1)
    visitor.sign_in(key_for(stack, project, "read", "write"))

    visitor.go(f"/pages/dead-letters?project={project}")
    visitor.page.locator("table a.mono").click()
    expect(visitor.page.locator("pre")).to_contain_text(SCRIPT)
    place = visitor.page.url.removeprefix(stack.api)
    visitor.page.get_by_role("button", name="Replay").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("it still is no batch")
    visitor.context.clear_cookies()
    visitor.sign_in(key_for(stack, "somebody-elses-*", "read", "write"))

    assert visitor.go(place).status == 404


def test_tree_is_browsed_as_it_is_and_as_it_was(
    visitor: Visitor,
    stack: Stack,
    directory: Path,
) -> None:
    """A file stands under the name that its directory had at the moment; nothing of a name is run."""
    below = directory / "old" / "below"
    below.mkdir(parents=True)
    (below / "kept.txt").write_text("first")
    (below / "gone<b>.txt").write_text("gone")
    await_event(stack, f"path = '{directory.name}/old/below/kept.txt' AND size > 0")
    await_event(stack, f"path = '{directory.name}/old/below/gone<b>.txt' AND size > 0")
    then = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    (directory / "old").rename(directory / "new")
    (directory / "new/below/gone<b>.txt").unlink()
    (directory / "new/below" / SCRIPT.replace("/", "_")).write_text("since")
    await_event(stack, f"startsWith(path, '{directory.name}/new/below/<script') AND size > 0")
    below_now = f"startsWith(path, '{directory.name}/new/below/')"
    stack.await_rows(
        "SELECT count() = 2 AND countIf(position(path, '<script>') > 0) = 1 "
        f"AND countIf(position(path, 'gone') > 0) = 0 FROM files FINAL WHERE {below_now}",
        1,
    )
    visitor.sign_in()
    page, here = visitor.page, f"/pages/files/{stack.project}?path={quote(directory.name)}"

    visitor.go(here)
    page.get_by_role("link", name="new/").click()
    page.get_by_role("link", name="below/").click()
    expect(page.get_by_role("link", name="<script>")).to_be_visible()
    expect(page.get_by_role("link", name="kept.txt")).to_be_visible()
    assert page.get_by_role("link", name="gone").count() == 0
    visitor.shoot("tree-now")
    visitor.go(f"{here}&at={then}")
    page.get_by_role("link", name="old/").click()
    page.get_by_role("link", name="below/").click()
    expect(page.get_by_role("link", name="gone<b>.txt")).to_be_visible()
    expect(page.get_by_role("link", name="kept.txt")).to_be_visible()
    assert page.get_by_role("link", name="<script>").count() == 0
    visitor.shoot("tree-then")
    page.get_by_role("link", name="now", exact=True).click()
    expect(page.get_by_text("Nothing is known here")).to_be_visible()
    assert page.title().startswith(stack.project)


def test_moment_is_chosen_without_scripts(stack: Stack, directory: Path, chromium: Browser) -> None:
    """The form alone does: a browser that runs no script shows the past as well."""
    (directory / "a.txt").write_text("a")
    await_event(stack, f"path = '{directory.name}/a.txt' AND size > 0")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{stack.api}/pages/files/{stack.project}?path={directory.name}")
    page.get_by_label("Key").fill(stack.admin_key)
    page.get_by_role("button", name="Sign in").click()

    page.get_by_label("As of (UTC)").fill("2020-01-01T00:00:00")
    page.get_by_role("button", name="Show").click()

    expect(page.get_by_text("Nothing is known to have stood here")).to_be_visible()
    assert f"path={directory.name}" in page.url
    context.close()


@pytest.mark.parametrize("visitor", [{}, PHONE_IN_THE_DARK], indirect=True, ids=["desktop", "phone"])
def test_silent_agent_and_open_gap_stand_out(visitor: Visitor, stack: Stack, project: str) -> None:
    """The silent stand first and marked; a gap says why, where, since when, and whether it was mended."""
    silent = f"SELECT 'agt_{project}', '{project}', 'host-1', 'inotify', now() - 3600"
    stack.query(f"INSERT INTO agents (agent, project_id, host, backend, received) {silent}")
    gap, mended = Gap("gap_1", "overflow", since_ns=time.time_ns()), Gap("gap_2", "agent_down")
    events = [Event("gap", "src", time.time_ns(), gap=gap), Event("gap", "", time.time_ns(), gap=mended)]
    closed = Event("gap_closed", "", time.time_ns(), gap=mended)
    write_raw(stack, (project, batch(project, *events, closed)))
    stack.await_rows(
        f"SELECT count() + countIf(isNotNull(closed)) FROM gaps FINAL WHERE project_id = '{project}'", 3
    )
    visitor.sign_in()

    visitor.go("/pages/agents")
    row = visitor.page.get_by_role("row").filter(has_text=f"agt_{project}")
    expect(row).to_contain_text("silent")
    visitor.shoot(f"agents-{visitor.page.viewport_size['width']}")  # type: ignore[index]
    visitor.go(f"/pages/gaps?project={project}")
    rows = visitor.page.locator("table.rows tbody tr")
    expect(rows.filter(has_text="more happened at once than the kernel could tell")).to_contain_text("open")
    expect(rows.filter(has_text="the whole project")).to_contain_text("closed")
    visitor.shoot(f"gaps-{visitor.page.viewport_size['width']}")  # type: ignore[index]
    visitor.go(f"/pages/gaps?project={project}&state=open")
    expect(rows).to_have_count(1)


def write_raw(stack: Stack, *raw: tuple[str, Batch | bytes]) -> None:
    """Append records to the stack's raw topic."""
    apart(write, stack.kafka, *raw)


def apart(call: Callable[..., object], *arguments: object) -> None:
    """Make a call in a thread of its own: in this one runs the event loop of the browser."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(call, *arguments).result()
