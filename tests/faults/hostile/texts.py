"""Taxonomies, recipes and --set of others: changed at random, and made to cost much."""

from __future__ import annotations

import random
import re
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faults.forked import call
from faults.tally import Tally
from faults.world import RECIPE
from tiny_run import TAXONOMY

SECONDS = 2.0  # of processor time that a text may take
LONGEST = 1600  # characters of a line of an error, as `show_error` bounds it
_BATCH = 250  # texts that one child reads
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
_GRAPH = """taxonomy: g
description: a graph
levels: {coarse: 1, middle: 2, leaf: leaves}
tree:
  A:
    open: true
    label: 90
    A1: {A1a: {label: 1, go: "GO:0005794"}, A1b: {label: 2, description: "text: 1"}}
    A2: {label: 3, also_under: [B]}
  B:
    B1:
      B1a: {label: b, also_under: [A, A1]}
    B2: {label: "07"}
virtual: {has_x: [A2, B2]}
"""
_TOKENS = (
    *("null", "~", "true", "no", "-1", "0", "1e309", "1e-400", ".inf", ".nan", "nan", "9" * 20, "9" * 400, "1" * 5000),
    *("[]", "{}", "[[]]", "{a: {b: c}}", "''", '""', "'", '"', "&a", "*a", "!!python/object/apply:os.system [id]"),
    *(
        "!!binary aGk=",
        "<<",
        "? x",
        "- ",
        ": ",
        "#",
        "|",
        ">",
        "\t",
        "\u2028",
        "\x85",
        "\ufeff",
        "\U0001f600",
        "\u202e",
    ),
    *("%TAG ! x", "---", "...", "a: a: a", "x" * 3000, "0x1f", "0o7", "1_000", "2024-01-01", "12:30:00", "="),
    *(
        "[1, 2",
        "{a: 1",
        "\\",
        "\\x00",
        '"\\u0000"',
        '"\\ud800"',
        "../../etc/passwd",
        "/dev/zero",
        "label",
        "open",
        "also_under",
    ),
    *("tree", "leaves", "all", "\x1b[2J", "auto", "sklearn", "1e400", "{}: {}", "exclusive", "members", "${HOME}"),
)
_BLOCKS = ("training", "data", "ensemble", "simulate", "split", "report", "members", "partition", "members.0")


def change_text(text: str, rng: random.Random) -> str:
    """Change a text as a person or a machine might: a byte, a line, a word, an indentation, a token anywhere."""
    lines = text.split("\n")
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        kind, row = rng.random(), rng.randrange(len(lines))
        if kind < 0.18:
            content = bytearray("\n".join(lines).encode("utf-8", "surrogateescape"))
            if content:
                content[rng.randrange(len(content))] = rng.randrange(256)
            lines = content.decode("utf-8", "surrogateescape").split("\n")
        elif kind < 0.30:
            lines.insert(rng.randrange(len(lines) + 1), lines[row])
        elif kind < 0.38 and len(lines) > 2:
            del lines[row]
        elif kind < 0.48:
            lines[row] = " " * rng.randint(0, 9) + lines[row].strip()
        elif kind < 0.80:
            words = re.split(r"(\s+|[:{}\[\],])", lines[row])
            words[rng.randrange(len(words))] = rng.choice(_TOKENS)
            lines[row] = "".join(words)
        elif kind < 0.90:
            lines[row] = f"{lines[row].split(':')[0]}: {rng.choice(_TOKENS)}"
        else:
            whole = "\n".join(lines)
            place = rng.randrange(len(whole) + 1)
            lines = (whole[:place] + rng.choice(_TOKENS) + whole[place:]).split("\n")
    return "\n".join(lines)


def try_texts(scratch: Path, kind: str, times: int, seed: int = 7) -> Tally:
    """Read changed texts of a kind (taxonomy, recipe or set): each is taken, or refused in one bounded line, at once.

    What is taken can be written and read back as the same.
    """
    tally = Tally()
    for number, start in enumerate(range(0, times, _BATCH)):
        size = min(_BATCH, times - start)
        failures = call(lambda size=size, number=number: _read_batch(scratch, kind, size, f"{seed}{kind}{number}"))
        tally.tries += size
        tally.failures += failures
    return tally


def _read_batch(scratch: Path, kind: str, times: int, seed: str) -> list[str]:
    rng = random.Random(seed)
    base = list(_list_bases(kind))
    recipe = scratch / "kept.yaml"
    recipe.write_text(RECIPE.format(home=scratch))
    failures = []
    for _ in range(times):
        if kind == "set":
            path = ".".join(filter(None, (rng.choice((*_BLOCKS, "")), rng.choice((*base, *_TOKENS)))))
            given = path + rng.choice(("=", "=", "=", "", "==")) + rng.choice(_TOKENS)
        else:
            given = change_text(rng.choice(base), rng)
        if found := _judge_one(scratch, kind, given, recipe):
            failures.append(f"{kind}: {found}: {given[:600]!r}")
    return failures


def _list_bases(kind: str) -> Iterator[str]:
    from hpa_hier.files.shipped import find_shipped

    if kind == "taxonomy":
        yield from (TAXONOMY, _GRAPH, TAXONOMY, _GRAPH)
        yield "\n".join(find_shipped("hpa28", "hierarchy").read_text().splitlines()[:60])
    elif kind == "recipe":
        yield from (RECIPE, RECIPE, find_shipped("demo").read_text(), find_shipped("estimators").read_text())
    else:
        for line in find_shipped("demo").read_text().splitlines():
            if ":" in line and not line.startswith("#"):
                yield line.split(":")[0].strip(" -")


def _read(scratch: Path, kind: str, given: str, recipe: Path) -> Any:
    """Read a text as the program does."""
    from hpa_hier.settings.recipe_file import load_recipe
    from hpa_hier.taxonomy import Taxonomy

    path = scratch / "changed.yaml"
    if kind == "set":
        return load_recipe(str(recipe), [given])
    path.write_bytes(_encode(given))
    return Taxonomy.load(path) if kind == "taxonomy" else load_recipe(str(path))


def _read_again(scratch: Path, taken: Any) -> None:
    """Write and read again what a text was taken for."""
    from hpa_hier.settings.recipe_file import load_recipe, recipe_yaml
    from hpa_hier.taxonomy import Taxonomy

    if isinstance(taken, Taxonomy):
        assert taken.closure.shape == (len(taken.nodes),) * 2
        for level in taken.levels:
            taken.level(level)
        assert Taxonomy.from_text(taken.text, "again").nodes == taken.nodes
    else:
        path = scratch / "again.yaml"
        path.write_text(recipe_yaml(taken), encoding="utf-8")
        assert load_recipe(str(path)) == taken, "not read back as the same"


def _encode(text: str) -> bytes:
    escapes = any(0xDC80 <= ord(sign) <= 0xDCFF for sign in text)
    return text.encode("utf-8", "surrogateescape" if escapes else "surrogatepass")


def _judge_one(scratch: Path, kind: str, given: str, recipe: Path) -> str:
    """Judge a text up to three times: a second of a processor does less where others share it."""
    for _ in range(3):
        found = judge(lambda: _read(scratch, kind, given, recipe), lambda taken: _read_again(scratch, taken))
        if not found.endswith(" s"):
            break
    return found


def judge(read: Callable[[], Any], check: Callable[[Any], None]) -> str:
    """Return what is wrong with how a text was taken or refused; "" where nothing is.

    Args:
        read: whose processor time counts.
        check: of what it returns.
    """
    from hpa_hier.errors import UserError
    from hpa_hier.files.faults.shown import show_error

    began = time.process_time()
    try:
        taken = read()
        seconds = time.process_time() - began
        check(taken)
    except UserError as error:
        shown = show_error(str(error))
        if shown.count("\n") > 1:
            return f"refused in {shown.count(chr(10)) + 1} lines: {shown[:200]!r}"
        if max(map(len, shown.split("\n"))) > LONGEST:
            return f"refused in a line of {len(shown):,} characters"
        if _CONTROL.search(shown):
            return f"control characters in the error: {shown[:200]!r}"
        seconds = time.process_time() - began
    except BaseException:
        return traceback.format_exc()[-700:]
    return f"{seconds:.1f} s" if seconds > SECONDS else ""


def list_bombs() -> Iterator[tuple[str, str]]:
    """Yield texts that are small and made to cost much, each with its name."""
    head = "taxonomy: t\nlevels: {leaf: leaves}\ntree:\n"
    most = 499_000

    def wide(count: int, form: str = "n{}") -> str:
        return head + "".join(f"  {form.format(i)}: {{label: {i}}}\n" for i in range(count))

    yield "aliases of aliases", "a: &a [x,x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1 or ''}]\n" for i in range(1, 9))
    yield "merges", "a: {<<: {b: 1}}\n"
    for name, unit in (("lists in lists", "["), ("maps in maps", "{a: "), ("dashes", "- "), ("question marks", "? ")):
        yield name, "a: " + unit * (most // len(unit))
    yield "blocks in blocks", "".join(" " * i + "a:\n" for i in range(1400))
    yield "a long quoted text", 'a: "' + "x" * 2 * most + '"'
    yield "escapes", 'a: "' + "\\u0041" * (most // 3) + '"'
    yield "a long plain text", "a: " + "x\n " * (most // 2)
    yield "a long literal", "a: |\n" + "  x\n" * (most // 2)
    yield "comments", "#\n" * most
    yield "empty lines", "\n" * 2 * most
    yield "keys", "".join(f"k{i}: 1\n" for i in range(100_000))
    yield "one key often", "a: 1\n" * (most // 3)
    yield "list items", "a:\n" + "- 1\n" * (most // 2)
    yield "flow items", "a: [" + "1," * most + "1]"
    yield "flow maps", "a: [" + "{a: 1}," * (most // 4) + "]"
    yield "documents", "---\n" * (most // 2)
    yield "a long key", "x" * 2 * most + ": 1"
    yield "a long anchor", "a: &" + "x" * 2 * most + " 1"
    yield "a long tag", "a: !" + "x" * 2 * most + " 1"
    yield "a long alias", "a: *" + "x" * 2 * most
    yield "a long directive", "%" + "x" * 2 * most
    for name, unit in (("colons", ": "), ("quotes", "''"), ("tabs", "\t"), ("percents", "%"), ("returns", "\r")):
        yield name, unit * (2 * most // len(unit))
    yield "byte order marks", "\ufeff" * 300_000
    yield "8,000 nodes", wide(8000)
    yield "40,000 nodes", wide(40_000, "{:x}")[:999_000].rsplit("\n", 1)[0] + "\n"
    deep = "  g: {x: {label: x}}\n"
    parents = [f"  g{i}: {{l{i}: {{label: {i}}}, also_under: [{f'g{i - 1}' if i else 'g'}]}}\n" for i in range(4000)]
    yield "8,000 nodes deep", head + deep + "".join(parents)
    lost = [f"  n{i}: {{label: {i}, also_under: [gg{i}]}}\n" for i in range(8000)]
    yield "8,000 misspelt parents", head + deep + "".join(lost)
    circle = [f"  g{i}: {{l{i}: {{label: {i}}}, also_under: [g{(i + 1) % 4000}]}}\n" for i in range(4000)]
    yield "a circle of 4,000", head + "".join(circle)
    yield "70,000 misspelt fields", "".join(f"feild{i}: 1\n" for i in range(70_000))
    yield "one long label", head + f"  a: {{label: {'y' * most}}}\n"
    yield "aliases", head + "  a: {label: 1, aliases: [" + ",".join(f"a{i}" for i in range(90_000)) + "]}\n"
    yield "8,000 names alike", wide(8000, "name of a node that is long and nearly like others {}")


def try_bombs(scratch: Path) -> Tally:
    """Read each bomb as a taxonomy, a recipe and a --set, each in a child: within seconds, in a bounded line."""
    tally, recipe = Tally(), scratch / "kept.yaml"
    recipe.write_text(RECIPE.format(home=scratch))
    for name, text in list_bombs():
        for kind in ("taxonomy", "recipe", "set"):
            given = f"training={text}" if kind == "set" else text
            try:
                found = call(lambda given=given, kind=kind: _judge_one(scratch, kind, given, recipe), 120)
            except RuntimeError as error:
                found = str(error)
            tally.add(not found, f"{name} as {kind}: {found[:500]}")
    return tally
