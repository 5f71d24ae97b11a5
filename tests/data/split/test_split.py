"""Splits: every label in every part, groups whole, the same for the same seed."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpa_hier.data.labels.table import read_labels
from hpa_hier.data.split.split import PARTS, Split, annotation_matrix, make_split, read_split, split, write_split
from hpa_hier.data.split.stratify import deviation, mean_of_worst_ten
from hpa_hier.errors import UserError
from hpa_hier.metrics.groups import number_units
from hpa_hier.settings.recipe import SplitSettings
from hpa_hier.taxonomy import Taxonomy

FRACTIONS = (0.7, 0.15, 0.15)


@st.composite
def tables(draw):
    """Random label tables: (B, L) bool with a label in every row, and a group for each row."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    B, L = draw(st.integers(6, 120)), draw(st.integers(1, 8))
    present = rng.random((B, L)) < rng.random(L) ** 3
    present[np.arange(B), rng.integers(0, L, B)] = True
    groups = [
        f"g{g}" if draw_group else "" for g, draw_group in zip(rng.integers(0, B, B), rng.random(B) < 0.7, strict=True)
    ]
    return present, groups


def parts_holding(present: np.ndarray, part: np.ndarray) -> np.ndarray:
    return np.stack([present[part == p].any(axis=0) for p in range(3)])


@given(tables(), st.integers(0, 100))
def test_no_group_crosses_and_every_sample_has_a_part(table, seed):
    present, groups = table
    part = split(present, groups, FRACTIONS, seed)
    assert part.shape == (len(groups),)
    assert set(part) <= {0, 1, 2}
    for group in set(groups) - {""}:
        assert len({p for p, g in zip(part, groups, strict=True) if g == group}) == 1


@given(tables())
@settings(max_examples=300)
def test_a_label_that_stands_alone_in_three_samples_is_in_every_part(table):
    present, _ = table
    alone = np.zeros_like(present)
    alone[np.arange(len(present)), present.argmax(axis=1)] = True  # one label a sample: nothing ties labels together
    part = split(alone, [""] * len(alone), FRACTIONS)
    enough = alone.sum(axis=0) >= 3
    assert parts_holding(alone, part)[:, enough].all()


@given(tables())
def test_no_part_is_empty(table):
    present, _ = table
    for count in (3, 4, len(present)):
        assert set(split(present[:count], [""] * count, FRACTIONS)) == {0, 1, 2}


@given(tables())
def test_the_same_seed_gives_the_same_parts(table):
    present, groups = table
    np.testing.assert_array_equal(split(present, groups, FRACTIONS, 7), split(present, groups, FRACTIONS, 7))


def test_another_seed_gives_other_parts_of_the_same_quality():
    present = np.random.default_rng(0).random((500, 5)) < 0.2
    a, b = (split(present, [""] * 500, FRACTIONS, seed) for seed in (1, 2))
    assert (a != b).any()
    assert max(deviation(present, part, 3).max() for part in (a, b)) < 0.05


def test_deviation_agrees_with_counting():
    present = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], dtype=bool)
    part = np.array([0, 0, 1, 1])
    np.testing.assert_allclose(deviation(present, part, 2), [1.0, 0.0])


@pytest.fixture(scope="module")
def real_table(shared_data):
    return read_labels(shared_data / "hpa" / "train.csv", Taxonomy.load("hierarchy/hpa28.yaml"))


def test_the_real_table_is_split_evenly_and_quickly(real_table):
    present = annotation_matrix(real_table.nodes)
    began = time.perf_counter()
    part = split(present, real_table.groups, FRACTIONS)
    assert time.perf_counter() - began < 5
    assert parts_holding(present, part).all()
    off = mean_of_worst_ten(deviation(present, part, 3))
    random = [mean_of_worst_ten(deviation(present, np.random.default_rng(s).permutation(part), 3)) for s in range(5)]
    assert off < 0.08 < 0.2 < np.mean(random)
    np.testing.assert_allclose(np.bincount(part) / len(part), FRACTIONS, atol=0.001)


def test_the_real_split_is_no_worse_than_the_reference_of_iterative_stratification(real_table):
    from iterstrat import ml_stratifiers as reference  # imports scikit-learn, so only here

    present = annotation_matrix(real_table.nodes)
    folds = reference.MultilabelStratifiedKFold(n_splits=5, shuffle=True, random_state=0)
    theirs = np.zeros(len(present), dtype=np.int64)
    for fold, (_, inside) in enumerate(folds.split(np.zeros(len(present)), present)):
        theirs[inside] = fold
    ours = split(present, [""] * len(present), [0.2] * 5)
    assert mean_of_worst_ten(deviation(present, ours, 5)) <= mean_of_worst_ten(deviation(present, theirs, 5))


def test_no_antibody_of_the_atlas_crosses(shared_data):
    table = read_labels(shared_data / "hpa" / "hpa_v18_external.csv", Taxonomy.load("hierarchy/hpa28.yaml"))
    present = annotation_matrix(table.nodes)
    kept = make_split(table.ids, present, table.groups, SplitSettings(folds=5))
    home: dict[str, set[tuple[str, int]]] = {}
    for part, group, fold in zip(kept.parts, kept.groups, kept.folds, strict=True):
        home.setdefault(group, set()).add((part, fold) if part == "test" else ("inside", fold))
    assert all(len(places) == 1 for places in home.values())
    part = np.array([PARTS.index(name) for name in kept.parts])
    assert parts_holding(present, part).all()
    inside = part < 2
    assert mean_of_worst_ten(deviation(present[inside], part[inside], 2)) < 0.08
    np.testing.assert_allclose(np.bincount(part) / len(part), SplitSettings().fractions, atol=0.001)


def test_folds_cover_train_and_calibration_only():
    present = np.random.default_rng(0).random((200, 4)) < 0.3
    kept = make_split([f"s{i}" for i in range(200)], present, [""] * 200, SplitSettings(folds=4))
    for part, fold in zip(kept.parts, kept.folds, strict=True):
        assert (fold == -1) == (part == "test")
    assert {*kept.folds} == {-1, 0, 1, 2, 3}


def test_too_few_groups_are_refused():
    with pytest.raises(UserError, match="split: 5 samples in 2 groups cannot fill 3 parts"):
        make_split(list("abcde"), np.ones((5, 1), bool), ["x", "x", "y", "y", "y"], SplitSettings())
    with pytest.raises(UserError, match="split: 5 samples in 5 groups cannot fill 6 parts"):
        make_split(list("abcde"), np.ones((5, 1), bool), [""] * 5, SplitSettings(folds=5))


def test_units_are_groups_and_lone_samples():
    assert number_units(["a", "", "a", "", "b"]).tolist() == [0, 1, 0, 2, 3]


# on disk


def small_split() -> Split:
    return Split(("a", "b", "c"), ("train", "calibration", "test"), ("x", "", "y"), (0, 1, -1))


def test_a_split_is_read_back_as_it_was_written(tmp_path):
    path = tmp_path / "split.csv"
    write_split(path, small_split(), SplitSettings())
    assert path.read_text() == "id,part,fold,group\na,train,0,x\nb,calibration,1,\nc,test,,y\n"
    assert read_split(path) == small_split()
    assert read_split(path).part_rows("test").tolist() == [2]
    assert read_split(path).part_ids("calibration") == ("b",)


def test_the_digest_is_of_who_is_where_not_of_the_order(tmp_path):
    kept = small_split()
    turned = Split(kept.ids[::-1], kept.parts[::-1], kept.groups[::-1], kept.folds[::-1])
    moved = Split(kept.ids, ("train", "train", "test"), kept.groups, kept.folds)
    assert kept.digest == turned.digest != moved.digest


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("b,calibration", "b,train", r"split.csv: digest [0-9a-f]{16} is not the [0-9a-f]{16} of split.json"),
        ("c,test", "c,dev", "split.csv:4: part 'dev' is none of train, calibration, test"),
        ("b,calibration,1", "b,calibration,one", "split.csv:3: fold 'one' is no whole number"),
        ("c,test", "../c,test", "split.csv:4: '../c' is no sample id"),
        ("c,test", "a,test", "split.csv: id 'a' appears twice"),
        ("c,test,,y", "c,test,,x", "split.csv: group 'x' is in both train and test; a group stays in one part"),
        ("c,test,,y", "c,test,0,y", "split.csv: 'c' of the test part has fold 0; test samples have none"),
        ("b,calibration,1", "b,calibration,", "split.csv: 'b' of the calibration part has no fold; test samples have"),
        ("c,test,,y", "c,train,1,x", "split.csv: group 'x' is in folds 0 and 1; a group stays in one fold"),
        (
            "id,part,fold,group",
            "id,part,fold,antibody",
            "split.csv: no column 'group'; it has id, part, fold, antibody",
        ),
    ],
)
def test_an_edited_split_is_refused(tmp_path, old, new, message):
    path = tmp_path / "split.csv"
    write_split(path, small_split(), SplitSettings())
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UserError, match=message):
        read_split(path)


def test_an_absent_split_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"split\.csv: no such file"):
        read_split(tmp_path / "split.csv")


def test_a_split_that_cannot_be_written_is_named_without_a_flag(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = Split(("a",), ("train",), ("",), (-1,))
    with pytest.raises(UserError, match=r"^\S*file/split\.csv: cannot be written to \(.*\); name another folder"):
        write_split(tmp_path / "file" / "split.csv", kept, SplitSettings())
