"""Columns: tables as people have them, and which column is taken for what."""

from __future__ import annotations

import pytest

from hpa_hier.data.labels.table import read_labels
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy

AS_MEANT = (("a", "b"), (("Nucleoplasm", "Golgi apparatus"), ("Cytosol",)))
FORMS = {
    "row numbers beside the file": "id,filename,label\n1,a.PNG,0 7\n2,b.PNG,25\n",
    "row numbers from 0 without a name": ",file,Target\n0,./images/a.png,0 7\n1,./images/b.png,25\n",
    "R's row names": '"","Target"\n"a","0 7"\n"b","25"\n',
    "pandas' index column": "Unnamed: 0,Localization\na,0|7\nb,25\n",
    "a plate beside the file": "sample,filename,class\nP1,a.tif,0;7\nP1,b.tif,25\n",
    "an own word for the id": "Picture,Target\na,0 7\nb,25\n",
    "an own word for the id, beside a measurement": "yORF,area,line,Target\na,0.5,HeLa,0 7\nb,0.7,HeLa,25\n",
    "Excel's text cells": 'Id,Target\n="a",="0 7"\n="b",="25"\n',
    "Excel's text cells, quoted": 'Id,Target\n"=""a""","=""0 7"""\n"=""b""","=""25"""\n',
    "a comma in another column of a table with semicolons": "Id;Target;Note, free\na;0 7;x\nb;25;y\n",
    "bars between columns": "Id|Target\na|0 7\nb|25\n",
    "old Mac line ends": "Id,Target\ra,0 7\rb,25\r",
    "every cell quoted, spaces before": '"Id", "Target"\n "a", "0 7"\n"b",  "25"\n',
    "numpy's lists": "Id,Target\na,[0 7]\nb,[25]\n",
    "numpy's floats": "Id,Target\na,[0. 7.]\nb,[25.]\n",
    "JSON lists": 'Id,Target\na,"[""Nucleoplasm"", ""Golgi""]"\nb,"[""Cytosol""]"\n',
    "Python sets": "Id,Target\na,\"{'Nucleoplasm', 'Golgi'}\"\nb,{'Cytosol'}\n",
    "a line a label inside a cell": 'Id,Target\na,"Nucleoplasm\nGolgi apparatus"\nb,Cytosol\n',
    "slashes": "Id,Target\na,Nucleoplasm/Golgi apparatus\nb,Cytosol\n",
    "plus and and": "Id,Target\na,Nucleoplasm and Golgi\nb,Cytosol\n",
    "underscores": "Id,Target\na,nucleoplasm|golgi_apparatus\nb,cytosol\n",
    "R's headers": "Id,Nucleoplasm,Golgi.apparatus,Cytosol\na,1,1,0\nb,0,0,1\n",
    "yes and no": "Id,Nucleoplasm,Golgi,Cytosol\na,Yes,Y,no\nb,n,,TRUE\n",
    "decimal commas in 0/1 columns": "Id;Nucleoplasm;Golgi;Cytosol\na;1,0;1,0;0,0\nb;0,0;0,0;1,0\n",
    "a class without images": "Id,Nucleoplasm,Golgi,Cytosol,Aggresome\na,1,1,0,0\nb,0,0,1,0\n",
    "a measurement called as a place": "Id,Nucleoplasm,Golgi apparatus,Cytosol,Actin\na,1,1,0,0.53\nb,0,0,1,1.7\n",
    "the same row twice": "Id,Target\na,0 7\nb,25\na,0 7\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def tree() -> Taxonomy:
    return Taxonomy.load("hpa28")


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_tables_of_further_kinds_are_read_as_they_are_meant(tmp_path, tree, text) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode())
    read = read_labels(path, tree)
    assert (read.ids, read.nodes) == AS_MEANT


def test_a_long_table_may_have_a_confidence_and_rows_twice(tmp_path, tree) -> None:
    rows = "".join(f"s{k},{label},0.{k}\n" for k in range(1, 9) for label in (0, 25)) + "s3,25,0.3\n"
    path = tmp_path / "labels.csv"
    path.write_text(f"Id,label,confidence\n{rows}")
    read = read_labels(path, tree)
    assert set(read.nodes) == {("Nucleoplasm", "Cytosol")}
    assert "one row a label: 8 samples in 17 rows" in read.notes


def test_rows_that_repeat_a_sample_are_said_and_those_of_another_plate_refused(tmp_path, tree) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("Id,Target\na,0\na,0\nb,7\nb,7\n")
    assert "2 rows repeat an id with the same labels" in read_labels(path, tree).notes
    path.write_text("Id,Target,Plate\na,0,P1\na,0,P2\n")
    with pytest.raises(UserError, match=r"duplicate id \(1\): a \(lines 2 and 3\)"):
        read_labels(path, tree)


def test_labels_that_are_read_by_another_name_are_said(tmp_path, tree) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("Id,Target\na,Golgi\nb,golgi|MTOC\nc,golgi apparatus\nd,7.0\n")
    read = read_labels(path, tree)
    assert "read by other names: 'Golgi' is 'Golgi apparatus' (1), 'golgi' is 'Golgi apparatus' (1), " in read.notes[0]
    assert "'MTOC' is 'Microtubule organizing center' (1)" in read.notes[0]
    assert "7.0" not in read.notes[0]


@pytest.mark.parametrize("text", ["Id,Target\na,bud neck\nb,vacuole\n", "Id,bud neck,vacuole\na,1,0\nb,0,1\n"])
@pytest.mark.parametrize("on_problem", ["stop", "skip"])
def test_a_table_of_other_places_is_told_how_to_get_a_tree(tmp_path, tree, text, on_problem) -> None:
    path = tmp_path / "my labels.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=r"none of its labels is in 'hpa28': give --taxonomy with its own tree") as told:
        read_labels(path, tree, on_problem)
    assert f"`python -m hpa_hier.taxonomy new --labels '{path}'`" in str(told.value)


@pytest.mark.parametrize("word", ["NA", "null", "none", "Negative", "1.0", "-"])
def test_a_word_that_means_nothing_elsewhere_may_be_a_label(tmp_path, word) -> None:
    own = Taxonomy.from_text(f'taxonomy: a\ntree: {{A: {{label: "{word}"}}, B: {{label: 1}}}}\n')
    path = tmp_path / "labels.csv"
    path.write_text(f"Id,Target\na,{word}\nb,1\n")
    assert read_labels(path, own).nodes == (("A",), ("B",))


def test_an_uncertain_label_in_a_0_1_column_is_named_with_its_line(tmp_path, tree) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("Id,Nucleoplasm,Cytosol\na,1,0\nb,0,-1\n")
    with pytest.raises(UserError, match=r"labels\.csv:3: '-1' in the 0/1 column 'Cytosol'; write 0 or 1"):
        read_labels(path, tree)
