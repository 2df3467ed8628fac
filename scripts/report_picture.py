"""Take pictures of a finished run's report, for the documentation.

The pictures of the report in docs/pictures/ are made in this way from the run of docs/tutorial.md. Needs Chromium, and
playwright, which the tests install.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, sync_playwright

from clipmill.base.files import atomic
from clipmill.base.opencv import cv2
from clipmill.cli import run_step

CHROMIUM = Path("/usr/bin/chromium")
# Which parts of the page make up which picture, one below the other: selectors of the page.
PICTURES = {
    "report": (".hero", "#clips"),
    "report-funnel": ("#funnel",),
    "report-motion": ("#filter-motion",),
}
WIDTH, HEIGHT, QUALITY = 1100, 900, 66  # of the window, in pixels; of the WebP


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("outdir", type=Path, help="output folder of a finished run")
    parser.add_argument("folder", type=Path, help=f"folder for the pictures: {', '.join(PICTURES)} (.webp)")
    args = parser.parse_args()
    report = (args.outdir / "report.html").resolve(strict=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(f"{report.as_uri()}#show=kept")
        page.wait_for_selector("html[data-ready]", state="attached")
        for name, selectors in PICTURES.items():
            picture = np.vstack([part(page, selector) for selector in selectors])
            with atomic(args.folder / f"{name}.webp") as temporary:
                temporary.write_bytes(cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1])
        browser.close()


def part(page: Page, selector: str) -> np.ndarray:
    """A part of the page, as wide as the window, with all of its pictures loaded."""
    shown = page.locator(selector).first
    shown.locator("img").evaluate_all("all => Promise.all(all.map((one) => (one.loading = 'eager', one.decode())))")
    box = shown.bounding_box()
    if box is None:
        raise ValueError(f"the report shows no {selector}")
    clip = {"x": 0, "y": box["y"], "width": WIDTH, "height": box["height"]}
    return cv2.imdecode(np.frombuffer(page.screenshot(full_page=True, clip=clip), np.uint8), cv2.IMREAD_COLOR)


if __name__ == "__main__":
    run_step(main)
