"""The sum of what trainings on labels cost."""

from __future__ import annotations

import pytest

from vesalius.study.label_trainings import LabelTraining, label_minutes


def test_arms_of_one_architecture_share_its_untrained_twin() -> None:
    """Two seeds of two arms, 10 minutes of task a each; one of them also 3 minutes of task b on another network."""
    small = LabelTraining(steps=600, step_seconds=1.0, network="small")
    large = LabelTraining(steps=90, step_seconds=2.0, network="large")
    assert (small.minutes, large.minutes) == (10, 3)
    trainings = [("a", 2, small), ("a", 2, small), ("b", 1, large)]  # of task b one seed is scored already
    assert label_minutes(trainings) == pytest.approx(2 * (10 + 10) + 3 + 10 + 3)
    assert label_minutes([]) == 0
