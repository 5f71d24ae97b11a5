"""Command: list the recipes that come with the package, and copy one to where it can be edited."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from hpa_hier.cli.command import Parser, path

_COPY = """Copy a shipped recipe to where it can be edited.

A file that is there already is never overwritten. What a recipe does not name has its default: `hpa-hier settings`."""


def parser() -> Parser:
    """Build the parser of both sub-commands."""
    whole = Parser("recipe", "List the recipes that come with the package, and copy one to edit it.")
    whole.add_command("list", "List the shipped recipes, each with what it is for.")
    copy = whole.add_command("copy", _COPY)
    copy.add_argument("name", metavar="NAME", help="of the recipe, such as few_images")
    copy.add_argument("--out", metavar="FILE", type=path, help="file to write (default: NAME.yaml in this folder)")
    return whole


def main(arguments: Sequence[str]) -> int:
    """Run one of the sub-commands."""
    options = parser().parse_args(arguments)
    if options.command == "list":
        print("\n".join(_list_recipes()))
        return 0
    from hpa_hier.files.shell import command
    from hpa_hier.files.shipped import copy_shipped
    from hpa_hier.settings.recipe_file import load_recipe

    written = copy_shipped(options.name, "configs", options.out)
    recipe = load_recipe(str(written))
    pack = None if recipe.data.pack else "my_pack"
    print(f"wrote {written}; edit it, and train by it:")
    print(command("train", "--all", config=written, data=pack, run="mine"))
    return 0


def _list_recipes() -> list[str]:
    """Return a line for each shipped recipe: its name, and the first sentence of its file; folders by name alone."""
    from hpa_hier.files.shipped import find_shipped, shipped_names

    paths = [Path(name) for name in shipped_names() if name.startswith("configs/")]
    own = [one.stem for one in paths if len(one.parts) == 2]
    width = max(map(len, own))
    lines = [f"{name:{width}}  {_first_sentence(find_shipped(name))}" for name in own]
    for folder in sorted({one.parent for one in paths if len(one.parts) > 2}):
        names = ", ".join(one.stem for one in paths if one.parent == folder)
        lines += ["", f"{folder}/NAME.yaml, for NAME one of"]
        lines += textwrap.wrap(names, 118, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)
    return lines


def _first_sentence(file: Path) -> str:
    """Return the first sentence of the comment that a recipe begins with."""
    words: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("# ") or line.startswith("#  "):
            break
        words += line.removeprefix("# ").split("   ")[0].split()  # what stands further right is a command
    return f"{' '.join(words)} ".partition(". ")[0].strip().rstrip(".")
