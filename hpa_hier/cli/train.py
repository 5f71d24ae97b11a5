"""Command: train one member, or all members of a recipe side by side."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from hpa_hier.cli.command import (
    EXIT_INTERRUPTED,
    EXIT_USER,
    Parser,
    add_recipe_arguments,
    add_verify,
    change_text,
    load_run_recipe,
    name_run,
    one_thread_a_process,
    stop_after_print,
    typed_program,
    whole_number,
)
from hpa_hier.cli.flags.backend import add_backend_argument, read_backend
from hpa_hier.cli.flags.words import leave_out
from hpa_hier.errors import UserError

if TYPE_CHECKING:
    from hpa_hier.members.nodes import Kind
    from hpa_hier.runs.run import Run
    from hpa_hier.settings.recipe import MemberSettings, Recipe
    from hpa_hier.settings.training import TrainingSettings
    from hpa_hier.training.many.on_place import Task
    from hpa_hier.training.processes.team import Team

_DESCRIPTION = """Train a member: a network that answers for some nodes of the label tree.

  %(prog)s --level coarse
  %(prog)s --group Nucleus --device cuda:0
  %(prog)s --partition minority --seed 1
  %(prog)s --all --data my_pack --run mine
  %(prog)s --all --run mine --backend dask://10.0.0.1:8786

Where the recipe names no pack, demo images are simulated first. A finished member is kept, an unfinished
one is resumed; --restart trains it again. Ctrl-C saves and stops."""


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    flags = parser().parse_args(arguments)
    if flags.seed is not None and (flags.all or flags.member):
        raise UserError("--seed: a member of the recipe has its own; change it with --set members.NAME.seed=N")
    other = "--jobs" if flags.jobs else "--backend" if flags.backend else ""
    if flags.together and other:
        raise UserError(f"--together: trains in one process, and {other} in several; leave one of them out")
    for name in ("jobs", "no_baseline", "together"):
        if getattr(flags, name) and not flags.all and not (name == "jobs" and flags.backend):
            raise UserError(f"--{name.replace('_', '-')}: goes with --all; leave it out for one member")
    if flags.fold and (flags.all or flags.backend):
        raise UserError("--fold: trains one network here; leave it out with --all and --backend, which train all folds")
    if place := read_backend(flags.backend, places=True).place:
        from hpa_hier.places.place import check_place

        check_place(place, flags.jobs)
    if flags.all or flags.backend:
        _check_alone()
    one_thread_a_process()
    changes = _list_changes(flags)
    recipe = load_run_recipe(flags.config, flags.sets, changes)
    _check_initial_weights(recipe, flags.sets)
    resume = f"{typed_program('train')} {shlex.join(word for word in arguments if word != '--restart')}"
    return _train_all(flags, recipe, resume) if flags.all else _train_one(flags, recipe, arguments, resume)


def parser() -> Parser:
    """Build the command's parser."""
    whole = Parser("train", _DESCRIPTION)
    what = whole.add_argument_group("what to train (one of these)").add_mutually_exclusive_group(required=True)
    what.add_argument("--level", metavar="NAME", help="the nodes of a level, such as coarse or leaf; or all")
    what.add_argument("--group", metavar="NAME", help="the leaves below a group, such as Nucleus")
    what.add_argument("--partition", choices=["majority", "minority"], help="the leaves with many, or few, images")
    what.add_argument("--member", metavar="NAME", help="a member of the recipe")
    what.add_argument("--all", action="store_true", help="every member of the recipe, side by side")
    how = whole.add_argument_group("how")
    seeds, seed_help = whole_number(0, (1 << 32) - 1), "seed of a --level, --group or --partition (default: 0)"
    how.add_argument("--seed", type=seeds, metavar="N", help=seed_help)
    how.add_argument("--data", metavar="PACK", help="folder of a pack (default: the recipe's, or simulated cells)")
    how.add_argument("--run", metavar="NAME|DIR", help="folder under artifacts/, or its path (default: the recipe's)")
    how.add_argument("--taxonomy", metavar="YAML", help="label tree (default: the recipe's, else the pack's)")
    how.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default: auto)")
    how.add_argument("--restart", action="store_true", help="discard what has been trained, and train again")
    count, jobs_help = whole_number(1), "with --all or --backend: trained at a time (default: one per GPU or core)"
    how.add_argument("--jobs", type=count, metavar="N", help=jobs_help)
    together_help = "with --all: in one process, where members with the same training.data_seed read each batch once"
    how.add_argument("--together", action="store_true", help=together_help)
    how.add_argument("--threads", type=count, default=1, metavar="N", help="CPU threads per member (default: 1)")
    folds_help = "train K networks, each without one of K folds; averaged at inference (default: by the recipe or size)"
    how.add_argument("--folds", type=whole_number(0, 20), metavar="K", help=folds_help)
    fold_help = "train only the network of this fold, 1 to K; without the flag, all of them, and then the member"
    how.add_argument("--fold", type=whole_number(1, 20), metavar="I", help=fold_help)
    add_backend_argument(how, places=True)
    weights_help = (
        "safetensors file that initialises the backbone; or package:efficientnet_lite0 (docs/howto/members.md)"
    )
    how.add_argument("--weights", metavar="FILE", help=weights_help)
    init_help = "initialise from the bundled model, of simulated cells only, or from nothing (default: the recipe's)"
    how.add_argument("--init", choices=("pretrained", "none"), help=init_help)
    no_baseline_help = "with --all: without the networks that only the flat baseline needs, which is then not fitted"
    how.add_argument("--no-baseline", action="store_true", help=no_baseline_help)
    add_verify(how)
    how.add_argument("--tensorboard", action="store_true", help="also write curves for TensorBoard")
    how.add_argument("--no-progress", action="store_true", help="print only the last line")
    add_recipe_arguments(whole)
    return whole


def _list_changes(flags: argparse.Namespace) -> dict[str, str]:
    """Return the changes of the recipe that flags make, each with the flag as it was typed."""
    if flags.init == "pretrained" and flags.weights:
        raise UserError("--init pretrained and --weights both initialise the backbone; give one of them")
    given = {"data.pack": "data", "taxonomy": "taxonomy", "training.weights": "weights", "training.init": "init"}
    texts = [(key, flag, getattr(flags, flag)) for key, flag in given.items()]
    changes = {change_text(key, text): f"--{flag} {text}" for key, flag, text in texts if text is not None}
    if flags.run is not None:
        changes |= dict.fromkeys(name_run(flags.run), f"--run {flags.run}")
    if flags.folds is not None:
        changes |= dict.fromkeys(
            (f"split.folds={flags.folds}", f"training.folds={flags.folds}"), f"--folds {flags.folds}"
        )
    if flags.no_baseline:
        changes["ensemble.use_baseline=false"] = "--no-baseline"
    return changes


def _check_initial_weights(recipe: Recipe, sets: Sequence[str]) -> None:
    """Refuse settings that would be those of the bundled member."""
    own = ("training.backbone", "training.width", "training.weights")
    twice = [change for change in sets if change.partition("=")[0].strip() in own]
    if recipe.training.init == "pretrained" and twice:
        raise UserError(
            f"training.init: pretrained sets what --set {twice[0]} does; leave that out, or add --init none"
        )


def _train_one(flags: argparse.Namespace, recipe: Recipe, arguments: Sequence[str], resume: str) -> int:
    from hpa_hier.members.nodes import Selector, find_member, select_member
    from hpa_hier.members.process import collect_later
    from hpa_hier.runs.roster import Roster
    from hpa_hier.runs.start import choose_taxonomy, prepare_run, start_run
    from hpa_hier.taxonomy import Taxonomy

    taxonomy = Taxonomy.load(choose_taxonomy(recipe).taxonomy)

    def pick(recipe: Recipe) -> MemberSettings:
        if flags.member:
            return find_member(recipe, flags.member)
        kind: Kind = "level" if flags.level else "group" if flags.group else "partition"
        return select_member(recipe, Selector(kind, getattr(flags, kind)).respell(taxonomy), flags.seed or 0)

    possible = Roster.choose(recipe, taxonomy).recipe
    first = all(os.environ.get(name, "0") == "0" for name in ("RANK", "NODE_RANK", "SLURM_PROCID"))
    if first and not (flags.no_progress or flags.print_config):
        _print_start(f"{pick(possible).name}: checking its settings and its data")
    with collect_later():  # torch
        from hpa_hier.training.plan import check_training, resolve_settings
        from hpa_hier.training.processes.team import form_team

    settings = resolve_settings(possible, pick(possible), taxonomy)  # before simulating for a misspelt level
    if flags.print_config:
        shown = prepare_run(recipe).recipe if recipe.data.pack else possible
        stop_after_print(flags, shown, pick(shown))
    if flags.backend:

        def check(run: Run) -> None:
            check_training(run, pick(run.recipe))
            _verify(flags, run)

        _check_one_machine(pick(possible).name, settings)
        opened = start_run(recipe, bool(flags.config), check)
        _print_scarcity(opened)
        return _train_one_on_place(flags, opened, pick(opened.recipe), arguments, resume)
    with form_team(*settings.processes, pick(possible).name, settings.wait, arguments, resume) as team:
        return _train_together(flags, recipe, pick, team, resume)


def _verify(flags: argparse.Namespace, run: Run) -> None:
    if flags.verify:
        run.pack.verify()


def _train_together(
    flags: argparse.Namespace, recipe: Recipe, pick: Callable[[Recipe], MemberSettings], team: Team, resume: str
) -> int:
    """Train a member in this process, one of a team; the first one prints and writes."""
    from hpa_hier.members.process import collect_later
    from hpa_hier.runs.start import prepare_run, start_run

    with collect_later():  # Lightning
        from hpa_hier.training.bars import Bars
        from hpa_hier.training.loop.stopping import Interrupted
        from hpa_hier.training.plan import check_training, plan_training
        from hpa_hier.training.start_from import missing_starts
        from hpa_hier.training.train_member import TrainOptions, train_fold, train_member

    def check(run: Run) -> None:
        check_training(run, pick(run.recipe))
        _verify(flags, run)

    def open_run() -> Run:
        if not team.first:
            return prepare_run(recipe)
        return start_run(recipe, bool(flags.config), check)

    opened = team.after_first(open_run)
    wanted = pick(opened.recipe)
    if team.first:
        _print_scarcity(opened)
    lines, bars = not flags.no_progress and team.first, Bars(1)

    def train(member: MemberSettings, restart: bool) -> str:
        report = partial(bars.report, member.name) if lines and sys.stderr.isatty() else None
        options = TrainOptions(flags.device, restart, lines, report, flags.tensorboard, flags.threads, team)
        plan = plan_training(opened, member)
        only = flags.fold and member == wanted
        return train_fold(plan, flags.fold - 1, options) if only else train_member(plan, options)

    folder = opened.member_folder(wanted.name)
    try:
        with bars:
            for start in missing_starts(opened, wanted):
                if team.first:
                    bars.write(f"{wanted.name} starts from {start.name}, which is trained first")
                folder = opened.member_folder(start.name)
                if line := train(start, False):
                    print(line)
                bars.end(start.name)
            folder = opened.member_folder(wanted.name)
            line = train(wanted, flags.restart)
    except Interrupted:
        if team.first:
            print(f"stopped, everything is saved in {folder}. To resume: {resume}", file=sys.stderr)
        return EXIT_INTERRUPTED
    if line:
        print(line)
    return 0


def _train_all(flags: argparse.Namespace, recipe: Recipe, resume: str) -> int:
    from hpa_hier.members.nodes import find_member
    from hpa_hier.members.process import collect_later
    from hpa_hier.runs.roster import Roster
    from hpa_hier.runs.run import CONFIG
    from hpa_hier.runs.start import choose_taxonomy, prepare_run, start_run
    from hpa_hier.taxonomy import Taxonomy

    if recipe.members == ():
        raise UserError("--all: the recipe lists no members; add some under `members`, or set it to auto")
    if not (flags.no_progress or flags.print_config):
        _print_start("checking the recipe's members and its data")
    with collect_later():  # torch
        from hpa_hier.training.plan import check_training
        from hpa_hier.training.start_from import training_order

    if flags.print_config:
        tree = Taxonomy.load(choose_taxonomy(recipe).taxonomy)
        stop_after_print(flags, prepare_run(recipe).recipe if recipe.data.pack else Roster.choose(recipe, tree).recipe)

    def check(run: Run) -> None:
        if not run.roster.trained:
            raise UserError(f"--all: no member is left to train. {' '.join(run.roster.describe()[1:])}")
        training_order(run.recipe)
        for name in run.roster.trained:
            check_training(run, find_member(run.recipe, name))
            _check_one_machine(name, run.recipe.member_training(find_member(run.recipe, name)))
        _verify(flags, run)

    opened = start_run(recipe, check=check)  # once, before several would each simulate the demo cells
    _print_scarcity(opened)
    print(*opened.roster.describe(opened.split.fold_count), sep="\n", file=sys.stderr)
    order = training_order(opened.recipe)
    logs = {name: opened.member_folder(name) / "train.log" for name in order if name in opened.roster.trained}
    options = (str(opened.folder / CONFIG), (), flags.restart, flags.threads)
    kept = {} if flags.restart else {name: line for name in logs if (line := _describe_finished(opened, name))}
    print(*kept.values(), sep="\n", end="\n" if kept else "", file=sys.stderr)
    statuses = dict.fromkeys(kept, 0)
    if len(kept) < len(logs) and flags.backend:
        from hpa_hier.training.many.on_place import list_all_tasks

        words = ("hpa_hier.train", "--config", str(opened.folder / CONFIG), "--threads", str(flags.threads))
        todo = {name: order[name] for name in logs if name not in kept}
        tasks = list_all_tasks(opened, todo, words, restart=flags.restart)
        statuses |= _train_on_place(flags, opened, tasks, _count_devices(opened.recipe, todo))
        statuses = {name: statuses[name] for name in logs if name in statuses}  # not of folds
    elif len(kept) < len(logs) and flags.together:
        from hpa_hier.training.together.train import train_together
        from hpa_hier.training.train_member import TrainOptions

        members = [find_member(opened.recipe, name) for name in logs if name not in kept]
        how = TrainOptions(flags.device, flags.restart, tensorboard=flags.tensorboard, threads=flags.threads)
        statuses |= train_together(opened, members, order, how)
    elif len(kept) < len(logs):
        from hpa_hier.training.side_by_side import Job, train_side_by_side

        jobs = [Job(name, *options, log, after=order[name]) for name, log in logs.items() if name not in kept]
        devices = _count_devices(opened.recipe, [job.name for job in jobs])
        statuses |= train_side_by_side(jobs, find_slots(flags.device, flags.jobs, flags.threads, devices))
    if EXIT_INTERRUPTED in statuses.values() or len(statuses) < len(logs):
        print(f"stopped, everything is saved. To resume: {resume}", file=sys.stderr)
        return EXIT_INTERRUPTED
    finished = list(statuses.values()).count(0)
    print(f"{finished} of {len(logs)} members finished, in {opened.folder / 'members'}")
    return _join_statuses(statuses.values())


def _join_statuses(statuses: Collection[int]) -> int:
    """Return the exit status of several trainings: 1 where one failed by no mistake of the user, else 2 or 0."""
    return max(statuses, default=0) if {*statuses} <= {0, EXIT_USER} else 1


def _train_one_on_place(
    flags: argparse.Namespace, run: Run, member: MemberSettings, arguments: Sequence[str], resume: str
) -> int:
    """Train one member on a place: its folds side by side, each by the command that was typed, with --fold."""
    from hpa_hier.training.many.on_place import list_tasks
    from hpa_hier.training.plan import count_folds, describe_finished, plan_training
    from hpa_hier.training.start_from import missing_starts

    if starts := missing_starts(run, member):
        raise UserError(
            f"--backend: {member.name} starts from {starts[0].name}, which is not trained yet; train that first, or "
            "both with --all"
        )
    plan = plan_training(run, member)
    if not (flags.restart or plan.checkpoint.exists()) and (line := describe_finished(plan)):
        print(line)
        return 0
    words = ("hpa_hier.train", *leave_out(arguments, ("--backend", "--jobs", "--device"), ("--restart", "--verify")))
    folder, folds = run.member_folder(member.name), count_folds(run, member)
    tasks = list_tasks(member.name, words, folder, folds, restart=flags.restart)
    statuses = _train_on_place(flags, run, tasks, run.recipe.member_training(member).processes[0])
    if EXIT_INTERRUPTED in statuses.values() or len(statuses) < len(tasks):
        print(f"stopped, everything is saved in {folder}. To resume: {resume}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return _join_statuses(statuses.values())


def _train_on_place(flags: argparse.Namespace, run: Run, tasks: Sequence[Task], devices: int) -> dict[str, int]:
    """Train members and folds, with at most so many devices each, where --backend says; return each exit status."""
    from hpa_hier.places.place import open_place
    from hpa_hier.training.many.on_place import train_on_place

    name = read_backend(flags.backend, places=True).place or ""

    def find_here() -> list[str]:
        return find_slots(flags.device, flags.jobs, flags.threads, devices)

    with open_place(name, flags.jobs, lambda: len(find_here())) as place:
        # Elsewhere, every worker takes --device as it is, and auto is its first GPU: which one that is,
        # CUDA_VISIBLE_DEVICES of the worker decides.
        return train_on_place(tasks, place, run.folder, find_here() if place.here else [flags.device])


def _count_devices(recipe: Recipe, names: Iterable[str]) -> int:
    """Return the most devices of a machine that one of these members is trained on."""
    from hpa_hier.members.nodes import find_member

    return max(recipe.member_training(find_member(recipe, name)).processes[0] for name in names)


def _check_one_machine(name: str, settings: TrainingSettings) -> None:
    """Refuse a member that --all or --backend cannot train, as each of several machines is to start its part."""
    if settings.processes[1] > 1:
        raise UserError(
            f"training.nodes of '{name}': --all and --backend train a member on one machine; train it without them, by "
            "the same command on each machine, or set training.nodes=1"
        )


def _describe_finished(run: Run, name: str) -> str:
    """Say that a member needs no process, since it is trained already; "" where it does, if only to say why.

    It does too where one was killed when all but its checkpoint's removal was done, which a training's lock guards.
    """
    from hpa_hier.members.nodes import find_member
    from hpa_hier.training.plan import describe_finished, plan_training

    try:
        plan = plan_training(run, find_member(run.recipe, name))
        return "" if plan.checkpoint.exists() else describe_finished(plan)
    except UserError:  # which its own process tells, and no other member fails for it
        return ""


def _print_start(line: str) -> None:
    """Say what is done before torch is imported, which takes seconds."""
    print(line, file=sys.stderr, flush=True)


def _print_scarcity(run: Run) -> None:
    """Say before anything is trained how few images there are, where they are few."""
    for line in run.scarcity:
        print(line, file=sys.stderr)


def _check_alone() -> None:
    """Refuse several processes that would each train everything that --all or --backend is to share out."""
    from hpa_hier.training.processes.place import count_started

    started = count_started(os.environ)
    if started > 1:
        from hpa_hier.training.processes.team import leave_word_to_first

        leave_word_to_first()
        raise UserError(
            f"{started} processes of this command were started, and with --all or --backend one alone starts the "
            "others; start it once, or train one member, without these flags"
        )


def find_slots(device: str, jobs: int | None, threads: int = 1, devices: int = 1) -> list[str]:
    """Return the first device of each member that is trained at a time, with so many threads and devices each."""
    from hpa_hier.members.devices import check_devices, find_device
    from hpa_hier.places.processor import count_cores

    found = find_device(device)
    check_devices(found, devices)
    if found.type == "cuda" and ":" not in device:
        import torch

        gpus = [f"cuda:{index}" for index in range(0, torch.cuda.device_count() - devices + 1, devices)]
        return [gpus[job % len(gpus)] for job in range(jobs or len(gpus))]
    if found.type == "cpu":
        return ["cpu"] * (jobs or max(1, count_cores() // (threads * devices)))
    return [str(found)] * (jobs or 1)
