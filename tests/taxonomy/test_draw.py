"""The drawn tree, and the command that draws it."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from taxonomy_texts import SMALL, with_line

from hpa_hier.cli.taxonomy import main
from hpa_hier.taxonomy import Taxonomy
from hpa_hier.taxonomy.draw import Counts, Style, branches, draw, level_lines

ROOT = Path(__file__).resolve().parents[2]


def check(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpa_hier.taxonomy", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"} | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def check_here(*arguments: str) -> tuple[int, str]:
    """Run the command in this process, where it may import what reads a run; return its status and what it printed."""
    printed = io.StringIO()
    with contextlib.chdir(ROOT), contextlib.redirect_stdout(printed):
        status = main(arguments)
    return status, printed.getvalue()


def test_the_tree_is_drawn_one_node_a_line() -> None:
    drawn = draw(Taxonomy.from_text(SMALL))
    assert (
        drawn
        == """\
                       label  GO
small
│
├── Nucleus                   GO:0005634
│   ├── Nucleoplasm        0
│   └── Nucleoli           2
│
├── Cytoplasm
│   ├── Cytosol           25
│   └── Centrosome        19
│
├── Secretory
│   └── Vesicles                          [open]
│       ├── Lysosomes     10
│       └── Endosomes      9
│
└── Negative            none"""
    )


def test_counts_stand_beside_each_node_and_a_small_share_is_not_nothing() -> None:
    taxonomy = Taxonomy.from_text(SMALL)
    counts = Counts(dict.fromkeys(taxonomy.nodes, 0) | {"Nucleus": 5000, "Nucleoplasm": 4999, "Nucleoli": 1}, 10_000)
    lines = draw(taxonomy, counts).splitlines()
    assert lines[0].endswith("label  GO          images    share")
    assert lines[3].endswith(" 5,000   50.0 %  ████████")
    assert lines[5].endswith("     1  < 0.1 %  ▏")
    assert lines[8].endswith("     0    0.0 %")


def test_a_second_parent_is_noted_at_the_node_and_named_below_the_other() -> None:
    drawn = draw(Taxonomy.from_text(with_line(10, "    Cytosol: {label: 25, also_under: [Nucleus]}")))
    assert "[also under Nucleus]" in next(line for line in drawn.splitlines() if "── Cytosol" in line)
    assert next(line for line in drawn.splitlines() if "(Cytosol)" in line).endswith("see Cytoplasm")


def test_plain_terminals_get_ascii_and_colour_only_where_asked_for() -> None:
    taxonomy = Taxonomy.from_text(SMALL)
    plain = draw(taxonomy, Counts(dict.fromkeys(taxonomy.nodes, 3), 9), Style(unicode=False))
    assert plain.isascii()
    assert "|-- Nucleus" in plain
    assert "\x1b" not in draw(taxonomy)
    assert "\x1b[1mNucleus\x1b[0m" in draw(taxonomy, style=Style(colour=True))


def test_check_draws_the_shipped_tree() -> None:
    done = check("check", "hierarchy/hpa28.yaml")
    assert done.returncode == 0
    assert "│   ├── Nucleoplasm (organelle)" in done.stdout
    assert "  coarse         3  Nucleus, Cytoplasm, Secretory" in done.stdout
    assert "hierarchy/hpa28.yaml is sound: 44 nodes, 28 leaves, digest " in done.stdout
    assert done.stderr == ""


def test_check_works_where_the_terminal_knows_ascii_only() -> None:
    done = check("check", "hierarchy/hpa28.yaml", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "|   |-- Nucleoplasm (organelle)" in done.stdout


def test_check_says_a_mistake_in_one_line_with_status_2(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(with_line(10, "    Cytosol: {label: 2}"))
    done = check("check", str(path))
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {path}:10: label 2 belongs to both 'Nucleoli' (line 8) and 'Cytosol'; give one of them another label\n"
    )
    assert done.stdout == ""


def test_check_counts_a_label_table(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "labels.csv").write_text("Id,Target\na,0 2\nb,2\nc,25 10\n")
    done = check("check", str(tmp_path / "small.yaml"), "--labels", str(tmp_path / "labels.csv"))
    assert done.returncode == 0, done.stderr
    nucleus = next(line for line in done.stdout.splitlines() if "── Nucleus" in line)
    assert nucleus.split()[-4:-1] == ["2", "66.7", "%"]  # two images, though three labels
    assert "no image shows: Centrosome, Endosomes, Negative" in done.stdout


def test_check_counts_the_real_table(shared_data: Path) -> None:
    done = check("check", "hierarchy/hpa28.yaml", "--labels", str(shared_data / "hpa" / "train.csv"))
    assert done.returncode == 0, done.stderr
    counted = {line.split("── ")[1].split("  ")[0]: line for line in done.stdout.splitlines() if "──" in line}
    for name, images in {
        "Nucleus": "19,625",
        "Cytoplasm": "16,245",
        "Secretory": "8,312",
        "Rods & rings": "11",
    }.items():
        assert f" {images} " in counted[name]
    assert "31,072 images" in done.stdout


def test_help_comes_at_once_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, runpy; sys.argv = ['taxonomy', 'check', '--help']\n"
        "try: runpy.run_module('hpa_hier.taxonomy', run_name='__main__')\n"
        "except SystemExit: print([m for m in ('torch', 'pydantic', 'pandas', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run with two finished members, of which only the manifests are there."""
    from hpa_hier.files.atomic import write_json
    from hpa_hier.runs.manifest import Manifest

    taxonomy = Taxonomy.load("hierarchy/hpa28.yaml")
    for level in ("coarse", "leaf"):
        folder = tmp_path / "mine" / "members" / level
        nodes = taxonomy.level(level)
        known = {"name": level, "selector": {"level": level}, "nodes": nodes, "seed": 0}
        known["meanings"] = {node: taxonomy.meaning(node) for node in nodes}
        write_json(
            folder / "member.json", Manifest.model_construct(**known).model_dump(warnings=False) | _filled(known)
        )
        shutil.copy(ROOT / "hierarchy" / "hpa28.yaml", folder / "taxonomy.yaml")
    return tmp_path / "mine"


def _filled(known: dict) -> dict:
    """Return values of the right types for the fields of a manifest that these tests do not look at."""
    from hpa_hier.runs.manifest import Manifest

    filled = {}
    for name, field in Manifest.model_fields.items():
        kind = str(field.annotation)
        if name not in known:
            filled[name] = {"<class 'int'>": 0, "<class 'float'>": 0.0, "<class 'str'>": "x"}.get(
                kind, [] if kind.startswith("tuple") else None if "None" in kind else {}
            )
    return filled


def test_check_names_stale_members_and_the_commands_that_train_just_those(run_folder: Path, tmp_path: Path) -> None:
    text = (ROOT / "hierarchy" / "hpa28.yaml").read_text(encoding="utf-8")
    line = "      Lipid droplets: {label: 20, go: GO:0005811, aliases: [Lipid droplet]}\n"
    assert line in text
    moved = text.replace(line, "").replace("      Cytosol: {label: 25", line + "      Cytosol: {label: 25")
    (tmp_path / "moved.yaml").write_text(moved, encoding="utf-8")
    status, printed = check_here("check", str(tmp_path / "moved.yaml"), "--run", str(run_folder))
    assert status == 0
    assert "  coarse: stale: other meaning now of Cytoplasm, Secretory\n" in printed
    assert "  leaf: up to date\n" in printed
    commands = [line.strip() for line in printed.splitlines() if "hpa_hier.train" in line]
    assert commands == [
        f"python -m hpa_hier.train --level coarse --run {run_folder} --taxonomy {tmp_path / 'moved.yaml'} --restart"
    ]


def test_check_says_that_all_members_are_up_to_date(run_folder: Path) -> None:
    status, printed = check_here("check", "hierarchy/hpa28.yaml", "--run", str(run_folder))
    assert status == 0
    assert "  coarse: up to date\n  leaf: up to date\n" in printed
    assert "hpa_hier.train" not in printed


def test_the_commands_use_the_runs_recipe_and_the_file_that_was_checked(run_folder: Path, tmp_path: Path) -> None:
    (run_folder / "config.yaml").write_text("members:\n  - {name: coarse, level: coarse}\n")
    text = (ROOT / "hierarchy" / "hpa28.yaml").read_text(encoding="utf-8")
    (tmp_path / "moved.yaml").write_text(text.replace("label: 10,", "label: 28,"), encoding="utf-8")
    status, printed = check_here("check", str(tmp_path / "moved.yaml"), "--run", str(run_folder))
    assert status == 0
    moved = tmp_path / "moved.yaml"
    assert [line.strip() for line in printed.splitlines() if "hpa_hier.train" in line] == [
        f"python -m hpa_hier.train --member coarse --run {run_folder} --taxonomy {moved} --restart",
        f"python -m hpa_hier.train --level leaf --run {run_folder} --taxonomy {moved} --restart",
    ]


def test_up_to_eight_nodes_of_a_level_are_listed_and_of_more_the_first_and_the_last() -> None:
    eight, nine = (Taxonomy.from_text(f"{{taxonomy: t, tree: [{', '.join('abcdefghi'[:n])}]}}") for n in (8, 9))
    assert level_lines(eight) == "  leaf    8  a, b, c, d, e, f, g, h"
    assert level_lines(nine) == "  leaf    9  a, b, c, … i"
    assert level_lines(nine, Style(unicode=False)) == "  leaf    9  a, b, c, ... i"
    assert level_lines(Taxonomy.from_text(SMALL)).splitlines()[0].startswith("  coarse    4  Nucleus, Cytoplasm, ")


def test_a_node_with_two_parents_is_named_below_both_or_at_home_only() -> None:
    tree = Taxonomy.from_text(with_line(10, "    Cytosol: {label: 25, also_under: [Nucleus]}"))
    everywhere, at_home = ([one.node for one in branches(tree, "Nucleus", everywhere=all)] for all in (True, False))
    assert everywhere == ["Nucleoplasm", "Nucleoli", "Cytosol"]
    assert at_home == ["Nucleoplasm", "Nucleoli"]
    assert [one.node for one in branches(tree, "Cytoplasm", everywhere=False)] == ["Cytosol", "Centrosome"]


def test_the_share_of_one_image_of_one_is_all_and_of_none_nothing() -> None:
    taxonomy = Taxonomy.from_text(SMALL)
    one, none = (draw(taxonomy, Counts(dict.fromkeys(taxonomy.nodes, n), n)).splitlines()[4] for n in (1, 0))
    assert "1  100.0 %" in one
    assert one.endswith("█")
    assert none.endswith("0    0.0 %")
