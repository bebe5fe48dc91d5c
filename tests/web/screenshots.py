"""Pictures of the file manager: ``python -m tests.web.screenshots [DIRECTORY]``. Needs chromium and chromedriver."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from fastxfer.server import RatesConfig, ServerConfig
from tests.web.browser import Page, chromium
from tests.web.site import serve

DESKTOP = {"width": 1280, "height": 820, "deviceScaleFactor": 1, "mobile": False}
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
DAY = 86400
FOLDERS = {"Documents": 3, "Photos 2026": 40, "Projets d’été": 12, "Данные": 90}
FILES = {
    "Quarterly report.pdf": (2_340_112, 2),
    "holiday.jpg": (4_812_334, 380),
    "backup-2026-11-29.tar.gz": (1_234_567_890, 1),
    "notes.md": (4_211, 0),
    "interview.mp3": (52_000_000, 20),
    "main.py": (8_412, 5),
    "budget 2026.xlsx": (73_000, 9),
    "empty.txt": (0, 60),
    "minutes of the meeting about the minutes of the last meeting, third and hopefully final draft.txt": (900, 7),
}


def furnish(root: Path) -> None:
    """Fill *root* with things to look at."""
    now = time.time()
    for name, (size, days) in FILES.items():
        with open(root / name, "wb") as file:
            file.truncate(size)
        os.utime(root / name, (now - days * DAY, now - days * DAY))
    for name, days in FOLDERS.items():
        (root / name).mkdir()
        (root / name / "letter.txt").write_text("x")
        os.utime(root / name, (now - days * DAY, now - days * DAY))


def take(target: Path) -> list[Path]:
    """Make all pictures in *target*; the files made."""
    made: list[Path] = []
    with tempfile.TemporaryDirectory() as folder, chromium() as driver:
        root = Path(folder) / "root"
        root.mkdir()
        furnish(root)
        big = Path(folder) / "film.mkv"
        with open(big, "wb") as file:
            file.truncate(90_000_000)
        with serve(root, config=ServerConfig(rates=RatesConfig(user_upload=6_000_000))) as site:
            page = Page(driver, site)

            def look(theme: str, metrics: dict[str, object]) -> None:
                features = [{"name": "prefers-color-scheme", "value": theme}]
                driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
                driver.delete_all_cookies()
                page.open()
                page.until(lambda: len(page.names()) >= len(FILES) + len(FOLDERS))

            def shoot(name: str) -> None:
                time.sleep(0.3)
                made.append(target / f"{name}.png")
                driver.save_screenshot(str(made[-1]))

            look("light", DESKTOP)
            shoot("light")
            for name in ("Photos 2026", "main.py"):
                page.row(name).find_element(By.CSS_SELECTOR, "input").click()
            page.upload(big, root / "notes.md")
            page.answer("Keep both")
            page.until(lambda: page.all("#uploads-list li.done"))
            shoot("uploads")
            page.find("#uploads-cancel").click()
            look("dark", DESKTOP)
            shoot("dark")
            page.act("Quarterly report.pdf", "rename")
            shoot("dark-rename")
            page.keys(Keys.ESCAPE)
            page.act("Quarterly report.pdf", "delete")
            shoot("dark-delete")
            page.keys(Keys.ESCAPE, "?")
            shoot("dark-help")
            look("light", PHONE)
            shoot("phone")
            page.act("holiday.jpg", "more")
            shoot("phone-actions")
            look("dark", PHONE)
            shoot("phone-dark")
            page.find("#signout").click()
            page.until(lambda: page.find("#signin").is_displayed())
            shoot("phone-sign-in")
    return made


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    for picture in take(folder):
        print(picture)
