"""Classes: a flat taxonomy written from a table reads that table as it was meant."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st

from hpa_hier.data.labels.classes import Classes, find_classes, name_labels, quote, read_classes, write_flat
from hpa_hier.data.labels.table import read_labels
from hpa_hier.errors import UserError
from hpa_hier.files.csv_file import read_csv
from hpa_hier.files.yaml_file import parse_yaml
from hpa_hier.taxonomy import Taxonomy

TRAPS = (
    *("007", "7", "1.0", "0x1F", "1e5", "yes", "no", "on", "Null", "~", "true", "y", "-", "a: b", "it's", 'say "so"'),
    *("Größe", "bud neck", "# no", "&a", "*a", "!t", "{x}", "[x]", "open", "label", "go", "Nucleus/ER", "a\\b", "=1"),
    *("細胞", "@x", "%x", "`x`", "Rods & rings", "class 7", "> x", "? x", "- x", "12:30", "2024-01-01", "levels"),
)
WORDS = st.sampled_from(TRAPS) | st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters=",|;"), min_size=1, max_size=6
)


def write_csv(path: Path, rows: list[tuple[str, ...]]) -> Path:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


@given(labels=st.lists(st.lists(WORDS, min_size=1, max_size=3), min_size=1, max_size=5))
@example(labels=[["007"], ["7", "1.0"], ["yes"], ["no"], ["Null"]])
@examples(150)
def test_a_tree_written_from_a_table_reads_it_back(tmp_path_factory, labels: list[list[str]]) -> None:
    folder = Path(tmp_path_factory.mktemp("new"))
    rows = [("Id", "Target"), *((f"s{i}", "|".join(row)) for i, row in enumerate(labels))]
    path = write_csv(folder / "t.csv", rows)
    try:
        classes = read_classes(path)
    except UserError as error:
        refused = str(error)
    else:
        refused = ""
    if refused:
        reasons = ("could be read otherwise", "no label in any", "must be", "is empty")
        assert any(reason in refused for reason in reasons)
        return
    taxonomy = Taxonomy.from_text(write_flat(classes.labels, "mine"))
    assert [taxonomy.label(leaf) for leaf in taxonomy.leaves] == list(classes.labels)
    read = read_labels(path, taxonomy, "skip")
    said = {f"s{i}": row for i, row in enumerate(classes.rows) if row}
    got = {one: {taxonomy.label(leaf) for leaf in nodes} for one, nodes in zip(read.ids, read.nodes, strict=True)}
    assert {one: labels for one, labels in got.items() if labels} == {one: set(row) for one, row in said.items()}


@pytest.mark.parametrize("label", [word for word in TRAPS if word != "label"])
def test_every_word_that_yaml_readers_convert_is_a_label_of_its_own(tmp_path, label: str) -> None:
    path = write_csv(tmp_path / "t.csv", [("Id", label, "other"), ("a", "1", "0"), ("b", "0", "1")])
    classes = read_classes(path)
    assert set(classes.labels) == {label, "other"}
    text = write_flat(classes.labels, "mine", counts={label: 1, "other": 1}, how=("x", "y"))
    taxonomy = Taxonomy.from_text(text)
    read = read_labels(path, taxonomy)
    assert [[taxonomy.label(node) for node in nodes] for nodes in read.nodes] == [[label], ["other"]]


@given(st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=12).map(str.strip).filter(bool))
def test_quoted_text_is_the_same_text_for_any_reader(text: str) -> None:
    yaml = pytest.importorskip("yaml")
    written = f"a: {quote(text)}\nb: {{c: {quote(text)}}}\n"
    ours = parse_yaml(written, "x").value
    theirs = yaml.safe_load(written)
    assert str(ours["a"]) == str(ours["b"]["c"]) == str(theirs["a"]) == str(theirs["b"]["c"]) == text


def test_labels_apart_in_case_only_are_one_class(tmp_path) -> None:
    path = write_csv(tmp_path / "t.csv", [("Id", "Target"), ("a", "ER"), ("b", "er"), ("c", "ER|Golgi")])
    classes = read_classes(path)
    assert classes == Classes(("ER", "Golgi"), (("ER",), ("ER",), ("ER", "Golgi")))


FORMS = {
    "numbers": ("Id,Target\na,16 0\nb,0\n", ("0", "16")),
    "floats": ("Id,Target\na,16.0\nb,0.0\n", ("0", "16")),
    "bars": ("Id,Target\na,bud neck|vacuole\nb,vacuole\n", ("bud neck", "vacuole")),
    "lists": ("Id,Target\na,\"['bud neck', 'vacuole']\"\nb,['vacuole']\n", ("bud neck", "vacuole")),
    "words that also stand alone": ("Id,Target\na,er golgi\nb,er\nc,golgi\n", ("er", "golgi")),
    "words that do not": ("Id,Target\na,bud neck\nb,bud\n", ("bud", "bud neck")),
    "a name of the atlas": ("Id,Target\na,Cell membrane\nb,cell\nc,membrane\n", ("cell", "Cell membrane", "membrane")),
    "long": ("Id,Target\n" + "".join(f"s{k},{name}\n" for k in range(9) for name in ("er", "golgi")), ("er", "golgi")),
    "0/1 columns": ("Id,er,golgi,none yet,cell line\na,1,0,0,HeLa\nb,0,1,0,U2OS\n", ("er", "golgi", "none yet")),
    "nothing and nowhere": ("Id,Target\na,er\nb,\nc,nan\nd,Negative\n", ("er",)),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FORMS.values(), ids=FORMS)
def test_classes_are_found_in_every_form_of_a_table(tmp_path, text: str, expected: tuple[str, ...]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    assert read_classes(path).labels == expected


def test_a_cell_that_could_mean_two_things_is_refused_with_its_line(tmp_path) -> None:
    rows = [("a", "er golgi"), ("b", "er"), ("c", "golgi"), ("d", "er_golgi")]
    path = write_csv(tmp_path / "t.csv", [("Id", "Target"), *rows])
    with pytest.raises(UserError, match=r"t\.csv:2: means 'er' and 'golgi', and could be read otherwise"):
        read_classes(path)


def test_a_table_without_classes_says_so(tmp_path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("Id,Target\na,\nb,none\n")
    with pytest.raises(UserError, match="no label in any of its 2 rows"):
        read_classes(path)
    path.write_text("Id,size\na,3.5\nb,4.5\n")
    with pytest.raises(UserError, match=r"t\.csv:1: neither a column Target or Label nor 0/1 columns"):
        find_classes(read_csv(path))
    path.write_text('Id,"er, rough"\na,1\n')
    with pytest.raises(UserError, match=r"t\.csv: the label 'er, rough' must be without commas"):
        read_classes(path)


def test_names_are_unlike_each_other_and_unlike_other_labels() -> None:
    labels = ["7", "class 7", "a/b", "a-b", "open", 'x"y', "x'y"]
    names = name_labels(labels)
    assert names == ["class 7 (2)", "class 7", "a-b (2)", "a-b", "open (class)", "x'y (2)", "x'y"]


def test_classes_of_the_atlas_bring_their_go_term_and_their_group() -> None:
    text = write_flat(["golgi", "bud neck"], "mine", counts={"golgi": 1200, "bud neck": 1})
    assert "  golgi: {label: golgi, go: GO:0005794}  # 1,200 images; hpa28 has it below Secretory\n" in text
    assert "  bud neck: {label: bud neck}  # 1 image\n" in text
