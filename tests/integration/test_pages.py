"""The pages in a real browser, against the running stack: sign-in, overview, a project, a file."""

from __future__ import annotations

import csv
import json
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.integration.browser import PATIENCE_MS, PHONE, Visitor
from tests.integration.running import PATIENCE_S, Stack

pytestmark = pytest.mark.stack

PHONE_IN_THE_DARK = {"viewport": PHONE, "color_scheme": "dark", "has_touch": True}
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture
def directory(stack: Stack) -> Iterator[Path]:
    """A directory of the test's own in the watched tree."""
    made = stack.watched / f"pages-{secrets.token_hex(4)}"
    made.mkdir()
    yield made


def await_events(stack: Stack, path: str, at_least: int = 1) -> None:
    stack.await_rows(
        f"SELECT count() FROM events WHERE project_id = '{stack.project}' AND startsWith(path, '{path}')",
        at_least,
    )


def key_for(stack: Stack, project: str) -> str:
    made = stack.command("key", "create", "--project", project, "--scope", "directory_monitor:read")
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


def history_of(stack: Stack, **filters: str) -> str:
    query = "&".join(f"{name}={quote(value)}" for name, value in filters.items())
    return f"/pages/projects/{stack.project}?{query}"


def file_of(stack: Stack, path: str) -> str:
    return f"/pages/projects/{stack.project}/file?path={quote(path)}"


def shown_ids(page: Page) -> list[str]:
    rows = page.locator("table.events tr[data-event-id]")
    ids: list[str] = rows.evaluate_all("rows => rows.map(row => row.dataset.eventId)")
    return ids


def test_root_leads_browsers_to_the_pages_and_programs_to_the_routes(stack: Stack) -> None:
    """One address, for people HTML, for programs JSON."""
    for_people = httpx2.get(stack.api, headers={"Accept": "text/html,*/*"}, timeout=PATIENCE_S)
    for_programs = httpx2.get(stack.api, timeout=PATIENCE_S)

    assert (for_people.status_code, for_people.headers["location"]) == (303, "/pages/")
    assert for_programs.json()["name"] == "fswire"


def test_wrong_key_is_refused_on_the_page(visitor: Visitor) -> None:
    """Who has no key that counts is told so, and sees nothing."""
    visitor.go("/pages/sign-in")
    visitor.page.get_by_label("Key").fill("key_0123.not-the-secret")
    visitor.page.get_by_role("button", name="Sign in").click()

    expect(visitor.page.get_by_role("alert")).to_contain_text("unknown")
    visitor.shoot("sign-in-refused")
    assert "/sign-in" in visitor.go("/pages/").url


def test_sign_in_leads_back_and_sign_out_ends_the_session(visitor: Visitor, stack: Stack) -> None:
    """A reader arrives where he wanted to go; the cookie is out of reach of scripts; out is out."""
    visitor.go(history_of(stack, event="created"))
    visitor.page.get_by_label("Key").fill(stack.admin_key)
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url("**/pages/projects/*")

    cookies = [each for each in visitor.context.cookies() if "session" in each.get("name", "")]
    assert "event=created" in visitor.page.url
    assert [(each.get("httpOnly"), each.get("sameSite")) for each in cookies] == [(True, "Lax")]
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.wait_for_url("**/pages/sign-in")
    assert "/sign-in" in visitor.go("/pages/").url


def test_revoked_key_has_no_session_any_more(visitor: Visitor, stack: Stack) -> None:
    """What a signed cookie says counts only as long as its key does."""
    key = key_for(stack, stack.project)
    visitor.sign_in(key)

    revoked = stack.command("key", "revoke", key.partition(".")[0])

    assert revoked.returncode == 0, revoked.stderr
    deadline = time.monotonic() + PATIENCE_S
    while "/sign-in" not in visitor.go("/pages/").url:
        assert time.monotonic() < deadline, "the session outlived its key"


def test_reader_sees_only_the_projects_of_the_key(visitor: Visitor, stack: Stack) -> None:
    """Another project's page is refused, as a page, and no list names it."""
    visitor.sign_in(key_for(stack, "somebody-elses-*"))

    answer = visitor.go(history_of(stack))

    assert answer.status == 403
    expect(visitor.page.get_by_role("alert")).to_contain_text("other projects")
    visitor.go("/pages/")
    assert visitor.page.get_by_role("link", name=stack.project, exact=True).count() == 0


def test_overview_shows_what_happens(visitor: Visitor, stack: Stack, directory: Path) -> None:
    """Projects, events by kind, agents, gaps, runs and latency stand on one page, the charts with words."""
    (directory / "seen.txt").write_text("seen")
    await_events(stack, directory.name)
    visitor.sign_in()

    page = visitor.page
    expect(page.get_by_role("link", name=stack.project, exact=True).first).to_be_visible()
    expect(page.get_by_role("img", name="Events over time, by kind")).to_be_visible()
    for title in ("Agents", "Open gaps", "Runs that failed", "From event to row"):
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    visitor.shoot("overview-light")


@pytest.mark.parametrize("visitor", [PHONE_IN_THE_DARK], indirect=True)
def test_pages_fit_a_phone(visitor: Visitor, stack: Stack, directory: Path) -> None:
    """Nothing is wider than the screen."""
    (directory / f"{'long-' * 30}name.txt").write_text("long")
    await_events(stack, directory.name)
    visitor.sign_in()

    for name, path in {
        "overview": "/pages/",
        "projects": "/pages/projects",
        "project": history_of(stack),
        "file": file_of(stack, directory.name),
    }.items():
        visitor.go(path)
        visitor.shoot(f"{name}-dark-phone")
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_change_arrives_live(visitor: Visitor, stack: Stack, directory: Path) -> None:
    """A touched file shows without loading anything; what the filters hide stays hidden."""
    visitor.sign_in()
    visitor.go(history_of(stack, pathLike=f"{directory.name}/shown"))
    expect(visitor.page.locator("#live")).to_have_attribute("data-state", "open")

    (directory / "hidden.txt").write_text("not asked for")
    (directory / "shown.txt").write_text("now")

    row = visitor.page.locator("table.events tr.arrived", has_text="shown.txt").first
    expect(row).to_be_visible()
    visitor.shoot("project-live")
    assert visitor.page.locator("table.events tr", has_text="hidden.txt").count() == 0


def test_page_keeps_its_place_while_events_arrive(visitor: Visitor, stack: Stack, directory: Path) -> None:
    """Older and older pages follow each other without a row twice or left out, loaded again or not."""
    for number in range(6):
        (directory / f"page-{number}.txt").write_text(str(number))
    await_events(stack, f"{directory.name}/page-", 6)
    visitor.sign_in()
    visitor.go(history_of(stack, pathLike=f"{directory.name}/page-", size="2"))
    first = shown_ids(visitor.page)
    visitor.page.get_by_role("link", name="Older").click()
    visitor.page.wait_for_url("**cursor=**")
    second = shown_ids(visitor.page)

    (directory / "page-new.txt").write_text("arrives meanwhile")
    await_events(stack, f"{directory.name}/page-new")
    visitor.page.reload()

    assert shown_ids(visitor.page) == second
    assert len(first) == len(second) == 2
    assert set(first).isdisjoint(second)
    visitor.page.get_by_role("link", name="Newest", exact=True).click()
    expect(visitor.page.locator("table.events")).to_contain_text("page-new.txt")


def test_filter_that_breaks_a_rule_is_told_beside_its_field(visitor: Visitor, stack: Stack) -> None:
    """The form comes back with what was typed, and what is wrong with it."""
    visitor.sign_in()
    visitor.go(history_of(stack))
    visitor.page.get_by_label("Content (sha256)").fill("no digest")
    visitor.page.get_by_role("button", name="Filter").click()

    field = visitor.page.get_by_label("Content (sha256)")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("no digest")
    expect(visitor.page.get_by_text("must be 64 hex digits")).to_be_visible()


def test_time_is_brushed_with_the_mouse(visitor: Visitor, stack: Stack, directory: Path) -> None:
    """A drag over the histogram narrows the history to that stretch of time."""
    (directory / "brushed.txt").write_text("now")
    await_events(stack, directory.name)
    visitor.sign_in()
    visitor.go(history_of(stack, pathLike=directory.name))
    box = visitor.page.locator(".brush svg.chart").bounding_box()
    assert box is not None

    visitor.page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 60)
    visitor.page.mouse.down()
    visitor.page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 60, steps=5)
    visitor.page.mouse.up()
    visitor.page.wait_for_url("**from=**")

    given = parse_qs(urlsplit(visitor.page.url).query)
    assert given["from"] < given["to"]
    assert given["pathLike"] == [directory.name]


FOCUSED = """() => {
    const at = document.activeElement, style = getComputedStyle(at);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return [at.id || at.textContent.trim(), outlined];
}"""


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the element of that id or text has the focus; wherever it goes it can be seen."""
    for _ in range(100):
        page.keyboard.press("Tab")
        focused, is_seen = page.evaluate(FOCUSED)
        assert is_seen, focused
        if focused == name:
            return
    raise AssertionError(f"{name} is not reached")


def test_pages_are_used_by_keyboard(visitor: Visitor, stack: Stack) -> None:
    """From sign-in to a filtered history, without a mouse."""
    page = visitor.page
    visitor.go("/pages/sign-in")
    page.get_by_label("Key").focus()
    page.keyboard.type(stack.admin_key)
    page.keyboard.press("Enter")
    page.wait_for_url("**/pages/")

    tab_to(page, "Projects")
    page.keyboard.press("Enter")
    page.wait_for_url("**/pages/projects")
    tab_to(page, stack.project)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/pages/projects/{stack.project}")
    tab_to(page, "filter-pathLike")
    page.keyboard.type("no such file")
    page.keyboard.press("Enter")
    page.wait_for_url("**pathLike=no+such+file**")

    expect(page.get_by_text("Nothing matches")).to_be_visible()


def test_file_history_goes_through_renames(visitor: Visitor, stack: Stack, directory: Path) -> None:
    """Contents, who, attributes before and after, from before a rename too; a copy by its content."""
    content = secrets.token_hex(16)
    (directory / "before").mkdir()
    (directory / "before" / "first.txt").write_text("one\n")
    await_events(stack, f"{directory.name}/before/first.txt")
    (directory / "before" / "first.txt").rename(directory / "before" / "second.txt")
    (directory / "before").rename(directory / "after")
    (directory / "after" / "second.txt").chmod(0o600)
    (directory / "after" / "second.txt").write_text(content)
    (directory / "copy.txt").write_text(content)
    for table in ("files FINAL", "events"):  # each is filled in its own time
        stack.await_rows(
            f"SELECT uniqExact(path) FROM {table} WHERE project_id = '{stack.project}'"
            f" AND startsWith(path, '{directory.name}/')"
            f" AND sha256 = SHA256('{content}')",
            2,
        )
    visitor.sign_in()

    visitor.go(file_of(stack, f"{directory.name}/after/second.txt"))

    told = visitor.page.locator("table.events")
    expect(told).to_contain_text("created")
    expect(told).to_contain_text(f"{directory.name}/before/first.txt")
    expect(told).to_contain_text(f"{directory.name}/before/ → {directory.name}/after/")
    changed = told.locator("details", has_text="mode").first
    changed.locator("summary").click()
    expect(changed).to_contain_text("-rw------- (0600)")
    expect(visitor.page.get_by_role("link", name=f"{directory.name}/copy.txt")).to_be_visible()
    visitor.shoot("file-light")


def test_history_is_exported_with_its_filters(visitor: Visitor, stack: Stack, directory: Path) -> None:
    """What the page shows can be taken home as a file."""
    (directory / "exported.txt").write_text("home")
    await_events(stack, f"{directory.name}/exported.txt")
    visitor.sign_in()
    visitor.go(history_of(stack, pathLike=f"{directory.name}/exported"))

    taken = {}
    for kind in ("CSV", "NDJSON"):
        with visitor.page.expect_download() as download:
            visitor.page.get_by_role("link", name=kind, exact=True).click()
        taken[kind] = Path(download.value.path()).read_text()

    names = {row["filename"] for row in csv.DictReader(taken["CSV"].splitlines())}
    assert names == {f"{directory.name}/exported.txt"}
    assert {json.loads(line)["filename"] for line in taken["NDJSON"].splitlines()} == names


def test_names_of_files_are_shown_and_never_run(visitor: Visitor, stack: Stack, directory: Path) -> None:
    """Markup in a name is text, in the page and in rows that arrive; what cannot be seen stands as a code."""
    evil = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>".replace(
        "/", ""
    )
    visitor.sign_in()
    visitor.go(history_of(stack, pathLike=directory.name))
    expect(visitor.page.locator("#live")).to_have_attribute("data-state", "open")

    (directory / evil).write_text("evil")
    (directory / "bell\a and \u202eturned.txt").write_text("odd")
    Path(os.fsdecode(os.fsencode(directory) + b"/latin-\xe9.txt")).write_text("bytes")

    table = visitor.page.locator("table.events")
    for shown in (evil, "bellU+0007 and U+202Eturned.txt", "latin-\\xe9.txt"):
        expect(table.get_by_text(shown).first).to_be_visible()
    await_events(stack, f"{directory.name}/latin")
    visitor.page.reload()
    expect(table.get_by_text(evil).first).to_be_visible()
    table.get_by_text(evil).first.click()
    expect(visitor.page.get_by_role("heading", name=evil)).to_be_visible()
    visitor.shoot("names")
    assert "run" not in visitor.page.title().split()
    assert visitor.page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("visitor", [{"java_script_enabled": False}], indirect=True)
def test_pages_work_without_scripts(visitor: Visitor, stack: Stack, directory: Path) -> None:
    """Sign-in, filter, a bar of the histogram as a link, a file: all by links and forms alone."""
    (directory / "plain.txt").write_text("plain")
    await_events(stack, f"{directory.name}/plain.txt")
    visitor.sign_in()
    page = visitor.page
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Projects").click()
    page.get_by_role("link", name=stack.project, exact=True).click()
    page.get_by_label("Path contains").fill(f"{directory.name}/plain")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**pathLike=**")
    address = page.locator(".brush a").last.get_attribute("href")
    assert address is not None
    visitor.go(address)

    page.get_by_role("link", name=f"{directory.name}/plain.txt").first.click()

    expect(page.get_by_role("heading", name="plain.txt")).to_be_visible()
    visitor.shoot("file-without-scripts")


def test_errors_of_pages_are_pages(visitor: Visitor, stack: Stack) -> None:
    """No such page, no such project: HTML with a way out, and the headers of all."""
    visitor.sign_in()

    for path in ("/pages/no-such-page", "/pages/projects/no-such-project"):
        answer = visitor.go(path)
        assert answer.status == 404
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        expect(visitor.page.get_by_role("alert").get_by_role("link", name="Overview")).to_be_visible()
    visitor.shoot("not-found")
