"""The site: built strictly, found by its own search, and complete without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, name

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]
# what a browser would fetch by itself: not links that a reader follows, nor names of formats
LOADED = re.compile(
    r"""<(?:script|img|iframe|audio|video|source|embed|object)\b[^>]*\b(?:src|data)\s*=\s*["']?(?:https?:)?//"""
    r"""|<link\b(?![^>]*rel=["']?(?:canonical|license))[^>]*\bhref\s*=\s*["']?(?:https?:)?//"""
    r"""|@import\s+(?:url\()?["']?(?:https?:)?//|url\(["']?(?:https?:)?//""",
    flags=re.I,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    pytest.importorskip("sphinx", reason="pip install 'hpa-hier[docs]'")
    out = tmp_path_factory.mktemp("site")
    make = re.search(r"sphinx (-c docs .*) \. build/docs", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert make, "make docs does not build build/docs"
    command = [sys.executable, "-m", "sphinx", *make[1].split(), ".", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_it_has_every_page_and_a_front_door(site: Path) -> None:
    for page in PAGES:
        assert (site / name(page)).with_suffix(".html").is_file()
    assert 'url=docs/index.html"' in (site / "index.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css", ".js", ".svg")]
    assert len(files) > 30
    found = {path.relative_to(site): LOADED.findall(path.read_text(encoding="utf-8")) for path in files}
    assert {path: loads for path, loads in found.items() if loads} == {}


def test_its_search_knows_every_command_and_setting(site: Path) -> None:
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    for word in ("hpa-hier data pack", "training.augment", "hpa_hier.Predictor"):
        assert word in index


def test_the_reference_is_made_from_the_code(site: Path) -> None:
    commands, settings = (
        re.sub(r"<[^>]*>", "", (site / f"docs/reference/{page}.html").read_text(encoding="utf-8"))
        for page in ("commands", "settings")
    )
    assert "--time-limit TIME" in commands
    assert "side of the square images kept in a pack [pixels; 16 to 2048]" in settings
    assert "generated:" not in commands + settings
