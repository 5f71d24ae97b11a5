"""What every command shares: its parser, types of flags, exit statuses, and errors without a traceback."""

from __future__ import annotations

import argparse
import atexit
import gc
import io
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from hpa_hier import __version__
from hpa_hier.data.images.channels import CHANNELS, check_may_be_missing
from hpa_hier.errors import UserError, one_line
from hpa_hier.files.faults.machine import describe_refusal
from hpa_hier.files.faults.shown import show, show_error, shown_stream
from hpa_hier.files.remote.path import is_remote, to_path
from hpa_hier.files.spelling import did_you_mean
from hpa_hier.places.processor import keep_to_one_thread

if TYPE_CHECKING:
    from hpa_hier.data.labels.table import LabelTable
    from hpa_hier.data.vectors.source import VectorSource
    from hpa_hier.settings.recipe import MemberSettings, Recipe
    from hpa_hier.taxonomy import Taxonomy

EXIT_USER = 2  # a user's mistake
EXIT_INTERRUPTED = 130  # Ctrl-C, after saving


def typed_program(command: str) -> str:
    """Return how the user called a command: by `hpa-hier`, or as a module.

    >>> typed_program("train")
    'python -m hpa_hier.train'
    """
    script = Path(sys.argv[0])
    if script.stem == "hpa-hier":
        return f"hpa-hier {command}".strip()
    if script.name == "__main__.py" and script.parent.name == "hpa_hier":
        return f"python -m hpa_hier {command}".strip()
    return f"python -m hpa_hier.{command}"


class Parser(argparse.ArgumentParser):
    """An argument parser with the version flag, errors of one line, no abbreviated flags, and listed sub-commands."""

    def __init__(self, command: str = "", description: str = "", *, prog: str = "", **settings: object) -> None:
        super().__init__(
            prog=prog or typed_program(command),
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            **settings,  # type: ignore[arg-type]
        )
        self.add_argument("--version", action="version", version=f"hpa_hier {__version__}")
        self.summaries: dict[str, str] = {}  # sub-command → what it does, in a line
        self._commands: argparse._SubParsersAction[Parser] | None = None

    def add_command(self, name: str, description: str) -> Parser:
        """Add a sub-command; the first line of its description is its line in this parser's help."""
        if self._commands is None:
            self._commands = self.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
        self.summaries[name] = description.splitlines()[0]
        return self._commands.add_parser(name, help=self.summaries[name], description=description)

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Parse arguments; a misspelt sub-command is answered with the one that was probably meant."""
        words = sys.argv[1:] if args is None else list(args)
        if self.summaries and words and not words[0].startswith("-") and words[0] not in self.summaries:
            self.error(f"no command {words[0]!r}{did_you_mean(words[0], self.summaries)}")
        return super().parse_known_args(args, namespace)

    def _get_values(self, action, arg_strings):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        """Read a flag's values; `--run=--` is one, which Python before 3.13 takes for the end of the flags."""
        if arg_strings == ["--"] and action.option_strings and action.nargs is None:
            return self._get_value(action, "--")
        return super()._get_values(action, arg_strings)

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the flags in one line, and exit with the status of a user's mistake."""
        joint = "" if message.endswith("?") else ";"
        message = show_error(one_line(f"{message}{joint} {self.prog} --help lists what there is"))
        self.exit(EXIT_USER, f"error: {message}\n")


def whole_number(low: int = 0, high: int | None = None) -> Callable[[str], int]:
    """Return a flag's type: a whole number within bounds.

    >>> whole_number(1)("12")
    12
    """
    bounds = f"from {low}" + ("" if high is None else f" to {high}")

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= (int(text) if high is None else high):
            raise argparse.ArgumentTypeError(f"must be a whole number {bounds}, got {text!r}")
        return int(text)

    return parse


def path(text: str) -> Path:
    """Read a flag's file or folder, which an empty text does not name."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must name a file or a folder, got {text!r}")
    if is_remote(to_path(text)):
        raise argparse.ArgumentTypeError(
            f"must be on this machine, got {text!r}; images, labels and packs may be elsewhere"
        )
    return to_path(text)


def place(text: str) -> Path:
    """Read a flag's file or folder, which may be one of a bucket or web server, as s3://bucket/folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must name a file or a folder, got {text!r}")
    try:
        return to_path(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def channels(text: str) -> tuple[str, ...]:
    """Read a flag's list of channels.

    >>> channels("yellow, red")
    ('yellow', 'red')
    """
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [name for name in names if name not in CHANNELS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no channel; the channels are {', '.join(CHANNELS)}")
    return names


def may_be_missing(text: str) -> tuple[str, ...]:
    """Read a flag's list of channels that an image may lack; the protein is none of them."""
    names = channels(text)
    try:
        check_may_be_missing(names)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return names


def add_stacks(parser: argparse.ArgumentParser, *, projection: bool) -> None:
    """Add --frame, and --projection where it is not settled: how stacks of images become one image."""
    if projection:
        text = "how a z stack becomes one image: its maximum, its mean, or the section in the middle"
        parser.add_argument("--projection", choices=("max", "mean", "middle"), help=f"{text} (default: the recipe's)")
    text = "which frame of a time series is taken: first, middle, last, or its number, counted from 1"
    parser.add_argument("--frame", type=frame, metavar="WHICH", help=text)


def frame(text: str) -> str:
    """Read a flag's frame of a time series."""
    from hpa_hier.data.images.stacks import parse_frame

    try:
        return parse_frame(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_on_problem(parser: argparse.ArgumentParser, text: str = "rows that cannot be used (default: stop)") -> None:
    """Add --on-problem and --ignore-columns, of commands that read a label table."""
    parser.add_argument("--on-problem", choices=("stop", "skip"), default="stop", help=text)
    ignore = "columns of the label table that are no labels, separated by commas"
    parser.add_argument("--ignore-columns", type=column_names, default=(), metavar="COLUMNS", help=ignore)


VECTOR_FLAGS = ("ids", "features", "per", "layer")  # what is said of vectors beside their file


def add_vector_flags(parser: argparse._ActionsContainer) -> None:
    """Add what is said of --vectors beside their file."""
    add = parser.add_argument
    add("--ids", type=path, metavar="FILE", help="ids of the rows of a .npy file, one per line")
    text = "of --vectors: how the names of columns that are features begin, a regular expression (default: found)"
    add("--features", metavar="REGEX", help=text)
    text = "of --vectors, where rows are cells: the column of samples, or an expression for ids such as '(.+)_'; each "
    add("--per", metavar="COLUMN|REGEX", help=f"{text}sample becomes the mean of its rows (default: a row is a sample)")
    add("--layer", metavar="NAME", help="of an .h5ad file: X, obsm/NAME or layers/NAME (default: X)")


def read_vector_source(options: argparse.Namespace) -> VectorSource | None:
    """Return what --vectors and the flags beside it name; None where it was not given.

    Raises:
        UserError: one of them is given without --vectors.
    """
    from hpa_hier.data.vectors.source import VectorSource

    if options.vectors:
        return VectorSource(options.vectors, **{name: getattr(options, name) for name in VECTOR_FLAGS})
    for name in VECTOR_FLAGS:
        if getattr(options, name):
            raise UserError(f"--{name}: goes with --vectors FILE; leave it out")
    return None


def add_images_of_labels(parser: argparse.ArgumentParser) -> None:
    """Add --images, of commands that need a label table only."""
    group = parser.add_argument_group("images of --labels")
    text = "folder of images: rows may be their paths, and --labels folders takes their class folders"
    group.add_argument("--images", type=path, metavar="DIR", help=text)
    group.add_argument("--channels", metavar="TEXT", help="as in `data pack`: which words in file names are channels")
    add_follow_links(group)


def add_verify(parser: argparse._ActionsContainer) -> None:
    """Add --verify, of commands that read a run's pack."""
    text = "compare the whole pack with its checksums first (default: each sample, when it is first read)"
    parser.add_argument("--verify", action="store_true", help=text)


def add_follow_links(parser: argparse._ActionsContainer) -> None:
    """Add --follow-links, of commands that look for images in folders."""
    text = "enter linked folders of images, and take links that leave the folder (default: list them)"
    parser.add_argument("--follow-links", action="store_true", default=None, help=text)  # None: not given


def column_names(text: str) -> tuple[str, ...]:
    """Read a flag's list of a table's columns.

    >>> column_names("in_trainset, plate")
    ('in_trainset', 'plate')
    """
    return tuple(name for part in text.split(",") if (name := part.strip()))


def read_label_table(options: argparse.Namespace, taxonomy: Taxonomy) -> LabelTable:
    """Read --labels, and list the rows that --on-problem skip leaves out.

    With --images its rows may be paths of these images, and `--labels folders` takes their class folders.
    """
    from hpa_hier.data.labels.class_folders import means_folders
    from hpa_hier.data.labels.table import read_labels

    kept = (options.on_problem, options.ignore_columns)
    if options.images:
        from hpa_hier.data.images.scan import scan
        from hpa_hier.data.pack.matching import read_image_labels

        found = scan(options.images, options.channels, bool(options.follow_links))
        print_rejects(found.rejects)
        table = read_image_labels(options.labels, found, taxonomy, options.images, *kept)
    elif means_folders(options.labels):
        raise UserError("--labels folders: the classes are the folders of images; say which with --images DIR")
    else:
        table = read_labels(options.labels, taxonomy, *kept)
    print_notes(table.problems, table.notes)
    return table


def print_rejects(rejects: Sequence[object]) -> None:
    """Print which images cannot be used, the first of many, on standard error."""
    from hpa_hier.data.labels.problems import LISTED

    for reject in rejects[:LISTED]:
        print(f"left out: {show(str(reject))}", file=sys.stderr)
    if len(rejects) > LISTED:
        print(f"… and {len(rejects) - LISTED:,} more", file=sys.stderr)


def print_notes(
    problems: Sequence[object], notes: Sequence[str], sample_notes: Sequence[str] = (), kind: str = "images"
) -> None:
    """Print what of a label table was left out, and what of it and of samples was taken for what, on standard error."""
    for problem in problems:
        print(f"left out: {show(str(problem))}", file=sys.stderr)
    for note in notes:
        print(f"labels: {show(note)}", file=sys.stderr)
    for note in sample_notes:
        print(f"{kind}: {show(note)}", file=sys.stderr)


def add_recipe_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --config and --set, which every command that reads a recipe takes."""
    group = parser.add_argument_group("recipe")
    group.add_argument("--config", metavar="FILE", help="recipe file (default: configs/default.yaml)")
    text = "change a setting of the recipe, as in --set training.epochs=5; may be given several times"
    group.add_argument("--set", metavar="KEY.PATH=VALUE", action="append", default=[], dest="sets", help=text)
    text = "print all settings, each with where its value comes from, and stop"
    group.add_argument("--print-config", action="store_true", help=text)


def stop_after_print(options: argparse.Namespace, recipe: Recipe, member: MemberSettings | None = None) -> None:
    """Print the merged settings and exit, where --print-config asks for that; with a member, those of its training."""
    if options.print_config:
        from hpa_hier.settings.merged import describe_merged

        print(describe_merged(recipe, member))
        sys.exit(0)


def change_text(key: str, text: str) -> str:
    """Return a change of the recipe, its value a YAML string, so that a path such as 2024 is not read as a number.

    >>> change_text("run", "2024"), change_text("taxonomy", "Anna's.yaml")
    ("run='2024'", "taxonomy='Anna''s.yaml'")
    """
    quoted = text.replace("'", "''")
    return f"{key}='{quoted}'"


def name_run(text: str) -> list[str]:
    """Return the changes of the recipe that --run makes: a name, or a folder anywhere.

    >>> name_run("mine"), name_run("/data/runs/mine")
    (["run='mine'"], ["run='mine'", "artifacts='/data/runs'"])
    """
    folder = Path(text)
    if len(folder.parts) < 2:
        return [change_text("run", text)]
    return [change_text("run", folder.name), change_text("artifacts", str(folder.parent))]


def load_run_recipe(config: str | None, sets: Sequence[str], changes: Mapping[str, str]) -> Recipe:
    """Load the recipe of --config; where none is named, the one that the run keeps, else the default.

    Args:
        config: the file.
        sets: changes of --set.
        changes: those that other flags make, each with the flag as typed.
    """
    from hpa_hier.settings.recipe_file import load_recipe

    recipe = load_recipe(config, sets, changes)
    kept = Path(recipe.artifacts, recipe.run, "config.yaml")
    return load_recipe(str(kept), sets, changes) if config is None and kept.is_file() else recipe


def run(main: Callable[[Sequence[str]], int | None]) -> NoReturn:
    """Run a command's `main` on the program's arguments and exit with its status.

    A UserError is printed on standard error in its one or two lines, with status 2, and so is what the machine refuses
    (no room, no right, a broken disk); a bug keeps its traceback. No control character of a name reaches the terminal.
    """
    atexit.register(gc.freeze)  # Python's last look for garbage goes over all that PyTorch made: a tenth of a `predict`
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends quietly
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows "?"
    try:
        with redirect_stdout(shown_stream(sys.stdout)):
            status = main(sys.argv[1:]) or 0
    except UserError as error:
        print(f"error: {show_error(str(error))}", file=sys.stderr)
        status = EXIT_USER
    except (OSError, RuntimeError, MemoryError) as error:
        refused = describe_refusal(error)
        if refused is None:
            raise
        print(f"error: {show_error(one_line(refused))}", file=sys.stderr)
        status = EXIT_USER
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        status = EXIT_INTERRUPTED
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(status)


def one_thread_a_process() -> None:
    """Keep numeric libraries to one thread, and torch to what is an error; call before they are imported.

    Threads that wait for each other on a busy machine cost up to 14 times the work; processes side by side do not.
    """
    keep_to_one_thread()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looking for them reads every installed package
    # Where a process of several is gone, one line says so, instead of pages of torch's own.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
