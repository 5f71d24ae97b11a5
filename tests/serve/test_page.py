"""The page in a real browser: images in, answers, why, corrections, exports; wide and narrow, light and dark."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from ensemble_run import SmallRun
from real_browser import axe, needs_chromium, start_browser, sync_api
from small_server import Running, encode, run_server, without_networks

from hpa_hier.predict.fit_run import fit_run
from hpa_hier.serve.page import FOLDER
from hpa_hier.serve.safety.guard import Doors
from hpa_hier.serve.service import Plan

pytestmark = needs_chromium
SIZES = {"wide": (1280, 860), "narrow": (390, 844)}
CHANNELS = ("red", "green", "blue", "yellow")
HOSTILE = "<img src=x onerror=document.title='owned'>\u202e"
TOKEN = "a-token-of-a-test-0123456789"
SUMS = """() => {
  const canvas = document.querySelector('#card canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const sums = [0, 0, 0];
  for (let i = 0; i < data.length; i += 4) for (const j of [0, 1, 2]) sums[j] += data[i + j];
  return sums;
}"""  # of red, green and blue on the screen

OUTLINED = """() => {
  const focused = document.activeElement;
  const seen = (element) => element && getComputedStyle(element).outlineStyle !== 'none';
  return seen(focused) || (focused.role === 'treeitem' && seen(focused.firstElementChild));
}"""

Open = Callable[..., "sync_api.Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[sync_api.Browser]:
    with start_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    run = SmallRun(tmp_path_factory.mktemp("page"))
    fit_run(run.run)
    return run


@pytest.fixture(scope="module")
def server(small: SmallRun) -> Iterator[Running]:
    with without_networks(small), run_server(plan_for(small)) as running:
        yield running


def plan_for(small: SmallRun) -> Plan:
    roots = Plan.check_roots([small.home])
    return Plan((str(small.folder),), small.home / "artifacts", roots, small.home / "corrections", device="cpu")


@pytest.fixture
def looked_at(browser: sync_api.Browser, server: Running) -> Iterator[Open]:
    """Open the page at a size and in a scheme; at the end it has asked nothing of others and met no error."""
    with opener(browser, server.port) as opened:
        yield opened


@contextmanager
def opener(browser: sync_api.Browser, port: int) -> Iterator[Open]:
    contexts, wrong, home = [], [], f"http://127.0.0.1:{port}/"

    def open_page(size: str = "wide", scheme: str = "light", address: str = "", **settings: object) -> sync_api.Page:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, accept_downloads=True, **settings
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
        page.on("request", lambda asked: None if ours(asked.url) else wrong.append(asked.url))
        page.goto(home + address)
        page.wait_for_selector("#ensemble option", state="attached")
        return page

    def ours(url: str) -> bool:
        return url.startswith((home, f"blob:{home}"))

    yield open_page
    for context in contexts:
        context.close()
    expected = re.compile(r"the server responded with a status of (409|429|503|401)|ERR_FAILED")  # Chromium's own lines
    assert [one for one in wrong if not expected.search(one)] == []


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of three small fields."""
    folder = tmp_path_factory.mktemp("fields")
    return [draw(folder / f"field-{i}_{one}.png", 10 * i + j) for i in range(3) for j, one in enumerate(CHANNELS)]


@pytest.fixture(scope="module")
def fields(drawn: list[Path]) -> list[Path]:
    """The files of three real fields where they are at hand, else of the drawn ones."""
    real = Path(__file__).resolve().parents[3] / "shared" / "data" / "hpa" / "complete"
    found = sorted(real.glob("*_green.png"))[:3]
    return [green.with_name(green.name.replace("green", one)) for green in found for one in CHANNELS] or drawn


def draw(path: Path, seed: int) -> Path:
    """Write a grey field with a dozen blobs."""
    rng, side = np.random.default_rng(seed), 96
    y, x = np.mgrid[:side, :side]
    spots = rng.uniform(8, side - 8, (12, 2))
    plane = sum(np.exp(-((y - a) ** 2 + (x - b) ** 2) / rng.uniform(10, 60)) for a, b in spots)
    path.write_bytes(encode((plane.clip(0, 1) * rng.uniform(80, 250)).astype(np.uint8)))
    return path


def drop(page: sync_api.Page, paths: list[Path]) -> None:
    """Drop files and folders on the page, as a file manager does."""
    session = page.context.new_cdp_session(page)
    carried = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 400, "data": carried})


def wait_until(page: sync_api.Page, expression: str, seconds: float = 60) -> None:
    """Wait until an expression holds; the page's policy does not let Playwright wait in the page itself."""
    ends = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < ends, f"not within {seconds} s: {expression}"
        page.wait_for_timeout(40)


def send(page: sync_api.Page, fields: list[Path]) -> None:
    """Choose files, and wait until all are answered."""
    page.set_input_files("#files", [str(path) for path in fields])
    page.wait_for_selector(f"text={len(fields) // 4} images answered by small")


def open_first(page: sync_api.Page) -> None:
    page.locator("#panel-table button.open").first.click()
    page.wait_for_selector("#card canvas[data-drawn='red green blue']")


def by_number(name: str) -> list[tuple[bool, int, str]]:
    """Return what names are sorted by, so that field 10 comes after field 9."""
    parts = re.findall(r"\d+|\D+", name)
    return [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def find_violations(page: sync_api.Page) -> list[str]:
    """Return what axe finds serious or critical."""
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:160]} {node['failureSummary']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"][:3]
    ]


def test_three_dropped_fields_are_looked_at_corrected_and_exported(
    looked_at: Open, fields: list[Path], server: Running
) -> None:
    page = looked_at()
    drop(page, fields)
    page.wait_for_selector("text=3 images answered by small")
    assert page.locator("#panel-table tbody tr").count() == 3
    doubts = [float(text) for text in page.locator("#panel-table tbody td.n").all_inner_texts()]
    unlike = [bool(row.locator(".warn").count()) for row in page.locator("#panel-table tbody tr").all()]
    assert list(zip(unlike, doubts, strict=True)) == sorted(zip(unlike, doubts, strict=True), reverse=True)
    page.click("#panel-table thead button:has-text('Image')")
    names = page.locator("#panel-table button.open").all_inner_texts()
    assert names == sorted(names, key=by_number)

    open_first(page)
    assert page.inner_text("#card h2") == names[0]
    assert page.locator("#card .likeliest li").count() == 3
    assert page.locator("#card .caution").inner_text() != ""  # the run learned from simulated cells
    together = page.evaluate(SUMS)
    page.get_by_role("checkbox", name="microtubules").uncheck()
    page.wait_for_selector("#card canvas[data-drawn='green blue']")
    assert page.evaluate(SUMS)[0] < together[0]
    page.keyboard.press("Shift+2")
    page.wait_for_selector("#card canvas[data-drawn='green']")
    red, green, _ = page.evaluate(SUMS)
    assert 0 < red < green / 4
    page.get_by_label("protein: brightest value shown").fill("200")
    wait_until(page, f"({SUMS})()[1] > {green}")
    page.get_by_role("button", name="Reset").click()
    page.wait_for_selector("#card canvas[data-drawn='red green blue']")
    page.get_by_role("button", name="Zoom in").click()
    assert page.inner_text("#card .tools").find("150 %") > 0

    assert find_violations(page) == []

    page.get_by_role("tab", name="Correct").click()
    page.get_by_placeholder("Find a place").fill("centro")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save, next image").click()
    page.wait_for_selector(f"#done:has-text('Saved for {names[0]}')")
    wait_until(page, f"document.querySelector('#card h2').textContent === {names[1]!r}")
    kept = list(csv.DictReader(io.StringIO(server.client.get("/corrections/small/labels.csv").text)))
    assert [row for row in kept if names[0] in row.values()], kept
    assert "Centrosome" in server.client.get("/corrections/small").json()["rows"][0]["labels"]

    for title, name in (("CSV: answers", "predictions.csv"), ("Excel", "answers.xlsx"), ("JSON", "answers.json")):
        page.click("#open-exports")
        with page.expect_download() as waiting:
            page.click(f"#exports button:has-text('{title}')")
        assert waiting.value.suggested_filename == name
        assert Path(waiting.value.path()).stat().st_size > 100


def test_files_that_cannot_be_used_are_listed_and_names_are_never_code(looked_at: Open, drawn: list[Path]) -> None:
    page = looked_at("narrow", "dark")

    def rename(route: sync_api.Route) -> None:  # the server would never take such an id
        answer = route.fetch()
        changed = re.sub(r'"id":"[^"]*"', lambda _: f'"id":{json.dumps(HOSTILE)}', answer.text())
        route.fulfill(response=answer, body=changed)

    def file(name: str, content: bytes) -> dict[str, str | bytes]:
        return {"name": name, "mimeType": "image/png", "buffer": content}

    page.route(re.compile(r"/samples(\?|/\w+$)"), rename)
    whole = drawn[0].read_bytes()
    wrong = [
        file("torn_green.png", whole[:90]),
        file(f"{HOSTILE}_green.png", whole),
        file(f"{HOSTILE}.txt", b"no image"),
    ]
    page.set_input_files("#files", [*(file(path.name, path.read_bytes()) for path in drawn[:4]), *wrong])
    page.wait_for_selector("text=1 image answered by small")
    page.wait_for_selector("#card canvas[data-drawn]")  # the only one is opened
    assert page.inner_text("#card h2") == HOSTILE
    page.get_by_role("tab", name="Correct").click()
    page.get_by_role("button", name="Unsure").click()
    page.wait_for_selector("#done:has-text('<img src=x onerror=')")
    page.click("#card .back")
    told = page.inner_text("#progress")
    assert "2 files could not be used" in told
    assert re.search(r"torn\w*(\.png)?: \w+", told)
    assert "1 file left aside: not an image" in told
    assert told.count("<img src=x onerror=") >= 2
    assert page.title() == "Where in the cell"
    assert page.locator("img[onerror], img[src='x']").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.mark.slow
def test_a_server_that_is_busy_or_away_is_waited_for(looked_at: Open, drawn: list[Path]) -> None:
    page = looked_at()
    full = {"error": "the queue is full", "code": "full"}
    answers = [
        lambda route: route.fulfill(status=503, headers={"Retry-After": "30"}, json=full),
        lambda route: route.abort(),
    ]
    page.route("**/jobs", lambda route: answers.pop(0)(route) if answers else route.fallback())
    page.set_input_files("#files", [str(path) for path in drawn[:4]])
    page.wait_for_selector("#trouble:has-text('The server is busy: the queue is full')")
    assert re.search(r"Trying again in (30|29) s", page.inner_text("#trouble"))
    page.click("#trouble button:has-text('Try now')")
    page.wait_for_selector("#trouble:has-text('The server does not answer')")
    page.click("#trouble button:has-text('Try now')")
    page.wait_for_selector("text=1 image answered by small")
    assert page.locator("#trouble").is_hidden()


def test_a_heat_map_lies_over_the_picture_and_an_absent_one_has_its_reason(looked_at: Open, drawn: list[Path]) -> None:
    page = looked_at()
    send(page, drawn)
    open_first(page)
    page.get_by_role("tab", name="Places").click()
    page.get_by_role("treeitem", name=re.compile("^Nucleoli")).click()
    page.wait_for_selector("#card .heat .status:has-text('There is no heat map')")
    assert page.locator("#card .heat li").all_inner_texts()  # each network with its reason

    told = {"node": "Nucleoli", "method": "grad_cam", "maps": [], "combined": {"member": "ensemble"}, "absent": []}
    page.route("**/heatmaps?**", lambda route: route.fulfill(json=told))
    ramp = encode(np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1)))
    page.route("**/heatmap.png?**", lambda route: route.fulfill(body=ramp, content_type="image/png"))
    before = page.evaluate(SUMS)
    page.get_by_role("treeitem", name=re.compile("^Nucleoli")).click()
    wait_until(page, "document.querySelector('#live').textContent.startsWith('The heat map of Nucleoli')")
    wait_until(page, f"JSON.stringify(({SUMS})()) !== '{str(before).replace(' ', '')}'")
    halves = page.evaluate(
        """() => { const c = document.querySelector('#card canvas'); const d = c.getContext('2d');
        const red = (x) => { const p = d.getImageData(x, 0, c.width / 4, c.height).data; let s = 0;
          for (let i = 0; i < p.length; i += 4) s += p[i]; return s; };
        return [red(0), red(3 * c.width / 4)]; }"""
    )
    assert halves[1] > 2 * halves[0]  # the ramp is bright on its right
    page.keyboard.press("Escape")
    wait_until(page, f"JSON.stringify(({SUMS})()) === '{str(before).replace(' ', '')}'")


@pytest.mark.slow
def test_planes_are_stretched_between_two_intensities_and_added_in_their_colours(looked_at: Open) -> None:
    page = looked_at()
    pixels = page.evaluate(
        """async () => {
        const { compose } = await import('/static/planes.js');
        const size = { width: 3, height: 1, low: 100, high: 355 };
        const plane = (values, window) => ({ ...size, values: Uint8Array.from(values), window });
        const planes = [['green', plane([0, 50, 255], [100, 200])], ['red', plane([255, 0, 0], [100, 355])]];
        const pixels = (grey) => {
          const canvas = compose({ width: 3, height: 1 }, planes, grey);
          return [...canvas.getContext('2d').getImageData(0, 0, 3, 1).data];
        };
        return [pixels(false), pixels(true)]; }"""
    )
    coloured, grey = (np.array(one).reshape(3, 4)[:, :3].tolist() for one in pixels)
    assert coloured == [[255, 40, 40], [20, 127, 30], [40, 255, 60]]  # a half green is half of (40, 255, 60)
    assert [len(set(pixel)) for pixel in grey] == [1, 1, 1]


def test_the_page_brings_nothing_inline_and_builds_nothing_from_text() -> None:
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)|https?://", page) == []
    for script in FOLDER.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        found = re.findall(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://", text
        )
        assert found == [], script.name
    assert re.findall(r"@import|url\(", (FOLDER / "page.css").read_text(encoding="utf-8")) == []


@pytest.mark.slow
def test_a_set_is_stopped_and_its_answers_are_not_lost_unasked(looked_at: Open, drawn: list[Path]) -> None:
    page, asked = looked_at(), []
    page.route("**/samples?**", lambda route: route.fulfill(json=slowed(route.fetch().json())))

    def slowed(told: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        return told | {"job": told["job"] | {"state": "answering"}}

    page.set_input_files("#files", [str(path) for path in drawn])
    page.wait_for_selector("#panel-table button.open")
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.click("#stop")
    assert "of this set would be removed" in asked[0]
    assert page.locator("#panel-table button.open").count() > 0
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#stop")
    page.wait_for_selector("#send h2")
    assert page.locator("#list").is_hidden()


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_anywhere(looked_at: Open, fields: list[Path], size: str, scheme: str) -> None:
    page = looked_at(size, scheme)
    found = {"empty": find_violations(page)}
    send(page, fields)
    found["table"] = find_violations(page)
    page.click("#tab-pictures")
    found["pictures"] = find_violations(page)
    page.click("#tab-table")
    open_first(page)
    for name in ("why", "places", "nearest", "correct"):
        page.click(f"#tab-{name}")
        page.wait_for_timeout(200)
        found[name] = find_violations(page)
    page.keyboard.press("Escape")
    for name in ("ensembles", "corrections", "keys"):
        page.click(f"#open-{name}")
        page.wait_for_timeout(200)
        found[name] = find_violations(page)
        page.keyboard.press("Escape")
    page.click("#open-exports")
    found["exports"] = find_violations(page)
    assert {name: one for name, one in found.items() if one} == {}
    assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size][0]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "scheme"), [("wide", "dark"), ("narrow", "light")])
def test_all_can_be_done_by_the_keyboard(looked_at: Open, fields: list[Path], size: str, scheme: str) -> None:
    page = looked_at(size, scheme)
    press = page.keyboard.press

    def tab_to(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("(s) => document.activeElement.matches(s)", selector):
                assert page.evaluate(OUTLINED), f"the focus on {selector} is not seen"
                return
            press("Tab")
        raise AssertionError(f"{selector} was not reached")

    page.on("filechooser", lambda chooser: chooser.set_files([str(path) for path in fields]))
    tab_to("#choose-files")
    press("Enter")
    page.wait_for_selector("text=3 images answered by small")
    tab_to("#panel-table button.open")
    first = page.inner_text("#panel-table tbody tr:nth-child(1) button.open")
    second = page.inner_text("#panel-table tbody tr:nth-child(2) button.open")
    press("ArrowDown")
    press("ArrowUp")
    press("Enter")
    page.wait_for_selector("#card canvas[data-drawn='red green blue']")
    assert page.inner_text("#card h2") == first
    press("1")
    page.wait_for_selector("#card canvas[data-drawn='green blue']")
    press("0")
    page.wait_for_selector("#card canvas[data-drawn='red green blue']")
    press("t")
    tab_to("[role=tree] [role=treeitem]")
    node = page.evaluate("document.activeElement.dataset.node")
    press("ArrowRight")
    press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.node") != node
    press("Enter")
    page.wait_for_selector("#card .heat:not([hidden])")
    press("Escape")
    page.wait_for_selector("#card .heat", state="hidden")
    press("c")
    page.keyboard.type("speckles")
    press("Enter")
    press("Enter")
    wait_until(page, f"document.querySelector('#card h2').textContent === {second!r}")
    assert page.evaluate("document.activeElement.id") == "find-place"
    press("Tab")
    page.evaluate("document.activeElement.blur()")
    press("u")
    page.wait_for_selector(f"#done:has-text('{second} is marked unsure')")
    press("Escape")
    page.wait_for_selector("#card", state="hidden")
    press("?")
    page.wait_for_selector("#keys-dialog[open]")
    tab_to("#keys-on")
    press("Space")
    press("Escape")
    press("?")
    page.wait_for_timeout(200)
    assert page.locator("#keys-dialog[open]").count() == 0  # the keys are switched off


@pytest.mark.slow
def test_a_token_is_asked_for_and_kept_out_of_the_address(
    browser: sync_api.Browser, small: SmallRun, fields: list[Path]
) -> None:
    doors = Doors(token=TOKEN)
    with without_networks(small), run_server(plan_for(small), doors) as server, opener(browser, server.port) as opened:
        page = opened("wide", "light", f"#token={TOKEN}")
        assert TOKEN not in page.url
        send(page, fields)
        wait_until(page, "document.querySelector('#panel-table img').naturalWidth > 0")
        page.reload()
        page.wait_for_selector("text=3 images answered by small")  # the set is there again, and so is the token
        context = browser.new_context()
        other = context.new_page()
        other.goto(f"http://127.0.0.1:{server.port}/")
        other.wait_for_selector("#token-dialog[open]")
        other.fill("#token", "wrong-token-0123456789")
        other.keyboard.press("Enter")
        other.wait_for_selector("#token-wrong:not([hidden])")
        other.fill("#token", TOKEN)
        other.keyboard.press("Enter")
        other.wait_for_selector("#token-dialog", state="hidden")
        other.wait_for_selector("text=Still on the server")
        context.close()


@pytest.mark.slow
def test_a_thousand_images_stay_quick(looked_at: Open, drawn: list[Path]) -> None:
    page = looked_at()
    send(page, drawn)
    picture = drawn[0].read_bytes()
    page.route("**/samples/x*/thumbnail.png", lambda route: route.fulfill(body=picture, content_type="image/png"))
    page.evaluate(
        """async () => {
        const { now, tell } = await import('/static/sets.js');
        const [row] = now.set.rows.values();
        for (let i = 0; i < 1000; i += 1) {
          const key = `x${i}`;
          now.set.rows.set(key, { ...row, key, id: `n${i}`, doubt: i / 500 });
        }
        tell('rows'); }"""
    )
    page.wait_for_selector("text=1,003 images")
    assert page.locator("#panel-table tbody tr").count() <= 120  # more are drawn when they are scrolled to
    spent = page.evaluate(
        """async () => {
        const { draw } = await import('/static/list.js');
        const times = [];
        for (let i = 0; i < 20; i += 1) {
          const begun = performance.now();
          draw();
          times.push(performance.now() - begun);
        }
        return times.sort((a, b) => a - b)[10]; }"""
    )
    assert spent < 50, f"{spent} ms to draw the list again"
    page.fill("#text", "n99")
    page.wait_for_selector("text=11 of 1,003 images")


@pytest.mark.slow
def test_the_bundled_ensemble_shows_where_it_saw_a_place(
    browser: sync_api.Browser, fields: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("captum", reason="heat maps need the extra explain")
    with serving(tmp_path) as port, opener(browser, port) as opened:
        page = opened()
        page.set_input_files("#files", [str(path) for path in fields])
        page.wait_for_selector("text=3 images answered by pretrained", timeout=120_000)
        open_first(page)
        plain = page.evaluate(SUMS)
        page.keyboard.press("h")
        wait_until(page, "document.querySelector('#live').textContent.startsWith('The heat map of')")
        wait_until(page, f"JSON.stringify(({SUMS})()) !== '{str(plain).replace(' ', '')}'")
        networks = page.get_by_label("Network").locator("option").all_inner_texts()
        assert networks[0] == "all together"
        assert len(networks) > 1


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """Run the command as a user does, in a process of its own; return its port."""
    command = [sys.executable, "-m", "hpa_hier", "serve", "--port", "0", "--run", "pretrained", "--device", "cpu"]
    environment = os.environ | {"PYTHONPATH": str(FOLDER.parents[2])}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(re.search(r"127\.0\.0\.1:(\d+)/", process.stdout.readline())[1])
        finally:
            process.send_signal(signal.SIGINT)
