"""Decode: the process in which images of strangers are opened, one at a time, in bounded memory.

It reads one request a line, in JSON, and answers each with a line; what it finds it writes beside, as JSON, .npy and
PNG. It holds no model and no secret. `Decoder` starts it, and kills it where it takes too long.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from hpa_hier.data.images.read import PERCENTILES, read_planes
from hpa_hier.data.images.reader import UnreadableImage
from hpa_hier.data.images.scan import ImageSource, find_marks, scan
from hpa_hier.data.images.stacks import StackRules
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import write_json
from hpa_hier.predict.inputs import InputSpec, read_files
from hpa_hier.serve.uploads.sources import source_from_json, source_to_json

_FILES = 256  # open at a time
_TOO_MUCH = "needs more memory than one image may take"
_LARGEST_OUTPUT = 1 << 30  # bytes of a file that it writes


def find_samples(request: Mapping[str, Any]) -> dict[str, Any]:
    """Find the samples in folders and files; none of them leads out of the roots by a link."""
    found = scan([Path(path) for path in request["images"]], request["channels"], False)
    roots = [Path(root).resolve() for root in request["roots"]]
    rejects = [{"id": one.id, "file": one.file, "reason": one.reason} for one in found.rejects]
    sources = []
    for source in found.sources:
        leaving = next((file for file in _list_files(source) if not is_below(file, roots)), None)
        if leaving is None:
            sources.append(source)
        else:
            rejects.append({"id": source.id, "file": leaving.name, "reason": "a link that leaves the allowed folders"})
    return {
        "sources": [source_to_json(source) for source in sources],
        "rejects": rejects,
        "aside": list(found.ignored),
        "notes": list(found.notes),
        "simulated": bool(sources) and bool(find_marks(sources)),
    }


def read_sample(request: Mapping[str, Any]) -> dict[str, Any]:
    """Read a sample as the members take it, into a .npy file of (C, S, S) uint8."""
    source, spec = source_from_json(request["source"]), _read_spec(request["spec"])
    (batch,) = read_files([(source,)], spec, request["allowed"], threads=1)
    if not batch.ids:
        return {"rejected": batch.rejected[0]._asdict()}
    with Path(request["out"]).open("wb") as file:
        np.save(file, batch.values[0], allow_pickle=False)
    return {
        "filled": batch.filled[0],
        "notes": batch.notes[0],
        "file": batch.files[0],
        "bits": list(batch.bits),
        "stack": batch.stacks[0],
    }


def draw_channel(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write one channel as a grey PNG of 8 bits, its intensities from `low` to `high` spread over these."""
    source, channel = source_from_json(request["source"]), request["channel"]
    plane = read_planes(source, [channel], _read_rules(request)).planes[channel]
    least, most = int(plane.min()), int(plane.max())
    low, high = (np.percentile(plane, PERCENTILES)).tolist()
    low, high = (own if given is None else given for own, given in ((low, request["low"]), (high, request["high"])))
    side = max(plane.shape)
    if side > request["side"]:
        height, width = (max(1, round(n * request["side"] / side)) for n in plane.shape)
        plane = cv2.resize(np.ascontiguousarray(plane), (width, height), interpolation=cv2.INTER_AREA)
    shown = np.clip((plane.astype(np.float32) - low) * (255.0 / max(high - low, 1e-6)), 0, 255)
    _write_png(Path(request["out"]), np.rint(shown).astype(np.uint8))
    return {"low": low, "high": high, "min": least, "max": most, "depth": plane.dtype.itemsize * 8}


def keep_planes(request: Mapping[str, Any]) -> dict[str, Any]:
    """Write each channel of a sample as a PNG of its own, at the size and depth of its files."""
    source = source_from_json(request["source"])
    channels = [channel for channel in request["channels"] if channel in source.planes]
    for channel, plane in read_planes(source, channels, _read_rules(request)).planes.items():
        _write_png(Path(request["out"], f"{channel}.png"), plane)
    return {"channels": channels}


WORK: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "scan": find_samples,
    "read": read_sample,
    "draw": draw_channel,
    "keep": keep_planes,
}


def is_below(path: Path, roots: list[Path]) -> bool:
    """Tell whether a path, with its links resolved, is one of some folders or below one."""
    real = Path(os.path.realpath(path))
    return any(real == root or root in real.parents for root in roots)


def main() -> None:
    """Answer requests until there are no more."""
    memory = int(sys.argv[1])
    _bound(memory)
    cv2.setNumThreads(1)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), file=answers, flush=True)


def _answer(request: Mapping[str, Any]) -> dict[str, str]:
    try:
        write_json(Path(request["result"]), WORK[request["op"]](request))
    except UnreadableImage as error:
        return {"error": f"{error.shown}: {error.reason}"}
    except UserError as error:
        return {"error": str(error)}
    except MemoryError:
        return {"error": _TOO_MUCH}
    except RuntimeError as error:
        return {"error": _TOO_MUCH if "start new thread" in str(error) else f"cannot be read: {error}"[:500]}
    except Exception as error:  # whatever a file's bytes lead to
        return {"error": f"cannot be read: {type(error).__name__}: {error}"[:500]}
    return {}


def _bound(memory: int) -> None:
    """Limit what the process may take, where the system can."""
    try:
        import resource
    except ImportError:  # Windows; time is limited all the same
        return
    for what, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, _LARGEST_OUTPUT),
        (resource.RLIMIT_NOFILE, _FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _read_spec(kept: Mapping[str, Any]) -> InputSpec:
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in kept.items()}
    return InputSpec(**values)


def _read_rules(request: Mapping[str, Any]) -> StackRules:
    return _read_spec(request["spec"]).stacks


def _list_files(source: ImageSource) -> list[Path]:
    """Return a sample's files; of a folder that is one image, all links in it too."""
    files = [file for plane in source.planes.values() for file in plane.files]
    for folder in {file for file in files if file.is_dir()}:
        for path, names, others in os.walk(folder):
            files += [Path(path, name) for name in (*names, *others) if Path(path, name).is_symlink()]
    return files


def _write_png(path: Path, pixels: np.ndarray) -> None:
    done, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise UserError(f"{path.name}: cannot be written as PNG")
    path.write_bytes(encoded.tobytes())


if __name__ == "__main__":
    main()
