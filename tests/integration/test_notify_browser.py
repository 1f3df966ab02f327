"""A browser's own `EventSource`, as it is, in a real Chromium."""

from __future__ import annotations

from urllib.parse import quote

from playwright.sync_api import Browser

from tests.integration.browser import PATIENCE_MS
from tests.integration.notify_stage import Api, Source, new_source, other_api  # noqa: F401
from tests.integration.running import Stack

SIGN_IN = """async ([username, password]) => (await fetch("/v1/session/login", {
    method: "POST", body: JSON.stringify({username, password}) })).status"""
OPEN = """target => new Promise(opened => {
    window.told = [];
    window.opened = 0;
    const source = new EventSource(target);
    source.onopen = () => { window.opened++; opened(); };
    source.onmessage = event => JSON.parse(event.data).forEach(each => window.told.push(each.path));
})"""


def test_browser_reconnects_by_itself_and_misses_nothing(
    stack: Stack,
    other: Api,
    source: Source,
    chromium: Browser,
) -> None:
    """After a sign-in it needs no headers; the server restarts, and it goes on behind the last event."""
    target = f"/v1/files/{quote(f'/{source.project}/d', safe='')}/notify"
    context = chromium.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    try:
        page.goto(f"{other.url}/health/live")
        signed_in = page.evaluate(SIGN_IN, stack.admin_key.split(".", 1))
        page.evaluate(OPEN, target)
        source.create("d/1")
        page.wait_for_function("told.length == 1")
        other.stop()
        source.create("d/2", "elsewhere", "d/3")
        other.start()
        page.wait_for_function("told.length == 3")
        told, opened = page.evaluate("[told, opened]")
    finally:
        context.close()

    assert signed_in == 200
    assert (told, opened) == (["1", "2", "3"], 2)
