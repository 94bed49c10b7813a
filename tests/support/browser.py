"""A headless Chromium for tests of pages, from Debian's packages chromium and chromium-driver."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def is_here() -> bool:
    """Whether Chromium and its driver are installed."""
    return all(shutil.which(name) for name in ("chromium", "chromedriver"))


@contextmanager
def chromium() -> Iterator[Chrome]:
    """A browser that keeps what pages log and ask for."""
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            driver.get("about:blank")
            driver.get_log("performance")  # what its own first page asks for
            driver.set_page_load_timeout(120)
            driver.set_script_timeout(120)
            yield driver
        finally:
            driver.quit()


def console(driver: Chrome) -> list[str]:
    """What the page wrote to the console, errors and warnings alike, since this was asked last."""
    return [entry["message"] for entry in driver.get_log("browser")]


def requests(driver: Chrome) -> list[str]:
    """Addresses that were asked for since this was asked last, data in the page itself aside."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return [url for url in sent if not url.startswith("data:")]


def looks(driver: Chrome, scheme: str, width: int = 1200) -> None:
    """Show pages light or dark, so many pixels wide."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def run(driver: Chrome, program: str, *given: Any) -> Any:
    """The value of a program's last expression."""
    return driver.execute_script(f"return ({program})", *given)
