"""Tables of paths: SubCell's form, others of its kind, and what is wrong with a row."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from image_folders import CHANNELS, planes, write

from hpa_hier.data.images.read import read_image
from hpa_hier.data.images.reader import Layout, Part
from hpa_hier.data.images.readers import READERS
from hpa_hier.data.images.scan import scan
from hpa_hier.errors import UserError


@pytest.fixture
def made(tmp_path, monkeypatch) -> dict[str, np.ndarray]:
    """Four channels of one sample in a folder `raw`, beside the working directory."""
    made = planes(0)
    for channel, plane in made.items():
        write(tmp_path / "raw" / f"x{channel[0]}.png", plane)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return made


def write_table(folder: Path, text: str, name: str = "paths.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize(
    "text",
    [
        "r_image,y_image,b_image,g_image,output_prefix\nraw/xr.png,raw/xy.png,raw/xb.png,raw/xg.png,cell_1\n",
        "#r_image,y_image,b_image,g_image,output_prefix\n#,,,,\nraw/xr.png,raw/xy.png,raw/xb.png,raw/xg.png,out/cell_1\n",
        "id;red;green;blue;yellow\ncell_1;raw\\xr.png;raw\\xg.png;raw\\xb.png;raw\\xy.png\n",
        "ImageName,path_tubulin,path_protein,path_DAPI,path_ER\ncell_1,raw/xr.png,raw/xg.png,raw/xb.png,raw/xy.png\n",
        "ImageNumber,Image_FileName_Ab_protein,Image_PathName_protein,FileName_DAPI,PathName_DAPI,Count_Nuclei,FileName_ER,"
        "PathName_ER,FileName_Tubulin,PathName_Tubulin,Id,Gene_protein\n"
        "1,xg.png,{},xb.png,{},7,xy.png,{},xr.png,{},cell_1,TP53\n",
        "sample,Red image,Green image,Blue image,Yellow image\ncell_1,{}/xr.png,{}/xg.png,{}/xb.png,{}/xy.png\n",
    ],
)
def test_a_table_says_where_the_channels_are(tmp_path, made, text):
    found = scan(write_table(tmp_path, text.replace("{}", str(tmp_path / "raw"))))
    assert (found.rejects, [source.id for source in found.sources]) == ((), ["cell_1"])
    image = read_image(found.sources[0], 32, CHANNELS, "depth").image
    np.testing.assert_array_equal(image, np.stack([made[c] for c in CHANNELS]))


def test_paths_may_be_relative_to_the_working_directory(tmp_path, made):
    text = "g_image,output_prefix\nraw/xg.png,a\n"
    (tmp_path / "tables").mkdir()
    os.chdir(tmp_path)
    assert [s.id for s in scan(write_table(tmp_path / "tables", text)).sources] == ["a"]


def test_a_channel_without_a_cell_is_missing_and_the_names_may_be_the_user_s(tmp_path, made):
    text = "id,c1,c2\na,raw/xr.png,raw/xg.png\nb,,raw/xg.png\n"
    found = scan(write_table(tmp_path, text), "green=c2,red=c1")
    assert {source.id: set(source.planes) for source in found.sources} == {"a": {"red", "green"}, "b": {"green"}}


def test_one_column_of_paths_is_of_files_of_all_channels(tmp_path):
    write(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    found = scan(write_table(tmp_path, "image,Target\na.png,3\n"))
    assert [(s.id, set(s.planes)) for s in found.sources] == [("a", {"red", "green", "blue"})]


def test_rows_without_ids_are_called_by_their_files_and_by_folders_where_these_are_alike(tmp_path, made):
    for plate in ("p1", "p2"):
        write(tmp_path / plate / "a_green.png", planes(0)["green"])
    table = write_table(tmp_path, "green\np1/a_green.png\np2\\a_green.png\nraw/xg.png\n")
    assert [source.id for source in scan(table).sources] == ["p1_a", "p2_a", "xg"]


def test_each_row_that_cannot_be_used_has_its_reason(tmp_path, made):
    text = "g_image,output_prefix\nraw/xg.png,good\nraw/no.png,lost\n,none\n"
    text += "raw/xg.png,twice\nraw/xg.png,twice\n../elsewhere,folder\n"
    found = scan(write_table(tmp_path, text))
    assert [source.id for source in found.sources] == ["good"]
    assert {reject.id: reject.reason for reject in found.rejects} == {
        "lost": f"no file raw/no.png in {tmp_path} or {tmp_path}/elsewhere (line 3)",
        "none": "line 4 names no file",
        "twice": "a second row for it in line 6",
        "folder": "../elsewhere is no image by its name (line 7)",
    }


def test_a_file_of_several_images_is_refused_in_a_row_and_one_of_a_store_is_taken(tmp_path, monkeypatch):
    reader = READERS[".zarr"]
    for field in ("0", "1"):
        (tmp_path / "p.zarr" / field).mkdir(parents=True)
        (tmp_path / "p.zarr" / field / ".zattrs").write_text("{}")
    parts = {
        "p.zarr": tuple(Part(n, tmp_path / "p.zarr" / n) for n in "01"),
        "1": (Part("", tmp_path / "p.zarr" / "1"),),
    }
    monkeypatch.setattr(type(reader), "parts", lambda self, path: parts[path.name])
    monkeypatch.setattr(type(reader), "layout", lambda self, path: Layout(1, ("GFP",)))
    found = scan(write_table(tmp_path, "path,id\np.zarr,all\np.zarr/1,one\n"))
    assert [(s.id, s.planes["green"].file.name) for s in found.sources] == [("one", "1")]
    assert [one.reason for one in found.rejects] == [
        "p.zarr holds 2 images, and a row is one; give the file itself in the place of the table (line 2)"
    ]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("Id,Target", "paths.csv:1: no column of image files among 'Id', 'Target'; name columns of paths red"),
        ("g_image,protein,id", "the columns g_image, protein are all channel green; say which with --channels"),
    ],
)
def test_a_table_without_paths_says_which_columns_it_wants(tmp_path, header, message):
    with pytest.raises(UserError, match=message):
        scan(write_table(tmp_path, f"{header}\n{','.join('a.png' for _ in header.split(','))}\n"))
