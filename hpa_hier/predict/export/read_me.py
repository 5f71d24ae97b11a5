"""The page for people in an exported folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpa_hier.ensemble.steps.ensemble import Combination

_INSTALL = {"onnx": "pip install numpy onnxruntime", "openvino": "pip install numpy openvino"}


def describe_folder(about: Mapping[str, Any], combination: Combination | None) -> str:
    """Return README.md of an exported folder.

    Args:
        about: what its export.json says.
        combination: of its members; None: it holds weights alone.
    """
    parts = [f"# {about['name']}, exported from hpa_hier {about['made_by']['hpa_hier']}"]
    parts += [f"**Bear in mind:** {about['caution']}."] if about["caution"] else []
    samples = about["samples"]
    if combination is None:
        parts += [
            "`model.safetensors` are the weights of a network, `member.json` says which one it is, what it answers for "
            "and what it takes. To start a training from it: `hpa-hier train --all --set training.weights=FILE`."
        ]
        return "\n\n".join(parts) + "\n"
    tables = "shape" not in samples
    parts += [_describe_use(about, tables), _describe_samples(samples), _describe_answers(about, combination)]
    parts += [_describe_files(about, tables)]
    return "\n\n".join(parts) + "\n"


def _describe_use(about: Mapping[str, Any], tables: bool) -> str:
    given = "combine({name: scores, …})" if tables else "answer(samples)"
    install = "pip install numpy" if tables else _INSTALL[str(about["format"])]
    return f"""```sh
{install}
```

```python
from reader import Reader

answer = Reader("this folder").{given}
```"""


def _describe_samples(samples: Mapping[str, Any]) -> str:
    if "shape" not in samples:
        return (
            "`scores` are arrays (B, n) of what the other models said, probabilities or logits as they were fitted, "
            "columns as `members` in `combination.json`; every model has to know every sample."
        )
    if "features" in samples:
        return f"`samples` is an array (B, {samples['shape'][0]}) of float32, columns as `features` in `export.json`."
    channels, side = ", ".join(samples["channels"]), samples["shape"][1]
    missing = ", ".join(samples["may_be_missing"])
    lacking = f" Zeros stand for {missing}, where an image lacks it." if missing else ""
    how = {
        "percentile": "each channel's 0.1 and 99.9 percentiles become 0 and 255",
        "depth": "16 bits are divided by 257",
    }[samples["intensity"]]
    return f"""`samples` is an array (B, {len(samples["channels"])}, {side}, {side}) of uint8: the channels {channels}.
Each is shrunk to {side} pixels by areas and then made 8 bits: {how}.
Zeros around an image make it square.{lacking}
`example.py` does all that with Pillow, to the last bit as hpa_hier's `predict`:

```sh
python example.py {" ".join(f"one_{channel}.png" for channel in samples["channels"])}
```"""


def _describe_answers(about: Mapping[str, Any], combination: Combination) -> str:
    rows = [f"- `probs`: (B, {len(combination.nodes)}), columns as `nodes` in `combination.json`;"]
    if "logits" in combination.outputs:
        rows += ["- `logits`: the same before the logistic function."]
    if "present" in combination.outputs:
        rows += [
            "- `present`: the same of booleans, closed: a group is present where anything below it is;",
            "- `labels`, `groups`: for each sample, the names of leaves and of groups that are present"
            + (";" if "safe" in combination.outputs else "."),
        ]
    if "safe" in combination.outputs:
        rows += ["- `safe`: (B, 1), the deepest name that is right as often as asked, or `unsure`."]
    elif about["no_safe_answers"]:
        rows += ["", f"There is {about['no_safe_answers']}."]
    return "\n".join(["The answers:", "", *rows])


def _describe_files(about: Mapping[str, Any], tables: bool) -> str:
    rows = {
        "`combination.json`": "how logits become answers: operations on arrays, one after another, as data",
        "`reader.py`": "follows them; its checksums are in `export.json`",
    }
    if about["kind"] == "ensemble":
        rows["`ensemble/`, `run.json`"] = "the same as hpa_hier keeps it, and the label tree (`taxonomy.yaml`)"
    if not tables:
        rows["`members/`"] = f"networks ({about['format']}), normalisation and head included, and what each one is"
    table = "\n".join(f"| {name} | {what} |" for name, what in rows.items())
    own = "hpa-hier predict IMAGES --run FOLDER" if "channels" in about["samples"] else ""
    ends = f"\n\nWhere hpa_hier is installed, `{own}` answers by this folder, without torch." if own else ""
    return f"| file | holds |\n| --- | --- |\n{table}{ends if about['kind'] == 'ensemble' else ''}"
