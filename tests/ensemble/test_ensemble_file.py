"""Ensemble files: what earlier versions wrote is read, what is broken is one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ensemble_cases import draw_members, draw_truth, random_taxonomy

from hpa_hier.ensemble.decide.safe import REACHING
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.ensemble_file import FILE, NOVELTY_FILE, load, save
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.novelty.novelty import Novelty
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.settings.recipe import EnsembleSettings


def fit_small() -> Ensemble:
    """Fit an ensemble on drawn samples."""
    rng = np.random.default_rng(0)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 40)
    return fit(draw_members(rng, truth, taxonomy), truth, taxonomy, EnsembleSettings(bootstrap=0, folds=0))


def as_format_3(content: dict[str, Any], aggregate: str) -> dict[str, Any]:
    """Rewrite a file as version 3 had it: calibration and weights below each member, names as they were."""
    members = {
        name: {
            **one,
            "calibration": content["calibrations"][name]["nodes"],
            "weights": content["aggregate"]["weights"][name],
        }
        for name, one in content["members"].items()
    }
    offset = content["aggregate"].get("offset") or dict.fromkeys(content["thresholds"], 0.0)
    kept = {key: content[key] for key in ("version", "taxonomy", "taxonomy_digest", "about", "thresholds")}
    rules = {"aggregate": aggregate, "reconcile": "lift", "gamma": {}}
    return kept | rules | {"format": 3, "members": members, "offset": offset} | ({"rnn": content["tensors"]})


@pytest.mark.parametrize(
    ("aggregate", "written_as", "calibrate"),
    [
        ("logistic_stack", "ridge", "temperature"),
        ("logistic_stack", "stack", "platt"),
        ("blend", "blend", "isotonic"),
        ("rnn", "rnn", "none"),
    ],
)
def test_a_file_of_format_3_answers_the_same(aggregate: str, written_as: str, calibrate: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 60)
    members = draw_members(rng, truth, taxonomy)
    rules = {"aggregate": aggregate, "calibrate": calibrate, "reconcile": "lift"}  # all that format 3 knew
    ensemble = fit(members, truth, taxonomy, EnsembleSettings(**rules, bootstrap=0, folds=0))
    path = save(ensemble, tmp_path)
    path.write_text(json.dumps(as_format_3(read_json(path), written_as)))
    again = load(tmp_path)
    assert again.aggregate == aggregate
    assert again.decision.safe.candidate == REACHING
    as_then = replace(ensemble.decision, safe=replace(ensemble.decision.safe, candidate=REACHING))
    one, other = replace(ensemble, decision=as_then).predict(members), again.predict(members)
    assert one.probs.tobytes() == other.probs.tobytes()
    assert one.present.tobytes() == other.present.tobytes()
    assert one.safe.column.tolist() == other.safe.column.tolist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reconcile": "gate"}, r"was fitted with ensemble\.reconcile: gate, which was removed; fit it again: python"),
        ({"members": {}}, r"ensemble\.json: members: Dictionary should have at least 1 item.*; fit it again"),
        (
            {"offset": lambda content: dict.fromkeys(content["offset"], float("nan"))},
            r"ensemble\.json: not a JSON file \(Out of range float values are not JSON compliant",
        ),
        ({"format": 5}, r"ensemble\.json: not an ensemble of format 4; fit it again"),
        ({"version": 1}, r"ensemble\.json: version: Input should be a valid string; fit it again"),
        (
            {
                "thresholds": lambda content: (
                    content["thresholds"] | {"Elsewhere": next(iter(content["thresholds"].values()))}
                )
            },
            r"thresholds for other nodes than the taxonomy's, such as 'Elsewhere'\); fit it again",
        ),
        ({"taxonomy_digest": "0" * 16}, r"was fitted under another .*taxonomy\.yaml than is there now; fit it again"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 40)
    ensemble = fit(draw_members(rng, truth, taxonomy), truth, taxonomy, EnsembleSettings(bootstrap=0, folds=0))
    path = save(ensemble, tmp_path)
    content = as_format_3(read_json(path), "ridge")
    path.write_text(
        json.dumps(content | {key: value(content) if callable(value) else value for key, value in change.items()})
    )
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / FILE) in str(caught.value)


def test_distances_are_kept_beside_it_and_an_older_file_has_none(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    taxonomy = random_taxonomy(rng)
    truth = draw_truth(rng, taxonomy, 40)
    settings = EnsembleSettings(bootstrap=0, folds=0, aggregate="rnn", accept=0.5)
    plain = fit(draw_members(rng, truth, taxonomy), truth, taxonomy, settings)
    samples = rng.normal(size=(60, 4))
    ensemble = replace(plain, novelty=Novelty.fit(samples, tuple("abcd")))
    path = save(ensemble, tmp_path)
    assert ensemble.novelty is not None
    again = load(tmp_path).novelty
    assert again is not None
    assert again.features == tuple("abcd")
    assert again.distances(samples).tobytes() == ensemble.novelty.distances(samples).tobytes()

    (tmp_path / NOVELTY_FILE).write_bytes(b"other")
    with pytest.raises(UserError, match=r"novelty\.safetensors: does not match the checksum in ensemble\.json; fit it"):
        load(tmp_path)
    content = read_json(path)
    del content["novelty"]
    path.write_text(json.dumps(content))
    assert load(tmp_path).novelty is None
    save(plain, tmp_path)
    assert sorted(file.name for file in tmp_path.glob("*.safetensors")) == ["rnn.safetensors"]


def test_what_a_killed_process_had_ready_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = fit_small()
    save(replace(ensemble, about={"fitted": "before"}), tmp_path)
    real = Path.replace

    def replace_journal_alone(self: Path, target: Path) -> Path:
        if target.name.endswith((".json", ".yaml")) and not target.name.startswith("."):
            raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_journal_alone)
        with pytest.raises(KeyboardInterrupt):
            save(replace(ensemble, about={"fitted": "again"}), tmp_path)
    assert load(tmp_path).about == {"fitted": "again"}


def test_an_ensemble_without_its_taxonomy_or_of_a_node_that_it_lacks_is_refused(tmp_path: Path) -> None:
    ensemble = fit_small()
    path = save(ensemble, tmp_path)
    content = read_json(path)
    next(iter(content["members"].values()))["given"] = "Elsewhere"
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"does not fit .*taxonomy\.yaml: 'Elsewhere' is missing; fit it again: python"):
        load(tmp_path)
    (tmp_path / "taxonomy.yaml").unlink()
    with pytest.raises(UserError, match=r"taxonomy\.yaml: missing, and needed by ensemble\.json; fit it again: python"):
        load(tmp_path)


def test_a_folder_without_an_ensemble_and_a_file_of_another_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ensemble\.json: no such file; fit the ensemble: python -m hpa_hier"):
        load(tmp_path)
    ensemble = fit_small()
    path = save(ensemble, tmp_path)
    kept = read_json(path)
    for content in (kept | {"format": 5}, {name: value for name, value in kept.items() if name != "format"}, [1]):
        path.write_text(json.dumps(content))
        with pytest.raises(UserError, match=r"ensemble\.json: "):
            load(tmp_path)
    without = kept | {"thresholds": dict(list(kept["thresholds"].items())[1:])}
    path.write_text(json.dumps(without))
    with pytest.raises(UserError, match=r"ensemble\.json"):
        load(tmp_path)
