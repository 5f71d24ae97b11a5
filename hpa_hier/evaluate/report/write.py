"""Write: the report of a run, from what its folder holds to one HTML file that asks nothing of any network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from matplotlib.figure import Figure

from hpa_hier.data.pack.pack import ImagePack, Pack
from hpa_hier.ensemble.ensemble import Ensemble
from hpa_hier.ensemble.ensemble_file import FILE as ENSEMBLE
from hpa_hier.errors import UserError
from hpa_hier.evaluate import describe
from hpa_hier.evaluate.alone import add_members
from hpa_hier.evaluate.compute import compute_results
from hpa_hier.evaluate.figures.cooccurrence import Pair, leaf_cooccurrence
from hpa_hier.evaluate.figures.figure import ReportData, ReportFigure, draw_figures, save_figures
from hpa_hier.evaluate.figures.table import FIGURES
from hpa_hier.evaluate.gallery.cards import Gallery, hang
from hpa_hier.evaluate.gallery.heat_maps import NoHeat, find_mapper
from hpa_hier.evaluate.report.classes import list_classes
from hpa_hier.evaluate.report.confusions import list_confusions
from hpa_hier.evaluate.report.frame import render_page
from hpa_hier.evaluate.report.leaderboard import compare_systems
from hpa_hier.evaluate.report.opening import Opening, Step, open_report
from hpa_hier.evaluate.report.section import Page, Section
from hpa_hier.evaluate.results import Results, write_results
from hpa_hier.evaluate.training_record import ClassCount, TrainingRecord, class_counts, read_records
from hpa_hier.files.atomic import write_text
from hpa_hier.files.faults.leftovers import sweep
from hpa_hier.files.shell import command
from hpa_hier.metrics.scores import sample_losses
from hpa_hier.predict.labelled.evaluate import NewEvaluation
from hpa_hier.runs.run import SPLIT_FILE, Run


@dataclass(frozen=True)
class FromPack:
    """Sections that need the images: empty, with the reason, where the pack is absent."""

    counts: Sequence[ClassCount] = ()
    gallery: Gallery = field(default_factory=Gallery)
    missing: str = ""


@dataclass(frozen=True)
class Evidence:
    """What the sections behind the first screen show."""

    results: Results
    systems: Mapping[str, str]  # those shown beside each other, with their headings
    ours: str  # the two compared, in a word
    other: str
    part: str  # which samples were measured on
    leaves: int  # of the taxonomy
    pairs: Sequence[Pair]
    records: Sequence[TrainingRecord]
    balanced: Sequence[str]  # members trained with balancing, and how
    from_pack: FromPack


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
    results = add_members(compute_results(run.evaluation, run.recipe.report), run)
    write_results(new.folder if new else run.ensemble_folder, results, run.evaluation.facts)
    from_pack = _from_new(run, new) if new else _from_pack(run)
    members = dict.fromkeys([*results.scope.members, *results.scope.baseline_members])
    data = ReportData(run.evaluation, results, read_records(run, members), from_pack.counts)
    drawn = draw_figures(FIGURES, data)
    ensemble = run.ensemble if (run.ensemble_folder / ENSEMBLE).is_file() else None
    opening = open_report(
        results,
        run.evaluation.taxonomy,
        run.origin.warning if ensemble else "",
        run.image_counts.learning if run.image_counts and not new else None,
        () if new else _list_steps(run, from_pack),
    )
    page = (new.folder if new else run.folder) / "report" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    sweep(page.parent)
    write_text(page, render(_name(run, results), data, drawn, from_pack, opening, ensemble))
    return [page, *(save_figures(drawn, page.parent / "figures", figures) if figures else ())]


def _name(run: Run, results: Results) -> str:
    """Return what a page is about: the run, and the samples where they are not its own."""
    name = run.folder.resolve().name
    return f"{name} on {results.scope.source}" if results.scope.part == "new" else name


def render(
    name: str,
    data: ReportData,
    figures: Mapping[ReportFigure, Figure],
    from_pack: FromPack,
    opening: Opening,
    ensemble: Ensemble | None = None,
) -> str:
    """Write the page of a run."""
    page = Page(
        heading="Where in the cell: run",
        name=name,
        sections=list_sections(data, from_pack, opening, ensemble),
        notes=opening.notes,
        channels=from_pack.gallery.channels,
        footer=describe.describe_scope(data.results.scope),
    )
    return render_page(page, figures)


def list_sections(
    data: ReportData, from_pack: FromPack, opening: Opening, ensemble: Ensemble | None = None
) -> tuple[Section, ...]:
    """List the sections of a run's page, in the order in which they are read."""
    results = data.results
    scope = results.scope
    balance = {one.manifest.name: one.manifest.settings.get("balance", "none") for one in data.records}
    evidence = Evidence(
        results=results,
        systems=describe.system_columns(results),
        ours="adapted" if scope.compared_with else "hierarchical",
        other="before" if scope.compared_with else "flat",
        part=describe.describe_part(scope),
        leaves=len(data.evaluation.taxonomy.leaves),
        pairs=leaf_cooccurrence(data.evaluation).frequent_pairs(),
        records=data.records,
        balanced=[f"{member} ({way})" for member, way in balance.items() if way != "none"],
        from_pack=from_pack,
    )
    classes = list_classes(data.evaluation, results, from_pack.gallery, from_pack.missing)
    confusions = list_confusions(data.evaluation, classes.anchors)
    return (
        Section("answer", "Of 100 images like these", "opening.html.j2", opening, "In short"),
        Section("classes", "Class by class", "classes.html.j2", classes, "Classes"),
        Section("confusions", "What is mistaken for what", "confusions.html.j2", confusions, "Mistakes"),
        Section("safe", "Safe answers", "safe.html.j2", evidence),
        Section("calibration", "Calibration", "calibration.html.j2", evidence),
        Section(
            "leaderboard",
            "Leaderboard",
            "leaderboard.html.j2",
            compare_systems(results, data.evaluation.taxonomy, ensemble),
        ),
        Section("together", "Labels that occur together", "together.html.j2", evidence, "Labels together"),
        Section("coherence", "Coherence", "coherence.html.j2", evidence),
        Section("counts", "All nodes", "counts.html.j2", evidence),
        Section("reading", "How to read this", "reading.html.j2", evidence),
        Section("data", "Training data before and after balancing", "data.html.j2", evidence, "Training data"),
        Section("training", "Members and their training", "training.html.j2", evidence, "Training"),
    )


def _list_steps(run: Run, from_pack: FromPack) -> tuple[Step, ...]:
    """List what a reader may do next, with commands that work where this one was typed."""
    if from_pack.missing or not (run.ensemble_folder / ENSEMBLE).is_file():
        return ()
    evaluation = run.evaluation
    leaves = evaluation.leaf_columns
    loss, _ = sample_losses(
        evaluation.ensemble.probs[:, leaves], evaluation.targets[:, leaves], evaluation.known[:, leaves]
    )
    worst = evaluation.ids[int(loss.argmax())]
    why = "Look at an image whose answer is far off, and why:"
    return (Step(why, command("ensemble", "explain", worst, run=run.folder)),)


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
        return FromPack(missing="the samples are feature vectors")
    settings = run.recipe.report
    mapper = find_mapper(run, settings.heat_maps) if settings.gallery else NoHeat("report.gallery is 0")
    return FromPack((), hang(run.evaluation, pack, settings.gallery, mapper))
