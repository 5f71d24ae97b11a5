"""Every way to break a taxonomy file, and the message that it gives."""

# ruff: noqa: E501  (messages stand whole, as a person reads them)

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from taxonomy_texts import SMALL, with_line

from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy

ROOT = Path(__file__).resolve().parents[2]


def broken(text: str) -> str:
    with pytest.raises(UserError) as caught:
        Taxonomy.from_text(text, "h.yaml")
    return str(caught.value)


def test_the_small_tree_is_sound() -> None:
    assert Taxonomy.from_text(SMALL).leaves == (
        "Nucleoplasm", "Nucleoli", "Cytosol", "Centrosome", "Lysosomes", "Endosomes", "Negative",
    )  # fmt: skip


# (line to replace, what replaces it, the message)
BREAKS = {
    "duplicate_key": (8, "    Nucleoplasm: {label: 2}", "h.yaml:8: 'Nucleoplasm' appears twice, first on line 7; rename or remove one"),
    "duplicate_name": (10, "    Nucleoli: {label: 25}", "h.yaml:10: the name 'Nucleoli' is already on line 8; rename one, or list its second parent in 'also_under'"),
    "duplicate_name_in_another_case": (10, "    nucleoli: {label: 25}", "h.yaml:10: the name 'nucleoli' is already on line 8 (as 'Nucleoli'); rename one"),
    "duplicate_label": (10, "    Cytosol: {label: 2}", "h.yaml:10: label 2 belongs to both 'Nucleoli' (line 8) and 'Cytosol'; give one of them another label"),
    "duplicate_label_as_text": (10, "    Cytosol: {label: '2'}", "h.yaml:10: label 2 belongs to both 'Nucleoli' (line 8) and 'Cytosol'"),
    "label_that_is_another_nodes_name": (10, "    Cytosol: {label: nucleoli}", "h.yaml:10: the label nucleoli of 'Cytosol' is also the name of another node (line 8); change one, for a table could mean either"),
    "empty_list": (10, "    Cytosol: []", "h.yaml:10: 'Cytosol' has an empty list below it; list nodes, or remove the '[]'"),
    "list_of_what_is_no_name": (10, "    Cytosol: [true]", "h.yaml:10: a list of nodes holds names, got true; quote it where it is a name"),
    "misspelt_field_with_a_list": (10, "    Cytosol: {alias: [Sap]}", "h.yaml:10: unknown field 'alias' in 'Cytosol'; did you mean 'aliases'?"),
    "another_word_for_a_field": (10, "    Cytosol: {synonyms: [Sap]}", "h.yaml:10: unknown field 'synonyms' in 'Cytosol'; did you mean 'aliases'?"),
    "misspelt_field_with_nothing": (10, "    Cytosol: {labels: }", "h.yaml:10: unknown field 'labels' in 'Cytosol'; did you mean 'label'?"),
    "lost_colon": (10, "    Cytosol {label: 25}", "h.yaml:10: 'Cytosol {label: 25}' lacks a colon behind the name; write 'Cytosol: {label: 25}'"),
    "lost_colon_at_the_top": (17, "  Negative {label: none}", "h.yaml:17: 'Negative {label: none}' lacks a colon behind the name; write 'Negative: {label: none}'"),
    "lost_space": (10, "    Cytosol:{label: 25}", "h.yaml:10: 'Cytosol:{label: 25}' lacks a space behind the colon; write 'Cytosol: {label: 25}'"),
    "nodes_of_a_field": (10, "    Cytosol: {children: [a, b]}", "h.yaml:10: 'children' is no field; nodes stand right below their group, as in 'Nucleus: [Nucleoli, Envelope]'"),
    "names_of_a_field": (10, "    Cytosol: {name: Sap}", "h.yaml:10: 'name' is no field; nodes stand right below"),
    "text_of_nodes": (17, "  Negative: a, b", "h.yaml:17: the node 'Negative' must hold fields or nodes, got 'a, b'; a group is written 'Negative: [a, b]'"),
    "text_of_a_node": (17, "  Negative: a", "h.yaml:17: the node 'Negative' must hold fields or nodes, got 'a'; a leaf is written 'Negative: {label: a}', a group 'Negative: [a]'"),
    "number_for_a_node": (10, "    Cytosol: 25", "h.yaml:10: unknown field 'Cytosol' in 'Cytoplasm'; the fields are label, go, description, open, also_under, aliases, and a leaf is written 'Cytosol: {label: 25}'"),
    "alias_that_is_a_name": (10, "    Cytosol: {label: 25, aliases: [nucleoli]}", "h.yaml:10: the alias 'nucleoli' of 'Cytosol' is also the name of 'Nucleoli' (line 8); remove it from one of them, for a table could mean either"),
    "alias_that_is_a_label": (10, "    Cytosol: {label: 25, aliases: [19]}", "h.yaml:10: the alias '19' of 'Cytosol' is also the label of 'Centrosome' (line 11)"),
    "alias_that_is_another_alias": (10, "    Cytosol: {label: 25, aliases: [Sap]}\n    Fluid: {aliases: [sap]}", "h.yaml:11: the alias 'sap' of 'Fluid' is also an alias of 'Cytosol' (line 10)"),
    "aliases_that_are_no_list": (10, "    Cytosol: {label: 25, aliases: Sap}", "h.yaml:10: 'aliases' must be a list of further names such as [Golgi, Golgi complex], got 'Sap'"),
    "alias_with_a_comma": (10, "    Cytosol: {label: 25, aliases: ['a, b']}", "h.yaml:10: the alias 'a, b' must be without commas, '|' and semicolons, which separate the labels of a table; replace them"),
    "label_that_is_two_labels": (10, "    Cytosol: {label: 2 19}", "h.yaml:10: the label '2 19' of 'Cytosol' is also a list of the labels 2 and 19, with spaces between them; change it"),
    "unknown_field": (10, "    Cytosol: {label: 25, colour: green}", "h.yaml:10: unknown field 'colour' in 'Cytosol'; the fields are label, go, description, open, also_under, aliases"),
    "misspelt_field": (10, "    Cytosol: {lable: 25}", "h.yaml:10: unknown field 'lable' in 'Cytosol'; did you mean 'label'?"),
    "list_of_a_field": (10, "    Cytosol: [go]", "h.yaml:10: 'go' is a field's name and cannot name a node; rename the node"),
    "node_at_the_top_without_fields": (17, "  Negative: 18", "h.yaml:17: the node 'Negative' must hold fields or nodes, got 18; a leaf is written 'Negative: {label: 18}'"),
    "unknown_field_of_the_file": (2, "descriptio: x", "h.yaml:2: unknown field 'descriptio'; did you mean 'description'?"),
    "node_outside_the_tree": (2, "Nucleoplasm: {label: 0}", "h.yaml:2: unknown field 'Nucleoplasm'; the fields are taxonomy, description, exclusive, levels, tree, virtual, and nodes belong below 'tree'"),
    "exclusive_that_is_a_word": (2, "exclusive: always", "h.yaml:2: 'exclusive' must be true (each sample has exactly one leaf) or false, got 'always'"),
    "level_deeper_than_the_tree": (3, "levels: {coarse: 1, fine: 4}", "h.yaml:3: level 'fine' is at depth 4, which the tree does not have; give 1 to 3, or 'leaves'"),
    "level_at_depth_0": (3, "levels: {coarse: 0}", "h.yaml:3: level 'coarse' is at depth 0, which the tree does not have; give 1 to 3, or 'leaves'"),
    "level_that_is_a_word": (3, "levels: {coarse: top}", "h.yaml:3: level 'coarse' must be a depth such as 1, or 'leaves', got 'top'"),
    "level_that_is_a_truth_value": (3, "levels: {coarse: true}", "h.yaml:3: level 'coarse' must be a depth such as 1, or 'leaves', got true"),
    "levels_out_of_order": (3, "levels: {fine: 2, coarse: 1}", "h.yaml:3: level 'coarse' at depth 1 is not below the level before it, at depth 2; order levels from top to bottom, each depth once"),
    "level_after_the_leaves": (3, "levels: {leaf: leaves, coarse: 1}", "h.yaml:3: level 'coarse' comes after the leaves; order levels from top to bottom"),
    "level_name_that_is_no_word": (3, "levels: {the top: 1}", "h.yaml:3: the level name 'the top' must be of letters, digits, dots and dashes"),
    "no_levels": (3, "levels: {}", "h.yaml:3: 'levels' must be such as {coarse: 1, leaf: leaves}, got a mapping"),
    "levels_as_a_list": (3, "levels: [coarse, leaf]", "h.yaml:3: 'levels' must be such as {coarse: 1, leaf: leaves}, got the list"),
    "name_of_the_file_is_no_word": (1, "taxonomy: my tree", "h.yaml:1: 'taxonomy' must be a name of letters, digits, dots and dashes, got 'my tree'"),
    "name_of_the_file_is_missing": (1, "", "h.yaml:2: the field 'taxonomy' is missing; add a name such as 'taxonomy: hpa28'"),
    "label_of_a_wrong_type": (10, "    Cytosol: {label: [1]}", "h.yaml:10: 'label' must be a whole number or a text, got the list [1]; quote a text"),
    "label_that_is_nothing": (10, "    Cytosol: {label: }", "h.yaml:10: 'label' must be a whole number or a text, got nothing; quote a text"),
    "label_that_is_a_truth_value": (10, "    Cytosol: {label: true}", "h.yaml:10: 'label' must be a whole number or a text, got true; quote a text"),
    "label_with_a_bar": (10, "    Cytosol: {label: a|b}", "h.yaml:10: the label 'a|b' must be without commas, '|' and semicolons, which separate the labels of a table"),
    "empty_label": (10, "    Cytosol: {label: ''}", "h.yaml:10: the label '' is empty; write the word that tables use"),
    "label_with_a_space_at_the_end": (10, "    Cytosol: {label: 'a '}", "h.yaml:10: the label 'a ' begins or ends with a space; tables are read without these"),
    "open_of_a_wrong_type": (14, "      open: maybe", "h.yaml:14: 'open' must be true or false, got 'maybe'") ,
    "go_that_is_none": (6, "    go: 5634", "h.yaml:6: 'go' must be such as GO:0005654, got 5634"),
    "description_of_a_wrong_type": (2, "description: [a]", "h.yaml:2: 'description' must be a text, got the list ['a']; quote it"),
    "also_under_of_a_wrong_type": (10, "    Cytosol: {label: 25, also_under: Nucleus}", "h.yaml:10: 'also_under' must be a list of groups such as [Nucleus], got 'Nucleus'"),
    "also_under_an_unknown_node": (10, "    Cytosol: {label: 25, also_under: [Nucles]}", "h.yaml:10: 'Cytosol' is also_under 'Nucles', which is no node of the tree; did you mean 'Nucleus'?"),
    "also_under_itself": (6, "    also_under: [Nucleus]", "h.yaml:6: 'Nucleus' is also_under itself; remove that"),
    "also_under_a_leaf": (10, "    Cytosol: {label: 25, also_under: [Nucleoli]}", "h.yaml:10: 'Cytosol' is also_under 'Nucleoli', which is a leaf; name a group"),
    "also_under_its_own_parent": (10, "    Cytosol: {label: 25, also_under: [Cytoplasm]}", "h.yaml:10: 'Cytosol' is also_under 'Cytoplasm', which is already above it; remove that"),
    "also_under_twice": (10, "    Cytosol: {label: 25, also_under: [Nucleus, Nucleus]}", "h.yaml:10: 'Cytosol' is also_under 'Nucleus' twice; remove one"),
    "reserved_name": (10, "    open: {label: 25}", "h.yaml:10: 'open' is a field's name and cannot name a node; rename the node"),
    "reserved_name_at_the_top": (17, "  label: {label: none}", "h.yaml:17: 'label' is a field's name and cannot name a node; rename the node"),
    "label_on_a_group": (6, "    label: 77", "h.yaml:6: 'Nucleus' has both a label and nodes below it; move the label to a leaf below it, or add 'open: true'"),
    "open_leaf": (10, "    Cytosol: {label: 25, open: true}", "h.yaml:10: 'open' on the leaf 'Cytosol'; only groups can be open, so remove it or put nodes below"),
    "name_with_a_slash": (10, "    Cyto/sol: {label: 25}", "h.yaml:10: the node name 'Cyto/sol' contains a slash; names become table columns, so rename it"),
    "name_with_a_comma": (10, "    'Cyto, sol': {label: 25}", "h.yaml:10: the node name 'Cyto, sol' contains a comma"),
    "name_with_a_bar": (10, "    Cyto|sol: {label: 25}", "h.yaml:10: the node name 'Cyto|sol' contains a '|'"),
    "name_with_a_semicolon": (10, "    Cyto;sol: {label: 25}", "h.yaml:10: the node name 'Cyto;sol' contains a semicolon"),
    "name_with_a_line_end": (10, '    "Cyto\\nsol": {label: 25}', "h.yaml:10: the node name 'Cyto\\nsol' contains a line end"),
    "name_with_a_leading_space": (10, "    ' Cytosol': {label: 25}", "h.yaml:10: the node name ' Cytosol' begins or ends with a space"),
    "name_with_a_trailing_space": (10, "    'Cytosol ': {label: 25}", "h.yaml:10: the node name 'Cytosol ' begins or ends with a space"),
    "name_with_a_non_printing_character": (10, '    "Cyto\\u200bsol": {label: 25}', "h.yaml:10: the node name 'Cyto\\u200bsol' contains a non-printing character"),
    "empty_name": (10, "    '': {label: 25}", "h.yaml:10: the node name '' is empty"),
    "long_name": (10, f"    {'C' * 101}: {{label: 25}}", f"h.yaml:10: the node name '{'C' * 100}…' has 101 characters, more than 100"),
    "long_label": (10, f"    Cytosol: {{label: {'C' * 101}}}", f"h.yaml:10: the label '{'C' * 100}…' has 101 characters, more than 100"),
    "label_with_a_line_end": (10, '    Cytosol: {label: "a\\nb"}', "h.yaml:10: the label 'a\\nb' contains a line end or another sign that is not printed; remove it"),
    "virtual_that_is_a_list": (2, "virtual: [Lysosomes]", "h.yaml:2: 'virtual' must be nodes with their leaves such as {has_minority: [Lysosomes]}, got the list ['Lysosomes']"),
    "virtual_without_a_list": (2, "virtual: {rare: Lysosomes}", "h.yaml:2: 'rare' must list leaves, got 'Lysosomes'"),
    "virtual_with_an_empty_list": (2, "virtual: {rare: []}", "h.yaml:2: 'rare' must list leaves, got an empty list"),
    "virtual_that_is_a_node": (2, "virtual: {nucleus: [Lysosomes]}", "h.yaml:2: the virtual node 'nucleus' has the name of a node of the tree; rename one"),
    "virtual_with_a_slash": (2, "virtual: {rare/few: [Lysosomes]}", "h.yaml:2: the node name 'rare/few' contains a slash"),
    "virtual_of_a_group": (2, "virtual: {rare: [Lysosomes, Vesicles]}", "h.yaml:2: 'Vesicles' is no leaf of the tree"),
    "virtual_of_a_leaf_twice": (2, "virtual: {rare: [Lysosomes, Lysosomes]}", "h.yaml:2: 'Lysosomes' is listed twice in 'rare'; remove one"),
    "tab": (10, "\tCytosol: {label: 25}", "h.yaml:10: a tab in the indentation; YAML needs spaces, so replace it by spaces"),
    "anchor": (10, "    Cytosol: &c {label: 25}", "h.yaml:10: the anchor '&c'; anchors are not allowed"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BREAKS)
def test_a_broken_file_is_refused_with_its_line_and_the_cure(kind: str) -> None:
    line, replacement, message = BREAKS[kind]
    assert broken(with_line(line, replacement)).startswith(message)


def test_every_break_has_a_message_of_its_own() -> None:
    messages = [message.split(": ", 1)[1] for _, _, message in BREAKS.values()]
    assert len(set(messages)) == len(messages)


def test_names_and_labels_may_have_a_hundred_characters() -> None:
    taxonomy = Taxonomy.from_text(with_line(10, f"    {'C' * 100}: {{label: {'L' * 100}}}"))
    assert taxonomy.label("C" * 100) == "L" * 100


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "h.yaml:1: the file is empty; it needs 'taxonomy' and 'tree'"),
        ("# only this\n", "h.yaml:1: the file is empty"),
        ("- a\n- b\n", "h.yaml:1: a taxonomy file holds fields such as 'tree:', got the list ['a', 'b']; put it below 'tree:', and add a name such as 'taxonomy: mine'"),
        ("taxonomy: a\nlevels: {leaf: leaves}\n", "h.yaml:1: the field 'tree' is missing; add the nodes below 'tree:'"),
        ("taxonomy: a\ntree:\n  a\n  b\n", "h.yaml:2: 'tree' must hold named nodes, got 'a b'; write a list such as [Nucleoli, Golgi], or end each name with a colon"),
        ("taxonomy: a\ntree:\n  - name: b\n    children: [c]\n", "h.yaml:3: 'name' is no field; nodes stand right below their group"),
        ("taxonomy: a\ntree: []\n", "h.yaml:2: 'tree' holds no node; add nodes such as"),
        ("taxonomy: a\nlevels: {leaf: leaves}\ntree:\n", "h.yaml:3: 'tree' must hold named nodes, got nothing"),
        ("taxonomy: a\nlevels: {leaf: leaves}\ntree: {}\n", "h.yaml:3: 'tree' holds no node; add nodes such as"),
    ],
)  # fmt: skip
def test_a_file_without_its_parts_is_refused(text: str, message: str) -> None:
    assert broken(text).startswith(message)


FLAT = {
    "a list": "tree: [Golgi, Vacuole]",
    "a list of lines": "tree:\n  - Golgi\n  - Vacuole",
    "names with nothing": "tree:\n  Golgi:\n  Vacuole:",
    "empty braces": "tree: {Golgi: {}, Vacuole: {}}",
}


@pytest.mark.parametrize("tree", FLAT.values(), ids=FLAT)
def test_a_leaf_is_called_by_its_name_and_a_flat_tree_has_the_level_of_leaves(tree: str) -> None:
    taxonomy = Taxonomy.from_text(f"taxonomy: lab\n{tree}\n")
    assert [(leaf, taxonomy.label(leaf)) for leaf in taxonomy.leaves] == [("Golgi", "Golgi"), ("Vacuole", "Vacuole")]
    assert taxonomy.levels == ("leaf",)
    assert taxonomy.level("leaf") == ("Golgi", "Vacuole")


NESTED = {
    "lists below groups": "tree:\n  Nucleus: [Nucleolus, Envelope]\n  Sap:",
    "lists of mappings": "tree:\n  - Nucleus:\n    - Nucleolus\n    - Envelope\n  - Sap",
    "mixed": "tree:\n  Nucleus:\n    - Nucleolus\n    - Envelope: {go: GO:0005635}\n  Sap: {}",
}


@pytest.mark.parametrize("tree", NESTED.values(), ids=NESTED)
def test_lists_may_be_nested_and_levels_are_the_top_and_the_leaves(tree: str) -> None:
    taxonomy = Taxonomy.from_text(f"taxonomy: lab\n{tree}\n")
    assert taxonomy.nodes == ("Nucleus", "Nucleolus", "Envelope", "Sap")
    assert taxonomy.depths == {"coarse": 1, "leaf": None}
    assert taxonomy.level("coarse") == ("Nucleus", "Sap")
    assert taxonomy.parents("Envelope") == ("Nucleus",)
    halves = taxonomy.with_virtual({"has_rare": ["Sap"]})  # writes the tree again
    assert halves.without_virtual.nodes == taxonomy.nodes


def test_an_alias_changes_no_meaning_and_no_digest() -> None:
    plain, called = (
        Taxonomy.from_text(with_line(10, f"    Cytosol: {{label: 25{more}}}"))
        for more in ("", ", aliases: [Sap, cell sap]")
    )
    assert called.find_node("CELL SAP") == called.find_node("cell_sap") == "Cytosol"
    assert plain.find_node("Sap") is None
    assert [plain.meaning(node) for node in plain.nodes] == [called.meaning(node) for node in called.nodes]
    assert plain.content_digest == called.content_digest


def test_levels_groups_and_nodes_are_found_in_any_case() -> None:
    taxonomy = Taxonomy.from_text(with_line(14, "      open: true\n      aliases: [Bubbles]"))
    assert taxonomy.level("Coarse") == taxonomy.level("coarse")
    assert taxonomy.level("ALL") == taxonomy.nodes
    assert taxonomy.group("nucleus") == ("Nucleoplasm", "Nucleoli")
    assert taxonomy.group("bubbles") == taxonomy.group("Vesicles")
    with pytest.raises(UserError, match="'nucleoli' is a leaf, and a group was asked for"):
        taxonomy.group("nucleoli")
    two = Taxonomy.from_text("taxonomy: a\nlevels: {Fine: 1, fine: leaves}\ntree: {A: [b]}\n")
    assert (two.level("Fine"), two.level("fine")) == (("A",), ("b",))
    with pytest.raises(UserError, match="no level is called 'FINE'"):
        two.level("FINE")


def test_a_loosely_written_word_is_found_where_one_node_alone_is_meant() -> None:
    taxonomy = Taxonomy.from_text("taxonomy: a\ntree: [bud neck, 'bud-tip', 'bud tip', 1-2, '1.5', Größe]\n")
    assert [taxonomy.find_node(word) for word in ("bud_neck", "Bud-Neck", "bud.neck", "BUD  NECK")] == ["bud neck"] * 4
    assert taxonomy.find_node("bud_tip") is None
    assert taxonomy.find_node("bud-tip") == "bud-tip"
    assert taxonomy.find_node("1.2") is None
    assert taxonomy.find_node("1 5") is None
    assert taxonomy.find_node("Gro\u0308\u00dfe") == "Größe"  # as macOS writes it in file names


def test_a_cycle_through_also_under_is_named_whole() -> None:
    text = """\
taxonomy: round
levels: {leaf: leaves}
tree:
  A:
    B:
      also_under: [C]
      x: {label: 1}
  C:
    also_under: [D]
    y: {label: 2}
  D:
    also_under: [B]
    z: {label: 3}
"""
    assert broken(text) == (
        "h.yaml:6: a cycle: 'B' is under 'C' is under 'D' is under 'B'; take one of these out of 'also_under'"
    )


def test_a_group_below_its_own_descendant_is_a_cycle() -> None:
    text = SMALL.replace("  Secretory:\n", "  Secretory:\n    also_under: [Vesicles]\n")
    assert broken(text).startswith("h.yaml:13: a cycle: 'Secretory' is under 'Vesicles' is under 'Secretory'")


def test_a_tree_of_too_many_levels_is_refused() -> None:
    deep = "".join(" " * (2 + i) + f"n{i}:\n" for i in range(50))
    text = f"taxonomy: deep\nlevels: {{leaf: leaves}}\ntree:\n{deep}{' ' * 60}x: {{label: 0}}\n"
    assert re.match(r"h\.yaml:3\d: more than 32 levels inside each other; make the file flatter", broken(text))


def test_a_tree_of_too_many_nodes_is_refused() -> None:
    leaves = "".join(f"  n{i}: {{label: {i}}}\n" for i in range(8193))
    assert broken(f"taxonomy: wide\nlevels: {{leaf: leaves}}\ntree:\n{leaves}") == (
        "h.yaml:3: 8,193 nodes, more than the 8,192 that a taxonomy may have"
    )


def test_a_50_mb_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    with path.open("wb") as handle:
        handle.truncate(50_000_000)
    with pytest.raises(UserError, match=r"large\.yaml: 50,000,000 bytes, more than the 1,000,000"):
        Taxonomy.load(path)


def test_a_name_that_no_file_has_lists_what_is_shipped() -> None:
    with pytest.raises(UserError, match=r"^hpa29\.yaml: no such file; .*hierarchy/hpa28\.yaml"):
        Taxonomy.load("hpa29.yaml")


def test_a_shipped_taxonomy_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(Taxonomy.load("hierarchy/hpa28.yaml").leaves) == 28
    assert len(Taxonomy.load("hpa28").leaves) == 28
    (tmp_path / "hierarchy").mkdir()
    (tmp_path / "hierarchy" / "hpa28.yaml").write_text(SMALL)
    assert Taxonomy.load("hierarchy/hpa28.yaml").name == "small"  # the user's own file goes first
    assert Taxonomy.load("hpa28").name == "small"
    (tmp_path / "hpa28").mkdir()
    assert Taxonomy.load("hpa28").name == "small"  # a folder is no taxonomy


def test_an_int_like_label_keeps_its_spelling() -> None:
    taxonomy = Taxonomy.from_text(with_line(10, "    Cytosol: {label: 02}"))
    assert taxonomy.label("Cytosol") == "02"
    assert taxonomy.find_node("2") == "Nucleoli"
    assert taxonomy.find_node("02") == "Cytosol"


def test_an_open_group_may_carry_a_label() -> None:
    taxonomy = Taxonomy.from_text(with_line(14, "      open: true\n      label: 99"))
    assert taxonomy.find_node("99") == "Vesicles"
    assert "Vesicles" not in taxonomy.leaves


def _mutated(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(changed))
        kind = dice.randrange(5)
        if kind == 0:
            changed[at] = dice.randrange(256)
        elif kind == 1:
            changed[at:at] = bytes([dice.choice(b" \t\n:{}[],-&*!|>'\"%@`#?<0aA\x00\xff")])
        elif kind == 2:
            del changed[at : at + dice.randint(1, 20)]
        elif kind == 3:
            start = dice.randrange(len(changed))
            changed[at:at] = changed[start : start + dice.randint(1, 200)]
        else:
            lines = bytes(changed).split(b"\n")
            dice.shuffle(lines[: dice.randint(0, len(lines))])
            first, second = dice.randrange(len(lines)), dice.randrange(len(lines))
            lines[first], lines[second] = lines[second], lines[first]
            changed = bytearray(b"\n".join(lines))
        if not changed:
            changed = bytearray(b" ")
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_two_thousand_mutations_give_a_taxonomy_or_our_own_message(seed: int, tmp_path: Path) -> None:
    content = SMALL.replace("{label: 9}", "{label: 9, also_under: [Nucleus]}").encode()
    dice = random.Random(seed)
    path = tmp_path / "mutated.yaml"
    sound = 0
    for _ in range(500):
        path.write_bytes(_mutated(content, dice))
        taxonomy, message = _loaded_or_refused(path)
        if taxonomy is not None:
            sound += 1
            assert len(taxonomy.closure) == len(taxonomy.nodes) >= len(taxonomy.leaves) > 0
        else:
            assert message.startswith(str(path)), message
            assert len(message.splitlines()) == 1, message
            assert message.encode("utf-8")
    assert 0 < sound < 500


def _loaded_or_refused(path: Path) -> tuple[Taxonomy | None, str]:
    try:
        return Taxonomy.load(path), ""
    except UserError as error:
        return None, str(error)


def test_an_exclusive_taxonomy_has_no_open_group_and_another_digest() -> None:
    plain = "taxonomy: t\nlevels: {leaf: leaves}\ntree:\n  A:\n    B: {label: 1}\n    C: {label: 2}\n"
    exclusive = Taxonomy.from_text("exclusive: true\n" + plain)
    assert exclusive.exclusive
    assert exclusive.with_virtual({"has_b": ["B"]}).without_virtual.exclusive
    unlike = Taxonomy.from_text("exclusive: false\n" + plain)
    assert unlike.content_digest == Taxonomy.from_text(plain).content_digest != exclusive.content_digest
    assert broken("exclusive: true\n" + plain.replace("  A:\n", "  A:\n    open: true\n")) == (
        "h.yaml:6: 'A' is open, so a sample of it may have no leaf, but 'exclusive' gives each exactly one; "
        "remove one of the two"
    )
