"""Command: export a fitted ensemble as a folder that answers without this program."""

from __future__ import annotations

import argparse

from hpa_hier.cli.command import Parser, path
from hpa_hier.cli.ensemble.arguments import add_prior_argument, add_run_argument, open_run
from hpa_hier.files.shell import command

DESCRIPTION = """Export a fitted ensemble as a folder that answers without this program, and without torch.

In the folder: each member's network, and as data all that makes answers of what the networks say (calibration,
combination, coherence, thresholds, closure, safe answers). reader.py answers by it with numpy and the runtime alone,
example.py reads image files, README.md says how. Probabilities are those of `predict` to 1e-5, and labels the same.
`hpa-hier predict IMAGES --run DIR` answers by the folder too. docs/howto/export.md says more."""


def add_flags(one: Parser) -> None:
    """Add the command's flags."""
    add_run_argument(one, "the run whose ensemble was fitted last; pretrained: the bundled one")
    add_export_arguments(one, ("onnx", "openvino"))
    add_prior_argument(one)


def add_export_arguments(one: Parser, formats: tuple[str, ...]) -> None:
    """Add --format, --out and --overwrite."""
    add = one.add_argument
    runtimes = {"onnx": "for ONNX Runtime", "openvino": "for OpenVINO", "safetensors": "weights for torch, no reader"}
    text = f"of the networks: {', '.join(f'{name} ({runtimes[name]})' for name in formats)} (default: onnx)"
    add("--format", choices=formats, default="onnx", help=text)
    add("--out", metavar="DIR", type=path, required=True, help="folder to write, whole or not at all")
    add("--overwrite", action="store_true", help="replace a folder that was exported before")


def run(options: argparse.Namespace) -> int:
    """Export, and say how near the folder's answers are."""
    opened = open_run(options, fitted=True)
    from hpa_hier.predict.export.folder import export_ensemble

    difference = export_ensemble(opened, options.out, options.format, options.overwrite, options.prior)
    print(f"wrote {options.out}: probabilities of drawn samples differ by {difference:.1g} at most")
    if kind := (opened.ensemble.about.get("images") or {}).get("kind"):
        predict = command("ensemble", "predict", run=options.out, **{kind: "FILE" if kind == "vectors" else "DIR"})
        print(f"its README.md says how it answers alone; with this program:\n  {predict}")
    return 0
