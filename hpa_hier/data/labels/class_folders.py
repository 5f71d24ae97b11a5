"""Class folders: images whose folder is called as what they show, as in `images/Golgi/a.tif`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from hpa_hier.data.labels.cells import NOWHERE, RowLabels, read_cell
from hpa_hier.data.labels.classes import Classes
from hpa_hier.data.labels.columns import advise_new_tree
from hpa_hier.data.labels.groups import describe_groups, find_groups
from hpa_hier.data.labels.problems import OnProblem, Problem, stop_at_problems
from hpa_hier.data.labels.table import LabelTable, lie_apart
from hpa_hier.errors import UserError
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.taxonomy import Taxonomy

FOLDERS = Path("folders")  # what --labels says in the place of a table
_PARTS = re.compile(r"train|training|test|testing|val|valid|validation|calibration|fold[ _-]?\d+|images?|data", re.I)
_NAMED = 8  # folders that a note names
_CURE = "rename the folders, or give aliases in the taxonomy, or --on-problem skip to leave these images out"


def means_folders(labels: Path) -> bool:
    """Tell whether --labels asks for class folders; a file called `folders` is a table.

    >>> means_folders(Path("folders")), means_folders(Path("labels.csv"))
    (True, False)
    """
    return labels == FOLDERS and not labels.is_file()


def read_class_folders(
    folders: Mapping[str, str], taxonomy: Taxonomy, images: Path, on_problem: OnProblem = "stop"
) -> LabelTable:
    """Read what images show from the names of their folders.

    Of a path such as `train/Golgi/plate 1` the parts that are a label, a name or an alias count; the others, of splits
    and plates, are passed over. A folder's name may hold several labels as a cell does: `Golgi, Cytosol`.

    Args:
        folders: image id → the folders between the images' folder and its file, as in "train/Golgi".
        taxonomy: gives the labels and the names.
        images: the images' folder, for messages.
        on_problem: "stop" raises where a folder is no class; "skip" leaves its images out.

    Raises:
        UserError: an image's folder is no class and `on_problem` is "stop", or none is.
    """
    read = {folder: _read_folder(folder, taxonomy) for folder in sorted(set(folders.values()))}
    unknown = {folder: _count(folders, folder) for folder, said in read.items() if said is None and folder}
    outside = [sample_id for sample_id, folder in folders.items() if not folder]
    classed = {folder: said for folder, said in read.items() if said is not None}
    several = {
        folder: f"{folder!r}: {', '.join(said.nodes)}"
        for folder, said in classed.items()
        if taxonomy.exclusive and lie_apart(said.nodes, taxonomy)
    }
    found = {folder: said for folder, said in classed.items() if folder not in several}
    problems = tuple(
        Problem(kind, tuple(items))
        for kind, items in {
            "folder that no label or node is called": [
                f"{folder!r} ({count:,} images){_guess(folder, taxonomy)}" for folder, count in unknown.items()
            ],
            "image outside of class folders": outside,
            f"several places, where '{taxonomy.name}' is exclusive and gives each sample one": list(several.values()),
        }.items()
        if items
    )
    cure = _CURE if found else advise_new_tree(FOLDERS, taxonomy, images)
    if on_problem == "stop" or not found:
        stop_at_problems(images, problems, cure)
    ids = tuple(sample_id for sample_id, folder in folders.items() if folder in found)
    groups = find_groups(ids, None)
    grouped = describe_groups(groups, None)
    kept = tuple(found[folders[sample_id]].nodes for sample_id in ids)
    skipped = {
        sample_id: f"in no class folder: {folder!r}" for sample_id, folder in folders.items() if folder not in found
    }
    notes = (_describe_reading(folders, found), *((grouped,) if grouped else ()))
    return LabelTable(f"{images} (class folders)", ids, kept, groups, problems, skipped, {}, notes)


def find_folder_classes(folders: Mapping[str, str], images: Path) -> Classes:
    """Find the classes that folders are called by: the first part of each path that is no split such as `train`.

    Raises:
        UserError: no image is in a folder of its class.
    """
    rows = [
        [part for part in folder.split("/") if part and not _PARTS.fullmatch(part)][:1] for folder in folders.values()
    ]
    rows = [[part for part in row if part.casefold() not in NOWHERE] for row in rows]
    if not any(rows):
        raise UserError(f"{images}: no image lies in a folder of its class, as in {images / 'Golgi' / 'a.tif'}")
    return Classes.from_rows(rows)


def _read_folder(folder: str, taxonomy: Taxonomy) -> RowLabels | None:
    """Return what a path of folders says; None where no part of it is a class."""
    parts = [read_cell(part, taxonomy) for part in folder.split("/") if part]
    known = [part for part in parts if part.nowhere or (part.nodes and not part.unknown)]
    if not known:
        return None
    nodes = sorted({node for part in known for node in part.nodes}, key=taxonomy.column.__getitem__)
    return RowLabels(tuple(nodes), (), nowhere=not nodes)


def _guess(folder: str, taxonomy: Taxonomy) -> str:
    parts = [part for part in reversed(folder.split("/")) if not _PARTS.fullmatch(part)]
    return next((hint for part in parts if (hint := did_you_mean(part, taxonomy.words))), "")


def _count(folders: Mapping[str, str], wanted: str) -> int:
    return sum(folder == wanted for folder in folders.values())


def _describe_reading(folders: Mapping[str, str], found: Mapping[str, RowLabels]) -> str:
    listed = [
        f"{folder!r} is {' and '.join(said.nodes) or 'none of the places'} ({_count(folders, folder):,})"
        for folder, said in found.items()
    ]
    more = f" and {len(listed) - _NAMED:,} more" if len(listed) > _NAMED else ""
    return f"taken from class folders: {', '.join(listed[:_NAMED])}{more}"
