"""The page in a real browser, as a person uses it."""

from __future__ import annotations

import pathlib
import re
import time
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import PATIENCE_MS, Server, opened, serving
from playwright.sync_api import Browser, Page, expect

Visit = Callable[..., Page]

expect.set_options(timeout=PATIENCE_MS)

PANELS = ["write", "generate", "inside", "compare", "api", "server"]


def typed(page: Page, text: str) -> None:
    """Puts the cursor into the empty field and types."""
    page.get_by_role("button", name="Clear").click()
    page.locator("#write-text").press_sequentially(text)


def caption(page: Page, text: str) -> None:
    """Waits until the bars are those of the latest text, under this heading."""
    expect(page.locator(".write-bars")).to_have_attribute("aria-busy", "false")
    expect(page.locator(".write .caption")).to_have_text(text)


def words(page: Page) -> list[str]:
    return page.locator(".write-bars .word").all_inner_texts()


def test_bars_follow_every_key(visit: Visit) -> None:
    page = visit()
    typed(page, "She was sitting by the ")
    caption(page, "The next word")
    expect(page.locator(".write-bars .word").first).to_have_text("fire")
    page.keyboard.type("wi")
    caption(page, "Words that begin with “wi”")
    expect(page.locator(".write-bars .word").first).to_have_text("window")
    assert all(word.lower().startswith("wi") for word in words(page))
    assert "log-probability" in page.locator(".write-bars .bar-row").first.get_attribute("title")


def test_the_first_bars_come_within_a_second(visit: Visit) -> None:
    page = visit()
    page.get_by_role("button", name="Clear").click()
    page.wait_for_selector(".write-bars .bar-row")
    begun = time.monotonic()
    page.keyboard.type("T")
    caption(page, "Words that begin with “T”")
    assert time.monotonic() - begun < 1


def test_backspace_goes_back_to_the_same_bars(visit: Visit) -> None:
    page = visit()
    typed(page, "She was sitting by the ")
    expect(page.locator(".write-bars .word").first).to_have_text("fire")
    before = words(page)
    page.keyboard.type("old piano ")
    caption(page, "The next word")
    expect(page.locator(".write-bars .word").first).not_to_have_text("fire")
    for _ in "old piano ":
        page.keyboard.press("Backspace")
    expect(page.locator(".write-bars .word").first).to_have_text("fire")
    assert words(page) == before


def test_a_click_or_tab_takes_a_word(visit: Visit) -> None:
    page = visit()
    typed(page, "She was sitting by the wi")
    caption(page, "Words that begin with “wi”")
    page.keyboard.press("Tab")
    expect(page.locator("#write-text")).to_have_value("She was sitting by the window ")
    caption(page, "The next word")
    second = page.locator(".write-bars .bar-row").nth(1)
    word = second.locator(".word").inner_text()
    second.click()
    expect(page.locator("#write-text")).to_have_value(re.compile(rf"^She was sitting by the window ?{re.escape(word)} $"))
    expect(page.locator("#write-text")).to_be_focused()


def test_unknown_words_are_marked(visit: Visit) -> None:
    page = visit()
    typed(page, "The Nautilus sank ")
    expect(page.locator(".marks mark")).to_have_text(["Nautilus"])
    expect(page.locator(".write .note mark")).to_be_visible()


def test_another_model_gives_other_bars(visit: Visit) -> None:
    page = visit()
    typed(page, "She was sitting by the ")
    expect(page.locator(".write-bars .word").first).to_have_text("fire")
    before = page.locator(".write-bars .share").all_inner_texts()
    page.locator(".write select").select_option("classics-cbow")
    expect(page.locator(".write-bars .share").first).not_to_have_text(before[0])


def test_a_stream_can_be_read_and_repeated(visit: Visit) -> None:
    page = visit("generate")
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".summary")).to_contain_text("Seed 7.")
    first = page.locator(".output").inner_text()
    token = page.locator(".output .token").nth(2)
    token.hover()
    expect(page.locator(".detail .bar-row")).to_have_count(8)
    page.get_by_role("button", name="Generate").click()
    expect(page.locator(".summary")).to_contain_text("Seed 7.")
    assert page.locator(".output").inner_text() == first


def test_a_stream_stops(visit: Visit) -> None:
    page = visit("generate")
    page.get_by_label("Tokens").fill("400")
    page.get_by_role("button", name="Generate").click()
    page.wait_for_selector(".output .token:nth-child(4)")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".summary")).to_contain_text("Ended: stopped.")
    assert page.locator(".output .token").count() < 400


def test_a_wrong_seed_is_explained(visit: Visit) -> None:
    page = visit("generate")
    page.get_by_label("Seed").fill("one")
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("alert").first).to_have_text("The seed must be a whole number of at most 16 digits.")


def test_the_state_is_shown_over_the_text(visit: Visit) -> None:
    page = visit("inside")
    expect(page.locator(".columns canvas")).to_have_count(2)
    expect(page.locator(".column-word").first).to_have_text("Tom")
    expect(page.locator(".columns canvas").first).to_have_attribute("height", "512")
    page.get_by_label("Gates").check()
    expect(page.locator(".columns canvas")).to_have_count(6)
    page.get_by_label("Target word").fill("him")
    page.get_by_role("button", name="Look").click()
    expect(page.locator(".columns-frame .caption")).to_contain_text("“him”")
    expect(page.locator(".inside .chart .curve")).to_have_count(5)
    expect(page.locator(".inside .chart .tick").first).to_be_visible()


def test_a_text_through_several_models(visit: Visit) -> None:
    page = visit("compare")
    expect(page.locator(".compare .card")).to_have_count(5)
    expect(page.locator(".compare .card .figure strong")).to_have_count(10)
    expect(page.locator(".compare .chart .curve")).to_have_count(5)


def test_every_call_can_be_copied(visit: Visit, server: Server) -> None:
    page = visit()
    typed(page, "the sea ")
    caption(page, "The next word")
    page.get_by_role("tab", name="API").click()
    page.locator(".calls summary").first.click()
    page.locator(".calls pre").nth(1).wait_for()
    curl, python = page.locator(".calls pre").all_inner_texts()[:2]
    assert curl.startswith(f"curl -s '{server.url}v1/sessions") and "import requests" in python


def test_live_figures(visit: Visit, server: Server) -> None:
    page = visit("server")
    expect(page.locator(".live .figure")).to_have_count(6)
    expect(page.locator(".server .card")).to_have_count(7)
    total = page.locator(".live .figure", has_text="tokens in total").locator("strong")
    before = total.inner_text()
    generated = page.request.post(f"{server.url}v1/generate", data={"text": "the sea", "max_tokens": 8})
    assert generated.ok
    expect(total).not_to_have_text(before)
    expect(page.locator(".live .figure", has_text="mean time to first token, last minute").locator("strong")).to_have_text(re.compile(r"^[\d.]+ ms$"))
    expect(page.locator(".live .figure", has_text="tokens per second").locator("strong")).to_have_text("0")


def test_everything_works_by_keyboard_alone(visit: Visit) -> None:
    page = visit()
    expect(page.locator("#write-text")).to_be_focused()
    page.wait_for_selector(".write-bars .bar-row")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(page.locator(".write-bars .bar-row").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#write-text")).to_be_focused()
    page.locator("#tab-write").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-generate")).to_be_focused()
    expect(page.locator("#panel-generate")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("The sea")
    page.locator(".generate select").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".output .token:nth-child(4)")
    page.locator(".output .token").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".output .token").nth(1)).to_be_focused()


def test_a_reload_keeps_the_text(visit: Visit) -> None:
    page = visit()
    typed(page, "Once upon a ")
    caption(page, "The next word")
    before = words(page)
    page.reload()
    expect(page.locator("#write-text")).to_have_value("Once upon a ")
    caption(page, "The next word")
    assert words(page) == before


def test_japanese(visit: Visit) -> None:
    page = visit(locale="ja-JP")
    expect(page.get_by_role("tab", name="中を見る")).to_be_visible()
    caption(page, "次の単語")
    assert page.locator("html").get_attribute("lang") == "ja"
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("tab", name="Look inside")).to_be_visible()
    caption(page, "The next word")


@pytest.mark.parametrize("panel", PANELS)
def test_nothing_is_wider_than_a_phone(visit: Visit, panel: str) -> None:
    page = visit(panel, viewport={"width": 360, "height": 740}, has_touch=True)
    filled(page, panel)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    if panel == "write":
        page.locator(".write-bars .bar-row").first.tap()
        expect(page.locator("#write-text")).to_have_value(re.compile(r"the \S+ $"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("panel", PANELS)
def test_accessibility(visit: Visit, panel: str, scheme: str) -> None:
    page = visit(panel, color_scheme=scheme)
    filled(page, panel)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def filled(page: Page, panel: str) -> None:
    """Waits until the panel shows something."""
    if panel == "generate":
        page.get_by_role("button", name="Generate").click()
        page.wait_for_selector(".summary:not(:empty)")
    shown = {"write": ".write-bars .bar-row", "inside": ".inside .curve", "compare": ".compare .curve", "server": ".live .figure"}
    if panel in shown:
        page.wait_for_selector(shown[panel])


def test_the_theme_can_be_chosen(visit: Visit) -> None:
    page = visit(color_scheme="light")
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(colour) != light
    page.reload()
    page.wait_for_selector("[role=tab]")
    assert page.evaluate(colour) != light


def test_the_server_goes_and_comes_back(visit: Visit, server: Server) -> None:
    page = visit()
    typed(page, "She was sitting by the ")
    expect(page.locator(".write-bars .word").first).to_have_text("fire")
    server.stop()
    page.keyboard.type("old ")
    expect(page.locator("#banner")).to_be_visible()
    expect(page.locator("#banner")).to_contain_text("does not answer")
    server.start()
    expect(page.locator("#banner")).to_be_hidden()
    expect(page.locator("#write-text")).to_have_value("She was sitting by the old ")
    expect(page.locator(".write-bars .word").first).not_to_have_text("fire")
    # The browser itself reports each request that found no server, or one that was still loading.
    expected = ("ERR_CONNECTION", "404", "503")
    visit.errors[:] = [error for error in visit.errors if not any(reason in error for reason in expected)]


def test_the_reference_is_a_page(visit: Visit, server: Server) -> None:
    page = visit()
    page.goto(f"{server.url}docs")
    expect(page.locator("#operations-tag-sessions, [id*=operations-tag]").first).to_be_visible()
    assert page.url == f"{server.url}docs/"


def test_a_server_with_keys_is_used_with_the_key_that_is_given(browser: Browser, tmp_path: pathlib.Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("alice:one\nbob:two\n")
    with serving("--api-keys", str(keys), "--api-keys-poll", "50ms") as server:
        page = opened(browser)
        page.goto(server.url)
        note = page.locator("#key-note")
        expect(note).to_have_text("This server requires a key. It stays in this tab only.")
        expect(page.locator("#key-field")).to_be_focused()
        page.keyboard.type("three")
        page.keyboard.press("Enter")
        expect(note).to_have_text("The server does not accept this key.")
        page.locator("#key-field").fill("one")
        page.get_by_role("button", name="Use it").click()
        page.wait_for_selector("[role=tab]")
        expect(page.locator("#key")).to_be_hidden()
        typed(page, "She was sitting by the wi")
        expect(page.locator(".write-bars .word").first).to_have_text("window")
        page.reload()
        caption(page, "Words that begin with “wi”")
        page.get_by_role("tab", name="API").click()
        page.locator("#panel-api summary").first.click()
        expect(page.locator("#panel-api")).to_contain_text("Bearer $KEY")
        assert "Bearer one" not in page.content()

        # A call that is refused later waits for another key, and is then sent again.
        keys.write_text("alice:four\n")
        page.get_by_role("tab", name="Write").click()
        while page.locator("#key").is_hidden():
            page.locator("#write-text").press_sequentially(" a")
        page.locator("#key-field").fill("four")
        page.keyboard.press("Enter")
        expect(page.locator("#key")).to_be_hidden()
        expect(page.locator(".write-bars")).to_have_attribute("aria-busy", "false")

        page.get_by_role("button", name="Forget the key").click()
        expect(note).to_have_text("This server requires a key. It stays in this tab only.")
        page.context.close()
