"""Commands that the program prints: each is one that the real parser takes."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from tiny_run import TAXONOMY, write_tiny

from hpa_hier.cli.command import change_text
from hpa_hier.cli.main import COMMANDS, SHORT
from hpa_hier.errors import UserError
from hpa_hier.runs.run import Run

ROOT = Path(__file__).resolve().parents[1]
START = re.compile(r"(?:python -m hpa_hier[. ]|(?<![\w/-])hpa-hier )(?=[a-z])")


@cache
def help_for(*words: str) -> str:
    """Return the help of a command, which lists its flags."""
    parser = import_module(f"hpa_hier.cli.{words[0]}").parser()
    if not parser.summaries:
        return str(parser.format_help())
    if len(words) == 1 or words[1] not in parser.summaries:
        return str(parser.format_help()) if len(words) == 1 else ""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        parser.parse_args([words[1], "--help"])
    return printed.getvalue()


def unknown_flags(words: list[str]) -> list[str]:
    """Return what no parser knows among a command's words: the command itself, or its flags."""
    words = [SHORT[words[0]], *words] if words[0] in SHORT else words
    if words[0] not in COMMANDS:
        return words[:1]
    has_verb = (
        len(words) > 1
        and re.fullmatch(r"[a-z]+", words[1])
        and words[0] in ("taxonomy", "data", "ensemble", "members", "recipe")
    )
    text = help_for(*words[: 2 if has_verb else 1])
    flags = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
    return sorted(flag for flag in flags if not re.search(rf"{flag}\b(?!-)", text)) if text else words[:2]


def printed_texts() -> Iterator[tuple[str, str]]:
    """Yield each text of the package that names a command, with its place; what is filled in stands as X."""
    for path in sorted((ROOT / "hpa_hier").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values]
                yield f"{path.relative_to(ROOT)}:{node.lineno}", "".join(parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value


def test_every_command_named_in_a_message_has_the_flags_it_is_named_with() -> None:
    found = 0
    for place, text in printed_texts():
        for match in START.finditer(text):
            words = re.split(r"[`\"'\n;,)(…{]|  ", text[match.end() :])[0].split()
            found += 1
            assert unknown_flags(words) == [], f"{place}: {text[match.start() :][:100]}"
    assert found > 10


def test_every_command_line_that_is_made_has_flags_of_its_parser() -> None:
    found = 0
    for path in sorted((ROOT / "hpa_hier").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "command"):
                continue
            words = [str(one.value) for one in node.args if isinstance(one, ast.Constant)]
            if words and words[0] in COMMANDS:
                found += 1
                flags = [f"--{one.arg.replace('_', '-')}" for one in node.keywords if one.arg]
                assert unknown_flags([*words, *flags]) == [], f"{path.relative_to(ROOT)}:{node.lineno}"
    assert found > 5


PRINTED = re.compile(r"python -m hpa_hier\.[^`\n)]*")


def call(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run a command as the program does, and return all it says, a user's mistake too."""
    name, *rest = map(str, words)
    try:
        import_module(f"hpa_hier.cli.{name}").main(rest)
        mistake = ""
    except UserError as error:
        mistake = str(error)
    printed = capsys.readouterr()
    return "\n".join((printed.out, printed.err, mistake))


def paste(capsys: pytest.CaptureFixture[str], text: str, home: Path) -> list[str]:
    """Run every command that a text shows, and return what they say; `home` is where nothing may be written."""
    said = []
    for line in dict.fromkeys(PRINTED.findall(text)):
        _, _, module, *words = shlex.split(line)
        said.append(call(capsys, module.removeprefix("hpa_hier."), *words))
        assert not (home / "artifacts").exists(), line
    return said


MEMBERS = [
    {"name": "leaf", "level": "leaf"},
    {"name": "coarse", "level": "coarse", "training": {"start_from": "leaf"}},
    {"name": "inside", "group": "Inside"},
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab's folder with a pack, a tree and a run that was begun in it by relative paths."""
    lab = tmp_path_factory.mktemp("labs") / "mein Lab ö"
    recipe = write_tiny(lab, count=80, members=MEMBERS, training={"epochs": 1, "width": 2})
    recipe.write_text(recipe.read_text().replace(f"{lab}/", ""))
    with contextlib.chdir(lab):
        flags = ["--config", "recipe.yaml", "--run", "mine", "--device", "cpu", "--jobs", "1"]
        assert import_module("hpa_hier.cli.train").main(["--all", *flags]) == 0
    return lab


@pytest.fixture
def lab(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it under a name with a space and an umlaut; commands are typed in another folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return Path(shutil.copytree(trained, tmp_path / trained.name))


def test_commands_that_are_printed_after_an_edit_of_the_tree_end_at_a_fitted_ensemble(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, here = lab / "artifacts" / "mine", tmp_path / "elsewhere"
    assert "wrote " in call(capsys, "ensemble", "fit", "--run", run)
    edited = tmp_path / "tree's edit.yaml"
    text = TAXONOMY.replace("    Rings: {label: 1}\n", "").replace("  Outside:\n", "  Außen:\n    Rings: {label: 1}\n")
    edited.write_text(text)
    checked = call(capsys, "taxonomy", "check", edited, "--run", run)
    refused = call(capsys, "ensemble", "fit", "--run", run, "--set", change_text("taxonomy", str(edited)))
    assert PRINTED.findall(checked) == PRINTED.findall(refused)
    assert all("written to" in said for said in paste(capsys, checked, here))
    fitted = call(capsys, "ensemble", "fit", "--run", run)
    assert f"wrote {run / 'ensemble' / 'ensemble.json'}" in fitted
    assert Run.open(run).ensemble.taxonomy.level("coarse") == ("Inside", "Außen")
    assert "up to date" in call(capsys, "taxonomy", "check", edited, "--run", run)


@pytest.mark.parametrize("by_check", [True, False])
def test_a_leaf_that_was_added_is_answered_for_after_the_printed_commands(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], by_check: bool
) -> None:
    run, here = lab / "artifacts" / "mine", tmp_path / "elsewhere"
    added = tmp_path / "added.yaml"
    added.write_text(TAXONOMY + "    Spots: {label: 9}\n")
    if by_check:
        said = call(capsys, "taxonomy", "check", added, "--run", run)
        assert "no member answers for Spots: that needs one of them again, such as leaf" in said
    else:
        said = call(capsys, "ensemble", "fit", "--run", run, "--taxonomy", added)
        paste(capsys, said, here)
        said = call(capsys, "ensemble", "fit", "--run", run)
        assert "no member answers for the leaf 'Spots'; train one that does:" in said
    pasted = paste(capsys, said, here)
    assert pasted
    assert all("written to" in one for one in pasted)
    assert "wrote " in call(capsys, "ensemble", "fit", "--run", run)


def test_members_that_are_lacking_are_trained_by_the_printed_command(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, here = lab / "artifacts" / "mine", tmp_path / "elsewhere"
    (run / "members" / "coarse" / "member.json").unlink()
    (run / "members" / "leaf" / "member.json").unlink()
    refused = call(capsys, "ensemble", "fit", "--run", run, "--set", "ensemble.members=[coarse, leaf]")
    assert "2 of 2 members are not trained: coarse, leaf" in refused
    assert "coarse starts from leaf, which is trained first" in paste(capsys, refused, here)[0]
    assert "wrote " in call(capsys, "ensemble", "fit", "--run", run)
    evaluated = call(capsys, "report", "--run", run)
    assert "wrote" in paste(capsys, evaluated, here)[0]


def test_an_ensemble_does_not_silently_ignore_a_setting(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = lab / "artifacts" / "mine"
    call(capsys, "ensemble", "fit", "--run", run)
    for command in (("predict", "--out", "x"), ("explain", "drawn0001")):
        said = call(capsys, "ensemble", *command, "--images", lab, "--run", run, "--set", "taxonomy=hela")
        assert "--set taxonomy=hela: an ensemble answers as it was fitted; fit it again with this: python -m" in said
