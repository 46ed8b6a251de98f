"""How labelled images are looked at: every option reaches the view, and the usual ones stay what they were."""

from __future__ import annotations

from typing import Any

import pytest

from vesalius.evaluation.finetune_options import FinetuneOptions
from vesalius.evaluation.fit_classifier import finetune_plan
from vesalius.evaluation.learning_view import learning_view
from vesalius.evaluation.round_options import RoundOptions
from vesalius.evaluation.segment_options import SegmentTraining


def test_the_usual_view() -> None:
    [spec] = learning_view(RoundOptions(), 64).specs
    assert (spec.size, spec.area, spec.flip_p, spec.vertical_flip_p) == (64, (0.6, 1.0), 0.0, 0.0)
    assert (spec.rotation_deg, spec.brightness, spec.contrast) == (10.0, 0.2, 0.2)
    assert (spec.saturation, spec.hue, spec.gamma) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({"flip": 0.5}, {"flip_p": 0.5}),
        ({"vertical_flip": 0.25}, {"vertical_flip_p": 0.25}),
        ({"rotation": 90.0}, {"rotation_deg": 90.0}),
        ({"smallest_crop": 0.3, "largest_crop": 1.5}, {"area": (0.3, 1.5)}),
        ({"intensity": 0.4}, {"brightness": 0.4, "contrast": 0.4}),
        ({"hue": 0.1}, {"hue": 0.1, "saturation": 0.1}),
    ],
)
def test_options_reach_the_view(options: dict[str, Any], seen: dict[str, Any]) -> None:
    [spec] = finetune_plan(FinetuneOptions(**options), 64).specs
    assert {name: getattr(spec, name) for name in seen} == seen


@pytest.mark.parametrize("kind", [FinetuneOptions, SegmentTraining])
def test_options_younger_than_kept_fits_count_where_they_are_asked_for(kind: type[RoundOptions]) -> None:
    usual = dict(kind().shaping())
    assert not {"lr", "search", "grid", "validation_share"} & usual.keys()
    for name, value in (("vertical_flip", 0.5), ("largest_crop", 1.5), ("intensity", 0.3), ("encoder_lr", 0.1)):
        assert name not in usual
        assert dict(kind(**{name: value}).shaping()) == {**usual, name: value}
    assert ("frozen_below" in usual) == (kind is SegmentTraining)
    assert "rotation" in usual
