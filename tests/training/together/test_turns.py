"""Turns: one thread at a time, and always the one that is furthest behind."""

from __future__ import annotations

import threading

from hpa_hier.training.together.turns import Turns


def run_in_turns(starts: dict[str, int], ends: dict[str, int]) -> list[tuple[str, int]]:
    """Run threads that each note their numbers from a start to an end; return what they noted, in order."""
    turns, noted = Turns(list(starts)), list[tuple[str, int]]()

    def work(name: str) -> None:
        turns.wait(name, (0, 0))
        for number in range(starts[name], ends[name]):
            turns.wait(name, (1, number))
            noted.append((name, number))
        turns.leave(name)

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in reversed(starts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
        assert not thread.is_alive()
    return noted


def test_threads_at_the_same_place_run_in_the_order_of_their_names_whichever_started_first() -> None:
    noted = run_in_turns({"b": 0, "a": 0}, {"b": 3, "a": 2})
    assert noted == [("b", 0), ("a", 0), ("b", 1), ("a", 1), ("b", 2)]


def test_a_thread_that_is_behind_catches_up_before_the_others_go_on() -> None:
    noted = run_in_turns({"a": 2, "b": 0}, {"a": 4, "b": 4})
    assert noted == [("b", 0), ("b", 1), ("a", 2), ("b", 2), ("a", 3), ("b", 3)]


def test_one_that_leaves_without_a_turn_does_not_hold_up_the_others() -> None:
    turns = Turns(["a", "b"])
    turns.leave("b")
    turns.wait("a", (0, 0))
    turns.wait("a", (0, 1))
