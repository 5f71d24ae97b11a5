"""The ensemble over members that were really trained, for a moment, on simulated cells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpa_hier.cli import train
from hpa_hier.cli.ensemble import main
from hpa_hier.errors import UserError
from hpa_hier.settings.recipe import SimulateSettings
from hpa_hier.simulate.write import write_folder

RECIPE = """run: brief
artifacts: {artifacts}
data: {{image_size: 32}}
simulate: {{count: 220, image_size: 32}}
split: {{folds: 0}}
training: {{width: 4, epochs: 1, batch_size: 32, stop_on: none}}
members:
  - {{name: coarse, level: coarse}}
  - {{name: leaf, level: leaf}}
ensemble: {{members: [coarse, leaf], baseline: [leaf], bootstrap: 20}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("trained")
    (home / "brief.yaml").write_text(RECIPE.format(artifacts=home / "artifacts"))
    for member in ("coarse", "leaf"):
        train.main(["--member", member, "--config", str(home / "brief.yaml"), "--device", "cpu", "--no-progress"])
    write_folder(home / "images", SimulateSettings(count=9, image_size=48, seed=3))
    assert main(["fit", "--config", str(home / "brief.yaml")]) == 0
    return home


def test_the_whole_way_gives_the_same_bytes_whatever_the_batch(home):
    for size in ("1", "5", "64"):
        arguments = [
            "--images",
            str(home / "images"),
            "--out",
            str(home / size),
            "--batch-size",
            size,
            "--device",
            "cpu",
        ]
        assert main(["predict", "--run", str(home / "artifacts" / "brief"), *arguments]) == 0
    for name in ("predictions.csv", "probabilities.csv", "submission.csv"):
        assert (home / "1" / name).read_bytes() == (home / "5" / name).read_bytes() == (home / "64" / name).read_bytes()


def test_evaluation_prints_figures_of_both(home, capsys):
    assert main(["evaluate", "--config", str(home / "brief.yaml")]) == 0
    text = capsys.readouterr().out
    assert "macro F1" in text
    assert "simulated" in text


def test_explain_of_a_trained_image_scores_it_anew(home, capsys):
    first = next(
        line for line in (home / "artifacts" / "brief" / "split.csv").read_text().splitlines() if ",train," in line
    )
    assert main(["explain", first.split(",")[0], "--config", str(home / "brief.yaml"), "--device", "cpu"]) == 0
    assert "trained on" in capsys.readouterr().out


def test_a_runs_own_samples_are_answered_by_what_has_not_seen_them_where_there_is_such(home):
    run = home / "artifacts" / "brief"
    assert main(["evaluate", "--config", str(home / "brief.yaml")]) == 0
    assert main(["predict", "--run", str(run), "--own", "--out", str(home / "own"), "--batch-size", "7"]) == 0
    split = pd.read_csv(run / "split.csv", dtype=str).set_index("id")["part"]
    people, probs = (
        pd.read_csv(home / "own" / f"{name}.csv", index_col="id") for name in ("predictions", "probabilities")
    )
    assert set(people.index) == set(split.index)
    seen = people["warning"].fillna("").str.contains("the members learned from this image")
    assert (seen == (split.loc[people.index] == "train")).all()
    with np.load(run / "ensemble" / "evaluation.npz") as kept:
        nodes, ids, said = kept["nodes"].tolist(), kept["ids"].tolist(), kept["probs"]
    np.testing.assert_allclose(probs.loc[ids, nodes].to_numpy(), said, atol=1e-6)


def test_flags_of_images_do_not_go_with_a_runs_own(home):
    with pytest.raises(UserError, match="--channels: goes with images; the run's own are packed, leave it out"):
        main(["predict", "--run", str(home / "artifacts" / "brief"), "--own", "--channels", "red,green,blue,yellow"])


def test_what_is_said_out_of_fold_is_of_the_ensemble_that_was_fitted_and_not_of_the_recipe(tmp_path):
    text = RECIPE.format(artifacts=tmp_path).replace("count: 220", "count: 60").replace("folds: 0", "folds: 2")
    (tmp_path / "folds.yaml").write_text(text)
    config = ["--config", str(tmp_path / "folds.yaml")]
    for member in ("coarse", "leaf"):
        train.main(["--member", member, *config, "--device", "cpu", "--no-progress"])
    own = [
        "ensemble.thresholds=fixed",
        "ensemble.fixed_threshold=0.999",
        "ensemble.members=[leaf]",
        "ensemble.baseline=[]",
    ]
    assert main(["fit", *config, *(word for change in own for word in ("--set", change))]) == 0
    assert main(["evaluate", *config]) == 0
    with np.load(tmp_path / "brief" / "ensemble" / "evaluation.npz") as kept:
        assert len(kept["ids"]) == 60
        assert not kept["present"].any()
        assert "baseline_present" not in kept


def test_a_page_of_the_answers_is_written_beside_them_and_not_replaced_unasked(home, tmp_path, capsys):
    command = ["predict", str(home / "images"), "--run", str(home / "artifacts" / "brief"), "--device", "cpu"]
    out = ["--out", str(tmp_path / "answers"), "--report"]
    assert main([*command, *out]) == 0
    page = tmp_path / "answers" / "report.html"
    assert f"wrote {page}; open it in a browser" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "these 9 images" in text
    assert "data-picture" in text
    for name in ("predictions.csv", "probabilities.csv", "submission.csv", "rejected.csv"):
        (tmp_path / "answers" / name).unlink()
    with pytest.raises(UserError, match=r"report\.html: exists already"):
        main([*command, *out])
    assert page.read_text(encoding="utf-8") == text
    with pytest.raises(UserError, match="--report goes with --out DIR"):
        main([*command, "--report"])


def test_the_runs_own_samples_have_a_page_too(home, tmp_path):
    own = ["predict", "--own", "--run", str(home / "artifacts" / "brief"), "--device", "cpu"]
    assert main([*own, "--out", str(tmp_path), "--report"]) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "The members learned from" in text
    assert "more certain than for new ones" in text
