"""classifier.json: what a saved classifier has beside its run: its parameters, and the form of its labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict

from hpa_hier import __version__
from hpa_hier.classifier.labels import Form, Kind
from hpa_hier.classifier.trees import Tree
from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_model, write_json
from hpa_hier.taxonomy.tree import Taxonomy

FILE = "classifier.json"
Word: TypeAlias = bool | int | float | str  # what labels may be


class FormFile(BaseModel):
    """How labels are written; fields as `Form`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    words: dict[str, Word]
    node_of: list[tuple[Word | list[Word], str]]  # a word, or a path of words, and its node
    nodes: tuple[str, ...]
    dtype: str
    levels: int
    columns: tuple[Word | None, ...]
    frame: bool
    sparse: bool

    @classmethod
    def from_form(cls, form: Form) -> FormFile:
        """Return what a file keeps of a form, besides the taxonomy."""
        known = form.tree.node_of.items()
        node_of = [(list(word) if isinstance(word, tuple) else word, node) for word, node in known]
        fields = {name: getattr(form, name) for name in cls.model_fields if name != "node_of"}
        return cls.model_validate({**fields, "node_of": node_of})

    def to_form(self, taxonomy: Taxonomy) -> Form:
        """Return the form, in the words of the run's taxonomy."""
        node_of = {tuple(word) if isinstance(word, list) else word: node for word, node in self.node_of}
        fields = {name: getattr(self, name) for name in type(self).model_fields if name != "node_of"}
        return Form(**fields, tree=Tree(taxonomy, node_of))


class ClassifierFile(BaseModel):
    """What classifier.json holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    version: str = __version__  # of hpa_hier
    form: FormFile
    features: int
    feature_names: tuple[str, ...] | None
    given: bool  # whether the tree was given, and not told by the labels
    estimators: list[tuple[str, dict[str, Any], str]] | None  # name, training settings, nodes
    parameters: dict[str, Any]  # the others of the constructor

    def write(self, folder: Path) -> None:
        """Write classifier.json into a run's folder."""
        write_json(folder / FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> ClassifierFile:
        """Read classifier.json from a run's folder.

        Raises:
            UserError: it is not there, or was edited.
        """
        cure = "load a folder that HierarchicalClassifier.save wrote"
        if not (folder / FILE).is_file():
            raise UserError(f"{folder}: no saved classifier ({FILE} is missing); {cure}")
        return read_model(folder / FILE, cls, cure)
