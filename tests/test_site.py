"""The site of docs is built without a warning, and each of its links leads somewhere."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Optional
from urllib.parse import unquote, urldefrag, urlsplit
from xml.etree import ElementTree as ET

import pytest

from tests.pages import ROOT

DOCS = ROOT / 'docs'
REFERENCE = DOCS / 'reference'
PUBLIC = 'raft', 'http', 'machines', 'storage', 'testing'
MEANT_OTHERWISE = {'raft': {'communication', 'plain', 'errors'}}
"""Modules among the public names: what is in them has a place of its own."""


class Page(HTMLParser):
    """What a page links to, and where one can link to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding='utf-8'))

    def handle_starttag(self, _: str, attrs: list[tuple[str, Optional[str]]]) -> None:
        for name, value in attrs:
            if name in ('href', 'src') and value:
                self.links.append(value)
            if name in ('id', 'name') and value:
                self.anchors.add(value)


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site from a copy; return where it is."""
    folder = tmp_path_factory.mktemp('site')
    for name in ('docs', 'examples', 'consensual', '.ci'):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(ROOT / 'zensical.toml', folder)
    done = subprocess.run(
        [sys.executable, '-m', 'zensical', 'build', '--strict'],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding='utf-8',
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return folder / 'build' / 'site'


def broken_links(site: Path) -> Iterator[str]:
    """Yield the links within the site that lead nowhere."""
    pages = {path: Page(path) for path in site.rglob('*.html') if path.name != '404.html'}
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target, anchor = urldefrag(link)
            found = (path.parent / unquote(target)).resolve() if target else path
            if found.is_dir():
                found /= 'index.html'
            if not found.exists() or (
                anchor and found in pages and unquote(anchor) not in pages[found].anchors
            ):
                yield f'{path.relative_to(site)}: {link}'


def test_every_link_leads_somewhere(site: Path) -> None:
    """Pages, pictures, and places within pages."""
    assert sorted(broken_links(site)) == []


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    """The check of links can fail."""
    text = '<a href="b.html"><a href="#c"><a href="a.html"><p id="d"><a href="#d">'
    (tmp_path / 'a.html').write_text(text, encoding='utf-8')
    assert sorted(broken_links(tmp_path)) == ['a.html: #c', 'a.html: b.html']


def test_every_page_is_in_the_navigation() -> None:
    """No page is found by search alone."""
    navigation = (ROOT / 'zensical.toml').read_text(encoding='utf-8')
    listed = re.findall(r'"([\w/-]+\.md)"', navigation)
    assert sorted(listed) == sorted(
        path.relative_to(DOCS).as_posix() for path in DOCS.rglob('*.md')
    )


@pytest.mark.parametrize('name', PUBLIC)
def test_reference_has_every_public_name(name: str) -> None:
    """What can be imported can be looked up."""
    module = import_module(f'consensual.{name}')
    pages = ''.join(path.read_text(encoding='utf-8') for path in REFERENCE.glob('*.md'))
    shown = set(re.findall(r'^::: ([\w.]+)$', pages, re.MULTILINE))
    missing = set(module.__all__) - MEANT_OTHERWISE.get(name, set())
    for word in tuple(missing):
        home = getattr(getattr(module, word), '__module__', '')
        if shown & {f'consensual.{name}.{word}', f'{home}.{word}', home}:
            missing.remove(word)
    assert missing == set()


@pytest.mark.parametrize('path', sorted(DOCS.rglob('*.svg')), ids=lambda path: path.stem)
def test_picture_is_well_formed_and_says_what_it_shows(path: Path) -> None:
    """A picture has a title, and fetches nothing from elsewhere."""
    root = ET.parse(path).getroot()  # noqa: S314 - it is ours
    assert root.findtext('{http://www.w3.org/2000/svg}title')
    assert 'href' not in path.read_text(encoding='utf-8')
