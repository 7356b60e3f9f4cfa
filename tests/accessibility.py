"""What axe-core and the keyboard say of a page that is shown.

axe-core is Deque's engine, as ``axe-playwright-python`` carries it; its rules of WCAG 2.1 A and AA.
"""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe

__all__ = ["check_accessible", "out_of_reach", "serious_violations"]

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}

# Anew at every step: a list that the market moves is drawn again in between.
_CONTROLS = """
  const controls = [...document.querySelectorAll(
    'button, a[href], input:not([type=hidden]):not([type=file]), select, textarea, [tabindex="0"], summary')]
    .filter(each => each.checkVisibility({ visibilityProperty: true }) && !each.disabled && each.tabIndex >= 0
      && !each.closest('.qk-command, .qk-message, [aria-hidden=true]'));
"""
_LISTED = f"""() => {{
  {_CONTROLS}
  document.activeElement?.blur();
  window.scrollTo(0, 0);
  return controls.map(each => each.outerHTML.slice(0, 160));
}}"""

# The focus is seen by an outline of the element or of what frames it, or by the accent as the colour of its border.
_FOCUSED = f"""() => {{
  {_CONTROLS}
  const focused = document.activeElement;
  const outlined = node => {{ const look = getComputedStyle(node);
    return look.outlineStyle !== 'none' && parseFloat(look.outlineWidth) > 0; }};
  const probe = document.createElement('i');
  probe.style.color = 'var(--qk-accent)';
  document.body.append(probe);
  const accent = getComputedStyle(probe).color;
  probe.remove();
  const frames = [focused, focused.parentElement, focused.closest('label, .qk-search, .qk-field')].filter(Boolean);
  const seen = frames.some(node => outlined(node) || getComputedStyle(node).borderTopColor === accent);
  return [controls.indexOf(focused), seen, focused.outerHTML.slice(0, 160)];
}}"""


def serious_violations(page: Any) -> list[str]:
    """A line for each element that breaks a rule of serious or critical impact."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {node['html'][:160]} {node['any'][0]['message'] if node['any'] else ''}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:4]
    ]


def out_of_reach(page: Any) -> list[str]:
    """A line for each control that the Tab key does not come to, or whose focus cannot be seen."""
    controls = page.evaluate(_LISTED)
    reached: set[int] = set()
    unseen: set[str] = set()
    for _ in range(len(controls) + 60):
        page.keyboard.press("Tab")
        at, seen, what = page.evaluate(_FOCUSED)
        if at < 0:
            continue
        if at in reached and len(reached) >= len(controls):
            break
        reached.add(at)
        if not seen:
            unseen.add(what)
    missed = [f"not reached: {what}" for at, what in enumerate(controls) if at not in reached]
    return [*missed, *(f"focus not seen: {what}" for what in sorted(unseen))]


def check_accessible(page: Any) -> None:
    """The keyboard reaches everything, axe-core finds nothing serious: wide, then narrow in the other theme."""
    page.mouse.move(2, 2)
    assert out_of_reach(page) == []
    assert serious_violations(page) == []
    page.click("#qk-theme")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    try:
        assert serious_violations(page) == []
    finally:
        page.set_viewport_size({"width": 1440, "height": 900})
        page.click("#qk-theme")
