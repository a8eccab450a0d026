"""The browser of `make test-report`: the system's Chromium, headless, without a network."""

import os
import pathlib
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from components.report import page as pages
from docs.report_image import ChromiumNotFound, open_browser
from tests.components.report.factories import report_data
from tests.factories import ROOT

SCREENSHOTS = pathlib.Path(os.environ.get("SCREENSHOTS", ROOT / "build" / "report"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    try:
        with open_browser() as opened:
            yield opened
    except ChromiumNotFound as error:
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def report(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(pages.render(report_data()), encoding="utf-8")
    return path


@pytest.fixture
def page(browser, report) -> Iterator[Page]:
    """The report, opened from disk; whatever the console complains of, or is asked of the network, fails the test."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    opened, complaints = context.new_page(), []
    opened.on("console", lambda message: complaints.append(message.text) if message.type != "log" else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:")) else complaints.append(request.url),
    )
    opened.goto(report.as_uri())
    yield opened
    assert complaints == []
    context.close()


@pytest.fixture
def keep(request):
    """Keeps a screenshot under the test's name."""

    def screenshot(page: Page, state: str = "") -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        name = "_".join(filter(None, [request.node.name.replace("[", "_").rstrip("]"), state]))
        page.screenshot(path=SCREENSHOTS / f"{name}.png")

    return screenshot
