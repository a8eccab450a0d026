"""The report as a reader meets it."""

import pytest
from playwright.sync_api import Page, expect

from tests.components.report.factories import HOSTILE


def shown(page: Page) -> list[str]:
    """Ids of the cards, in their order."""
    return page.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.id)")


def names(*numbers: int) -> list[str]:
    return [f"image_{number:03}.jpg" for number in numbers]


def test_it_opens_with_the_decision(page, keep):
    expect(page.locator("#decision")).to_have_text("rejected")
    expect(page.get_by_text("p-value 0.2000")).to_be_visible()
    expect(page.locator("svg polyline")).to_have_count(4)
    assert shown(page) == names(*range(60))
    assert page.title().startswith("rejected: BLEU-4 0.400")
    keep(page)


def test_every_image_is_shown(page):
    page.get_by_role("button", name="Show more").click()
    assert len(shown(page)) == 100
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    page.locator(".card img").last.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('.card img')].at(-1).naturalWidth > 0")
    assert page.locator(".card img").count() == 99
    expect(page.get_by_text("image not available")).to_be_visible()


@pytest.mark.parametrize(
    ("order", "first"),
    [("best", (99, 98)), ("worst", (0, 1)), ("regressed", (0, 1)), ("improved", (99, 98)), ("name", (0, 1))],
)
def test_images_are_sorted(page, order, first):
    page.get_by_label("Sort").select_option("name" if order == "worst" else "worst")
    page.get_by_label("Sort").select_option(order)
    assert shown(page)[:2] == names(*first)


def test_images_are_searched_by_caption_reference_and_name(page):
    search = page.get_by_label("Search")
    search.fill("NUMBER42 dog")
    assert shown(page) == names(42)
    expect(page.locator("#count")).to_have_text("1 of 100 images")
    search.fill("field 17")
    assert shown(page) == names(17)
    search.fill("image_009")
    assert shown(page) == names(9)
    search.fill("nothing like it")
    assert shown(page) == []
    search.fill("")
    assert len(shown(page)) == 60


def test_an_image_shows_the_attention_weights_of_every_word(page, keep):
    page.get_by_label("Search").fill("number42")
    page.locator(".card button").click()
    expect(page.locator("dialog")).to_be_visible()
    expect(page.locator("#maps canvas")).to_have_count(4)
    assert page.locator("#maps figcaption").all_text_contents() == ["a", "dog", "number42", "runs"]
    # the maps are drawn, and differ from word to word and from the image
    drawn = page.locator("#maps canvas").evaluate_all("maps => maps.map(map => map.toDataURL())")
    assert len(set(drawn)) == 4
    red = page.locator("#maps canvas").first.evaluate(
        "map => { const d = map.getContext('2d').getImageData(0, 0, map.width, map.height).data;"
        " let most = 0; for (let i = 0; i < d.length; i += 4) most = Math.max(most, d[i] - d[i + 2]); return most }"
    )
    assert red > 50
    expect(page.get_by_text("a dog runs in field 42", exact=True).last).to_be_visible()
    keep(page)
    page.get_by_role("button", name="close").click()
    expect(page.locator("dialog")).to_be_hidden()


def test_a_missing_image_opens_without_maps(page):
    page.get_by_label("Search").fill("number5 ")
    page.locator(".card button").first.click()
    expect(page.locator("#large")).to_be_hidden()
    assert page.locator("#maps canvas").count() == 0


def test_an_image_opens_and_closes_by_the_keyboard(page):
    page.get_by_label("Search").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_visible()
    expect(page.locator("#prediction")).to_have_text("a dog number0 runs")
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    expect(page.locator(".card button").first).to_be_focused()


def test_comparison_models_are_compared_in_tables_and_images(page, keep):
    expect(page.get_by_role("columnheader", name="candidate (transformer)")).to_be_visible()
    expect(page.get_by_role("columnheader", name="improvement over gru")).to_be_visible()
    expect(page.locator(".card").first.get_by_text("gru (0.250): two dogs of gru 0")).to_be_visible()
    keep(page)


def test_hostile_text_stays_text(page):
    page.get_by_label("Search").fill("image_003")
    expect(page.locator(".card .caption")).to_have_text(HOSTILE)
    page.locator(".card button").click()
    expect(page.locator("#prediction")).to_have_text(HOSTILE)
    assert "owned" not in page.title()
    assert page.locator("script").count() == 2


@pytest.mark.parametrize(
    ("scheme", "background"),
    [("light", "rgb(255, 255, 255)"), ("dark", "rgb(22, 23, 26)")],
    ids=["light", "dark"],
)
def test_on_a_phone(page, keep, scheme, background):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 780})
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background
    keep(page)
    lines = page.locator("#controls label").evaluate_all(
        "labels => labels.map(label => { const range = document.createRange();"
        " range.selectNodeContents(label.firstChild); return range.getClientRects().length })"
    )
    assert lines == [1, 1]  # no word is broken
    page.locator("summary").last.click()
    assert page.evaluate("document.documentElement.scrollWidth") == 360  # nothing sticks out
    page.locator(".card button").first.click()
    expect(page.locator("#maps canvas")).to_have_count(4)
    keep(page, "open")
    assert page.locator("dialog").evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


def test_dark(page, keep):
    page.emulate_media(color_scheme="dark")
    page.locator("#curves").scroll_into_view_if_needed()
    keep(page)
