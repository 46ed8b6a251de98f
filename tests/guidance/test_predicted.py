"""Maps by a segmenter trained on a labelled store: better than their mean, resumable, made again from the weights."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from vesalius import pipeline
from vesalius.cli import app
from vesalius.data.knowledge_maps import KnowledgeMaps, open_maps
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, KnowledgeError
from vesalius.guidance import train_segmenter as training
from vesalius.guidance.labelled_images import labelled_images, open_labelled
from vesalius.guidance.trained_segmenter import read_segmenter

from .conftest import PARTS

QUICK = {"workers": 1, "progress": False, "device": "cpu", "map_size": 20, "parts": tuple(PARTS)}
SMALL = {"architecture": "smp:unet:resnet18", "size": 64, "epochs": 12}


@pytest.fixture(scope="module")
def average(phantom_store: Path, tmp_path_factory) -> Path:
    """Average maps of the phantom store, whose own train split the segmenter learned from."""
    out = tmp_path_factory.mktemp("maps") / "average"
    pipeline.guide(phantom_store, template="average", out=out, train_on=phantom_store, segmenter=SMALL, **QUICK)
    return out


def overlaps(maps: KnowledgeMaps, store_path: Path, rows: np.ndarray) -> np.ndarray:
    """Return the Dice of every part of some images."""
    store = open_store(store_path)
    names = list(store.info["arrays"]["masks"]["parts"])
    truth = store.masks[rows]
    found = []
    for channel, part in enumerate(maps.names.names):
        real = (truth == names.index(part)).reshape(len(rows), 20, 2, 20, 2).mean((2, 4)) > 0.5
        held = maps.parts[rows][:, channel] > 127
        found.append(2 * (held & real).sum((1, 2)) / np.maximum(1, held.sum((1, 2)) + real.sum((1, 2))))
    return np.stack(found)


def test_each_images_prediction_beats_their_mean(average: Path, phantom_store: Path) -> None:
    unseen = open_store(phantom_store).rows(split=["val", "test"])
    assert len(unseen) >= 8
    predicted = overlaps(open_maps(average.with_name("average.predicted")), phantom_store, unseen)
    mean = overlaps(open_maps(average), phantom_store, unseen)
    assert predicted.mean() > mean.mean() + 0.03
    assert predicted.mean() > 0.75


def test_average_is_the_mean_of_the_predictions_for_every_image(average: Path) -> None:
    maps, predicted = open_maps(average), open_maps(average.with_name("average.predicted"))
    assert maps.names.names == tuple(PARTS)
    assert maps.names.pairs == ((0, 1),)
    assert not maps.has_coordinates
    every = maps.parts[np.arange(64)]
    assert (every == every[0]).all()
    np.testing.assert_allclose(every[0], predicted.parts[np.arange(64)].mean(0), atol=0.51)
    assert predicted.parts[np.arange(64)].std(0).max() > 20
    assert maps.guided.all()


def test_what_it_learned_from_is_told(average: Path, phantom_store: Path) -> None:
    store, segmenter = open_store(phantom_store), read_segmenter(average.with_name("average.segmenter"))
    told = open_maps(average).info["plan"]["segmenter"]
    assert told["weights_sha256"] == segmenter.info["weights_sha256"]
    assert told["trained_on"]["fingerprint"] == store.fingerprint
    assert told["trained_on"]["split"] == "train"
    assert set(told["validation"]["dice"]) == set(PARTS)
    assert min(told["validation"]["dice"].values()) > 0.6
    pool = pd.read_parquet(segmenter.path / "pool.parquet")
    train = store.manifest.iloc[store.rows(split="train")]
    assert set(pool["patient"]) == set(train["patient"])
    assert str(phantom_store.parent) not in (average / "maps.json").read_text() + json.dumps(dict(segmenter.info))


def test_the_same_words_again_train_nothing(average: Path, phantom_store: Path) -> None:
    watched = [average / "maps.json", average.with_name("average.segmenter") / "segmenter.json"]
    before = [path.stat().st_mtime_ns for path in watched]
    options = {"template": "average", "out": average, "train_on": phantom_store, **QUICK}
    pipeline.guide(phantom_store, segmenter=SMALL, **options)
    assert [path.stat().st_mtime_ns for path in watched] == before
    with pytest.raises(KnowledgeError, match=r"trained otherwise .different: epochs"):
        pipeline.guide(phantom_store, segmenter={**SMALL, "epochs": 3}, **options)


def test_the_weights_make_the_same_maps_again(average: Path, phantom_store: Path, tmp_path: Path) -> None:
    weights = tmp_path / "elsewhere"
    shutil.copytree(average.with_name("average.segmenter"), weights)
    again = pipeline.guide(
        phantom_store, template="average", out=tmp_path / "again", segmenter_weights=weights, **{**QUICK, "parts": None}
    )
    assert again.digest == open_maps(average).digest
    assert again.info["plan"] == open_maps(average).info["plan"]
    assert not (tmp_path / "again.segmenter").exists()


def test_an_interrupted_training_goes_on_to_the_same_weights(
    phantom_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    labelled = labelled_images(open_store(phantom_store), np.arange(20))
    # Its dropout draws from torch's own generator, which has to be where it was.
    options = training.SegmenterOptions(architecture="smp:deeplabv3plus:resnet18", size=32, epochs=3)
    whole = training.train_segmenter(labelled, tmp_path / "whole", options)
    epochs: list[int] = []

    def dying(count: int) -> None:
        epochs.append(count)
        if len(epochs) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train_segmenter(labelled, tmp_path / "halves", options, advance=dying)
    with pytest.raises(KnowledgeError, match="unfinished training"):
        read_segmenter(tmp_path / "halves")
    with pytest.raises(KnowledgeError, match=r"trained otherwise .different: learning_rate"):
        training.train_segmenter(labelled, tmp_path / "halves", options.model_copy(update={"learning_rate": 1e-4}))
    told: list[int] = []
    resumed = training.train_segmenter(labelled, tmp_path / "halves", options, advance=told.append)
    assert told == [2, 1]
    assert resumed.info["weights_sha256"] == whole.info["weights_sha256"]
    assert not (tmp_path / "halves" / "training.pt").exists()
    other = training.train_segmenter(labelled, tmp_path / "other", options.model_copy(update={"seed": 1}))
    assert other.info["weights_sha256"] != whole.info["weights_sha256"]


def test_torchvisions_deeplab_trains_on_one_gray_channel(phantom_store: Path, tmp_path: Path) -> None:
    labelled = labelled_images(open_store(phantom_store), np.arange(18), ["heart"])
    options = training.SegmenterOptions(architecture="deeplabv3_resnet50", size=32, epochs=1)
    trained = training.train_segmenter(labelled, tmp_path / "deeplab", options)
    weights = load_file(tmp_path / "deeplab" / "segmenter.safetensors")
    assert weights["model.backbone.conv1.weight"].shape == (64, 1, 7, 7)
    images, truth = labelled.read(np.arange(2))
    assert truth.shape == (2, 1, 40, 40)
    parts = trained.predict(images, (20, 20))
    assert parts.shape == (2, 1, 20, 20)
    assert 0 <= float(parts.min()) <= float(parts.max()) <= 1


def test_no_patient_is_on_both_sides(phantom_store: Path) -> None:
    labelled = open_labelled(f"{phantom_store}@all")
    patients = open_store(phantom_store).manifest["patient"].to_numpy()
    assert len(labelled.rows) + len(labelled.held_out) == 64
    assert not set(patients[labelled.rows]) & set(patients[labelled.held_out])
    assert len(set(patients[labelled.held_out])) == len(set(patients)) // 5
    assert labelled.description() == open_labelled(f"{phantom_store}@all").description()
    assert labelled.description()["sha256"] != open_labelled(phantom_store).description()["sha256"]


def test_images_of_something_else_are_left_unguided(average: Path, phantom_store: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "store"
    shutil.copytree(phantom_store, spoiled)
    pixels = np.load(spoiled / "images-00000.npy")
    pixels[5] = 0
    pixels[6] = np.random.default_rng(0).integers(0, 256, pixels[6].shape)
    pixels[7] = 255 - pixels[7]
    np.save(spoiled / "images-00000.npy", pixels)
    maps = pipeline.guide(
        spoiled,
        template="predicted",
        out=tmp_path / "maps",
        segmenter_weights=average.with_name("average.segmenter"),
        **QUICK,
    )
    assert not maps.guided[5:8].any()
    assert maps.guided.sum() >= 58
    assert "least area" in maps.quality["reason"][5]


def test_on_the_command_line(average: Path, phantom_store: Path, tmp_path: Path) -> None:
    weights = average.with_name("average.segmenter")
    words = ["guide", str(phantom_store), "--template", "predicted", "--segmenter-weights", str(weights)]
    more = ["--parts", ",".join(PARTS), "--out", str(tmp_path / "maps"), "--map-size", "20", "--workers", "1"]
    done = CliRunner().invoke(app, [*words, *more])
    assert done.exit_code == 0, done.output
    assert "Dice of heart" in done.output
    predicted = open_maps(average.with_name("average.predicted"))
    assert open_maps(tmp_path / "maps").digest == predicted.digest


def without_masks(store: Path, folder: Path) -> Path:
    shutil.copytree(store, folder)
    about = json.loads((folder / "store.json").read_text())
    del about["arrays"]["masks"]
    (folder / "store.json").write_text(json.dumps(about))
    return folder


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"train_on": None}, ConfigError, "--train-on STORE.*got neither"),
        ({"segmenter_weights": "here"}, ConfigError, "got both"),
        ({"parts": ["hart"]}, KnowledgeError, "no part 'hart'; parts: .*did you mean 'heart'"),
        ({"parts": PARTS}, ConfigError, "names alone, --parts left_lung,right_lung,heart"),
        ({"segmenter": "deeplabv3_resnet110"}, ConfigError, "no segmenter .*did you mean 'deeplabv3_resnet101'"),
        ({"segmenter": "smp:unett:resnet18"}, ConfigError, "no architecture 'unett'.*did you mean 'unet'"),
        ({"segmenter": "smp:unet:resnet19"}, ConfigError, "no encoder 'resnet19'.*did you mean 'resnet18'"),
        ({"segmenter": {"size": 100}}, ConfigError, "'size' = 100.*multiple of 32"),
        ({"segmenter": {"epoch": 3}}, ConfigError, "unknown key 'epoch'; did you mean 'epochs'"),
        ({"exemplars": ["case.png"]}, ConfigError, "'average' makes nothing of exemplars"),
        ({"template": "triangular"}, ConfigError, "'triangular' makes nothing of train_on"),
        ({"map_size": 4}, ConfigError, "map_size = 4"),
    ],
)
def test_wrong_words_are_refused(phantom_store: Path, tmp_path: Path, options, error, message: str) -> None:
    given = {"template": "average", "train_on": phantom_store, **QUICK, **options}
    with pytest.raises(error, match=message):
        pipeline.guide(phantom_store, out=tmp_path / "maps", **given)
    assert not list(tmp_path.iterdir())


def test_stores_that_teach_nothing_are_refused(phantom_store: Path, tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="has no masks"):
        open_labelled(without_masks(phantom_store, tmp_path / "unlabelled"))
    store = open_store(phantom_store)
    with pytest.raises(KnowledgeError, match=r"4 images with masks, of 2 patients.*STORE@all"):
        labelled_images(store, np.arange(4))
    heartless = tmp_path / "heartless"
    shutil.copytree(phantom_store, heartless)
    masks = np.load(heartless / "masks-00000.npy")
    masks[masks == store.info["arrays"]["masks"]["parts"].index("heart")] = 0
    np.save(heartless / "masks-00000.npy", masks)
    with pytest.raises(KnowledgeError, match=r"none of the .* shows 'heart'"):
        open_labelled(heartless)
    assert open_labelled(heartless, ["left_lung"]).names == ("left_lung",)


def test_a_segmenter_that_does_not_fit_is_refused(average: Path, phantom_store: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    shutil.copytree(average.with_name("average.segmenter"), weights)
    given = {"template": "predicted", "out": tmp_path / "maps", "segmenter_weights": weights, **QUICK}
    with pytest.raises(KnowledgeError, match=r"predicts left_lung, right_lung, heart, asked for heart"):
        pipeline.guide(phantom_store, **{**given, "parts": ["heart"]})
    with pytest.raises(ConfigError, match="epochs of a segmenter that is trained already"):
        pipeline.guide(phantom_store, segmenter={"epochs": 3}, **given)
    with pytest.raises(KnowledgeError, match="holds no segmenter"):
        pipeline.guide(phantom_store, **{**given, "segmenter_weights": phantom_store})
    about = weights / "segmenter.json"
    whole = about.read_text()
    about.write_text(whole.replace('"fit": "pad"', '"fit": "crop"'))
    with pytest.raises(KnowledgeError, match=r"fit=crop, those of .* by fit=pad"):
        pipeline.guide(phantom_store, **given)
    about.write_text(whole)
    damaged = weights / "segmenter.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x01")
    with pytest.raises(KnowledgeError, match="differs from its checksum"):
        pipeline.guide(phantom_store, **given)


def test_other_maps_are_refused_before_the_training(phantom_store: Path, tmp_path: Path) -> None:
    plain = {key: value for key, value in QUICK.items() if key != "parts"}
    pipeline.guide(phantom_store, template="triangular", out=tmp_path / "maps", **plain)
    with pytest.raises(KnowledgeError, match="holds other maps"):
        pipeline.guide(
            phantom_store, template="average", out=tmp_path / "maps", train_on=phantom_store, segmenter=SMALL, **QUICK
        )
    assert not (tmp_path / "maps.segmenter").exists()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from vesalius.guidance.segmenters import check_segmenter

    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    check_segmenter("deeplabv3_resnet101")
    with pytest.raises(ConfigError, match=r"not installed.*pip install 'vesalius\[segmentation\]'"):
        check_segmenter("smp:unet:resnet18")
