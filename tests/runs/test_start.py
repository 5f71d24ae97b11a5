"""Starting a run without data: the pack of simulated cells is named by all that made it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tiny_run import write_tiny

from hpa_hier.data.split.split import read_split, split_pack, write_split
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.runs.run import Run
from hpa_hier.runs.start import prepare_run, start_run
from hpa_hier.settings.recipe import EnsembleSettings, MemberSettings, Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.training.plan import plan_training

ROOT = Path(__file__).resolve().parents[2]


def recipe(home: Path, run: str, **simulate: object) -> Recipe:
    return Recipe.model_validate(
        {
            "run": run,
            "artifacts": str(home / "artifacts"),
            "taxonomy": str(home / "mine.yaml"),
            "simulate": {"count": 12, "image_size": 32, **simulate},
        }
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text((ROOT / "hierarchy" / "hpa28.yaml").read_text())
    return tmp_path


def test_a_second_run_with_a_renamed_leaf_gets_a_pack_of_its_own(home: Path) -> None:
    first = start_run(recipe(home, "one"))
    text = (home / "mine.yaml").read_text()
    renamed = text.replace("taxonomy: hpa28", "taxonomy: ours").replace("Nucleoli:", "Small nucleoli:")
    (home / "mine.yaml").write_text(renamed)
    second = start_run(recipe(home, "two"))
    assert first.pack.path != second.pack.path
    assert "Small nucleoli" in second.taxonomy.leaves
    assert second.targets.present.shape == (12, len(second.taxonomy.nodes))


def test_a_run_goes_on_with_the_pack_it_was_begun_with_after_a_leaf_was_renamed(home: Path) -> None:
    first = start_run(recipe(home, "one"))
    (home / "mine.yaml").write_text((home / "mine.yaml").read_text().replace("Nucleoli:", "Small nucleoli:"))
    again = start_run(recipe(home, "one"))
    assert again.pack.path.resolve() == first.pack.path.resolve()
    assert "Small nucleoli" in again.taxonomy.leaves


def test_a_rule_of_the_ensemble_that_there_is_not_is_refused_before_anything_is_made(home: Path) -> None:
    wrong = recipe(home, "one").model_copy(update={"ensemble": EnsembleSettings(aggregate="meen")})
    with pytest.raises(UserError, match=r"^ensemble\.aggregate: there is no 'meen'; .* did you mean 'mean'"):
        start_run(wrong)
    assert not (home / "artifacts").exists()


def test_every_setting_of_the_cells_is_in_the_packs_name(home: Path) -> None:
    first = start_run(recipe(home, "one"))
    other = start_run(recipe(home, "two", variety=0.5))
    assert first.pack.path.name.startswith("simulated-12x32-seed0-")
    assert other.pack.path.name.startswith("simulated-12x32-seed0-")
    assert first.pack.path != other.pack.path
    assert start_run(recipe(home, "three")).pack.path == first.pack.path
    with pytest.raises(UserError, match=r"run\.json: the run was begun with pack .*; add --data .*, or name another"):
        start_run(recipe(home, "one", seed=3))
    assert Taxonomy.load(first.pack.path / "taxonomy.yaml").nodes == first.taxonomy.nodes


def test_the_partition_is_by_all_images_and_a_run_begun_by_training_images_keeps_its_own(tmp_path: Path) -> None:
    few = load_recipe(str(write_tiny(tmp_path, count=160, partition={})))
    run = start_run(few)
    path, leaves = run.folder / "partition.json", list(run.taxonomy.leaves)
    present = run.targets.present[:, [run.taxonomy.column[leaf] for leaf in leaves]]
    assert read_json(path)["counts"] == dict(zip(leaves, present.sum(axis=0).tolist(), strict=True))
    assert read_json(path)["left_out"] == ""
    assert run.facts
    assert run.facts.images == 160
    assert {leaf: sum(counts) for leaf, counts in run.facts.leaf_images.items()} == read_json(path)["counts"]
    in_training = present[run.pack.find_rows(run.split.part_ids("train"))].sum(axis=0).tolist()
    path.write_text(json.dumps({"majority": [], "minority": [], "counts": {}, "min_images": 1}))  # as it was once kept
    start_run(few)
    assert read_json(path)["counts"] == dict(zip(leaves, in_training, strict=True))
    assert "left_out" not in read_json(path)


def test_few_images_have_no_partition_and_its_members_are_refused_with_the_reason(tmp_path: Path) -> None:
    few = load_recipe(str(write_tiny(tmp_path, count=30, partition={})))
    run = start_run(few)
    why = run.partition_left_out
    assert re.fullmatch(r"30 images: a majority class would have as few as \d+", why)
    assert run.partition == {"majority": (), "minority": ()}
    member = MemberSettings(name="rare", partition="minority")
    with pytest.raises(UserError, match=rf"partition: the run has none \({why}\); set partition\.majority_min_images"):
        plan_training(run, member)
    assert run.scarcity[0].startswith("30 images for 4 classes; ")
    assert run.scarcity[2].startswith("  what helps: --config few_images (bundled weights, folds, few networks); merg")


def tree_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["data.pack=nowhere"], "nowhere: no finished pack"),
        (["taxonomy=hela"], r"have no place in 'hela': .*; give them a place, or take .*: --set taxonomy=.*toy\.yaml$"),
        (["members.coarse.level=medium"], "member 'coarse': .*no level is called 'medium'"),
        (["members.group-Inside.group=Beside"], "member 'group-Inside': .*'Beside' is no node"),
        (["ensemble.aggregate=meen"], "there is no 'meen'"),
        (["partition.majority=[Inside]"], "partition.majority: 'Inside' is no leaf"),
        (["members=auto", "members.nobody.seed=3"], "'members' has nothing called 'nobody'"),
    ],
)
def test_a_start_that_is_refused_leaves_nothing_behind(tmp_path: Path, changes: list[str], message: str) -> None:
    path = write_tiny(tmp_path)
    before = tree_of(tmp_path)
    with pytest.raises(UserError, match=message):
        start_run(load_recipe(str(path), changes))
    assert tree_of(tmp_path) == before


def test_what_a_check_has_against_a_run_is_raised_before_anything_is_written(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    before = tree_of(tmp_path)

    def refuse(run: Run) -> None:
        raise UserError(f"{len(run.roster.trained)} members are too many")

    with pytest.raises(UserError, match="4 members are too many"):
        start_run(load_recipe(str(path)), check=refuse)
    assert tree_of(tmp_path) == before


def test_a_run_takes_the_tree_of_its_pack_and_an_edit_of_that_file_counts(tmp_path: Path) -> None:
    path = write_tiny(tmp_path, members=None)
    text = path.read_text().replace(f"taxonomy: {tmp_path / 'toy.yaml'}\n", "")
    path.write_text(text)
    prepared = prepare_run(load_recipe(str(path)))
    assert (prepared.recipe.taxonomy, prepared.recipe_taxonomy.name) == (str(tmp_path / "toy.yaml"), "toy")
    assert prepared.roster.ensemble[:3] == ("coarse", "group-Inside", "majority")
    assert prepared.roster.without_member == {
        "group Outside": "fewer than two of its classes have 20 images",
        "minority": "it has fewer than two classes with images",
    }
    with pytest.raises(UserError, match=r"hpa28\.yaml: 4 annotated nodes of .* have no place in 'hpa28'"):
        prepare_run(load_recipe(str(path), ["taxonomy=hpa28"]))
    (tmp_path / "toy.yaml").unlink()
    assert prepare_run(load_recipe(str(path))).recipe.taxonomy == str(tmp_path / "pack" / "taxonomy.yaml")


def test_a_run_keeps_the_members_that_were_chosen_as_a_list(tmp_path: Path) -> None:
    run = start_run(load_recipe(str(write_tiny(tmp_path, members=None)), ["members.leaf.seed=9"]))
    kept = load_recipe(str(run.folder / "config.yaml"))
    assert kept.members == run.recipe.members == run.roster.members
    assert [one.seed for one in kept.listed if one.name == "leaf"] == [9]
    assert kept.ensemble.members == run.roster.ensemble
    assert start_run(load_recipe(str(run.folder / "config.yaml"))).recipe.members == kept.members


def test_a_group_that_was_renamed_keeps_its_member_and_the_run_its_new_name(tmp_path: Path) -> None:
    path = write_tiny(tmp_path)
    start_run(load_recipe(str(path)))
    (tmp_path / "toy.yaml").write_text((tmp_path / "toy.yaml").read_text().replace("  Inside:", "  Within:"))
    config = tmp_path / "artifacts" / "tiny" / "config.yaml"
    for named in (False, True):
        run = start_run(load_recipe(str(config)), named)
        assert {one.name: one.group for one in run.recipe.listed}["group-Inside"] == "Within"
        assert "group: Within" in config.read_text()
    assert plan_training(run, run.recipe.listed[3]).nodes == ("Dots", "Rings")


def test_a_split_that_came_while_a_run_was_prepared_is_the_runs(tmp_path: Path) -> None:
    own = load_recipe(str(write_tiny(tmp_path)), ())
    path = Path(own.artifacts) / own.run / "split.csv"

    def come_between(run: Run) -> None:
        other = split_pack(run.pack, run.recipe.split.model_copy(update={"seed": 99}))
        assert other.digest != run.split.digest
        write_split(path, other, run.recipe.split)

    run = start_run(own, check=come_between)
    assert run.facts is not None
    assert run.split.digest == run.facts.split_digest == read_split(path).digest
