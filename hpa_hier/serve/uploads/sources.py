"""Sources: a sample's files as JSON, for the process that decodes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpa_hier.data.images.planes import Plane
from hpa_hier.data.images.scan import ImageSource


def source_to_json(source: ImageSource) -> dict[str, Any]:
    """Return a sample's files.

    >>> source = ImageSource("a", {"green": Plane(Path("a.png"), None)})
    >>> source_from_json(source_to_json(source)) == source
    True
    """
    planes = {
        channel: {"file": str(one.file), "index": one.index, "sections": [str(file) for file in one.sections]}
        for channel, one in source.planes.items()
    }
    return {"id": source.id, "folder": source.folder, "planes": planes}


def source_from_json(kept: Mapping[str, Any]) -> ImageSource:
    """Return the sample that `source_to_json` described."""
    planes = {
        channel: Plane(Path(one["file"]), one["index"], tuple(map(Path, one["sections"])))
        for channel, one in kept["planes"].items()
    }
    return ImageSource(kept["id"], planes, kept["folder"])
