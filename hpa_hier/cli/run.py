"""Command: from a folder of images and a label table to a fitted ensemble, its report, and answers for the folder."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpa_hier.cli.command import VECTOR_FLAGS, Parser, add_recipe_arguments, one_thread_a_process, whole_number
from hpa_hier.cli.data.commands import add_source_flags
from hpa_hier.cli.flags.backend import add_backend_argument, read_backend
from hpa_hier.cli.steps import Step, describe_duration, run_steps
from hpa_hier.errors import UserError
from hpa_hier.files.faults.folder import is_unfinished
from hpa_hier.files.shell import Flag, command

if TYPE_CHECKING:
    from hpa_hier.training.proposal import Prospect

_DESCRIPTION = """Go from a folder of images and a label table to a fitted ensemble, its report, and answers.

  %(prog)s --images my_images --labels my_labels.csv
  %(prog)s --images my_images --labels my_labels.csv --taxonomy my_tree.yaml --time-limit 30m
  %(prog)s --vectors embeddings.csv --labels my_labels.csv

It says what it has found and what it is going to do, then runs the commands that it prints: data pack, train,
ensemble fit, ensemble evaluate, report, ensemble predict. Stopped, the same command goes on."""
_PLAN = "plan.json"  # in the run's folder: what the first call has chosen
_OF_SAMPLES = ("images", "vectors", *VECTOR_FLAGS, "channels", "may_be_missing", "follow_links", "frame")  # predict's
_OF_ADAPT = (*_OF_SAMPLES, "labels", "taxonomy", "on_problem", "ignore_columns")  # flags that adapt takes too
_FEW = "few_images"  # the recipe beside which the bundled ensemble is adapted
_CLOSING = 60.0  # seconds that are kept of a time limit for fitting, evaluating, reporting and predicting


def parser() -> Parser:
    """Build the command's parser."""
    whole = Parser("run", _DESCRIPTION)
    add_source_flags(whole)
    add = whole.add_argument
    add("--out", metavar="NAME|DIR", help="name of the run under artifacts/, or its folder (default: the images')")
    text = "time for everything, as 30m or 2h: fewer networks and steps where needed (default: no limit)"
    add("--time-limit", type=read_duration, metavar="TIME", help=text)
    add(
        "--no-baseline",
        action="store_true",
        help="leave out the networks that only serve the comparison with flat ones",
    )
    add("--dry-run", action="store_true", help="only say what was found, and what would be done")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    add("--jobs", type=whole_number(1), metavar="N", help="networks trained at a time (default: one per GPU or core)")
    add_backend_argument(whole, places=True)
    add_recipe_arguments(whole)
    return whole


def read_duration(text: str) -> float:
    """Read a flag's length of time, minutes where no unit is named; return seconds.

    >>> read_duration("90s"), read_duration("1h30m"), read_duration("20")
    (90.0, 5400.0, 1200.0)
    """
    plain = text.strip().lower().replace(" ", "")
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", f"{plain}m" if plain.isdecimal() else plain)
    hours, minutes, seconds = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
    if not hours + minutes + seconds:
        raise argparse.ArgumentTypeError(f"must be a time such as 30m, 2h or 1h30m, got {text!r}")
    return hours * 3600.0 + minutes * 60.0 + seconds


def main(arguments: Sequence[str]) -> int:
    """Say what was found and what will be done, and do it."""
    options = parser().parse_args(arguments)
    one_thread_a_process()
    began = time.monotonic()
    way = _plan(options)
    if options.dry_run:
        return 0
    way.keep()
    first = way.list_steps(None if options.time_limit is None else began + options.time_limit)
    run_steps(first, later=(*way.list_closing_steps(()), *way.list_adapting()))
    run_steps((*way.list_closing_steps(_choose_finished(way.home)), *way.list_adapting()), before=len(first))
    _print_end(way, time.monotonic() - began)
    return 0


@dataclass(frozen=True)
class Way:
    """What is done, decided at the first call of the command and kept for the next."""

    home: Path  # the run's folder
    config: str  # the recipe
    sets: tuple[str, ...]  # changes to it
    source: dict[str, Flag]  # flags of data pack, as they are typed
    asked: dict[str, Flag]  # flags that must be the same at the next call
    training: dict[str, Flag]  # flags of train
    networks: int
    pack_seconds: float
    train_seconds: float

    @property
    def seconds(self) -> float:
        """What all of it is expected to take."""
        return self.pack_seconds + self.train_seconds + _CLOSING

    @property
    def answers(self) -> Path:
        """Where the answers for the images are written."""
        return self.home / "answers"

    def list_steps(self, deadline: float | None) -> tuple[Step, ...]:
        """List what ends with trained networks; training stops at a time.monotonic(), if any, with what is finished."""
        own: dict[str, Flag] = {"config": self.config}
        of_pack = tuple(change for change in self.sets if change.startswith("data."))
        place = self.training.get("backend")
        elsewhere: dict[str, Flag] = (
            {"backend": place, "workers": self.training["jobs"]} if place and "images" in self.source else {}
        )
        pack_line = command("data", "pack", **own, **self.source, set=of_pack, out=self.home / "pack", **elsewhere)
        own |= {"data": self.home / "pack", "run": self.home}
        train_line = command("train", "--all", **own, **self.training, set=self.sets)
        until = None if deadline is None else deadline - _CLOSING
        return (
            Step("pack images and labels", pack_line, None, self.pack_seconds),
            Step(f"train {self.networks} networks", train_line, None, self.train_seconds, until=until),
        )

    def list_closing_steps(self, changes: tuple[str, ...]) -> tuple[Step, ...]:
        """List what makes answers of the networks that are trained, with changes of settings to fit only those.

        What is newer than all that it is made of is finished.
        """
        fit = command("ensemble", "fit", run=self.home, set=changes)
        predict = command("ensemble", "predict", run=self.home, own=True, out=self.answers, report=True, overwrite=True)
        evaluate, report = command("ensemble", "evaluate", run=self.home), command("report", run=self.home)
        members = tuple(self.home.glob("members/*/member.json"))
        fitted, results = self.home / "ensemble" / "ensemble.json", self.home / "ensemble" / "results.json"
        page, last = self.home / "report" / "index.html", self.answers / "report.html"  # which are written last
        return (
            Step("fit the ensemble", fit, _if_newer(fitted, *members), 10.0),
            Step("evaluate it", evaluate, _if_newer(results, fitted, *members), 10.0),
            Step("write the report", report, _if_newer(page, results, fitted, *members), 5.0),
            Step("answer for all samples", predict, _if_newer(last, fitted, *members), self.pack_seconds),
        )

    @property
    def adapted(self) -> Path | None:
        """The run of the bundled ensemble, adapted to the same few images; None where images are many."""
        return self.home.with_name(f"{self.home.name}-adapted") if self.config == _FEW else None

    def list_adapting(self) -> tuple[Step, ...]:
        """List what adapts the bundled ensemble to few images, which takes seconds and may be the better one."""
        if self.adapted is None:
            return ()
        flags = {name: flag for name, flag in self.source.items() if name in _OF_ADAPT}
        line = command("ensemble", "adapt", run="pretrained", **flags, out=self.adapted)
        done = None if is_unfinished(self.adapted) else self.adapted / "ensemble" / "results.json"
        return (Step("adapt the bundled ensemble, to compare", line, done, 20.0, may_end_with=(0, 1, 2)),)

    def keep(self) -> None:
        """Write down what was decided, so that a later call goes on with it."""
        from hpa_hier.files.atomic import write_json

        write_json(self.home / _PLAN, {name: value for name, value in vars(self).items() if name != "home"})


def _if_newer(path: Path, *sources: Path) -> Path | None:
    """Return a file where it is there and newer than what it was made of."""
    times = [one.stat().st_mtime_ns if one.is_file() else None for one in (path, *sources)]
    known = [time for time in times if time is not None]
    return path if sources and len(known) == len(times) and known[0] >= max(known) else None


def _plan(options: argparse.Namespace) -> Way:
    """Look at the data, choose, and print both."""
    from hpa_hier.cli.data.work import read_request
    from hpa_hier.cli.train import find_slots
    from hpa_hier.data.pack.matching import PackRequest
    from hpa_hier.members.devices import find_device
    from hpa_hier.settings.recipe_file import load_recipe
    from hpa_hier.training import proposal

    home = _find_home(options)
    source, asked, training = _list_given(options)
    kept = _read_kept(home, asked)
    device = find_device(options.device)
    first = read_request(options, load_recipe(options.config, options.sets), home / "pack")
    matched = proposal.match_leniently(first) if isinstance(first, PackRequest) else None
    if kept:
        choice = proposal.Choice(kept.config, f"chosen when {home} was begun")
    elif options.config:
        choice = proposal.Choice(options.config, "as you asked")
    else:
        choice = proposal.choose_recipe(len(matched.samples) if matched else None, device.type == "cuda")
    baseline = ["ensemble.use_baseline=false"] if options.no_baseline else []
    sets = kept.sets if kept else (*options.sets, *baseline)
    recipe = load_recipe(choice.recipe, sets)
    request = read_request(options, recipe, home / "pack")
    if matched and isinstance(request, PackRequest):
        request = proposal.allow_missing(request, proposal.find_absent(matched, request.channels))
        if request.may_be_missing:
            source["may_be_missing"] = ",".join(request.may_be_missing)
    found = proposal.survey(request, options.threads)
    print(f"found in {options.images or options.vectors} and {options.labels}")
    print(*proposal.describe_survey(found, request.taxonomy), sep="\n", flush=True)
    slots = len(find_slots(options.device, options.jobs))
    size = request.size if isinstance(request, PackRequest) else 1

    def look_ahead(sets: tuple[str, ...]) -> tuple[Way, Prospect]:
        prospect = proposal.foresee(found, request.taxonomy, load_recipe(choice.recipe, sets))
        seconds = proposal.forecast_members(found, prospect, size, device, slots)
        way = Way(home, choice.recipe, sets, source, asked, training, prospect.networks, found.seconds, seconds)
        return way, prospect

    way, prospect = look_ahead(sets)
    limit = options.time_limit
    if limit is not None and not kept:
        left = limit - way.pack_seconds - _CLOSING
        if left <= 0:
            needed = describe_duration(way.pack_seconds + _CLOSING)
            raise UserError(f"--time-limit: all but the training takes {needed}; give more time")
        if way.train_seconds > left and prospect.roster.only_compared:
            way, prospect = look_ahead((*sets, "ensemble.use_baseline=false"))
        if way.train_seconds > left:
            way, prospect = look_ahead((*way.sets, *proposal.fit_into(way.train_seconds, left, recipe)))
    print(f"will do, in {home}{' (going on)' if kept else ''}")
    print(f"  recipe {choice.recipe}: {choice.why}")
    print(*proposal.describe_prospect(prospect), sep="\n", flush=True)
    if cut := way.sets[len(sets) :]:
        print(f"  to keep the time limit: {', '.join(cut)}")
    print(f"  time: {describe_duration(way.seconds)} at most; {way.networks} networks, {slots} at a time, on {device}")
    return way


def _find_home(options: argparse.Namespace) -> Path:
    """Return the run's folder: the one named, else one under artifacts/ that is called as the images are."""
    from hpa_hier.settings.recipe_file import load_recipe

    artifacts = Path(load_recipe(options.config, options.sets).artifacts)
    if options.out:
        return Path(options.out) if len(Path(options.out).parts) > 1 else artifacts / options.out
    stem = (options.images or options.vectors).resolve().stem
    return artifacts / (re.sub("[^A-Za-z0-9._-]+", "-", stem).strip("-._") or "mine")[:64]


def _list_given(options: argparse.Namespace) -> tuple[dict[str, Flag], dict[str, Flag], dict[str, Flag]]:
    """Return the flags that were given for data pack, those that must stay the same, and those for train, as typed."""
    own = Parser()
    add_source_flags(own)
    source: dict[str, Flag] = {}
    for name, value in vars(options).items():
        if value != own.get_default(name) and any(action.dest == name for action in own._actions):
            source[name] = value if value is True else ",".join(value) if isinstance(value, tuple) else str(value)
    asked: dict[str, Flag] = {name: flag for name, flag in source.items() if name != "threads"}
    asked |= {"config": options.config, "set": " --set ".join(options.sets) or None, "no_baseline": options.no_baseline}
    device = None if options.device == "auto" else options.device
    training: dict[str, Flag] = {"device": device, "jobs": options.jobs}
    if place := read_backend(options.backend, places=True).place:
        from hpa_hier.places.place import check_place

        check_place(place, options.jobs)
        training["backend"] = place
    return source, {name: flag for name, flag in asked.items() if flag}, training


def _read_kept(home: Path, asked: dict[str, Flag]) -> Way | None:
    """Return what an earlier call for this folder has decided; None where there was none.

    Raises:
        UserError: it was for other samples, labels or settings.
    """
    from pydantic import TypeAdapter, ValidationError

    from hpa_hier.files.atomic import describe_invalid, read_json

    if not (home / _PLAN).is_file():
        return None
    try:
        way = TypeAdapter(Way).validate_python({**read_json(home / _PLAN), "home": home})
    except ValidationError as error:
        again = "remove it, and run this again; what is finished is kept"
        raise UserError(f"{home / _PLAN}: is damaged ({describe_invalid(error)}); {again}") from None
    for name in dict.fromkeys((*way.asked, *asked)):
        if way.asked.get(name) != asked.get(name):
            was, now = (flags.get(name, "not given") for flags in (way.asked, asked))
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{home}: was begun with {flag} {was}, now it is {now}; name another run with --out")
    return way


def _choose_finished(home: Path) -> tuple[str, ...]:
    """Return the changes of settings under which only finished members are fitted; () where all are finished.

    Raises:
        UserError: none of the ensemble is finished.
    """
    from hpa_hier.runs.run import Run

    run = Run.open(home)
    finished = set(run.member_names)
    wanted = run.roster.ensemble or run.roster.trained
    if finished >= {*wanted, *run.roster.baseline}:
        return ()
    members = [name for name in wanted if name in finished]
    if not members:
        raise UserError(f"{home}: no network was finished within the time limit; run this again with more time")
    return (f"ensemble.members=[{', '.join(members)}]", "ensemble.baseline=[]")


def _print_end(way: Way, seconds: float) -> None:
    """Say what the answers are worth, where they are, and what to type for new images."""
    from hpa_hier.evaluate.report.opening import describe_opening
    from hpa_hier.evaluate.results import read_results

    flag = next(name for name in ("images", "vectors") if name in way.source)
    new = {**{name: text for name, text in way.source.items() if name in _OF_SAMPLES}, flag: f"new_{flag}"}
    results, best = read_results(way.home / "ensemble"), way.home
    print(f"\n{describe_opening(results)}\n")
    if way.adapted and (way.adapted / "ensemble" / "results.json").is_file():
        other = read_results(way.adapted / "ensemble")
        pairs = ((way.home, results), (way.adapted, other))
        losses = {home: one.row("log_loss").ensemble.value or 0.0 for home, one in pairs}
        told = ", ".join(f"{home} {losses[home]:.4f} on {one.scope.samples:,} images" for home, one in pairs)
        print(f"the bundled ensemble was adapted to the same images; log loss, lower is better: {told}\n")
        if results.scope.samples == other.scope.samples:
            best = min(losses, key=lambda home: losses[home])
    print(f"finished in {describe_duration(seconds).removeprefix('about ')}")
    print(f"  report   {way.home / 'report' / 'index.html'}")
    print(f"  answers  {way.answers / 'predictions.csv'}, as a page {way.answers / 'report.html'}")
    print(f"  others   {command('ensemble', 'predict', run=best, **new, out='new_answers')}")
