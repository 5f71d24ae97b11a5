"""Views: an image scored as it is, flipped, turned and cropped, and what it scores then brought together."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import cv2
import numpy as np

from hpa_hier.data.pack.pack import VECTORS, Pack
from hpa_hier.data.split.fingerprint import turn_images
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import text_digest
from hpa_hier.members.score import Member, score
from hpa_hier.members.scores_file import HeldOutScores, fold_folder, merged_scores, write_scores
from hpa_hier.runs.manifest import SCORES, WEIGHTS, Manifest

_TURNS = {"none": 1, "flips": 4, "d4": 8, "d4_crops": 8}  # of the eight ways to turn and flip a square, the first ones
_CROP = 7 / 8  # side of a crop, share of the image's
_AT_ONCE = 256  # images read into memory at a time
_NO_IMAGES = "ensemble.tta: feature vectors cannot be turned; set ensemble.tta to none, and no tta_sizes"


@dataclass(frozen=True)
class Views:
    """How an image is looked at.

    Attributes:
        kind: none; flips: as it is, flipped either way, and both; d4: quarter turns too, eight in all; d4_crops: also
            the middle and the four corners, 7/8 of the side, enlarged.
        merge: mean or max over the views, of logits.
        sizes: sides in pixels that each view is resized to, one after another; (): the member's own.
    """

    kind: str = "none"
    merge: str = "mean"
    sizes: tuple[int, ...] = ()

    @classmethod
    def of(cls, settings: Mapping[str, object]) -> Views:
        """Read the views among the settings of an ensemble; one fitted before there were any has none."""
        sizes = settings.get("tta_sizes") or ()
        assert isinstance(sizes, (list, tuple))
        kind, merge = settings.get("tta", "none"), settings.get("tta_merge", "mean")
        return cls(str(kind), str(merge), tuple(int(size) for size in sizes))

    @property
    def count(self) -> int:
        """Scores that are brought together for each image."""
        return (_TURNS[self.kind] + 5 * (self.kind == "d4_crops")) * max(1, len(self.sizes))

    @property
    def plain(self) -> bool:
        """Whether images are scored just as they are."""
        return self.kind == "none" and not self.sizes

    def file(self, manifest: Manifest) -> str:
        """Return the name of the file of a member's held-out scores under these views; it changes with the weights."""
        if self.plain:
            return SCORES
        return f"scores-{text_digest(self.kind, self.merge, *map(str, self.sizes), manifest.files[WEIGHTS])}.npz"


@dataclass(frozen=True)
class Viewed:
    """A member that scores each image in several views."""

    member: Member
    views: Views

    @property
    def nodes(self) -> tuple[str, ...]:
        """Columns of the logits, by name."""
        return self.member.nodes

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Score images; an image's row is the same whatever images stand beside it.

        Args:
            images: (B, C, S, S) uint8, as the member takes them.

        Returns:
            (B, n) float32, the mean or the largest over the views, columns as `nodes`.

        Raises:
            UserError: another shape or type, or a size that the network does not take.
        """
        scores = (self._score(view) for view in seen(images, self.views))
        if self.views.merge == "max":
            return reduce(np.maximum, scores)
        return reduce(np.add, scores) / np.float32(self.views.count)

    def _score(self, view: np.ndarray) -> np.ndarray:
        member, side = self.member, view.shape[-1]
        if side == member.size:
            return member.logits(view)
        try:
            return score(member.network, view, len(member.nodes), member.device)
        except (AssertionError, RuntimeError) as error:
            if type(error).__name__ == "OutOfMemoryError":
                raise
            raise UserError(
                f"ensemble.tta_sizes: member '{member.name}' does not take images of {side}×{side} pixels; "
                "leave that size out"
            ) from None


def seen(images: np.ndarray, views: Views) -> Iterator[np.ndarray]:
    """Go through the views of images.

    Args:
        images: (B, C, S, S) uint8.
        views: which; sizes come one after another.

    Yields:
        (B, C, T, T) uint8, T as the sizes.

    Raises:
        UserError: these are no images.
    """
    if images.ndim != 4:
        raise UserError(_NO_IMAGES)
    for size in views.sizes or (images.shape[-1],):
        whole = _resized(images, size)
        for turn in range(_TURNS[views.kind]):
            yield np.ascontiguousarray(turn_images(whole, turn))
        if views.kind == "d4_crops":
            for down, across in ((0.5, 0.5), (0, 0), (0, 1), (1, 0), (1, 1)):
                yield _resized(_cropped(images, down, across), size)


def load_viewed(folder: Path, device: str, views: Views) -> Member | Viewed:
    """Load a finished member that scores in these views."""
    member = Member.load(folder, device)
    return member if views.plain else Viewed(member, views)


def score_held_out(folder: Path, manifest: Manifest, pack: Pack, views: Views, device: str = "auto") -> Path:
    """Score a member's held-out samples in these views, unless that was done; return the file.

    A member of folds is scored as it was in training: each sample by the network that did not see it.
    """
    if pack.kind == VECTORS:
        raise UserError(_NO_IMAGES)
    path = folder / views.file(manifest)
    if path.exists():
        return path
    with np.load(folder / SCORES, allow_pickle=False) as arrays:
        total = len(arrays["ids"])
    print(f"{manifest.name}: scoring {total:,} held-out images in {views.count} views", file=sys.stderr)
    if manifest.folds:
        parts = []
        for fold in range(manifest.folds):
            one = fold_folder(folder, fold)
            parts.append(one / f"views-{path.name}")
            write_scores(parts[-1], _scored(one, pack, views, device), manifest.nodes)
        scores = merged_scores(parts)
        for part in parts:
            part.unlink()
    else:
        scores = _scored(folder, pack, views, device)
    write_scores(path, scores, manifest.nodes)
    return path


def _scored(folder: Path, pack: Pack, views: Views, device: str) -> HeldOutScores:
    with np.load(folder / SCORES, allow_pickle=False) as arrays:
        kept = HeldOutScores(tuple(arrays["ids"].tolist()), tuple(arrays["part"].tolist()), arrays["logits"])
    member = load_viewed(folder, device, views)
    rows = pack.find_rows(kept.ids)
    logits = [member.logits(pack.images(rows[first : first + _AT_ONCE])) for first in range(0, len(rows), _AT_ONCE)]
    return replace(kept, logits=np.concatenate(logits))


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
