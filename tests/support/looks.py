"""Whether a page is fit to be seen: nothing out of sight, and no serious obstacle by axe-core.

Pictures for a person to look at are in test-results/screenshots after the tests, by page, theme and width.
"""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.support.require import need_file
from tests.support.server import ROOT

__all__ = ["fit_to_be_seen", "load_axe", "obstacles"]

AXE = ROOT / "tests/browser/node_modules/axe-core/axe.min.js"
SCREENSHOTS = ROOT / "test-results/screenshots"
WIDTHS = (360, 768, 1920)
THEMES: tuple[Any, ...] = ("light", "dark")
HIDDEN = """() => [document.documentElement, ...document.querySelectorAll('.scroll')]
    .filter((element) => element.scrollWidth > element.clientWidth)
    .map((element) => element.getAttribute('aria-label') ?? element.textContent.trim().slice(0, 80))"""


def fit_to_be_seen(page: Page, name: str) -> None:
    """Take the page's pictures, and assert that everybody can use it in every theme and width."""
    page.bring_to_front()
    load_axe(page)
    for theme in THEMES:
        page.emulate_media(color_scheme=theme)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=SCREENSHOTS / f"{name}-{theme}-{width}.png", full_page=True)
            assert page.evaluate(HIDDEN) == [], (name, theme, width)
            if theme == "light" or width == max(WIDTHS):  # a theme changes no sizes, a width no colours
                assert obstacles(page) == [], (name, theme, width)


def load_axe(page: Page) -> None:
    page.evaluate(need_file(AXE).read_text(encoding="utf-8"))


def obstacles(page: Page) -> list[str]:
    """Return what axe-core finds serious or critical."""
    result = page.evaluate("axe.run({resultTypes: ['violations']})")
    assert result["passes"], "axe-core looked at nothing"
    return [
        f"{found['id']}: {[node['html'] for node in found['nodes']]}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
    ]
