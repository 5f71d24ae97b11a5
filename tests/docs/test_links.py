"""Links lead somewhere: between README, docs, benchmarks and the bundled ensemble's card, to files and to headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pages import PAGES, ROOT, anchors, links, name


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target, anchor in links(page):
        path = (page.parent / target).resolve() if target else page
        assert path.is_file(), f"{name(page)} links to {target}, which is no file"
        assert not anchor or anchor in anchors(path), f"{name(page)} links to #{anchor}, which {name(path)} has not"


def test_every_page_that_code_names_is_there() -> None:
    for folder in ("hpa_hier", "benchmarks", "configs", "tests"):
        for file in sorted((ROOT / folder).rglob("*.*")):
            if file.suffix in (".py", ".yaml"):
                for page in re.findall(r"\b(?:docs|benchmarks)/[\w/.-]+\.md", file.read_text(encoding="utf-8")):
                    assert (ROOT / page).is_file(), f"{file.relative_to(ROOT)} names {page}, which is not there"


def test_every_page_is_in_the_site() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^(/?[\w/]+)$", index, flags=re.M))
    for page in PAGES:
        path = name(page).removesuffix(".md")
        assert path == "docs/index" or path.removeprefix("docs/") in listed or f"/{path}" in listed, (
            f"{path}: no way to it"
        )
