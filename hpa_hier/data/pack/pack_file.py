"""pack.json: what a finished pack is; written last of its files, so that it makes the pack finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hpa_hier.data.pack.samples import SAMPLES, Sample, pixel_hash, write_samples
from hpa_hier.data.pack.shard import SHARD_STEM, Shard, is_shard_name, rows_per_shard, write_shard
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import describe_invalid, read_json, sha256, text_digest, write_json, write_text
from hpa_hier.files.shipped import shipped_name
from hpa_hier.taxonomy import Taxonomy

PACK, TAXONOMY, REJECTED = "pack.json", "taxonomy.yaml", "rejected.csv"
CLAIM = "request.json"  # there while a pack is being written
VECTORS: Literal["vectors"] = "vectors"  # kind of pack; the other one is "images"
GAPLESS = "as given"  # vectors without missing values
FILLED = "mean"  # vectors whose missing values (NaN) count as the training part's mean
FORMAT: Literal[1] = 1  # of pack.json; raised when older readers could not read it
_NAMES = (SAMPLES, TAXONOMY, REJECTED, f"{SHARD_STEM}.npy", f"{SHARD_STEM}.json")


class PackFacts(BaseModel):
    """What holds for a pack as a whole."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: tuple[str, ...]  # of vectors: the names of the features
    size: int  # pixels, side of each image; 1 in the file of a pack of vectors
    intensity: str  # rule that converted intensities to 8 bits: depth or percentile; of vectors: GAPLESS or FILLED
    simulated: bool
    note: str
    sources: dict[str, str]  # where the images and labels came from, and the labels' SHA-256
    kind: Literal["images", "vectors"] = "images"
    reason: str = ""  # of the intensity rule, where it was chosen by a look at the images
    bits: dict[str, int] = {}  # images by the bits that they use of their files', as in "12 of 16"
    range_used: tuple[float, float] | None = None  # share of the files' range: 1 % and 99 % quantiles of the images
    projection: str = "max"  # along z: max, mean or middle
    frame: str | None = None  # along t: first, middle, last, or a number counted from 1; None: there were none
    micrometres: float | None = None  # side of a pixel of the images; None: not known of all, or not the same
    image_notes: tuple[str, ...] = ()  # what of the images' names was taken for what, and what became of stacks


class PackFile(BaseModel):
    """What pack.json holds."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1]
    digest: str = Field(
        pattern=r"^[0-9a-f]{16}$"
    )  # over pixels, ids, labels, groups, channels, size and intensity rule
    count: int = 0
    filled: dict[str, int] = {}  # channel → images that lack it
    facts: PackFacts
    taxonomy: str = ""  # its name
    taxonomy_digest: str = ""  # 16 hex digits of its text; older packs have none
    taxonomy_file: str = ""  # that the pack was made with: its path, or a shipped one's name
    shards: tuple[Shard, ...]

    @field_validator("shards")
    @classmethod
    def _check_names(cls, shards: tuple[Shard, ...]) -> tuple[Shard, ...]:
        """Refuse a shard that lies anywhere but in the pack's folder, under a name of its own."""
        names = [shard.file for shard in shards]
        odd = next((name for name in names if not is_shard_name(name) or names.count(name) > 1), None)
        if odd is not None:
            raise ValueError(f"{odd!r}: no shard of the pack, or a link that leaves it")
        return shards


def read_pack_file(folder: Path) -> PackFile:
    """Read pack.json.

    Raises:
        UserError: the folder is no finished pack, or the file is of another format or was edited.
    """
    path = folder / PACK
    if not path.is_file():
        raise UserError(f"{folder}: no finished pack ({PACK} is missing); `python -m hpa_hier.data pack` makes one")
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a pack of format {FORMAT}; pack the images again")
    try:
        return PackFile.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{path}: was edited ({describe_invalid(error)}); pack the images again") from None


def _name_file(path: Path) -> str:
    return (shipped_name(path) or str(path.resolve())) if path.is_file() else ""


def finish_pack(
    folder: Path, facts: PackFacts, samples: Sequence[Sample], shards: Sequence[Shard], taxonomy: Taxonomy
) -> None:
    """Write `samples.csv`, `taxonomy.yaml` and, last of all, `pack.json`; the folder is no longer claimed then."""
    write_samples(folder / SAMPLES, samples)
    write_text(folder / TAXONOMY, taxonomy.text)
    pack = PackFile(
        format=FORMAT,
        digest=pack_digest(folder, facts, shards),
        count=len(samples),
        filled=count_filled(samples),
        facts=facts,
        taxonomy=taxonomy.name,
        taxonomy_digest=text_digest(taxonomy.text),
        taxonomy_file=_name_file(Path(taxonomy.source)),
        shards=tuple(shards),
    )
    write_json(folder / PACK, pack.model_dump(mode="json"))
    (folder / CLAIM).unlink(missing_ok=True)


def count_filled(samples: Iterable[Sample]) -> dict[str, int]:
    """Return how many samples lack a channel, by channel."""
    return dict(Counter(channel for sample in samples for channel in sample.filled))


def pack_digest(folder: Path, facts: PackFacts, shards: Sequence[Shard]) -> str:
    """Return 16 hex digits over all that members learn from."""
    kind = [VECTORS] if facts.kind == VECTORS else []
    settings = (*facts.channels, str(facts.size), facts.intensity, *kind)
    return text_digest(*settings, sha256(folder / SAMPLES), *(shard.sha256 for shard in shards))


def claim_folder(out: Path, content: dict[str, str]) -> None:
    """Mark a folder as one that a pack is being written into; nothing but an unfinished pack's own is replaced there.

    Raises:
        UserError: a finished pack is there, or files that a pack would replace are, and no pack was begun.
    """
    if (out / PACK).exists():
        raise UserError(f"{out}: already holds a finished pack; name another folder, or remove this one")
    out.mkdir(parents=True, exist_ok=True)
    there = sorted(path.name for name in _NAMES for path in out.glob(name))
    if there and not (out / CLAIM).exists():
        raise UserError(f"{out}: holds {there[0]}, which a pack would replace; name an empty folder with --out")
    write_json(out / CLAIM, content)


def write_pack(
    out: Path,
    values: Iterable[np.ndarray],
    ids: Sequence[str],
    nodes: Sequence[Sequence[str]],
    groups: Sequence[str],
    facts: PackFacts,
    taxonomy: Taxonomy,
) -> None:
    """Write images (C, S, S) or vectors (F,) into a claimed folder and finish the pack, in one pass over `values`."""
    for stale in (*out.glob(f"{SHARD_STEM}.npy"), *out.glob(f"{SHARD_STEM}.json")):  # of an earlier attempt
        stale.unlink()
    stream = iter(values)
    samples: list[Sample] = []
    shards: list[Shard] = []
    while len(samples) < len(ids):
        first = next(stream)
        block = np.stack([first, *islice(stream, rows_per_shard(len(ids), first.nbytes, 1) - 1)])
        for i, value in enumerate(block, start=len(samples)):
            samples.append(Sample(ids[i], tuple(nodes[i]), groups[i], pixel_hash(value), ()))
        shards.append(write_shard(out, len(shards), block))
    finish_pack(out, facts, samples, shards, taxonomy)
