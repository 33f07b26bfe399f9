"""Headless Chromium, driven by Selenium: pages as people see them.

Nothing here sleeps: what is awaited is a condition, looked at until it holds or `PATIENCE_S` are over.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from .peers import MissingProgramError

__all__ = ["Browser", "browser"]

PATIENCE_S = 30
T = TypeVar("T")


class Browser:
    """One window.

    Attributes:
        driver: Selenium's, for what is not here.
    """

    def __init__(self, driver: Any, site: str) -> None:
        self.driver = driver
        self.site = site

    def open(self, path: str) -> None:
        """Go to a page of the site, or of any URL."""
        self.driver.get(path if "://" in path else self.site + path)

    def one(self, css: str) -> Any:
        """The one element that fits, as soon as it is there."""
        found = self._until(lambda: self.driver.find_elements("css selector", css), f"not one {css}")
        assert len(found) == 1, f"{len(found)} are {css}"
        return found[0]

    def text(self, css: str = "main") -> str:
        """What is to be read in an element."""
        return self._until(lambda: [self.one(css).text], f"nothing to read in {css}")[0]

    def follow(self, css: str) -> None:
        """Click on what leads to another page; returns when that is there."""
        self.driver.execute_script("window.isLeft = true")
        self.one(css).click()
        script = "return !window.isLeft && document.readyState === 'complete'"
        self._until(lambda: self.driver.execute_script(script), f"no page came after {css}")

    def send(self, form: str, **fields: str) -> None:
        """Fill in a form and press its button; returns when the page after it is there.

        Args:
            form: What its button's form fits, as CSS.
            fields: By name, what to write into each.
        """
        for name, text in fields.items():
            field = self.one(f'{form} [name="{name}"]')
            field.clear()
            field.send_keys(text)
        self.follow(f"{form} button")

    def _until(self, look: Callable[[], T], otherwise: str) -> T:
        """What is seen, as soon as there is something; while a page gives way to another the driver may have errors."""
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait

        wait = WebDriverWait(self.driver, PATIENCE_S, poll_frequency=0.05, ignored_exceptions=[WebDriverException])
        return wait.until(lambda driver: look(), otherwise)

    def problems(self, among: str = "") -> list[str]:
        """What the console has had since it was asked the last time: scripts that failed, what was not loaded, ...

        Args:
            among: To be waited for: what one of them says.
        """
        found: list[str] = []

        def is_there() -> bool:
            found.extend(f"{entry['level']}: {entry['message']}" for entry in self.driver.get_log("browser"))
            return not among or any(among in said for said in found)

        self._until(is_there, f"the console has no {among!r}, but {found}")
        return found


@contextmanager
def browser(folder: Path, site: str) -> Iterator[Browser]:
    """Start Chromium, which resolves no name: it has the loopback interface and nothing else.

    Raises:
        MissingProgramError: Chromium, its driver or Selenium is not there.
    """
    try:
        from selenium import webdriver
    except ImportError:
        raise MissingProgramError("selenium is not installed: pip install selenium") from None
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        raise MissingProgramError(f"{' and '.join(missing)} not found: run .ci/install-real-peers")
    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    for argument in (
        "--headless=new",
        "--no-sandbox",  # the tests run as root
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--window-size=1000,900",
        "--hide-scrollbars",
        f"--user-data-dir={folder}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(programs["chromedriver"]))
    try:
        yield Browser(driver, site)
    finally:
        driver.quit()
