"""The page of two runs: what came out in words first, whether it is paired, and what differs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from evaluated_run import make_run

from hpa_hier.cli import report as command
from hpa_hier.errors import UserError
from hpa_hier.evaluate.report.comparison import describe_comparison
from hpa_hier.files.atomic import read_json, write_json, write_text
from hpa_hier.runs.run import Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, and the same one with a poorer ensemble and another recipe."""
    home = tmp_path_factory.mktemp("two")
    first = make_run(home, count=400, size=8)
    second = home / "<b>poor"
    shutil.copytree(first, second)
    file = second / "ensemble" / "evaluation.npz"
    arrays = dict(np.load(file, allow_pickle=False))
    shuffled = np.random.default_rng(0).permutation(len(arrays["ids"]))
    mixed = np.arange(len(shuffled)) % 3 == 0
    rows = np.where(mixed, shuffled, np.arange(len(shuffled)))
    arrays |= {name: arrays[name][rows] for name in ("raw", "probs", "present")}
    np.savez(file, **arrays)
    write_text(second / "config.yaml", "run: poor\nensemble: {aggregate: mean}\n")
    return first, second


@pytest.fixture(scope="module")
def page(runs):
    first, second = runs
    assert command.main(["--run", str(first), "--against", str(second)]) == 0
    return (first / "report" / "against-<b>poor.html").read_text(encoding="utf-8")


def test_the_command_says_in_words_what_came_out_and_where_the_page_is(runs, capsys):
    first, second = runs
    assert command.main(["--run", str(first), "--against", str(second)]) == 0
    lines = capsys.readouterr().out.splitlines()
    digest = read_json(first / "run.json")["split_digest"]
    assert lines[0].startswith("Both answered for the same ")
    assert lines[0].endswith(f" images of split {digest}; differences are paired.")
    assert lines[1].startswith("Of 100 images, run against <b>poor: ")
    assert lines[2].startswith("run is better in ")
    assert lines[-1] == f"wrote {first / 'report' / 'against-<b>poor.html'}; open it in a browser"


def test_names_are_shown_and_not_obeyed_and_nothing_is_loaded(page):
    assert "<b>poor" not in page
    assert "run against &lt;b&gt;poor" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_settings_that_differ_are_listed(runs):
    differing = {one.name: (one.ours, one.theirs) for one in describe_comparison(*map(Run.open, runs)).differing}
    assert differing["ensemble.aggregate"] == ("logistic_stack", "mean")
    assert "run" not in differing


def test_every_class_has_a_row_with_both_figures(page, runs):
    for leaf in Run.open(runs[0]).evaluation.taxonomy.leaves:
        assert page.count(f'<th scope="row">{leaf.replace("&", "&amp;")}</th>') >= 1


def test_simulated_cells_beside_real_images_are_not_compared_silently(runs, tmp_path):
    real = tmp_path / "real"
    shutil.copytree(runs[1], real)
    facts = read_json(real / "ensemble" / "evaluation.json")
    write_json(real / "ensemble" / "evaluation.json", facts | {"simulated": False})
    assert command.main(["--run", str(runs[0]), "--against", str(real)]) == 0
    assert "they cannot be compared" in (runs[0] / "report" / "against-real.html").read_text(encoding="utf-8")


def test_a_run_against_itself_and_figures_of_two_are_refused(runs):
    with pytest.raises(UserError, match="is the run itself; name another one"):
        command.main(["--run", str(runs[0]), "--against", str(runs[0])])
    with pytest.raises(UserError, match="goes with the report of one run"):
        command.main(["--run", str(runs[0]), "--against", str(runs[1]), "--figures", "pdf"])
    with pytest.raises(UserError, match="nosuch: no such run"):
        command.main(["--run", str(runs[0]), "--against", "nosuch"])
