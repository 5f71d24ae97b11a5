"""The wheel holds all it needs: taxonomies, recipes, the report's template."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(pip, check=True, timeout=240)
    with zipfile.ZipFile(next(folder.glob("hpa_hier-*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def _run(arguments: list[str], site: Path) -> subprocess.CompletedProcess[str]:
    elsewhere = site.parent
    environment = os.environ | {"PYTHONPATH": str(site)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=elsewhere, env=environment, capture_output=True, text=True, check=False
    )


def test_the_wheel_finds_its_own_taxonomies_and_recipes(unpacked: Path) -> None:
    where = _run(["-c", "import hpa_hier; print(hpa_hier.__file__)"], unpacked).stdout
    assert where.startswith(str(unpacked)), "the checkout was imported, not the wheel"
    for name in ("hpa28", "hpa28_organelle7", "hpa19_single_cell"):
        checked = _run(["-m", "hpa_hier.taxonomy", "check", f"hierarchy/{name}.yaml"], unpacked)
        assert checked.returncode == 0, checked.stderr
    code = "from hpa_hier.settings.recipe_file import load_recipe as r; print(r('configs/demo.yaml').run, r(None).run)"
    assert _run(["-c", code], unpacked).stdout.split() == ["demo", "default"]


def test_every_file_of_the_package_is_in_the_wheel(unpacked: Path) -> None:
    tracked = {path.relative_to(ROOT) for path in (ROOT / "hpa_hier").rglob("*") if path.is_file()}
    wanted = {path for path in tracked if "__pycache__" not in path.parts}
    missing = {str(path) for path in wanted if not (unpacked / path).exists()}
    assert missing == set()


def test_nothing_else_is_in_the_wheel(unpacked: Path) -> None:
    assert sorted(path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")) == ["hpa_hier"]
