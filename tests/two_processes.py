"""Two processes of one training, forked from a server that has imported all, with torchrun's variables."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

from tiny_run import plan_tiny

if TYPE_CHECKING:
    from hpa_hier.training.assemble import Assembly
    from hpa_hier.training.processes.team import Team


def start_two(folder: Path, work: Callable[..., int | None], *arguments: object) -> list[BaseProcess]:
    """Start `work(*arguments)` twice, each with the variables of its rank; what rank R prints is in folder/R.log."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hpa_hier.training.train_member", "hpa_hier.settings.recipe_file"])
    folder.mkdir(parents=True, exist_ok=True)
    processes = []
    for rank in range(2):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "MASTER_PORT": str(port)}
        process = context.Process(target=_enter, args=(folder / f"{rank}.log", own, work, arguments))
        process.start()
        processes.append(process)
    return processes


def end_two(processes: list[BaseProcess]) -> list[int | None]:
    """Wait until both have ended; return their exit statuses."""
    for process in processes:
        process.join(240)
    return [process.exitcode for process in processes]


def train_words(*flags: object) -> int | None:
    """Run the training command in this process."""
    from hpa_hier.cli.train import main

    return main([str(flag) for flag in flags])


def die_while_connecting(seen: bool) -> None:
    """Kill the second process as it connects; the first one is told of it, or waits for it in vain."""
    import torch
    from torch import distributed

    from hpa_hier.training.processes import team as processes

    processes._BUILDING, processes._GRACE = (60.0 if seen else 0.5), 0.2
    with processes.form_team(2, 1, "leaf", 60, (), "") as team:
        if not team.first:
            distributed.init_process_group = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        elif seen:
            Timer(0.5, team._lose, ["process 2 of 2 was killed by SIGKILL"]).start()
        team.join_group(torch.device("cpu"))


def be_interrupted_before_connecting() -> None:
    """Let the second process hear Ctrl-C where it waits for the first, which counts signals already."""
    import torch

    from hpa_hier.training.processes.team import form_team

    with form_team(2, 1, "leaf", 60, (), "") as team:
        if not team.first:
            raise KeyboardInterrupt
        team.join_group(torch.device("cpu"))


def train_each(folder: Path, kinds: Mapping[str, Mapping[str, Any]]) -> None:
    """Train the member `leaf` of a tiny run once per kind of training settings, and note what each process ends with.

    Each process writes folder/NAME.R.json: digests of the weights it would keep, its epochs and its train losses.
    """
    from hpa_hier.training import train_member as training
    from hpa_hier.training.processes.team import form_team

    assemblies: list[Assembly] = []
    assemble = training.assemble

    def keep(*arguments: Any) -> Assembly:
        assemblies.append(assemble(*arguments))
        return assemblies[-1]

    training.assemble = keep
    with form_team(2, 1, "leaf", 60, (), "") as team:
        for name, settings in kinds.items():
            _train_kind(folder, team, dict(settings))
            history = assemblies[-1].history
            digest = hashlib.sha256()
            for key, tensor in history.weights.items():
                digest.update(key.encode() + tensor.contiguous().numpy().tobytes())
            rows = [{key: row[key] for key in row if key != "seconds"} for row in history.rows]
            found = {"weights": digest.hexdigest(), "rows": rows}
            (folder / f"{name}.{team.place.rank}.json").write_text(json.dumps(found))


def _train_kind(folder: Path, team: Team, settings: dict[str, Any]) -> None:
    from hpa_hier.training.train_member import TrainOptions, train_member

    plan = team.after_first(lambda: plan_tiny(folder, devices=2, **settings))
    train_member(plan, TrainOptions("cpu", restart=True, lines=False, team=team))


def _enter(
    log: Path, variables: dict[str, str], work: Callable[..., int | None], arguments: tuple[object, ...]
) -> None:
    with log.open("w", buffering=1) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        os.environ.update({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", **variables})
        from hpa_hier.cli.command import run

        run(lambda _: work(*arguments))
