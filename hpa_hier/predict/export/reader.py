"""Read an exported folder: `Reader(DIR).answer(samples)`; needs numpy and the runtime of its networks, nothing else."""

import json
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

CORE = cache(lambda: import_module("openvino").Core())  # one: as two end, they may leave no stack for signals
NAMES = "array interp add subtract multiply divide negative exp log log1p expm1 logaddexp tanh matmul maximum minimum"
NAMES += " where greater_equal equal logical_and"
OPERATIONS: dict[str, Any] = {name: getattr(np, name) for name in NAMES.split()} | {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "logit": lambda x: np.log(x / (1 - x)),
    "take": lambda x, columns: x[:, columns],
    "join": lambda *parts: np.concatenate(parts, axis=1),
    "largest": lambda x, groups: np.stack([x[:, group].max(axis=1) for group in groups], axis=1),
    "total": lambda x, groups: np.stack([x[:, group].sum(axis=1) for group in groups], axis=1),
    "best": lambda x: x.argmax(axis=1)[:, None],
    "row": lambda x, rows: np.array(rows)[x[:, 0]],  # -1 is the last
}


class Reader:
    """An exported ensemble, or a member alone: `about` says what it takes, `rules` how it answers."""

    def __init__(self, folder: str | Path) -> None:
        name, home = "export.json", Path(folder).resolve()
        try:
            self.about = json.loads((home / name).read_bytes())
            own, text = self.about.pop("checksum"), json.dumps(self.about, sort_keys=True, separators=(",", ":"))
            if sha256(text.encode()).hexdigest() != own:
                raise ValueError
            for name in ("combination.json", *self.about["files"], *self.about["networks"].values()):
                path = (home / name).resolve()
                if home not in path.parents or sha256(path.read_bytes()).hexdigest() != self.about["files"][name]:
                    raise ValueError
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise ValueError(f"{Path(folder, str(name))}: is not the file that was exported; export it again") from None
        self.rules = json.loads((home / "combination.json").read_bytes())
        self.networks = {name: self._open(Path(folder, file)) for name, file in self.about["networks"].items()}

    def _open(self, file: Path) -> Any:  # noqa: ANN401 - takes one sample, (1, ...), and gives [its logits, (1, n)]
        if file.suffix == ".xml":
            return CORE().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        session = import_module("onnxruntime").InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda sample: session.run(None, {"samples": sample})

    def answer(self, samples: np.ndarray) -> dict[str, Any]:
        """Answer for (B, C, S, S) uint8 images or (B, F) float32 vectors, each on its own; README.md says with what."""
        given, wanted = {"type": str(samples.dtype), "shape": [*samples.shape[1:]]}, self.about["samples"]
        if wanted | given != wanted:
            raise ValueError(f"samples: one is {given}, and must be {wanted}")
        return self.combine({n: np.vstack([f(x[None])[0].copy() for x in samples]) for n, f in self.networks.items()})

    def combine(self, logits: dict[str, np.ndarray]) -> dict[str, Any]:
        """Answer for what each network or other model said, by its name: (B, n), columns as in `rules["members"]`."""
        known, values = OPERATIONS | {"member": lambda name: np.asarray(logits[name], np.float64)}, list[Any]()
        with np.errstate(all="ignore"):
            for operation, inputs, *more in self.rules["steps"]:
                values.append(known[operation](*(values[i] for i in inputs), *more))
        found = {name: values[i] for name, i in self.rules["outputs"].items()}
        nodes, there = np.array(self.rules["nodes"]), found.get("present", ())
        return found | {one: [nodes[row & self.rules[one]].tolist() for row in there] for one in ("labels", "groups")}
