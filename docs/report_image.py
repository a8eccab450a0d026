"""Takes the README's image of the report, from the last run of the sample: python -m docs.report_image."""

import contextlib
import io
import json
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from pipeline import config_files
from pipeline.paths import Paths

PATH = pathlib.Path(__file__).parent / "images" / "report.png"
WINDOW = {"width": 960, "height": 1000}  # CSS pixels
NUM_COLORS = 256
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


class ChromiumNotFound(RuntimeError):
    """There is no Chromium on the path."""


@contextlib.contextmanager
def open_browser() -> Iterator[Browser]:
    """Starts the system's Chromium, headless.

    Raises:
      ChromiumNotFound: there is none.
    """
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        raise ChromiumNotFound("no Chromium here; on Debian and Ubuntu: apt install chromium")
    with sync_playwright() as playwright:
        # root, as in a container, has no sandbox
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def take(browser: Browser, report: pathlib.Path) -> bytes:
    """Opens the report's best image, and shoots its caption, references and attention maps.

    Args:
      browser: the browser.
      report: the report's HTML file.

    Returns:
      a PNG.
    """
    context = browser.new_context(offline=True, viewport=WINDOW, color_scheme="light")
    page = context.new_page()
    page.goto(report.resolve().as_uri())
    page.get_by_label("Sort").select_option("best")
    page.locator(".card button").first.click()
    page.locator("#maps canvas").first.wait_for()
    png = page.locator("dialog").screenshot()
    context.close()
    return png


def compress(png: bytes) -> bytes:
    """Reduces a PNG to a palette."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(NUM_COLORS).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def report_of(paths: Paths) -> pathlib.Path | None:
    """The report of the last run; None if it is not finished, or the report is gone."""
    summary = pathlib.Path(paths.summary)
    report = pathlib.Path((json.loads(summary.read_text()) if summary.exists() else {}).get("report") or "")
    return report if report.is_file() else None


def main() -> int:
    """Writes the image, or says why it stays as it is; returns the exit status."""
    paths = config_files.load().paths
    report = report_of(paths)
    if report is None:
        print(f"{PATH.name} stays as it is: no finished run of the sample in {os.path.relpath(paths.root)} (make run)")
        return 0
    try:
        with open_browser() as browser:
            png = compress(take(browser, report))
    except ChromiumNotFound as error:
        print(f"{PATH.name} stays as it is: {error}")
        return 0
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_bytes(png)
    return 0


if __name__ == "__main__":
    sys.exit(main())
