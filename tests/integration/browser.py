"""A real browser for the pages: people sign in, look, and answer with mouse or keyboard."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as TimedOut

from tests.integration.conftest import Stack

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 60_000
SIGN_IN_MS, SIGN_INS = 20_000, 4
TABS = 60
# The lowest contrast of a text with what lies behind it, and that text.
CONTRAST = """() => {
  const rgba = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = node => {
    for (let at = node; at; at = at.parentElement) {
      const [r, g, b, a] = rgba(getComputedStyle(at).backgroundColor);
      if (a === undefined || a === 1) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const light = parts => {
    const [r, g, b] = parts.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let worst = [21, ""];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const node = text.parentElement;
    if (!text.textContent.trim() || !node.checkVisibility()) continue;
    const pair = [light(rgba(getComputedStyle(node).color).slice(0, 3)), light(behind(node))];
    const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (ratio < worst[0]) worst = [ratio, text.textContent.trim().slice(0, 40)];
  }
  return worst;
}"""


class People:
    """Everybody's browser windows, each with a session of its own."""

    def __init__(self, stack: Stack, browser: Browser) -> None:
        self.stack = stack
        self.browser = browser
        self._signed_in: dict[str, Any] = {}

    def page(self, role: str, theme: Literal["light", "dark"] = "light") -> Page:
        """Open a window of a role's demo user, who signs in through Airflow's form the first time."""
        context = self.browser.new_context(
            base_url=self.stack.settings.airflow, color_scheme=theme, storage_state=self._signed_in.get(role)
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        if role not in self._signed_in:
            self._sign_in(page, role)
            self._signed_in[role] = context.storage_state()
        return page

    def _sign_in(self, page: Page, role: str) -> None:
        """Sign in as a person would: five sign-ins in forty seconds are all that Airflow lets one address make."""
        user = self.stack.users[role]
        for _ in range(SIGN_INS):
            page.goto("/auth/login/")
            page.fill("[name=username]", user.username)
            page.fill("[name=password]", user.password)
            page.keyboard.press("Enter")
            with suppress(TimedOut):
                page.wait_for_url(lambda url: "/auth/login" not in url, wait_until="commit", timeout=SIGN_IN_MS)
                return
        raise AssertionError(f"{role} was not let in: {page.content()[:1000]}")


@contextmanager
def people(stack: Stack) -> Iterator[People]:
    """Start Chromium."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield People(stack, browser)
        finally:
            browser.close()


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus, and see that it shows it."""
    for _ in range(TABS):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"{selector} does not show that it has the focus"
            return
    raise AssertionError(f"{selector} cannot be reached with the keyboard")


def readable(page: Any) -> None:
    """Make sure that every text stands out from what lies behind it."""
    ratio, text = page.evaluate(CONTRAST)
    assert ratio >= 4.5, f"“{text}” has a contrast of {ratio:.2f}"
