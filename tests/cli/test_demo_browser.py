"""The page of the demo in a real browser, as a newcomer uses it.

Needs Chromium and its driver, which Debian has as `chromium` and `chromium-driver`.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

BROWSER = shutil.which('chromium') or shutil.which('google-chrome')
DRIVER = shutil.which('chromedriver')
pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None,
    reason='no Chromium with its driver: apt-get install chromium chromium-driver',
)

LIMIT = 15.0
"""Seconds within which a condition must come true."""

OPTIONS = (
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-dev-shm-usage',
)
FITS = (Path(__file__).parent / 'fits.js').read_text(encoding='utf-8')
WIDE, NARROW = (1280, 800), (390, 844)
SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shift += entry.value;
}).observe({ type: 'layout-shift', buffered: true });
"""


@pytest.fixture(scope='module')
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = BROWSER or ''
    for option in (*OPTIONS, f'--user-data-dir={tmp_path_factory.mktemp("profile")}'):
        options.add_argument(option)
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    browser = Chrome(options, Service(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture
def page(browser: Chrome) -> Iterator['Page']:
    """Open the page of a demo of its own; in the end the browser must not have complained."""
    with subprocess.Popen(
        [sys.executable, '-m', 'consensual', 'demo', '--web', '--port', '0'],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            url = re.search(r'http://\S+', process.stdout.readline())
            assert url is not None
            show(browser, *WIDE)
            browser.get(url[0])
            page = Page(browser)
            page.until(lambda: page.text('leader') == 'S1' and len(page.names()) == 5)
            yield page
            assert browser.get_log('browser') == []
        finally:
            browser.get('about:blank')  # before the server goes, whose end would be an error
            process.terminate()


def show(browser: Chrome, width: int, height: int, **media: str) -> None:
    """Have the page shown on a screen of that size, and with these wishes of its reader."""
    metrics = {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': width < 600}
    browser.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', metrics)
    features = [
        {'name': f'prefers-{name}'.replace('_', '-'), 'value': value}
        for name, value in {'color_scheme': 'light', 'reduced_motion': '', **media}.items()
    ]
    browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': features})


class Page:
    """What somebody sees on the page, and does to it."""

    def __init__(self, browser: Chrome) -> None:
        self.browser = browser

    def run(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def until(self, condition: Callable[[], object]) -> None:
        WebDriverWait(self.browser, LIMIT, 0.05).until(lambda _: condition())

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        return self.find(f'#{name}').text

    def names(self) -> list[str]:
        found = self.run("return [...document.querySelectorAll('.badge')].map(e => e.innerText)")
        return list(found)

    def press(self, label: str, name: str = '') -> None:
        """Click on a button: one of a node, or one for all."""
        self.until(lambda: self.button(label, name) is not None)
        button = self.button(label, name)
        assert button is not None
        button.click()

    def button(self, label: str, name: str) -> WebElement | None:
        where = f'#node-{name} button' if name else '#controls button'
        for button in self.browser.find_elements(By.CSS_SELECTOR, where):
            if button.text == label and button.is_enabled():
                assert button.accessible_name == f'{label} {name}'.strip()
                return button
        return None

    def enqueue(self, text: str) -> None:
        """Type a command and hit Enter."""
        self.find('#command').send_keys(text, Keys.ENTER)

    def log(self, name: str) -> list[tuple[str, str]]:
        """Return the entries that are shown of a log, by term and text; `…` is uncommitted."""
        return [
            (term, text + ('…' if is_pending else ''))
            for term, text, is_pending in self.run(
                'return [...document.querySelectorAll(`#node-${arguments[0]} .log .cell`)]'
                ".filter(cell => !cell.classList.contains('none'))"
                '.map(cell => [cell.dataset.term, cell.textContent, '
                "cell.classList.contains('pending')])",
                name,
            )
        ]

    def all_have(self, *texts: str, but: str = '') -> bool:
        """Tell whether these commands, all committed, are the log of all nodes but that one."""
        logs = [self.log(name) for name in self.names() if name != but]
        wanted = [text for _, text in logs[0] if text not in '∅§C']
        return all(log == logs[0] for log in logs) and wanted == list(texts)

    def role(self, name: str) -> str:
        return str(
            self.run('return document.querySelector(`#node-${arguments[0]} .what`).innerText', name)
        )

    def has_told(self, text: str) -> bool:
        return text in (self.find('#events').get_property('textContent') or '')


def test_leader_that_is_cut_off_is_replaced_and_has_the_same_log_once_healed(page: Page) -> None:
    """The story that the page suggests; nothing on it jumps meanwhile."""
    page.run(SHIFTS)
    page.enqueue('a')
    page.until(lambda: page.all_have('a'))
    page.press('Cut off the leader')
    page.until(lambda: 'cut off' in page.role('S1'))
    page.until(lambda: page.text('leader') not in ('S1', 'none'))
    page.until(lambda: page.role(page.text('leader')) == 'leader')
    page.enqueue('b')
    page.until(lambda: page.all_have('a', 'b', but='S1'))
    assert [text for _, text in page.log('S1') if text in ('a', 'b')] == ['a']
    page.press('Heal')
    page.until(lambda: page.all_have('a', 'b'))
    page.until(lambda: page.role('S1') == 'follower')
    assert page.has_told('S1 is cut off from all')
    assert page.run('return window.shift') == 0


def test_node_is_killed_and_restarted_others_are_attached_and_detached(page: Page) -> None:
    """By the buttons of its row; the row says what it is."""
    page.press('Kill', 'S2')
    page.until(lambda: page.role('S2') == 'down')
    page.enqueue('a')
    page.until(lambda: page.all_have('a', but='S2'))
    page.press('Attach a node')
    page.until(lambda: page.has_told('attaching S6: it votes'))
    page.until(lambda: page.text('voters') == '6')
    page.press('Restart', 'S2')
    page.until(lambda: page.all_have('a'))
    page.press('Detach', 'S3')
    page.until(lambda: page.role('S3') == 'detached' and page.text('voters') == '5')
    page.press('Attach', 'S3')
    page.until(lambda: page.role('S3') == 'follower' and page.text('voters') == '6')
    page.until(lambda: page.all_have('a'))


def test_page_can_be_used_without_a_mouse_and_without_motion(page: Page) -> None:
    """By keyboard; and whoever wants no motion sees links light up in place of moving messages."""
    show(page.browser, *WIDE, reduced_motion='reduce')
    page.until(lambda: page.find('#messages').get_property('childElementCount') == 0)
    page.run(
        'new MutationObserver((changes) => { '
        "window.moved ||= changes.some(({ target }) => target.id === 'messages'); "
        "window.lit ||= document.querySelector('.link.busy') !== null; "
        "}).observe(document.getElementById('ring'), "
        '{ subtree: true, attributes: true, childList: true })'
    )
    page.find('#command').send_keys('k', Keys.TAB, Keys.TAB)
    button = page.browser.switch_to.active_element
    assert button.accessible_name == 'Enqueue'
    button.send_keys(Keys.ENTER)
    page.until(lambda: page.all_have('k'))
    page.until(lambda: page.run('return window.lit'))
    assert page.run('return window.moved') is False


def test_everything_fits_on_a_desktop_and_on_a_phone(page: Page) -> None:
    """Light and dark: nothing is wider than its box, and all text has contrast."""
    page.enqueue('long enough to be cut')
    page.until(lambda: page.all_have('lon…'))
    page.press('Cut off the leader')
    page.until(lambda: page.role('S1') == 'pre-candidate, cut off')
    for size in (WIDE, NARROW):
        for scheme in ('light', 'dark'):
            show(page.browser, *size, color_scheme=scheme, reduced_motion='reduce')
            assert page.run(FITS) == [], (size, scheme)
