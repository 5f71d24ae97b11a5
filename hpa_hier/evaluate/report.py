"""Report: one HTML file that holds a run's results, figures and gallery, and asks nothing of any network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from hpa_hier import __version__
from hpa_hier.data.images.channels import STAINS
from hpa_hier.data.pack.pack import ImagePack, Pack
from hpa_hier.ensemble.ensemble_file import FILE as ENSEMBLE
from hpa_hier.errors import UserError
from hpa_hier.evaluate import describe, opening
from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.figures import palette
from hpa_hier.evaluate.figures.class_counts import draw_class_counts
from hpa_hier.evaluate.figures.cooccurrence import draw_cooccurrence, leaf_cooccurrence
from hpa_hier.evaluate.figures.figure import ReportData, ReportFigure, draw_figures, inline_svg, save_figures
from hpa_hier.evaluate.figures.precision_recall import draw_precision_recall, leaves_by_support
from hpa_hier.evaluate.figures.reliability import draw_reliability
from hpa_hier.evaluate.figures.risk_coverage import draw_risk_coverage
from hpa_hier.evaluate.figures.training_curves import draw_training_curves
from hpa_hier.evaluate.gallery import Shelf, choose_shelves
from hpa_hier.evaluate.results import NodeRow, write_results
from hpa_hier.evaluate.training_record import ClassCount, class_counts, read_records
from hpa_hier.files.atomic import write_text
from hpa_hier.predict.labelled.evaluate import NewEvaluation
from hpa_hier.runs.run import SPLIT_FILE, Run
from hpa_hier.taxonomy import Taxonomy

# Anchors of the page's sections with their titles in the navigation; a figure names the one that shows it.
SECTIONS = {
    "headline": "Headline",
    "tree": "Tree",
    "classes": "Classes",
    "gallery": "Gallery",
    "safe": "Safe answers",
    "calibration": "Calibration",
    "together": "Labels together",
    "coherence": "Coherence",
    "comparison": "Comparison",
    "data": "Training data",
    "members": "Members",
    "counts": "All nodes",
    "reading": "How to read this",
}

# What the report shows; a new figure is one file and one row.
FIGURES = (
    ReportFigure(
        "precision-recall",
        "classes",
        lambda data: draw_precision_recall(leaves_by_support(data.results.nodes)),
        "Precision and recall of each class with intervals, the most frequent first; the table has the numbers",
    ),
    ReportFigure(
        "reliability",
        "calibration",
        lambda data: draw_reliability(data.results.reliability),
        "Share of answers that is true over the probability given; the table has the numbers",
    ),
    ReportFigure(
        "risk-coverage",
        "safe",
        lambda data: draw_risk_coverage(data.results.risk, next(iter(data.results.safe), None)),
        "Share of wrong answers over the share of images answered, most confident images first",
    ),
    ReportFigure(
        "cooccurrence",
        "together",
        lambda data: draw_cooccurrence(leaf_cooccurrence(data.evaluation)),
        "Matrix of labels: pairs annotated below the diagonal, pairs predicted above it",
    ),
    ReportFigure(
        "class-counts",
        "data",
        lambda data: draw_class_counts(data.counts),
        "Training images of each class before and after balancing; the table has the numbers",
    ),
    ReportFigure(
        "training-curves",
        "members",
        lambda data: draw_training_curves(data.records),
        "Loss and macro F1 of each member over epochs; the table has the epoch that was kept",
    ),
)


@dataclass(frozen=True)
class Branch:
    """A node of the tree with its row of results and what is below it."""

    row: NodeRow
    step: int | None  # of the colour ramp, by F1
    also_under: tuple[str, ...]
    below: list[Branch]


@dataclass(frozen=True)
class FromPack:
    """Sections that need the images: empty, with the reason, where the pack is absent; no channels: vectors."""

    counts: Sequence[ClassCount] = ()
    shelves: Sequence[Shelf] = ()
    channels: Sequence[str] = ()
    missing: str = ""


def write_report(run: Run, figures: str | None = None, new: NewEvaluation | None = None) -> list[Path]:
    """Write report/index.html and ensemble/results.json of a run.

    Args:
        run: evaluated; its recipe's `report` has the intervals' level and the gallery's size.
        figures: "pdf", "png" or "svg" writes the figures as files of this form too, into report/figures.
        new: an evaluation on other samples, which is reported in its own folder; None: the run's own.

    Returns:
        The path of the page, then those of the figures.
    """
    if new:
        run = run.with_evaluation(new.evaluation, new.pack)
    results = compute_results(run.evaluation, run.recipe.report)
    write_results(new.folder if new else run.ensemble_folder, results)
    from_pack = _from_new(run, new) if new else _from_pack(run)
    members = dict.fromkeys([*results.scope.members, *results.scope.baseline_members])
    data = ReportData(run.evaluation, results, read_records(run, members), from_pack.counts)
    drawn = draw_figures(FIGURES, data)
    page = (new.folder if new else run.folder) / "report" / "index.html"
    origin = run.origin.warning if (run.ensemble_folder / ENSEMBLE).is_file() else ""
    write_text(page, render(run.folder.resolve().name, data, drawn, from_pack, origin))
    return [page, *(save_figures(drawn, page.parent / "figures", figures) if figures else ())]


def render(
    name: str, data: ReportData, figures: Mapping[ReportFigure, Figure], from_pack: FromPack, origin: str = ""
) -> str:
    """Fill the template; all text from files is escaped. `origin` warns of simulated cells behind the networks."""
    results, evaluation, scope = data.results, data.evaluation, data.results.scope
    taxonomy, rows = evaluation.taxonomy, {row.node: row for row in results.nodes}
    balance = {one.manifest.name: one.manifest.settings.get("balance", "none") for one in data.records}
    template = _environment().get_template("report.html.j2")
    return template.render(
        run=name,
        results=results,
        scope=scope,
        context=describe.describe_scope(scope),
        part=describe.describe_part(scope),
        origin=origin,
        caution=opening.describe_caution(results),
        right=opening.right_shares(results),
        trust=opening.describe_trust(results),
        comparison=opening.describe_comparison(results),
        systems=describe.system_columns(results),
        tree=[branch(taxonomy, node, rows) for node in taxonomy.nodes if taxonomy.node(node).home is None],
        classes=leaves_by_support(results.nodes),
        pairs=leaf_cooccurrence(evaluation).frequent_pairs(),
        records=data.records,
        balanced=[f"{member} ({way})" for member, way in balance.items() if way != "none"],
        cost=total_cost(scope.members),
        baseline_cost=total_cost(scope.baseline_members),
        from_pack=from_pack,
        figures=figures,
    )


def branch(taxonomy: Taxonomy, node: str, rows: Mapping[str, NodeRow]) -> Branch:
    """Build the tree below a node; a node with several parents appears where the file has it."""
    row, home = rows[node], taxonomy.node(node).home
    below = [branch(taxonomy, child, rows) for child in taxonomy.children(node) if taxonomy.node(child).home == node]
    also_under = tuple(parent for parent in taxonomy.parents(node) if parent != home)
    return Branch(row, None if row.f1.value is None else palette.ramp_step(row.f1.value), also_under, below)


@dataclass(frozen=True)
class Cost:
    """What networks cost to train, summed; None where it is not known of all."""

    networks: int
    images_seen: float | None
    seconds: float | None


def total_cost(members: Mapping[str, Mapping[str, Any]]) -> Cost:
    """Add up what networks cost to train.

    >>> total_cost({"a": {"seconds": 2.0, "images_seen": 10}, "b": {"seconds": 3.0}})
    Cost(networks=2, images_seen=None, seconds=5.0)
    """

    def total(key: str) -> float | None:
        values = [about.get(key) for about in members.values()]
        return float(sum(v for v in values if v is not None)) if values and None not in values else None

    return Cost(len(members), total("images_seen"), total("seconds"))


def _from_pack(run: Run) -> FromPack:
    """Collect what needs images; where the pack was moved away, its sections are left out and the page says why."""
    try:
        pack, facts = run.pack, run.facts
    except UserError as error:
        return FromPack(missing=f"{error}; name the pack with --set data.pack=DIR")
    if facts and pack.digest != facts.pack_digest:
        other = f"{pack.path} is another pack ({pack.digest}) than the run's ({facts.pack_digest})"
        return FromPack(missing=f"{other}; name the run's own with --set data.pack=DIR")
    counts = class_counts(run, run.evaluation.taxonomy) if (run.folder / SPLIT_FILE).is_file() else ()
    return replace(_show(run, pack), counts=counts)


def _from_new(run: Run, new: NewEvaluation) -> FromPack:
    """Collect what needs the images of a new evaluation, of which none was trained on."""
    return FromPack(missing="other models scored these samples") if new.pack is None else _show(run, new.pack)


def _show(run: Run, pack: Pack) -> FromPack:
    if not isinstance(pack, ImagePack):
        return FromPack()
    return FromPack((), choose_shelves(run.evaluation, pack, run.recipe.report.gallery), pack.channels)


def _environment() -> jinja2.Environment:
    folder = resources.files("hpa_hier.evaluate") / "templates"
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in ("report.html.j2", "report.css")}
    environment = jinja2.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.DictLoader(texts),
        autoescape=lambda name: name != "report.css",
    )
    environment.filters |= {
        "estimate": describe.format_estimate,
        "interval": describe.format_interval,
        "share": lambda row: describe.format_estimate(row.estimate),
        "of_hundred": opening.of_hundred,
        "list_some": describe.list_some,
        "duration": describe.format_duration,
    }
    environment.globals |= {
        "version": __version__,
        "stains": STAINS,
        "sections": SECTIONS,
        "themes": {
            theme: colours | {f"ramp{step}": fill for step, fill in enumerate(palette.ramp(theme))}
            for theme, colours in (("light", palette.LIGHT), ("dark", palette.DARK))
        },
        "steps": range(palette.STEPS),
        "readable_ink": palette.readable_ink,
        "inline_svg": inline_svg,
    }
    return environment
