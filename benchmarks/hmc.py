"""AU(PRC) on a public hierarchical multi-label data set, from ARFF files: single members, flat and full ensembles.

    python benchmarks/hmc.py --train A.arff [--valid B.arff] --test C.arff [--seeds 0 1 2]

The published protocol: nominal attributes one-hot, missing values by the mean, all choices on the validation part, or
on a quarter of the training part where there is none; then trained on training + validation together. Chosen are how
much a network leaves out and how long it is trained, how attributes reach it, and which kinds of member are kept.
AU(PRC) is scikit-learn's micro `average_precision_score` over all nodes but the root (of GO also without the three
namespaces). configs/hmc.yaml is the one recipe for all data sets. The test part is scored once, at the end, and nothing
is chosen by it.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hmc_data.arff import Arff, read_arff
from hmc_data.class_graph import ClassGraph
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score

from hpa_hier.cli.command import run
from hpa_hier.data.pack.pack import Pack
from hpa_hier.data.pack.vector_pack import write_vector_pack
from hpa_hier.data.split.split import Split, write_split
from hpa_hier.ensemble.combine.reconcile import lift
from hpa_hier.ensemble.ensemble import Prediction
from hpa_hier.ensemble.fit import fit
from hpa_hier.ensemble.scores.scores import Scores, Truth
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import sha256, text_digest, write_text
from hpa_hier.members.scores_file import load_scores
from hpa_hier.settings.recipe import MemberSettings, Recipe
from hpa_hier.settings.recipe_file import load_recipe
from hpa_hier.taxonomy import Taxonomy

NAMESPACES = ("GO0003674", "GO0005575", "GO0008150")  # of GO, which the published results leave out like the root
TRUNK = "trunk-"  # networks that are tried for their settings, from the one that leaves most out to the least
TRUNKS = 2  # the best ones, whose difference is often chance, go on
AGAIN = 64  # training samples that stand in for a calibration part where all others are trained on
FLAT, FULL = "flat ensemble", "full ensemble"
HEADER = ("system", "members", "AU(PRC)", "leaf AU(PRC)", "macro F1", "violations raw", "violations")


@dataclass(frozen=True)
class DataSet:
    """The samples of all files, as a pack takes them."""

    taxonomy: Taxonomy
    counted: np.ndarray  # (N,) bool, nodes that AU(PRC) is over
    ids: tuple[str, ...]  # begin with the part's name
    nodes: tuple[tuple[str, ...], ...]
    values: np.ndarray  # (B, F) float32, NaN where missing
    features: tuple[str, ...]
    digest: str  # of the files

    def part(self, name: str) -> tuple[str, ...]:
        """Return the ids of the samples of a file."""
        return tuple(sample for sample in self.ids if sample.startswith(f"{name}-"))

    def truth(self, ids: Sequence[str]) -> Truth:
        """Return closed targets; all is known."""
        row = {sample: i for i, sample in enumerate(self.ids)}
        present = np.zeros((len(ids), len(self.taxonomy.nodes)), bool)
        for i, sample in enumerate(ids):
            present[i, [self.taxonomy.column[node] for node in self.nodes[row[sample]]]] = True
        present = self.taxonomy.close(present)
        return Truth(tuple(ids), present, np.ones_like(present))


def read_set(paths: dict[str, Path]) -> DataSet:
    """Read the files of a data set, by part; without a validation part a quarter of the training part becomes it."""
    files = {part: read_arff(path) for part, path in paths.items()}
    train = files["train"]
    for other in files.values():
        if [name.casefold() for name in other.features] != [name.casefold() for name in train.features]:
            raise UserError(f"{other.source}: has other attributes than {train.source}; the files are of two data sets")
    graph = ClassGraph.from_entries(train.classes, [name for row in train.annotations for name in row], train.source)
    taxonomy = graph.taxonomy("hmc")
    ids, nodes = [], []
    for part, file in files.items():
        held = set() if "valid" in files or part != "train" else set(_quarter(len(file.lines)))
        ids += [f"{'valid' if i in held else part}-{i:05d}" for i in range(len(file.lines))]
        nodes += [_nodes(graph, file, i) for i in range(len(file.lines))]
    values = np.concatenate([file.values for file in files.values()])
    counted = np.array([node not in NAMESPACES for node in taxonomy.nodes])
    digest = text_digest(*(f"{part} {sha256(path)}" for part, path in paths.items()))
    return DataSet(taxonomy, counted, tuple(ids), tuple(nodes), values, train.features, digest)


def _quarter(count: int) -> list[int]:
    return [int(i) for i in np.random.default_rng(0).permutation(count)[: count // 4]]


def _nodes(graph: ClassGraph, file: Arff, row: int) -> tuple[str, ...]:
    try:
        found = [graph.find(name) for name in file.annotations[row]]
    except KeyError as error:
        raise UserError(f"{file.source}:{file.lines[row]}: {error.args[0]}") from None
    return tuple(graph.names[name] for name in found if name is not None)


class Bench:
    """One data set under one seed: a run to choose on, and one to measure."""

    def __init__(self, data: DataSet, recipe: Recipe, out: Path, options: argparse.Namespace) -> None:
        self.data, self.out, self.options = data, out, options
        update: dict[str, object] = {"artifacts": str(out), "taxonomy": str(out / "taxonomy.yaml")}
        if recipe.training.precision == "auto" and options.device in ("auto", "cpu") and _bf16_pays():
            update["training"] = recipe.training.model_copy(update={"precision": "bf16-mixed"})
        update["data"] = recipe.data.model_copy(update={"pack": str(out / "pack")})
        self.recipe = recipe.model_copy(update=update)
        self.parts: dict[str, Sequence[str]] = {}
        self.kinds: dict[str, MemberSettings] = {}  # as they were chosen
        self.held: dict[str, Scores] = {}  # what each kind says of the validation part
        self.found: dict[str, float] = {}  # its AU(PRC) there
        self.notes: list[str] = []  # what was chosen, as it is told
        self.flat = ""  # the best kind with a flat head
        self.counts: dict[str, int] = {}  # members of each kind in the full ensemble
        self.truth = Truth((), np.zeros((0, 0), bool), np.zeros((0, 0), bool))

    def pack(self) -> None:
        """Write the taxonomy and the pack, some training samples twice."""
        data = self.data
        if (self.out / "pack" / "pack.json").exists():
            if Pack.open(self.out / "pack").facts.note != data.digest:
                raise UserError(f"{self.out}: holds what was made of other files; name another folder with --out")
            return
        write_text(self.out / "taxonomy.yaml", data.taxonomy.text)
        rows = [*range(len(data.ids)), *range(min(AGAIN, len(data.part("train"))))]
        again = [f"again-{i:05d}" for i in range(len(rows) - len(data.ids))]
        nodes, groups = [data.nodes[i] for i in rows], [""] * len(rows)
        features = [f"{j} {name}" for j, name in enumerate(data.features)]
        written = (self.out / "pack", data.values[rows], [*data.ids, *again], nodes, groups, features)
        write_vector_pack(*written, data.taxonomy, data.digest, fill=True)

    def train(self, run_name: str, parts: dict[str, Sequence[str]], members: Sequence[MemberSettings]) -> None:
        """Train members of a run whose parts are these."""
        from hpa_hier.runs.start import start_run
        from hpa_hier.training.plan import describe_differences, plan_training, read_finished
        from hpa_hier.training.train_member import TrainOptions, train_member

        recipe = self.recipe.model_copy(update={"run": run_name, "members": tuple(members)})
        path = self.out / run_name / "split.csv"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [(sample, part) for part, ids in parts.items() for sample in ids]
            ids, names = zip(*rows, strict=True)
            write_split(path, Split(ids, names, ("",) * len(ids), (-1,) * len(ids)), recipe.split)
        opened = start_run(recipe)
        request = TrainOptions(device=self.options.device, lines=False, threads=self.options.threads)
        for member in members:
            begun = time.process_time()
            plan = plan_training(opened, member)
            kept = read_finished(plan)
            other = kept is not None and bool(describe_differences(kept, plan))
            train_member(plan, replace(request, restart=other))  # the recipe as it is now counts
            _report(f"{run_name}/{member.name}: {time.process_time() - begun:.0f} s of processor time")

    def scores(self, run_name: str, member: str) -> Scores:
        """Return what a member says of the part that its run holds out."""
        return load_scores(self.out / run_name / "members" / member / "scores.npz", member, "test")

    def choose(self) -> None:
        """Choose on the validation part, with members that have not seen it."""
        data, pool = self.data, self.recipe.ensemble.members
        again = [f"again-{i:05d}" for i in range(min(AGAIN, len(data.part("train"))))]
        self.parts = {"train": data.part("train"), "calibration": again, "test": data.part("valid")}
        self.truth = data.truth(data.part("valid"))
        trunks = self.choose_trunks()
        templates = [one for one in self.recipe.listed if one.name in pool]
        for trunk in trunks[:TRUNKS]:
            for one in filter(_is_flat, templates):
                member = _with_trunk(one, trunk)
                if trunk is not trunks[0]:
                    member = member.model_copy(update={"name": f"{_kind(one.name)}-{trunk.name.removeprefix(TRUNK)}-0"})
                self.try_kind(member, trunk if member.training == trunk.training else member)
        self.flat = max(self.found, key=lambda kind: self.found[kind])
        for one in templates:
            if not _is_flat(one):
                member = one if _is_estimator(one) else _with_trunk(one, self.kinds[self.flat])
                self.try_kind(member, member)
        self.note("validation part: " + ", ".join(f"{name} {value:.4f}" for name, value in self.found.items()))
        held = [self.held[kind] for kind in self.kinds]
        ensemble = fit(held, self.truth, data.taxonomy, self.recipe.ensemble)
        weights = ensemble.combiner.aggregate.weights
        assert weights is not None
        by_kind = dict(zip((one.name for one in ensemble.members), weights.max(axis=1).tolist(), strict=True))
        self.counts = share_members(by_kind, len(self.recipe.ensemble.baseline), self.repeatable)
        shares = ", ".join(f"{count} {kind} ({by_kind[kind]:.1f})" for kind, count in self.counts.items())
        reached = self.micro_ap(self.truth, ensemble.predict(held).probs)
        self.note(
            f"{trunks[0].name}; flat ensemble of {self.flat}; full ensemble: {shares}; validation part {reached:.4f}"
        )

    def note(self, line: str) -> None:
        """Report what was chosen, and keep it for the results."""
        _report(line)
        self.notes.append(line)

    def choose_trunks(self) -> list[MemberSettings]:
        """Climb from the middle of the trunks, which leave out less and less, and return those tried, best first."""
        trunks = [member for member in self.recipe.listed if member.name.startswith(TRUNK)]
        if not trunks:
            raise UserError(f"{self.options.config}: no member is called {TRUNK}…; name the trunks to choose from")
        values: dict[int, float] = {}

        def value(at: int) -> float:
            if at not in values and 0 <= at < len(trunks):
                self.train("choose", self.parts, [trunks[at]])
                values[at] = self.au_prc(self.scores("choose", trunks[at].name))
            return values.get(at, -1.0)

        at = (len(trunks) - 1) // 2
        while (best := max((at, at + 1, at - 1), key=value)) != at:
            at = best
        self.note("validation part: " + ", ".join(f"{trunks[i].name} {values[i]:.4f}" for i in sorted(values)))
        return [trunks[i] for i in sorted(values, key=lambda i: -values[i])]

    def try_kind(self, member: MemberSettings, trained: MemberSettings) -> None:
        """Keep what a kind's first member says of the validation part; `trained` is it, or a trunk that is the same."""
        kind = _kind(member.name)
        self.train("choose", self.parts, [trained])
        self.kinds[kind] = member
        self.held[kind] = _concatenate(kind, [self.scores("choose", trained.name)])
        self.found[kind] = self.au_prc(self.held[kind])

    @property
    def repeatable(self) -> tuple[str, ...]:
        """The kinds of which another member differs: networks."""
        return tuple(kind for kind, one in self.kinds.items() if not _is_estimator(one))

    def measure(self, seed: int) -> list[dict[str, float | str]]:
        """Train on training and validation part, and score the test part; return a row for each system."""
        data, run_name = self.data, f"seed{seed}"
        parts = {**self.parts, "train": [*data.part("train"), *data.part("valid")], "test": data.part("test")}
        counts = self.counts | {self.flat: len(self.recipe.ensemble.baseline)}
        more = len(parts["train"]) / len(self.parts["train"])  # as many passes as where it was chosen
        members = [_repeat(self.kinds[kind], number, seed) for kind, count in counts.items() for number in range(count)]
        self.train(run_name, parts, [_lengthen(member, more) for member in members])
        return self.table(run_name, seed)

    def table(self, run_name: str, seed: int) -> list[dict[str, float | str]]:
        """Score every system on the test part."""
        singles = [self.flat, *(kind for kind in self.counts if kind != self.flat)]
        systems = {kind: {kind: 1} for kind in singles}
        systems |= {FLAT: {self.flat: len(self.recipe.ensemble.baseline)}, FULL: self.counts}
        rows: list[dict[str, float | str]] = []
        for name, counts in systems.items():
            unseen = [
                _concatenate(kind, [self.scores(run_name, f"{kind}-{number}") for number in range(count)])
                for kind, count in counts.items()
            ]
            held = [self.held[kind] for kind in counts]
            prediction = fit(held, self.truth, self.data.taxonomy, self.recipe.ensemble).predict(unseen)
            rows.append({"seed": seed, "system": name, "members": sum(counts.values()), **self.metrics(prediction)})
            _report(f"seed {seed}: {name} {rows[-1]['AU(PRC)']:.4f}")
        return rows

    def metrics(self, prediction: Prediction) -> dict[str, float]:
        """Compare an answer with the truth."""
        truth = self.data.truth(prediction.ids)
        leaf = np.array([self.data.taxonomy.is_leaf(node) for node in prediction.nodes])
        hits = (prediction.present & truth.present).sum(axis=0)
        f1 = 2 * hits / np.maximum(prediction.present.sum(axis=0) + truth.present.sum(axis=0), 1)
        return {
            "AU(PRC)": self.micro_ap(truth, prediction.probs),
            "leaf AU(PRC)": float(
                average_precision_score(truth.present[:, leaf].ravel(), prediction.probs[:, leaf].ravel())
            ),
            "macro F1": float(f1[truth.present.any(axis=0) & self.data.counted].mean()),
            "violations raw": self.violations(prediction.raw),
            "violations": self.violations(prediction.probs),
        }

    def au_prc(self, scores: Scores) -> float:
        """AU(PRC) of one network on the validation part."""
        return self.micro_ap(self.truth, lift(expit(scores.logits), self.data.taxonomy.bottom_up))

    def micro_ap(self, truth: Truth, probs: np.ndarray) -> float:
        """Micro average precision over the nodes that count."""
        counted = self.data.counted
        return float(average_precision_score(truth.present[:, counted].ravel(), probs[:, counted].ravel()))

    def violations(self, probs: np.ndarray) -> float:
        """Share of (sample, edge) pairs whose child is likelier than its parent."""
        order = self.data.taxonomy.bottom_up
        above = sum(int((probs[:, children] > probs[:, [group]]).sum()) for group, children in order)
        return above / (len(probs) * max(1, sum(len(children) for _, children in order)))


def _bf16_pays() -> bool:
    """Say whether networks this wide train faster in bfloat16: on GPUs, and on processors that have it."""
    import torch

    from hpa_hier.models.precision import processor_has_bf16

    return torch.cuda.is_available() or processor_has_bf16()


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def share_members(weights: dict[str, float], most: int, repeatable: Sequence[str]) -> dict[str, int]:
    """Return how many members of each kind an ensemble of `most` has, by the kinds' weights.

    Each kind that counts has one, the heaviest first; what is left goes to the kinds that have fewest for their weight,
    of those of which another one differs.

    >>> share_members({"flat": 0.6, "both": 0.2, "trees": 0.2, "chain": 0.0}, 5, ["flat", "both", "chain"])
    {'flat': 3, 'both': 1, 'trees': 1}
    """
    kept = sorted((kind for kind in weights if weights[kind] > 0), key=lambda kind: -weights[kind])[:most]
    counts = dict.fromkeys(kept, 1)
    more = [kind for kind in kept if kind in repeatable]
    for _ in range(most - len(kept) if more else 0):
        counts[max(more, key=lambda kind: weights[kind] / (counts[kind] + 1))] += 1
    return counts


def _repeat(member: MemberSettings, number: int, seed: int) -> MemberSettings:
    """Return another member of the same kind, with a seed of its own."""
    return member.model_copy(
        update={"name": f"{_kind(member.name)}-{number}", "seed": member.seed + 100 * number + 1000 * seed}
    )


def _lengthen(member: MemberSettings, times: float) -> MemberSettings:
    """Give a network `times` as many steps."""
    steps = member.training.get("max_steps")
    if not isinstance(steps, int) or not steps:  # passes follow the samples
        return member
    return member.model_copy(update={"training": {**member.training, "max_steps": round(steps * times)}})


def _with_trunk(member: MemberSettings, trunk: MemberSettings) -> MemberSettings:
    return member.model_copy(update={"training": {**trunk.training, **member.training}})


def _is_flat(member: MemberSettings) -> bool:
    return not {"head", "loss"} & set(member.training) and not _is_estimator(member)


def _is_estimator(member: MemberSettings) -> bool:
    return member.training.get("backbone") == "sklearn"


def _kind(member: str) -> str:
    return member.rsplit("-", 1)[0]


def _concatenate(kind: str, scores: Sequence[Scores]) -> Scores:
    """Return the mean probability of networks of one kind, as logits."""
    mean = np.mean([expit(one.logits) for one in scores], axis=0)
    return Scores(kind, scores[0].ids, scores[0].nodes, logit(np.clip(mean, 1e-7, 1 - 1e-7)))


def main(arguments: Sequence[str]) -> int:
    """Read, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--valid", type=Path)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--config", default="configs/hmc.yaml")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    parser.add_argument("--out", type=Path, help="default: artifacts/hmc/ and the training file's name")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument("--validation-only", action="store_true", help="stop before the test part is scored")
    options = parser.parse_args(arguments)
    begun = time.process_time()
    paths = {"train": options.train, "valid": options.valid, "test": options.test}
    given = {part: path for part, path in paths.items() if path}
    data = read_set(given)
    out = options.out or Path("artifacts/hmc") / options.train.stem
    bench = Bench(data, load_recipe(options.config, options.sets), out, options)
    bench.pack()
    bench.choose()
    if not options.validation_only:
        rows = [row for seed in dict.fromkeys(options.seeds) for row in bench.measure(seed)]
        with (out / "table.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.DictWriter(handle, ("seed", *HEADER), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        print("\n".join([*describe_data(data, given), *(f"- {note}" for note in bench.notes), "", *as_table(rows)]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"\n{time.process_time() - begun:.0f} s of processor time here, {peak:.1f} GiB at most")
    return 0


def describe_data(data: DataSet, paths: dict[str, Path]) -> list[str]:
    """List the files with their samples, and how many nodes the test part tells of."""
    lines = []
    for part, path in paths.items():
        count = len(data.part(part)) + (len(data.part("valid")) if part == "train" and "valid" not in paths else 0)
        lines.append(f"- {part}: {path.name}, {count:,} samples, sha256 {sha256(path)[:16]}")
    test = data.truth(data.part("test")).present[:, data.counted]
    some = int(test.any(axis=0).sum())
    counts = f"{test.shape[1]:,} nodes, {some:,} with positives in the test part, {test.sum():,} positives there"
    return [*lines, f"- {counts}"]


def as_table(rows: list[dict[str, float | str]]) -> list[str]:
    """Return the lines of a table: means over seeds, with the standard deviation where there are several."""
    lines = [f"| {' | '.join(HEADER)} |", f"|{' --- |' * len(HEADER)}"]
    for system in dict.fromkeys(row["system"] for row in rows):
        found = [row for row in rows if row["system"] == system]
        cells = [str(system), str(found[0]["members"])]
        for name in HEADER[2:]:
            values = np.array([float(row[name]) for row in found])
            spread = f" ± {values.std(ddof=1):.4f}" if len(values) > 1 else ""
            cells.append(f"{values.mean():.4f}{spread}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    run(main)
