"""Headless Chromium, and the file manager as one who uses it sees it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.web.site import WAIT, Site

T = TypeVar("T")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome") or ""
DRIVER = shutil.which("chromedriver") or ""
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def chromium(downloads: Path | None = None) -> Iterator[webdriver.Chrome]:
    """A browser with an empty profile."""
    with tempfile.TemporaryDirectory(prefix="profile", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,900", "--lang=en"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
        try:
            if downloads is not None:
                driver.execute_cdp_cmd(
                    "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)}
                )
            yield driver
        finally:
            driver.quit()


class Page:
    """The file manager of *site* in *driver*. Everything waits for what it needs, up to :data:`WAIT`."""

    def __init__(self, driver: webdriver.Chrome, site: Site) -> None:
        self.driver = driver
        self.site = site

    def open(self, user: str = "alice", password: str = "wonderland", at: str = "") -> Page:
        """Open the page anew and sign in; with an empty *user* only open it."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.site.origin}/{at}")
        if user:
            self.sign_in(user, password)
            self.until(lambda: self.find("#browser").is_displayed())
            self.settled()
        return self

    def sign_in(self, user: str, password: str) -> None:
        self.until(lambda: self.find("#signin-user").is_displayed())
        for field, text in (("#signin-user", user), ("#signin-password", password)):
            self.find(field).clear()
            self.find(field).send_keys(text)
        self.find("#signin-password").send_keys(Keys.ENTER)

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def until(self, condition: Callable[[], T]) -> T:
        """Wait until *condition* holds; a page that is just changing counts as "not yet"."""
        deadline = time.monotonic() + WAIT
        while True:
            try:
                result = condition()
                if result:
                    return result
            except WebDriverException:
                if time.monotonic() > deadline:
                    raise
            assert time.monotonic() < deadline, f"did not happen; the page shows {self.names()}"
            time.sleep(0.02)

    def settled(self) -> None:
        """Wait until the listing is there."""
        self.until(lambda: self.find("#files").get_attribute("aria-busy") is None)

    def names(self) -> list[str]:
        """The names listed, from the top."""
        labels: list[str] = self.script(
            "return [...document.querySelectorAll('#rows .name .label')].map((label) => label.textContent)"
        )
        return labels

    def shows(self, *names: str) -> None:
        """Wait until exactly *names* are listed, in this order."""
        self.until(lambda: self.names() == list(names))

    def row(self, name: str) -> WebElement:
        for row in self.all("#rows tr"):
            if row.find_element(By.CSS_SELECTOR, ".label").text == name:
                return row
        raise AssertionError(f"{name!r} is not listed: {self.names()}")

    def act(self, name: str, action: str) -> None:
        """Press a button in the row of *name*."""
        self.row(name).find_element(By.CSS_SELECTOR, f"[data-action={action}]").click()

    def answer(self, button: str, text: str | None = None) -> None:
        """Fill the open dialog's field with *text*, and press its *button*."""
        self.until(lambda: self.find("#ask[open]"))
        if text is not None:
            field = self.find("#ask-input")
            field.clear()
            field.send_keys(text)
        self.until(lambda: [item for item in self.all("#ask-buttons button") if item.text == button])[0].click()

    def keys(self, *keys: str) -> None:
        """Press *keys* where the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def upload(self, *files: Path) -> None:
        """Choose *files* in the dialog behind the Upload button."""
        self.find("#upload-input").send_keys("\n".join(map(str, files)))

    def drop(self, **files: str) -> None:
        """Drop files on the page: their names, and what is in them."""
        self.script(
            """
            const carried = new DataTransfer();
            for (const [name, text] of Object.entries(arguments[0])) carried.items.add(new File([text], name));
            const event = {dataTransfer: carried, bubbles: true, cancelable: true};
            for (const type of ['dragenter', 'dragover', 'drop'])
              document.body.dispatchEvent(new DragEvent(type, event));
            """,
            files,
        )

    def drag(self, *paths: Path) -> None:
        """Drag files and folders of the machine onto the page, as from its desktop."""
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            event = {"type": kind, "x": 400, "y": 300, "data": data}
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", event)

    def said(self, text: str) -> None:
        """Wait until the page tells *text* to screen readers."""
        self.until(
            lambda: (
                text
                in self.script(
                    "return document.getElementById('live').textContent + document.getElementById('alert').textContent"
                )
            )
        )

    def focused(self) -> str:
        """The text of the element that has the focus."""
        text: str = self.script("return document.activeElement.innerText || document.activeElement.id")
        return text.strip()
