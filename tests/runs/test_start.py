"""Starting a run without data: the pack of simulated cells is named by all that made it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.errors import UserError
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe import EnsembleSettings, Recipe
from hpa_hier.taxonomy import Taxonomy

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
