"""The partition's virtual nodes: added to whatever the taxonomy file already holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpa_hier.data.labels.partition import add_partition_nodes
from hpa_hier.errors import UserError
from hpa_hier.taxonomy import Taxonomy

TEXT = "taxonomy: t\nlevels: {leaf: leaves}\ntree:\n  Nucleus: {Nucleoli: {label: 1}, Nucleoplasm: {label: 2}}\n"
SIDES = {"majority": ["Nucleoplasm"], "minority": ["Nucleoli"]}


@pytest.mark.parametrize("own", ["", "virtual: {has_rare: [Nucleoli]}\n", "...\n"])
def test_they_go_with_virtual_nodes_of_the_file(own: str) -> None:
    before = Taxonomy.from_text(TEXT + own)
    after = add_partition_nodes(before, SIDES)
    assert after.level("partition") == (*before.virtual, "has_majority", "has_minority")
    assert after.ancestors("Nucleoli")[-2:] == ("has_minority", "Nucleus")
    assert Taxonomy.from_text(after.text).entries == after.entries


def test_an_empty_side_gets_no_node() -> None:
    assert add_partition_nodes(Taxonomy.from_text(TEXT), {"majority": [], "minority": ["Nucleoli"]}).virtual == (
        "has_minority",
    )


def test_a_saved_taxonomy_that_has_them_already_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "saved.yaml"
    path.write_text(add_partition_nodes(Taxonomy.from_text(TEXT), SIDES).text)
    with pytest.raises(UserError, match=r"saved\.yaml: a node is already called 'has_majority'; rename it, or add no"):
        add_partition_nodes(Taxonomy.load(path), SIDES)
