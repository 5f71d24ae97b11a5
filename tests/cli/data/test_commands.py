"""The data commands as a person types them: right, wrong, and interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from image_folders import write_folder

from hpa_hier.cli.data import main
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.split.split import read_split
from hpa_hier.errors import UserError


@pytest.fixture
def images(tmp_path) -> list[str]:
    """Flags that name a folder of 30 samples and its labels."""
    table = write_folder(tmp_path / "images", 30)
    return ["--images", str(tmp_path / "images"), "--labels", str(table)]


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hpa_hier.data", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("words", [[], ["pack"], ["split"], ["balance"], ["audit"], ["simulate"]])
def test_help_comes_at_once_and_without_heavy_libraries(words):
    code = (
        "import sys; from hpa_hier.data.__main__ import main\n"
        f"try: main({[*words, '--help']!r})\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'torch', 'cv2', 'numpy', 'pandas', 'pydantic'} & set(sys.modules), sys.modules.keys()"
    )
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    assert time.perf_counter() - began < 1


def test_importing_the_room_brings_in_nothing_heavy():
    code = "import sys, hpa_hier.data; assert not {'torch', 'cv2', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_pack_split_and_audit_follow_each_other(tmp_path, images, capsys):
    pack, split = str(tmp_path / "pack"), str(tmp_path / "split.csv")
    main(["pack", *images, "--size", "16", "--out", pack])
    out = capsys.readouterr().out
    assert f"wrote {pack}: 30 images of 4 × 16 × 16 (red, green, blue, yellow), digest " in out
    assert "30 images for 28 classes; none has more than " in out
    assert "few: pack and train with --config few_images" in out
    main(["split", "--pack", pack, "--out", split, "--fractions", "0.6,0.2,0.2", "--folds", "2", "--seed", "3"])
    out = capsys.readouterr().out
    assert "not in every part, because images or groups are too few: Actin filaments" in out
    assert f"wrote {split}: 30 samples, digest {read_split(Path(split)).digest}" in out
    main(["audit", "--pack", pack, "--split", split])
    out = capsys.readouterr().out
    assert "identical images in different parts of the split: 0" in out
    assert f"checked {pack}: 30 images" in out
    main(["pack", *images, "--size", "16", "--out", pack])
    assert f"finished already {pack}: 30 images" in capsys.readouterr().out


def test_simulated_files_and_a_simulated_pack_say_that_they_are_simulated(tmp_path, capsys):
    folder, pack, direct = (str(tmp_path / name) for name in ("simulated", "pack", "direct"))
    size = ["--count", "6", "--size", "32", "--seed", "5", "--workers", "1"]
    main(["simulate", *size, "--out", folder])
    assert "6 simulated images of 32² pixels, seed 5" in capsys.readouterr().out
    main(["pack", "--images", folder, "--labels", f"{folder}/labels.csv", "--size", "32", "--out", pack])
    main(["simulate", *size, "--out", direct, "--as", "pack"])
    packed, straight = Pack.open(pack), Pack.open(direct)
    assert packed.simulated
    assert straight.simulated
    (tmp_path / "study").mkdir()
    (tmp_path / "simulated").rename(tmp_path / "study" / "cells")
    for i, given in enumerate((tmp_path / "study", tmp_path / "study" / "cells" / "*.png")):
        labels, out = str(tmp_path / "study" / "cells" / "labels.csv"), str(tmp_path / f"again{i}")
        main(["pack", "--images", str(given), "--labels", labels, "--size", "32", "--out", out])
        assert Pack.open(out).simulated
    assert (packed.ids, packed.nodes, packed.groups) == (straight.ids, straight.nodes, straight.groups)
    np.testing.assert_array_equal(packed.images(np.arange(6)), straight.images(np.arange(6)))


def test_a_mistake_is_told_on_standard_error_with_status_2(tmp_path, images):
    done = command("pack", *images[:2], "--labels", "absent.csv", "--out", str(tmp_path / "pack"))
    assert (done.returncode, done.stderr) == (2, "error: absent.csv: no such file; check the path\n")


def test_bad_files_are_listed_on_standard_error(tmp_path, images, capsys):
    (tmp_path / "images" / "s3_red.png").write_bytes(b"")
    main(["pack", *images, "--size", "16", "--out", str(tmp_path / "pack")])
    told = capsys.readouterr()
    assert "left out s3 s3_red.png: 0 bytes" in told.err
    assert (
        f"29 images of 4 × 16 × 16 (red, green, blue, yellow), digest {Pack.open(tmp_path / 'pack').digest}" in told.out
    )
    assert "1 left out, see" in told.out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["split", "--labels", "LABELS", "--out", "o.csv", "--fractions", "0.7,0.2,0.2"],
            "--fractions 0.7,0.2,0.2: .*sum to 1",
        ),
        (["split", "--labels", "LABELS", "--out", "o.csv", "--folds", "x"], "--folds x: .*integer"),
        (["split", "--labels", "LABELS", "--out", "HERE"], "--out .*: a folder; name the file, as in .*split.csv"),
        (["split", "--pack", "HERE", "--out", "o.csv"], "no finished pack"),
        (["audit", "--pack", "HERE"], "no finished pack"),
        (["simulate", "--count", "0", "--out", "HERE"], "--count 0: .*greater than 0"),
        (
            ["pack", "--images", "HERE", "--labels", "LABELS", "--out", "o", "--channels", "mauve"],
            "'mauve' is no channel",
        ),
        (
            ["pack", "--images", "HERE", "--labels", "LABELS", "--out", "LABELS"],
            r"--out .*: cannot be written to \(File exists\)",
        ),
        (
            ["pack", "--images", "nowhere", "--labels", "LABELS", "--out", "o"],
            "nowhere: no such file or folder; check the path",
        ),
    ],
)
def test_each_wrong_flag_has_its_message(tmp_path, images, flags, message):
    named = {"LABELS": images[3], "HERE": str(tmp_path / "images")}
    with pytest.raises(UserError, match=message):
        main([named.get(flag, flag) for flag in flags])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "5"], "must be a whole number from 16 to 2048, got '5'"),
        (["--threads", "0"], "must be a whole number from 1, got '0'"),
        (["--may-be-missing", "mauve"], "'mauve' is no channel; the channels are red, green, blue, yellow"),
    ],
)
def test_each_value_out_of_range_has_its_message(images, flags, message, capsys):
    with pytest.raises(SystemExit):
        main(["pack", *images, "--out", "o", *flags])
    assert message in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(tmp_path):
    table = write_folder(tmp_path / "images", 400, side=256)
    out = tmp_path / "pack"
    flags = ["pack", "--images", str(tmp_path / "images"), "--labels", str(table), "--out", str(out), "--threads", "1"]
    process = subprocess.Popen([sys.executable, "-m", "hpa_hier.data", *flags], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (out / "request.json").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"interrupted; the same command goes on from the last finished shard in {out}" in told
    assert "Traceback" not in told


def test_balance_plans_for_a_table_or_for_the_train_part_of_a_pack(tmp_path, images, capsys):
    table, out = images[3], tmp_path / "balance"
    main(["balance", "--labels", table, "--target", "3", "--bound", "Nucleoplasm=0.5", "--out", str(out)])
    said = capsys.readouterr().out
    assert "30 images become 84; 28 of them are repeated, up to 3 times" in said
    rows = (out / "balance.csv").read_text().splitlines()
    assert rows[0] == "class,before,repeat_factors,copying_the_rare,this_plan,growth"
    assert "Nucleoplasm,2,2,4,3,0.5000" in rows
    assert len((out / "factors.csv").read_text().splitlines()) == 31
    assert all(word in (out / "balance.svg").read_text() for word in ("Nucleoplasm", "this plan", "target 3"))
    pack, split = str(tmp_path / "pack"), str(tmp_path / "split.csv")
    main(["pack", *images, "--size", "16", "--out", pack])
    main(["split", "--pack", pack, "--out", split])
    main(["balance", "--pack", pack, "--split", split, "--target", "2", "--out", str(out)])
    train = read_split(Path(split)).part_ids("train")
    assert [line.split(",")[0] for line in (out / "factors.csv").read_text().splitlines()[1:]] == list(train)


def test_balance_says_which_classes_make_the_target_impossible(tmp_path, images, capsys):
    flags = ["balance", "--labels", images[3], "--out", str(tmp_path)]
    main([*flags, "--target", "9", "--most", "8"])
    assert (
        "impossible: Actin filaments cannot have 9 images, 8 at most: it has 1, and none may be repeated more than 8"
        in capsys.readouterr().out
    )
    wrong = {
        "Nuclei=0.1": "--bound Nuclei=0.1: 'Nuclei' is no leaf of 'hpa28'; give one, as in Nucleoplasm=0.15",
        "Cytosol": "--bound Cytosol: 'Cytosol' is no leaf of 'hpa28'",
        "Cytosol=little": "--bound Cytosol=little: 'little' is no growth; write 0.15 for 15 %",
        "Cytosol=-1": "--bound Cytosol=-1: a growth is 0 or more, as 0.15 for 15 %",
    }
    for bound, message in wrong.items():
        with pytest.raises(UserError) as stopped:
            main([*flags, "--bound", bound])
        assert message in str(stopped.value)


def test_nothing_of_the_users_is_replaced_by_a_pack(tmp_path, images):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "samples.csv").write_text("what I measured")
    (out / "images-2019.npy").write_bytes(b"mine")
    for words in (
        ["pack", *images, "--size", "16", "--out", str(out)],
        ["simulate", "--count", "4", "--size", "32", "--as", "pack", "--out", str(out)],
    ):
        with pytest.raises(
            UserError, match=r"mine: holds samples\.csv, which a pack would replace; name an empty folder"
        ):
            main(words)
    (out / "samples.csv").unlink()
    main(["simulate", "--count", "4", "--size", "32", "--workers", "1", "--as", "pack", "--out", str(out)])
    assert (out / "images-2019.npy").read_bytes() == b"mine"
    assert len(Pack.open(out).ids) == 4


def test_nothing_of_the_users_is_replaced_by_a_split_a_plan_or_pairs(tmp_path, images):
    pack, mine = str(tmp_path / "pack"), tmp_path / "mine.csv"
    main(["pack", *images, "--size", "16", "--out", pack])
    mine.write_text("what I measured")
    foreign = r"mine\.csv: exists and was not written by this command; name another file, or move this one"
    for words in (["split", "--pack", pack, "--out", str(mine)], ["audit", "--pack", pack, "--pairs", str(mine)]):
        with pytest.raises(UserError, match=foreign):
            main(words)
    (tmp_path / "balance.csv").write_text("what I measured")
    with pytest.raises(UserError, match=r"balance\.csv: exists and was not written by this command"):
        main(["balance", "--pack", pack, "--out", str(tmp_path)])
    with pytest.raises(UserError, match=r"the digest is kept in a \.json beside the table; name a \.csv file"):
        main(["split", "--pack", pack, "--out", str(tmp_path / "split.json")])
    assert mine.read_text() == "what I measured"
    for _ in range(2):  # its own output it does replace
        main(["split", "--pack", pack, "--out", str(tmp_path / "split.csv")])
        main(["audit", "--pack", pack, "--pairs", str(tmp_path / "pairs.csv")])
        main(["balance", "--pack", pack, "--out", str(tmp_path / "plan")])


def test_an_audit_against_another_packs_split_is_refused(tmp_path, images):
    main(["pack", *images, "--size", "16", "--out", str(tmp_path / "pack")])
    main(
        ["simulate", "--count", "8", "--size", "32", "--workers", "1", "--as", "pack", "--out", str(tmp_path / "other")]
    )
    main(["split", "--pack", str(tmp_path / "other"), "--out", str(tmp_path / "other.csv")])
    with pytest.raises(UserError, match=r"other\.csv: lacks 30 of the 30 images of .*pack; give their split"):
        main(["audit", "--pack", str(tmp_path / "pack"), "--split", str(tmp_path / "other.csv")])


def test_a_simulated_pack_has_the_recipes_channels(tmp_path):
    words = ["--count", "4", "--size", "32", "--workers", "1", "--set", "data.channels=[red,green]"]
    main(["simulate", *words, "--as", "pack", "--out", str(tmp_path / "pack")])
    assert Pack.open(tmp_path / "pack").channels == ("red", "green")


def test_images_without_a_channel_are_told_with_the_flag_that_allows_it(tmp_path):
    table = write_folder(tmp_path / "images", 4)
    for file in (tmp_path / "images").glob("*_yellow.*"):
        file.unlink()
    words = ["pack", "--images", str(tmp_path / "images"), "--labels", str(table), "--size", "16", "--out"]
    with pytest.raises(UserError, match="; --may-be-missing yellow fills missing channels with zeros"):
        main([*words, str(tmp_path / "pack")])
    main([*words, str(tmp_path / "pack"), "--may-be-missing", "yellow"])
    assert Pack.open(tmp_path / "pack").filled == {"yellow": 4}


def test_linked_folders_are_packed_with_the_flag_only(tmp_path, images):
    (tmp_path / "farm").mkdir()
    (tmp_path / "farm" / "plate").symlink_to(tmp_path / "images")
    flags = ["pack", "--images", str(tmp_path / "farm"), *images[2:], "--size", "16", "--out", str(tmp_path / "pack")]
    with pytest.raises(UserError, match="--follow-links reads it"):
        main(flags)
    assert main([*flags, "--follow-links"]) == 0
    vectors = ["pack", "--vectors", "v.csv", *images[2:], "--out", str(tmp_path / "other"), "--follow-links"]
    with pytest.raises(UserError, match="--follow-links: goes with --images"):
        main(vectors)
