"""Folders in COCO's format: what is read of them, and how they are divided into what is learned from and scored."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask

from vesalius.errors import ManifestError, SplitError
from vesalius.evaluation.coco_objects import masks_of, pixels_of, read_objects


def test_runs_of_both_kinds_and_any_numbers_are_read(write_shapes: Callable[..., Path], tmp_path: Path) -> None:
    """Compressed run lengths, objects numbered from 0, blank images: what COCO's own code reads, or trips over."""
    folder = write_shapes(tmp_path / "runs", {"val": 6})
    table = folder / "annotations" / "instances_val.json"
    content = json.loads(table.read_text())
    before = read_objects(folder)
    drawn = {one.number: masks_of(one) for one in (*before.train, *before.test)}
    for number, one in enumerate(content["annotations"]):
        runs = mask.merge(mask.frPyObjects(one["segmentation"], 48, 56))
        one |= {"id": number, "segmentation": {"size": [48, 56], "counts": runs["counts"].decode()}}
    table.write_text(json.dumps(content))
    after = read_objects(folder)
    for one in (*after.train, *after.test):
        assert np.array_equal(masks_of(one), drawn[one.number])
    assert [one["id"] for one in after.truth["annotations"]] == list(range(1, 1 + len(after.truth["annotations"])))
    blank = after.test[0]
    Image.fromarray(np.zeros((48, 56), dtype=np.uint8)).save(blank.path)
    assert not pixels_of(blank, 1).any()
    assert read_objects(folder).fingerprint != after.fingerprint  # other pixels


def test_one_table_is_divided_by_the_seed(write_shapes: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "one", {"val2017": 9})
    sets = [read_objects(folder, seed=seed) for seed in (0, 0, 1)]
    numbers = [tuple(one.number for one in each.test) for each in sets]
    assert numbers[0] == numbers[1] != numbers[2]
    first = sets[0]
    assert len(first.test) == 3
    assert not set(numbers[0]) & {one.number for one in first.train}
    assert {one["id"] for one in first.truth["images"]} == set(numbers[0])
    assert (first.classes, first.categories) == (("tall", "wide"), (3, 7))
    image = first.train[0]
    assert pixels_of(image, 3).shape == (3, 48, 56)
    masks = masks_of(image)
    assert masks.shape == (len(image.boxes), 48, 56)
    x0, y0, x1, y1 = (int(at) for at in image.boxes[0])
    assert masks[0].sum() == (x1 - x0) * (y1 - y0) == masks[0, y0:y1, x0:x1].sum()


def test_one_table_is_divided_by_patient(
    write_shapes: Callable[..., Path], name_patients: Callable[..., None], tmp_path: Path
) -> None:
    folder = write_shapes(tmp_path / "one", {"val": 12})
    before = read_objects(folder)
    assert (before.by_patient, before.scored_patients) == (False, None)
    name_patients(folder, "val", [f"p{number % 4}" for number in range(12)])
    for seed in range(3):
        found = read_objects(folder, seed=seed)
        assert found.by_patient
        assert found.sides == f"a third of the images of instances_val.json scored, by patient, seed {seed}"
        assert not {one.patient for one in found.train} & {one.patient for one in found.test}
        assert found.scored_patients == {one.number: f"p{(one.number - 10) % 4}" for one in found.test}
    name_patients(folder, "val", ["a", 7] * 6)
    with pytest.raises(SplitError, match=r"instances_val.json: 2 patients; at least 3"):
        read_objects(folder)
    name_patients(folder, "val", [1.5] * 12)
    with pytest.raises(ManifestError, match=r"patient_id of image 10 is 1.5; give a text or a whole number"):
        read_objects(folder)


def test_some_patients_are_as_good_as_none(
    write_shapes: Callable[..., Path], name_patients: Callable[..., None], tmp_path: Path
) -> None:
    folder = write_shapes(tmp_path / "one", {"val": 9})
    before = read_objects(folder)
    name_patients(folder, "val", [*["p"] * 6, *[None] * 2, ""])
    after = read_objects(folder)
    assert not after.by_patient
    assert [one.number for one in after.test] == [one.number for one in before.test]
    assert after.sides == f"{before.sides}; 3 of 9 images tell no patient_id: images are drawn"


def test_a_patient_of_both_tables_is_refused(
    write_shapes: Callable[..., Path], name_patients: Callable[..., None], tmp_path: Path
) -> None:
    folder = write_shapes(tmp_path / "two", {"train": 4, "val": 3})
    name_patients(folder, "train", [1, 1, 2, 3])
    name_patients(folder, "val", ["3", "4", "4"])
    told = r"two: 1 of 4 patients \(2 images\) are on more than one side: 1 in train and val; .*into one table"
    with pytest.raises(SplitError, match=told):
        read_objects(folder)
    name_patients(folder, "val", [5, 4, 4])
    assert read_objects(folder).by_patient


@pytest.mark.parametrize(
    ("tables", "advice"),
    [({"train": 5, "val": 4}, "take them out of one of the tables"), ({"val": 9}, "take all but one of each out of")],
)
def test_a_file_on_both_sides_is_refused(
    write_shapes: Callable[..., Path], tmp_path: Path, tables: dict[str, int], advice: str
) -> None:
    """Whatever it is called; a file of the same size is another."""
    folder = write_shapes(tmp_path / "set", tables)
    found = read_objects(folder)
    for mine, theirs in zip(found.train[:4], [*found.test, found.test[0]][:4], strict=True):
        shutil.copy(theirs.path, mine.path)
    names = [str(one.path.relative_to(folder)) for one in (found.train[0], found.test[0])]
    with pytest.raises(SplitError, match=rf"set: 4 images .* byte for byte: {names[0]} = .* and 1 more; {advice}"):
        read_objects(folder)
    for one in found.train[:4]:
        content = bytearray(one.path.read_bytes())
        content[-1] ^= 1
        one.path.write_bytes(content)
    assert {one.number for one in read_objects(folder).train} == {one.number for one in found.train}
