"""Command: export a member alone."""

from __future__ import annotations

from collections.abc import Sequence

from hpa_hier.cli.command import Parser, add_recipe_arguments, one_thread_a_process
from hpa_hier.cli.ensemble.arguments import add_run_argument, open_run
from hpa_hier.cli.ensemble.export import add_export_arguments

_EXPORT = """Export a trained member alone, as a folder that answers without this program.

What it answers are its network's logits, and their logistic function: probabilities that are not calibrated, without
thresholds. `ensemble export` has both. With --format safetensors the folder holds the weights as torch takes them."""


def parser() -> Parser:
    """Build the parser of all sub-commands."""
    whole = Parser("members", "Work with trained members one by one.")
    one = whole.add_command("export", _EXPORT)
    add_run_argument(one, "the recipe's")
    one.add_argument("--member", metavar="NAME", required=True, help="name of the member, as in the run's members/")
    add_export_arguments(one, ("onnx", "openvino", "safetensors"))
    add_recipe_arguments(one)
    return whole


def main(arguments: Sequence[str]) -> int:
    """Run the sub-command and return the exit status."""
    options = parser().parse_args(arguments)
    one_thread_a_process()
    opened = open_run(options, fitted=False)
    from hpa_hier.predict.export.folder import export_member

    difference = export_member(opened, options.member, options.out, options.format, options.overwrite)
    how = (
        ""
        if options.format == "safetensors"
        else f": probabilities of drawn samples differ by {difference:.1g} at most"
    )
    print(f"wrote {options.out}{how}; its README.md says how to use it")
    return 0
