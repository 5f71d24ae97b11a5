"""Plan: images matched with rows of the label table, and what of either cannot be packed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from hpa_hier.data.images.channels import check_may_be_missing, cure_missing
from hpa_hier.data.images.readers import find_file, split_suffix
from hpa_hier.data.images.scan import ImageSource, Reject, Scan, scan
from hpa_hier.data.images.stacks import NO_CHOICE, StackRules
from hpa_hier.data.labels.class_folders import means_folders, read_class_folders
from hpa_hier.data.labels.problems import OnProblem, Problem, stop_at_problems
from hpa_hier.data.labels.table import LabelTable, read_labels
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import text_digest
from hpa_hier.taxonomy import Taxonomy

CURE = "fix them, or give --on-problem skip to leave these samples out (rejected.csv then lists them all)"


@dataclass(frozen=True)
class PackRequest:
    """What is to be packed, and how."""

    images: Path
    labels: Path
    out: Path
    taxonomy: Taxonomy
    size: int  # pixels, side of the packed image
    channels: tuple[str, ...]  # kept, in this order along axis C
    may_be_missing: tuple[str, ...] = ()
    intensity: str = "auto"  # "depth" or "percentile", or "auto": one of the two, by a look at some images
    hint: str | None = None  # what --channels says
    on_problem: OnProblem = "stop"
    ignore_columns: tuple[str, ...] = ()  # of the label table, that are no labels
    follow_links: bool = False  # enter linked folders, and take links that leave the folder
    stacks: StackRules = NO_CHOICE  # how z stacks and time series become one image

    def __post_init__(self) -> None:
        check_may_be_missing(self.may_be_missing)

    def refused(self, source: ImageSource) -> tuple[str, ...]:
        """Return the channels that a sample lacks and may not lack."""
        return tuple(c for c in source.missing_channels(self.channels) if c not in self.may_be_missing)


@dataclass(frozen=True, slots=True)
class Planned:
    """One sample to pack."""

    source: ImageSource
    nodes: tuple[str, ...]
    group: str


@dataclass(frozen=True)
class Plan:
    """Samples to pack, in the order of the label table."""

    samples: tuple[Planned, ...]
    rejects: tuple[Reject, ...]  # known before an image is opened
    notes: tuple[str, ...]  # what of the label table was taken for what
    image_notes: tuple[str, ...] = ()  # what of the images' names


def make_plan(request: PackRequest) -> Plan:
    """Match images with rows.

    Raises:
        UserError: there are problems and the request says to stop at them, nothing is left to pack, or the pack's
            folder is among the images.
    """
    _check_out(request)
    found = scan(request.images, request.hint, request.follow_links)
    if not found.sources:
        raise UserError(f"{request.images}: of {len(found.rejects):,} images none can be used; {found.rejects[0]}")
    table = read_image_labels(request.labels, found, request.taxonomy, request.images, "skip", request.ignore_columns)
    sources = {source.id: source for source in found.sources}
    problems, mismatched = _mismatches(request, table, found)
    if request.on_problem == "stop":
        lacking = sorted({channel for source in found.sources for channel in request.refused(source)})
        allow = (
            f"; {cure_missing(lacking, [name for name, c in found.meanings.items() if c is None])}" if lacking else ""
        )
        unusable = Problem("image that cannot be used", tuple(map(str, found.rejects)))  # alone they do not stop it
        listed = (unusable, *table.problems, *problems) if any(p.items for p in (*table.problems, *problems)) else ()
        where = request.images if means_folders(request.labels) else f"{request.labels} and {request.images}"
        stop_at_problems(where, listed, CURE + allow)
    samples = tuple(
        Planned(sources[sample_id], nodes, group)
        for sample_id, nodes, group in zip(table.ids, table.nodes, table.groups, strict=True)
        if sample_id in sources and not request.refused(sources[sample_id])
    )
    skipped = (Reject(sample_id, request.labels.name, reason) for sample_id, reason in table.skipped.items())
    rejects = (*found.rejects, *skipped, *mismatched)
    if not samples:
        first = f"; first: {rejects[0].id} {rejects[0].reason}" if rejects else ""
        raise UserError(f"{request.images}: no image that can be packed has a row in {request.labels}{first}")
    return Plan(samples, rejects, table.notes, found.notes)


def read_image_labels(
    labels: Path,
    found: Scan,
    taxonomy: Taxonomy,
    images: Path,
    on_problem: OnProblem = "stop",
    ignore: Collection[str] = (),
) -> LabelTable:
    """Read the labels of a folder of images, from a table or, where `labels` is `folders`, from class folders.

    Raises:
        UserError: as `read_labels` and `read_class_folders`.
    """
    if not means_folders(labels):
        return read_labels(labels, taxonomy, on_problem, ignore, found.names)
    if ignore:
        raise UserError("--ignore-columns: goes with a label table; class folders have no columns, leave it out")
    return read_class_folders({one.id: one.folder for one in found.sources}, taxonomy, images, on_problem)


def _check_out(request: PackRequest) -> None:
    """Refuse to write a pack among pictures; a folder of its own below them is passed over by scans."""
    images, out = request.images.resolve(), request.out.resolve()
    if images.is_dir() and out == images:
        raise UserError(f"--out {request.out}: is the folder of images itself; name another folder")
    if images.is_dir() and out.is_relative_to(images) and out.is_dir():
        picture = next((one.name for one in sorted(out.iterdir()) if split_suffix(one.name)[1]), None)
        if picture:
            raise UserError(f"--out {request.out}: holds pictures, such as {picture}; name another folder")


def _mismatches(request: PackRequest, table: LabelTable, found: Scan) -> tuple[tuple[Problem, ...], tuple[Reject, ...]]:
    """Return images without row, rows without image, and samples without a channel that they need."""
    rows = set(table.ids)
    files = {source.id for source in found.sources} | {reject.id for reject in found.rejects}
    orphans = [source.id for source in found.sources if source.id not in rows and source.id not in table.skipped]
    absent = [sample_id for sample_id in table.ids if sample_id not in files]
    lacking = {s.id: ", ".join(request.refused(s)) for s in found.sources if s.id in rows and request.refused(s)}
    problems = (
        Problem("image without row", tuple(orphans)),
        Problem("row without image", tuple(absent)),
        Problem("missing channel", tuple(f"{sample_id} has no {names}" for sample_id, names in lacking.items())),
    )
    rejects = (
        *(Reject(sample_id, "", f"no row in {request.labels.name}") for sample_id in orphans),
        *(Reject(sample_id, "", "no image") for sample_id in absent),
        *(Reject(sample_id, "", f"missing channel: {names}") for sample_id, names in lacking.items()),
    )
    return problems, rejects


def request_digest(request: PackRequest, plan: Plan, intensity: str) -> str:
    """Hash what the pack follows from: settings, labels, and each file's name, length and time of change.

    `intensity` is the rule in the end: "depth" or "percentile".
    """
    settings = (*request.channels, "-", *request.may_be_missing, "-", str(request.size), intensity)
    if request.stacks != NO_CHOICE:
        settings = (*settings, request.stacks.projection, str(request.stacks.frame))
    return text_digest(*settings, request.taxonomy.text, more=_describe_plan(plan))


def _describe_plan(plan: Plan) -> Iterator[str]:
    """Yield a line for each reject, sample and file."""
    for reject in plan.rejects:
        yield f"{reject.id}\t{reject.file}\t{reject.reason}"
    for sample in plan.samples:
        yield "\t".join((sample.source.id, *sample.nodes, sample.group))
        for channel, plane in sample.source.planes.items():
            for file in plane.files:
                facts = find_file(file).stat()
                yield f"{channel}\t{plane.index}\t{file.name}\t{facts.st_size}\t{facts.st_mtime_ns}"
