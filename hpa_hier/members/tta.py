"""Test-time augmentation: an image scored as it is, flipped, turned and cropped, its scores merged."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from hpa_hier.data.pack.pack import ImagePack, Pack
from hpa_hier.data.split.fingerprint import turn_images
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import text_digest
from hpa_hier.members.engines.member import RuntimeMember
from hpa_hier.members.load import TORCH, load_with_engine
from hpa_hier.members.scorer import Scorer
from hpa_hier.members.scores_file import HeldOutScores, fold_folder, merge_scores, read_scores, write_scores
from hpa_hier.runs.manifest import SCORES, WEIGHTS, Manifest
from hpa_hier.settings.training import SKLEARN

if TYPE_CHECKING:
    from hpa_hier.members.score import Member  # imports torch

_TURNS = {"none": 1, "flips": 4, "d4": 8, "d4_crops": 8}  # of the eight ways to turn and flip a square, the first ones
_CROP = 7 / 8  # side of a crop, share of the image's
_AT_ONCE = 256  # images read into memory at a time
_NO_IMAGES = "ensemble.tta: feature vectors cannot be turned; set ensemble.tta to none, and leave tta_sizes out"


@dataclass(frozen=True)
class Tta:
    """How an image is varied when it is scored.

    Attributes:
        kind: none; flips: as it is, flipped either way, and both; d4: quarter turns too, eight in all; d4_crops: also
            the middle and the four corners, 7/8 of the side, enlarged.
        merge: mean or max over the copies, of logits.
        sizes: sides in pixels that each copy is resized to, one after another; (): the member's own.

    >>> Tta("d4_crops", sizes=(64, 96)).count
    26
    """

    kind: str = "none"
    merge: str = "mean"
    sizes: tuple[int, ...] = ()

    @classmethod
    def from_settings(cls, settings: Mapping[str, object]) -> Tta:
        """Read the test-time augmentation among the settings of an ensemble; older ones have none."""
        sizes = settings.get("tta_sizes") or ()
        assert isinstance(sizes, (list, tuple))
        kind, merge = settings.get("tta", "none"), settings.get("tta_merge", "mean")
        return cls(str(kind), str(merge), tuple(int(size) for size in sizes))

    @property
    def count(self) -> int:
        """Copies of each image that are scored."""
        return (_TURNS[self.kind] + 5 * (self.kind == "d4_crops")) * max(1, len(self.sizes))

    @property
    def plain(self) -> bool:
        """Whether images are scored just as they are."""
        return self.kind == "none" and not self.sizes

    def file(self, manifest: Manifest) -> str:
        """Return the name of the file of a member's held-out scores; it changes with the weights."""
        if self.plain:
            return SCORES
        return f"scores-{text_digest(self.kind, self.merge, *map(str, self.sizes), manifest.files[WEIGHTS])}.npz"


@dataclass(frozen=True)
class TtaMember:
    """A member that scores several copies of each image."""

    member: Member | RuntimeMember
    tta: Tta

    @property
    def nodes(self) -> tuple[str, ...]:
        """Columns of the logits, by name."""
        return self.member.nodes

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Score (B, C, S, S) uint8 images as (B, n) float32, the mean or the maximum over the copies.

        An image's row does not depend on the other images.

        Raises:
            UserError: another shape or type, or a size that the network does not take.
        """
        scores = (self._score(copies) for copies in augmented_copies(images, self.tta))
        if self.tta.merge == "max":
            return reduce(np.maximum, scores)
        return reduce(np.add, scores) / np.float32(self.tta.count)

    def _score(self, copies: np.ndarray) -> np.ndarray:
        member, side = self.member, copies.shape[-1]
        if side == member.size:
            return member.logits(copies)
        try:
            return member.compute(copies)
        except (AssertionError, RuntimeError) as error:
            if type(error).__name__ == "OutOfMemoryError":
                raise
            raise UserError(
                f"ensemble.tta_sizes: member '{member.manifest.name}' does not take images of {side}×{side} pixels; "
                "leave that size out"
            ) from None


def augmented_copies(images: np.ndarray, tta: Tta) -> Iterator[np.ndarray]:
    """Yield one varied copy of all images after another.

    `images` are (B, C, S, S) uint8, the copies (B, C, T, T), with one size T after another.

    Raises:
        UserError: these are no images.

    >>> [copy.ravel().tolist() for copy in augmented_copies(np.array([[[[1, 2], [3, 4]]]], np.uint8), Tta("flips"))]
    [[1, 2, 3, 4], [3, 4, 1, 2], [2, 1, 4, 3], [4, 3, 2, 1]]
    """
    if images.ndim != 4:
        raise UserError(_NO_IMAGES)
    for size in tta.sizes or (images.shape[-1],):
        whole = _resized(images, size)
        for turn in range(_TURNS[tta.kind]):
            yield np.ascontiguousarray(turn_images(whole, turn))
        if tta.kind == "d4_crops":
            for down, across in ((0.5, 0.5), (0, 0), (0, 1), (1, 0), (1, 1)):
                yield _resized(_cropped(images, down, across), size)


def load_with_tta(folder: Path, device: str, tta: Tta, engine: str = TORCH) -> Scorer:
    """Load a finished member that scores with test-time augmentation; other arguments are `load_with_engine`'s.

    Raises:
        UserError: as `load_with_engine`, or estimators are to score augmented copies.
    """
    member = load_with_engine(folder, device, engine)
    if tta.plain:
        return member
    if member.manifest.backbone == SKLEARN:
        raise UserError(_NO_IMAGES)
    return TtaMember(cast("Member | RuntimeMember", member), tta)


def score_held_out(folder: Path, manifest: Manifest, pack: Pack, tta: Tta, device: str = "auto") -> Path:
    """Score a member's held-out samples with test-time augmentation, unless that was done; return the file.

    A member of folds is scored as it was in training: each sample by the network that did not see it.
    """
    if not isinstance(pack, ImagePack):
        raise UserError(_NO_IMAGES)
    path = folder / tta.file(manifest)
    if path.exists():
        return path
    total = len(read_scores(folder / SCORES).ids)
    print(f"{manifest.name}: scoring {total:,} held-out images, {tta.count} copies of each", file=sys.stderr)
    folders = [fold_folder(folder, fold) for fold in range(manifest.folds)] or [folder]
    scores = [_score_again(one, pack, tta, device) for one in folders]
    write_scores(path, merge_scores(scores) if manifest.folds else scores[0])
    return path


def _score_again(folder: Path, pack: ImagePack, tta: Tta, device: str) -> HeldOutScores:
    scores = read_scores(folder / SCORES)
    member = load_with_tta(folder, device, tta)
    rows = pack.find_rows(scores.ids)
    logits = [member.logits(pack.images(rows[first : first + _AT_ONCE])) for first in range(0, len(rows), _AT_ONCE)]
    return replace(scores, logits=np.concatenate(logits))


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    if images.shape[-1] == size:
        return images
    how = cv2.INTER_AREA if size < images.shape[-1] else cv2.INTER_LINEAR
    made = [[cv2.resize(plane, (size, size), interpolation=how) for plane in image] for image in images]
    return np.array(made, np.uint8).reshape(*images.shape[:2], size, size)


def _cropped(images: np.ndarray, down: float, across: float) -> np.ndarray:
    """Return crops at a place: 0 is the top or left edge, 1 the other one."""
    side = images.shape[-1]
    crop = max(1, round(side * _CROP))
    top, left = round(down * (side - crop)), round(across * (side - crop))
    return images[..., top : top + crop, left : left + crop]
