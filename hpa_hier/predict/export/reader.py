"""Read an exported folder: `Reader(DIR).answer(samples)`; needs numpy and the runtime of its networks, nothing else."""

import hashlib
import json
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

NAMES = "array interp add subtract multiply divide negative exp log log1p expm1 logaddexp tanh matmul maximum minimum"
NAMES += " where greater_equal equal logical_and"
OPERATIONS: dict[str, Callable[..., Any]] = {name: getattr(np, name) for name in NAMES.split()} | {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "logit": lambda x: np.log(x / (1 - x)),
    "take": lambda x, columns: x[:, columns],
    "join": lambda *parts: np.concatenate(parts, axis=1),
    "largest": lambda x, groups: np.stack([x[:, group].max(axis=1) for group in groups], axis=1),
    "total": lambda x, groups: np.stack([x[:, group].sum(axis=1) for group in groups], axis=1),
    "best": lambda x: x.argmax(axis=1)[:, None],
    "row": lambda x, rows: np.array(rows)[x[:, 0]],
}


class Reader:
    """An exported ensemble, or a member alone: `about` says what it takes, `rules` how it answers."""

    def __init__(self, folder: str | Path) -> None:
        self.about, self.rules = (json.loads(Path(folder, f"{n}.json").read_bytes()) for n in ("export", "combination"))
        for name, digest in self.about["files"].items():
            if hashlib.sha256(Path(folder, name).read_bytes()).hexdigest() != digest:
                raise ValueError(f"{Path(folder, name)}: is not the file that was exported; export it again")
        self.networks = {name: self._open(str(Path(folder, file))) for name, file in self.about["networks"].items()}

    def _open(self, file: str) -> Callable[[np.ndarray], np.ndarray]:
        runtime = import_module(self.about["format"].replace("onnx", "onnxruntime"))
        if self.about["format"] == "openvino":
            model = runtime.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            return lambda samples: np.array(model(samples)[0])
        session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda samples: np.asarray(session.run(None, {"samples": samples})[0])

    def answer(self, samples: np.ndarray) -> dict[str, Any]:
        """Answer for (B, C, S, S) uint8 images or (B, F) float32 vectors, each on its own; README.md says with what."""
        wanted, given = self.about["samples"], {"type": str(samples.dtype), "shape": list(samples.shape[1:])}
        if {name: wanted[name] for name in given} != given:
            raise ValueError(f"samples: one is {given}, and must be {wanted}")
        return self.combine({n: np.concatenate([run(x[None]) for x in samples]) for n, run in self.networks.items()})

    def combine(self, logits: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Answer for what each network or other model said, by its name: (B, n), columns as in `rules["members"]`."""
        known, values = OPERATIONS | {"member": lambda name: np.asarray(logits[name], np.float64)}, list[Any]()
        with np.errstate(all="ignore"):
            for operation, inputs, *more in self.rules["steps"]:
                values.append(known[operation](*(values[i] for i in inputs), *more))
        found, nodes = {name: values[i] for name, i in self.rules["outputs"].items()}, np.array(self.rules["nodes"])
        for kind in ("labels", "groups"):  # of each sample, the names of those that are present
            found[kind] = [nodes[row & self.rules[kind]].tolist() for row in found.get("present", ())]
        return found
