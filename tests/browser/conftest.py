"""Fixtures: one server and one browser for all tests, and a page for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from browsing import BINARY, CHROMIUM, NGINX, Server, browsing, opened, proxying, serving
from playwright.sync_api import Browser, Page


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Chromium or the program, the tests are skipped on a laptop and fail in CI."""
    missing = "Chromium is not installed" if CHROMIUM is None else f"`{BINARY}` was not built" if not BINARY.exists() else None
    if missing and os.environ.get("CI") == "true":
        pytest.exit(f"{missing}, and CI=true", returncode=1)
    if missing:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving() as started:
        yield started


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with browsing() as started:
        yield started


@pytest.fixture(scope="session")
def proxied(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page behind a proxy with a path prefix."""
    if NGINX is None:
        missing = "nginx is not installed"
        pytest.fail(f"{missing}, and CI=true") if os.environ.get("CI") == "true" else pytest.skip(missing)
    with proxying(server, tmp_path_factory.mktemp("nginx")) as address:
        yield address


@pytest.fixture
def visit(server: Server, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens the page at a panel, of the server itself unless `at` says where. At the end, the console of every page must be free of errors."""
    pages: list[Page] = []
    errors: list[str] = []

    def visit(panel: str = "write", at: str = server.url, **options: object) -> Page:
        page = opened(browser, **options)
        pages.append(page)
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{at}#{panel}")
        page.wait_for_selector("[role=tab]")
        return page

    visit.errors = errors
    yield visit
    for page in pages:
        page.context.close()
    assert errors == []
