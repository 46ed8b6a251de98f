"""Two processes take the steps that one would take."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vesalius.errors import ConfigError
from vesalius.training.recipe import load_recipe

OVERRIDES = ("backbone={name: test_vit, image_size: 32, drop_path: 0}", "training.strategy=ddp")


@pytest.mark.parametrize(
    "added", [("method.teacher_entropy=null",), ("method.teacher_entropy=0.6", "method.contrast=1", "method.koleo=0.1")]
)
def test_two_processes_equal_one(
    start_two, pretrain, figures, tiny, phantom_store: Path, tmp_path: Path, added
) -> None:
    """As the paper has it, and with all that the small recipes add."""
    single = pretrain("one", *OVERRIDES[:1], *added, "training.epochs=2")
    arguments = {"recipe": "dino/small", "data": f"{phantom_store}@all", "out": tmp_path / "two"}
    overrides = tiny(*OVERRIDES, *added, "training.devices=2", "training.epochs=2")
    start_two(arguments, overrides)
    for name in ("loss", "teacher_entropy", "mean_entropy", "lr", "feature_rank"):
        one, two = figures(single, name), figures(tmp_path / "two", name)
        assert [step for step, _ in one] == [step for step, _ in two]
        assert [value for _, value in two] == pytest.approx([value for _, value in one], abs=1e-4), name
    state = json.loads((tmp_path / "two" / "run.json").read_text())
    assert (state["status"], state["images_seen"]) == ("done", 128)
    assert not (tmp_path / "rank1False.txt").read_text().count("step 1 of")


METHODS = {
    "byol": "{name: byol, hidden: 32, dim: 16, teacher_momentum: 0.9}",
    "simsiam": "{name: simsiam, dim: 32, predictor_hidden: 8}",
    "swav": "{name: swav, hidden: 32, dim: 16, prototypes: 8, queue: 24, queue_start_epoch: 0}",
    "moco": "{name: moco, hidden: 32, dim: 16, queue: 24}",
    "moco, shuffled": "{name: moco, hidden: 32, dim: 16, queue: 24, norm_groups: 4}",
    "moco-v3": "{name: moco-v3, hidden: 32, dim: 16, teacher_momentum: 0.9}",
    "simclr": "{name: simclr, hidden: 32, dim: 16}",
    "r2o": "{name: r2o, hidden: 32, dim: 16, clusters: 6, teacher_momentum: 0.9}",
    "r2o, in groups": "{name: r2o, hidden: 32, dim: 16, clusters: 6, teacher_momentum: 0.9, cluster_images: 4}",
}


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_two_processes_equal_one(
    start_two, pretrain, figures, tiny, guided_store: Path, tmp_path: Path, method: str
) -> None:
    """Batch norm of backbone and heads, queues, codes, negatives and clusters are those of the whole batch."""
    changes = (
        "backbone={name: test_resnet, image_size: 32, drop_path: 0}",
        f"method={METHODS[method]}",
        "views={plan: r2o-chest, options: {size: 32}}" if "r2o" in method else "views.options.locals=0",
        "training.epochs=2",
        "optimizer.lr=1.0e-4",  # sharp codes magnify the last bits of larger steps
    )
    single = pretrain("one", *changes, data=f"{guided_store}@all")
    arguments = {"recipe": "dino/small", "data": f"{guided_store}@all", "out": tmp_path / "two"}
    start_two(arguments, tiny(*changes, "training.strategy=ddp", "training.devices=2"))
    for name in ("loss", "prototype_entropy" if method == "swav" else "embedding_spread"):
        one, two = figures(single, name), figures(tmp_path / "two", name)
        assert [step for step, _ in one] == [step for step, _ in two]
        assert [value for _, value in two] == pytest.approx([value for _, value in one], abs=1e-4), name
        assert len({round(value, 6) for _, value in one}) > 4


def test_places_are_compared_with_the_images_of_both_processes(
    start_two, pretrain, figures, tiny, guided_store: Path, tmp_path: Path
) -> None:
    changes = (*OVERRIDES[:1], "method={name: none}", "guidance={contrast: {}, coordinates: {}}")
    changes += ("views={plan: small-chest, options: {size: 32}}", "training.epochs=1")
    # Adam would magnify gradients of nearly 0.
    changes += ("optimizer={name: sgd, lr: 0.005, scale_lr: false, warmup_epochs: 0}",)
    single = pretrain("one", *changes, data=f"{guided_store}@all")
    arguments = {"recipe": "dino/small", "data": f"{guided_store}@all", "out": tmp_path / "two"}
    start_two(arguments, tiny(*changes, "training.strategy=ddp", "training.devices=2"))
    for name in ("loss", "place_contrast_loss"):
        one, two = figures(single, name), figures(tmp_path / "two", name)
        assert [step for step, _ in one] == [step for step, _ in two]
        # With the process's own images alone they would be .01 to .1 apart.
        assert [value for _, value in two] == pytest.approx([value for _, value in one], rel=1e-4), name


@pytest.mark.parametrize("method", ["dino", "swav", pytest.param("moco-v3", marks=pytest.mark.slow)])
def test_two_processes_validate_as_one_and_stop_together(
    start_two, pretrain, figures, tiny, guided_store: Path, tmp_path: Path, method: str
) -> None:
    """Centres, codes and negatives are those of the whole batch; nothing is ever much better than the first look."""
    vit = (*OVERRIDES[:1], "method.teacher_entropy=0.6")
    resnet = (
        "backbone={name: test_resnet, image_size: 32, drop_path: 0}",
        "views.options.locals=0",
        f"method={METHODS.get(method)}",
    )
    changes = (
        *(vit if method == "dino" else resnet),
        "training.batch_size=4",
        "training.epochs=1",
        "optimizer.lr=1.0e-6",  # batch norm over four images magnifies the last bits of larger steps
        "validation={every_epochs: 0.17, patience: 2, min_delta: 100}",
    )
    single = pretrain("one", *changes, data=guided_store)
    arguments = {"recipe": "dino/small", "data": guided_store, "out": tmp_path / "two"}
    start_two(arguments, tiny(*changes, "training.strategy=ddp", "training.devices=2"))
    for name in ("loss", "validation_loss"):
        one, two = figures(single, name), figures(tmp_path / "two", name)
        assert [step for step, _ in one] == [step for step, _ in two]
        assert [value for _, value in two] == pytest.approx([value for _, value in one], abs=1e-3), name
    assert [step for step, _ in two] == [0, 1, 3, 5]
    for run in (single, tmp_path / "two"):
        state = json.loads((run / "run.json").read_text())
        assert (state["status"], state["stopped_early"], state["steps_taken"]) == ("done", True, 6)
        assert state["best_validation"]["step"] == 1


def test_guidance_alone_trains_where_it_does_not_ask_the_last_block(
    start_two, figures, tiny, guided_store: Path, tmp_path: Path
) -> None:
    """DDP would wait for gradients of the parameters that no loss reaches."""
    changes = (*OVERRIDES[:1], "method={name: none}", "guidance={attention: {heads: {heart: 0}}}", "training.epochs=1")
    changes += ("views={plan: small-chest, options: {size: 32}}",)
    arguments = {"recipe": "dino/small", "data": f"{guided_store}@all", "out": tmp_path / "two"}
    start_two(arguments, tiny(*changes, "training.strategy=ddp", "training.devices=2"))
    assert len(figures(tmp_path / "two", "loss")) == 4


def test_two_processes_resume(start_two, pretrain, figures, tiny, phantom_store: Path, tmp_path: Path) -> None:
    """Both are interrupted after step 5 of 8, and go on to the losses of one process that was left alone."""
    losses = figures(pretrain("one", *OVERRIDES[:1], "training.epochs=2"), "loss")
    arguments = {"recipe": "dino/small", "data": f"{phantom_store}@all", "out": tmp_path / "two"}
    overrides = tiny(*OVERRIDES, "training.devices=2", "training.epochs=2", "training.checkpoint_minutes=60")
    start_two(arguments, overrides, interrupt_after=5)
    assert len(figures(tmp_path / "two", "loss")) == 6
    start_two(arguments, (), resume=True)
    resumed = figures(tmp_path / "two", "loss")
    assert [step for step, _ in resumed] == [step for step, _ in losses] == list(range(8))
    assert [value for _, value in resumed] == pytest.approx([value for _, value in losses], abs=1e-4)
    assert "resuming at step 6 of 8" in (tmp_path / "rank0True.txt").read_text()


@pytest.mark.parametrize("strategy", ["fsdp", "deepspeed_stage_3", "model_parallel"])
def test_strategies_that_shard_parameters_are_refused(strategy: str) -> None:
    with pytest.raises(ConfigError, match=f"strategy '{strategy}': expected auto, ddp .*keep every parameter whole"):
        load_recipe("dino/small", overrides=[f"training.strategy={strategy}"])
