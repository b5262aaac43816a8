import time

import pytest

from benchmarks.rounds import interleave, rotated


def test_the_arm_that_goes_first_rotates() -> None:
    order: list[str] = []
    arms = {name: lambda item, name=name: order.append(f"{name}{item}") for name in "abc"}
    interleave(arms, [1, 2, 3, 4])
    assert order == ["a1", "b1", "c1", "b2", "c2", "a2", "c3", "a3", "b3", "a4", "b4", "c4"]


def test_every_round_starts_with_another_arm_and_only_the_first_keeps_results() -> None:
    order: list[str] = []

    def arm(name: str):
        return lambda item: order.append(name) or name

    timed = interleave({"a": arm("a"), "b": arm("b")}, [1], rounds=2)
    assert order == ["a", "b", "b", "a"]
    assert timed["a"].results == ["a"]
    assert len(timed["a"].times_ms) == 2


def test_warm_up_is_not_measured() -> None:
    calls: list[int] = []
    timed = interleave({"a": calls.append}, [1, 2, 3], warmup=2)
    assert calls == [1, 2, 1, 2, 3]
    assert len(timed["a"].times_ms) == 3


def test_times_are_milliseconds() -> None:
    timed = interleave({"sleep": time.sleep}, [0.02, 0.02, 0.02])
    assert timed["sleep"].latency()["p50_ms"] == pytest.approx(20, rel=0.5)


def test_rotation_wraps_around() -> None:
    assert list(rotated(["a", "b", "c"], 4)) == ["b", "c", "a"]
