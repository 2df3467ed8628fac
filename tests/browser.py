"""A page in real headless Chromium, with all that it does: requests, messages of its console, dialogs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser, Locator, Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
SET = """([field, value]) => {
  const input = document.querySelector(field);
  input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.dispatchEvent(new Event("change", { bubbles: true }));
  return new Promise((done) => requestAnimationFrame(done));
}"""
IN_CHROMIUM = (
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no Chromium at {CHROMIUM}"),
    pytest.mark.usefixtures("chromium"),
)
_running: list[Browser] = []


def in_chromium(test: Callable) -> Callable:
    """Marks a test that opens pages."""
    for mark in IN_CHROMIUM:
        test = mark(test)
    return test


@dataclass
class Opened:
    """An opened report. `told`: what a page must never do: requests, errors, dialogs."""

    page: Page
    path: Path
    told: list[str] = field(default_factory=list)

    def text(self, is_: str) -> str:
        return self.page.locator(f'[data-is="{is_}"]').first.inner_text()

    def number(self, stage: str, is_: str = "clips") -> int:
        """A number of the funnel, 0 where nothing stands."""
        text = self.page.locator(f'[data-stage="{stage}"] [data-is="{is_}"]').text_content()
        return int(text.replace(",", "").replace("≈", "") or 0)

    @property
    def kept(self) -> int:
        return self.number("files")

    @property
    def unknown(self) -> int:
        return self.number("files", "unknown")

    @property
    def yaml(self) -> dict | None:
        """What the page says to put into the config."""
        return yaml.safe_load(self.written)

    @property
    def written(self) -> str:
        """The same, with its comments."""
        return self.page.locator('[data-is="yaml"]').text_content()

    def set(self, name: str, end: str, value: float | None) -> None:
        """Set a threshold as typing does, without its keys, and wait until the page shows it."""
        self.page.evaluate(SET, [self._field(name, end), "" if value is None else repr(value)])

    def type(self, name: str, end: str, value: str) -> None:
        """Type a threshold, key by key."""
        field_ = self.page.locator(self._field(name, end))
        field_.fill("")
        field_.press_sequentially(value)
        field_.press("Enter")
        self.settle()

    @staticmethod
    def _field(name: str, end: str) -> str:
        return f'[data-filter="{name}"] input[type="number"][data-end="{end}"]'

    def widths(self) -> list[int]:
        """Of all pictures, in pixels of the file, each loaded and decoded; one that cannot be is an error."""
        return self.page.eval_on_selector_all(
            "img",
            """all => Promise.all(all.map(async (one) => {
              one.loading = "eager";
              await one.decode();
              return one.naturalWidth;
            }))""",
        )

    def faults(self) -> list[str]:
        """What axe-core finds that is serious or critical: the rule and the first element of each."""
        from axe_playwright_python.sync_playwright import Axe  # which the fast tests do without

        found = Axe().run(self.page).response["violations"]
        return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]

    def ready(self) -> None:
        """Wait until the page, with the thresholds of its address, can be used."""
        self.page.wait_for_selector("html[data-ready]", state="attached")
        self.settle()

    def reload(self) -> None:
        """Load the page again, when it has written its thresholds into its address."""
        self.page.wait_for_timeout(400)
        self.page.reload()
        self.ready()

    def clip(self, state: str) -> Locator:
        """The first of the listed clips in a state: what one points at to play it."""
        return self.page.locator(f'[data-is="sheet"] [data-now="{state}"]:has(img) .screen').first

    def unfold(self) -> None:
        """Show the filters that drop nothing too."""
        self.page.locator("details.fold").evaluate_all("all => all.forEach((one) => { one.open = true; })")

    def settle(self) -> None:
        """Wait until the page has answered what was done to it."""
        self.page.evaluate("new Promise((done) => requestAnimationFrame(done))")

    def put_back(self) -> None:
        """Put all thresholds back; there is a button for it where one has been moved."""
        button = self.page.locator('[data-is="reset-all"]')
        assert button.is_visible()
        button.evaluate("one => one.click()")
        self.settle()

    @property
    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def states(self) -> dict[str, int]:
        """How many pictures are kept, out and unknown."""
        found = self.page.eval_on_selector_all("[data-picture]", "all => all.map((one) => one.dataset.now)")
        return {state: found.count(state) for state in ("kept", "out", "unknown")}


@contextmanager
def started() -> Iterator[None]:
    """Chromium, for all pages that are opened meanwhile: it takes longer to start than most of them to look at."""
    with sync_playwright() as playwright:
        _running.append(playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"]))
        yield
        _running.pop().close()


@contextmanager
def opened(
    path: Path, width: int = 1600, scheme: str = "light", address: str | None = None, beside: str | None = None
) -> Iterator[Opened]:
    """A page, opened from disk or at its `address`, ready to be used.

    Whatever it asks for besides itself is refused and told, but for what begins with `beside`.
    """
    page = _running[-1].new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    report = Opened(page, path)
    address = address or path.as_uri()

    def ask(route) -> None:
        url = route.request.url
        if url == address.partition("#")[0] or (beside is not None and url.startswith(beside)):
            route.continue_()
        else:
            report.told.append(f"request: {url[:200]}")
            route.abort()

    page.route("**/*", ask)
    page.on("console", lambda message: report.told.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: report.told.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (report.told.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(address)
    report.ready()
    yield report
    page.close()
