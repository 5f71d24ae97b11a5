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


NAMED_NUMBERS: dict[str, tuple[str, ...]] = {  # numbers that a loss takes beside its formula
    "focal": ("gamma",),
    "asymmetric": ("gamma_positive", "gamma_negative", "clip"),
    "class_balanced": ("beta",),
    "distribution_balanced": ("alpha", "beta", "mu", "scale", "kappa"),
    "logit_adjusted": ("tau",),
    "soft_f1": ("smooth",),
}
WEIGHTED_LOSSES = ("weighted_bce", "class_weighted")  # those that take weights by hand


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
    supersample: Annotated[int, Field(ge=1, le=8)] = 1  # times the side that fields are drawn at, then shrunk
    variety: Share = 0.0  # 0: as a microscope gives them; 1: contrast, sharpness, compression vary more than nature's
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
    near_duplicates: Annotated[int, Field(ge=0, le=15)] | None = (
        None  # bits; images of a pack whose fingerprints differ in at most so many, and look alike, stay together
    )

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
    virtual_nodes: bool = False  # nodes has_majority and has_minority above the leaves; the level `partition` is them


class AugmentSettings(_Settings):
    """What training varies; geometry never changes colour."""

    flips_and_quarter_turns: bool = True
    rotate: Annotated[float, Field(ge=0, le=180)] = 15.0  # degrees either way
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.1  # share of the size either way
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.05  # share of the side either way
    gain: Annotated[float, Field(ge=0, lt=1)] = 0.2  # share of each channel's intensity either way
    drop_channels: dict[Channel, Share] = {}  # probability that a channel is all zeros, as a missing one is
    gamma: Annotated[float, Field(ge=0, lt=1)] = 0.0  # each channel's exponent lies between 1 - gamma and 1 + gamma
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0  # least share of the area that a random crop keeps; 1: no crop
    elastic: Annotated[float, Field(ge=0, le=0.05)] = 0.0  # share of the side that bending moves a place at most
    mixing: Literal["none", "mixup", "cutmix", "union_mean"] = "none"  # of two images and their labels
    mixing_share: Share = 0.5  # probability that an image is mixed with another
    mixing_alpha: Annotated[float, Field(gt=0)] = 1.0  # mixup, cutmix: the share of each image is Beta(alpha, alpha)
    only_minority: bool = False  # vary only the images that carry a minority leaf


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


class ArcfaceSettings(_Settings):
    """The head that tells antibodies apart in training, and lets the nearest training images vote on new ones."""

    embedding: Positive = 128  # width of the embedding
    scale: Annotated[float, Field(gt=0)] = 30.0  # of the cosines before the softmax
    margin: Annotated[float, Field(ge=0, lt=1.5)] = 0.3  # radians that an image is to be nearer to its own antibody
    neighbours: Positive = 20  # training images that vote
    temperature: Annotated[float, Field(gt=0)] = 0.1  # difference in cosine that counts e times as much


class TrainingSettings(_Settings):
    """How a member is trained."""

    backbone: str = "small_cnn"  # small_cnn, two_conv_cnn, four_conv_cnn, any timm model name; mlp for packs of vectors
    pretrained: bool = False  # timm weights from the hub, or from `weights`
    weights: str | None = None  # a local safetensors file of backbone weights, instead of the hub
    fourth_channel: Literal["mean", "green", "zero"] = "mean"  # the pretrained stem's filters for channels past RGB
    width: Positive = 32  # small_cnn: channels of the first stage
    pooling: Literal["own", "average", "max", "avg_max", "gem", "attention", "spp"] = "own"  # own: the backbone's
    sizes: tuple[Annotated[int, Field(ge=16, le=2048)], ...] = ()  # pixels, sides of batches in turn; (): the pack's
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    frozen: bool = False  # the backbone is run once and kept as it is; only what stands on its features is trained
    mlp: MlpSettings = MlpSettings()  # the backbone mlp, and frozen features
    # chain and levels answer for the nodes above, too; arcface lets the nearest training images vote
    head: Literal["flat", "chain", "levels", "arcface"] = "flat"
    arcface: ArcfaceSettings = ArcfaceSettings()
    chain: ChainSettings = ChainSettings()
    levels: LevelsSettings = LevelsSettings()
    loss: Literal[
        "bce",
        "focal",
        "weighted_bce",
        "class_weighted",
        "asymmetric",
        "class_balanced",
        "distribution_balanced",
        "logit_adjusted",
        "soft_f1",
        "max_constraint",  # answers for the nodes above, too
    ] = "bce"
    loss_options: dict[str, Annotated[float, Field(ge=0)]] | None = None  # numbers of the loss, by name
    class_weights: dict[str, Annotated[float, Field(gt=0)]] | None = None  # node → weight, for the weighted losses
    balance: Literal["none", "repeat", "cooccurrence", "weighted", "copied"] = "none"  # how rare classes are seen more
    balance_target: Fraction = 0.01  # all but repeat: share of the training images that a class is lifted to
    balance_bound: Annotated[float, Field(ge=0)] = (
        0.15  # cooccurrence, weighted: growth of classes that have their share already
    )
    balance_most: Annotated[int, Field(ge=1, le=1000)] = 32  # the same: no image is repeated more often
    epochs: Positive = 30
    max_steps: Annotated[int, Field(ge=0)] = 0  # optimiser steps; 0: as many as the epochs hold
    batch_size: Positive = 64  # images a step and device
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    folds: Annotated[int, Field(ge=0, le=20)] = 0  # a network for each of the split's folds; 0: one, on the train part
    schedule: Literal["one_cycle", "warmup_cosine", "constant"] = "one_cycle"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05  # warmup_cosine: share of the steps in which the rate rises
    backbone_rate: Annotated[float, Field(gt=0)] = 1.0  # the backbone's learning rate, share of the head's
    freeze_epochs: Annotated[int, Field(ge=0)] = 0  # first epochs, in which the backbone's weights stand still
    accumulate: Positive = 1  # batches whose gradients make one optimiser step
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0  # decay of the weights' moving average, which is kept; 0: none
    stop_on: Literal["macro_f1", "macro_sample_f1", "loss", "none"] = "macro_f1"  # watched on the calibration part
    patience: Positive = 10  # epochs without a better value before training stops
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    devices: Positive = 1  # GPUs or CPU processes of one member
    nodes: Positive = 1  # machines of one member
    augment: AugmentSettings = AugmentSettings()

    @model_validator(mode="after")
    def _loss_takes_what_it_is_given(self) -> TrainingSettings:
        known = NAMED_NUMBERS.get(self.loss, ())
        unknown = sorted(set(self.loss_options or {}) - set(known))
        if unknown:
            takes = f"takes {', '.join(known)}" if known else "takes no numbers; set loss_options to null"
            raise ValueError(f"loss_options: loss '{self.loss}' has no {unknown[0]!r}; it {takes}")
        if self.class_weights and self.loss not in WEIGHTED_LOSSES:
            raise ValueError(f"class_weights go with loss {' or '.join(WEIGHTED_LOSSES)}, not '{self.loss}'")
        if self.loss == "class_weighted" and not self.class_weights:
            raise ValueError("loss 'class_weighted' needs class_weights, as {Nucleoplasm: 0.5, Endosomes: 8}")
        return self

    @model_validator(mode="after")
    def _chain_has_its_own_constraint(self) -> TrainingSettings:
        if self.head == "chain" and self.loss == "max_constraint":
            raise ValueError("loss 'max_constraint' and head 'chain' are two ways to one end; give one of them")
        return self

    @model_validator(mode="after")
    def _arcface_has_a_loss_of_its_own(self) -> TrainingSettings:
        if self.head == "arcface" and self.loss != "bce":
            raise ValueError(f"head 'arcface' has a loss of its own; leave loss out, got '{self.loss}'")
        if self.head == "arcface" and self.augment.mixing != "none":
            raise ValueError(f"head 'arcface' tells antibodies apart, which mixing '{self.augment.mixing}' blurs")
        return self

    @property
    def several_levels(self) -> bool:
        """Whether a member answers for the nodes above those it names, since its head or loss needs them."""
        return self.head in ("chain", "levels") or self.loss == "max_constraint"


class MemberSettings(_Settings):
    """One member: what it answers for, and where it differs from the recipe's training settings."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    level: str | None = None  # a level of the taxonomy, or all: every node
    group: str | None = None  # a group of the taxonomy: the leaves below it
    partition: Literal["majority", "minority"] | None = None
    images: Literal["all", "own"] = "all"  # that it is trained on: all, or those that carry one of its leaves
    seed: Seed = 0
    training: dict[str, object] = {}  # overrides of TrainingSettings, checked when they are merged

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


class EnsembleSettings(_Settings):
    """How members' scores become labels."""

    members: tuple[str, ...] = ()  # names of members to combine; empty: all finished ones of the recipe
    flat: tuple[str, ...] = ()  # names of flat members whose mean is the compute-matched peer
    views: Literal["none", "flips", "d4", "d4_crops"] = "none"  # ways in which each image is scored
    views_merge: Literal["mean", "max"] = "mean"  # of the views' logits
    view_sizes: tuple[Annotated[int, Field(ge=16, le=2048)], ...] = ()  # pixels, sides of the views; (): the members'
    calibrate: Literal["platt", "temperature", "isotonic", "none"] = "temperature"
    shrink_positives: Annotated[float, Field(ge=0)] = 50.0  # positives at which a node's own slope counts half
    aggregate: Literal["mean", "concat", "stack", "ridge", "rnn", "blend"] = "ridge"
    refine: bool = True  # mean, concat, stack: a slope and an offset for every node of the sum
    reconcile: Literal["lift", "gate", "chain", "min"] = "lift"
    thresholds: Literal["fixed", "global", "f1", "prevalence", "plugin", "bagged"] = "bagged"
    fixed_threshold: Fraction = 0.5
    hand_thresholds: dict[str, Fraction] = {}  # node → value set by hand, whatever the rule for the others
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

    @model_validator(mode="after")
    def _folds_are_the_splits(self) -> Recipe:
        for block in (self.training.folds, *(member.training.get("folds", 0) for member in self.members)):
            if block not in (0, self.split.folds):
                raise ValueError(f"training.folds is {block} and split.folds {self.split.folds}; they must be the same")
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
