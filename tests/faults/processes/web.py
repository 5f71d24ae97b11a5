"""A server under hostile and heavy load: what is asked of it, how often, and what came of it."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from faults.processes.attacks import Attack
from faults.processes.served import STATUS, Served, drain, form, is_answer, post_form, request
from faults.tally import Tally


def try_attack(served: Served, attack: Attack, tries: int, at_once: int = 1, seed: int = 0) -> Tally:
    """Send hostile requests: each is answered, or refused in one line, and the server goes on without a fault."""
    tally, lock = Tally(), threading.Lock()

    def attempt(number: int) -> None:
        answer = attack.send(served, random.Random(f"{seed} {attack.name} {number}"))
        right = is_answer(answer, attack.may_close)
        found = STATUS.match(answer)
        if attack.statuses and right and found:
            right = int(found[1]) in attack.statuses
        with lock:
            fault = served.new_faults()
            tally.add(right and not fault, f"{attack.name} {number}: {answer[:300]!r} {fault}")

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(attempt, range(tries)))
    tally.add(served.is_well(), f"{attack.name}: the server no longer answers")
    return tally


def try_crowd(served: Served, connections: int) -> Tally:
    """Open hundreds of connections that say nothing: each is closed or told so, and others are answered afterwards."""
    tally, lines = Tally(), []
    for _ in range(connections):
        with suppress(OSError):
            lines.append(served.connect())
    for number, line in enumerate(lines):
        with line:
            answer = drain(line)
        tally.add(is_answer(answer, may_close=True), f"connection {number} of {connections}: {answer[:200]!r}")
    tally.add(len(lines) == connections, f"only {len(lines)} of {connections} connections were taken")
    tally.add(served.is_well(), "the server no longer answers after a crowd")
    return tally


def ask_much(served: Served, requests: int, at_once: int = 8) -> tuple[Tally, list[float]]:
    """Send good requests, several at once: each is answered; return also what was held, in MB, after each hundred."""
    tally, lock, held = Tally(), threading.Lock(), []
    whole = post_form(form([(name.encode(), content) for name, content in served.images.items()]), "/predict?wait=60")
    others = tuple(
        request("GET", path) for path in ("/healthz", "/jobs", "/ensembles", "/metrics", "/", "/openapi.json")
    )

    def ask(number: int) -> None:
        answer = served.talk(others[number // 2 % len(others)] if number % 2 else whole, finish=False)
        with lock:
            fault = served.new_faults()
            tally.add(answer.startswith(b"HTTP/1.1 200") and not fault, f"request {number}: {answer[:300]!r} {fault}")

    with ThreadPoolExecutor(at_once) as pool:
        for start in range(0, requests, 100):
            list(pool.map(ask, range(start, min(start + 100, requests))))
            held.append(served.held())
    return tally, held
