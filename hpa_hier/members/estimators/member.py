"""A trained member of estimators that scores vectors, and its file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hpa_hier.errors import UserError
from hpa_hier.members.estimators.fitted import Fitted, NodeFit
from hpa_hier.members.estimators.skops_file import read_skops, write_skops
from hpa_hier.members.scores_file import fold_folder
from hpa_hier.models.network import Standardise
from hpa_hier.models.normal_scores import WIDTHS, normalise_vectors
from hpa_hier.runs.manifest import ESTIMATORS, Manifest, check_files, read_manifest, training_settings

_PROBES = 16  # vectors that are scored when the file is written, and again under another scikit-learn
_CLOSE = 1e-4  # of logits, which other versions may round differently


@dataclass(frozen=True)
class Trained:
    """Estimators with what makes vectors alike for them: of one fold, or of the whole member."""

    normalise: Standardise
    fitted: Fitted

    def logits(self, vectors: np.ndarray) -> np.ndarray:
        """Return (B, n) float32 logits of (B, F) float32 vectors; a gap (NaN) counts as the mean."""
        return self.fitted.logits(see_vectors(self.normalise, vectors))


@dataclass(frozen=True)
class EstimatorMember:
    """Estimators with the names of their columns."""

    manifest: Manifest
    trained: tuple[Trained, ...]  # one, or one of each fold, of which the mean answers

    @classmethod
    def load(cls, folder: Path) -> EstimatorMember:
        """Load the finished member of a folder.

        Raises:
            UserError: not finished, changed since it was written, of a class that is not trusted, or of a version of
                scikit-learn in which its estimators answer otherwise.
        """
        manifest = read_manifest(folder)
        names = list_files(manifest)
        check_files(folder, manifest, names)
        return cls(manifest, tuple(read_trained(folder / name, manifest) for name in names))

    @property
    def name(self) -> str:
        """The member's name."""
        return self.manifest.name

    @property
    def nodes(self) -> tuple[str, ...]:
        """Columns of the logits, by name."""
        return self.manifest.nodes

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Score (B, F) float32 vectors as (B, n) float32; a sample's row does not depend on the other samples.

        Raises:
            UserError: another shape or type.
        """
        features = len(self.manifest.channels)
        if images.ndim != 2 or images.shape[1] != features or images.dtype != np.float32:
            raise UserError(
                f"member '{self.name}' scores float32 vectors of shape (B, {features}), got {images.dtype} of shape "
                f"{images.shape}"
            )
        total, *others = (one.logits(images) for one in self.trained)
        for logits in others:  # in this order, and in float32, as held-out scores are averaged
            total = total + logits
        return np.asarray(total / np.float32(len(self.trained)))


def see_vectors(normalise: Standardise, vectors: np.ndarray) -> np.ndarray:
    """Return (B, F) float32 vectors as estimators see them, which is as networks do."""
    return np.asarray(normalise(torch.from_numpy(np.ascontiguousarray(vectors))).numpy())


def list_files(manifest: Manifest) -> tuple[str, ...]:
    """Return the files of a member's estimators, by their names in its folder: those of each fold, or one."""
    if not manifest.folds:
        return (ESTIMATORS,)
    return tuple((fold_folder(Path(), fold) / ESTIMATORS).as_posix() for fold in range(manifest.folds))


def write_trained(path: Path, trained: Trained) -> None:
    """Write estimators, and how they answer for some vectors."""
    fitted, state = trained.fitted, trained.normalise.state_dict()
    probes = np.random.default_rng(0).standard_normal((_PROBES, trained.normalise.mean.numel())).astype(np.float32)
    content = {
        "normalise": {name: tensor.numpy() for name, tensor in state.items()},
        "constant": fitted.constant,
        "fits": [
            {field.name: getattr(fit, field.name) for field in fields(fit)} | {"columns": list(fit.columns)}
            for fit in fitted.fits
        ],
        "probes": probes,
        "answers": trained.logits(probes),
    }
    write_skops(path, content)


def read_trained(path: Path, manifest: Manifest) -> Trained:
    """Read estimators; those of another version of scikit-learn have to answer as they did when they were written.

    Raises:
        UserError: they do not, or as `read_skops`.
    """
    facts = manifest.estimator
    same = facts is not None and facts.libraries == library_versions()
    try:
        with warnings.catch_warnings():
            if not same:
                warnings.simplefilter("ignore")  # scikit-learn warns of each object; the probes tell more
            rule = training_settings(manifest).vectors
            content = read_skops(path, len(manifest.channels) * WIDTHS[rule])
            trained = _assemble(content, rule, len(manifest.channels))
            answers = content["answers"] if same else trained.logits(content["probes"])
        close = np.allclose(answers, content["answers"], rtol=0, atol=_CLOSE)
    except UserError as error:
        raise UserError(f"{error}{'' if same else f' ({_describe_versions(manifest)})'}") from None
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        why = "" if same else f"; {_describe_versions(manifest)}"
        raise UserError(f"{path}: holds no estimators that work ({error}){why}; train the member again") from None
    if not close:
        raise UserError(f"{path}: answers otherwise than when it was trained: {_describe_versions(manifest)}")
    return trained


def _assemble(content: dict[str, Any], rule: str, features: int) -> Trained:
    normalise = normalise_vectors(rule, np.zeros(features), np.ones(features))
    normalise.load_state_dict({name: torch.from_numpy(values) for name, values in content["normalise"].items()})
    fits = tuple(
        NodeFit(one["estimator"], tuple(one["columns"]), one["shares"], int(one["samples"]), bool(one.get("one_of")))
        for one in content["fits"]
    )
    return Trained(normalise, Fitted(np.asarray(content["constant"]), fits))


def _describe_versions(manifest: Manifest) -> str:
    """Say under which versions a member was trained, which there are, and what to do."""
    then, now = manifest.estimator.libraries if manifest.estimator else {}, library_versions()
    wanted = " ".join(f"{name}=={version}" for name, version in then.items())
    here = " ".join(f"{name}=={version}" for name, version in now.items())
    return f"trained with {wanted}, and here is {here}; pip install {wanted}, or train it again with --restart"


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that estimators are made of and kept by."""
    import sklearn
    import skops

    return {"scikit-learn": str(sklearn.__version__), "skops": str(skops.__version__)}
