"""The weights of the ensemble that comes with the package, to start another training from."""

from __future__ import annotations

from hpa_hier.errors import UserError
from hpa_hier.files.shipped import pretrained_folder
from hpa_hier.runs.manifest import WEIGHTS, check_files, read_manifest

MEMBER = "leaf"  # has seen all 28 classes, so its features serve every member


def shipped_weights_settings() -> dict[str, str]:
    """Return the recipe's settings under which a backbone starts from the shipped leaf member.

    Raises:
        UserError: the ensemble was taken out of this installation, or its files have changed.
    """
    home = pretrained_folder()
    if home is None:
        raise UserError(
            "--init pretrained: no ensemble comes with this installation; make it: benchmarks/pretrained.py"
        )
    folder = home / "members" / MEMBER
    manifest = read_manifest(folder)
    check_files(folder, manifest, (WEIGHTS,))
    return {
        "training.backbone": manifest.backbone,
        "training.width": str(manifest.width),
        "training.weights": str(folder / WEIGHTS),
    }
