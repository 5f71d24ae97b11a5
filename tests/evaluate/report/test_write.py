"""The report page: whole, self-contained, asking nothing of any network, and safe with any name."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from evaluated_run import FLAT, MEMBERS, make_run
from markupsafe import Markup
from matplotlib.figure import Figure

from hpa_hier.cli import report as command
from hpa_hier.ensemble.verdict import Verdict
from hpa_hier.errors import UserError
from hpa_hier.evaluate.describe import list_some
from hpa_hier.evaluate.figures.figure import ReportData, ReportFigure, new_figure
from hpa_hier.evaluate.figures.table import FIGURES
from hpa_hier.evaluate.report import frame
from hpa_hier.evaluate.report import write as writing
from hpa_hier.evaluate.report.frame import script_hash
from hpa_hier.evaluate.report.needs import find_needs
from hpa_hier.evaluate.report.opening import describe_comparison, describe_trust, of_hundred
from hpa_hier.evaluate.report.tree import branch
from hpa_hier.evaluate.report.write import write_report
from hpa_hier.evaluate.results import Estimate, read_results
from hpa_hier.evaluate.training_record import class_counts, read_history
from hpa_hier.files.atomic import read_json, write_json, write_text
from hpa_hier.runs.run import Run
from hpa_hier.taxonomy import Taxonomy

SECTIONS = (
    *("answer", "classes", "confusions", "safe", "calibration", "leaderboard", "together", "coherence"),
    *("counts", "reading", "data", "training"),
)
FEW = ["report.gallery=3"]
GALLERY = 3
ASKING = {"src", "srcset", "poster", "data", "action", "formaction", "background", "manifest", "ping", "cite", "href"}
VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Tags, attributes and text of a page, and whether its tags close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> without a beginning"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("report"), count=600, size=24)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("small"), count=120, size=16)


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Write PDFs without their content, which is most of a page's time; one test of figures writes real ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame, "pdf_uri", lambda figure, name: "data:application/pdf;base64,")
        yield


@pytest.fixture(scope="module")
def html(run, quick):
    return write(run)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def write(folder: Path, *sets: str) -> str:
    """Write the report of a run and return the page."""
    return write_report(Run.open(folder, sets=[*FEW, *sets]))[0].read_text(encoding="utf-8")


@pytest.fixture
def no_figures(monkeypatch):
    """Write pages without figures, which are most of their time: for tests of words."""
    monkeypatch.setattr(writing, "FIGURES", ())


def test_every_tag_closes_in_order(page):
    assert page.open == []


def test_no_attribute_of_the_page_asks_anything_of_a_network(page):
    for tag, attributes in page.tags:
        for name in ASKING & set(attributes):
            value = attributes[name] or ""
            assert value.startswith(("#", "data:")), f"<{tag} {name}={value[:60]!r}>"
        assert tag not in {"iframe", "object", "embed", "base", "form"}


def test_no_style_of_the_page_asks_anything_of_a_network(page, html):
    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    styles += [attributes["style"] or "" for _, attributes in page.tags if "style" in attributes]
    assert not re.search(r"@import|https?:|//[a-z]", "".join(styles))
    assert all(found.startswith("data:") for found in re.findall(r"url\(['\"]?([^)]*)", "".join(styles)))


def test_the_page_forbids_its_reader_every_request_and_every_script_but_its_own(page, html):
    rules = [a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert [a for tag, a in page.tags if tag == "script"] == [{}]
    own = f"script-src '{script_hash(script)}'"
    assert rules == [f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; {own}"]


def test_every_link_inside_the_page_leads_somewhere(page):
    places = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links
    assert {link.removeprefix("#") for link in links if not link.startswith("data:")} <= places


def test_every_figure_can_be_had_as_a_pdf(page):
    files = [
        a["download"] for tag, a in page.tags if tag == "a" and (a.get("href") or "").startswith("data:application")
    ]
    assert files == [f"{one.name}.pdf" for section in SECTIONS for one in FIGURES if one.section == section]


def test_each_id_appears_once(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_headline_says_split_positives_and_interval_in_its_own_line_and_has_three_columns(page, run):
    scope = read_results(run / "ensemble").scope
    caption = (
        f"Test part of split {scope.split_digest}, {scope.positives:,} positives in "
        f"{scope.samples:,} images; 95 % intervals in brackets"
    )
    assert caption in page.text
    assert page.text.count("hierarchical ensemble flat ensemble always the same labels") == 2  # metrics and levels


def test_the_page_opens_with_cells_shares_that_are_right_and_what_to_trust_and_compares_far_below(page, run):
    results = read_results(run / "ensemble")
    first, *trust = describe_trust(results)
    in_order = [
        "Simulated cells: none of this is evidence about real ones.",
        "Of 100 images like these",
        f"{of_hundred(results.levels[0].top, bounds=False)} between",
        "have the right group Nucleus, Cytoplasm or Secretory",
        "have the right organelle one of 13",
        "have the right place one of 28",
        f"{of_hundred(results.row('subset_accuracy'), bounds=False)} between",
        "all labels right none missed, none added",
        first,
        *trust,
        find_needs(results).sentence,
        "The tree, coloured by how many of each place are found",
        "Class by class",
        describe_comparison(results),
        "Training data before and after balancing",
    ]
    places = [page.text.index(text) for text in in_order]
    assert places == sorted(places)
    assert page.text.count("none of this is evidence") == 1


@pytest.mark.usefixtures("no_figures")
def test_a_page_whose_ensemble_beats_nothing_says_so_before_all_figures(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    file = copy / "ensemble" / "evaluation.npz"
    arrays = dict(np.load(file, allow_pickle=False))
    shape = arrays["probs"].shape
    arrays |= {name: np.broadcast_to(arrays["trivial_probs"], shape) for name in ("raw", "probs")}
    arrays["present"] = np.broadcast_to(arrays["trivial_present"], shape)
    np.savez(file, **arrays)
    text = Page(write(copy)).text
    always = list_some(read_results(copy / "ensemble").scope.always, "and")
    said = f"Nothing here beats always answering {always}; do not use these labels."
    assert text.index(said) < text.index("Of 100 images like these")


@pytest.mark.usefixtures("no_figures")
def test_an_evaluation_of_before_the_trivial_baseline_opens_and_says_how_to_add_it(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    file = copy / "ensemble" / "evaluation.npz"
    arrays = {name: array for name, array in np.load(file, allow_pickle=False).items() if "trivial" not in name}
    np.savez(file, **arrays)
    text = Page(write(copy)).text
    assert "older than the column of a trivial baseline; python -m hpa_hier.ensemble evaluate adds it" in text
    assert "hierarchical ensemble flat ensemble macro F1" in text


def test_the_page_holds_every_section(page):
    found = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert found == list(SECTIONS)


def test_every_node_appears_in_the_tree_once(page, run):
    nodes = [row.node for row in read_results(run / "ensemble").nodes]
    shown = [a["title"].split(":")[0] for _, a in page.tags if (a.get("class") or "").startswith("node ")]
    assert shown == nodes


def test_a_node_with_two_parents_hangs_where_the_file_has_it_and_names_the_other():
    text = """
taxonomy: two
levels: {coarse: 1, leaf: leaves}
tree:
  Nucleus:
    Nucleoli: {label: 0}
  Cytoplasm:
    Centrosome: {label: 1, also_under: [Nucleus]}
  Negative: {label: 2}
"""
    taxonomy = Taxonomy.from_text(text)
    rows = {
        node: SimpleNamespace(node=node, recall=Estimate(0.5), positives=50, leaf=True, tp=5, fp=5)
        for node in taxonomy.nodes
    }
    tree = [branch(taxonomy, node, rows) for node in ("Nucleus", "Cytoplasm", "Negative")]
    assert [child.row.node for child in tree[0].below] == ["Nucleoli"]
    assert [(child.row.node, child.also_under) for child in tree[1].below] == [("Centrosome", ("Nucleus",))]
    assert tree[2].below == []


def test_classes_are_in_order_of_support(html, run):
    rows = [row for row in read_results(run / "ensemble").nodes if row.leaf]
    section = html[html.index('id="classes"') : html.index('id="confusions"')]
    found = [int(n.replace(",", "")) for n in re.findall(r'data-label="positives">([\d,]+)<', section)]
    assert found == sorted((row.positives for row in rows), reverse=True)


def pictures(page: Page) -> list[str]:
    return [a["href"] or "" for tag, a in page.tags if tag == "image"]


def test_every_card_has_a_layer_for_each_channel(page):
    layers = [
        a["class"].split()[1] for tag, a in page.tags if tag == "g" and (a.get("class") or "").startswith("layer ")
    ]
    assert len(layers) == len(pictures(page)) > 100
    assert {layer: layers.count(layer) for layer in layers} == {
        f"layer-{channel}": len(layers) / 4 for channel in ("red", "green", "blue", "yellow")
    }


def test_no_image_is_shown_twice(page):
    shown = re.findall(r"(cell-\d+), 4 channels", " ".join(a.get("aria-label") or "" for _, a in page.tags))
    assert len(shown) == len(set(shown)) == len(pictures(page)) / 4


def test_every_class_of_the_tree_that_occurs_has_a_part_of_its_own(page, run):
    rows = [row for row in read_results(run / "ensemble").nodes if row.leaf and row.positives + row.fp]
    parts = [a["id"] for tag, a in page.tags if tag == "details" and a.get("class") == "class"]
    assert len(parts) == len(rows)


def test_every_member_of_both_ensembles_shows_its_curves(html):
    for name in dict.fromkeys(MEMBERS + FLAT):
        assert f">{name}</text>" in html


def test_writing_the_page_twice_gives_the_same_bytes(run, html):
    assert write(run) == html


def test_a_name_with_markup_in_it_is_shown_and_not_obeyed(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "<img src=x onerror=alert(1)>")
    facts = read_json(copy / "ensemble" / "evaluation.json")
    write_json(copy / "ensemble" / "evaluation.json", facts | {"split_digest": "<script>alert(1)</script>"})
    text = write(copy)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.usefixtures("no_figures")
def test_a_pack_that_moved_away_costs_its_sections_and_the_page_says_so(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    write_json(copy / "run.json", read_json(copy / "run.json") | {"pack": str(tmp_path / "gone")})
    page = Page(write(copy))
    assert "no finished pack" in page.text
    assert "name the pack with --set data.pack=DIR" in page.text
    assert pictures(page) == []
    there = Page(write(copy, f"data.pack={run.parent / 'pack'}"))
    assert pictures(there)


@pytest.mark.usefixtures("no_figures")
def test_another_pack_than_the_runs_is_not_shown(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    write_json(copy / "run.json", read_json(copy / "run.json") | {"pack_digest": "0123456789abcdef"})
    assert "is another pack" in Page(write(copy)).text


@pytest.mark.usefixtures("no_figures")
def test_sides_of_different_size_are_called_unmatched(run, tmp_path, page):
    assert "not matched" not in page.text
    copy = shutil.copytree(run, tmp_path / "run")
    facts = read_json(copy / "ensemble" / "evaluation.json")
    facts["flat_members"].pop("leaf-s4")
    write_json(copy / "ensemble" / "evaluation.json", facts)
    text = Page(write(copy)).text
    assert "not matched: 5 networks in the hierarchical ensemble, 4 in the flat one" in text
    assert "of as many networks" not in text


@pytest.mark.usefixtures("no_figures")
def test_where_the_flat_ensemble_answers_the_page_shows_it_once_and_says_so_in_the_comparison(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    facts = read_json(copy / "ensemble" / "evaluation.json")
    fell_back = {"members": facts["flat_members"], "acceptance": {"decided": False, "accepted": False, "why": "a test"}}
    write_json(copy / "ensemble" / "evaluation.json", facts | fell_back)
    page = Page(write(copy))
    assert "metric flat ensemble always the same labels macro F1" in page.text
    assert "hierarchical ensemble minus" not in page.text
    assert "holds no flat ensemble" not in page.text
    assert page.text.index("a test.") > page.text.index("Safe answers")


@pytest.mark.usefixtures("no_figures")
def test_a_run_without_a_flat_baseline_says_what_is_missing(tmp_path):
    page = Page(write(make_run(tmp_path, count=120, size=16, flat=False)))
    assert "holds no flat ensemble" in page.text


@pytest.mark.usefixtures("no_figures")
def test_how_the_aggregate_was_accepted_is_one_sentence_of_the_comparison(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "run")
    facts = read_json(copy / "ensemble" / "evaluation.json")
    write_json(copy / "ensemble" / "evaluation.json", facts | {"acceptance": Verdict(why="of a test").to_json()})
    text = Page(write(copy)).text
    assert text.index("Beside the flat ensemble of as many networks: macro F1") < text.index("of a test.")


def test_counts_after_balancing_are_repeated_images_and_never_fewer(run):
    counts = class_counts(Run.open(run), Taxonomy.load(run / "taxonomy.yaml"))
    assert all(row.after >= row.before for row in counts)
    assert [row.before for row in counts] == sorted((row.before for row in counts), reverse=True)
    assert any(row.after > row.before for row in counts)


def test_a_history_with_a_word_for_a_number_is_refused_with_its_line(tmp_path):
    write_text(tmp_path / "history.csv", "epoch,train_loss\n0,0.5\n1,oops\n")
    with pytest.raises(UserError, match=r"history\.csv:3: train_loss is 'oops', not a number"):
        read_history(tmp_path / "history.csv")


def test_a_history_may_hold_empty_and_infinite_cells(tmp_path):
    write_text(tmp_path / "history.csv", "epoch,train_loss\n0,\n1,inf\n2,0.25\n")
    history = read_history(tmp_path / "history.csv")
    assert history.columns.tolist() == ["train_loss"]
    assert history.train_loss.isna().tolist() == [True, True, False]
    assert history.train_loss[2] == 0.25


@pytest.mark.usefixtures("no_figures")
def test_the_command_ends_with_one_line_that_names_the_page(run, capsys):
    sets = ["--set", "report.gallery=1"]
    assert command.main(["--run", str(run), *sets]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 1
    assert out[0].startswith(f"wrote {run / 'report' / 'index.html'} (")


def test_the_command_writes_the_figures_as_files_where_asked(run, capsys):
    sets = ["--set", "report.gallery=0"]
    assert command.main(["--run", str(run), "--figures", "pdf", *sets]) == 0
    files = sorted(path.name for path in (run / "report" / "figures").iterdir())
    assert files == sorted(f"{one.name}.pdf" for one in FIGURES)
    assert capsys.readouterr().out.splitlines()[1] == f"wrote {len(FIGURES)} figures to {run / 'report' / 'figures'}"
    assert (run / "report" / "figures" / files[0]).read_bytes().startswith(b"%PDF")


@pytest.mark.usefixtures("no_figures")
def test_the_command_follows_the_recipe_kept_with_the_run(run, tmp_path):
    kept = tmp_path / "kept"
    shutil.copytree(run, kept)
    write_text(kept / "config.yaml", "report: {bootstrap: 7, interval: 0.8, gallery: 1}\n")
    assert command.main(["--run", str(kept)]) == 0
    assert "80 % intervals" in Page((kept / "report" / "index.html").read_text(encoding="utf-8")).text


def test_the_command_refuses_a_run_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="nosuch: no such run"):
        command.main(["--run", "nosuch", "--set", f"artifacts={tmp_path}"])


def test_every_figure_has_a_name_of_its_own_and_a_section_of_the_page():
    assert len({one.name for one in FIGURES}) == len(FIGURES)
    assert {one.section for one in FIGURES} <= {*SECTIONS}


def draw_sizes(data: ReportData) -> Figure:
    figure = new_figure(2.0)
    figure.add_subplot().bar([row.node for row in data.results.nodes], [row.positives for row in data.results.nodes])
    return figure


@pytest.mark.parametrize("section", SECTIONS)
def test_a_new_figure_is_one_row_and_appears_in_its_section_and_as_a_file(small, monkeypatch, section):
    monkeypatch.setattr(writing, "FIGURES", (ReportFigure("sizes", section, draw_sizes, "Positives of nodes"),))
    page, file = write_report(Run.open(small, sets=["report.gallery=0"]), figures="svg")
    assert file == small / "report" / "figures" / "sizes.svg"
    text = page.read_text(encoding="utf-8")
    part = text[text.index(f'<section id="{section}"') :]
    assert "<title>Positives of nodes</title>" in part[: part.index("</section>")]


@pytest.mark.slow
def test_the_report_of_ten_thousand_test_images_is_below_five_megabytes(tmp_path):
    run = make_run(tmp_path, count=25_000, size=48)
    page, *_ = write_report(Run.open(run, sets=["report.heat_maps=0"]))
    assert read_results(run / "ensemble").scope.samples == 10_000
    assert page.stat().st_size < 5_000_000


def test_no_page_holds_a_control_character_of_a_name() -> None:
    template = frame._environment().from_string("<i>{{ name }}</i>{{ marked }}{{ count }}")
    page = template.render(name="a\x1b[2J\u202eb<", marked=Markup("<b>\x9b</b>\n"), count=3)
    assert page == "<i>a\\x1b[2J\\u202eb&lt;</i><b>\\x9b</b>\n3"
