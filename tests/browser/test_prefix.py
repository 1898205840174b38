"""The page and the reference behind a proxy that serves them under a path prefix."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from test_page import caption, typed

Visit = Callable[..., Page]


@pytest.fixture
def page(visit: Visit, proxied: str) -> Page:
    """The page behind the proxy, which may ask for nothing outside its prefix."""
    page = visit(at=proxied)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    yield page
    assert asked and all(url.startswith((proxied, "data:")) for url in asked), asked


def test_the_page_works_behind_a_path_prefix(page: Page, proxied: str) -> None:
    typed(page, "She was sitting by the ")
    caption(page, "The next word")
    expect(page.locator(".write-bars .word").first).to_have_text("fire")
    page.get_by_role("tab", name="API").click()
    page.locator(".calls summary").first.click()
    assert page.locator(".calls pre").first.inner_text().startswith(f"curl -s '{proxied}v1/sessions")
    page.get_by_role("tab", name="Generate").click()
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".summary")).not_to_be_empty()
    expect(page.locator(".output .token").first).to_be_visible()


def test_requests_can_be_tried_from_the_reference_behind_a_path_prefix(page: Page, proxied: str) -> None:
    page.goto(f"{proxied}docs")
    assert page.url == f"{proxied}docs/"
    operation = page.locator("#operations-operations-getInfo")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Execute").click()
    expect(operation.locator(".request-url")).to_contain_text(f"{proxied}v1/info")
    expect(operation.locator(".live-responses-table .response .response-col_status").first).to_contain_text("200")


def test_a_session_is_where_its_location_says(proxied: str) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"{proxied}v1/sessions", b'{"text": "the sea"}', {"content-type": "application/json"})
    with opener.open(request, timeout=60) as created:
        location = urllib.parse.urljoin(proxied, created.headers["location"])
    assert location.startswith(f"{proxied}v1/sessions/")
    with opener.open(location, timeout=60) as session:
        assert json.load(session)["position"] == 2
