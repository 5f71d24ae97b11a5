"""How a member is trained: every setting, its default, its unit and its check."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hpa_hier.settings.base import Channel, Fraction, Positive, Settings, Share

NAMED_NUMBERS: dict[str, tuple[str, ...]] = {  # numbers that a loss takes beside its formula
    "focal": ("gamma",),
    "asymmetric": ("gamma_positive", "gamma_negative", "clip"),
    "class_balanced": ("beta",),
    "distribution_balanced": ("alpha", "beta", "mu", "scale", "kappa"),
    "logit_adjusted": ("tau",),
    "soft_f1": ("smooth",),
}
BELOW_ONE = {"class_balanced": "beta", "asymmetric": "clip"}  # numbers that end at 1
WEIGHTED_LOSSES = ("weighted_bce", "class_weighted")  # those that take weights by hand


class AugmentSettings(Settings):
    """What training varies; geometry never changes colour."""

    flips_and_quarter_turns: bool = True
    rotate: Annotated[float, Field(ge=0, le=180)] = 15.0  # degrees either way
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.1  # share of the size either way
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.05  # share of the side either way
    gain: Annotated[float, Field(ge=0, lt=1)] = 0.2  # share of each channel's intensity either way
    drop_channels: dict[Channel, Share] = Field(default_factory=dict)  # probability that one is all zeros
    gamma: Annotated[float, Field(ge=0, lt=1)] = 0.0  # each channel's exponent lies between 1 - gamma and 1 + gamma
    crop: Annotated[float, Field(gt=0, le=1)] = 1.0  # least share of the area that a random crop keeps; 1: no crop
    elastic: Annotated[float, Field(ge=0, le=0.05)] = 0.0  # share of the side that bending moves a place at most
    mixing: Literal["none", "mixup", "cutmix", "union_mean"] = "none"  # of two images and their labels
    mixing_share: Share = 0.5  # probability that an image is mixed with another
    mixing_alpha: Annotated[float, Field(gt=0)] = 1.0  # mixup, cutmix: the share of each image is Beta(alpha, alpha)
    only_minority: bool = False  # vary only the images that carry a minority leaf


class MlpSettings(Settings):
    """Hidden layers over feature vectors: those of the backbone mlp, or between frozen features and the head."""

    hidden: Positive = 256  # width of each hidden layer
    layers: Annotated[int, Field(ge=0, le=16)] = 2  # hidden layers; 0: the head sees the features themselves
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of each layer's outputs left out in training
    input_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of the inputs left out in training


class ChainSettings(Settings):
    """The head of conditional logits."""

    first_stage: Share = 0.5  # share of the steps that train the conditional logits, before the unconditional ones


class LevelsSettings(Settings):
    """The head that goes down the levels."""

    hidden: Positive = 256  # width of the recurrent state
    node_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2  # share of the fed-back probabilities left out in training


class ArcfaceSettings(Settings):
    """The head that tells antibodies apart in training, and lets the nearest training images vote on new ones."""

    embedding: Positive = 128  # width of the embedding
    scale: Annotated[float, Field(gt=0)] = 30.0  # of the cosines before the softmax
    margin: Annotated[float, Field(ge=0, lt=1.5)] = 0.3  # radians that an image is to be nearer to its own antibody
    neighbours: Positive = 20  # training images that vote
    temperature: Annotated[float, Field(gt=0)] = 0.1  # difference in cosine that counts e times as much


class TrainingSettings(Settings):
    """How a member is trained."""

    backbone: str = "small_cnn"  # small_cnn, two_conv_cnn, four_conv_cnn, any timm model name; mlp for packs of vectors
    pretrained: bool = False  # timm weights from the hub, or from `weights`
    weights: str | None = None  # a local safetensors file of backbone weights, instead of the hub
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8,64}$")] | None = None  # first digits of the file's
    fourth_channel: Literal["mean", "green", "zero"] = "mean"  # the pretrained stem's filters for channels past RGB
    width: Positive = 32  # small_cnn: channels of the first stage
    pooling: Literal["own", "average", "max", "avg_max", "gem", "attention", "spp"] = "own"  # own: the backbone's
    dense: tuple[Positive, ...] = ()  # widths of rectified layers between the pooling and the head
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
    freeze_epochs: Annotated[int, Field(ge=0)] = 0  # first epochs, in which the backbone does not change
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
        bounded = BELOW_ONE.get(self.loss, "")
        if (self.loss_options or {}).get(bounded, 0.0) >= 1:
            raise ValueError(f"loss_options: {bounded} of '{self.loss}' must be below 1")
        if (self.loss_options or {}).get("scale", 1.0) == 0:
            raise ValueError(f"loss_options: scale of '{self.loss}' must be above 0")
        if self.class_weights and self.loss not in WEIGHTED_LOSSES:
            raise ValueError(f"class_weights go with loss {' or '.join(WEIGHTED_LOSSES)}, not '{self.loss}'")
        if self.loss == "class_weighted" and not self.class_weights:
            raise ValueError("loss 'class_weighted' needs class_weights, as {Nucleoplasm: 0.5, Endosomes: 8}")
        return self

    @model_validator(mode="after")
    def _a_checksum_is_of_a_file(self) -> TrainingSettings:
        if self.weights_sha256 and not self.weights:
            raise ValueError("weights_sha256 is that of the file in training.weights; name it, or leave both out")
        return self

    @model_validator(mode="after")
    def _chain_has_its_own_constraint(self) -> TrainingSettings:
        if self.head == "chain" and self.loss == "max_constraint":
            raise ValueError("loss 'max_constraint' and head 'chain' are two ways to one end; give one of them")
        if self.head == "chain" and self.loss == "logit_adjusted":
            raise ValueError(
                "loss 'logit_adjusted' shifts by the share of all images, and head 'chain' learns shares given the "
                "parents; give one of them"
            )
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
