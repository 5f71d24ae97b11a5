"""Pack: labelled samples as memory maps, read back by row: images as uint8 at one size, feature vectors as float32."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from hpa_hier.data.labels.table import Targets, targets
from hpa_hier.data.pack.fetch import fetch_pack
from hpa_hier.data.pack.pack_file import FILLED, TAXONOMY, VECTORS, PackFacts, count_filled, pack_digest, read_pack_file
from hpa_hier.data.pack.samples import SAMPLES, Sample, pixel_hash, read_samples
from hpa_hier.data.pack.shard import Shard, Shards
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256, text_digest
from hpa_hier.files.remote.path import RemotePath, to_path
from hpa_hier.files.shell import path_from_here
from hpa_hier.files.shipped import shipped_names
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class Pack(ABC):
    """A finished pack of either kind."""

    path: Path
    facts: PackFacts
    samples: tuple[Sample, ...]
    shards: tuple[Shard, ...]
    digest: str  # 16 hex digits over pixels, ids, labels, groups, channels, size and intensity rule
    trusted: bool = False  # samples are not compared with their checksums, as where whole shards are

    @staticmethod
    def open(path: Path | str) -> ImagePack | VectorPack:
        """Open a finished pack and check that its files are the ones it was finished with.

        One of a bucket or web server is fetched into the user's cache first.

        Raises:
            UserError: the folder is no finished pack, or its files were changed.
        """
        place = to_path(path)
        path = fetch_pack(place) if isinstance(place, RemotePath) else place
        known = read_pack_file(path)
        samples = read_samples(path / SAMPLES)
        if known.digest != pack_digest(path, known.facts, known.shards):
            raise UserError(f"{path / SAMPLES}: was edited after packing; edit the label table and pack again")
        if len(samples) != sum(shard.rows for shard in known.shards):
            raise UserError(
                f"{path}: {SAMPLES} lists {len(samples)} images, the shards hold another number; pack again"
            )
        kind = VectorPack if known.facts.kind == VECTORS else ImagePack
        return kind(path, known.facts, samples, known.shards, known.digest)

    def read(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Copy samples out of the memory maps; each is compared with its checksum the first time.

        Args:
            rows: (B,) row numbers.
            out: buffer to fill and return; None makes a new one.

        Returns:
            Images (B, C, S, S) uint8, axis C as `channels`; or vectors (B, F) float32, axis F as `features`, gaps NaN.

        Raises:
            UserError: a sample is not what was packed.
        """
        rows = np.asarray(rows, dtype=np.int64)
        read = self._content.gather(rows, out)
        if not self.trusted:
            self._check(rows, read)
        return read

    def _check(self, rows: np.ndarray, read: np.ndarray) -> None:
        """Compare each sample, the first time that it is read, with the hash that samples.csv has of it."""
        fresh = np.flatnonzero(~self._checked[rows])
        for place in fresh.tolist():
            row = int(rows[place])
            if pixel_hash(read[place]) != self.samples[row].pixels:
                raise UserError(
                    f"{self.path}: sample {self.samples[row].id!r} is not what was packed (its checksum in {SAMPLES} "
                    "does not match); pack the images again"
                )
        self._checked[rows[fresh]] = True

    @cached_property
    def _checked(self) -> np.ndarray:
        return np.zeros(len(self.samples), dtype=bool)  # by row

    @cached_property
    def _content(self) -> Shards:
        C, S = len(self.facts.channels), self.facts.size
        if self.facts.kind == VECTORS:
            return Shards(self.path, self.shards, (C,), np.float32)
        return Shards(self.path, self.shards, (C, S, S))

    @abstractmethod
    def describe(self) -> str:
        """Return what a sample is, as in "4 × 128 × 128 (red, green, blue, yellow)"."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def kind(self) -> str:
        """`images`, or `vectors`."""
        return self.facts.kind

    @property
    def simulated(self) -> bool:
        """Whether the images are simulated cells."""
        return self.facts.simulated

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """Sample ids, by row."""
        return tuple(sample.id for sample in self.samples)

    @cached_property
    def nodes(self) -> tuple[tuple[str, ...], ...]:
        """Annotated node names, by row, in the words of the taxonomy that the pack was made with."""
        return tuple(sample.nodes for sample in self.samples)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Antibodies or other keys that must not cross a split, by row; "" where unknown."""
        return tuple(sample.group for sample in self.samples)

    @cached_property
    def filled(self) -> dict[str, int]:
        """How many images lack a channel and have zeros in its place, by channel."""
        return count_filled(self.samples)

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The taxonomy that the pack was made with."""
        taxonomy, known = Taxonomy.load(self.path / TAXONOMY), read_pack_file(self.path).taxonomy_digest
        if known and text_digest(taxonomy.text) != known:
            raise UserError(f"{self.path / TAXONOMY}: was changed after packing; pack again")
        return taxonomy

    def find_taxonomy(self, default: str) -> str:
        """Return the file of the pack's taxonomy, so that an edit of it counts; where it is gone, the pack's copy.

        Args:
            default: a taxonomy file that is taken where it holds the pack's tree.
        """
        file, own = read_pack_file(self.path).taxonomy_file, self.taxonomy
        if not file:  # an older pack
            return default if Taxonomy.load(default).name == own.name else str(self.path / TAXONOMY)
        there = file in shipped_names() or Path(file).is_file()
        return path_from_here(file) if there and Taxonomy.load(file).name == own.name else str(self.path / TAXONOMY)

    @cached_property
    def _row(self) -> dict[str, int]:
        return {sample_id: row for row, sample_id in enumerate(self.ids)}

    def find_rows(self, ids: Sequence[str]) -> np.ndarray:
        """Return the rows (B,) int64 of samples; an id that is not in the pack is a UserError."""
        absent = [sample_id for sample_id in ids if sample_id not in self._row]
        if absent:
            raise UserError(
                f"{self.path}: {len(absent):,} of {len(ids):,} samples are not in this pack, as {absent[0]!r}; "
                "is it the pack that the split was made from?"
            )
        return np.fromiter((self._row[sample_id] for sample_id in ids), np.int64, count=len(ids))

    def find_damaged(self) -> tuple[str, ...]:
        """Return the shards whose content is no longer what it was when the pack was finished; reads them whole."""
        self._content  # noqa: B018 - opening refuses shards that lead elsewhere
        return tuple(shard.file for shard in self.shards if sha256(self.path / shard.file) != shard.sha256)

    def verify(self) -> None:
        """Compare whole shards with their checksums, where reading compares each sample the first time.

        Raises:
            UserError: naming those that are not what was packed.
        """
        if damaged := self.find_damaged():
            count = f"{len(damaged)} of {len(self.shards)} shards"
            raise UserError(f"{self.path}: {count} are not what was packed, as {damaged[0]}; pack the images again")

    def targets(self, taxonomy: Taxonomy, below: str = "unknown") -> Targets:
        """Return targets as `data.labels.table.targets` does.

        A taxonomy of the pack's own name is matched by label, so that a renamed leaf keeps its images; another one is
        matched by name.

        Raises:
            UserError: an annotated node has no counterpart in `taxonomy`.
        """
        counterpart = {node: self._counterpart(node, taxonomy) for node in {n for names in self.nodes for n in names}}
        lost = sorted(node for node, now in counterpart.items() if now is None)
        if lost:
            raise UserError(
                f"{taxonomy.source}: {len(lost)} annotated nodes of {self.path} have no place in '{taxonomy.name}': "
                f"{', '.join(lost[:10])}; give them a place, or take the pack's own tree: --set "
                f"{shlex.quote(f'taxonomy={self.find_taxonomy(taxonomy.source)}')}"
            )
        return targets([[counterpart[node] or "" for node in names] for names in self.nodes], taxonomy, below)

    def _counterpart(self, node: str, taxonomy: Taxonomy) -> str | None:
        label = self.taxonomy.node(node).label
        if taxonomy.name == self.taxonomy.name and label is not None:
            return taxonomy.find_node(label)
        return node if node in taxonomy.column else None


@dataclass(frozen=True)
class ImagePack(Pack):
    """Images of one size."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels kept, in the order of axis C."""
        return self.facts.channels

    @property
    def size(self) -> int:
        """Side of each image in pixels."""
        return self.facts.size

    @property
    def intensity(self) -> str:
        """The rule that converted intensities to 8 bits."""
        return self.facts.intensity

    images = Pack.read

    def describe(self) -> str:
        """Return channels and size."""
        return f"{len(self.channels)} × {self.size} × {self.size} ({', '.join(self.channels)})"


@dataclass(frozen=True)
class VectorPack(Pack):
    """Feature vectors."""

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the features, in the order of axis F."""
        return self.facts.channels

    @property
    def has_gaps(self) -> bool:
        """Whether values may be missing: NaN, which counts as the training part's mean."""
        return self.facts.intensity == FILLED

    vectors = Pack.read

    def describe(self) -> str:
        """Return how many features there are."""
        return f"{len(self.features):,} features"
