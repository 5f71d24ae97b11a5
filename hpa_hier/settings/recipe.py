"""Recipes: every setting, its default, its unit and its check; those of training are in `training`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_validator,
)

from hpa_hier.settings.origins import Origins
from hpa_hier.settings.training import (
    SKLEARN,
    Channel,
    Folds,
    Fraction,
    Positive,
    Settings,
    Share,
    Side,
    TrainingSettings,
    setting,
)

Seed = Annotated[int, Field(ge=0, lt=1 << 32)]  # what every library takes
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]  # names a folder
AUTO = "auto"  # as `members`: those that the taxonomy and the images ask for
_REPLACED = {  # by a member's own setting, where it is another one than the recipe's: these of the recipe's
    "start_from": ("pretrained", "weights", "weights_sha256"),  # the other member had them
    "estimator": ("estimator_parameters",),
    "backbone": ("estimator", "estimator_parameters"),
}
TOP = "top"  # as a member's level: the first one above the leaves, whatever the taxonomy calls it


class DataSettings(Settings):
    """Which images, and how they become a pack."""

    pack: str | None = setting(None, "folder of a finished pack; null: cells are simulated and packed first")
    image_size: Side = setting(256, "side of the square images kept in a pack", "pixels")
    channels: tuple[Channel, ...] = setting(
        ("red", "green", "blue", "yellow"),
        "channels that are kept, in this order: microtubules, protein, nucleus, endoplasmic reticulum",
    )
    may_be_missing: tuple[Channel, ...] = setting((), "channels that an image may lack; they are filled with zeros")
    intensity: Literal["auto", "depth", "percentile"] = setting(
        "auto",
        "how intensities become 8 bits: depth is by the file's bits, percentile by each channel's 0.1 and 99.9 "
        "percentiles; auto looks at some images and takes depth, or percentile where many use little of their range",
    )
    projection: Literal["max", "mean", "middle"] = setting(
        "max", "how a z stack becomes one image: its maximum, its mean, or the section in the middle"
    )
    frame: str | None = setting(
        None, "frame of a time series: first, middle, last, or a number counted from 1; null: they are refused"
    )
    below_annotation: Literal["unknown", "absent"] = setting(
        "unknown", "nodes below an annotated group of which none is annotated: unknown (masked in training), or absent"
    )

    @property
    def drawn_intensity(self) -> Literal["depth", "percentile"]:
        """The rule for images that are drawn, which use their whole range."""
        return "depth" if self.intensity == "auto" else self.intensity

    @field_validator("may_be_missing")
    @classmethod
    def _check_may_be_missing(cls, value: tuple[Channel, ...]) -> tuple[Channel, ...]:
        if "green" in value:
            raise ValueError("green is the protein in question: an image without it cannot be answered for")
        return value

    @field_validator("frame", mode="before")
    @classmethod
    def _check_frame(cls, value: object) -> str | None:
        if value is None or str(value) in ("first", "middle", "last") or (str(value).isdecimal() and int(str(value))):
            return None if value is None else str(value)
        raise ValueError("must be first, middle, last or a number, counted from 1")

    @field_validator("channels")
    @classmethod
    def _check_channels(cls, value: tuple[Channel, ...]) -> tuple[Channel, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("must name at least one channel, and each once")
        return value


class SimulateSettings(Settings):
    """The simulated cells that are used where data.pack is null."""

    count: Positive = setting(4000, "number of images", "images")
    image_size: int = setting(64, "side of the images", "pixels", ge=32, le=1024)
    imbalance: Share = setting(1.0, "1: the class counts of the real table; 0: all classes alike")
    radius: tuple[Fraction, Fraction] | None = setting(
        None, "smallest and largest mean radius of a field's cells; null: one that suits the size", "share of the side"
    )
    supersample: int = setting(1, "how much larger fields are simulated, then shrunk", "times the side", ge=1, le=8)
    variety: Share = setting(0.0, "up to 1: contrast, sharpness, weak channels and compression vary more than nature's")
    realism: Share = setting(0.0, "share of the fields as real whole ones: patchy, granular, weak, with debris")
    seed: Seed = setting(0, "seed of the simulation")

    @field_validator("radius")
    @classmethod
    def _check_radius(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError("must be the smallest and the largest radius, in this order")
        return value


FEW_IMAGES, FEW_FOLDS = 400, 5  # below so many images folds are the default, and how many; benchmarks/folds.py


class SplitSettings(Settings):
    """Train, calibration and test parts."""

    fractions: tuple[Fraction, Fraction, Fraction] = setting((0.70, 0.15, 0.15), "train, calibration and test shares")
    folds: Folds | None = setting(
        None,
        f"folds that train and calibration part are divided into; 0: none; null: {FEW_FOLDS} below {FEW_IMAGES} images",
        "folds",
    )
    seed: Seed = setting(0, "seed of the split")
    near_duplicates: Annotated[int, Field(ge=0, le=15)] | None = setting(
        None, "images whose fingerprints differ in at most so many stay together; null: off", "bits"
    )

    @model_validator(mode="after")
    def _check_sum(self) -> SplitSettings:
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"fractions must sum to 1, got {sum(self.fractions):g}")
        return self

    def count_folds(self, images: int, groups: int) -> int:
        """Return how many folds a data set gets: as many as asked for, else by its size.

        >>> by_size = SplitSettings()
        >>> by_size.count_folds(82, 82), by_size.count_folds(4000, 4000), by_size.count_folds(9, 4)
        (5, 0, 0)
        """
        if self.folds is not None:
            return self.folds
        return FEW_FOLDS if images < FEW_IMAGES and groups >= 2 * FEW_FOLDS else 0


class PartitionSettings(Settings):
    """Which leaves are majority classes: those with many images, or those named."""

    majority_min_images: Positive | None = setting(
        None, "needed by a majority leaf; null: a twentieth of all, and no partition where that is below 20", "images"
    )
    majority: tuple[str, ...] = setting((), "leaves that are the majority whatever their counts; empty: by count")
    virtual_nodes: bool = setting(False, "add has_majority and has_minority above the leaves, as the level partition")


class MemberSettings(Settings):
    """One member: what it answers for, and where it differs from the recipe's training settings."""

    name: Word = Field(description="name of the member, and of its folder")
    level: str | None = setting(
        None,
        "a level of the taxonomy that it answers for; of any tree: all (every node), leaves, top (the first level)",
    )
    group: str | None = setting(None, "a group of the taxonomy: it answers for the leaves below it")
    partition: Literal["majority", "minority"] | None = setting(None, "the part of the leaves that it answers for")
    images: Literal["all", "own"] = setting("all", "images that it is trained on: all, or those with one of its leaves")
    seed: Seed = setting(0, "seed of its weights, batches and augmentation")
    training: dict[str, object] = setting({}, "settings of the block training that this member changes")

    @model_validator(mode="after")
    def _check_selector(self) -> MemberSettings:
        given = [key for key in ("level", "group", "partition") if getattr(self, key) is not None]
        if len(given) != 1:
            problem = f"member '{self.name}' needs exactly one of level, group, partition"
            raise ValueError(f"{problem}; got {given or 'none'}")
        if self.images == "own" and self.level is not None:
            raise ValueError(f"member '{self.name}': images: own goes with a group or a partition, not with a level")
        return self


class EnsembleSettings(Settings):
    """How members' scores become labels."""

    members: tuple[str, ...] = setting((), "names of the members to combine; empty: all finished ones of the recipe")
    baseline: tuple[str, ...] = setting(
        (), "names of as many flat members; fitted with the same settings they are the compute-matched baseline"
    )
    use_baseline: bool = setting(True, "false: networks that only the baseline needs are not trained, nor is it fitted")
    tta: Literal["none", "flips", "d4", "d4_crops"] = setting(
        "none",
        "test-time augmentation: each image is scored in 4 (flips), 8 (quarter turns too) or 13 (crops too) ways",
    )
    tta_merge: Literal["mean", "max"] = setting("mean", "how the augmented images' logits are merged")
    tta_sizes: tuple[Side, ...] = setting((), "sides at which each image is scored; empty: the member's own", "pixels")
    # calibrate, aggregate, reconcile and thresholds name a rule of a table in hpa_hier/ensemble, which checks them
    calibrate: str = setting(
        "beta",
        "how a member's logits are calibrated: beta (a slope for doubt, one for certainty and an offset), temperature "
        "(one slope), platt (slope and offset of each node), isotonic (a curve) or none",
    )
    shrink_positives: float = setting(50.0, "count at which a node's own slope or curve counts half", "positives", ge=0)
    aggregate: str = setting(
        "logistic_stack",
        "how members are combined: logistic_stack, mean, concat (each node from the most specialised member), rnn (a "
        "GRU down the levels), blend (the mean of probabilities, one weight a member) or selection (a blend of those "
        "members that rank best together)",
    )
    refine: bool = setting(True, "for mean, concat and rnn: fit a slope and an offset for every node of the sum")
    reconcile: str = setting(
        "evidence",
        "how probabilities become coherent: evidence (leaves hear the members that answer for groups above them, and "
        "groups are made of both), lift (groups are raised to their children, leaves stay) or softmax (exclusive "
        "trees)",
    )
    thresholds: str = setting(
        "plugin",
        "how thresholds are chosen: plugin (half the F1 that probabilities expect), bagged (from plugin, with more "
        "positives, towards the mean F1 threshold of resamples), f1 (largest F1 on held-out scores) or fixed "
        "(fixed_threshold)",
    )
    fixed_threshold: Fraction = setting(0.5, "the threshold of all nodes for `thresholds: fixed`", "probability")
    hand_thresholds: dict[str, Fraction] = setting({}, "thresholds set by hand, as {Nucleoplasm: 0.4}", "probability")
    small_class_positives: int = setting(
        20, "classes with fewer get the prevalence threshold for f1, and the plugin one for bagged", "positives", ge=0
    )
    bootstrap: int = setting(200, "resamples for a threshold's interval", "resamples", ge=0)
    folds: Folds = setting(5, "thresholds are fitted on out-of-fold probabilities; 0: in sample", "folds")
    accept: Fraction = setting(
        0.8, "confidence of a lower log loss that lets the ensemble replace its baseline; needs folds", "probability"
    )
    safe_precision: Fraction = setting(0.9, "share of safe answers that must be right on held-out scores", "precision")


class ReportSettings(Settings):
    """Results and their intervals."""

    interval: Fraction = setting(0.95, "confidence of the intervals", "probability")
    gallery: int = setting(
        3, "images of each class that were missed, called wrongly and found, each at most", "images", ge=0, le=100
    )
    heat_maps: float = setting(30.0, "longest time that drawing the gallery's heat maps takes", "seconds", ge=0)


class Recipe(Settings):
    """All settings of a run, as a recipe file under configs/ holds them."""

    run: Word = setting("default", "name of the run, and of its folder under `artifacts`")
    artifacts: str = setting("artifacts", "folder that runs are kept in")
    taxonomy: str = setting("hierarchy/hpa28.yaml", "the label tree: a file, or the name of a shipped one")
    data: DataSettings = DataSettings()
    simulate: SimulateSettings = SimulateSettings()
    split: SplitSettings = SplitSettings()
    partition: PartitionSettings = PartitionSettings()
    training: TrainingSettings = TrainingSettings()
    members: tuple[MemberSettings, ...] | None = Field(
        default=None,
        description="the networks of the ensemble; auto: one for each level, each group with enough images, majority "
        "and minority where images are many, three for the leaves, and as many flat ones to compare with",
        json_schema_extra={"default": AUTO},
    )
    ensemble: EnsembleSettings = EnsembleSettings()
    report: ReportSettings = ReportSettings()
    _origins: Origins = PrivateAttr(default_factory=Origins)

    @field_validator("members", mode="before")
    @classmethod
    def _read_auto(cls, value: object) -> object:
        return None if value == AUTO else value

    @field_serializer("members", mode="wrap")
    def _write_auto(self, value: object, write: SerializerFunctionWrapHandler) -> object:
        return AUTO if value is None else write(value)

    @model_validator(mode="after")
    def _check_members(self) -> Recipe:
        names = [member.name for member in self.listed]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"member name {twice[0]!r} appears twice; names must differ")
        for block in (self.training.folds, *(member.training.get("folds") for member in self.listed)):
            if block not in (None, 0, self.split.folds):
                got = "null" if self.split.folds is None else self.split.folds
                raise ValueError(f"training.folds is {block} and split.folds {got}; they must be the same")
        return self

    @property
    def listed(self) -> tuple[MemberSettings, ...]:
        """The members that the recipe lists; none where they are `auto`, and the run has not chosen them yet."""
        return self.members or ()

    @property
    def origins(self) -> Origins:
        """Where each value comes from."""
        return self._origins

    def with_origins(self, origins: Origins) -> Recipe:
        """Return the same recipe, of which each value comes from there."""
        other = self.model_copy()
        other._origins = origins
        return other

    def member_training(self, member: MemberSettings) -> TrainingSettings:
        """Merge a member's overrides into the recipe's training settings, with all checks run again.

        A member that starts from another one does without the recipe's own first weights, which that one had; one that
        is an estimator, without the settings of networks.

        >>> member = MemberSettings(name="leaf", level="leaf", training={"epochs": 5})
        >>> Recipe(training=TrainingSettings(width=16)).member_training(member).model_dump(include={"epochs", "width"})
        {'width': 16, 'epochs': 5}
        """
        shared = self.training.model_dump()
        for key, replaced in _REPLACED.items():
            if member.training.get(key, shared[key]) != shared[key]:
                shared = {name: value for name, value in shared.items() if name not in replaced}
        settings = TrainingSettings.model_validate(_merge(shared, member.training))
        return settings.of_estimator() if settings.backbone == SKLEARN else settings


def _merge(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with changes laid over them, block by block."""
    merged = dict(settings)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
