"""The page as a browser shows it: no error, no request, tables that sort, panels that open, text that can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import browser
import pytest
from invented_film import invented_film
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from dac.report.data import Experiment, PageSettings, ReportData
from dac.report.render import render

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(not browser.is_here(), reason="needs chromium and chromedriver (Debian: chromium-driver)"),
]

# Every text's colour against the colours behind it, by WCAG's formula; those below 4.5.
CONTRAST = """
(() => {
  const channels = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const behind = (item) => {
    for (let at = item; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const light = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const item = walk.currentNode.parentElement;
    if (!walk.currentNode.textContent.trim() || !item.checkVisibility()) continue;
    const pair = [light(channels(getComputedStyle(item).color)), light(behind(item))].sort((a, b) => b - a);
    const ratio = (pair[0] + 0.05) / (pair[1] + 0.05);
    found.push([ratio, walk.currentNode.textContent.trim().slice(0, 40)]);
  }
  return found;
})()
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with browser.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def file(
    build: Callable[..., ReportData],
    experiment: Callable[..., Experiment],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """The address of the page of two experiments, one of them with a film."""
    sweep = experiment(
        name="ensemble", title="Ensemble size", variants=("2", "10"), varied="ensemble_size", show=("sweep", "film")
    )
    settings = PageSettings(window=2, bootstrap_samples=100, dpi=40)
    folder = tmp_path_factory.mktemp("page")
    data = build([experiment(), sweep], settings=settings, steps=(0, 10_000, 20_000, 30_000))
    render(replace(data, films={"ensemble": invented_film()}), folder)
    return (folder / "report.html").as_uri()


@pytest.fixture
def page(driver: Chrome, file: str) -> Chrome:
    """The page, opened anew."""
    browser.looks(driver, "light")
    driver.get(file)
    return driver


def section(page: Chrome, name: str = "guidance") -> WebElement:
    return page.find_element(By.ID, f"experiment-{name}")


def visible_tables(page: Chrome) -> list[WebElement]:
    return [table for table in section(page).find_elements(By.CSS_SELECTOR, ".views table") if table.is_displayed()]


def column(table: WebElement, place: int) -> list[str]:
    return [row.find_elements(By.XPATH, "*")[place].text for row in table.find_elements(By.CSS_SELECTOR, "tbody tr")]


def readout(chart: WebElement) -> str:
    return chart.find_element(By.CLASS_NAME, "readout").text


def first_chart(page: Chrome) -> WebElement:
    """The first chart, once it is drawn."""
    chart = section(page).find_element(By.CLASS_NAME, "chart")
    page.execute_script("arguments[0].scrollIntoView()", chart)
    WebDriverWait(page, 60).until(lambda _: chart.find_elements(By.TAG_NAME, "canvas") and readout(chart))
    return chart


def test_nothing_goes_wrong_and_nothing_is_asked_for(page: Chrome, file: str) -> None:
    first_chart(page)
    assert browser.console(page) == []
    assert browser.requests(page) == [file]


def test_a_film_runs_or_stands_still_as_the_reader_has_it(page: Chrome) -> None:
    """In the system's settings; the choice among formats is the browser's."""
    film = section(page, "ensemble").find_element(By.CSS_SELECTOR, "picture img")
    shown = "return [arguments[0].currentSrc.slice(0, 15), arguments[0].complete, arguments[0].naturalWidth]"
    for wanted, address in (("no-preference", "data:image/gif;"), ("reduce", "data:image/png;")):
        features = [{"name": "prefers-reduced-motion", "value": wanted}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        expected = [address, True, 24]
        WebDriverWait(page, 60).until(lambda _, expected=expected: page.execute_script(shown, film) == expected)
    assert film.accessible_name.startswith("Ensemble size. A trained policy acts: ")


def test_a_table_is_sorted_by_a_column_and_its_averages_stay_below(page: Chrome) -> None:
    (table,) = visible_tables(page)
    before = column(table, 2)
    assert before[:2] == ["86.8 ± 4.0", "90.8 ± 4.0"]
    head = table.find_elements(By.CSS_SELECTOR, "thead th")[2]
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert (head.get_attribute("aria-sort"), column(table, 2)) == ("ascending", before)
    head.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert head.get_attribute("aria-sort") == "descending"
    assert column(table, 2) == [before[1], before[0], *before[2:]]
    assert column(table, 0)[-1].startswith("Average")


def test_switches_show_one_table_of_the_same_cells(page: Chrome) -> None:
    (table,) = visible_tables(page)
    assert "mean ± standard deviation" in table.text
    for name, said in (("Interquartile mean", "All tasks"), ("Per seed", "102.2")):
        section(page).find_element(By.XPATH, f".//label[contains(., '{name}')]").click()
        (table,) = visible_tables(page)
        assert said in table.text


def test_a_cell_opens_a_panel_that_the_keyboard_closes(page: Chrome) -> None:
    (table,) = visible_tables(page)
    button = table.find_elements(By.CSS_SELECTOR, "button.runs")[3]
    dialog = page.find_element(By.ID, "runs")
    assert not dialog.is_displayed()
    button.send_keys(Keys.ENTER)
    assert dialog.is_displayed()
    assert dialog.find_element(By.TAG_NAME, "h2").text == "Guidance type: own_hopper, bc_only"
    assert "c" * 64 in dialog.text and "snakemake demo --cores all" in dialog.text
    assert [row.split()[:2] for row in dialog.find_element(By.TAG_NAME, "tbody").text.splitlines()[:2]] == [
        ["0", "93.2"], ["1", "94.2"],
    ]  # fmt: skip
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert not dialog.is_displayed()
    assert page.switch_to.active_element == button


def test_a_chart_says_what_is_under_the_pointer_or_the_arrow_keys(page: Chrome) -> None:
    chart = first_chart(page)
    lines = readout(chart).splitlines()
    assert lines[:2] == ["Step 30,000", "soft: 91.8 [87.7, 95.8]"]
    assert lines[3].startswith("DAC (published): ")
    chart.find_element(By.CLASS_NAME, "plot").send_keys(Keys.HOME)
    assert readout(chart).splitlines()[:2] == ["Step 0", "soft: 61.8 [57.7, 65.8]"]
    chart.find_element(By.CLASS_NAME, "plot").send_keys(Keys.ARROW_RIGHT)
    assert readout(chart).startswith("Step 10,000")
    over = chart.find_element(By.CLASS_NAME, "u-over")
    ActionChains(page).move_to_element_with_offset(over, over.size["width"] // 2 - 2, 0).perform()
    assert readout(chart).startswith("Step 30,000")


def test_a_box_hides_a_method_in_every_chart(page: Chrome) -> None:
    chart = first_chart(page)
    before = chart.find_element(By.TAG_NAME, "canvas").screenshot_as_base64
    section(page).find_element(By.XPATH, ".//label[contains(., 'bc_only')]/input").click()
    chart.find_element(By.CLASS_NAME, "plot").send_keys(Keys.HOME)
    assert "bc_only" not in readout(chart) and "soft" in readout(chart)
    assert chart.find_element(By.TAG_NAME, "canvas").screenshot_as_base64 != before


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(scheme: str, page: Chrome) -> None:
    browser.looks(page, scheme)
    for open_panel in (False, True):
        if open_panel:
            visible_tables(page)[0].find_element(By.CSS_SELECTOR, "button.runs").send_keys(Keys.ENTER)
        found: list[list[Any]] = browser.run(page, CONTRAST)
        assert len(found) > 100
        assert [item for item in found if item[0] < 4.5] == []
    back = browser.run(page, "getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 28)"}[scheme]


def test_a_narrow_screen_scrolls_tables_alone(page: Chrome) -> None:
    browser.looks(page, "light", width=380)
    assert browser.run(page, "document.documentElement.scrollWidth <= innerWidth")


def test_headings_and_names_for_those_who_do_not_see(page: Chrome) -> None:
    headings = "[...document.querySelectorAll('h1, main h2, main h3')]"
    levels = browser.run(page, f"{headings}.map((heading) => Number(heading.tagName[1]))")
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))
    assert browser.run(page, "document.documentElement.lang") == "en"
    assert browser.run(page, "[...document.images].filter((image) => !image.alt).length") == 0
    assert browser.run(page, "[...document.querySelectorAll('th')].filter((head) => !head.scope).length") == 0
    controls = "[...document.querySelectorAll('button, input')]"
    unnamed = f"{controls}.filter((item) => !(item.textContent || item.labels?.length))"
    assert browser.run(page, f"{unnamed}.length") == 0
