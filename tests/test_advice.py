"""Advice: a flag that a message names is one of the command that prints it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from parsers import FLAGS

from hpa_hier.cli.ensemble import main as ensemble
from hpa_hier.errors import UserError

PACKAGE = Path(__file__).resolve().parents[1] / "hpa_hier"
NO_FLAGS = {
    "--ramp",
    "--help",
    "--force-reinstall",
    "--no-deps",
    *("--array", "--noheader", "--states", "--nodes", "--ntasks-per-node"),
}  # a style sheet's variable; every parser has it; pip's; SLURM's


TABLES = [name for name, flags in FLAGS.items() if "--labels" in flags]
IMAGES = [name for name, flags in FLAGS.items() if "--images" in flags]


@pytest.mark.parametrize("command", TABLES)
def test_what_helps_with_a_label_table_is_taken_where_one_is_read(command: str) -> None:
    assert {"--on-problem", "--ignore-columns"} <= FLAGS[command]


@pytest.mark.parametrize("command", IMAGES)
def test_what_helps_with_images_is_taken_where_they_are_looked_for(command: str) -> None:
    assert {"--channels", "--follow-links"} <= FLAGS[command]


def test_every_flag_that_the_package_names_exists() -> None:
    known = set().union(*FLAGS.values()) | NO_FLAGS
    named: dict[str, str] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        for flag in re.findall(r"(?<![\w/-])--[a-z][a-z-]*[a-z]", file.read_text(encoding="utf-8")):
            named.setdefault(flag, file.relative_to(PACKAGE).as_posix())
    assert {flag: file for flag, file in named.items() if flag not in known} == {}


def test_the_advice_on_a_row_without_a_label_works_when_it_is_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "toy.yaml").write_text("taxonomy: toy\ntree: [dots, rings]\n")
    rows = [(f"s{k:02}", "dots" if k % 2 else "rings", rng.uniform(0.1, 0.5)) for k in range(60)]
    (tmp_path / "labels.csv").write_text("Id,Target\nblank,\n" + "".join(f"{one},{label}\n" for one, label, _ in rows))
    probs = [(one, *((1 - low, low) if label == "dots" else (low, 1 - low))) for one, label, low in rows]
    table = "".join(f"{one},{a:.4f},{b:.4f}\n" for one, a, b in [*probs, ("blank", 0.5, 0.5)])
    (tmp_path / "a.csv").write_text(f"Id,dots,rings\n{table}")
    given = ["fit", "--scores", f"a={tmp_path / 'a.csv'}", "--score-kind", "probs", "--labels"]
    given += [str(tmp_path / "labels.csv"), "--taxonomy", str(tmp_path / "toy.yaml"), "--run", str(tmp_path / "run")]
    with pytest.raises(UserError, match=r"give --on-problem skip to leave these rows out\n  row without a label"):
        ensemble(given)
    assert ensemble([*given, "--on-problem", "skip", "--set", "ensemble.bootstrap=20"]) == 0
    assert "left out: row without a label" in capsys.readouterr().out
