"""Ensemble files: an ensemble as one JSON file with names in it, its taxonomy and its network beside it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from hpa_hier import __version__
from hpa_hier.ensemble.combine.aggregate import Layout, Tensors, coverage
from hpa_hier.ensemble.combiner import Combiner
from hpa_hier.ensemble.decide.safe import REACHING, Candidate, SafeRule
from hpa_hier.ensemble.decide.thresholds import Thresholds
from hpa_hier.ensemble.decision import Decision
from hpa_hier.ensemble.ensemble import Ensemble, EnsembleMember
from hpa_hier.ensemble.novelty.novelty import Novelty
from hpa_hier.ensemble.rules import AGGREGATES, CALIBRATIONS, RECONCILERS, choose
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import describe_invalid, read_json, sha256, text_digest, write_bytes, write_json, write_text
from hpa_hier.files.faults.leftovers import is_temporary
from hpa_hier.files.faults.together import remove_file, together
from hpa_hier.files.lock import settle
from hpa_hier.files.shell import command
from hpa_hier.settings.renamed import CHOICES, REMOVED_CHOICES, translate_settings
from hpa_hier.taxonomy import Taxonomy

FORMAT: Final = 4
FILE = "ensemble.json"
FLAT_FILE = "flat.json"  # the compute-matched baseline, fitted the same way
NOVELTY_FILE = "novelty.safetensors"  # distances of the samples that members learned from


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Member(_Strict):
    sha256: str
    renamed: dict[str, str]
    given: str = ""  # the node whose probability its answers are multiplied by


class _Calibration(_Strict):
    rule: str
    nodes: dict[str, dict[str, Any]]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    rule: str


class _Tensors(_Strict):
    file: str
    sha256: str


class _Novelty(_Tensors):
    features: tuple[str, ...]


class _Threshold(_Strict):
    value: float
    rule: str
    low: float | None
    high: float | None
    positives: int
    safe: float | None  # None: the node is never a safe answer


class EnsembleFile(_Strict):
    """What ensemble.json holds."""

    format: Literal[4]
    version: str  # of hpa_hier
    taxonomy: str  # name of the label tree
    taxonomy_digest: str | None  # of the taxonomy.yaml beside it; older files have none
    about: dict[str, Any]
    members: Annotated[dict[str, _Member], Field(min_length=1)]
    calibrations: dict[str, _Calibration]  # by member
    aggregate: _Rule
    tensors: _Tensors | None = None
    reconcile: _Rule
    thresholds: dict[str, _Threshold]  # by node
    safe_candidate: Candidate = REACHING  # older files do not say
    novelty: _Novelty | None = None  # older files have none


def save(ensemble: Ensemble, folder: Path, file: str = FILE) -> Path:
    """Write an ensemble, its taxonomy and its tensors together, and return the JSON file's path."""
    with together(folder):
        write_text(folder / "taxonomy.yaml", ensemble.taxonomy.text)
        network = folder / f"{ensemble.aggregate}.safetensors"
        tensors = _write_tensors(network, ensemble.combiner.aggregate.tensors)
        novelty = write_novelty(ensemble.novelty, folder)
        write_json(folder / file, _to_file(ensemble, tensors, novelty).model_dump(mode="json"))
        if file == FILE:
            named = {kept.file for kept in (tensors, novelty) if kept}
            for other in folder.glob("*.safetensors"):
                if other.name not in named and not is_temporary(other.name):
                    remove_file(other)
    return folder / file


def write_novelty(novelty: Novelty | None, folder: Path) -> _Novelty | None:
    """Write an ensemble's distances beside its JSON file, and return what that file holds of them."""
    if novelty is None:
        return None
    kept = _write_tensors(folder / NOVELTY_FILE, novelty.to_tensors())
    return _Novelty(**kept.model_dump(), features=novelty.features) if kept else None


def _write_tensors(path: Path, tensors: Tensors) -> _Tensors | None:
    if not tensors:
        return None
    content = save_tensors({name: np.ascontiguousarray(array) for name, array in tensors.items()})
    write_bytes(path, content)
    return _Tensors(file=path.name, sha256=hashlib.sha256(content).hexdigest())


def load(folder: Path, file: str = FILE, read_taxonomy: Callable[[Path], Taxonomy] = Taxonomy.load) -> Ensemble:
    """Read an ensemble back; it predicts the same to the last bit.

    Args:
        folder: that `save` wrote to.
        file: name of the JSON file.
        read_taxonomy: reads the taxonomy beside it; a run passes what knows those that were read already.

    Raises:
        UserError: a file is absent, broken, of another format, or does not fit its taxonomy.
    """
    settle(folder)
    path, fit_command = folder / file, command("ensemble", "fit", run=folder.parent)
    again = f"fit it again: {fit_command}"
    if not path.is_file():
        raise UserError(f"{path}: no such file; fit the ensemble: {fit_command}")
    content = read_json(path)
    if not (folder / "taxonomy.yaml").exists():
        raise UserError(f"{folder / 'taxonomy.yaml'}: missing, and needed by {file}; {again}")
    taxonomy = read_taxonomy(folder / "taxonomy.yaml")
    if not isinstance(content, dict) or content.get("format") not in (2, 3, FORMAT):
        raise UserError(f"{path}: not an ensemble of format {FORMAT}; {again}")
    digest = text_digest(taxonomy.text)
    if (content.get("taxonomy_digest") or digest) != digest:
        raise UserError(f"{path}: was fitted under another {folder / 'taxonomy.yaml'} than is there now; {again}")
    try:
        kept = EnsembleFile.model_validate(content if content["format"] == FORMAT else _translate(content))
        novelty = None
        if kept.novelty:
            novelty = Novelty.from_tensors(kept.novelty.features, _read_tensors(kept.novelty, folder, again))
        ensemble = _from_file(kept, taxonomy, _read_tensors(kept.tensors, folder, again))
        return replace(ensemble, novelty=novelty)
    except ValidationError as error:
        raise UserError(f"{path}: {describe_invalid(error)}; {again}") from None
    except KeyError as error:
        raise UserError(f"{path}: does not fit {folder / 'taxonomy.yaml'}: {error} is missing; {again}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: is broken ({type(error).__name__}: {error}); {again}") from None
    except UserError as error:
        raise UserError(str(error) if again in str(error) else f"{path}: {error}; {again}") from None


def _to_file(ensemble: Ensemble, tensors: _Tensors | None, novelty: _Novelty | None) -> EnsembleFile:
    combiner, decision = ensemble.combiner, ensemble.decision
    safe = [None if math.isinf(value) else float(value) for value in decision.safe.thresholds]
    thresholds = decision.thresholds.to_json().items()
    return EnsembleFile(
        format=FORMAT,
        version=__version__,
        taxonomy=ensemble.taxonomy.name,
        taxonomy_digest=text_digest(ensemble.taxonomy.text),
        about=ensemble.about,
        members={
            one.name: _Member(sha256=one.digest, renamed=one.renamed, given=combiner.factors.get(one.name, ""))
            for one in ensemble.members
        },
        calibrations={
            name: _Calibration(rule=one.name, nodes=one.to_json()) for name, one in combiner.calibrations.items()
        },
        aggregate=_Rule(rule=combiner.aggregate.name, **combiner.aggregate.to_json(combiner.layout)),
        tensors=tensors,
        reconcile=_Rule(rule=combiner.reconciler.name, **combiner.reconciler.to_json(ensemble.taxonomy)),
        thresholds={node: _Threshold(**row, safe=value) for (node, row), value in zip(thresholds, safe, strict=True)},
        safe_candidate=decision.safe.candidate,
        novelty=novelty,
    )


def _from_file(kept: EnsembleFile, taxonomy: Taxonomy, tensors: Tensors) -> Ensemble:
    if set(kept.thresholds) != set(taxonomy.nodes):
        other = sorted(set(kept.thresholds) ^ set(taxonomy.nodes))[0]
        raise ValueError(f"thresholds for other nodes than the taxonomy's, such as '{other}'")
    names = sorted(kept.members)
    calibrations = {
        name: choose(CALIBRATIONS, kept.calibrations[name].rule, "calibrate").from_json(kept.calibrations[name].nodes)
        for name in names
    }
    factors = {name: kept.members[name].given for name in names if kept.members[name].given}
    for node in factors.values():
        taxonomy.column[node]  # a node that the taxonomy does not have is a KeyError, which `load` reports
    covers = coverage([one.nodes for one in calibrations.values()], taxonomy.column)
    rule = choose(AGGREGATES, kept.aggregate.rule, "aggregate")
    aggregate = rule.from_json(kept.aggregate.model_extra or {}, tensors, Layout(tuple(names), covers, taxonomy))
    reconcile = choose(RECONCILERS, kept.reconcile.rule, "reconcile")
    reconciler = reconcile.from_json(kept.reconcile.model_extra or {}, taxonomy)
    rows = {node: kept.thresholds[node].model_dump() for node in taxonomy.nodes}
    thresholds = Thresholds.from_json(rows)
    safe = SafeRule(
        np.array([math.inf if row["safe"] is None else row["safe"] for row in rows.values()]), kept.safe_candidate
    )
    members = tuple(EnsembleMember(name, kept.members[name].renamed, kept.members[name].sha256) for name in names)
    combiner = Combiner(taxonomy, calibrations, factors, aggregate, reconciler)
    return Ensemble(taxonomy, members, combiner, Decision(taxonomy, thresholds, safe), kept.about)


def _read_tensors(kept: _Tensors | None, folder: Path, again: str) -> Tensors:
    if kept is None:
        return {}
    path = folder / Path(kept.file).name
    if not path.is_file() or sha256(path) != kept.sha256:
        what = "does not match the checksum in" if path.is_file() else "missing, and needed by"
        raise UserError(f"{path}: {what} ensemble.json; {again}")
    tensors: Tensors = load_tensors(path.read_bytes())
    return tensors


def _translate(content: dict[str, Any]) -> dict[str, Any]:
    """Return what format 2 or 3 held as format 4: they had calibrations and weights below each member.

    Raises:
        UserError: probabilities were made coherent by a rule that was removed.
    """
    if content["reconcile"] != "lift":
        raise UserError(f"was fitted with ensemble.reconcile: {content['reconcile']}, which was removed")
    members, aggregate = content["members"], content["aggregate"]
    removed = REMOVED_CHOICES.get(("ensemble.aggregate", aggregate), (aggregate,))[0]  # all were weighted sums
    rule = {"rule": CHOICES.get(("ensemble.aggregate", aggregate), removed)}
    offset = {} if aggregate == "blend" else {"offset": content["offset"]}
    about = dict(content["about"])
    if "settings" in about:
        about["settings"] = translate_settings(about["settings"], "ensemble")
    calibrations = {name: one.pop("calibration") for name, one in members.items()}
    weights = {name: one.pop("weights") for name, one in members.items()}
    curved = {name: any("curve" in row for row in nodes.values()) for name, nodes in calibrations.items()}
    kept = {key: content[key] for key in ("version", "taxonomy", "thresholds")}
    return kept | {
        "format": FORMAT,
        "taxonomy_digest": content.get("taxonomy_digest"),
        "about": about,
        "members": members,
        "calibrations": {
            name: {"rule": "isotonic" if curved[name] else "platt", "nodes": nodes}
            for name, nodes in calibrations.items()
        },
        "aggregate": rule | {"weights": weights} | offset,
        "tensors": content.get("rnn"),
        "novelty": content.get("novelty"),
        "reconcile": {"rule": "lift"},
    }
