"""The figures: a row an image, a group of columns a run, and which head stands for a part."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from vesalius import pipeline
from vesalius.cli import app
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, EvaluationError, RunError
from vesalius.evaluation.attention_rows import attention_rows
from vesalius.interpret.explain_figures import FIGURES
from vesalius.interpret.explained_run import open_run
from vesalius.interpret.localisation import mass_overlap
from vesalius.interpret.pictures import PART_COLOURS

CELL = 160


@pytest.fixture
def free_run(write_run: Callable[..., Path]) -> Path:
    return write_run("free", "guidance=null", seed=1)


@pytest.fixture
def images(triangle_store: Path) -> list[Path]:
    return sorted((triangle_store.parent / "scans" / "images").iterdir())[:3]


def figure(name: str, run: Path, images: list[Path], **options) -> Path:
    (path,) = pipeline.explain(run, images, figure=name, progress=False, device="cpu", **options)
    assert path.name == f"figure_{name}.png"
    return path


def shown(path: Path) -> dict[str, list[list]]:
    return {one["run"]: one["columns"] for one in json.loads(path.with_suffix(".json").read_text())["shown"]}


def test_all_heads_of_two_runs(guided_run: Path, free_run: Path, images: list[Path]) -> None:
    path = figure("heads", guided_run, images, compare=[free_run])
    assert path.parent == guided_run / "explanations"
    assert shown(path) == {"guided": [["head 0", 0], ["heart (head 1)", 1]], "free": [["head 0", 0], ["head 1", 1]]}
    sheet = np.asarray(Image.open(path))
    assert sheet.shape[1] >= 5 * CELL
    assert 3 * CELL < sheet.shape[0] < 4 * CELL
    only = figure("heads", guided_run, images, heads=[1], overwrite=True)
    assert shown(only) == {"guided": [["heart (head 1)", 1]]}


def test_a_guided_head_stands_for_its_part_and_the_best_where_none_is_guided(
    guided_run: Path, free_run: Path, triangle_store: Path, images: list[Path]
) -> None:
    """The best by mean IoU with the masks at 60 % of the mass, over the images that are shown."""
    path = figure("parts", guided_run, images, compare=[free_run], store=triangle_store, parts=["heart", "left_lung"])
    store = open_store(triangle_store)
    rows = [int(np.flatnonzero(store.manifest["source"].str.endswith(image.name))[0]) for image in images]
    free = open_run(free_run).backbone
    attention = attention_rows(free, store, np.array(rows), precision="fp32", device="cpu")
    names = list(store.info["arrays"]["masks"]["parts"])
    best = {}
    for part in ("heart", "left_lung"):
        truth = torch.from_numpy(store.masks[rows] == names.index(part))
        overlaps = [float(mass_overlap(attention[:, head], truth).mean()) for head in range(2)]
        assert abs(overlaps[0] - overlaps[1]) > 1e-3, "a close call would not test the choice"
        best[part] = int(np.argmax(overlaps))
    assert shown(path)["guided"][0] == ["heart (head 1)", 1]
    assert shown(path)["free"] == [
        [f"heart (best: head {best['heart']})", best["heart"]],
        [f"left lung (best: head {best['left_lung']})", best["left_lung"]],
    ]


def test_without_any_knowledge_guided_parts_are_shown_and_no_head_is_chosen(
    guided_run: Path, free_run: Path, images: list[Path]
) -> None:
    assert shown(figure("parts", guided_run, images)) == {"guided": [["heart (head 1)", 1]]}
    with pytest.raises(EvaluationError, match=r"free: no head is guided to 'heart'.* give --store"):
        figure("parts", guided_run, images, compare=[free_run], overwrite=True)
    with pytest.raises(EvaluationError, match="no run guides a head"):
        figure("parts", free_run, images)
    with pytest.raises(EvaluationError, match="give --store and --maps"):
        figure("templates", free_run, images)
    with pytest.raises(ConfigError, match="no part 'hart'; parts: heart; did you mean 'heart'"):
        figure("parts", guided_run, images, parts=["hart"])


def test_templates_of_a_store_beside_its_masks(guided_run: Path, triangle_store: Path, images: list[Path]) -> None:
    path = figure("templates", guided_run, images, store=triangle_store)
    sheet = np.asarray(Image.open(path))
    titles, legend = 56, 28
    columns = [sheet[titles:-legend, left : left + CELL] for left in (6, 184, 350)]
    for colour in PART_COLOURS[:3]:
        assert not (columns[0] == colour).all(-1).any(), "the image alone"
        assert min((column == colour).all(-1).sum() for column in columns[1:]) > 100
        assert (sheet[-legend:] == colour).all(-1).sum() > 100, "the legend"
    # Masks and maps name their parts in another order; a part has one colour all the same: the patient's left lung is
    # to the right in the picture.
    for column in columns[1:]:
        left, right = (np.argwhere((column == colour).all(-1))[:, 1].mean() for colour in PART_COLOURS[:2])
        assert right < CELL / 2 < left


def test_a_figure_of_other_images_is_refused(guided_run: Path, images: list[Path]) -> None:
    path = figure("heads", guided_run, images)
    before = path.stat().st_mtime_ns
    assert figure("heads", guided_run, images).stat().st_mtime_ns == before
    with pytest.raises(RunError, match=r"different: images\)"):
        figure("heads", guided_run, images[:2])


def test_the_command_line(guided_run: Path, triangle_store: Path, images: list[Path], tmp_path: Path) -> None:
    words = [str(guided_run), *map(str, images[:2]), "--store", str(triangle_store), "--device", "cpu"]
    done = CliRunner().invoke(app, ["explain", *words, "--part", "heart", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert [line.rsplit("/", 1)[1] for line in done.output.splitlines() if line.startswith("explanation:")] == [
        image.stem for image in images[:2]
    ]
    assert (tmp_path / "out" / images[0].stem / "heart_head_1.png").is_file()
    for name in FIGURES:
        done = CliRunner().invoke(app, ["explain", *words, "--figure", name])
        assert done.exit_code == 0, done.output
        assert (guided_run / "explanations" / f"figure_{name}.png").is_file()
