"""The timing of Stable-Baselines3's face on vector environments, and where there is none."""

from __future__ import annotations

import pytest

from rlidim.speed import adapter
from rlidim.tasks.names import find_task


def test_a_vector_environment_is_timed_with_and_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "STEPS", 50)
    monkeypatch.setattr(adapter, "REPEATS", 3)
    figures = adapter.rates(find_task("cartpole"), 8)
    assert figures["environments"] == 8
    assert figures["adapter_fraction_of_bare_pairs"] == 3
    low, high = figures["adapter_fraction_of_bare_quartiles"]
    assert 0 < low <= figures["adapter_fraction_of_bare"] <= high
    assert figures["adapter_steps_per_second"] > 0


def test_lone_environments_have_none() -> None:
    assert adapter.rates(find_task("inverted-pendulum"), 2) == {}
