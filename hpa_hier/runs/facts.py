"""run.json: the pack, the split and the taxonomy that a run was begun with."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from hpa_hier.errors import UserError
from hpa_hier.files.atomic import read_json

RUN_FILE = "run.json"


class RunFacts(BaseModel):
    """What run.json holds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    pack: str  # folder
    pack_digest: str
    split_digest: str
    taxonomy: str  # name of the label tree
    simulated: bool = False


def read_run_facts(folder: Path) -> RunFacts | None:
    """Read run.json of a run; None where no training has begun there.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        return None
    try:
        return RunFacts.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{path}: is damaged ({'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}); give another name "
            "with --run"
        ) from None
