"""A server under hostile and heavy load: what is asked of it, how often, and what came of it."""

from __future__ import annotations

import json
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from faults.processes.attacks import Attack
from faults.processes.served import LIMITS, STATUS, Served, drain, form, is_answer, post_form, request
from faults.tally import Tally

SHARE, MORE = 1.05, 8.0  # that memory may grow: times, and MB


def try_attack(served: Served, attack: Attack, tries: int, at_once: int = 1, seed: int = 0) -> Tally:
    """Send hostile requests: each is answered, or refused in one line, and the server goes on without a fault."""
    tally, lock, before = Tally(), threading.Lock(), served.settle()

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
    strays, after = served.find_strays(), served.held()
    tally.add(not strays, f"{attack.name}: files came to {strays[:3]}")
    tally.add(after <= before * SHARE + MORE, f"{attack.name}: {before:.0f} MB before, {after:.0f} MB after")
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


def try_greed(served: Served, jobs: int) -> Tally:
    """Make job after job without images: those too many are refused with the time to come again, until some go."""
    tally, made = Tally(), []
    body = request("POST", "/jobs", b"{}", Content_Type="application/json")
    for number in range(jobs):
        answer = served.talk(body)
        if answer.startswith(b"HTTP/1.1 201"):
            made.append(json.loads(answer.partition(b"\r\n\r\n")[2])["job"])
        refused = is_answer(answer, may_close=False) and b"HTTP/1.1 429" in answer and b"retry-after" in answer.lower()
        right = answer.startswith(b"HTTP/1.1 201") if number < LIMITS["clients_jobs"] else refused
        tally.add(right, f"job {number}: {answer[:300]!r}")
    for job in made:
        answer = served.talk(request("DELETE", f"/jobs/{job}"))
        tally.add(answer.startswith(b"HTTP/1.1 2"), f"remove {job}: {answer[:300]!r}")
    answer = served.talk(body)
    tally.add(answer.startswith(b"HTTP/1.1 201"), f"after they went: {answer[:300]!r}")
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
