"""Measure on real images an ensemble trained on simulated cells: groups, organelles and leaves, beside chance.

    python benchmarks/sim_to_real.py --images DIR --labels CSV [--crop-lower 0.08] [--run NAME|DIR] [--markdown FILE]
                                     [--missing yellow] [--prior CSV|hpa28] [--scales 1,2] [--each] [--each-class]
                                     [--peers SCORES.npz] [--member NAME]

Without --run it is the bundled ensemble. Images may lack their yellow channel, or those that
--missing names. Pictures with a scale bar burnt in, as the cell dictionary has, need `--crop-lower 0.08`: that share
of the height is cut off below, and as much of the width, half on each side, so that squares stay squares.

Group F1 is the macro mean over the groups that occur, of the ensemble's own decisions; beside it what the same images
give if every group is always answered. Top-k is the share of images with an annotated node among the k most probable
of its level; chance is a random order. Mean AP is the macro mean of average precision over the leaves with at least
four images, and its chance their mean share of the images, which is what a random order gives. Intervals are
bootstrap over images; a resample's mean AP leaves out those leaves that it has no image of. With --member it is one
network of a run that answers for leaves, alone and uncalibrated, with the rows of leaves; the run need not have an
ensemble. With --each-class there is a second table, of every leaf that occurs: its images, ROC AUC, AP and share of
the images. With --peers, a file as benchmarks/real_scores.py takes it, another tells what networks that were trained
on real images reach on others with the same labels: for each image one of the file's with just its labels is drawn,
200 times; an image whose labels no other has is left out, and the table says how many are. Costs a few seconds for
some tens of images.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from math import comb
from pathlib import Path

import cv2
import numpy as np
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from hpa_hier.cli.command import run
from hpa_hier.cli.ensemble.arguments import numbers
from hpa_hier.data.images.channels import CHANNELS
from hpa_hier.data.labels.table import read_labels, targets
from hpa_hier.errors import UserError
from hpa_hier.members.score import Member
from hpa_hier.metrics import scores as metrics
from hpa_hier.metrics.bootstrap import interval, resamples
from hpa_hier.predict.inputs import InputSpec, read_files, scan_images
from hpa_hier.predict.predictor import Predictor
from hpa_hier.runs.find import PRETRAINED
from hpa_hier.runs.run import Run
from hpa_hier.taxonomy import Taxonomy

RESAMPLES, LEVEL = 2000, 0.95
GROUPS, ORGANELLES, LEAVES = "coarse", "compartment", "leaf"
LEAST = 4  # images of a leaf that counts in mean AP
DRAWS = 200  # of images with the same labels


def top_hits(present: np.ndarray, probs: np.ndarray, k: int) -> np.ndarray:
    """Return for each image whether a present node is among the k most probable, (B,) bool."""
    best = np.argsort(-probs, axis=1, kind="stable")[:, :k]
    return np.asarray(np.take_along_axis(present, best, axis=1).any(axis=1))


def top_chance(present: np.ndarray, k: int) -> float:
    """Return what `top_hits` comes to on average for a random order.

    >>> round(top_chance(np.eye(28, dtype=bool), 3), 3)
    0.107
    """
    nodes = present.shape[1]
    return float(np.mean([1 - comb(nodes - int(m), k) / comb(nodes, k) for m in present.sum(axis=1)]))


def mean_ap(present: np.ndarray, probs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return mean average precision, (R,), over the columns of `present` and `probs` (B, L), with weights (R, B)."""
    return metrics.mean_of_defined(metrics.average_precision(probs, present, np.ones_like(present), weights))


def table_row(name: str, metric: Callable[[np.ndarray], np.ndarray], images: int, chance: float) -> tuple[str, ...]:
    """Return a row of the table; `metric` maps (R, B) weights to (R,) values."""
    point = metric(np.ones((1, images)))[0]
    weights = np.concatenate(list(resamples(np.arange(images), RESAMPLES, np.random.default_rng(0))))
    low, high = interval(metric(weights), np.asarray(point), LEVEL)
    return name, f"{point:.2f}", f"[{max(0.0, float(low)):.2f}, {min(1.0, float(high)):.2f}]", f"{chance:.2f}"


def table_rows(
    taxonomy: Taxonomy, present: np.ndarray, probs: np.ndarray, answered: np.ndarray
) -> list[tuple[str, ...]]:
    """Return the table's rows; all arrays are (B, N) with columns as taxonomy.nodes."""
    return [*group_rows(taxonomy, present, probs, answered), *leaf_rows(taxonomy, present, probs)]


def group_rows(
    taxonomy: Taxonomy, present: np.ndarray, probs: np.ndarray, answered: np.ndarray
) -> list[tuple[str, ...]]:
    """Return the rows of groups and organelles; arrays as for `table_rows`."""
    images = len(present)
    groups = [taxonomy.column[node] for node in taxonomy.level(GROUPS)]
    truth, answers, known = present[:, groups], answered[:, groups], np.ones((images, len(groups)), bool)
    always = metrics.macro_f1(metrics.count(known, truth, known))
    group_f1 = lambda w: metrics.macro_f1(metrics.count(answers, truth, known, w))  # noqa: E731
    lines = [table_row("group macro F1", group_f1, images, float(always))]
    for level, name, ks in ((GROUPS, "group", (1,)), (ORGANELLES, "organelle", (1, 3))):
        lines += top_rows(taxonomy, present, probs, level, name, ks)
    return lines


def top_rows(
    taxonomy: Taxonomy, present: np.ndarray, probs: np.ndarray, level: str, name: str, ks: Sequence[int]
) -> list[tuple[str, ...]]:
    """Return a level's rows of how often the k most probable nodes have a present one; arrays as for `table_rows`."""
    columns, lines = [taxonomy.column[node] for node in taxonomy.level(level)], []
    for k in ks:
        hits = top_hits(present[:, columns], probs[:, columns], k)
        chance = top_chance(present[:, columns], k)
        lines.append(table_row(f"{name} top-{k}", lambda w, h=hits: w @ h / w.sum(axis=1), len(present), chance))  # type: ignore[misc]
    return lines


def leaf_rows(taxonomy: Taxonomy, present: np.ndarray, probs: np.ndarray) -> list[tuple[str, ...]]:
    """Return the rows of leaves; arrays as for `table_rows`."""
    images, lines = len(present), top_rows(taxonomy, present, probs, LEAVES, "leaf", (1, 3))
    leaves = [taxonomy.column[leaf] for leaf in taxonomy.leaves if present[:, taxonomy.column[leaf]].sum() >= LEAST]
    if leaves:
        truth, ranked = present[:, leaves], probs[:, leaves]
        name = f"mean AP of {len(leaves)} leaves with {LEAST} or more images"
        lines.append(table_row(name, lambda w: mean_ap(truth, ranked, w), images, float(truth.mean())))
    return lines


def class_rows(taxonomy: Taxonomy, present: np.ndarray, probs: np.ndarray) -> list[tuple[str, ...]]:
    """Return a row for each leaf that occurs, by falling number of images; arrays as for `table_rows`."""
    images = present.sum(axis=0)
    ap = metrics.average_precision(probs, present, np.ones_like(present))
    leaves = sorted(
        (leaf for leaf in taxonomy.leaves if images[taxonomy.column[leaf]]),
        key=lambda leaf: -images[taxonomy.column[leaf]],
    )
    lines = []
    for leaf in leaves:
        j = taxonomy.column[leaf]
        area = roc_auc_score(present[:, j], probs[:, j]) if images[j] < len(present) else np.nan
        lines.append((leaf, str(images[j]), f"{area:.2f}", f"{ap[j]:.2f}", f"{images[j] / len(present):.2f}"))
    return lines


def score_member(
    run: Run, name: str, images: Path, missing: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...], np.ndarray]:
    """Return the ids of a folder's images, the nodes of one member of a run, and its logits, (B, n)."""
    (record,) = run.select_members([name])
    member = Member.load(record.folder, "cpu")
    spec = InputSpec("images", member.channels, member.size, member.manifest.intensity)
    sources = scan_images(images, None).sources
    (batch,) = read_files([sources], spec, missing, threads=2)
    return batch.ids, member.nodes, member.logits(batch.values)


def peer_rows(present: np.ndarray, labels: np.ndarray, scores: np.ndarray, seed: int = 0) -> tuple[np.ndarray, int]:
    """Return what other networks reach on images drawn to have the same labels.

    Args:
        present: (B, L) leaves of the images at hand.
        labels: (P, L) leaves of the networks' images.
        scores: (E, P, L) of the networks.
        seed: of the draws.

    Returns:
        (2, E, DRAWS) mean AP over the leaves with at least LEAST drawn images, and how often the likeliest leaf is
        right; and for how many images there is none with the same labels, which are left out.
    """
    alike = [np.flatnonzero((labels == row).all(axis=1)) for row in present]
    found = [rows for rows in alike if len(rows)]
    rng = np.random.default_rng(seed)
    figures = np.empty((2, len(scores), DRAWS))
    for draw in range(DRAWS):
        rows = [int(rng.choice(some)) for some in found]
        truth = labels[rows]
        leaves, weights = truth.sum(axis=0) >= LEAST, np.ones((1, len(rows)))
        for e, answers in enumerate(scores[:, rows]):
            figures[0, e, draw] = mean_ap(truth[:, leaves], answers[:, leaves], weights)[0]
            figures[1, e, draw] = top_hits(truth, answers, 1).mean()
    return figures, len(alike) - len(found)


def peer_table(taxonomy: Taxonomy, present: np.ndarray, file: Path) -> str:
    """Return the table of a file's networks on images with the same labels; `present` is (B, N) as taxonomy.nodes."""
    with np.load(file, allow_pickle=False) as kept:
        labels, scores, names = kept["labels"].astype(bool), kept["scores"], kept["members"]
    nodes = [taxonomy.find_node(str(label)) for label in range(labels.shape[1])]
    columns = [taxonomy.column[str(node)] for node in nodes]
    figures, left_out = peer_rows(present[:, columns], labels, scores.astype(np.float64))
    means = figures.mean(axis=2)
    low, high = np.quantile(figures, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=2)
    lines = [
        (str(name), *(f"{means[m, e]:.2f} [{low[m, e]:.2f}, {high[m, e]:.2f}]" for m in (0, 1)))
        for e, name in enumerate(names)
    ]
    head = (f"network on {len(present) - left_out} images with the same labels", "mean AP", "leaf top-1")
    return markdown_table(head, lines)


def markdown_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return the lines of a table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ("---",) * len(head), *rows))


def crop_lower(images: Path, share: float, out: Path) -> Path:
    """Write the folder's PNG and JPEG images without their lower `share`, as PNG files, and return `out`."""
    for path in sorted(images.iterdir()):
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            continue
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if picture is None:
            raise UserError(f"{path}: cannot be decoded; take it out of the folder")
        height, width = picture.shape[:2]
        side = round(width * share / 2)
        cv2.imwrite(str(out / f"{path.stem}.png"), picture[: round(height * (1 - share)), side : width - side])
    return out


def main(arguments: list[str]) -> int:
    """Predict, compare, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--labels", type=Path, required=True, metavar="CSV")
    parser.add_argument("--crop-lower", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--run", metavar="NAME|DIR", help="run with a fitted ensemble (default: the shipped one)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there too")
    parser.add_argument(
        "--missing", default="yellow", metavar="CHANNELS", help="that images may lack, as red,blue,yellow"
    )
    parser.add_argument("--prior", metavar="CSV|hpa28", help="class frequencies, as `hpa-hier predict` takes them")
    parser.add_argument("--scales", type=numbers, default=(1,), metavar="NUMBERS", help="magnifications, likewise")
    parser.add_argument("--each", action="store_true", help="print each image's most probable leaves too")
    parser.add_argument("--each-class", action="store_true", help="add a table of every leaf that occurs")
    parser.add_argument("--member", metavar="NAME", help="measure one network of the run that answers for leaves")
    parser.add_argument("--peers", type=Path, metavar="NPZ", help="add what other networks reach on images so labelled")
    options = parser.parse_args(arguments)
    missing = tuple(options.missing.split(","))
    if unknown := sorted(set(missing) - set(CHANNELS)):
        raise UserError(f"--missing: {unknown[0]!r} is no channel; the channels are {', '.join(CHANNELS)}")
    if not 0 <= options.crop_lower < 0.9:
        raise UserError(f"--crop-lower must be a share from 0 to 0.9, got {options.crop_lower}")
    run = Run.open(options.run or PRETRAINED)
    taxonomy = (run.taxonomy if options.member else run.ensemble.taxonomy).without_virtual
    labels = read_labels(options.labels, taxonomy)
    with tempfile.TemporaryDirectory() as temporary:
        cropped = Path(temporary) / "cropped"
        cropped.mkdir()
        images = crop_lower(options.images, options.crop_lower, cropped) if options.crop_lower else options.images
        if options.member:
            ids, nodes, logits = score_member(run, options.member, images, missing)
            probs = np.zeros((len(ids), len(taxonomy.nodes)))
            probs[:, [taxonomy.column[node] for node in nodes]] = expit(logits)
            answers = {sample: (row, np.zeros(row.shape, bool)) for sample, row in zip(ids, probs, strict=True)}
        else:
            predictor = Predictor.load(run, prior=options.prior, scales=options.scales)
            found = predictor.predict(images, may_be_missing=missing)
            answers = {sample: (found.probs[row], found.present[row]) for row, sample in enumerate(found.ids)}
    rows = [(i, sample) for i, sample in enumerate(labels.ids) if sample in answers]
    if not rows:
        raise UserError(f"{options.labels}: none of its {len(labels)} ids is an image of {options.images}")
    present = targets(labels.nodes, taxonomy).present[[i for i, _ in rows]]
    probs = np.stack([answers[sample][0] for _, sample in rows])
    answered = np.stack([answers[sample][1] for _, sample in rows])
    if options.each:
        print(describe_each(taxonomy, [sample for _, sample in rows], present, probs))
    whole = not options.member  # a member of leaves says nothing of groups
    measured = table_rows(taxonomy, present, probs, answered) if whole else leaf_rows(taxonomy, present, probs)
    text = markdown_table(("metric", "value", f"{LEVEL:.0%} interval", "chance"), measured)
    if options.each_class:
        head = ("leaf", "images", "AUC", "AP", "share of images")
        text += "\n\n" + markdown_table(head, class_rows(taxonomy, present, probs))
    if options.peers:
        text += "\n\n" + peer_table(taxonomy, present, options.peers)
    print(
        f"{run.folder} on {len(rows)} real images of {options.images} ({len(labels) - len(rows)} labelled ones absent)"
    )
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")
    return 0


def describe_each(taxonomy: Taxonomy, ids: list[str], present: np.ndarray, probs: np.ndarray) -> str:
    """Return a line an image: its leaves, and the three most probable ones."""
    columns = [taxonomy.column[leaf] for leaf in taxonomy.leaves]
    lines = []
    for sample, truth, row in zip(ids, present[:, columns], probs[:, columns], strict=True):
        best = ", ".join(f"{taxonomy.leaves[j]} {row[j]:.2f}" for j in np.argsort(-row)[:3])
        lines.append(f"{sample}: {', '.join(np.array(taxonomy.leaves)[truth])} | {best}")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
