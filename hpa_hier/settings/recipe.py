"""Recipes: every setting, its default, its unit and its check; those of training stand in `training_config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from hpa_hier.settings.base import Channel, Fraction, Positive, Seed, Settings, Share
from hpa_hier.settings.training import TrainingSettings


class DataSettings(Settings):
    """Which images, and how they become a pack."""

    pack: str | None = None  # folder of a finished pack; None: the demo cells are simulated
    image_size: Annotated[int, Field(ge=16, le=2048)] = 256  # pixels, side of the square image kept in the pack
    channels: tuple[Channel, ...] = ("red", "green", "blue", "yellow")  # kept, in this order
    may_be_missing: tuple[Channel, ...] = ()  # channels that an image may lack; they are filled with zeros
    intensity: Literal["depth", "percentile"] = (
        "depth"  # to 8 bits: by bit depth, or each channel's 0.1..99.9 percentiles
    )
    # where a group is annotated and nothing below it, the nodes below are not told (unknown) or absent
    below_annotation: Literal["unknown", "absent"] = "unknown"

    @field_validator("channels")
    @classmethod
    def _some_and_each_once(cls, value: tuple[Channel, ...]) -> tuple[Channel, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("must name at least one channel, and each once")
        return value


class SimulateSettings(Settings):
    """The simulated cells that stand in where no data is named."""

    count: Positive = 4000  # images
    image_size: Annotated[int, Field(ge=32, le=1024)] = 64  # pixels
    imbalance: Annotated[float, Field(ge=0, le=1)] = 1.0  # 1: the real table's class counts; 0: all classes alike
    radius: tuple[Fraction, Fraction] | None = None  # cells' mean radius, share of the side, smallest and largest
    supersample: Annotated[int, Field(ge=1, le=8)] = 1  # times the side that fields are simulated at, then shrunk
    variety: Share = 0.0  # 0: as a microscope gives them; 1: contrast, sharpness, compression vary more than nature's
    seed: Seed = 0

    @field_validator("radius")
    @classmethod
    def _from_small_to_large(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError("must be the smallest and the largest radius, in this order")
        return value


class SplitSettings(Settings):
    """Train, calibration and test parts."""

    fractions: tuple[Fraction, Fraction, Fraction] = (0.70, 0.15, 0.15)  # train, calibration, test; sums to 1
    folds: Annotated[int, Field(ge=0, le=20)] = 0  # 0: none; else the train and calibration parts also get a fold
    seed: Seed = 0
    near_duplicates: Annotated[int, Field(ge=0, le=15)] | None = (
        None  # bits; images of a pack whose fingerprints differ in at most so many, and look alike, stay together
    )

    @model_validator(mode="after")
    def _sums_to_one(self) -> SplitSettings:
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"fractions must sum to 1, got {sum(self.fractions):g}")
        return self


class PartitionSettings(Settings):
    """Which leaves are majority classes: those with many training images, or those named."""

    majority_min_images: Positive | None = (
        None  # training images a majority leaf has at least; None: a twentieth of all
    )
    majority: tuple[str, ...] = ()  # leaf names; where given, they are the majority whatever their counts
    virtual_nodes: bool = False  # nodes has_majority and has_minority above the leaves; the level `partition` is them


class MemberSettings(Settings):
    """One member: what it answers for, and where it differs from the recipe's training settings."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    level: str | None = None  # a level of the taxonomy, or all: every node
    group: str | None = None  # a group of the taxonomy: the leaves below it
    partition: Literal["majority", "minority"] | None = None
    images: Literal["all", "own"] = "all"  # that it is trained on: all, or those that carry one of its leaves
    seed: Seed = 0
    training: dict[str, object] = Field(default_factory=dict)  # overrides of TrainingSettings

    @model_validator(mode="after")
    def _answers_for_one_thing(self) -> MemberSettings:
        given = [key for key in ("level", "group", "partition") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"member '{self.name}' needs exactly one of level, group, partition; got {given or 'none'}"
            )
        if self.images == "own" and self.level is not None:
            raise ValueError(f"member '{self.name}': images: own goes with a group or a partition, not with a level")
        return self


class EnsembleSettings(Settings):
    """How members' scores become labels."""

    members: tuple[str, ...] = ()  # names of members to combine; empty: all finished ones of the recipe
    baseline: tuple[str, ...] = ()  # names of flat members whose mean is the compute-matched baseline
    tta: Literal["none", "flips", "d4", "d4_crops"] = "none"  # test-time augmentation of each image
    tta_merge: Literal["mean", "max"] = "mean"  # of the augmented images' logits
    tta_sizes: tuple[
        Annotated[int, Field(ge=16, le=2048)], ...
    ] = ()  # pixels, sides of the augmented images; (): the members'
    # each of these four is a row of a table of rules in hpa_hier/ensemble, where it is checked
    calibrate: str = "temperature"  # temperature, platt, isotonic, none
    shrink_positives: Annotated[float, Field(ge=0)] = 50.0  # positives at which a node's own slope counts half
    aggregate: str = "logistic_stack"  # logistic_stack, mean, concat, blend, rnn
    refine: bool = True  # mean, concat: a slope and an offset for every node of the sum
    reconcile: str = "lift"  # lift
    thresholds: str = "bagged"  # bagged, plugin, f1, fixed
    fixed_threshold: Fraction = 0.5
    hand_thresholds: dict[str, Fraction] = Field(default_factory=dict)  # node → value set by hand
    small_class_positives: Annotated[int, Field(ge=0)] = 20  # below: prevalence for f1, plugin for bagged
    bootstrap: Annotated[int, Field(ge=0)] = 200  # resamples for a threshold's interval
    folds: Annotated[int, Field(ge=0, le=20)] = 5  # thresholds are fitted on out-of-fold probabilities; 0: in sample
    accept: Fraction = 0.8  # confidence that the aggregate beats the mean, else the mean is kept; needs folds
    safe_precision: Fraction = 0.9  # share of safe answers that must be right on held-out scores


class ReportSettings(Settings):
    """Figures and their intervals."""

    bootstrap: Annotated[int, Field(ge=0)] = 1000  # resamples for a figure's interval
    interval: Fraction = 0.95
    gallery: Annotated[int, Field(ge=0, le=100)] = 12  # images in each of best, worst, most uncertain
    seed: Seed = 0


class Recipe(Settings):
    """All settings of a run, as a recipe file under configs/ holds them."""

    run: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = "default"  # folder under artifacts/
    artifacts: str = "artifacts"  # folder that runs are kept in
    taxonomy: str = "hierarchy/hpa28.yaml"
    data: DataSettings = DataSettings()
    simulate: SimulateSettings = SimulateSettings()
    split: SplitSettings = SplitSettings()
    partition: PartitionSettings = PartitionSettings()
    training: TrainingSettings = TrainingSettings()
    members: tuple[MemberSettings, ...] = ()
    ensemble: EnsembleSettings = EnsembleSettings()
    report: ReportSettings = ReportSettings()

    @model_validator(mode="after")
    def _member_names_differ(self) -> Recipe:
        names = [member.name for member in self.members]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"member name {twice[0]!r} stands twice; names must differ")
        return self

    @model_validator(mode="after")
    def _folds_are_the_splits(self) -> Recipe:
        for block in (self.training.folds, *(member.training.get("folds", 0) for member in self.members)):
            if block not in (0, self.split.folds):
                raise ValueError(f"training.folds is {block} and split.folds {self.split.folds}; they must be the same")
        return self

    def member_training(self, member: MemberSettings) -> TrainingSettings:
        """Merge a member's overrides into the recipe's training settings, with all checks run again."""
        return TrainingSettings.model_validate(_merged(self.training.model_dump(), member.training))


def _merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with changes laid over them, block by block."""
    merged = dict(settings)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
