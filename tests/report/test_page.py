"""What a page says and shows, read as a reader would."""

from __future__ import annotations

import base64
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vesalius.data.store import Store
from vesalius.evaluation.write_result import read_result, result_folder, write_result
from vesalius.report.page import report

RunBuilder = Callable[..., Path]
PageReader = Callable[[str], Any]


@pytest.fixture(scope="module")
def one(build_run: RunBuilder, read_page: PageReader, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("page")
    return read_page(report([build_run(folder / "vit")], folder / "report.html").read_text())


def test_page_is_whole_and_needs_nothing_from_outside(
    read_page: PageReader, build_run: RunBuilder, tmp_path: Path
) -> None:
    out = report([build_run(tmp_path / "vit")], tmp_path / "pages" / "report.html")
    text = out.read_text()
    reader = read_page(text)
    assert out == tmp_path / "pages" / "report.html"
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    for reference in reader.references:
        assert reference.startswith(("data:", "#")), reference
        assert not reference.startswith("#") or reference[1:] in reader.ids
    assert not re.search(r"https?://|@import|url\(", text)
    assert '<html lang="en">' in text
    assert [each for each in reader.headings if each == "h1"] == ["h1"]
    levels = [int(each[1]) for each in reader.headings]
    assert all(after <= before + 2 for before, after in pairwise(levels))


def test_every_picture_opens_and_has_words(one: Any) -> None:
    assert len(one.pictures) > 10
    for picture in one.pictures:
        assert picture.get("alt")
        data = base64.b64decode(str(picture["src"]).partition(",")[2], validate=True)
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert not image.info.get("exif")


def test_summary_counts_what_the_scores_say(one: Any) -> None:
    # By the figures of the builder: effusion passes both, cardiomegaly neither, opacity only the untrained network.
    assert "in 4 of 6 measurements (95 % intervals apart), with 2 not told apart from it." in one.text
    assert "in 2 of 6; for cardiomegaly and opacity at least one score is no better" in one.text
    assert "the training finished after 20 minutes." in one.text


def test_scores_show_arms_intervals_and_pixels_in_plain_words(one: Any) -> None:
    for words in ("0.910", "0.890–0.930", "untrained network", "raw pixels", "chance", "PR-AUC"):
        assert words in one.text
    assert "This is within raw pixels: the image shrunk to 32 × 32, with no network, scores 0.840" in one.text
    assert "This is below raw pixels" in one.text
    assert "▲ above" in one.text
    assert "▼ below" in one.text


def test_probabilities_are_drawn_over_what_came_true(one: Any) -> None:
    page = one.text
    assert "Do its probabilities mean what they say?" in page
    assert "expected calibration error pretrained 0.04" in page
    assert "pretrained: 0.15" in page  # a dot and what it stands for


def test_training_and_data_and_limits_are_there(one: Any, store: Store) -> None:
    for heading in ("Loss", "Teacher entropy", "Feature rank", "k-NN AUC: effusion", "Learning rate"):
        assert heading in one.text
    assert "No alarm was raised." in one.text
    assert "What this does not show" in one.text
    assert "How to reproduce" in one.text
    assert "vesalius evaluate vit --data phantom_store --task knn --label effusion" in one.text
    assert "vesalius evaluate vit --data phantom_store --task linear --label effusion" in one.text
    assert f"none of {store.manifest['patient'].nunique()} patients is in more than one split" in one.text
    assert "K lowered to 256 prototypes" in one.text
    assert "torch" in one.text
    assert len(store.refused) == 2
    for reason in store.refused["reason"]:
        assert str(reason).partition(":")[0].partition(" (")[0] in one.text


def test_folds_and_several_labels_are_said(
    read_page: PageReader, build_run: RunBuilder, store: Store, tmp_path: Path
) -> None:
    run = build_run(tmp_path / "vit")
    usual = read_result(next((run / "evaluations").glob("linear-*")))
    result = replace(
        usual,
        label="any_finding,sex",
        kind="multilabel",
        protocol="folds",
        scores=tuple(score for score in usual.scores if score.arm == "pretrained"),
    )
    write_result(result_folder(run, task="linear", label=result.label, fingerprint=store.fingerprint), result)
    reader = read_page(report([run], tmp_path / "report.html").read_text())
    assert "any finding, sex" in reader.text
    assert "12 labelled images of 10 patients, in folds by patient" in reader.text
    assert "Learned on 48 labelled images of 40 patients, scored on 12 images of 10 patients." in reader.text
    assert "Raw pixels were not scored here" in reader.text


def test_neighbours_say_same_or_other_in_words(one: Any) -> None:
    assert one.text.count("Query") >= 12
    assert "✓ same label" in one.text
    assert "✗ other label" in one.text


def test_several_runs_stand_side_by_side(read_page: PageReader, build_run: RunBuilder, tmp_path: Path) -> None:
    first = build_run(tmp_path / "vit")
    second = build_run(tmp_path / "resnet", shift=-0.03, attention=False, about={"alarms": ["collapse <b>now</b>"]})
    reader = read_page(report([first, second], tmp_path / "report.html").read_text())
    assert "What two pretrained networks learned" in reader.text
    assert "pretrained · vit" in reader.text
    assert "pretrained · resnet" in reader.text
    assert "untrained network · resnet" in reader.text
    assert "raw pixels · resnet" not in reader.text
    assert "resnet: 1 alarm raised while training" in reader.text
    assert "collapse <b>now</b>" in reader.text  # shown as text, not as markup
    assert "no attention of a class token" in reader.text
    assert "at least one alarm was raised" in reader.text


def test_results_of_other_settings_stand_beside_each_other_with_their_commands(
    read_page: PageReader, build_run: RunBuilder, store: Store, tmp_path: Path
) -> None:
    run = build_run(tmp_path / "vit")
    usual = read_result(next((run / "evaluations").glob("knn-effusion-*")))
    about = {"name": store.path.name, "fingerprint": store.fingerprint}
    changed = {"k": 50, "features": "cls", "seeds": 7, "fractions": [0.1, 1.0]}
    seen = {"test_images": 7, "test_patients": 6, "of_images": 12, "of_patients": 10}
    settings = usual.settings | {"changed": changed, "stores": [about], "seen_in_pretraining": seen}
    for one in (
        replace(usual, settings=settings),
        replace(usual, protocol="other_store", settings=settings | {"stores": [about | {"name": "clinic b"}, about]}),
    ):
        told = one.settings["changed"] | {"stores": len(one.settings["stores"])}
        place = result_folder(run, task="knn", label="effusion", fingerprint=store.fingerprint, changed=told)
        write_result(place, one)
    reader = read_page(report([run], tmp_path / "report.html").read_text())
    words = "k 50; features cls; seeds 7; fractions 0.1, 1"
    assert f"Nearest neighbours (k-NN). ({words}) ROC-AUC" in reader.text
    assert f"Nearest neighbours (k-NN). ({words}; learned on clinic b) ROC-AUC" in reader.text
    assert "Nearest neighbours (k-NN). ROC-AUC" in reader.text
    assert "7 of 12 scored images were among the unlabelled images of the pretraining" in reader.text
    assert "It is not known how many of the scored images" in reader.text
    options = "--task knn --label effusion --k 50 --features cls --seeds 7 --fractions 0.1,1"
    assert f"vesalius evaluate vit --data phantom_store {options}" in reader.text
    assert f"vesalius evaluate vit --data 'clinic b' --test-data phantom_store {options}" in reader.text


def test_fine_tuning_and_dense_transfer(
    read_page: PageReader, build_run: RunBuilder, store: Store, tmp_path: Path
) -> None:
    """The page says that the network learned on, draws arms of its own, and gives commands that can be typed."""
    run = build_run(tmp_path / "vit")
    about = {"name": store.path.name, "fingerprint": store.fingerprint}
    tuned = {"finetune": {"search": "lr", "rounds": 4, "grid": [0.01, 0.1]}, "seeds": 2}
    usual = read_result(next((run / "evaluations").glob("knn-effusion-*")))
    mean = tuple(replace(score, arm="mean_mask") for score in usual.scores if score.arm == "pixels")
    for task, label, changed, more in (
        ("finetune", "effusion", tuned, ()),
        ("segment", "heart", {"fractions": [0.1, 1.0]}, mean),
        ("segment", "mean", {"fractions": [0.1, 1.0]}, mean),
        ("segment", "left_lung", {"parts": ["heart", "left_lung"]}, ()),
    ):
        settings = usual.settings | {"changed": changed, "stores": [about]}
        result = replace(usual, task=task, label=label, scores=(*usual.scores, *more), settings=settings)
        place = result_folder(run, task=task, label=label, fingerprint=store.fingerprint, changed=changed)
        write_result(place, result)
    reader = read_page(report([run], tmp_path / "report.html").read_text())
    assert "the whole network goes on learning" in reader.text
    assert "Fine-tuned or read out without further training" in reader.text
    assert "mean of the masks learned from" in reader.text
    command = "vesalius evaluate vit --data phantom_store --task"
    assert (
        f"{command} finetune --label effusion --search lr --set rounds=4 --set 'grid=[0.01, 0.1]' --seeds 2"
        in reader.text
    )
    assert reader.text.count(f"{command} segment --fractions 0.1,1") == 1
    assert f"{command} segment --label heart,left_lung" in reader.text
    for folder in (run / "evaluations").iterdir():
        if not folder.name.startswith("segment"):
            shutil.rmtree(folder)
    dense = read_page(report([run], tmp_path / "dense.html").read_text())
    assert "No label was scored beside raw pixels" in dense.text
    assert "how dense transfer stands to plain pixels is told under each part." in dense.text


def test_tasks_of_other_metrics_stand_in_blocks_of_their_own(
    read_page: PageReader, build_run: RunBuilder, store: Store, tmp_path: Path
) -> None:
    """The heart's Dice is not shown as an average precision, nor are both on one scale."""
    run = build_run(tmp_path / "vit")
    usual = read_result(next((run / "evaluations").glob("knn-effusion-*")))
    ours = next(one for one in usual.scores if one.arm == "pretrained")
    for task, metric, value, more in (
        ("attention", "average_precision", 0.61, {"maps": "deformable", "changed": {"maps": "0a1b2c3d"}}),
        ("segment", "dice", 0.87, {"changed": {"fractions": [0.05, 0.1]}}),
        ("coordinates", "error_px", 2.5, {"changed": {}}),
    ):
        label = "places" if task == "coordinates" else "heart"
        score = replace(ours, metric=metric, value=value, low=value - 0.01, high=value + 0.01, fraction=1.0)
        absent = [replace(score, value=math.nan, fraction=one) for one in (0.05, 0.1)] if task == "segment" else []
        settings = {"stores": [{"name": store.path.name, "fingerprint": store.fingerprint}], **more}
        result = replace(
            usual, task=task, label=label, kind="part", protocol="masks", scores=(score, *absent), settings=settings
        )
        place = result_folder(run, task=task, label=label, fingerprint=store.fingerprint)
        write_result(place, result)
    text = read_page(report([run], tmp_path / "report.html").read_text()).text
    for words in ("heart, average precision", "heart, Dice", "average precision with 95 % intervals"):
        assert words in text
    assert "Attention against masks, 100 % of the labels" not in text
    command = "vesalius evaluate vit --data phantom_store --task"
    assert f"{command} attention --label heart --maps deformable" in text
    assert f"{command} coordinates\n" in text or f"{command} coordinates " in text
    assert "--label places" not in text


@pytest.mark.parametrize(
    ("labelled", "words"),
    [
        ({}, "without seeing a single label"),
        ({"maps": {"labelled": {"images": ["a" * 64], "stores": []}}}, "guided by the mask of 1 image and by no other"),
        (
            {"regions": {"labelled": {"images": [], "stores": ["b" * 64]}}},
            "guided by a segmenter that had learned from masks and by no other label",
        ),
    ],
)
def test_the_first_sentence_tells_whose_labels_the_training_had(
    read_page: PageReader, build_run: RunBuilder, tmp_path: Path, labelled: dict[str, Any], words: str
) -> None:
    run = build_run(tmp_path / "vit")
    state = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(state | {"data": state["data"] | labelled}))
    assert words in read_page(report([run], tmp_path / "report.html").read_text()).text


def test_attention_says_its_input_size(one: Any) -> None:
    assert "Drawn at the input size of the weights, 64 × 64 px." in one.text
