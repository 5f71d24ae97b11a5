"""The pages in a real browser: nothing is asked for, tables sort and filter, a link unfolds its part.

Their script is the only one that runs, and without it everything is there to read.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from evaluated_run import make_run
from real_browser import axe, needs_chromium, start_browser, sync_api

from hpa_hier.evaluate.report.answers import Answered, write_answers
from hpa_hier.evaluate.report.comparison import write_comparison
from hpa_hier.evaluate.report.frame import script_hash
from hpa_hier.evaluate.report.write import write_report
from hpa_hier.predict.formats.rows import Rows
from hpa_hier.runs.run import Run

pytestmark = needs_chromium
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with start_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """Pages of two runs and of new images."""
    home = tmp_path_factory.mktemp("frame")
    first = make_run(home, count=150, size=16)
    second = shutil.copytree(first, home / "other")
    file = second / "ensemble" / "evaluation.npz"
    arrays = dict(np.load(file, allow_pickle=False))
    np.savez(file, **arrays | {"present": arrays["flat_present"], "probs": arrays["flat_probs"]})
    run, other = Run.open(first), Run.open(second)
    evaluation = run.evaluation
    taxonomy, ids = evaluation.taxonomy, list(evaluation.ids)
    places = [
        [node for j, node in enumerate(taxonomy.nodes) if row[j] and taxonomy.is_leaf(node)]
        for row in evaluation.ensemble.present
    ]
    columns = {"id": ids, "labels": ["|".join(one) for one in places], "groups": [""] * len(ids)}
    columns |= {"safe": ["unsure"] * len(ids), "warning": [""] * len(ids)}
    rows = Rows(columns, ("",) * len(ids), evaluation.ensemble.probs)
    answers = write_answers(home / "answers.html", Answered([rows], taxonomy, "new_images"), run)
    return {"answers": answers.as_uri(), "against": write_comparison(run, other)[0].as_uri(), "run": str(first)}


@pytest.fixture(scope="module")
def report(pages) -> str:
    """The page of a run."""
    run = Run.open(pages["run"], sets=["report.gallery=1", "report.heat_maps=0"])
    return write_report(run)[0].as_uri()


def list_barriers(page) -> list[tuple[str, list[str]]]:
    """What axe finds that would keep somebody from using a page."""
    found = axe.Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["target"]) for one in found if one["impact"] in SERIOUS]


def check_page(browser, address: str, *, barriers: bool) -> None:
    """Open a page on both screens: it asks nothing of anyone, reports nothing, and fits."""
    for width, theme in ((1280, "light"), (390, "dark")):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
        asked, told = [], []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, told=told: told.append(message.text))
        page.on("pageerror", lambda error, told=told: told.append(str(error)))
        page.goto(address)
        assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
        assert len([url for url in asked if url.startswith("file:")]) == 1
        assert told == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert not barriers or list_barriers(page) == []
        page.close()


@pytest.mark.parametrize("name", ["against", "answers"])
def test_a_page_asks_nothing_of_anyone_and_fits_both_screens(browser, pages, name):
    check_page(browser, pages[name], barriers=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report", "against", "answers"])
def test_a_page_has_no_serious_barrier(browser, pages, report, name):
    check_page(browser, report if name == "report" else pages[name], barriers=True)


def test_a_table_is_sorted_by_the_keyboard_and_says_how(browser, pages):
    page = browser.new_page()
    page.goto(pages["against"])
    head = page.locator("#classes table[data-sort] th").nth(1)
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    shown = page.locator("#classes table[data-sort] td[data-label=images]").evaluate_all(
        "cells => cells.map(cell => Number(cell.dataset.value))"
    )
    assert shown == sorted(shown)
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    page.close()


def test_a_search_shows_the_images_with_all_its_words(browser, pages):
    page = browser.new_page()
    page.goto(pages["answers"])
    rows = page.locator("#table-of-images tbody tr")
    first = rows.first.locator("th").text_content()
    page.fill("input[type=search]", first.upper())
    assert page.locator("#table-of-images tbody tr:visible").count() == 1
    assert page.locator("#told-of-images").text_content() == f"1 of {rows.count()}"
    page.fill("input[type=search]", "")
    assert page.locator("#table-of-images tbody tr:visible").count() == rows.count()
    page.close()


@pytest.mark.slow
def test_a_place_in_the_tree_leads_to_its_part_which_unfolds(browser, report):
    page = browser.new_page()
    page.goto(report)
    link = page.locator(".tree a").first
    target = page.locator(link.get_attribute("href"))
    assert not target.evaluate("part => part.open")
    link.click()
    page.wait_for_function("document.querySelector(':target').open")
    page.close()


def test_without_a_script_everything_is_there_to_read(browser, pages):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(pages["answers"])
    assert page.locator("#table-of-images tbody tr").first.is_visible()
    assert not page.locator("input[type=search]").is_visible()  # it would do nothing
    assert page.locator("th button").count() == 0
    context.close()


def test_another_script_than_the_pages_own_does_not_run(browser, pages, tmp_path):
    html = browser.new_page()
    html.goto(pages["answers"])
    text = html.content().replace("<footer>", "<script>document.title = 'owned'</script><footer>")
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    html.goto((tmp_path / "page.html").as_uri())
    assert html.title() != "owned"
    html.close()


def test_a_script_is_named_by_its_hash():
    assert script_hash("alert(1)") == "sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI="
