"""Makes the pictures of the page in docs/images: one of each panel.

    python tests/browser/screenshots.py
"""

from __future__ import annotations

from browsing import ROOT, browsing, opened, serving

FOLDER = ROOT / "docs/images"
WIDTH = 900
# Of each picture: as much as a reader needs to see.
HEIGHTS = {"write": 760, "generate": 760, "inside": 800, "compare": 1000, "api": 620, "server": 760}
BYTES_MAX = 150_000
READY = {
    "write": ".write-bars .bar-row", "generate": ".summary:not(:empty)", "inside": ".inside .curve:nth-of-type(5)",
    "compare": ".compare .curve", "api": ".calls li", "server": ".server .card",
}


def main() -> None:
    with serving() as server, browsing() as browser:
        for panel, ready in READY.items():
            page = opened(browser, viewport={"width": WIDTH, "height": HEIGHTS[panel]})
            if panel == "api":
                page.goto(server.url)
                page.wait_for_selector(READY["write"])
                page.click("#tab-api")
            page.goto(f"{server.url}#{panel}")
            if panel == "generate":
                page.get_by_label("Seed").fill("11")
                page.get_by_role("button", name="Generate").click()
            page.wait_for_selector(ready)
            if panel == "generate":
                page.locator(".output .token").nth(3).hover()
            page.wait_for_timeout(500)
            file = FOLDER / f"page-{panel}.png"
            page.screenshot(path=file)
            assert file.stat().st_size <= BYTES_MAX, f"{file} has {file.stat().st_size} bytes, expected at most {BYTES_MAX}"
            page.context.close()


if __name__ == "__main__":
    main()
