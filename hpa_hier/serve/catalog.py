"""Catalog: the ensembles that the server offers, each with what people should know before they trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from hpa_hier.ensemble.ensemble_file import FILE
from hpa_hier.errors import UserError
from hpa_hier.evaluate.describe import describe_scope, format_estimate
from hpa_hier.evaluate.results import read_results
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.predict.inputs import InputSpec
from hpa_hier.runs.find import PRETRAINED, find_run
from hpa_hier.runs.run import Run
from hpa_hier.serve.safety.refusal import Refusal
from hpa_hier.taxonomy import Taxonomy

_IMAGES = "images"


@dataclass(frozen=True)
class Listed:
    """One ensemble that is there."""

    name: str
    folder: Path  # of the run
    opened: Run | None  # None: it cannot be opened
    reason: str = ""  # why it cannot answer for images; "" where it can

    @property
    def run(self) -> Run:
        """The run.

        Raises:
            Refusal: it cannot be opened.
        """
        if self.opened is None:
            raise Refusal("cannot", f"the ensemble '{self.name}' {self.reason}; choose another")
        return self.opened

    @property
    def spec(self) -> InputSpec:
        """What images must be like.

        Raises:
            Refusal: it takes no images.
        """
        spec = None if self.reason else InputSpec.from_ensemble(self.run.ensemble)
        if spec is None:
            raise Refusal("cannot", f"the ensemble '{self.name}' {self.reason}; choose another")
        return spec

    @property
    def caution(self) -> str:
        """What goes beside every answer; "" where nothing does."""
        return "" if self.reason else self.run.origin.warning


class Catalog:
    """Finds ensembles again whenever it is asked, so that one that was adapted meanwhile is there."""

    def __init__(self, names: Sequence[str], artifacts: Path) -> None:
        self._names, self._artifacts = tuple(names), artifacts
        self._added: list[Path] = []
        self._opened: dict[Path, tuple[int, Listed]] = {}  # folder → when its ensemble was written, and what it is
        self._lock = Lock()

    def folders(self) -> dict[str, Path]:
        """Return the runs with an ensemble by name: those that are named, else all there are and the bundled one."""
        if self._names:
            found = [find_run(name, self._artifacts) for name in self._names]
        else:
            fitted = (path.parents[1] for path in sorted(self._artifacts.glob(f"*/ensemble/{FILE}")))
            found = [folder for folder in fitted if not folder.name.startswith(".")]  # which are being made
            bundled = pretrained_folder()
            if bundled and not any(folder.resolve() == bundled for folder in found):
                found.append(bundled)
        names: dict[str, Path] = {}
        for folder in dict.fromkeys([*found, *self._added]):
            name = PRETRAINED if folder.resolve() == pretrained_folder() else folder.resolve().name
            same = 1 + sum(one == name or one.startswith(f"{name}~") for one in names)
            names[name if same == 1 else f"{name}~{same}"] = folder
        return names

    def add(self, folder: Path) -> None:
        """Offer one more run."""
        with self._lock:
            if folder not in self._added:
                self._added.append(folder)

    def get(self, name: str) -> Listed:
        """Return an ensemble by name.

        Raises:
            Refusal: there is none of this name; the nearest is named.
        """
        folders = self.folders()
        if name not in folders:
            there = did_you_mean(name, folders) or f"; there are {', '.join(folders) or 'none'}"
            raise Refusal("not_found", f"no ensemble is called '{name[:80]}'{there}")
        return self._open(name, folders[name])

    def list(self) -> list[Listed]:
        """Return all ensembles, those that can answer for images first."""
        found = [self._open(name, folder) for name, folder in self.folders().items()]
        return sorted(found, key=lambda one: bool(one.reason))

    def default(self) -> Listed | None:
        """Return the ensemble that answers where none is named: the first of those named, else as `predict` chooses."""
        able = [one for one in self.list() if not one.reason]
        if self._names or not able:
            return next((one for one in able), None)
        real = [one for one in able if one.run.origin.calibrated != "simulated"]
        newest = sorted(real, key=lambda one: (one.run.ensemble_folder / FILE).stat().st_mtime_ns)
        bundled = [one for one in able if one.name == PRETRAINED]
        return [*able[:1], *bundled, *newest][-1]

    def _open(self, name: str, folder: Path) -> Listed:
        try:
            written = (folder / "ensemble" / FILE).stat().st_mtime_ns
        except OSError:
            return Listed(name, folder, None, "is not fitted yet")
        with self._lock:
            kept = self._opened.get(folder)
            if kept is None or kept[0] != written or kept[1].name != name:
                kept = (written, _check(name, folder))
                self._opened[folder] = kept
            return kept[1]


def _check(name: str, folder: Path) -> Listed:
    """Open an ensemble, and say why it cannot answer for images where it cannot."""
    run = None
    try:
        run = Run.open(folder)
        spec = InputSpec.from_ensemble(run.ensemble)
        if spec is None:
            return Listed(name, folder, run, "was fitted on other models' scores, and takes no images")
        if spec.kind != _IMAGES:
            return Listed(name, folder, run, f"takes {spec.kind}, and no images")
        run.check_unchanged(run.ensemble)
        run.origin  # noqa: B018  (reads what the members learned from, which may be damaged)
    except UserError as error:
        return Listed(name, folder, run, f"cannot be used: {error}")
    return Listed(name, folder, run)


def describe(one: Listed, loaded: bool = False) -> dict[str, Any]:
    """Return what people should know of an ensemble, as `GET /ensembles` does."""
    about: dict[str, Any] = {
        "name": one.name,
        "folder": str(one.folder),
        "usable": not one.reason,
        "reason": one.reason or None,
        "loaded": loaded,
        "caution": one.caution,
    }
    if one.reason:
        return about
    ensemble, origin, spec = one.run.ensemble, one.run.origin, one.spec
    tree = ensemble.taxonomy.without_virtual
    records = one.run.select_members([member.name for member in ensemble.members])
    from hpa_hier.data.images.channels import STAINS

    return {
        **about,
        "origin": {
            "networks": origin.networks,
            "started": origin.started,
            "calibrated": origin.calibrated,
            "images": origin.images,
        },
        "no_safe": origin.why_unsafe(simulated=False),
        "learned_from": _describe_learning(one),
        "quality": _describe_quality(one.run),
        "not_for": _describe_limits(one),
        "taxonomy": tree.name,
        "classes": len(tree.leaves),
        "levels": {level: len(tree.level(level)) for level in tree.levels},
        "channels": list(spec.channels),
        "stains": {channel: STAINS.get(channel, channel) for channel in spec.channels},
        "may_be_missing": list(spec.may_be_missing),
        "size": spec.size,
        "members": [
            {"name": record.name, "network": record.manifest.backbone, "nodes": len(record.manifest.nodes)}
            for record in records
        ],
        "exclusive": tree.exclusive,
    }


def describe_tree(one: Listed) -> list[dict[str, Any]]:
    """Return the nodes of an ensemble's label tree with their thresholds, parents before children."""
    one.spec  # noqa: B018  (refuses one that takes no images)
    tree, limits = one.run.ensemble.taxonomy, one.run.ensemble.thresholds
    level_of = {node: level for level in reversed(tree.levels) for node in tree.level(level)}
    found = []
    for node in tree.without_virtual.nodes:
        entry, never = tree.node(node), bool(limits.never[tree.column[node]])
        found.append(
            {
                "node": node,
                "label": entry.label,
                "leaf": tree.is_leaf(node),
                "open": entry.open,
                "parents": list(tree.without_virtual.parents(node)),
                "level": level_of.get(node),
                "go": entry.go,
                "description": entry.description or None,
                "aliases": list(entry.aliases),
                "never": never,
                "threshold": None if never or tree.exclusive else float(limits.values[tree.column[node]]),
            }
        )
    return found


def find_label_nodes(tree: Taxonomy) -> list[str]:
    """Return the nodes that an image can be labelled with: leaves, and open groups."""
    return [node for node in tree.without_virtual.nodes if tree.is_leaf(node) or tree.node(node).label is not None]


def _describe_learning(one: Listed) -> list[str]:
    """Say what an ensemble's networks learned from, and what it was calibrated on."""
    origin, about, facts = one.run.origin, one.run.ensemble.about, one.run.facts
    images = facts.images if facts and facts.images else origin.images
    number = f"{images:,} " if images else ""
    kind = {"real": "real images", "simulated": "simulated fields only", "unknown": "images of which nothing is known"}
    learned = number if origin.networks == origin.calibrated else ""
    lines = [f"its networks learned from {learned}{kind[origin.networks]}"]
    if origin.started:
        lines.append("they started from networks that had learned from simulated cells")
    samples = int(about.get("samples") or 0)
    if samples:
        kept = {"real": "real images", "simulated": "simulated fields", "unknown": "images"}[origin.calibrated]
        lines.append(f"its probabilities and thresholds were fitted on {samples:,} {kept}")
    return lines


def _describe_quality(run: Run) -> list[str]:
    """Say how good an ensemble was where it was tested; nothing where it was not."""
    try:
        results = read_results(run.ensemble_folder)
    except UserError:
        return []
    rows = [results.row("macro_f1"), results.row("micro_f1"), *(level.top for level in results.levels)]
    shown = [f"{row.name} {format_estimate(row.ensemble, digits=row.digits)}" for row in rows]
    return [*shown, f"on {describe_scope(results.scope)}"]


def _describe_limits(one: Listed) -> list[str]:
    """Say what an ensemble is not for."""
    spec, limits = one.spec, one.run.ensemble.thresholds
    tree = one.run.ensemble.taxonomy
    needed = [channel for channel in spec.channels if channel not in spec.may_be_missing]
    lines = [f"images without {', '.join(needed)}"]
    never = [leaf for leaf in tree.leaves if limits.never[tree.column[leaf]]]
    half = [leaf for leaf in tree.leaves if limits.doubtful[tree.column[leaf]]]
    if never:
        lines.append(f"{', '.join(never)}: never called, since there was no image of them to fit on")
    if half:
        lines.append(f"{', '.join(half)}: not told apart from other places")
    if spec.frame is None:
        lines.append("time series, unless one frame is chosen")
    if one.run.origin.warning:
        lines.append("conclusions about real images: " + one.run.origin.warning)
    return lines
