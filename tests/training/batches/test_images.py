"""Batches: order and variation follow from seed and step alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.loops.fetchers import _PrefetchDataFetcher
from lightning.pytorch.utilities.combined_loader import CombinedLoader

from hpa_hier.errors import UserError
from hpa_hier.models.augment.style import Rings, Styles, look_of
from hpa_hier.runs.run import Part
from hpa_hier.settings.training import AugmentSettings, TrainingSettings
from hpa_hier.training.batches.images import Augmentation, AugmentedImages, Seen
from hpa_hier.training.batches.order import Batch, PartBatches, PartReader, TrainingBatches
from hpa_hier.training.batches.statistics import channel_statistics

ALL = AugmentSettings(flips_and_quarter_turns=True, rotate=20, scale=0.2, shift=0.1, gain=0.3)
STILL = AugmentSettings(flips_and_quarter_turns=False, rotate=0, scale=0, shift=0, gain=0)


@dataclass(frozen=True)
class Stack:
    """Images in memory that answer as a pack does."""

    array: np.ndarray
    channels: tuple[str, ...] = ("red", "green")

    @property
    def size(self) -> int:
        return int(self.array.shape[-1])

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        return np.take(self.array, rows, axis=0, out=out)


def stack(count: int) -> Stack:
    """Make images whose pixels are all their row."""
    rows = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return Stack(np.broadcast_to(rows, (count, 2, 8, 8)).copy())


def part_of(count: int) -> Part:
    generator = np.random.default_rng(9)
    return Part(np.arange(count), *(generator.random((2, count, 3)) < 0.5))


def batches_of(
    pack: Stack, factors: np.ndarray, batch_size: int, augment: AugmentSettings, world: int = 1, **changes: Any
) -> TrainingBatches:
    part, masks = part_of(len(factors)), {key: changes.pop(key, None) for key in ("varied", "mixable")}
    on_device = changes.pop("on_device", False)
    # a copy is not checked, so that sides may be as small as these images'
    settings = TrainingSettings(batch_size=batch_size, augment=augment, devices=world).model_copy(update=changes)
    styles = changes.pop("styles", None)
    reader = AugmentedImages(pack, part, Augmentation(settings, 0, on_device, **masks, styles=styles))
    return TrainingBatches(reader, factors, settings, 0)


def batches(count: int, batch_size: int, augment: AugmentSettings = STILL, **changes: Any) -> TrainingBatches:
    return batches_of(stack(count), np.ones(count, np.int64), batch_size, augment, **changes)


def mixed(kind: str, share: float, augment: AugmentSettings = STILL) -> AugmentSettings:
    return augment.model_copy(update={"mixing": kind, "mixing_share": share})


def rows(batch: Batch) -> list[int]:
    return batch.samples[:, 0, 0, 0].tolist()


def copied(batch: Batch) -> list[torch.Tensor]:
    return [field.clone() for field in (*batch, *batch.draws) if isinstance(field, torch.Tensor)]


def test_an_epoch_has_each_image_once_and_drops_what_is_left_over() -> None:
    met = [row for batch in batches(50, 16) for row in rows(batch)]
    assert len(met) == len(set(met)) == 48


def test_epochs_differ_in_order() -> None:
    through = batches(50, 10)
    first = [row for batch in through for row in rows(batch)]
    second = [row for batch in through for row in rows(batch)]
    assert first != second
    assert sorted(first) == sorted(second)


@settings(max_examples=20)
@given(step=st.integers(0, 40))
def test_going_on_at_any_step_gives_the_batches_that_would_have_come(step: int) -> None:
    through, resumed = batches(50, 10, ALL), batches(50, 10, ALL)
    straight = [copied(batch) for _ in range(10) for batch in through]
    resumed.seek(step)
    went_on: list[list[torch.Tensor]] = []
    while len(went_on) < 50 - step:
        went_on += [copied(batch) for batch in resumed]
    for expected, got in zip(straight[step:], went_on, strict=True):
        assert all(torch.equal(*pair) for pair in zip(expected, got, strict=True))


def test_targets_belong_to_their_images() -> None:
    part = part_of(50)
    for batch in batches(50, 10):
        assert (batch.present.numpy() == part.present[rows(batch)]).all()
        assert (batch.known.numpy() == part.known[rows(batch)]).all()


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_an_epoch_without_overlap(world: int) -> None:
    met: list[int] = []
    lengths = set()
    for rank in range(world):
        mine = batches(50, 5, world=world)
        mine.rank = rank
        lengths.add(len(mine))
        met += [row for batch in mine for row in rows(batch)]
    assert len(lengths) == 1
    assert len(met) == len(set(met))


def test_an_image_with_factor_3_stands_three_times_each_varied_again() -> None:
    factors = np.array([3, 1, 1, 1])
    pack = Stack(np.random.default_rng(0).integers(0, 255, (4, 2, 16, 16), dtype=np.uint8))
    through = batches_of(pack, factors, 6, ALL)
    (batch,) = list(through)
    assert len({image.numpy().tobytes() for image in batch.samples}) == 6


def test_weighted_epochs_differ_but_have_one_length_and_are_the_same_in_every_process() -> None:
    weights = np.array([1.0, 2.5, 1.0, 1.5])

    def epochs(rank: int, world: int) -> list[list[int]]:
        through = batches_of(stack(4), weights, 3, STILL, world)
        through.rank = rank
        return [[row for batch in through for row in rows(batch)] for _ in range(12)]

    alone = epochs(0, 1)
    assert {len(epoch) for epoch in alone} == {6}
    assert len({tuple(sorted(epoch)) for epoch in alone}) > 1
    shared = zip(epochs(0, 2), epochs(1, 2), strict=True)
    assert [sorted(one + other) for one, other in shared] == [sorted(epoch) for epoch in alone]


def test_a_small_part_makes_one_smaller_batch_and_a_single_image_is_refused() -> None:
    assert batches(5, 64).batch_size == 5
    with pytest.raises(UserError, match="the training part has 1 images for 1 processes; each needs at least two"):
        batches(1, 64)


def test_images_come_channels_last_without_a_copy() -> None:
    (batch, *_) = list(batches(50, 10))
    assert batch.samples.is_contiguous(memory_format=torch.channels_last)


def test_on_a_device_that_warps_itself_images_come_unmoved_with_their_matrices() -> None:
    through = batches(8, 4, ALL, on_device=True)
    (batch, _) = list(through)
    assert batch.draws.matrices is not None
    assert batch.draws.matrices.shape == (4, 2, 3)


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("count", [7, 12])
def test_a_watched_part_comes_whole_and_can_be_put_back_in_order(count: int, world: int) -> None:
    shares = []
    for rank in range(world):
        mine = PartBatches(PartReader(stack(count).images, part_of(count)), 3, world)
        mine.rank = rank
        shares.append([row for batch in mine for row in rows(batch)])
        assert len(list(mine)) == len(mine)
    assert np.array(shares).T.ravel()[:count].tolist() == list(range(count))


def test_channel_statistics_are_numpys() -> None:
    pack = Stack(np.random.default_rng(0).integers(0, 255, (70, 2, 9, 9), dtype=np.uint8))
    chosen = np.arange(0, 70, 2)
    mean, std = channel_statistics(pack, chosen)
    np.testing.assert_allclose(mean, pack.array[chosen].mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std, pack.array[chosen].astype(float).std(axis=(0, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("count", [1500, 2047, 2800])
def test_channel_statistics_look_at_the_whole_of_a_sorted_pack(count: int) -> None:
    ramp = np.linspace(0, 255, count).round().astype(np.uint8)
    mean, std = channel_statistics(
        Stack(np.broadcast_to(ramp[:, None, None, None], (count, 2, 2, 2))), np.arange(count)
    )
    np.testing.assert_allclose(mean, ramp.mean(), atol=0.1)
    np.testing.assert_allclose(std, ramp.std(), atol=0.1)


@pytest.mark.parametrize("kind", ["mixup", "cutmix", "union_mean"])
@settings(max_examples=5)
@given(step=st.integers(0, 40))
def test_going_on_at_any_step_gives_the_mixed_bent_and_resized_batches_that_would_have_come(
    kind: str, step: int
) -> None:
    augment = mixed(kind, 0.8, ALL.model_copy(update={"gamma": 0.2, "crop": 0.7, "elastic": 0.03}))
    through, resumed = (batches(50, 10, augment, sizes=(8, 12, 6)) for _ in range(2))
    straight = [copied(batch) for _ in range(9) for batch in through]
    resumed.seek(step)
    went_on: list[list[torch.Tensor]] = []
    while len(went_on) < 45 - step:
        went_on += [copied(batch) for batch in resumed]
    for expected, got in zip(straight[step:], went_on, strict=True):
        assert all(torch.equal(*pair) for pair in zip(expected, got, strict=True))


def test_sizes_take_turns_in_all_processes_alike() -> None:
    for rank in range(2):
        mine = batches(60, 5, sizes=(6, 8, 12), world=2)
        mine.rank = rank
        sides = [batch.samples.shape[-1] for _ in range(2) for batch in mine]
        assert sides == [6, 8, 12] * 4
    asked = [batch.side for batch in batches(60, 5, ALL, sizes=(6, 12), on_device=True)]
    assert asked == [6, 12] * 6


@pytest.mark.parametrize("world", [1, 2])
def test_accumulation_leaves_whole_steps_and_seeks_by_them(world: int) -> None:
    through, resumed = (batches(60, 5, ALL, world=world, accumulate=4) for _ in range(2))
    assert len(through) == {1: 12, 2: 4}[world]
    assert through.steps * 4 == len(through)
    straight = [copied(batch) for _ in range(3) for batch in through]
    resumed.seek(2)
    assert all(torch.equal(*pair) for pair in zip(straight[8], copied(next(iter(resumed))), strict=True))


def test_mixed_images_show_both_partners_and_targets_follow() -> None:
    part = part_of(50)
    for batch in batches(50, 10, mixed("cutmix", 1.0)):
        for image, present, known in zip(batch.samples[:, 0].int(), batch.present, batch.known, strict=True):
            shown, places = image.unique(return_counts=True)
            assert len(shown) <= 2
            share = places.double() / 64
            expected = sum(float(s) * part.present[int(r)] for s, r in zip(share, shown, strict=True))
            if len(shown) == 2:  # else the patch was the whole image, or nothing
                np.testing.assert_allclose(present.numpy(), expected, atol=1e-6)
                assert (known.numpy() == part.known[shown.numpy()].all(axis=0)).all()


def test_only_chosen_images_are_varied_and_mixed() -> None:
    chosen = np.arange(50) % 3 == 0
    augment = mixed("union_mean", 1.0, STILL.model_copy(update={"gain": 0.3}))
    some = batches(50, 10, augment, varied=chosen, mixable=chosen)
    plain = batches(50, 10)
    for batch, still in zip(some, plain, strict=True):
        touched = chosen[rows(still)]
        assert batch.draws.gain is not None
        assert ((batch.draws.gain != 1).all(dim=1).numpy() == touched).all()
        assert ((batch.samples != still.samples).flatten(1).any(dim=1).numpy() == touched).all()


@pytest.mark.parametrize("on_device", [False, True])
def test_a_batch_holds_while_the_next_one_is_made_and_shares_its_buffer_with_the_next_but_one(on_device: bool) -> None:
    several = batches(50, 10, ALL, on_device=on_device)
    made, reader = [threading.Event() for _ in range(5)], several.reader
    assert isinstance(reader, AugmentedImages)

    def make_and_tell(number: int, make: Callable[[], Seen]) -> Seen:
        seen = make()
        made[number].set()
        return seen

    reader.share = make_and_tell
    places = []
    for number, batch in enumerate(several):
        before = batch.samples.clone()
        assert number == 4 or made[number + 1].wait(timeout=30)
        assert torch.equal(batch.samples, before)
        places.append(batch.samples.data_ptr())
    assert places == [places[0], places[1]] * 2 + [places[0]]
    assert places[0] != places[1]


def test_lightning_takes_no_batch_before_the_one_before_has_been_trained_on() -> None:
    fetcher = _PrefetchDataFetcher()
    fetcher.setup(CombinedLoader(batches(50, 10)))
    through = iter(fetcher)
    kept = [(batch.samples, batch.samples.clone()) for batch, _, _ in (next(through) for _ in range(1))]
    assert all(torch.equal(now, then) for now, then in kept)


def test_styles_change_pixels_alike_at_any_start_and_leave_the_other_draws_as_they_were() -> None:
    rings = Rings(8)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    styles = Styles(rings, tuple(look_of(channel, rings) for channel in pictures))
    plain = [copied(batch) for batch in batches(6, 2, ALL)]
    styled = [copied(batch) for batch in batches(6, 2, ALL, styles=styles)]
    again = batches(6, 2, ALL, styles=styles)
    again.seek(1)
    resumed = [copied(batch) for batch in again]
    for one, other in zip(styled[1:], resumed, strict=True):
        assert all((a == b).all() for a, b in zip(one, other, strict=True))
    for one, other in zip(plain, styled, strict=True):
        assert all((a == b).all() for a, b in zip(one[1:], other[1:], strict=True))  # targets and gains
    changed = [(a[0] != b[0]).flatten(1).any(dim=1) for a, b in zip(plain, styled, strict=True)]
    assert 0 < torch.cat(changed).sum() < 6
