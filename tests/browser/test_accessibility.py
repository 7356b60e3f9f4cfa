"""axe-core over every screen, in both themes and both sizes, and the keyboard through every control.

axe-core is Deque's engine, here as ``axe-playwright-python`` carries it; its rules of WCAG 2.1 A and AA.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = pytest.mark.browser

SCREENS = {
    "stock": "symbol=AAPL&overlays=forecast,sma20,rsi",
    "predictions": "symbol=AAPL&model=naive&models=naive,drift",
    "risk": "symbol=AAPL&period=1y",
    "portfolio": "symbols=AAPL,AMZN,GOOG&period=1y",
}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


@pytest.fixture(scope="module", params=list(SCREENS))
def screen(request: Any, serve_screen: Any, visit_once: Any) -> Iterator[tuple[str, Any]]:
    """A screen with its first figures painted."""
    with serve_screen(request.param, QUANTKIT_WARM="false") as server:
        guest = visit_once()
        guest.open(server.address(request.param, SCREENS[request.param]), seconds=120)
        guest.page.wait_for_timeout(4000)  # tables and words follow the first figure
        yield request.param, guest


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_no_serious_violation(screen, theme: str, width: int) -> None:
    name, guest = screen
    guest.page.set_viewport_size({"width": width, "height": 900})
    if guest.said("document.documentElement.dataset.theme") != theme:
        guest.page.click("#qk-theme")
    guest.page.wait_for_timeout(800)
    found = Axe().run(guest.page, options=RULES).response["violations"]
    serious = [
        f"{each['id']}: {each['help']}; {node['html'][:160]} {node['any'][0]['message'] if node['any'] else ''}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:4]
    ]
    assert not serious, f"{name}, {theme}, {width} px:\n" + "\n".join(serious)


def test_the_keyboard_reaches_every_control_and_the_focus_is_seen(screen) -> None:
    name, guest = screen
    guest.page.set_viewport_size({"width": 1440, "height": 900})
    wanted = guest.said(
        """() => { const seen = [...document.querySelectorAll(
            'button, a[href], input:not([type=hidden]):not([type=file]), select, textarea, [tabindex="0"], summary')]
            .filter(e => e.checkVisibility({visibilityProperty: true}) && !e.disabled && e.tabIndex >= 0
                         && !e.closest('.qk-command, .qk-message, [aria-hidden=true]'));
            seen.forEach((e, at) => e.dataset.at = at); return seen.length; }"""
    )
    guest.page.keyboard.press("Escape")
    guest.said("() => { document.activeElement?.blur(); window.scrollTo(0, 0); }")
    reached, unseen = set(), set()
    for _ in range(wanted + 60):
        guest.page.keyboard.press("Tab")
        at, marked, what = guest.said(
            """() => { const e = document.activeElement, look = getComputedStyle(e);
                const around = e.closest(':focus-within') && [e, e.parentElement, e.closest('label, .qk-search')]
                    .filter(Boolean).some(n => { const s = getComputedStyle(n);
                        return s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0; });
                const border = look.borderTopColor === getComputedStyle(document.body).getPropertyValue('--qk-accent');
                return [e.dataset.at, Boolean(around) || e.matches('input, select, textarea') || border,
                        e.outerHTML.slice(0, 120)]; }"""
        )
        if at is None:
            continue
        if not marked:
            unseen.add(what)
        if at in reached and len(reached) >= wanted:
            break
        reached.add(at)
    missed = guest.said(
        "reached => [...document.querySelectorAll('[data-at]')].filter(e => !reached.includes(e.dataset.at))"
        ".map(e => e.outerHTML.slice(0, 160))",
    ) if len(reached) < wanted else []
    assert len(reached) >= wanted, f"{name}: {wanted - len(reached)} controls are out of the keyboard's reach: {missed[:5]}"
    assert not unseen, f"{name}: focus cannot be seen on {sorted(unseen)[:5]}"
