"""Ids: what may name a sample, and the id in what a table has in its place, such as a path or a file's name."""

from __future__ import annotations

import re
import unicodedata

ID_RULE = "an id is a file's name: no / \\ : * ? \" < > |, no leading '.', '=', '+' or '@', at most 128 characters"
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]")  # of a file's name, on some system
_LONGEST = 128  # characters
_SUFFIX = re.compile(r"\.(ome\.)?(png|jpe?g|tiff?|bmp|gif|webp|czi|lif|nd2|zarr|h5|npy)$", re.IGNORECASE)


def is_valid_id(sample_id: str) -> bool:
    r"""Tell whether an id can be a file's name on every system and a cell of every spreadsheet.

    Letters of any script, digits, blanks inside and most signs can; `/ \ : * ? " < > |`, a leading dot, `=`, `+`
    or `@` (a spreadsheet's formula), and more than 128 characters cannot.

    >>> is_valid_id("Zelle 0 (1)_µm"), is_valid_id("../a"), is_valid_id("")
    (True, False, False)
    """
    return (
        0 < len(sample_id) <= _LONGEST
        and sample_id == sample_id.strip()
        and sample_id[0] not in ".=+@"
        and sample_id[-1] != "."
        and not _FORBIDDEN.search(sample_id)
        and all(unicodedata.category(sign)[0] != "C" for sign in sample_id)
    )


def find_id(cell: str) -> str:
    r"""Return the id that a cell means: of a path the file's name, of a file's name that without an image's suffix.

    The same letters in another Unicode form, as macOS writes them in file names, are one id.

    >>> find_id("/plate 1/B5_2.ome.tif"), find_id("C:\\images\\a.png"), find_id("cell_1.5")
    ('B5_2', 'a', 'cell_1.5')
    """
    name = re.split(r"[/\\]", cell)[-1] if not cell.endswith(("/", "\\")) else cell
    return unicodedata.normalize("NFC", _SUFFIX.sub("", name) or name)
