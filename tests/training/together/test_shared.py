"""Shared batches: which trainings see the same images, and that each batch is made once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_run import write_tiny

from hpa_hier.members.nodes import find_member
from hpa_hier.runs.run import Run
from hpa_hier.runs.start import start_run
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.training.assemble import assemble
from hpa_hier.training.batches.images import Seen
from hpa_hier.training.batches.order import TrainingBatches
from hpa_hier.training.plan import plan_training
from hpa_hier.training.together.shared import SharedBatches, describe_batches


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return start_run(load_recipe(str(write_tiny(tmp_path_factory.mktemp("shared"))), ()))


def batches_of(run: Run, name: str, **changes: object) -> TrainingBatches:
    member = find_member(run.recipe, name)
    member = member.model_copy(update={"training": {**member.training, **changes}})
    return assemble(plan_training(run, member), torch.device("cpu"), {}, "").batches


def test_members_of_other_nodes_and_seeds_share_batches_where_they_have_one_data_seed(run: Run) -> None:
    same = [batches_of(run, name, data_seed=5) for name in ("coarse", "leaf", "leaf-s1", "group-Inside")]
    assert len({describe_batches(one) for one in same}) == 1
    for one in zip(*same, strict=True):
        assert all(torch.equal(one[0].samples, other.samples) for other in one)
        assert one[0].present.shape != one[1].present.shape
    own = [batches_of(run, name) for name in ("leaf", "leaf-s1")]
    assert len({describe_batches(one) for one in (*own, same[0])}) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"data_seed": 1}, {"batch_size": 8}, {"sizes": (32, 64)}, {"balance": "copied", "balance_target": 0.5},
        {"augment": {"rotate": 20}}, {"augment": {"mixing": "mixup"}}, {"augment": {"only_minority": True}},
    ],
)  # fmt: skip
def test_members_whose_images_differ_in_anything_do_not_share(run: Run, changes: dict[str, object]) -> None:
    plain = describe_batches(batches_of(run, "leaf", data_seed=0))
    assert describe_batches(batches_of(run, "leaf", **{"data_seed": 0, **changes})) != plain
    assert describe_batches(batches_of(run, "leaf", data_seed=0)) == plain


def test_a_batch_is_made_once_and_kept_until_the_next_but_one(run: Run) -> None:
    shared, made = SharedBatches(), list[tuple[str, int]]()

    def take(kind: str, number: int) -> Seen:
        def make() -> Seen:
            made.append((kind, number))
            return Seen(torch.from_numpy(np.array([number])), None)  # type: ignore[arg-type]

        return shared.take(kind, number, make)

    numbers = [0, 1, 0, 1, 2, 1, 2, 7, 8, 2]
    assert [int(take("a", number).samples) for number in numbers] == numbers
    assert int(take("b", 7).samples) == 7
    assert made == [("a", 0), ("a", 1), ("a", 2), ("a", 7), ("a", 8), ("a", 2), ("b", 7)]
