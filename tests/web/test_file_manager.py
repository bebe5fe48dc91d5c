"""The file manager in a real browser."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="needs selenium")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from fastxfer.server import Anonymous, RatesConfig, ServerConfig
from tests.web import browser
from tests.web.browser import Page, chromium
from tests.web.site import Site, serve

pytestmark = pytest.mark.skipif(
    not (browser.CHROMIUM and browser.DRIVER), reason="needs chromium and chromedriver on the PATH"
)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def driver(downloads: Path) -> Iterator[webdriver.Chrome]:
    with chromium(downloads) as running:
        yield running


@pytest.fixture
def page(site: Site, driver: webdriver.Chrome) -> Iterator[Page]:
    """A signed-in page over some files."""
    (site.root / "docs").mkdir()
    (site.root / "docs" / "inner.txt").write_bytes(b"inner")
    (site.root / "beta.txt").write_bytes(b"b" * 2048)
    (site.root / "Alpha.txt").write_bytes(b"a")
    os.utime(site.root / "Alpha.txt", (1_600_000_000, 1_600_000_000))
    driver.delete_all_cookies()
    driver.get("about:blank")
    driver.get_log("browser")
    opened = Page(driver, site).open()
    opened.shows("docs", "Alpha.txt", "beta.txt")
    yield opened
    # A page that breaks its own policy, or throws, says so here.
    complaints = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert not [text for text in complaints if "the server responded with a status of" not in text]


def test_one_signs_in_and_out(site: Site, driver: webdriver.Chrome) -> None:
    page = Page(driver, site).open(user="")
    page.sign_in("alice", "wrong")
    page.until(lambda: "wrong" in page.find("#signin-problem").text)
    page.sign_in("alice", "wonderland")
    page.until(lambda: page.find("#who").text == "alice")
    page.find("#signout").click()
    page.until(lambda: page.find("#signin").is_displayed())
    assert not page.find("#browser").is_displayed()


def test_a_reload_keeps_one_signed_in(page: Page) -> None:
    page.driver.refresh()
    page.shows("docs", "Alpha.txt", "beta.txt")


def test_folders_open_and_the_way_back_works(page: Page) -> None:
    page.row("docs").find_element(By.CSS_SELECTOR, "a.name").click()
    page.shows("inner.txt")
    assert page.driver.title == "docs"
    assert [item.text for item in page.all("#crumbs a")] == ["Home", "docs"]
    page.driver.back()
    page.shows("docs", "Alpha.txt", "beta.txt")
    page.driver.forward()
    page.shows("inner.txt")
    page.all("#crumbs a")[0].click()
    page.shows("docs", "Alpha.txt", "beta.txt")


def test_the_address_of_a_folder_leads_there(page: Page) -> None:
    page.site.request("POST", "/files/a%20%C3%BC%25?action=mkdir")
    (page.site.root / "a ü%" / "here.txt").touch()
    page.driver.get(f"{page.site.origin}/#/a%20%C3%BC%25")
    page.shows("here.txt")
    assert page.driver.title == "a ü%"


def test_a_folder_that_is_gone_leads_to_the_one_above(page: Page) -> None:
    page.driver.get(f"{page.site.origin}/#/gone")
    page.said("does not exist any more")
    page.shows("docs", "Alpha.txt", "beta.txt")


def test_columns_sort_both_ways_and_say_so(page: Page) -> None:
    page.find("[data-sort=name]").click()
    page.shows("docs", "beta.txt", "Alpha.txt")
    assert page.find("th.c-name").get_attribute("aria-sort") == "descending"
    page.find("[data-sort=size]").click()
    page.shows("docs", "beta.txt", "Alpha.txt")
    page.find("[data-sort=modified]").click()
    page.shows("docs", "beta.txt", "Alpha.txt")
    page.find("[data-sort=modified]").click()
    page.shows("docs", "Alpha.txt", "beta.txt")
    assert page.find("th.c-time").get_attribute("aria-sort") == "ascending"
    assert page.find("th.c-name").get_attribute("aria-sort") == "none"


def test_typing_filters_and_enter_searches_below(page: Page) -> None:
    page.find("#search").send_keys("alp")
    page.shows("Alpha.txt")
    page.find("#search").clear()
    page.find("#search").send_keys("inner", Keys.ENTER)
    page.shows("inner.txt")
    assert page.find(".where").text == "/docs"
    page.find("#search").send_keys(Keys.ESCAPE)
    page.shows("docs", "Alpha.txt", "beta.txt")
    page.find("#search").send_keys("nothing like it")
    page.until(lambda: page.find("#blank-title").text == "Nothing matches")


def test_chosen_files_are_uploaded(page: Page, tmp_path: Path) -> None:
    sent = tmp_path / "sent ü.bin"
    sent.write_bytes(os.urandom(300_000))
    os.utime(sent, (1_500_000_000, 1_500_000_000))
    empty = tmp_path / "empty"
    empty.touch()
    page.upload(sent, empty)
    page.said("2 files uploaded")
    page.shows("docs", "Alpha.txt", "beta.txt", "empty", "sent ü.bin")
    stored = page.site.root / "sent ü.bin"
    assert stored.read_bytes() == sent.read_bytes()
    assert stored.stat().st_mtime == 1_500_000_000


def test_dropped_files_are_uploaded_into_the_open_folder(page: Page) -> None:
    page.row("docs").find_element(By.CSS_SELECTOR, "a.name").click()
    page.shows("inner.txt")
    page.drop(**{"one.txt": "one", "two.txt": "two"})
    page.shows("inner.txt", "one.txt", "two.txt")
    assert (page.site.root / "docs" / "two.txt").read_text() == "two"


def test_whole_folders_can_be_dropped(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "album ü"
    (folder / "2026" / "May").mkdir(parents=True)
    for number in range(120):
        (folder / "2026" / f"{number:03}.jpg").write_bytes(b"%d" % number)
    (folder / "2026" / "May" / "deep.txt").write_bytes(b"deep")
    single = tmp_path / "single.txt"
    single.write_bytes(b"single")
    page.drag(folder, single)
    page.said("122 files uploaded")
    assert (page.site.root / "album ü" / "2026" / "119.jpg").read_bytes() == b"119"
    assert (page.site.root / "album ü" / "2026" / "May" / "deep.txt").read_bytes() == b"deep"
    assert (page.site.root / "single.txt").read_bytes() == b"single"


def test_a_name_that_is_taken_asks_what_to_do(page: Page) -> None:
    page.drop(**{"beta.txt": "skipped"})
    page.answer("Skip")
    page.until(lambda: page.find("#uploads-list .note").text == "Skipped")
    assert (page.site.root / "beta.txt").read_bytes() == b"b" * 2048
    page.drop(**{"beta.txt": "second"})
    page.answer("Keep both")
    page.shows("docs", "Alpha.txt", "beta (2).txt", "beta.txt")
    assert (page.site.root / "beta (2).txt").read_text() == "second"
    page.drop(**{"beta.txt": "replaced"})
    page.answer("Replace")
    page.until(lambda: (page.site.root / "beta.txt").read_bytes() == b"replaced")


def test_one_answer_serves_for_all(page: Page) -> None:
    page.drop(**{"beta.txt": "new b", "Alpha.txt": "new a"})
    page.until(lambda: page.find("#ask[open]"))
    page.until(lambda: page.find("#ask-check").is_displayed())
    page.find("#ask-all").click()
    page.answer("Replace")
    page.said("2 files uploaded")
    assert (page.site.root / "beta.txt").read_text() == "new b"
    assert (page.site.root / "Alpha.txt").read_text() == "new a"


def test_an_upload_shows_its_progress_and_can_be_cancelled(tmp_path: Path, driver: webdriver.Chrome) -> None:
    root = tmp_path / "root"
    root.mkdir()
    big = tmp_path / "big.bin"
    with open(big, "wb") as file:
        file.truncate(60_000_000)
    driver.delete_all_cookies()
    with serve(root, config=ServerConfig(rates=RatesConfig(user_upload=4_000_000))) as site:
        page = Page(driver, site).open()
        page.upload(big)
        bar = page.until(lambda: page.find("#uploads-list li.running progress"))
        page.until(lambda: float(bar.get_attribute("value") or 0) > 0)
        assert float(bar.get_attribute("max") or 0) == 60_000_000
        assert " of 57.2 MB" in page.find("#uploads-list .note").text
        page.find("#uploads-list button").click()
        page.until(lambda: page.find("#uploads-list .note").text == "Cancelled")
        page.until(lambda: site.interface.active == 0)
        assert not [name for name in os.listdir(root) if not name.endswith(".fxpart")]


def test_an_upload_that_broke_off_goes_on_where_it_stopped(tmp_path: Path, driver: webdriver.Chrome) -> None:
    root = tmp_path / "root"
    root.mkdir()
    # Much more than the system keeps between browser and server: what has arrived there is stored, cancelled or not.
    content = os.urandom(48_000_000)
    (tmp_path / "big.bin").write_bytes(content)
    driver.delete_all_cookies()
    with serve(root, config=ServerConfig(rates=RatesConfig(user_upload=16_000_000))) as site:
        page = Page(driver, site).open()
        page.upload(tmp_path / "big.bin")
        page.until(lambda: os.listdir(root) and (root / os.listdir(root)[0]).stat().st_size >= 2_000_000)
        page.find("#uploads-list button").click()
        page.until(lambda: page.find("#uploads-list .note").text == "Cancelled")
        page.until(lambda: site.interface.active == 0)
        page.find("#uploads-list button").click()
        page.until(lambda: page.find("#uploads-list .note").text == "Done")
        asked = page.script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert [name for name in asked if "upload=true" in name]
    assert (root / "big.bin").read_bytes() == content


def test_a_file_is_downloaded(page: Page, downloads: Path) -> None:
    page.row("beta.txt").find_element(By.CSS_SELECTOR, "a.name").click()
    page.until((downloads / "beta.txt").exists)
    assert (downloads / "beta.txt").read_bytes() == b"b" * 2048


def test_several_things_are_downloaded_as_one_archive(page: Page, downloads: Path) -> None:
    for name in ("docs", "Alpha.txt"):
        page.row(name).find_element(By.CSS_SELECTOR, "input").click()
    page.until(lambda: page.find("#selection-count").text == "2 selected")
    page.find("#selection-download").click()
    page.until(lambda: [item for item in downloads.iterdir() if item.suffix == ".zip"])
    (archive,) = [item for item in downloads.iterdir() if item.suffix == ".zip"]
    with zipfile.ZipFile(archive) as packed:
        assert set(packed.namelist()) == {"Alpha.txt", "docs/", "docs/inner.txt"}


def test_a_file_is_renamed(page: Page) -> None:
    page.act("beta.txt", "rename")
    page.answer("Rename", "gamma.txt")
    page.shows("docs", "Alpha.txt", "gamma.txt")
    assert page.focused() == "gamma.txt"
    assert (page.site.root / "gamma.txt").exists()


def test_a_name_that_is_impossible_or_taken_is_not_given(page: Page) -> None:
    page.act("beta.txt", "rename")
    page.answer("Rename", "a/b")
    page.until(lambda: page.find("#ask-problem").text == "This name is not possible.")
    page.answer("Rename", "Alpha.txt")
    page.said("already taken")
    assert (page.site.root / "Alpha.txt").read_bytes() == b"a"
    assert (page.site.root / "beta.txt").exists()


def test_a_folder_is_made(page: Page) -> None:
    page.find("#mkdir").click()
    page.answer("Create", "naïve")
    page.shows("docs", "naïve", "Alpha.txt", "beta.txt")
    assert (page.site.root / "naïve").is_dir()


def test_deleting_asks_first(page: Page) -> None:
    page.act("docs", "delete")
    page.answer("Cancel")
    page.until(lambda: not page.all("#ask[open]"))
    assert (page.site.root / "docs").exists()
    page.act("docs", "delete")
    page.until(lambda: "Everything inside goes with it" in page.find("#ask-text").text)
    page.answer("Delete")
    page.shows("Alpha.txt", "beta.txt")
    assert not (page.site.root / "docs").exists()


def test_several_things_are_deleted_together(page: Page) -> None:
    page.find("#pick-all").click()
    page.until(lambda: page.find("#selection-count").text == "3 selected")
    page.find("#selection-delete").click()
    page.answer("Delete")
    page.until(lambda: page.find("#blank-title").text == "This folder is empty")
    assert os.listdir(page.site.root) == []


def test_everything_can_be_done_with_the_keyboard(page: Page) -> None:
    page.find("#files").click()
    page.keys(Keys.ARROW_DOWN)
    assert page.focused() == "docs"
    page.keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert page.focused() == "beta.txt"
    page.keys(Keys.ARROW_UP)
    assert page.focused() == "Alpha.txt"
    page.keys(Keys.SPACE)
    page.until(lambda: page.find("#selection-count").text == "1 selected")
    page.keys(Keys.ESCAPE)
    page.until(lambda: not page.find("#selection").is_displayed())
    page.keys(Keys.ARROW_DOWN, Keys.ENTER)
    page.shows("inner.txt")
    page.keys(Keys.ARROW_DOWN, Keys.F2)
    page.answer("Rename", "outer.txt")
    page.shows("outer.txt")
    page.keys(Keys.BACKSPACE)
    page.shows("docs", "Alpha.txt", "beta.txt")
    page.keys("n")
    page.until(lambda: page.find("#ask[open]"))
    page.keys("made", Keys.ENTER)
    page.shows("docs", "made", "Alpha.txt", "beta.txt")
    page.keys(Keys.DELETE)
    page.until(lambda: "made" in page.find("#ask-title").text)
    page.answer("Delete")
    page.shows("docs", "Alpha.txt", "beta.txt")
    page.keys("/")
    assert page.focused() == "search"
    page.keys(Keys.ESCAPE, "?")
    page.until(lambda: page.find("#help[open]"))
    page.keys(Keys.ESCAPE)
    page.until(lambda: not page.all("#help[open]"))


def test_screen_readers_find_names_roles_and_news(page: Page) -> None:
    nameless = page.script(
        """
        return [...document.querySelectorAll('button, input, a, progress')]
          .filter((item) => item.checkVisibility() && item.type !== 'file')
          .filter((item) => !(item.getAttribute('aria-label') || item.textContent.trim() || item.labels?.length))
          .map((item) => item.outerHTML)
        """
    )
    assert nameless == []
    for selector, role in (("table", "table"), ("#rows tr", "row"), ("#rows th", "rowheader"), ("#live", "status")):
        assert page.find(selector).get_attribute("role") == role
    assert page.find("table").get_attribute("aria-rowcount") == "4"
    assert page.script("return document.documentElement.lang") == "en"
    page.row("docs").find_element(By.CSS_SELECTOR, "a.name").click()
    page.said("docs, 1 item")


def test_who_may_only_read_is_offered_nothing_else(site: Site, driver: webdriver.Chrome) -> None:
    (site.root / "a.txt").touch()
    driver.delete_all_cookies()
    page = Page(driver, site).open("reader", "library")
    page.shows("a.txt")
    assert not page.find("#upload").is_displayed()
    assert not page.find("#mkdir").is_displayed()
    assert [button.get_attribute("data-action") for button in page.all("#rows [data-action]")] == ["download", "more"]
    page.drop(**{"b.txt": "b"})
    assert page.all("#uploads-list li") == []


def test_guests_look_around_first_and_sign_in_when_they_like(tmp_path: Path, driver: webdriver.Chrome) -> None:
    (tmp_path / "public.txt").touch()
    driver.delete_all_cookies()
    with serve(tmp_path, authenticators=(Anonymous(),)) as site:
        page = Page(driver, site).open(user="")
        page.shows("public.txt")
        assert not page.find("#upload").is_displayed()
        assert not page.find("#signout").is_displayed()
        page.find("#signin-open").click()
        page.sign_in("alice", "wonderland")
        page.until(lambda: page.find("#upload").is_displayed())
        assert page.find("#who").text == "alice"
        page.find("#signout").click()
        page.until(lambda: not page.find("#upload").is_displayed())
        page.shows("public.txt")


def test_ten_thousand_entries_stay_usable(site: Site, driver: webdriver.Chrome) -> None:
    for number in range(10_000):
        (site.root / f"{number:05}.txt").touch()
    driver.delete_all_cookies()
    page = Page(driver, site).open()
    page.until(lambda: "10,000 files" in page.find("#summary").text)
    assert len(page.names()) < 2000
    page.find("#search").send_keys("0999")
    page.until(lambda: len(page.names()) == 11)


def test_names_are_shown_as_text_and_nothing_more(page: Page) -> None:
    name = "<img src=x onerror=alert(1)>"
    (page.site.root / name).touch()
    page.driver.refresh()
    page.shows("docs", name, "Alpha.txt", "beta.txt")
    assert page.all("#rows img") == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_follows_the_system_and_the_button(page: Page, theme: str) -> None:
    page.driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    )
    ground = "return getComputedStyle(document.body).backgroundColor"
    expected = {"light": "rgb(245, 246, 249)", "dark": "rgb(16, 19, 27)"}
    page.until(lambda: page.script(ground) == expected[theme])
    other = {"light": "dark", "dark": "light"}[theme]
    while page.script("return document.documentElement.dataset.theme") != other:
        page.find("#theme").click()
    assert page.script(ground) == expected[other]
    page.script("localStorage.clear()")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_everything_is_within_reach_on_a_phone(page: Page) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        page.until(lambda: page.find("[data-action=more]").is_displayed())
        assert page.script("return document.documentElement.scrollWidth") <= 390
        small = page.script(
            """
            return [...document.querySelectorAll('.tools button, [data-action=more]')]
              .filter((item) => item.checkVisibility())
              .map((item) => item.getBoundingClientRect())
              .filter((box) => box.width < 44 || box.height < 44).length
            """
        )
        assert small == 0
        page.act("beta.txt", "more")
        page.until(lambda: page.find("#sheet[open]"))
        page.find("#sheet button[value=rename]").click()
        page.answer("Rename", "phone.txt")
        page.shows("docs", "Alpha.txt", "phone.txt")
        page.find("[data-sort=size]").click()
        page.shows("docs", "phone.txt", "Alpha.txt")
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_an_expired_session_asks_for_the_password_again(page: Page) -> None:
    page.driver.delete_all_cookies()
    page.find("#mkdir").click()
    page.answer("Create", "x")
    page.until(lambda: page.find("#signin").is_displayed())
    page.sign_in("alice", "wonderland")
    page.shows("docs", "Alpha.txt", "beta.txt")


def test_nothing_is_loaded_from_elsewhere(page: Page) -> None:
    loaded = page.script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert loaded
    assert [name for name in loaded if not name.startswith(page.site.origin)] == []
