"""Keeping: an ensemble as one JSON file with names in it, its taxonomy beside it, and its network where it has one."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from hpa_hier import __version__
from hpa_hier.ensemble.calibrate.isotonic import Curve
from hpa_hier.ensemble.calibrate.platt import Calibration
from hpa_hier.ensemble.combine.reconcile import Gate
from hpa_hier.ensemble.combine.rnn import Rnn, columns_by_depth
from hpa_hier.ensemble.decide.thresholds import Thresholds
from hpa_hier.ensemble.ensemble import Ensemble, EnsembleMember
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json, sha256, text_digest, write_bytes, write_json, write_text
from hpa_hier.files.shell import command
from hpa_hier.metrics.arrays import Floats
from hpa_hier.settings.renamed import CHOICES, translate_settings
from hpa_hier.taxonomy import Taxonomy

FORMAT = 3
_READABLE = (2, 3)  # 2 has no network and no conditional members
FILE = "ensemble.json"
FLAT_FILE = "flat.json"  # the compute-matched baseline, fitted the same way
NETWORK = "rnn.safetensors"  # of the aggregate rnn


def save(ensemble: Ensemble, folder: Path, file: str = FILE) -> Path:
    """Write an ensemble and its taxonomy; the JSON file comes last, so where it stands the folder is whole.

    Args:
        ensemble: a fitted one.
        folder: created where absent.
        file: name of the JSON file.

    Returns:
        The JSON file's path.
    """
    write_text(folder / "taxonomy.yaml", ensemble.taxonomy.text)
    path, network = folder / file, folder / NETWORK
    content = to_json(ensemble)
    if ensemble.rnn:
        write_bytes(network, save_tensors(dict(ensemble.rnn.weights)))
        content["rnn"] = {"file": NETWORK, "sha256": sha256(network)}
    write_json(path, content)
    if file == FILE and not ensemble.rnn:
        network.unlink(missing_ok=True)
    return path


def load(folder: Path, file: str = FILE) -> Ensemble:
    """Read an ensemble back; it predicts the same to the last bit.

    Raises:
        UserError: a file is absent, broken, of another format, or does not fit its taxonomy.
    """
    path = folder / file
    if not path.is_file():
        raise UserError(f"{path}: no such file; fit the ensemble: {fit_command(folder.parent)}")
    content = read_json(path)
    taxonomy = Taxonomy.load(folder / "taxonomy.yaml")
    again = fit_command(folder.parent)
    if not isinstance(content, dict) or content.get("format") not in _READABLE:
        raise UserError(f"{path}: not an ensemble of format {FORMAT}; fit it again: {again}")
    digest = text_digest(taxonomy.text)
    if content.get("taxonomy_digest", digest) != digest:  # older files have none
        raise UserError(
            f"{path}: was fitted under another {folder / 'taxonomy.yaml'} than stands there; fit it again: {again}"
        )
    try:
        ensemble = _from_json(content, taxonomy)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: does not fit {folder / 'taxonomy.yaml'} or is broken ({type(error).__name__}: {error}); "
            f"fit it again: {again}"
        ) from None
    return replace(ensemble, rnn=_network(content["rnn"], ensemble, folder)) if content.get("rnn") else ensemble


def fit_command(run: Path) -> str:
    """Return the command that fits a run's ensemble, with the run named so that it is found."""
    return command("ensemble", "fit", run=run)


def _network(kept: dict[str, Any], ensemble: Ensemble, folder: Path) -> Rnn:
    path = folder / NETWORK
    if not path.is_file() or sha256(path) != kept.get("sha256"):
        what = "does not match the checksum in" if path.is_file() else "missing, and needed by"
        raise UserError(f"{path}: {what} ensemble.json; fit it again: {fit_command(folder.parent)}")
    nodes = ensemble.taxonomy
    return Rnn(columns_by_depth(len(nodes.nodes), nodes.bottom_up), ensemble.covers, load_tensors(path.read_bytes()))


def to_json(ensemble: Ensemble) -> dict[str, Any]:
    """Return an ensemble as plain names and numbers."""
    nodes = ensemble.taxonomy.nodes
    limits = ensemble.thresholds
    return {
        "format": FORMAT,
        "version": __version__,
        "taxonomy": ensemble.taxonomy.name,
        "taxonomy_digest": text_digest(ensemble.taxonomy.text),
        "about": ensemble.about,
        "members": {member.name: _member_to_json(member, nodes) for member in ensemble.members},
        "offset": {node: float(value) for node, value in zip(nodes, ensemble.offset, strict=True)},
        "aggregate": ensemble.aggregate,
        "reconcile": ensemble.reconcile,
        "gamma": {nodes[one.group]: one.gamma for one in ensemble.gates},
        "thresholds": {
            node: {
                "value": float(limits.values[j]),
                "rule": limits.rules[j],
                "low": _number(limits.low[j]),
                "high": _number(limits.high[j]),
                "positives": int(limits.positives[j]),
                "safe": None if math.isinf(ensemble.safe[j]) else float(ensemble.safe[j]),
            }
            for j, node in enumerate(limits.nodes)
        },
    }


def _member_to_json(member: EnsembleMember, nodes: tuple[str, ...]) -> dict[str, Any]:
    calibration = member.calibration
    return {
        "sha256": member.digest,
        "renamed": member.renamed,
        "given": member.given,
        "calibration": {
            node: {"slope": float(calibration.slope[j]), "offset": float(calibration.offset[j])}
            | ({"curve": asdict(calibration.curves[j])} if calibration.curves else {})
            for j, node in enumerate(calibration.nodes)
        },
        "weights": {node: float(weight) for node, weight in zip(nodes, member.weights, strict=True) if weight},
    }


def _from_json(content: dict[str, Any], taxonomy: Taxonomy) -> Ensemble:
    members = tuple(_member_from_json(name, kept, taxonomy) for name, kept in sorted(content["members"].items()))
    gates = tuple(_gate(group, float(gamma), taxonomy) for group, gamma in content["gamma"].items())
    limits = content["thresholds"]
    if set(limits) != set(taxonomy.nodes):
        raise ValueError(f"thresholds for other nodes, such as '{sorted(set(limits) ^ set(taxonomy.nodes))[0]}'")
    rows = [limits[node] for node in taxonomy.nodes]
    thresholds = Thresholds(
        taxonomy.nodes,
        np.array([float(row["value"]) for row in rows]),
        tuple(str(row["rule"]) for row in rows),
        np.array([_float(row["low"]) for row in rows]),
        np.array([_float(row["high"]) for row in rows]),
        np.array([int(row["positives"]) for row in rows], dtype=np.int64),
    )
    offset = np.array([float(content["offset"][node]) for node in taxonomy.nodes])
    safe = np.array([math.inf if row["safe"] is None else float(row["safe"]) for row in rows])
    aggregate = str(content["aggregate"])
    rules = CHOICES.get(("ensemble.aggregate", aggregate), aggregate), str(content["reconcile"])
    ensemble = Ensemble(taxonomy, members, offset, *rules, gates, thresholds, safe)
    about = dict(content["about"])
    if "settings" in about:
        about["settings"] = translate_settings(about["settings"], "ensemble")
    return replace(ensemble, about=about)


def _member_from_json(name: str, kept: dict[str, Any], taxonomy: Taxonomy) -> EnsembleMember:
    calibration = Calibration(
        tuple(kept["calibration"]),
        np.array([float(row["slope"]) for row in kept["calibration"].values()]),
        np.array([float(row["offset"]) for row in kept["calibration"].values()]),
        tuple(_curve(row["curve"]) for row in kept["calibration"].values() if "curve" in row),
    )
    weights: Floats = np.zeros(len(taxonomy.nodes))
    for node, weight in kept["weights"].items():
        weights[taxonomy.column[node]] = float(weight)
    for node in calibration.nodes:
        taxonomy.column[node]  # a node the taxonomy has not is a KeyError, told by `load`
    given = str(kept.get("given", ""))
    if given:
        taxonomy.column[given]
    return EnsembleMember(name, calibration, weights, dict(kept["renamed"]), str(kept["sha256"]), given)


def _curve(kept: dict[str, Any]) -> Curve:
    return Curve(tuple(map(float, kept["knots"])), tuple(map(float, kept["heights"])), float(kept["share"]))


def _gate(group: str, gamma: float, taxonomy: Taxonomy) -> Gate:
    leaves = tuple(taxonomy.column[leaf] for leaf in taxonomy.leaves_below(group))
    return Gate(taxonomy.column[group], leaves, gamma)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)
