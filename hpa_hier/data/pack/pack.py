"""Pack: labelled images at one size as uint8 memory maps, or feature vectors as float32 ones, read back by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np

from hpa_hier.data.labels.table import Targets, is_valid_id, targets
from hpa_hier.data.pack.samples import HEADER, Sample, pixel_hash, samples_csv
from hpa_hier.data.pack.shard import SHARD_STEM, Shard, Shards, rows_per_shard, write_shard
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256, text_digest, write_json, write_text
from hpa_hier.files.csv_file import read_csv
from hpa_hier.taxonomy import Taxonomy

IMAGES, VECTORS = "images", "vectors"  # kinds of pack
GAPLESS = "as given"  # a vector pack without missing values
FILLED = "mean"  # a vector pack whose missing values (NaN) count as the training part's mean
CLAIM = "request.json"  # there while a pack is being written
_NAMES = ("samples.csv", "taxonomy.yaml", "rejected.csv", f"{SHARD_STEM}.npy", f"{SHARD_STEM}.json")
FORMAT = 1  # of pack.json; raised when older readers could not read it


@dataclass(frozen=True)
class PackFacts:
    """What `pack.json` says about a pack as a whole."""

    channels: tuple[str, ...]  # of vectors: the names of the features
    size: int  # pixels, side of each image; 1 for vectors
    intensity: str  # rule that converted intensities to 8 bits: "depth" or "percentile"; of vectors: GAPLESS or FILLED
    simulated: bool
    note: str
    sources: Mapping[str, str]  # where the images and labels came from, and the labels' SHA-256
    kind: str = IMAGES


@dataclass(frozen=True)
class Pack:
    """A finished pack."""

    path: Path
    facts: PackFacts
    samples: tuple[Sample, ...]
    shards: tuple[Shard, ...]
    digest: str  # 16 hex digits over pixels, ids, labels, groups, channels, size and intensity rule

    @classmethod
    def open(cls, path: Path | str) -> Pack:
        """Open a finished pack and check that its files are the ones it was finished with.

        Raises:
            UserError: the folder is no finished pack, or its files were changed.
        """
        path = Path(path)
        if not (path / "pack.json").is_file():
            raise UserError(
                f"{path}: no finished pack (pack.json is missing); `python -m hpa_hier.data pack` makes one"
            )
        known = read_json(path / "pack.json")
        if not isinstance(known, dict) or known.get("format") != FORMAT:
            raise UserError(f"{path / 'pack.json'}: not a pack of format {FORMAT}; pack the images again")
        try:
            facts = PackFacts(**{**known["facts"], "channels": tuple(known["facts"]["channels"])})
            shards = tuple(Shard(**shard) for shard in known["shards"])
            digest = str(known["digest"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{path / 'pack.json'}: was edited ({error}); pack the images again") from None
        pack = cls(path, facts, _read_samples(path / "samples.csv"), shards, digest)
        if pack.digest != _digest(path, facts, shards):
            raise UserError(f"{path / 'samples.csv'}: was edited after packing; edit the label table and pack again")
        if len(pack) != sum(shard.rows for shard in shards):
            raise UserError(f"{path}: samples.csv lists {len(pack)} images, the shards hold another number; pack again")
        return pack

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels kept, in the order of axis C."""
        return self.facts.channels

    @property
    def size(self) -> int:
        """Side of each image in pixels."""
        return self.facts.size

    @property
    def kind(self) -> str:
        """`images`, or `vectors`."""
        return self.facts.kind

    @property
    def intensity(self) -> str:
        """The rule that converted intensities to 8 bits."""
        return self.facts.intensity

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
        return dict(Counter(channel for sample in self.samples for channel in sample.filled))

    @cached_property
    def taxonomy(self) -> Taxonomy:
        """The taxonomy that the pack was made with."""
        return Taxonomy.load(self.path / "taxonomy.yaml")

    @cached_property
    def _row(self) -> dict[str, int]:
        return {sample_id: row for row, sample_id in enumerate(self.ids)}

    @cached_property
    def _content(self) -> Shards:
        if self.kind == VECTORS:
            return Shards(self.path, self.shards, (len(self.channels),), np.float32)
        return Shards(self.path, self.shards, (len(self.channels), self.size, self.size))

    def find_rows(self, ids: Sequence[str]) -> np.ndarray:
        """Return the rows (B,) int64 of samples.

        Raises:
            UserError: an id is not in the pack.
        """
        absent = [sample_id for sample_id in ids if sample_id not in self._row]
        if absent:
            raise UserError(
                f"{self.path}: {len(absent):,} of {len(ids):,} samples are not in this pack, as {absent[0]!r}; "
                "is it the pack that the split was made from?"
            )
        return np.fromiter((self._row[sample_id] for sample_id in ids), np.int64, count=len(ids))

    def images(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Copy images out of the memory maps.

        Args:
            rows: (B,) row numbers.
            out: (B, C, S, S) uint8 buffer to fill and return; None makes a new one.

        Returns:
            (B, C, S, S) uint8, axis C as `channels`.
        """
        return self._content.gather(rows, out)

    def vectors(self, rows: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Copy vectors of a pack that holds such: (B, F) float32, axis F as `channels`; gaps are NaN."""
        return self._content.gather(rows, out)

    def find_damaged(self) -> tuple[str, ...]:
        """Return the shards whose content is no longer what it was when the pack was finished; reads them whole."""
        return tuple(shard.file for shard in self.shards if sha256(self.path / shard.file) != shard.sha256)

    def targets(self, taxonomy: Taxonomy, below: str = "unknown") -> Targets:
        """Return closed targets and what is known, (B, N) bool each, columns as `taxonomy.nodes`.

        `below` says whether nodes below an annotated group are unknown or absent, where none of them is annotated.

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
                f"{', '.join(lost[:10])}; give them a place, or pack with this taxonomy"
            )
        return targets([[counterpart[node] or "" for node in names] for names in self.nodes], taxonomy, below)

    def _counterpart(self, node: str, taxonomy: Taxonomy) -> str | None:
        label = self.taxonomy.node(node).label
        if taxonomy.name == self.taxonomy.name and label is not None:
            return taxonomy.find_node(label)
        return node if node in taxonomy.column else None


def claim_folder(out: Path, known: dict[str, str]) -> None:
    """Mark a folder as one that a pack is being written into; nothing but an unfinished pack's own is replaced there.

    Raises:
        UserError: files that a pack would replace are there, and no pack was begun.
    """
    if not (out / CLAIM).exists():
        there = sorted(path.name for name in _NAMES for path in out.glob(name))
        if there:
            raise UserError(f"{out}: holds {there[0]}, which a pack would replace; name an empty folder with --out")
    write_json(out / CLAIM, known)


def remove_shards(out: Path) -> None:
    """Remove the shards that an earlier attempt left in a claimed folder."""
    for stale in (*out.glob(f"{SHARD_STEM}.npy"), *out.glob(f"{SHARD_STEM}.json")):
        stale.unlink()


def finish_pack(
    folder: Path, facts: PackFacts, samples: Sequence[Sample], shards: Sequence[Shard], taxonomy: Taxonomy
) -> None:
    """Write `samples.csv`, `taxonomy.yaml` and, last of all, `pack.json`, which makes the pack finished."""
    write_text(folder / "samples.csv", samples_csv(samples))
    write_text(folder / "taxonomy.yaml", taxonomy.text)
    filled = Counter(channel for sample in samples for channel in sample.filled)
    known = {
        "format": FORMAT,
        "digest": _digest(folder, facts, shards),
        "count": len(samples),
        "filled": dict(filled),
        "facts": asdict(facts),
        "taxonomy": taxonomy.name,
        "shards": [asdict(shard) for shard in shards],
    }
    write_json(folder / "pack.json", known)


def write_simulated_pack(
    out: Path,
    images: Iterable[np.ndarray],
    ids: Sequence[str],
    nodes: Sequence[Sequence[str]],
    groups: Sequence[str],
    channels: Sequence[str],
    taxonomy: Taxonomy,
    note: str,
    intensity: str = "depth",
) -> None:
    """Write simulated images as a pack, in one pass over `images`.

    Args:
        out: folder to fill.
        images: (C, S, S) uint8 each, in the order of `ids`.
        ids: sample ids.
        nodes: annotated node names of each sample.
        groups: keys that must not cross a split; "" where there is none.
        channels: names along axis C.
        taxonomy: the words that `nodes` are in.
        note: what was simulated, kept in `pack.json`.
        intensity: rule by which `images` were converted to 8 bits, "depth" or "percentile".

    Raises:
        UserError: `out` already holds a finished pack.
    """
    if (out / "pack.json").exists():
        raise UserError(f"{out}: already holds a finished pack; name another folder, or remove this one")
    out.mkdir(parents=True, exist_ok=True)
    claim_folder(out, {"note": note})
    remove_shards(out)
    stream = iter(images)
    samples: list[Sample] = []
    shards: list[Shard] = []
    size = 0
    while len(samples) < len(ids):
        first = next(stream)
        size = first.shape[-1]
        rows = min(rows_per_shard(len(ids), len(channels), size), len(ids) - len(samples))
        block = np.stack([first, *islice(stream, rows - 1)])
        for image in block:
            i = len(samples)
            samples.append(Sample(ids[i], tuple(nodes[i]), groups[i], pixel_hash(image), ()))
        shards.append(write_shard(out, len(shards), block))
    facts = PackFacts(tuple(channels), size, intensity, simulated=True, note=note, sources={})
    finish_pack(out, facts, samples, shards, taxonomy)
    (out / CLAIM).unlink(missing_ok=True)


def _digest(folder: Path, facts: PackFacts, shards: Sequence[Shard]) -> str:
    parts = [*facts.channels, str(facts.size), facts.intensity]
    parts += [VECTORS] if facts.kind == VECTORS else []
    parts += [sha256(folder / "samples.csv")]
    return text_digest(*parts, *(shard.sha256 for shard in shards))


def _read_samples(path: Path) -> tuple[Sample, ...]:
    table = read_csv(path)
    if table.header != HEADER:
        raise UserError(f"{path}:1: the header is {','.join(table.header)}; a pack has {','.join(HEADER)}")
    samples = tuple(Sample.of(row) for row in table.rows)
    for sample, line in zip(samples, table.lines, strict=True):
        if not is_valid_id(sample.id):
            raise UserError(f"{path}:{line}: {sample.id!r} is no sample id")
    return samples
