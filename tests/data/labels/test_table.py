"""Label tables: every form that people have, and every way in which one can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpa_hier.data.labels.groups import parse_antibody
from hpa_hier.data.labels.ids import is_valid_id
from hpa_hier.data.labels.table import read_labels, targets
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy


@pytest.fixture(scope="module")
def tree() -> Taxonomy:
    return Taxonomy.load("hierarchy/hpa28.yaml")


def table(folder: Path, text: str | bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_numbers_separated_by_blanks_are_the_2018_form(tmp_path, tree):
    read = read_labels(table(tmp_path, "Id,Target\na,16 0\nb,25\n"), tree)
    assert read.ids == ("a", "b")
    assert read.nodes == (("Nucleoplasm", "Cytokinetic bridge"), ("Cytosol",))
    assert read.groups == ("", "")
    assert read.problems == ()


def test_numbers_separated_by_bars_are_the_2021_form(tmp_path):
    single_cell = Taxonomy.load("hierarchy/hpa19_single_cell.yaml")
    read = read_labels(table(tmp_path, "ID,Label\na,14|0\nb,18\n"), single_cell)
    assert {*read.nodes[0]} == {"Mitochondria", "Nucleoplasm"}
    assert read.nodes[1] == ("Negative",)


@pytest.mark.parametrize(
    "cell", ["Nuclear speckles|Golgi apparatus", "Golgi apparatus; nuclear speckles", '"Golgi apparatus,4"']
)
def test_names_may_stand_instead_of_numbers(tmp_path, tree, cell):
    read = read_labels(table(tmp_path, f"Id,Target\na,{cell}\n"), tree)
    assert read.nodes == (("Nuclear speckles", "Golgi apparatus"),)


def test_a_name_with_blanks_alone_is_one_name(tmp_path, tree):
    assert read_labels(table(tmp_path, "Id,Target\na,Rods & rings\n"), tree).nodes == (("Rods & rings",),)


def test_a_group_may_be_annotated(tmp_path, tree):
    assert read_labels(table(tmp_path, "Id,Target\na,Vesicles\n"), tree).nodes == (("Vesicles",),)


@pytest.mark.parametrize("header", ["Id,0,Cytosol,cell", "image,Nucleoplasm,25,cell"])
def test_multi_hot_columns_are_named_by_label_or_node(tmp_path, tree, header):
    read = read_labels(table(tmp_path, f"{header}\na,1,0,HeLa\nb,1.0,true,U2OS\n"), tree)
    assert read.nodes == (("Nucleoplasm",), ("Nucleoplasm", "Cytosol"))
    assert read.extra == {"cell": ("HeLa", "U2OS")}


def test_an_unknown_multi_hot_column_is_not_dropped_quietly(tmp_path, tree):
    path = table(tmp_path, "Id,Cytosol,Nucleolii\na,1,0\nb,0,1\n")
    with pytest.raises(
        UserError, match=r"where it is no label, give --ignore-columns Nucleolii\n.*did you mean 'Nucleoli"
    ):
        read_labels(path, tree)
    ignored = read_labels(path, tree, ignore=["Nucleolii"])
    assert ignored.nodes == (("Cytosol",), ())
    skipped = read_labels(path, tree, on_problem="skip")
    assert skipped.nodes == ignored.nodes  # the column is left out, and no row for it
    assert "0/1 column that no label or node is called (--ignore-columns leaves it out) (1): 'Nucleolii'" in str(
        skipped.problems[0]
    )
    with pytest.raises(UserError, match=r"--ignore-columns nucleolii: .* no such column; did you mean 'Nucleolii'\?"):
        read_labels(path, tree, ignore=["nucleolii"])


def test_a_multi_hot_cell_must_be_0_or_1(tmp_path, tree):
    with pytest.raises(UserError, match=r"labels.csv:2: '0.7' in the 0/1 column 'Cytosol'; write 0 or 1"):
        read_labels(table(tmp_path, "Id,Cytosol\na,0.7\n"), tree)


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfId,Target\r\na,16 0\r\n\r\nb,25\r\n",
        b"Id;Target\na;16 0\nb;25\n",
        b"Id\tTarget\na\t16 0\nb\t25",
        b"CellLine,Target,Id\nU-2 OS,16 0,a\nHeLa,25,b\n",
    ],
    ids=["byte order mark and Windows line ends", "semicolons", "tabs", "other order and a column more"],
)
def test_spreadsheets_write_tables_their_own_way(tmp_path, tree, text):
    read = read_labels(table(tmp_path, text), tree)
    assert (read.ids, read.nodes) == (("a", "b"), (("Nucleoplasm", "Cytokinetic bridge"), ("Cytosol",)))


def test_ids_stay_text(tmp_path, tree):
    read = read_labels(table(tmp_path, "Id,Target\n007,0\n123e45,0\nNA,0\n1e999,0\n"), tree)
    assert read.ids == ("007", "123e45", "NA", "1e999")


def test_the_antibody_is_the_group_where_every_id_tells_it(tmp_path, tree):
    assert parse_antibody("63683_si35_H1_11") == "63683"
    read = read_labels(table(tmp_path, "Id,Target\n10580_1610_C1_1,0\n47864_1645_G11_15_cr57b568eb09215,0\n"), tree)
    assert read.groups == ("10580", "47864")


def test_ids_that_tell_no_antibody_stand_alone_beside_those_that_do(tmp_path, tree):
    read = read_labels(table(tmp_path, "Id,Target\n10580_1610_C1_1,0\n800_A6_1,25\n10580_1610_C1_2,0\n"), tree)
    assert read.groups == ("10580", "", "10580")
    whole = "1 group that a split keeps whole"
    assert f"2 of 3 samples are grouped by ids, {whole}; the other sample stands alone" in read.notes


@pytest.mark.parametrize(
    "cells", [["HPA7", "hpa7", " HPA7 "], ["10005", "10005.0", "10005"], ["HPA7", "", "nan"], ["x", "n/a", "Unknown"]]
)
def test_one_antibody_is_one_group_however_it_is_spelled(tmp_path, tree, cells):
    ids = [f"10580_1610_C1_{k}" for k in range(3)]
    rows = "".join(f"{sample_id},0,{cell}\n" for sample_id, cell in zip(ids, cells, strict=True))
    read = read_labels(table(tmp_path, f"Id,Target,Antibody\n{rows}"), tree)
    assert read.groups == (cells[0],) * 3


@pytest.mark.parametrize("header", ["Gene", "Ensembl ID", "antibody_id", "Group", "Protein"])
def test_columns_that_name_a_protein_are_groups_and_this_is_said(tmp_path, tree, header):
    read = read_labels(table(tmp_path, f"Id,Target,{header}\na,0,G1\nb,0,G1\nc,0,\n"), tree)
    assert read.groups == ("G1", "G1", "")
    assert f"2 of 3 samples are grouped by column '{header}'" in read.notes[-1]


FORMS = [
    "sep=;\nId;Target\na;16 0\nb;25\n",
    "Id,Target,\na,16 0,\nb,25,\n",
    "Id,Target,,\na,16 0,,\nb,25,,\n",
    "Id,Target\na,16 0,\nb,25,,\n",
    ",Id,Target\n0,a,16 0\n1,b,25\n",
    "Unnamed: 0,Id,Target\n0,a,16 0\n1,b,25\n",
    "Id,Target\na,16.0 0.0\nb,25.0\n",
    "Id,Target\na,16|0\nb,Cytosol\n",
    "Id,Target\na,\"['Cytokinetic bridge', 'Nucleoplasm']\"\nb,['Cytosol']\n",
    "filename,Localization\na.png,16 0\nb.png,25\n",
    "File Name,Subcellular location\n/data/plate 1/a.ome.tif,16 0\nC:\\x\\b.tiff,25\n",
    "image_path,Organelle\nplate/a.jpg,16;0\nplate/b.jpg,25\n",
]


@pytest.mark.parametrize("text", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_are_read_in_the_forms_that_people_have(tmp_path, tree, text, encoding):
    read = read_labels(table(tmp_path, text.encode(encoding)), tree)
    assert (read.ids, read.nodes) == (("a", "b"), (("Nucleoplasm", "Cytokinetic bridge"), ("Cytosol",)))


def test_the_line_of_a_mistake_counts_excels_first_line(tmp_path, tree):
    with pytest.raises(UserError, match=r"unknown label \(1\): '99' \(line 3\)"):
        read_labels(table(tmp_path, "sep=;\nId;Target\na;99\n"), tree)


def test_what_was_taken_for_what_is_said(tmp_path, tree):
    read = read_labels(table(tmp_path, "File Name,Localization\nx/a.png,Cytoplasm\nb.png,0\n"), tree)
    assert read.notes == (
        "ids are taken from the column 'File Name', labels from 'Localization'",
        "2 ids are those of files: 'x/a.png' is 'a'",
        "annotated as a group, which leaves the places below it unknown: Cytoplasm (1)",
    )


def test_one_row_a_label_is_read_as_such(tmp_path, tree):
    rows = "".join(f"s{k},{label}\n" for k in range(20) for label in (0, 25, 16)[: 1 + k % 3])
    read = read_labels(table(tmp_path, f"Id,Target\n{rows}"), tree)
    assert len(read.ids) == 20
    assert {*read.nodes[2]} == {"Nucleoplasm", "Cytokinetic bridge", "Cytosol"}
    assert "one row a label: 20 samples in 39 rows" in read.notes


def test_a_few_repeated_ids_are_no_form_but_a_mistake(tmp_path, tree):
    rows = "".join(f"s{k},0\n" for k in range(100)) + "s7,25\n"
    with pytest.raises(UserError, match=r"duplicate id \(1\): s7 \(lines 9 and 102\)"):
        read_labels(table(tmp_path, f"Id,Target\n{rows}"), tree)


@pytest.mark.parametrize(
    "text", ["Id,Nucleoplasm,Cytosol\na,0,0\nb,1,0\n", "Id,Target\na,none\nb,0\n", "Id,Target\na,Negative\nb,0\n"]
)
def test_an_image_may_show_none_of_the_places(tmp_path, tree, text):
    read = read_labels(table(tmp_path, text), tree)
    assert read.nodes == ((), ("Nucleoplasm",))
    assert "1 sample shows none of the places" in read.notes
    found = targets(read.nodes, tree)
    assert not found.present[0].any()
    assert found.known[0].all()


@pytest.mark.parametrize("cell", ["", "nan", "NA", "<NA>", "null"])
def test_a_cell_that_says_nothing_is_a_row_without_a_label(tmp_path, tree, cell):
    with pytest.raises(UserError, match=r"row without a label; write none where .* \(1\): a \(line 2\)"):
        read_labels(table(tmp_path, f"Id,Target\na,{cell}\nb,0\n"), tree)


@pytest.mark.parametrize("sample_id", ["Zelle_0_µm_größe", "well A0 (1)", "細胞-1", "a.b"])
def test_ids_may_be_what_files_are_called(tmp_path, tree, sample_id):
    assert read_labels(table(tmp_path, f"Id,Target\n{sample_id}.png,0\n"), tree).ids == (sample_id,)


def test_an_antibody_column_is_the_group(tmp_path, tree):
    read = read_labels(table(tmp_path, "Id,Target,Antibody\na,0,HPA001\nb,0,\n"), tree)
    assert read.groups == ("HPA001", "")


def test_every_kind_of_problem_is_counted_and_listed_in_one_message(tmp_path, tree):
    text = "Id,Target,Well\na,0 28,\nb,28,\nc,Nuclear spekles,\nd,0,A1\nd,0,A2\ne,0,\ne,1,\n=f,0,\ng,,\n"
    with pytest.raises(UserError) as raised:
        read_labels(table(tmp_path, text), tree)
    message = str(raised.value)
    assert "labels.csv: 6 problems; fix the table, or give --on-problem skip to leave these rows out" in message
    spekles = "'Nuclear spekles' (line 4); did you mean 'Nuclear speckles'?"
    assert f"unknown label (2): '28' (2 rows, first line 2); {spekles}" in message
    assert "duplicate id (2): d (lines 5 and 6); e (lines 7 and 8)" in message
    assert "id that cannot be a file name (1): '=f' (line 9)" in message
    assert "row without a label; write none where it shows none of the places (1): g (line 10)" in message


def test_skipping_leaves_out_whole_rows_and_says_why(tmp_path, tree):
    text = "Id,Target\na,0 28\nd,0\nd,0\ne,0\ne,1\nh,25\n"
    read = read_labels(table(tmp_path, text), tree, on_problem="skip")
    assert read.ids == ("d", "h")  # equal duplicates agree; unequal ones cannot be trusted
    assert read.skipped == {
        "a": "unknown label '28' (line 2)",
        "e": "duplicate id with other labels (line 6)",
    }


def test_an_exclusive_taxonomy_refuses_rows_with_several_places_and_names_them(tmp_path):
    tree = Taxonomy.from_text(
        "taxonomy: one\nexclusive: true\nlevels: {leaf: leaves}\ntree:\n"
        "  A:\n    B: {label: 1}\n    C: {label: 2}\n  D: {label: 3}\n"
    )
    path = table(tmp_path, "Id,Target\na,1\nb,1 3\nc,A|B\nd,A\ne,A|D\n")
    with pytest.raises(UserError) as caught:
        read_labels(path, tree)
    kind = "several places, where 'one' is exclusive and gives each sample one"
    assert f"{kind} (2): b (line 3): B, D; e (line 6): A, D" in str(caught.value)
    read = read_labels(path, tree, on_problem="skip")
    assert read.ids == ("a", "c", "d")
    assert read.skipped["b"] == "several places, where the taxonomy is exclusive (line 3): B, D"


def test_long_lists_are_cut_and_counted(tmp_path, tree):
    rows = "".join(f"a{i},{100 + i}\n" for i in range(50))
    with pytest.raises(UserError, match=r"unknown label \(50\): '100' .*; and 40 more"):
        read_labels(table(tmp_path, f"Id,Target\n{rows}"), tree)


def test_a_table_of_problems_only_has_nothing_to_keep(tmp_path, tree):
    with pytest.raises(UserError, match=r"no usable row among 1; unknown label \(1\): '99'"):
        read_labels(table(tmp_path, "Id,Target\na,99\n"), tree, on_problem="skip")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "labels.csv: the file is empty"),
        (b"Id,Target\n", "no usable row among 0; the table has a header only"),
        (b"Id,Target\na,0,1\n", "labels.csv:2: 3 cells where the header has 2"),
        (b"Id,Target\n\xff\xfe,0\n", "labels.csv:2: byte 0xff is not UTF-8 text"),
        (b"Id,Target\na,0\n\x00,0\n", "labels.csv:3: a NUL byte"),
        (b'Id,Target\na,"0\n', "labels.csv:2: not a CSV row"),
        (b"Target,Class\n0,1\n", "labels.csv:1: no id column among 'Target', 'Class'; name one of them Id"),
        (b"Id,CellLine\na,HeLa\n", "labels.csv:1: neither a column Target or Label nor 0/1 columns"),
        (b"Id,Target,Id\na,0,b\n", "labels.csv:1: column 'Id' appears twice"),
    ],
)
def test_each_broken_table_has_its_own_message(tmp_path, tree, text, message):
    with pytest.raises(UserError) as raised:
        read_labels(table(tmp_path, text), tree)
    assert message in str(raised.value)


def test_an_absent_table_and_a_folder_are_distinguished(tmp_path, tree):
    with pytest.raises(UserError, match=r"absent\.csv: no such file"):
        read_labels(tmp_path / "absent.csv", tree)
    with pytest.raises(UserError, match="this is a folder; name a CSV file"):
        read_labels(tmp_path, tree)


@given(st.binary(max_size=300))
def test_no_bytes_bring_a_traceback(tmp_path_factory, data):
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    path = table(tmp_path_factory.mktemp("any"), b"Id,Target\n" + data)
    try:
        read = read_labels(path, tree, on_problem="skip")
    except UserError:
        return
    assert all(map(is_valid_id, read.ids))
    assert len(set(read.ids)) == len(read.ids)


@given(st.text(max_size=140))
def test_a_valid_id_never_leaves_its_folder(text):
    if is_valid_id(text):
        assert (Path("/folder") / f"{text}_red.png").resolve().parent == Path("/folder")


def test_targets_are_closed(tree):
    found = targets([("Nuclear speckles",), ("Cytosol", "Nucleoli")], tree)
    on = [{tree.nodes[j] for j in np.flatnonzero(row)} for row in found.present]
    assert on[0] == {"Nuclear speckles", "Nucleoplasm (organelle)", "Nucleus"}
    assert on[1] == {"Cytosol", "Cytosol (organelle)", "Cytoplasm", "Nucleoli", "Nucleoli (organelle)", "Nucleus"}
    assert found.known.all()


def test_what_a_group_alone_does_not_tell_is_unknown(tree):
    found = targets([("Vesicles",), ("Vesicles", "Lysosomes")], tree)
    below = [tree.column[name] for name in tree.descendants("Vesicles")]
    assert not found.known[0, below].any()
    assert found.known[0, tree.column["Golgi apparatus"]]  # beside it: absent, and known to be
    assert found.known[1].all()


@given(st.data())
def test_targets_agree_with_walking_the_tree(data):
    tree = Taxonomy.load("hierarchy/hpa28.yaml")
    rows = data.draw(st.lists(st.lists(st.sampled_from(tree.nodes), min_size=1, max_size=4), min_size=1, max_size=5))
    found = targets(rows, tree)
    for row, names in enumerate(rows):
        on = {node for name in names for node in (name, *tree.ancestors(name))}
        assert {tree.nodes[j] for j in np.flatnonzero(found.present[row])} == on
        annotated_above = [g for g in names if not tree.is_leaf(g) and not {*tree.descendants(g)} & {*names}]
        unknown = {node for group in annotated_above for node in tree.descendants(group)} - on
        assert {tree.nodes[j] for j in np.flatnonzero(~found.known[row])} == unknown


def test_the_real_table_has_the_published_counts(shared_data, tree):
    read = read_labels(shared_data / "hpa" / "train.csv", tree)
    present = targets(read.nodes, tree).present
    counts = {node: int(present[:, tree.column[node]].sum()) for node in tree.nodes}
    assert len(read) == 31_072
    assert [counts[group] for group in ("Nucleus", "Cytoplasm", "Secretory")] == [19_625, 16_245, 8_312]
    assert (counts["Nucleoplasm"], counts["Rods & rings"]) == (12_885, 11)


def test_the_atlas_table_gives_an_antibody_for_every_image(shared_data, tree):
    read = read_labels(shared_data / "hpa" / "hpa_v18_external.csv", tree)
    assert len(read) == 74_606
    assert len(set(read.groups)) == 12_815
    assert read.extra["CellLine"][0] == "RH-30"


def test_below_an_annotated_group_nodes_are_unknown_or_absent_as_is_asked(tree: Taxonomy) -> None:
    nodes = [("Vesicles",), ("Secretory", "Lysosomes"), ("Nucleus",)]
    unknown, absent = targets(nodes, tree), targets(nodes, tree, "absent")
    assert (unknown.present == absent.present).all()
    assert absent.known.all()
    for row, group in ((0, "Vesicles"), (2, "Nucleus")):
        masked = {node for node, known in zip(tree.nodes, unknown.known[row], strict=True) if not known}
        assert masked == set(tree.descendants(group))
    assert unknown.known[1].all()


def test_known_is_what_the_plain_rule_says_for_any_annotation(tree: Taxonomy) -> None:
    generator = np.random.default_rng(3)
    nodes = [tuple(np.array(tree.nodes)[generator.random(len(tree.nodes)) < 0.08]) for _ in range(200)]
    found = targets(nodes, tree)
    for row, names in enumerate(nodes):
        ends = [name for name in names if not set(tree.descendants(name)) & set(names)]
        present = {*names, *(above for name in names for above in tree.ancestors(name))}
        unknown_below = {below for name in ends for below in tree.descendants(name)} - present
        assert {n for n, known in zip(tree.nodes, found.known[row], strict=True) if not known} == unknown_below
        assert {n for n, on in zip(tree.nodes, found.present[row], strict=True) if on} == present
