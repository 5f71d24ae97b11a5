"""Report: one HTML file that holds a run's figures, plots and gallery, and asks nothing of any network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from hpa_hier import __version__
from hpa_hier.data.pack.pack import VECTORS, Pack
from hpa_hier.errors import UserError
from hpa_hier.evaluate import plots
from hpa_hier.evaluate import results as figure
from hpa_hier.evaluate.colours import ramp, step_of
from hpa_hier.evaluate.evaluation import Evaluation, read_evaluation, run_folder
from hpa_hier.evaluate.gallery import STAINS, Shelf, shelves
from hpa_hier.evaluate.training_record import ClassCount, class_counts, read_records
from hpa_hier.files.atomic import read_json, write_json, write_text
from hpa_hier.settings.recipe import ReportSettings
from hpa_hier.taxonomy import Taxonomy


@dataclass(frozen=True)
class Branch:
    """A node of the drawn tree with the figures of its row and what hangs below it."""

    row: Mapping[str, Any]
    step: int | None  # of the colour ramp, by F1
    also_under: tuple[str, ...]
    below: list[Branch]


@dataclass(frozen=True)
class FromPack:
    """Sections that need the images: empty, with the reason, where the pack is not there; no channels: vectors."""

    counts: list[ClassCount]
    shelves: list[Shelf]
    channels: tuple[str, ...]
    missing: str = ""


def write_report(run: Path, settings: ReportSettings, pack: Path | None = None) -> Path:
    """Write report/index.html and ensemble/figures.json of a run.

    Args:
        run: run folder with a finished evaluation.
        settings: resamples, interval level, gallery size and seed.
        pack: where the run's pack lies now; None: where the run was trained from.

    Returns:
        The path of the page.
    """
    run = run_folder(run)
    evaluation = read_evaluation(run)
    figures = figure.figures_of(evaluation, settings)
    write_json(run / "ensemble" / "figures.json", figures)
    page = run / "report" / "index.html"
    shown = _from_pack(run, evaluation, settings, pack)
    write_text(page, render(run, evaluation, figures, shown))
    return page


def render(run: Path, evaluation: Evaluation, figures: Mapping[str, Any], from_pack: FromPack) -> str:
    """Fill the template; all text from files is escaped."""
    leaves = evaluation.leaf_columns
    what = figures["what"]
    records = read_records(run, list(dict.fromkeys([*what["members"], *what["flat_members"]])))
    rows = {row["node"]: row for row in figures["nodes"]}
    by_support = sorted((row for row in figures["nodes"] if row["leaf"]), key=lambda row: -row["positives"])
    template = _environment().get_template("report.html.j2")
    return template.render(
        version=__version__,
        run=run.resolve().name,
        figures=figures,
        what=what,
        context=figure.context(what),
        headline={line["key"]: line for line in figures["headline"]},
        levels=_by_level(figures["levels"]),
        tree=[branch(evaluation.taxonomy, node, rows) for node in _roots(evaluation.taxonomy)],
        classes=by_support,
        reliability=plots.reliability(figures["reliability"]),
        acceptance=evaluation.facts.get("acceptance") or {"decided": False},
        risk=plots.risk(figures["risk"], figures["safe"]),
        matrix=plots.cooccurrence(
            evaluation.taxonomy.leaves,
            (evaluation.targets & evaluation.known)[:, leaves],
            (evaluation.ensemble.present & evaluation.known)[:, leaves],
        ),
        records=records,
        balanced=[f"{record.name} ({record.balance})" for record in records if record.balance != "none"],
        costs={side: cost(what[side]) for side in ("members", "flat_members")},
        from_pack=from_pack,
        stains=STAINS,
        ramps={theme: ramp(theme) for theme in ("light", "dark")},
    )


def branch(taxonomy: Taxonomy, node: str, rows: Mapping[str, Mapping[str, Any]]) -> Branch:
    """Build the drawn tree below a node; a node with several parents hangs where the file has it."""
    row, home = rows[node], taxonomy.node(node).home
    below = [branch(taxonomy, child, rows) for child in taxonomy.children(node) if taxonomy.node(child).home == node]
    also_under = tuple(parent for parent in taxonomy.parents(node) if parent != home)
    return Branch(row, step_of(row["f1"]["value"]), also_under, below)


def _roots(taxonomy: Taxonomy) -> list[str]:
    return [node for node in taxonomy.nodes if taxonomy.node(node).home is None]


def _by_level(lines: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    levels: dict[str, dict[str, dict[str, Any]]] = {}
    for line in lines:
        levels.setdefault(line["name"], {})[line["key"].split()[0]] = line
    return levels


def cost(members: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Add up what networks cost to train: how many, images seen, multiply by nothing hidden; None where not kept."""

    def total(key: str) -> float | None:
        values = [about.get(key) for about in members.values()]
        return float(sum(v for v in values if v is not None)) if values and None not in values else None

    return {"networks": float(len(members)), **{key: total(key) for key in ("images_seen", "parameters", "seconds")}}


def _from_pack(run: Path, evaluation: Evaluation, settings: ReportSettings, place: Path | None) -> FromPack:
    """Draw what needs images; a pack that was moved away costs its sections, and the page says so."""
    begun = read_json(run / "run.json")
    if not isinstance(begun, dict) or not begun.keys() >= {"pack", "pack_digest"}:
        return FromPack([], [], (), missing=f"{run / 'run.json'} names no pack; it is damaged")
    try:
        pack = Pack.open(place or Path(str(begun["pack"])))
    except UserError as error:
        return FromPack([], [], (), missing=f"{error}; name the pack with --set data.pack=DIR")
    if pack.digest != begun["pack_digest"]:
        other = f"{pack.path} is another pack ({pack.digest}) than the run's ({begun['pack_digest']})"
        return FromPack([], [], (), missing=f"{other}; name the run's own with --set data.pack=DIR")
    counts = class_counts(run, pack, evaluation.taxonomy)
    if pack.kind == VECTORS:
        return FromPack(counts, [], ())
    return FromPack(counts, shelves(evaluation, pack, settings.gallery), tuple(pack.channels))


def _environment() -> jinja2.Environment:
    folder = resources.files("hpa_hier.evaluate") / "templates"
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in ("report.html.j2", "report.css")}
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(texts),
        autoescape=lambda name: name != "report.css",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": figure.shown, "bracket": figure.bracket}
    environment.filters |= {"log_share": plots.log_share, "duration": duration}
    environment.globals |= {"curves": plots.curves}
    return environment


def duration(seconds: float | None) -> str:
    """Write a time for people.

    >>> duration(75), duration(7260)
    ('1 min 15 s', '2 h 1 min')
    """
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60 and not rest:
        return f"{minutes} min"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
