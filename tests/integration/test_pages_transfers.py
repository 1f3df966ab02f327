"""The page of transfers in a real browser: bars that move, forms that begin, retry and forget."""

from __future__ import annotations

import secrets

import pytest
from playwright.sync_api import expect

from tests.integration.browser import PATIENCE_MS, Visitor
from tests.integration.fetching import LIST
from tests.integration.running import Stack

pytestmark = pytest.mark.stack
expect.set_options(timeout=PATIENCE_MS)
WITHOUT_SCRIPTS = {"java_script_enabled": False}


@pytest.mark.parametrize("visitor", [{}, WITHOUT_SCRIPTS], ids=["scripts", "no scripts"], indirect=True)
def test_transfer_is_made_retried_and_deleted(visitor: Visitor, stack: Stack) -> None:
    """What goes wrong shows by itself, the same buttons work without a script, and names are only names."""
    url = f"{stack.api}/{secrets.token_hex(4)}%3Cb%3E"
    visitor.sign_in()
    visitor.go("/pages/transfers")

    visitor.page.get_by_label("URL", exact=True).fill(url)
    visitor.page.get_by_role("button", name="Fetch").click()
    row = visitor.page.locator("tr", has_text=url)
    expect(row).to_contain_text("Error: address is not allowed")
    visitor.shoot("transfers")
    row.get_by_role("button", name="Retry").click()
    expect(row).to_contain_text("Error: address is not allowed")
    row.get_by_role("button", name="Delete").click()

    expect(row).to_have_count(0)


def test_bar_moves_while_the_page_is_open(visitor: Visitor, stack: Stack) -> None:
    """Progress that comes later shows without loading the page again."""
    name = f"<i>{secrets.token_hex(4)}"
    made = {"status": "Mine", "name": name, "size": 200, "progress": 20}
    query = f"?username={stack.admin_key.replace('.', '&api_key=', 1)}"
    stack_id = visitor.context.request.post(stack.api + LIST + query, data=made).headers["location"]
    visitor.sign_in()
    visitor.go("/pages/transfers")
    bar = visitor.page.locator("tr", has_text=name).locator("progress")
    expect(bar).to_have_attribute("value", "10")

    visitor.context.request.patch(stack.api + stack_id + query, data={"progress": 150})

    expect(bar).to_have_attribute("value", "75")
