"""The taxonomy command: new, copy, list, and what check says of counts."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hpa_hier.cli.taxonomy import main
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy

YEAST = "Id,Localization\na,bud neck\nb,vacuole\nc,Golgi\nd,vacuole\n"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my labels.csv").write_text(YEAST)
    return tmp_path


def pasted(line: str) -> list[str]:
    """Return the arguments of a command that was printed."""
    python, m, module, *rest = shlex.split(line)
    assert (python, m, module) == ("python", "-m", "hpa_hier.taxonomy")
    return rest


def test_new_writes_a_tree_and_a_command_that_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "--labels", "my labels.csv"]) == 0
    out = capsys.readouterr().out
    assert "wrote my-labels.yaml: 3 classes of 4 images" in out
    assert "each image has exactly one class, so the tree says `exclusive: true`" in out
    taxonomy = Taxonomy.load("my-labels.yaml")
    assert (taxonomy.name, taxonomy.exclusive) == ("my-labels", True)
    assert taxonomy.leaves == ("bud neck", "Golgi", "vacuole")
    assert main(pasted(out.splitlines()[-1])) == 0
    checked = capsys.readouterr().out
    assert "my-labels.yaml is sound: 3 nodes, 3 leaves" in checked
    assert checked.splitlines()[-4] == "its images are few:"
    assert "4 images for 3 classes; none has more than 2 to learn from" in checked


def test_indenting_as_the_file_tells_groups_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    main(["new", "--labels", "my labels.csv", "--out", "mine.yaml", "--name", "lab"])
    text = Path("mine.yaml").read_text()
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("  bud neck"))
    grouped = [*lines[:start], "  Inside:", *("  " + line for line in lines[start:])]
    Path("mine.yaml").write_text("\n".join(grouped) + "\n")
    taxonomy = Taxonomy.load("mine.yaml")
    assert taxonomy.level("coarse") == ("Inside",)
    assert taxonomy.group("inside") == ("bud neck", "Golgi", "vacuole")


def test_several_classes_an_image_are_not_exclusive(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("Id,er,golgi,plate_2\na,1,1,0\nb,0,1,1\n")
    main(["new", "--labels", "t.csv", "--ignore-columns", "plate_2"])
    assert not Taxonomy.load("t.yaml").exclusive
    assert Taxonomy.load("t.yaml").leaves == ("er", "golgi")
    out = capsys.readouterr().out
    assert "each 0/1 column is a class; --ignore-columns leaves out those that are none" in out
    assert "exclusive" not in out


def test_numbers_are_to_be_named_and_may_be_those_of_a_shipped_tree(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("Id,Target\na,7 0\nb,25\nc,none\n")
    main(["new", "--labels", "t.csv"])
    out = capsys.readouterr().out
    assert "change names such as `class 0` to those of the places" in out
    assert "if the numbers are those of a shipped tree, no file of your own is needed:" in out
    assert "python -m hpa_hier.taxonomy check hpa28 --labels t.csv" in out
    assert "# 1 image shows none of the places" in Path("t.yaml").read_text()
    assert not Taxonomy.load("t.yaml").exclusive


@pytest.mark.parametrize(
    "words", [["new", "--labels", "my labels.csv", "--out", "kept.yaml"], ["copy", "hpa28", "--out", "kept.yaml"]]
)
def test_nothing_is_overwritten(words: list[str]) -> None:
    Path("kept.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"^kept\.yaml: is there already, and is not overwritten; name another file"):
        main(words)
    assert Path("kept.yaml").read_text() == "mine"


def test_copy_brings_a_shipped_tree_as_it_is_and_says_what_to_type_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["copy", "hpa28"]) == 0
    assert Path("hpa28.yaml").read_text() == Taxonomy.load("hierarchy/hpa28.yaml").text
    assert main(pasted(capsys.readouterr().out.splitlines()[-1])) == 0


def test_list_names_every_shipped_tree(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines][:2] == ["hela", "hpa19_single_cell"]
    assert all(Taxonomy.load(line.split()[0]).description in line for line in lines)


def test_the_last_line_is_about_counts_where_there_are_some(capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("Id,Target\n" + "".join(f"s{i},{i % 2}\n" for i in range(60)) + "x,7\n")
    main(["check", "hpa28", "--labels", "t.csv"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "fewer than 20 images, too few to rely on: Golgi apparatus"


def test_class_folders_stand_in_for_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    for folder, count in (("bud neck", 2), ("vacuole", 1)):
        Path("cells", folder).mkdir(parents=True)
        for k in range(count):
            Image.fromarray(np.full((8, 8, 3), 10 * k, dtype=np.uint8)).save(Path("cells", folder, f"{k}.png"))
    assert main(["new", "--labels", "folders", "--images", "cells"]) == 0
    assert "  bud neck: {label: bud neck}  # 2 images" in Path("cells.yaml").read_text()
    assert main(pasted(capsys.readouterr().out.splitlines()[-1])) == 0
    for command in ("new", "check"):
        words = [command, *(["hpa28"] if command == "check" else []), "--labels", "folders"]
        with pytest.raises(UserError, match="--labels folders: the classes are the folders of images; say which with"):
            main(words)


def test_a_name_that_cannot_be_one_is_refused_with_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["new", "--labels", "my labels.csv", "--name", "my tree"])
    assert "--name: must be of letters, digits, dots and dashes, as my-tree, got 'my tree'" in capsys.readouterr().err
