"""Recipes: every setting, its default, its unit and its check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Channel = Literal["red", "green", "blue", "yellow"]
Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=1 << 32)]  # what every library takes


class _Settings(BaseModel):
    """A frozen block of settings that refuses unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and info.field_name and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError("must be no truth value")
        return value


class DataSettings(_Settings):
    """Which images, and how they become a pack."""

    pack: str | None = None  # folder of a finished pack; None: the demo cells are drawn
    image_size: Annotated[int, Field(ge=16, le=2048)] = 256  # pixels, side of the square image kept in the pack
    channels: tuple[Channel, ...] = ("red", "green", "blue", "yellow")  # kept, in this order
    may_be_missing: tuple[Channel, ...] = ()  # channels that an image may lack; they are filled with zeros
    intensity: Literal["depth", "percentile"] = (
        "depth"  # to 8 bits: by bit depth, or each channel's 0.1..99.9 percentiles
    )
    # where a group is annotated and nothing below it, the nodes below are not told (unknown) or absent
    below_annotation: Literal["unknown", "absent"] = "unknown"


class SimulateSettings(_Settings):
    """The drawn cells that stand in where no data is named."""

    count: Positive = 4000  # images
    image_size: Annotated[int, Field(ge=32, le=1024)] = 64  # pixels
    imbalance: Annotated[float, Field(ge=0, le=1)] = 1.0  # 1: the real table's class counts; 0: all classes alike
    radius: tuple[Fraction, Fraction] | None = None  # cells' mean radius, share of the side, smallest and largest
    seed: Seed = 0

    @field_validator("radius")
    @classmethod
    def _from_small_to_large(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError("must be the smallest and the largest radius, in this order")
        return value


class SplitSettings(_Settings):
    """Train, calibration and test parts."""

    fractions: tuple[Fraction, Fraction, Fraction] = (0.70, 0.15, 0.15)  # train, calibration, test; sums to 1
    folds: Annotated[int, Field(ge=0, le=20)] = 0  # 0: none; else the train and calibration parts also get a fold
    seed: Seed = 0

    @model_validator(mode="after")
    def _sums_to_one(self) -> SplitSettings:
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"fractions must sum to 1, got {sum(self.fractions):g}")
        return self


class PartitionSettings(_Settings):
    """Which leaves are majority classes: those with many training images, or those named."""

    majority_min_images: Positive | None = (
        None  # training images a majority leaf has at least; None: a twentieth of all
    )
    majority: tuple[str, ...] = ()  # leaf names; where given, they are the majority whatever their counts


class AugmentSettings(_Settings):
    """What training varies; geometry never changes colour."""

    flips_and_quarter_turns: bool = True
    rotate: Annotated[float, Field(ge=0, le=180)] = 15.0  # degrees either way
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.1  # share of the size either way
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.05  # share of the side either way
    gain: Annotated[float, Field(ge=0, lt=1)] = 0.2  # share of each channel's intensity either way
    drop_channels: dict[Channel, Share] = {}  # probability that a channel is all zeros, as a missing one is


class MlpSettings(_Settings):
    """Hidden layers over feature vectors: those of the backbone mlp, or between frozen features and the head."""

    hidden: Positive = 256  # width of each hidden layer
    layers: Annotated[int, Field(ge=0, le=16)] = 2  # hidden layers; 0: the head sees the features themselves
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of each layer's outputs left out in training
    input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of the inputs left out in training


class ChainSettings(_Settings):
    """The head of conditional logits."""

    first_stage: Share = 0.5  # share of the steps that train the conditional logits, before the unconditional ones


class LevelsSettings(_Settings):
    """The head that goes down the levels."""

    hidden: Positive = 256  # width of the recurrent state
    node_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2  # share of the fed-back probabilities left out in training


class TrainingSettings(_Settings):
    """How a member is trained."""

    backbone: str = "small_cnn"  # small_cnn, or any timm model name; mlp for packs of vectors
    pretrained: bool = False  # timm weights from the hub, or from `weights`
    weights: str | None = None  # a local safetensors file of backbone weights, instead of the hub
    fourth_channel: Literal["mean", "green", "zero"] = "mean"  # the pretrained stem's filters for channels past RGB
    width: Positive = 32  # small_cnn: channels of the first stage
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    frozen: bool = False  # the backbone is run once and kept as it is; only what stands on its features is trained
    mlp: MlpSettings = MlpSettings()  # the backbone mlp, and frozen features
    head: Literal["flat", "chain", "levels"] = "flat"  # chain and levels answer for the nodes above, too
    chain: ChainSettings = ChainSettings()
    levels: LevelsSettings = LevelsSettings()
    loss: Literal["bce", "focal", "weighted_bce", "max_constraint"] = "bce"  # max_constraint: the nodes above, too
    balance: Literal["none", "repeat"] = "none"  # repeat: rare classes' images are repeated by repeat factors
    epochs: Positive = 30
    max_steps: Annotated[int, Field(ge=0)] = 0  # optimiser steps; 0: as many as the epochs hold
    batch_size: Positive = 64  # images a step and device
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    schedule: Literal["one_cycle", "constant"] = "one_cycle"
    stop_on: Literal["macro_f1", "loss", "none"] = "macro_f1"  # watched on the calibration part
    patience: Positive = 10  # epochs without a better value before training stops
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    devices: Positive = 1  # GPUs or CPU processes of one member
    nodes: Positive = 1  # machines of one member
    augment: AugmentSettings = AugmentSettings()

    @model_validator(mode="after")
    def _chain_has_its_own_constraint(self) -> TrainingSettings:
        if self.head == "chain" and self.loss == "max_constraint":
            raise ValueError("loss 'max_constraint' and head 'chain' are two ways to one end; give one of them")
        return self

    @property
    def several_levels(self) -> bool:
        """Whether a member answers for the nodes above those it names, since its head or loss needs them."""
        return self.head != "flat" or self.loss == "max_constraint"


class MemberSettings(_Settings):
    """One member: what it answers for, and where it differs from the recipe's training settings."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    level: str | None = None  # a level of the taxonomy, or all: every node
    group: str | None = None  # a group of the taxonomy: the leaves below it
    partition: Literal["majority", "minority"] | None = None
    seed: Seed = 0
    training: dict[str, object] = {}  # overrides of TrainingSettings, checked when they are merged

    @model_validator(mode="after")
    def _answers_for_one_thing(self) -> MemberSettings:
        given = [key for key in ("level", "group", "partition") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"member '{self.name}' needs exactly one of level, group, partition; got {given or 'none'}"
            )
        return self


class EnsembleSettings(_Settings):
    """How members' scores become labels."""

    members: tuple[str, ...] = ()  # names of members to combine; empty: all finished ones of the recipe
    flat: tuple[str, ...] = ()  # names of flat members whose mean is the compute-matched peer
    calibrate: Literal["platt", "temperature", "isotonic", "none"] = "temperature"
    shrink_positives: Annotated[float, Field(ge=0)] = 50.0  # positives at which a node's own slope counts half
    aggregate: Literal["mean", "concat", "stack", "ridge", "blend"] = "ridge"
    refine: bool = True  # mean, concat, stack: a slope and an offset for every node of the sum
    reconcile: Literal["lift", "gate", "chain", "min"] = "lift"
    thresholds: Literal["fixed", "global", "f1", "prevalence", "plugin", "bagged"] = "plugin"
    fixed_threshold: Fraction = 0.5
    small_class_positives: Annotated[int, Field(ge=0)] = 20  # below: prevalence for f1, plugin for bagged
    bootstrap: Annotated[int, Field(ge=0)] = 200  # resamples for a threshold's interval
    folds: Annotated[int, Field(ge=0, le=20)] = 5  # thresholds are fitted on out-of-fold probabilities; 0: in sample
    accept: Fraction = 0.8  # confidence that the aggregate beats the mean, else the mean is kept; needs folds
    safe_precision: Fraction = 0.9  # share of safe answers that must be right on held-out scores


class ReportSettings(_Settings):
    """Figures and their intervals."""

    bootstrap: Annotated[int, Field(ge=0)] = 1000  # resamples for a figure's interval
    interval: Fraction = 0.95
    gallery: Annotated[int, Field(ge=0, le=100)] = 12  # images in each of best, worst, most uncertain
    seed: Seed = 0


class Recipe(_Settings):
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

    def training_of(self, member: MemberSettings) -> TrainingSettings:
        """Merge a member's overrides into the recipe's training settings, with all checks run again."""
        return TrainingSettings.model_validate(_merged(self.training.model_dump(), member.training))


def _merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with changes laid over them, block by block."""
    merged = dict(settings)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged
