"""Command: predict images, feature vectors, or samples that other models have scored."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hpa_hier.cli.command import (
    VECTOR_FLAGS,
    Parser,
    add_vector_flags,
    path,
    place,
    print_notes,
    read_vector_source,
    whole_number,
)
from hpa_hier.cli.ensemble.arguments import (
    add_image_arguments,
    add_prior_argument,
    add_run_argument,
    add_scales_argument,
    add_score_argument,
    are_simulated,
    list_tables,
    open_images,
    open_run,
    print_prior,
)
from hpa_hier.cli.flags.backend import add_backend_argument, read_backend
from hpa_hier.cli.flags.words import leave_out
from hpa_hier.data.labels.problems import Doubts
from hpa_hier.errors import UserError
from hpa_hier.files.faults.begun import begin, is_begun
from hpa_hier.files.shell import command, run_name

if TYPE_CHECKING:
    import numpy as np
    from tqdm import tqdm

    from hpa_hier.evaluate.report.answers import Read
    from hpa_hier.predict.answers import Answers
    from hpa_hier.predict.formats.rows import Rows
    from hpa_hier.predict.inputs import Samples
    from hpa_hier.predict.predictor import Predictor
    from hpa_hier.predict.shards.shards import Shards
    from hpa_hier.predict.tables import Rejected
    from hpa_hier.runs.run import Run

_MOST_DOUBTS = 8  # lines
_LEFT_OUT = 1  # exit status: finished, but some images could not be read
_REASONS = 3  # printed of images that could not be read
_WITHOUT_EFFECT = {  # on the answers; all other flags are
    *(
        "command",
        "run",
        "config",
        "sets",
        "paths",
        "images",
        "vectors",
        *VECTOR_FLAGS,
        "scores",
        "out",
        "format",
        "overwrite",
        "report",
    ),
    *("sample_submission", "batch_size", "threads", "on_problem", "shard_size", "worker", "words", "jobs", "backend"),
}

DESCRIPTION = """Predict images, a table of feature vectors, or samples that other models have scored.

  %(prog)s one.jpg                     prints the answer
  %(prog)s my_images --out answers     writes tables

Writes into --out:
  predictions.csv    for people: the three most likely places with their probabilities, the labels and groups that are
                     called, the safe answer, a warning (empty where nothing is known to be wrong), the picture's file
  probabilities.csv  the probability of every node of the label tree (or .parquet, .h5ad with --format)
  submission.csv     Id,Predicted as a competition asks for; a row, maybe empty, for every image asked for
  report.html        with --report: a page with how many are in each place, what is doubtful, and pictures
  rejected.csv       images that could not be read, with the reasons; the exit status is 1 where there are some
docs/reference/answers.md says what each column means. Interrupted, the same command goes on where it was. Given at the
same time on several machines that see --out and the images, it shares the work; one of them writes the tables."""


def add_flags(one: Parser) -> None:
    """Add the command's flags."""
    text = "images: a folder, or files (as --images)"
    one.add_argument("paths", metavar="IMAGES", type=place, nargs="*", help=text)
    add_run_argument(one, "the run whose ensemble was fitted last, but not on simulated cells; else the bundled one")
    add_score_argument(one)
    add_image_arguments(one)
    add, threads = one.add_argument, min(8, os.cpu_count() or 1)
    add_scales_argument(one)
    add_prior_argument(one)
    add_backend_argument(one, engines=True, places=True)
    add("--vectors", metavar="FILE", type=path, help="feature vectors, as `data pack --vectors` takes them")
    add_vector_flags(one)
    text = "the run's own samples, by networks that have not learned from them where there are such"
    add("--own", action="store_true", help=text)
    add("--out", metavar="DIR", type=path, help="folder for the tables, made if absent (default: print the answers)")
    text = "a competition's sample_submission.csv: submission.csv gets its rows, in its order"
    add("--sample-submission", metavar="CSV", type=path, help=text)
    formats = "format of the probabilities: csv (default), parquet, or h5ad for AnnData"
    add("--format", choices=("csv", "parquet", "h5ad"), help=formats)
    text = "also write a page into --out: how many images of each place, what is doubtful, pictures of both"
    add("--report", action="store_true", help=text)
    add("--overwrite", action="store_true", help="replace tables that are in --out already")
    add("--batch-size", metavar="N", type=whole_number(1), default=64, help="images at a time (default: 64)")
    text = "images decoded at a time (default: %(default)s)"
    add("--threads", metavar="N", type=whole_number(1), default=threads, help=text)
    text = "an image that cannot be read: skip it (default), or stop and write nothing"
    add("--on-problem", choices=("skip", "stop"), default="skip", help=text)
    text = "images that are kept, or lost, together, and that one process takes at a time (default: 64)"
    add("--shard-size", metavar="N", type=whole_number(1), help=text)
    text = "share the work of the same command without this flag, which writes the tables; end when nothing is free"
    add("--worker", action="store_true", help=text)
    text = "workers of --backend at a time (default: one a core, or as many as there are)"
    add("--jobs", metavar="N", type=whole_number(1), help=text)


def run(options: argparse.Namespace) -> int:
    """Predict, and write the tables or print the answers."""
    images = [*options.paths, *([options.images] if options.images else [])]
    _check_flags(options, images)
    engine = read_backend(options.backend, engines=True, places=True).engine or "torch"
    wanted = _check_tables(options)
    opened = open_run(options, fitted=True, simulated=are_simulated(images))
    from hpa_hier.members.process import collect_later, prepare_process

    with collect_later():
        from hpa_hier.predict.magnify import WHOLE
        from hpa_hier.predict.predictor import Predictor

    prepare_process()
    predictor = Predictor.load(
        opened, options.device, options.intensity, options.prior, options.scales or WHOLE, engine
    )
    print_prior(predictor)
    if options.scores:
        return _answer_scores(options, predictor, wanted)
    predictor.open_early()
    if options.out:
        return _write(options, predictor, images, wanted)
    return _print(options, predictor, _open(options, predictor, images))


def _check_flags(options: argparse.Namespace, images: Sequence[Path]) -> None:
    if sum(map(bool, (options.scores, images, options.vectors, options.own))) != 1:
        raise UserError(
            "predict needs images (a folder or files), --vectors FILE, --scores NAME=FILE.csv … or --own; give one"
        )
    engine, place = read_backend(options.backend, engines=True, places=True)
    if options.scores and engine:
        raise UserError(f"--backend {engine}: computes members' scores, and --scores has those already; leave one out")
    read_vector_source(options)
    of_images = ("channels", "may_be_missing", "intensity", "follow_links", "frame", "scales")
    given = [name for name in of_images if getattr(options, name)]
    if given and options.own:
        raise UserError(f"--{given[0].replace('_', '-')}: goes with images; the run's own are packed, leave it out")
    if options.vectors and given:
        flag = given[0].replace("_", "-")
        raise UserError(f"--{flag}: goes with --images; vectors have no channels, leave it out")
    of_tables = {name: getattr(options, name) for name in ("sample_submission", "format", "overwrite", "report")}
    of_shards = {"shard_size": options.shard_size, "worker": options.worker, f"backend {place}": place}
    for name, value in {**of_tables, **of_shards}.items():
        flag = f"--{name.replace('_', '-')}"
        if value and not options.out:
            raise UserError(f"{flag} goes with --out DIR; add it, or leave this out")
        if value and name in of_shards and not images:
            raise UserError(f"{flag} goes with images, whose answers are kept piece by piece; leave it out")
    if options.jobs and not place:
        raise UserError("--jobs goes with --backend, as in --backend loky; add it, or leave this out")
    if place:
        from hpa_hier.places.place import check_place

        check_place(place, options.jobs)


def _check_tables(options: argparse.Namespace) -> Sequence[str] | None:
    """Check that --out can be written as asked; return the ids that --sample-submission wants, where it is given."""
    if options.out:
        from hpa_hier.predict.formats.probabilities import check_format

        _check_free(options)
        check_format(options.format or "csv")
    if not options.sample_submission:
        return None
    from hpa_hier.predict.tables import read_wanted

    return read_wanted(options.sample_submission)


def _check_free(options: argparse.Namespace) -> None:
    """Refuse to replace tables unasked."""
    from hpa_hier.predict.shards.shards import is_finishing
    from hpa_hier.predict.tables import check_free

    page = ("report.html",) if options.report else ()
    check_free(options.out, options.overwrite or is_finishing(options.out) or is_begun(options.out), page)


def _open(
    options: argparse.Namespace, predictor: Predictor, images: Sequence[Path], kept: Shards | None = None
) -> Samples:
    """Open the samples; of images those that no other process is at and of which no answer is kept."""
    if options.own:
        return predictor.open_own(options.batch_size)
    if vectors := read_vector_source(options):
        samples = predictor.open_vector_file(vectors, options.batch_size)
        print_notes((), (), samples.notes, "vectors")
        return samples
    return open_images(options, predictor, images=images[0] if len(images) == 1 else images, kept=kept)


def _answer_scores(options: argparse.Namespace, predictor: Predictor, wanted: Sequence[str] | None) -> int:
    from hpa_hier.predict.inputs import Samples
    from hpa_hier.predict.tables import FIRST

    answers = predictor.predict(list_tables(options))
    for line in answers.warnings:
        print(f"  {line}")
    if not options.out:
        print(answers.describe())
        return _end("", answers.rejected, "")
    with begin(options.out, FIRST) as resumed:
        answers.to_csv(options.out, options.overwrite or resumed, wanted, options.format or "csv")
        if options.report:
            samples = Samples(answers.place or "score tables", len(answers), iter(()), list(answers.rejected))
            _write_report(options, predictor, [answers.rows], samples, None)
    return _end(f"wrote {_list_tables(options)}: {len(answers):,} samples", answers.rejected, options.out)


def _print(options: argparse.Namespace, predictor: Predictor, samples: Samples) -> int:
    """Print the answers."""
    if samples.total > options.batch_size:
        print("the answers are printed only; --out DIR writes them into tables", file=sys.stderr)
    unsafe = False
    for answers in predictor.stream(samples, stop=options.on_problem == "stop"):
        print(answers.describe(), flush=True)
        unsafe = bool(answers.unsafe)
    _print_notes(None, samples, predictor)  # what is doubtful is beside each answer
    if unsafe and not predictor.exported:
        print(_describe_adapting(predictor.run))
    return _end("", sorted(samples.rejected), "")


def _write(
    options: argparse.Namespace, predictor: Predictor, images: Sequence[Path], wanted: Sequence[str] | None
) -> int:
    """Write the tables."""
    if images:
        return _share(options, predictor, images, wanted)
    from tqdm import tqdm

    from hpa_hier.predict.tables import FIRST

    began, doubts, rows = time.monotonic(), Doubts(), []
    samples = _open(options, predictor, images)
    unit = "vector" if predictor.spec and predictor.spec.kind == "vectors" else "image"
    with tqdm(total=samples.total, unit=unit, desc="predict", disable=None) as progress:
        for answers in predictor.stream(samples, stop=options.on_problem == "stop"):
            rows.append(answers.rows)
            _doubt(doubts, answers, samples, progress)
            progress.update(len(answers))
    with begin(options.out, FIRST) as resumed:
        _write_tables(options, predictor, samples, rows, wanted, overwrite=options.overwrite or resumed)
        if options.report:
            _write_report(options, predictor, rows, samples, _read_again(options, predictor, images))
    return _tell(options, predictor, samples, doubts, f"{sum(map(len, rows)):,} {unit}s", began)


def _share(
    options: argparse.Namespace, predictor: Predictor, images: Sequence[Path], wanted: Sequence[str] | None
) -> int:
    """Predict images shard by shard, which are kept: an interrupted prediction goes on, and others may share it."""
    from tqdm import tqdm

    from hpa_hier.predict.shards.shards import open_shards

    began, doubts, found = time.monotonic(), Doubts(), Doubts()
    about = _describe_settings(options, predictor, images)
    with open_shards(options.out, about, options.overwrite, options.shard_size) as kept:
        _check_free(options)  # again: from now on no other prediction begins there, but one may have ended meanwhile
        samples = _open(options, predictor, images, kept)
        if before := kept.count_kept():
            print(f"going on: {before:,} of {kept.total:,} images are answered already")
        try:
            with tqdm(total=kept.total, initial=kept.done, unit="image", desc="predict", disable=None) as progress:
                if place := read_backend(options.backend, engines=True, places=True).place:
                    _compute_elsewhere(options, place, predictor.engine, kept, progress)
                while True:
                    for answers in predictor.stream(samples, stop=options.on_problem == "stop"):
                        kept.add(answers)
                        _doubt(doubts, answers, samples, progress)
                        progress.update(kept.done - progress.n)
                    if options.worker or not kept.wait(lambda done: progress.update(done - progress.n)):
                        break
                    samples.batches = kept.batches()
        except KeyboardInterrupt:
            if kept.kept:
                text = (
                    f"{kept.kept:,} of {kept.total:,} images are answered and kept; the same command goes on from there"
                )
                print(text, file=sys.stderr)
            raise
        if options.worker:
            print(f"{kept.done:,} of {kept.total:,} images are answered; the same command without --worker ends it")
            return 0
        with kept.merge() as mine:
            if not mine:
                return _tell_of_another(options)
            samples.forget()
            if not any(len(shard.rows) for shard in kept.read()):
                kept.drop()
            rows = _gather(kept, samples, found)
            _write_tables(options, predictor, samples, rows, wanted, overwrite=options.overwrite or kept.resumed)
            if options.report:
                every = [shard.rows for shard in kept.read() if len(shard.rows)]
                _write_report(options, predictor, every, samples, _read_again(options, predictor, images))
    return _tell(options, predictor, samples, found, f"{found.total:,} images", began)


def _compute_elsewhere(
    options: argparse.Namespace, name: str, engine: str, kept: Shards, progress: tqdm[NoReturn]
) -> None:
    """Have the workers of --backend compute shards until none is free, with the engine that was chosen here."""
    from hpa_hier.places.place import open_place
    from hpa_hier.predict.shards.on_place import compute_on_place

    words = leave_out(options.words, ("--backend", "--jobs"), ("--report",))
    if read_backend(options.backend, engines=True, places=True).engine:
        words += ("--backend", engine)

    def look() -> int:
        left = kept.look()
        progress.update(kept.done - progress.n)
        return left

    with open_place(name, options.jobs) as place:
        compute_on_place(("hpa_hier", "ensemble", *words, "--worker"), kept.folder, place, look)


def _gather(kept: Shards, samples: Samples, doubts: Doubts) -> Iterator[Rows]:
    """Yield all answers in order, noting what else the shards say."""
    for shard in kept.read():
        samples.rejected += shard.rejected
        samples.bits.update(shard.bits)
        samples.stacks.update(shard.stacks)
        doubts.add(shard.rows.ids, [shard.doubts.get(sample, ()) for sample in shard.rows.ids])
        if len(shard.rows):
            yield shard.rows


def _doubt(doubts: Doubts, answers: Answers, samples: Samples, progress: tqdm[NoReturn]) -> None:
    """Count what looks wrong; say it of the first answers, so that nobody waits for what is wrong with all."""
    doubts.add(answers.ids, answers.doubts or ((),) * len(answers))
    if doubts.total == len(answers) < samples.total:
        for line in _describe_doubts(doubts, "so far "):
            progress.write(line, file=sys.stderr)


def _write_tables(
    options: argparse.Namespace,
    predictor: Predictor,
    samples: Samples,
    rows: Iterable[Rows],
    wanted: Sequence[str] | None,
    *,
    overwrite: bool,
) -> None:
    """Write all tables, or none where an image cannot be read and that is to stop, or none can."""
    from hpa_hier.predict.tables import open_tables

    tree, form = predictor.ensemble.taxonomy, options.format or "csv"
    with open_tables(options.out, tree, wanted, form, overwrite=overwrite) as tables:
        answered = 0
        for some in rows:
            tables.add(some)
            answered += len(some)
        if options.on_problem == "stop":
            samples.refuse_rejected()
        if not answered:
            samples.refuse_unanswered()
        tables.reject(sorted(samples.rejected))


def _tell(
    options: argparse.Namespace, predictor: Predictor, samples: Samples, doubts: Doubts, what: str, began: float
) -> int:
    """Say what was done, and return the exit status."""
    _print_notes(doubts, samples, predictor)
    if predictor.run.origin.why_unsafe(samples.simulated) and not predictor.exported:
        print(_describe_adapting(predictor.run))
    took = f"{what} in {time.monotonic() - began:.1f} s"
    return _end(f"wrote {_list_tables(options)}: {took}", sorted(samples.rejected), options.out)


def _tell_of_another(options: argparse.Namespace) -> int:
    """Say what a process that shared the work has written, and return the exit status.

    Raises:
        UserError: it has written nothing.
    """
    table = options.out / "rejected.csv"
    if not table.is_file():
        raise UserError(f"{options.out}: another process that shared the work could write no tables; see what it says")
    print(f"another process that shared the work wrote {_list_tables(options)}")
    with table.open(encoding="utf-8") as lines:
        return _LEFT_OUT if sum(1 for _ in itertools.islice(lines, 2)) > 1 else 0


def _read_again(options: argparse.Namespace, predictor: Predictor, images: Sequence[Path]) -> Read | None:
    """Return what reads some of the images again; None where the samples are no images."""
    if predictor.spec is None or predictor.spec.kind != "images":
        return None

    def read(ids: Sequence[str]) -> dict[str, np.ndarray]:
        if options.own:
            pack = predictor.run.pack
            return dict(zip(ids, pack.read(pack.find_rows(ids)), strict=True))
        found = open_images(options, predictor, images=images[0] if len(images) == 1 else images, chosen=set(ids))
        return {sample: image for one in found.batches for sample, image in zip(one.ids, one.values, strict=True)}

    return read


def _write_report(
    options: argparse.Namespace,
    predictor: Predictor,
    rows: Sequence[Rows],
    samples: Samples,
    read: Read | None,
) -> None:
    """Write the page of the answers."""
    from hpa_hier.evaluate.report.answers import FILE, Answered, write_answers

    unsafe = predictor.run.origin.why_unsafe(samples.simulated) if predictor.spec else ""
    shared = tuple(filter(None, (unsafe, *predictor.notes))) if predictor.spec else ()
    channels = predictor.spec.channels if read and predictor.spec else ()
    tree = predictor.ensemble.taxonomy
    source = f"the images of {run_name(predictor.run.folder)}" if options.own else samples.source
    answered = Answered(rows, tree, source, shared, tuple(sorted(samples.rejected)), channels, read)
    print(f"wrote {write_answers(options.out / FILE, answered, predictor.run)}; open it in a browser")


def _print_notes(doubts: Doubts | None, samples: Samples, predictor: Predictor) -> None:
    """Say what looks wrong with images, and how they were read."""
    from hpa_hier.ensemble.novelty.words import NO_DISTANCES

    if samples.bits and predictor.check_kind("images", "").intensity == "percentile":
        bits = ", ".join(f"{bits} in {n:,} images" for bits, n in samples.bits.most_common())
        print(f"bits used: {bits}; each channel is read by the range that it has", file=sys.stderr)
    for line in _describe_doubts(doubts) if doubts else ():
        print(line, file=sys.stderr)
    print_notes((), (), samples.describe_stacks())
    if predictor.ensemble.novelty is None:
        print(f"nothing is compared with what was learned from: {NO_DISTANCES}", file=sys.stderr)


def _describe_doubts(doubts: Doubts, when: str = "") -> list[str]:
    """Return lines on what looks wrong with images; the table has a word on each of them."""
    lines = [f"look again: {when}{line}" for line in doubts.lines()]
    if any("bits used" in doubt for doubt in doubts.counts):
        lines.insert(0, "dark images: --intensity percentile reads them by the range that each channel has")
    more = len(lines) - _MOST_DOUBTS
    return lines if more <= 0 else [*lines[:_MOST_DOUBTS], f"… and {more} more kinds; predictions.csv names all"]


def _describe_settings(options: argparse.Namespace, predictor: Predictor, images: Sequence[Path]) -> dict[str, str]:
    """Return what the answers depend on beside the images."""
    from hpa_hier import __version__
    from hpa_hier.files.atomic import sha256

    settings = {name: value for name, value in vars(options).items() if name not in _WITHOUT_EFFECT}
    prior = Path(options.prior or "")
    return {
        "ensemble": predictor.run.ensemble_digest,
        "engine (--backend)": predictor.engine,
        **({"table of --prior": sha256(prior)} if prior.is_file() else {}),
        "images": json.dumps([str(one) for one in images]),
        "version of this program": __version__,
        "kind of images (simulated or not)": str(are_simulated(images)),
        "setting (" + ", ".join(f"--{name.replace('_', '-')}" for name in sorted(settings)) + ")": json.dumps(
            settings, sort_keys=True, default=str
        ),
    }


def _describe_adapting(opened: Run) -> str:
    flags = {"images": "DIR", "labels": "CSV", "out": "NAME"}
    adapt = command("ensemble", "adapt", run=opened.folder, **flags)
    return f"no safe answers: it was not calibrated on real images; some labelled ones of yours would do:\n  {adapt}"


def _list_tables(options: argparse.Namespace) -> str:
    names = ("predictions.csv", f"probabilities.{options.format or 'csv'}", "submission.csv")
    first, *others = (str(options.out / name) if name == names[0] else name for name in names)
    return f"{first}, {others[0]} and {others[1]}"


def _end(text: str, rejected: Sequence[Rejected], out: Path | str) -> int:
    """Say what was done and what was left out, and return the exit status."""
    if text:
        print(text)
    if not rejected:
        return 0
    where = f", as {out / 'rejected.csv'} says" if isinstance(out, Path) else ""
    print(f"{len({one.id for one in rejected}):,} left out{where}:")
    for one in rejected[:_REASONS]:
        print(f"  {one.file or one.id}: {one.reason}")
    if len(rejected) > _REASONS:
        print(f"  and {len(rejected) - _REASONS:,} more")
    return _LEFT_OUT
