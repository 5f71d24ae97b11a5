"""Origin: what an ensemble's networks learned from, simulated cells or real images, and what it was calibrated on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.runs.manifest import MANIFEST, WEIGHTS, Manifest, read_manifest
from hpa_hier.settings.training import PACKAGE

SIMULATED: Final = "simulated"
Kind: TypeAlias = Literal["real", "simulated", "unknown"]
NOT_CALIBRATED: Final = "no safe answer: not calibrated on real images"
_ENSEMBLE, _RUN = Path("ensemble", "ensemble.json"), "run.json"


@dataclass(frozen=True)
class Origin:
    """What an ensemble's answers rest on.

    Attributes:
        networks: the images that its networks were trained on.
        started: whether they started from weights that had learned from simulated cells.
        calibrated: the images that its probabilities, thresholds and safe answers were fitted on.
        images: real ones of the run's pack, or where the networks saw none, those of the calibration; 0: unknown.
    """

    networks: Kind = "unknown"
    started: bool = False
    calibrated: Kind = "unknown"
    images: int = 0

    @property
    def warning(self) -> str:
        """What to bear in mind because of simulated cells; "" where there were none."""
        number = f"{self.images:,} " if self.images else ""
        if self.networks == SIMULATED and self.calibrated == SIMULATED:
            return "the networks learned from simulated cells only; do not rely on the answers"
        if self.networks == SIMULATED:
            return f"the networks learned from simulated cells only, then calibrated on {number}real images"
        if self.started:
            return f"the networks started from weights of simulated cells, then trained on {number}real images"
        return ""

    def why_unsafe(self, simulated: bool) -> str:
        """Return why images, simulated or real ones, get no safe answer; "" where they get one."""
        return NOT_CALIBRATED if self.calibrated == SIMULATED and not simulated else ""


def find_origin(
    about: Mapping[str, Any], manifests: Iterable[tuple[Path, Manifest]], simulated: bool | None, images: int
) -> Origin:
    """Find what an ensemble's answers rest on.

    Args:
        about: what the ensemble's file says of itself.
        manifests: of its members, each with its folder.
        simulated: whether the run's pack holds simulated cells; None: the run has no run.json.
        images: of the run's pack; 0: not known.
    """
    members = list(manifests)
    calibrated = _calibrated_on(about, simulated)
    if not members:
        return Origin(calibrated=calibrated)
    trained_on_shipped = any(one.pack_digest == _shipped_pack() for _, one in members)
    adapted = (about.get("adapted") or {}).get("networks") == SIMULATED  # of a run on simulated cells, to real ones
    if simulated or trained_on_shipped or adapted or (simulated is None and calibrated == SIMULATED):
        fitted = int(about.get("samples") or 0)
        return Origin("simulated", False, calibrated, 0 if calibrated == SIMULATED else fitted)
    if simulated is None:
        return Origin("unknown", any(_started(*one) for one in members), calibrated)
    return Origin("real", any(_started(*one) for one in members), calibrated, images)


def is_calibrated_on_simulated(run: Path) -> bool:
    """Tell whether a run's ensemble was calibrated on simulated cells, from its files alone; False: not known to be."""
    file = run / _RUN
    try:
        facts = read_json(file) if file.is_file() else None
        return (
            _calibrated_on(read_json(run / _ENSEMBLE)["about"], facts.get("simulated") if facts else None) == SIMULATED
        )
    except (UserError, LookupError, TypeError, AttributeError):
        return False  # opening it says what is wrong with it


def _calibrated_on(about: Mapping[str, Any], simulated: bool | None) -> Kind:
    """Return what an ensemble was calibrated on: as its file says, else as the run was begun, else as the bundled."""
    if about.get("score_kind"):
        return "unknown"  # other models' scores, of whatever images
    told = about.get(SIMULATED, simulated)
    if told is None and about.get("pack_digest") and about["pack_digest"] == _shipped_pack():
        told = True
    return "unknown" if told is None else "simulated" if told else "real"


def _started(folder: Path, manifest: Manifest) -> bool:
    """Tell whether the weights that a member started from had learned from simulated cells, directly or before."""
    for start, other in _starts(folder, manifest):
        if other.weights_sha256 in _shipped_weights() or other.pack_digest == _shipped_pack():
            return True
        file = start.parents[1] / _RUN
        if start != folder and file.is_file() and read_json(file).get(SIMULATED):
            return True
    return False


def _starts(folder: Path, manifest: Manifest) -> Iterator[tuple[Path, Manifest]]:
    """Yield a member, the one that it started from, the one that this one started from, as far as they are there."""
    seen: set[Path] = set()
    while folder not in seen:
        seen.add(folder)
        yield folder, manifest
        weights, name = str(manifest.settings.get("weights") or ""), manifest.settings.get("start_from")
        if weights.startswith(PACKAGE):  # of photographs
            return
        folder = Path(weights).parent if weights else folder.with_name(str(name)) if name else folder
        if not (folder / MANIFEST).is_file():
            return
        manifest = read_manifest(folder)


@cache
def _shipped_pack() -> str:
    """Return the digest of the simulated cells that the bundled ensemble learned from; "" where there is none."""
    home = pretrained_folder()
    return str(read_json(home / _ENSEMBLE)["about"]["pack_digest"]) if home else ""


@cache
def _shipped_weights() -> frozenset[str]:
    """Return the SHA-256 of the bundled members' weights."""
    home = pretrained_folder()
    folders = [path.parent for path in sorted((home / "members").glob(f"*/{MANIFEST}"))] if home else []
    return frozenset(read_manifest(folder).files[WEIGHTS] for folder in folders)
