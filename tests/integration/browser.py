"""A real Chromium for tests of the pages, by Playwright, and what a test wants to know of a browser.

Fixtures, which conftest lends to all modules:

- `chromium`: the browser, one for the module. Skipped where there is none, an error where it is required.
- `visitor`: a `Visitor`, a fresh browser profile at the stack's pages: `visitor.sign_in()`, `visitor.page`,
  `visitor.go("/pages/…")`, `visitor.shoot("name")`. At the test's end nothing may have been asked of another
  host, and nothing may have been refused by the content security policy.

Screenshots go to `FSWIRE_TEST_SCREENSHOTS`, else to pytest's temporary directory.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    sync_playwright,
)

from tests.integration.lacking import cannot_start
from tests.integration.running import Stack

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--no-first-run",
)
PATIENCE_MS = 45_000
"""Of every wait: the machine may be busy."""
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}


class Visitor:
    """One browser profile at the pages of a stack."""

    def __init__(self, context: BrowserContext, stack: Stack, screenshots: Path) -> None:
        self.context = context
        self.stack = stack
        self._screenshots = screenshots
        self.elsewhere: list[str] = []
        """Addresses of other hosts that a page asked for."""
        self.refused: list[str] = []
        """What the content security policy kept from happening."""
        self.failed: list[str] = []
        """Errors of scripts."""
        context.set_default_timeout(PATIENCE_MS)
        context.on("request", self._note_request)
        context.on("console", self._note_console)
        context.on("weberror", lambda error: self.failed.append(str(error.error)))
        self.page: Page = context.new_page()

    def go(self, path: str) -> Response:
        """Open a page of the stack."""
        response = self.page.goto(self.stack.api + path)
        assert response is not None
        return response

    def sign_in(self, key: str | None = None) -> None:
        """Sign in, with the admin's key unless another is given; ends at the overview."""
        self.go("/pages/sign-in")
        self.page.get_by_label("Key").fill(key or self.stack.admin_key)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/pages/")

    def shoot(self, name: str) -> None:
        """Keep a picture of the whole page."""
        self.page.evaluate("scrollTo(0, 0)")
        self.page.screenshot(path=self._screenshots / f"{name}.png", full_page=True)

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self.stack.api + "/", "data:", "blob:")):
            self.elsewhere.append(request.url)

    def _note_console(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.refused.append(message.text)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, or whatever stands on the path under that name."""
    executable = shutil.which("chromium")
    if executable is None:
        cannot_start("chromium", "there is none on the PATH (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(
    chromium: Browser, stack: Stack, screenshots: Path, request: pytest.FixtureRequest
) -> Iterator[Visitor]:
    """A fresh profile; `@pytest.mark.parametrize("visitor", [{…}], indirect=True)` gives it options."""
    options: dict[str, Any] = {"viewport": DESKTOP} | getattr(request, "param", {})
    context = chromium.new_context(**options)
    visitor = Visitor(context, stack, screenshots)
    yield visitor
    context.close()
    assert (visitor.elsewhere, visitor.refused, visitor.failed) == ([], [], [])


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures are kept."""
    chosen = os.environ.get("FSWIRE_TEST_SCREENSHOTS")
    if not chosen:
        return tmp_path_factory.mktemp("screenshots")
    directory = Path(chosen)
    directory.mkdir(parents=True, exist_ok=True)
    return directory
