"""What `auto` becomes for a number of images."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from vesalius import pipeline
from vesalius.methods.dino import DinoConfig
from vesalius.methods.presets import prototypes_for, resolve_auto

PAPER_IMAGES = 1_281_167  # ImageNet-1k
AUTO = DinoConfig(prototypes="auto", teacher_temperature="auto", teacher_momentum="auto")


@given(st.integers(1, 10**8), st.integers(1, 10**8))
def test_monotone_and_bounded(one: int, two: int) -> None:
    fewer, more = (resolve_auto(AUTO, images)[0] for images in sorted((one, two)))
    for config in (fewer, more):
        assert 128 <= config.prototypes <= 65_536
        assert config.prototypes & (config.prototypes - 1) == 0
        assert 0.01 <= config.teacher_temperature <= 0.04
        assert 0.9 <= config.teacher_momentum <= 0.996
    assert fewer.prototypes <= more.prototypes
    assert fewer.teacher_temperature <= more.teacher_temperature
    assert fewer.teacher_momentum <= more.teacher_momentum


def test_the_paper_at_its_own_size() -> None:
    resolved, notes = resolve_auto(AUTO, PAPER_IMAGES)
    assert (resolved.prototypes, resolved.teacher_temperature, resolved.teacher_momentum) == (65_536, 0.04, 0.996)
    assert "prototypes = 65536 chosen for 1,281,167 images" in notes
    assert prototypes_for(PAPER_IMAGES) == 65_536


def test_what_is_given_is_kept() -> None:
    given_config = DinoConfig(prototypes=96, teacher_temperature="auto", teacher_momentum=0.95)
    resolved, notes = resolve_auto(given_config, 500)
    assert (resolved.prototypes, resolved.teacher_momentum) == (96, 0.95)
    assert len(notes) == 1
    assert resolve_auto(resolved, 10**7) == (resolved, ())


def test_the_run_says_what_was_chosen(phantom_store, tmp_path, capsys) -> None:
    run = pipeline.pretrain(
        "dino-cxr/small",
        data=f"{phantom_store}@all",
        out=tmp_path / "run",
        overrides=[
            "views.options.size=32",
            "backbone={name: test_vit, image_size: 32}",
            "method.hidden=32",
            "training={batch_size: 32, epochs: 0.5, accelerator: cpu}",
        ],
    )
    notes = json.loads((run / "run.json").read_text())["notes"]
    assert len(notes) == 3
    said = capsys.readouterr().out
    assert all(note in said for note in notes)
    assert "auto" not in (run / "recipe.yaml").read_text().split("method:")[1].split("optimizer:")[0]
