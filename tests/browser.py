"""A Chromium without a window that knows no host but this one."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, TimeoutException
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PROGRAMS = ("chromium", "chromedriver")
_SWITCHES = (
    "--headless=new",
    "--no-sandbox",  # it does not start as root otherwise
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
_TIMEOUT_SECONDS = 60.0
_ATTEMPT_SECONDS = 20.0
Value = TypeVar("Value")


class Browser:
    """A browser, and waiting in it: pages fill up bit by bit."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    @property
    def text(self) -> str:
        """All text that the page shows."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    def open(self, url: str, *texts: str) -> None:
        """Go to a page and wait until it shows all of these texts."""
        self.driver.get(url)
        self.wait_for_text(*texts)

    def log_in(self, url: str, password: str) -> None:
        """Open Prefect's interface for the first time, and give the password that it asks for."""
        self.open(url, "Login")
        field = self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, "input[type=password]"), "there is a field")
        field.send_keys(password, Keys.ENTER)
        self.wait(lambda: "/login" not in self.driver.current_url, "the password is taken")

    def wait(self, condition: Callable[[], Value], what: str) -> Value:
        """Return what `condition` gives as soon as that is true."""
        waiting = WebDriverWait(
            self.driver, _TIMEOUT_SECONDS, ignored_exceptions=(StaleElementReferenceException, NoSuchElementException)
        )
        try:
            return waiting.until(lambda _: condition())
        except TimeoutException:
            shown = f"{self.driver.current_url}, which says:\n{self.text}"
            raise AssertionError(f"{what}: not so after {_TIMEOUT_SECONDS:g} s on {shown}") from None

    def wait_for_text(self, *texts: str) -> None:
        """Wait until the page shows all of these."""

        def all_there() -> bool:
            shown = self.text
            return all(text in shown for text in texts)

        self.wait(all_there, f"{texts} are shown")

    def names(self) -> list[str]:
        """Return the names of the fields of a form."""
        return [label.text.partition(" ")[0] for label in self._labels()]

    def field(self, name: str) -> WebElement:
        """Return the field of a form that has this name, as soon as it is there."""

        def found() -> WebElement | None:
            for label in self._labels():
                if label.text.partition(" ")[0] == name:
                    return self.driver.find_element(By.ID, label.get_attribute("for") or "")
            return None

        field = self.wait(found, f"there is a field {name}")
        assert field is not None
        return field

    def fill(self, name: str, value: str) -> None:
        """Type a value into a field, in place of what is there."""
        field = self.field(name)
        field.clear()
        field.send_keys(value)
        self.wait(lambda: self.field(name).get_property("value") == value, f"{name} is {value}")

    def tab(self, text: str) -> WebElement:
        """Return the tab with this text."""
        return self.driver.find_element(By.XPATH, f"//*[@role='tab'][normalize-space()='{text}']")

    def button(self, text: str) -> WebElement:
        """Return the button with this text."""
        return self.driver.find_element(By.XPATH, f"//button[normalize-space()='{text}']")

    def submit(self) -> None:
        """Submit a form, which leads to another page; as people do, try again when nothing has come of it."""
        page, attempts = self.driver.current_url, iter(range(int(_TIMEOUT_SECONDS / _ATTEMPT_SECONDS)))

        def left() -> bool:
            return self.driver.current_url != page

        while not left() and next(attempts, None) is not None:
            self.button("Submit").send_keys(Keys.ENTER)  # a click may miss, because the page moves below the pointer
            with suppress(TimeoutException):
                WebDriverWait(self.driver, _ATTEMPT_SECONDS).until(lambda _: left())
        assert left(), f"nothing came of Submit on {page}, which says:\n{self.text}"

    def _labels(self) -> list[WebElement]:
        return self.driver.find_elements(By.TAG_NAME, "label")


@contextmanager
def open_browser(width: int = 1400, height: int = 900) -> Iterator[Browser]:
    """Run a browser with a new profile, whose pages have this size in pixels."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location, service = (_program(name) for name in PROGRAMS)
        for switch in (*_SWITCHES, f"--user-data-dir={profile}"):
            options.add_argument(switch)
        driver = Chrome(options=options, service=Service(service))
        try:
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            yield Browser(driver)
        finally:
            driver.quit()


def _program(name: str) -> str:
    if found := shutil.which(name):
        return found
    raise FileNotFoundError(f"{name} is not installed: Debian has it in the packages chromium and chromium-driver.")
