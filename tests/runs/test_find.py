"""Finding and opening runs: what is no run is refused with those there are."""

from __future__ import annotations

from pathlib import Path

import pytest
from ensemble_run import TAXONOMY, SmallRun

from hpa_hier.errors import UserError
from hpa_hier.predict.fit_run import fit_run
from hpa_hier.runs.run import Run
from hpa_hier.settings.recipe_file import recipe_yaml
from hpa_hier.taxonomy import Taxonomy


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallRun:
    run = SmallRun(tmp_path)
    (run.folder / "config.yaml").write_text(recipe_yaml(run.recipe))
    monkeypatch.chdir(tmp_path)
    return run


def test_a_folder_that_is_no_run_is_refused_with_the_runs_there_are(small: SmallRun, tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "notes").mkdir()
    with pytest.raises(UserError, match=r"artifacts/notes: is no run, .*; runs under artifacts: small$"):
        Run.open("notes")
    with pytest.raises(UserError, match=r"gone: no such run under artifacts and no such folder; runs there: small$"):
        Run.open("gone")


def test_a_run_is_opened_by_name_and_by_folder_and_reads_each_thing_once(
    small: SmallRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    load = Taxonomy.load
    monkeypatch.setattr(Taxonomy, "load", classmethod(lambda cls, path: read.append(str(path)) or load(path)))
    for name in ("small", small.folder):
        run = Run.open(name)
        assert [member.name for member in run.members] == sorted(small.members)
        assert run.members is run.members
        assert all(member.stale(run.taxonomy) == () for member in run.members)
        assert run.pack is run.pack
        assert run.taxonomy.nodes == small.taxonomy.nodes
    assert sum("members" in str(path) for path in read) == 0  # the members share the run's taxonomy


def test_a_run_whose_taxonomy_file_is_gone_uses_its_own_copy(small: SmallRun) -> None:
    fit_run(Run.open("small"))
    small.file.unlink()
    run = Run.open("small")
    assert run.taxonomy.nodes == small.taxonomy.nodes
    assert run.ensemble.taxonomy.text == TAXONOMY
    with pytest.raises(UserError, match=r"nowhere\.yaml: no such file"):
        _ = Run.open("small", sets=["taxonomy=nowhere.yaml"]).taxonomy
