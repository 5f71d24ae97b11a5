"""A real browser for the tests of pages, which are skipped, with the reason, where there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="pages are tested in a browser, by playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="accessibility is tested by axe")

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_FLAGS = ("no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update", "disable-sync")
needs_chromium = pytest.mark.skipif(_CHROMIUM is None, reason="there is no Chromium on this machine")


@contextmanager
def start_browser() -> Iterator[sync_api.Browser]:
    """Run Chromium without a window until the block ends."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=[f"--{flag}" for flag in _FLAGS])
        yield browser
        browser.close()
