"""Exported folders: an ensemble, or a member alone, with all that answers and a reader for it; whole or absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.special import expit

from hpa_hier import __version__
from hpa_hier.data.pack.pack_file import FILLED, VECTORS
from hpa_hier.ensemble import ensemble_file
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.scores.scores import Scores
from hpa_hier.ensemble.steps.ensemble import Combination, write_ensemble
from hpa_hier.ensemble.steps.steps import Steps
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256, write_bytes, write_json, write_text
from hpa_hier.files.extras import find_version, import_extra
from hpa_hier.files.faults.folder import is_unfinished, list_files, replacing_folder
from hpa_hier.files.shell import run_name
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.members.score import Member
from hpa_hier.members.tta import Tta, TtaMember
from hpa_hier.predict.export.networks import EXTRAS, Format, check_tta, write_network
from hpa_hier.predict.export.read_me import describe_folder
from hpa_hier.predict.export.reader import Reader
from hpa_hier.predict.export.scorers import ABOUT
from hpa_hier.predict.held_out import fitted_settings
from hpa_hier.predict.prior_file import read_prior
from hpa_hier.runs.manifest import EXPORTED, MANIFEST, TAXONOMY, WEIGHTS, Manifest, check_files
from hpa_hier.runs.members import MemberRecord
from hpa_hier.runs.run import RUN_FILE, Run, RunFacts
from hpa_hier.settings.training import SKLEARN

MOST = 1e-5  # that a probability may differ from the run's
_COMBINATION, _READ_ME, _CODE = "combination.json", "README.md", ("reader.py", "example.py")
_PROBES = 4  # drawn samples that the folder has to answer as the run does


def export_ensemble(run: Run, out: Path, form: Format, overwrite: bool = False, prior: str | None = None) -> float:
    """Write a folder that answers as a run's ensemble does, by numpy and a runtime, and is a run of this package too.

    Args:
        run: with a fitted ensemble.
        out: the folder; it is whole or absent.
        form: of the networks.
        overwrite: whether a folder that was exported before is replaced.
        prior: how often classes occur among what it will answer for, as `read_prior` takes it; None: as often as where
            the ensemble was fitted.

    Returns:
        How much probabilities of drawn samples differ from the run's, at most; 0 where there are no networks.

    Raises:
        UserError: the folder is there, a member or a rule cannot be exported, or answers differ by more than 1e-5.
    """
    check_out(out, overwrite)
    ensemble, origin = run.ensemble, run.origin
    if prior is not None:
        ensemble = ensemble.with_prior(read_prior(prior, ensemble.taxonomy))
    unsafe, tta = origin.why_unsafe(simulated=False), Tta.from_settings(fitted_settings(ensemble))
    combination = write_ensemble(ensemble, safe_answers=not unsafe)
    records = () if ensemble.about.get("score_kind") else run.check_unchanged(ensemble)
    check_tta(tta)
    check_members(records, form)
    about = {
        "kind": "ensemble",
        "name": Path(run_name(run.folder)).name,
        "samples": _describe_samples(records, ensemble),
        "caution": "; ".join(filter(None, (origin.warning, ensemble.prior.note if ensemble.prior else ""))),
        "no_safe_answers": unsafe,
    }
    facts = RunFacts(
        pack="", pack_digest="", split_digest="", taxonomy=ensemble.taxonomy.name, images=origin.images, origin=origin
    )
    if ensemble.prior:
        new = ensemble.prior.new
        shares = dict(zip(ensemble.taxonomy.nodes, new.shares.tolist(), strict=True))
        facts = facts.model_copy(update={"prior": shares, "prior_source": new.source})
    with _replacing(out, overwrite) as folder:
        members = {record.name: Member.load(record.folder, "cpu") for record in records}
        networks = {record.name: _write_member(folder, record, members[record.name], tta, form) for record in records}
        ensemble_file.save(ensemble, folder / run.ensemble_folder.name)
        write_json(folder / RUN_FILE, facts.model_dump(mode="json"))
        _finish(folder, form, about | {"networks": networks}, combination)
        return _compare(folder, ensemble, members, tta) if records else 0.0


def export_member(
    run: Run, name: str, out: Path, form: Format | Literal["safetensors"], overwrite: bool = False
) -> float:
    """Write a folder that answers as one member does: its logits, and their logistic function, which is not calibrated.

    Args:
        run: with the member.
        name: of the member.
        out: the folder; it is whole or absent.
        form: of the network; safetensors: its weights for torch, as the run has them, without a reader.
        overwrite: whether a folder that was exported before is replaced.

    Returns:
        How much probabilities of drawn samples differ from the run's, at most; 0 for weights.

    Raises:
        UserError: the folder is there, there is no such member, or it cannot be exported.
    """
    check_out(out, overwrite)
    if name not in run.member_names:
        there = ", ".join(run.member_names) or "none"
        raise UserError(
            f"--member {name}: {run.folder} has no such member; it has {there}{did_you_mean(name, run.member_names)}"
        )
    (record,) = run.select_members([name])
    manifest = record.manifest
    about = {
        "kind": "member",
        "name": name,
        "samples": _describe_samples([record], None),
        "caution": "the probabilities of a member alone are not calibrated, and it has no thresholds",
        "no_safe_answers": "no safe answer: a member alone has no thresholds",
    }
    if form == "safetensors":
        check_members([record], None)
        check_files(record.folder, manifest, (WEIGHTS,))
        with _replacing(out, overwrite) as folder:
            for file in (WEIGHTS, MANIFEST):
                write_bytes(folder / file, (record.folder / file).read_bytes())
            _finish(folder, form, about | {"networks": {}}, None)
        return 0.0
    check_members([record], form)
    steps = Steps()
    logits = steps.member(name)
    outputs = {"logits": logits.number, "probs": logits.apply("sigmoid").number}
    leaves = tuple(map(record.taxonomy.is_leaf, manifest.nodes))
    combination = Combination({name: manifest.nodes}, manifest.nodes, leaves, steps.written, outputs)
    with _replacing(out, overwrite) as folder:
        member = Member.load(record.folder, "cpu")
        networks = {name: _write_member(folder, record, member, Tta(), form)}
        _finish(folder, form, about | {"networks": networks}, combination)
        samples = draw_samples(manifest)
        found, own = Reader(folder).answer(samples)["probs"], expit(member.logits(samples).astype(np.float64))
        return _check_close(folder, float(np.abs(found - own).max()))


@contextmanager
def _replacing(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder to write into that becomes `out`, unless another process has written one there meanwhile."""
    with replacing_folder(out) as folder:
        check_out(out, overwrite)
        yield folder


def check_out(out: Path, overwrite: bool) -> None:
    """Refuse a folder that is there already, but for one that was exported and may be replaced.

    Raises:
        UserError: naming it, and what to do.
    """
    if not out.exists() or is_unfinished(out):
        return
    if not (out / ABOUT).is_file():
        raise UserError(f"{out}: is there already, and was not exported; name another folder with --out")
    if not overwrite:
        raise UserError(f"{out}: exists already; name another folder with --out, or replace it with --overwrite")


def check_members(records: Sequence[MemberRecord], form: Format | None) -> None:
    """Refuse members that are no networks, and formats whose packages are not installed; None needs none.

    Raises:
        UserError: naming the member, or the package.
    """
    for record in records:
        if record.manifest.backbone == SKLEARN:
            what = record.manifest.estimator.path if record.manifest.estimator else "scikit-learn"
            raise UserError(
                f"member '{record.name}': is made of scikit-learn's estimators ({what}), not of a network, and answers "
                "with scikit-learn alone; copy the run's folder instead, or leave the member out of ensemble.members"
            )
        if not (record.folder / WEIGHTS).is_file():
            check_files(record.folder, record.manifest, (WEIGHTS,))  # says why
    for module in ("onnx", "onnxscript", EXTRAS[form]) if form and records else ():
        import_extra(module, EXTRAS[form] if form else "", f"--format {form}")


def draw_samples(manifest: Manifest) -> np.ndarray:
    """Draw samples as a member takes them, to compare answers for: images from dark to bright, or vectors."""
    rng = np.random.default_rng(0)
    if manifest.kind == VECTORS:
        values = rng.normal(manifest.mean, manifest.std, (_PROBES, len(manifest.mean))).astype(np.float32)
        if manifest.intensity == FILLED:
            values[0, ::3] = np.nan
        return values
    shape = (len(manifest.channels), manifest.image_size, manifest.image_size)
    blocks = rng.random((_PROBES, shape[0], -(-shape[1] // 8), -(-shape[1] // 8))).repeat(8, 2).repeat(8, 3)
    bright = np.linspace(0, 255, _PROBES)[:, None, None, None]
    return (bright * blocks[..., : shape[1], : shape[1]] * rng.random((_PROBES, *shape))).astype(np.uint8)


def _describe_samples(records: Sequence[MemberRecord], ensemble: Ensemble | None) -> dict[str, Any]:
    """Return what a reader has to be given."""
    if not records:
        return {"type": "tables of other models' scores"}
    manifest = records[0].manifest
    if manifest.kind == VECTORS:
        return {"type": "float32", "shape": [len(manifest.channels)], "features": list(manifest.channels)}
    about: Mapping[str, Any] = (ensemble.about.get("images") if ensemble else None) or {}
    return {
        "type": "uint8",
        "shape": [len(manifest.channels), manifest.image_size, manifest.image_size],
        "channels": list(manifest.channels),
        "intensity": about.get("intensity", manifest.intensity),
        "may_be_missing": list(about.get("may_be_missing", ())),
    }


def _write_member(folder: Path, record: MemberRecord, member: Member, tta: Tta, form: Format) -> str:
    """Write a member's network and what it is; return the network's file.

    Raises:
        UserError: it cannot be converted.
    """
    manifest, home = record.manifest, folder / "members" / record.name
    for file in (MANIFEST, TAXONOMY):
        write_bytes(home / file, (record.folder / file).read_bytes())
    side = (manifest.image_size, manifest.image_size)
    shape = (len(manifest.channels), *(() if manifest.kind == VECTORS else side))
    try:
        return write_network(member.network, shape, tta, form, home / EXPORTED).relative_to(folder).as_posix()
    except RuntimeError as error:  # of the converter, or of the runtime's reader
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"member '{record.name}': its network ({manifest.backbone}, head {manifest.head}) cannot be converted to "
            f"{form}: {why}; leave the member out of ensemble.members, or copy the run's folder instead"
        ) from None


def _finish(folder: Path, form: str, about: dict[str, Any], combination: Combination | None) -> None:
    """Write what makes a folder of networks whole: how they are combined, code, a page for people, and checksums."""
    if combination:
        write_json(folder / _COMBINATION, combination.to_json())
        for name in _CODE if about["samples"]["type"] == "uint8" else _CODE[:1]:
            write_text(folder / name, Path(__file__).with_name(name).read_text(encoding="utf-8"))
    packages = ("torch", "numpy", *(("onnx", EXTRAS[form]) if form in EXTRAS else ()))
    made_by = {"hpa_hier": __version__} | {name: find_version(name) for name in packages}
    about = {"format": form, **about, "made_by": made_by}
    write_text(folder / _READ_ME, describe_folder(about, combination))
    left_to_people = (_READ_ME, *_CODE)
    files = [path for path in list_files(folder) if path.name not in left_to_people]
    write_json(folder / ABOUT, about | {"files": {path.relative_to(folder).as_posix(): sha256(path) for path in files}})


def _compare(folder: Path, ensemble: Ensemble, members: Mapping[str, Member], tta: Tta) -> float:
    """Return how much a folder's probabilities differ from an ensemble's for drawn samples, at most."""
    samples = draw_samples(next(iter(members.values())).manifest)
    ids, scores = tuple(map(str, range(len(samples)))), []
    for one in ensemble.members:
        member = members[one.name]
        logits = (member if tta.plain else TtaMember(member, tta)).logits(samples)
        scores.append(Scores(one.name, ids, member.nodes, logits).renamed(one.renamed))
    reader, own = Reader(folder), ensemble.predict(scores)
    columns = [ensemble.taxonomy.column[node] for node in reader.rules["nodes"]]
    return _check_close(folder, float(np.abs(reader.answer(samples)["probs"] - own.probs[:, columns]).max()))


def _check_close(folder: Path, difference: float) -> float:
    if not difference <= MOST:
        raise UserError(
            f"the exported networks answer otherwise than the run: probabilities of drawn samples differ by up to "
            f"{difference:.2g}, more than {MOST:g}; nothing was written. Try the other --format"
        )
    return difference
