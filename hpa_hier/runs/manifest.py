"""member.json: what a finished member is, and the checksums of its files."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import describe_invalid, read_model, sha256, write_json
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.settings.renamed import translate_settings
from hpa_hier.settings.training import TrainingSettings

MANIFEST, WEIGHTS, CONFIG, TAXONOMY = "member.json", "model.safetensors", "config.yaml", "taxonomy.yaml"
HISTORY, SCORES = "history.csv", "scores.npz"
EXPORTED = "network"  # stem of an exported member's network, in place of WEIGHTS
BANK = "bank.csv"  # of a member that lets training images vote
ESTIMATORS = "model.skops"  # of a member of estimators, in place of WEIGHTS and HISTORY
FORMAT = 1  # of member.json; raised when older readers could not read it


class EstimatorFacts(BaseModel):
    """Of a member of estimators: their class with all parameters, and what they were made and kept by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str  # dotted, of the class
    parameters: dict[str, object]
    libraries: dict[str, str]  # name of a package → its version


class Manifest(BaseModel):
    """What member.json holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    version: str  # of hpa_hier
    name: str
    selector: dict[str, str]  # {"level": "coarse"}, {"group": ...} or {"partition": ...}
    images: str = "all"  # that it was trained on; own: those that carry one of its nodes
    nodes: tuple[str, ...]  # columns of the logits, in order
    meanings: dict[str, str]  # node → digest of what it meant in training
    parents: dict[str, tuple[str, ...]] = {}  # node → the nodes right above it, for heads that need to know
    taxonomy: str  # name of the label tree
    seed: int
    head: str
    backbone: str
    width: int
    kind: str = "images"  # or vectors: of the samples that it scores
    channels: tuple[str, ...]  # of vectors: the features
    image_size: int  # pixels; 1 for vectors
    intensity: str
    mean: tuple[float, ...]  # per channel, 0..255
    std: tuple[float, ...]
    pack_digest: str
    split_digest: str
    settings: dict[str, object]  # training settings as they were merged
    weights_sha256: str | None  # of the file that the backbone started from: --weights, or another member's
    parameters: int
    images_seen: int
    steps: int
    seconds: float
    epochs: int
    best_epoch: int
    stopped: str  # "early", or "all steps"
    device: str
    precision: str
    estimator: EstimatorFacts | None = None  # None: it is made of networks
    files: dict[str, str]  # name → SHA-256

    @property
    def folds(self) -> int:
        """Networks that answer together, one for each fold; 0: a single one, trained on the training part."""
        return int(str(self.settings.get("folds") or 0))  # older members have no such setting

    @property
    def votes(self) -> bool:
        """Whether it answers by its nearest training images, all in one network."""
        return self.head == "arcface" and not self.folds


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write member.json, which makes the member finished."""
    absent = {"estimator"} if manifest.estimator is None else None  # versions that know no estimators can read it
    write_json(folder / MANIFEST, manifest.model_dump(mode="json", exclude=absent))


def read_manifest(folder: Path) -> Manifest:
    """Read member.json.

    Raises:
        UserError: the member is not finished, or its member.json is not one.
    """
    path = folder / MANIFEST
    if not path.exists():
        raise UserError(f"{folder}: no finished member (member.json is missing); train it first")
    return read_model(path, Manifest, "train the member again with --restart")


def check_files(folder: Path, manifest: Manifest, names: tuple[str, ...], *, content: bool = True) -> None:
    """Check files of a member against their checksums, or only that they are there where `content` is false.

    Raises:
        UserError: a file is absent or not the one that was written.
    """
    shipped = pretrained_folder()
    again = "train the member again with --restart"
    if shipped and shipped.resolve() in folder.resolve().parents:
        again = "it came with hpa_hier, so install that again"
    for name in names:
        path = folder / name
        if not path.is_file() and any(folder.glob(f"{EXPORTED}.*")):
            raise UserError(f"{path}: was not exported, only what answers; name the run that it was exported from")
        if not path.is_file():
            raise UserError(f"{path}: missing; {again}")
        if content and sha256(path) != manifest.files.get(name):
            raise UserError(f"{path}: does not match the checksum in {MANIFEST}; {again}")


def training_settings(manifest: Manifest) -> TrainingSettings:
    """Return the settings that a member was trained with; those that came later have their defaults.

    Raises:
        UserError: they are none of this version's.
    """
    try:
        return TrainingSettings.model_validate(translate_settings(manifest.settings, "training"))
    except ValidationError as error:
        what = describe_invalid(error)
        raise UserError(f"member '{manifest.name}': settings.{what}; train the member again") from None
