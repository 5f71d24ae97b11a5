"""Shapes: what the answers over HTTP look like, as /openapi.json describes them; a test holds the answers to it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


def answers(shape: type[BaseModel], status: int = 200) -> dict[str, Any]:
    """Return what a route says of its answer, which is sent as it is."""
    return {"response_model": None, "responses": {status: {"model": shape}}}


class Shape(BaseModel):
    """An object of JSON."""

    model_config = ConfigDict(extra="forbid")


class Problem(Shape):
    """Every error."""

    error: str = Field(description="what is wrong, what was got; what to do")
    code: str
    status: int


class Left(Shape):
    """A sample that could not be answered for."""

    id: str
    file: str
    reason: str


class JobState(Shape):
    """How far a job is."""

    job: str
    ensemble: str
    caution: str = Field(description="what goes beside every answer")
    state: Literal["open", "queued", "reading", "answering", "done", "failed", "cancelled"]
    created: str
    title: str
    files: int
    total: int | None = Field(description="images; null: not counted yet")
    ready: int = Field(description="images with an answer")
    waiting: int = Field(description="images of all jobs that wait for the model")
    seconds: float | None
    seconds_left: float | None
    error: str | None
    rejected: list[Left]
    aside: list[str] = Field(description="files that are no images of samples")
    notes: list[str] = Field(description="what in names was taken for what")
    warnings: list[str]


class JobList(Shape):
    """The jobs that are kept."""

    jobs: list[JobState]


class PlaceShape(Shape):
    """A likely place."""

    node: str
    prob: float


class CorrectionShape(Shape):
    """What a person said."""

    labels: list[str]
    unsure: bool
    note: str
    kept: str | None = Field(description="id in the label table")


class Row(Shape):
    """One image in a table of many."""

    key: str
    id: str
    name: str = Field(description="its file as the user calls it")
    places: list[PlaceShape]
    labels: list[str]
    groups: list[str]
    fallback: str | None = Field(description="the likeliest leaf where nothing is called")
    safe: str | None
    safe_reason: str | None = Field(description="why there is no safe answer")
    doubt: float = Field(description="leaves that are expected to be called wrongly or missed, by the probabilities")
    doubtful: list[str]
    unlike: bool = Field(description="unlike what the ensemble learned from")
    warning: str
    corrected: CorrectionShape | None


class NodeShape(Shape):
    """A node's probability for one image."""

    node: str
    prob: float
    threshold: float | None
    present: bool
    never: bool


class ChannelShape(Shape):
    """A channel that an image has."""

    name: str
    stain: str


class Card(Row):
    """All that is said of one image."""

    caution: str
    nodes: list[NodeShape]
    filled: list[str]
    channels: list[ChannelShape]
    source: list[str]


class Rows(Shape):
    """Rows in the order in which they became ready."""

    job: JobState
    samples: list[Row]
    next: int


class Predicted(Shape):
    """A job, and its cards where it ended while the request waited."""

    job: JobState
    samples: list[Card] | None = None


class OriginShape(Shape):
    """What an ensemble's answers rest on."""

    networks: Literal["real", "simulated", "unknown"]
    started: bool
    calibrated: Literal["real", "simulated", "unknown"]
    images: int


class MemberShape(Shape):
    """A member."""

    name: str
    network: str
    nodes: int


class TreeNode(Shape):
    """A node of the label tree."""

    node: str
    label: str | None
    leaf: bool
    open: bool
    parents: list[str]
    level: str | None
    go: str | None
    description: str | None
    aliases: list[str]
    never: bool
    threshold: float | None


class EnsembleShape(Shape):
    """An ensemble, with what people should know before they trust it; of one that is not usable, the reason."""

    name: str
    folder: str
    usable: bool
    reason: str | None
    loaded: bool
    caution: str
    origin: OriginShape | None = None
    no_safe: str = ""
    learned_from: list[str] = []
    quality: list[str] = []
    not_for: list[str] = []
    taxonomy: str = ""
    classes: int = 0
    levels: dict[str, int] = {}
    channels: list[str] = []
    stains: dict[str, str] = {}
    may_be_missing: list[str] = []
    size: int = 0
    members: list[MemberShape] = []
    exclusive: bool = False
    tree: list[TreeNode] | None = None


class EnsembleList(Shape):
    """The ensembles that are there."""

    default: str | None
    ensembles: list[EnsembleShape]


class Explanation(Shape):
    """Why an answer is as it is."""

    reasons: dict[str, Any]
    text: str
    methods: dict[str, str]
    note: str
    members: list[str]


class NearShape(Shape):
    """A training image."""

    id: str
    labels: list[str]
    similarity: float
    picture: str | None


class Nearest(Shape):
    """The nearest training images."""

    images: list[NearShape]
    member: str
    reason: str | None


class KeptShape(Shape):
    """A row of the label table of corrections."""

    id: str
    labels: list[str]
    note: str
    when: str


class CorrectionList(Shape):
    """The corrections of an ensemble's answers."""

    folder: str
    table: str
    count: int
    classes: dict[str, int]
    rows: list[KeptShape]
    command: str | None
    reason: str | None


class AdaptingState(Shape):
    """How far the adapting of an ensemble is."""

    state: Literal["none", "running", "done", "failed", "cancelled"]
    ensemble: str = ""
    out: str = ""
    command: str = ""
    seconds: float = 0.0
    lines: list[str] = []
    error: str | None = None
    result: str | None = None
