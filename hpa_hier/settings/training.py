"""How a member is trained: every setting, its default, its unit and its check."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

Channel = Literal["red", "green", "blue", "yellow"]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
AboveZero = Annotated[float, Field(gt=0)]
Folds = Annotated[int, Field(ge=0, le=20)]
Side = Annotated[int, Field(ge=16, le=2048)]  # pixels

LOSS_OPTIONS: dict[str, tuple[str, ...]] = {  # numbers that a loss takes beside its formula
    "focal": ("gamma",),
    "asymmetric": ("gamma_positive", "gamma_negative", "clip"),
    "class_balanced": ("beta",),
    "distribution_balanced": ("alpha", "beta", "mu", "scale", "kappa"),
    "logit_adjusted": ("tau",),
    "soft_f1": ("smooth",),
}
BELOW_ONE = {"class_balanced": "beta", "asymmetric": "clip"}  # numbers that end at 1
FIRST_WEIGHTS = ("init", "pretrained", "weights", "start_from")  # of which one at most holds
PACKAGE = "package:"  # how `weights` begins where an installed package has them
MLP, SKLEARN = "mlp", "sklearn"  # backbones of vectors: a network, and an estimator of scikit-learn
OF_ESTIMATORS = (  # settings that a member of an estimator has; all others are of networks
    "backbone", "estimator", "estimator_parameters", "vectors", "folds", "balance", "balance_target", "balance_bound",
    "balance_most",
)  # fmt: skip
WEIGHTED_LOSSES = ("weighted_bce", "class_weighted")  # those that take weights by hand


def setting(default: object, meaning: str, unit: str = "", **limits: Any) -> Any:  # noqa: ANN401 - any type's
    """Declare a setting of a block: its default, what it does, the unit of its numbers and, as `ge=0`, their limits."""
    return Field(default, description=meaning, json_schema_extra={"unit": unit} if unit else None, **limits)


class Settings(BaseModel):
    """A frozen block of settings that refuses unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _check_truth_value(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and info.field_name and cls.model_fields[info.field_name].annotation is not bool:
            raise ValueError("must not be true or false")
        return value


class AugmentSettings(Settings):
    """What training varies; geometry never changes colour."""

    flips_and_quarter_turns: bool = setting(True, "images are flipped and turned by quarters at random")
    rotate: float = setting(15.0, "rotation either way", "degrees", ge=0, le=180)
    scale: Dropout = setting(0.1, "change of the scale either way", "share of the size")
    shift: Dropout = setting(0.05, "shift either way", "share of the side")
    gain: Dropout = setting(0.2, "change of each channel's intensity either way", "share of the intensity")
    drop_channels: dict[Channel, Share] = setting({}, "how often a channel is zeroed, as {yellow: 0.5}", "probability")
    gamma: Dropout = setting(0.0, "each channel's exponent is between 1 - gamma and 1 + gamma")
    crop: float = setting(1.0, "least area that a random crop keeps; 1: no crop", "share of the area", gt=0, le=1)
    elastic: float = setting(0.0, "how far bending moves a point at most", "share of the side", ge=0, le=0.05)
    mixing: Literal["none", "mixup", "cutmix", "union_mean"] = setting(
        "none", "how two images are mixed; union_mean: the mean of two minority images with all labels of both"
    )
    mixing_share: Share = setting(0.5, "how often an image is mixed, or under a plan, a copy added", "probability")
    mixing_alpha: AboveZero = setting(1.0, "mixup, cutmix: the share of each image is drawn from Beta(alpha, alpha)")
    styles: str | None = setting(
        None, "folder of unlabelled pictures, of all channels or of one each, whose look training images take on"
    )
    style_share: Share = setting(0.5, "how often an image takes on a style", "probability")
    style_spectrum: Share = setting(1.0, "largest share of a picture's softness and grain, its spectrum")
    style_histogram: Share = setting(0.5, "largest share of a picture's levels of brightness")
    only_minority: bool = setting(False, "vary only the images that carry a minority leaf")


class MlpSettings(Settings):
    """Hidden layers over feature vectors: those of the backbone mlp, or between frozen features and the head."""

    hidden: Positive = setting(256, "width of each hidden layer")
    layers: int = setting(2, "hidden layers; 0: the head sees the features themselves", ge=0, le=16)
    dropout: Dropout = setting(0.0, "outputs of each hidden layer left out in training", "share")
    input_dropout: Dropout = setting(0.0, "inputs left out in training; helps where features are few", "share")


class ChainSettings(Settings):
    """The head of conditional logits."""

    first_stage: Share = setting(0.5, "steps that train the conditional logits first", "share of the steps")


class LevelsSettings(Settings):
    """The head that goes down the levels."""

    hidden: Positive = setting(256, "width of the recurrent state")
    node_dropout: Dropout = setting(0.2, "fed-back probabilities left out in training", "share")


class ArcfaceSettings(Settings):
    """The head that tells antibodies apart in training, and lets the nearest training images vote on new ones."""

    embedding: Positive = setting(128, "width of the embedding")
    scale: AboveZero = setting(30.0, "factor of the cosines before the softmax")
    margin: float = setting(0.3, "how much nearer an image must be to its own antibody", "radians", ge=0, lt=1.5)
    neighbours: Positive = setting(20, "training images that vote", "images")
    temperature: AboveZero = setting(0.1, "difference in cosine that makes a neighbour count e times as much")


class TrainingSettings(Settings):
    """How a member is trained."""

    backbone: str = setting(
        "small_cnn",
        "small_cnn, two_conv_cnn, four_conv_cnn, subcell, or any timm model name, such as resnet34 on a GPU; for "
        "vectors mlp, or sklearn with an `estimator`",
    )
    estimator: str | None = setting(
        None,
        "sklearn: extra_trees, label_trees (for thousands of nodes), random_forest, logistic_regression, "
        "nearest_neighbours, hist_gradient_boosting, svm, or the dotted path of a classifier's class, as "
        "sklearn.naive_bayes.GaussianNB",
    )
    estimator_parameters: dict[str, Any] = setting(
        {}, "parameters of that class, as {n_estimators: 300}; those left out have its own defaults"
    )
    pretrained: bool = setting(False, "start from timm's weights; needs a network, or `weights`")
    init: Literal["none", "pretrained"] = setting(
        "none",
        "pretrained: start from the bundled ensemble, with its backbone and width, and its head where nodes agree",
    )
    weights: str | None = setting(
        None,
        "a local safetensors file of backbone weights, instead of the hub's; or package:efficientnet_lite0, lite1 or "
        "lite2: those of ImageNet in the extra imagenet, for backbone tf_efficientnet_lite0, lite1 or lite2",
    )
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{8,64}$")] | None = setting(
        None, "checksum of that file, or at least its first 8 digits; training stops where the file has another"
    )
    start_from: str | None = setting(
        None, "name of another member of the run, trained before, whose backbone's weights are the first ones here"
    )
    width: Positive = setting(32, "small_cnn: channels of the first stage", "channels")
    pooling: Literal["own", "average", "max", "avg_max", "gem", "attention", "spp"] = setting(
        "own", "pooling before the head: the backbone's own, or another; spp: spatial pyramid"
    )
    dense: tuple[Positive, ...] = setting((), "widths of rectified layers between the pooling and the head")
    sizes: tuple[Side, ...] = setting((), "sides that batches are resized to, in turn; empty: the pack's", "pixels")
    dropout: Dropout = setting(0.1, "features left out before the head in training", "share")
    frozen: bool = setting(False, "run the backbone once and keep it as it is; only what follows it is trained")
    mlp: MlpSettings = MlpSettings()
    vectors: Literal["standardise", "normal_scores", "both"] = setting(
        "standardise",
        "how features of vectors, or of a frozen backbone, reach the network or estimator; standardise: mean 0 and "
        "deviation 1; normal_scores: by their ranks in the training part, for features of very unequal size; "
        "both: side by side",
    )
    head: Literal["flat", "chain", "levels", "arcface"] = setting(
        "flat",
        "flat: one sigmoid for each node; chain: conditional logits, and levels: a GRU down the levels, answer for the "
        "nodes above too; arcface: the nearest training images vote",
    )
    arcface: ArcfaceSettings = ArcfaceSettings()
    chain: ChainSettings = ChainSettings()
    levels: LevelsSettings = LevelsSettings()
    loss: Literal[
        "bce", "focal", "weighted_bce", "class_weighted", "asymmetric", "class_balanced", "distribution_balanced",
        "logit_adjusted", "soft_f1", "max_constraint",
    ] = setting("bce", "max_constraint answers for the nodes above too; see docs/howto/members.md")  # fmt: skip
    loss_options: dict[str, Annotated[float, Field(ge=0)]] | None = setting(
        None, "as {gamma: 1.5}; see docs/howto/members.md"
    )
    class_weights: dict[str, AboveZero] | None = setting(
        None, "weights by hand, as {Endosomes: 8}, for weighted_bce (of positives) and class_weighted (of both)"
    )
    balance: Literal["none", "repeat", "cooccurrence", "weighted", "copied"] = setting(
        "none",
        "how rare classes are seen more often: by repeat factors; by a plan that holds common classes back; by drawing "
        "from this plan; or by copies of every image with a rare class",
    )
    balance_target: Fraction = setting(0.01, "all but repeat: what each class is lifted to", "share of the images")
    balance_bound: float = setting(0.15, "cooccurrence, weighted: largest growth of a common class", "share", ge=0)
    auxiliary: float = setting(
        0.0, "weight of the leaves that a member does not answer for and learns beside its own; 0: none", ge=0
    )
    balance_most: int = setting(32, "cooccurrence, weighted: most repeats of an image", "times", ge=1, le=1000)
    epochs: Positive = setting(30, "passes over the training images", "epochs")
    max_steps: Count = setting(0, "optimiser steps; 0: as many as the epochs hold", "steps")
    batch_size: Positive = setting(
        64, "images in a batch of each device; a step has devices × nodes × accumulate batches", "images"
    )
    data_seed: Count | None = setting(
        None,
        "seed of the order and variation of a member's images; null: its own. Members with one data_seed meet the same "
        "images in the same order, and `train --all --together` reads and varies them once",
    )
    learning_rate: AboveZero = setting(1e-3, "largest learning rate of the schedule")
    weight_decay: float = setting(1e-2, "weight decay of the optimiser", ge=0)
    optimizer: Literal["adamw", "adam", "sgd"] = setting("adamw", "the optimiser; sgd has momentum 0.9")
    folds: Folds | None = setting(
        None,
        "a network for each fold of the split, scored on that fold; null: as many as the split has; 0: one",
        "folds",
    )
    schedule: Literal["one_cycle", "warmup_cosine", "constant"] = setting("one_cycle", "the learning-rate schedule")
    warmup: Dropout = setting(0.05, "warmup_cosine: steps in which the rate rises", "share of the steps")
    backbone_rate: AboveZero = setting(1.0, "the backbone's learning rate", "times the head's")
    freeze_epochs: Count = setting(0, "first epochs, in which the backbone's weights do not change", "epochs")
    accumulate: Positive = setting(1, "batches whose gradients make one optimiser step", "batches")
    ema: Dropout = setting(0.0, "decay of the weights' moving average, which is kept, as 0.999; 0: no average")
    stop_on: Literal["log_loss", "loss", "macro_f1", "macro_sample_f1", "none"] = setting(
        "log_loss",
        "what is watched on the calibration part to stop early and to keep the best epoch: log_loss (after scaling the "
        "logits), loss (the training's own), or F1 at each node's own best threshold, which a few images overstate",
    )
    patience: Positive = setting(10, "epochs without a better value before training stops", "epochs")
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = setting(
        "auto", "auto: bf16-mixed on a GPU that has it, and what is measured to be faster on a CPU; else 32-true"
    )
    channels_last: bool = setting(
        True, "images and filters lie in memory pixel by pixel, which convolutions compute faster on most devices"
    )
    keep_on_device: Literal["auto", "never", "always"] = setting(
        "auto",
        "training images in the device's memory, as 8-bit numbers, and varied there; auto: on a CUDA GPU, where they "
        "take at most half of the memory that is free, and are not mixed",
    )
    compile: Literal["never", "on_gpu", "always"] = setting(
        "never",
        "compile the network's passes, which takes minutes at the start; on_gpu: on a GPU, for 2,000 steps or more",
    )
    cuda_graphs: bool = setting(
        False, "launch a compiled step as one graph: on one CUDA GPU, where a step is one batch"
    )
    save_dtype: Literal["float32", "float16"] = setting(
        "float32",
        "how weights are kept on disk; float16: in half the space, and held-out scores are of the rounded ones",
    )
    devices: Positive = setting(1, "GPUs, or CPU processes, that train one member, on each machine", "devices")
    nodes: Positive = setting(1, "machines that train one member; more than one: see docs/howto/gpu.md", "machines")
    wait: AboveZero = setting(300.0, "how long the processes of one member wait for each other at the start", "seconds")
    augment: AugmentSettings = AugmentSettings()

    @model_validator(mode="after")
    def _check_loss(self) -> TrainingSettings:
        options, known = self.loss_options or {}, LOSS_OPTIONS.get(self.loss, ())
        unknown = sorted(set(options) - set(known))
        if unknown:
            takes = f"takes {', '.join(known)}" if known else "takes no numbers; set loss_options to null"
            raise ValueError(f"loss_options: loss '{self.loss}' has no {unknown[0]!r}; it {takes}")
        bounded = BELOW_ONE.get(self.loss, "")
        if options.get(bounded, 0.0) >= 1:
            raise ValueError(f"loss_options: {bounded} of '{self.loss}' must be below 1")
        if options.get("scale", 1.0) == 0:
            raise ValueError(f"loss_options: scale of '{self.loss}' must be above 0")
        if self.class_weights and self.loss not in WEIGHTED_LOSSES:
            raise ValueError(f"class_weights go with loss {' or '.join(WEIGHTED_LOSSES)}, not '{self.loss}'")
        if self.loss == "class_weighted" and not self.class_weights:
            raise ValueError("loss 'class_weighted' needs class_weights, as {Nucleoplasm: 0.5, Endosomes: 8}")
        if self.weights_sha256 and not self.weights:
            raise ValueError("weights_sha256 is that of the file in training.weights; name it, or leave both out")
        if self.start_from and (self.weights or self.pretrained):
            given = "weights" if self.weights else "pretrained"
            raise ValueError(f"start_from and {given} both give the backbone's first weights; leave one of them out")
        return self

    @model_validator(mode="after")
    def _check_graphs(self) -> TrainingSettings:
        if self.cuda_graphs and self.compile == "never":
            raise ValueError("cuda_graphs are made of compiled passes; set compile to on_gpu")
        return self

    @model_validator(mode="after")
    def _check_head(self) -> TrainingSettings:
        if self.head == "chain" and self.loss == "max_constraint":
            raise ValueError("loss 'max_constraint' and head 'chain' are two ways to one end; give one of them")
        if self.head == "chain" and self.loss == "logit_adjusted":
            raise ValueError(
                "loss 'logit_adjusted' shifts by the share of all images, and head 'chain' learns shares given the "
                "parents; give one of them"
            )
        if self.head == "arcface" and self.loss != "bce":
            raise ValueError(f"head 'arcface' has a loss of its own; leave loss out, got '{self.loss}'")
        if self.head == "arcface" and self.augment.mixing != "none":
            raise ValueError(f"head 'arcface' tells antibodies apart, which mixing '{self.augment.mixing}' blurs")
        return self

    @model_validator(mode="after")
    def _check_estimator(self) -> TrainingSettings:
        if self.backbone == SKLEARN and not self.estimator:
            raise ValueError("backbone 'sklearn' needs an estimator, as extra_trees")
        if self.backbone != SKLEARN and (self.estimator or self.estimator_parameters):
            given = "estimator" if self.estimator else "estimator_parameters"
            raise ValueError(f"{given} goes with backbone sklearn, not '{self.backbone}'")
        return self

    @property
    def processes(self) -> tuple[int, int]:
        """How many processes train a member: on each machine, and machines; an estimator is fitted in one.

        >>> TrainingSettings(devices=2, nodes=3).processes
        (2, 3)
        >>> TrainingSettings(backbone="sklearn", estimator="svm", devices=2).processes
        (1, 1)
        """
        return (1, 1) if self.backbone == SKLEARN else (self.devices, self.nodes)

    @property
    def takes_vectors(self) -> bool:
        """Whether it is made for vectors, not for images."""
        return self.backbone in (MLP, SKLEARN)

    def of_estimator(self) -> TrainingSettings:
        """Return the settings that an estimator has, all others with their defaults.

        >>> shared = TrainingSettings(backbone="sklearn", estimator="svm", epochs=5, folds=5)
        >>> settings = shared.of_estimator()
        >>> settings.epochs, settings.folds
        (30, 5)
        """
        return TrainingSettings.model_validate(self.model_dump(include=set(OF_ESTIMATORS)))

    @property
    def several_levels(self) -> bool:
        """Whether a member answers for the nodes above those it names, since its head or loss needs them."""
        return self.head in ("chain", "levels") or self.loss == "max_constraint"
