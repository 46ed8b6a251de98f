"""COCO's format: outlines and run lengths drawn, crowds void, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.adapters.registry import find_adapter
from vesalius.data.masks import VOID
from vesalius.data.prepare import prepare
from vesalius.data.store import open_store
from vesalius.errors import ConfigError, ManifestError
from vesalius.evaluation.mask_parts import mask_parts, void_value


def write_coco(folder: Path, annotations: list[dict]) -> None:
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    for seed, name in enumerate(("1.jpg", "2.jpg")):
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 60, 3), dtype=np.uint8)).save(
            folder / "val2017" / name
        )
    content = {
        "images": [{"id": one, "file_name": f"{one}.jpg", "width": 60, "height": 40} for one in (1, 2)],
        "categories": [{"id": 1, "name": "dog"}, {"id": 7, "name": "traffic light"}],
        "annotations": annotations,
    }
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(content))


def test_coco(tmp_path: Path) -> None:
    """A large dog with a small traffic light before it, and a crowd."""
    square = [10, 10, 39, 10, 39, 29, 10, 29]
    write_coco(
        tmp_path / "coco",
        [
            {"id": 1, "image_id": 1, "category_id": 7, "area": 25, "segmentation": [[20, 15, 24, 15, 24, 19, 20, 19]]},
            {"id": 2, "image_id": 1, "category_id": 1, "area": 600, "segmentation": [square]},
            {
                "id": 3,
                "image_id": 2,
                "category_id": 1,
                "area": 9,
                "iscrowd": 1,
                "segmentation": {"counts": [85, 9, 2306], "size": [40, 60]},
            },
        ],
    )
    adapter = find_adapter("auto", tmp_path / "coco")
    assert adapter.name == "coco"
    first, second = adapter.samples(tmp_path / "coco")
    assert (first.labels, first.split) == ({"dog": 1, "traffic_light": 1}, "val")
    assert [name for name, _ in first.outlines] == ["dog", "traffic_light"]
    assert [name for name, _ in second.outlines] == ["void"]
    assert any("1 crowds are void in the masks" in note for note in adapter.notes)
    prepare(tmp_path / "coco", tmp_path / "store", size=60, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    names = store.info["arrays"]["masks"]["parts"]
    masks = store.masks[np.arange(2)]
    row = int(np.flatnonzero(store.manifest["source"] == "val2017/1.jpg")[0])
    dog, light = (masks[row] == names.index(name) for name in ("dog", "traffic_light"))
    assert (dog | light).sum() == 600
    assert light.sum() == 25
    assert light[25:30, 20:25].all()  # ten rows of padding above
    crowd = np.zeros((60, 60), dtype=bool)
    crowd[15:24, 2] = True  # the third column, from its sixth row on
    assert np.array_equal(masks[1 - row] == names.index("void"), crowd)
    assert not masks[1 - row][~crowd].any()


def runs_of(inside: np.ndarray) -> list[int]:
    """Uncompressed run lengths, column by column, outside first."""
    flat = np.concatenate([[0], inside.T.ravel().astype(int), [-1]])
    ends = np.flatnonzero(np.diff(flat))
    return [int(one) for one in np.diff(np.concatenate([[0], ends]))]


def test_coco_objects_and_crowds_of_run_lengths(tmp_path: Path) -> None:
    """A packed dog, a plain traffic light before it, and crowds in every notation, one of them behind an object."""
    encode = pytest.importorskip("pycocotools.mask").encode
    dog, light, near, far = np.zeros((4, 40, 60), dtype=bool)
    dog[5:35, 5:30], light[10:14, 10:14], near[0:10, 40:60], far[20:40, 40:60] = True, True, True, True
    packed = {
        name: {"size": [40, 60], "counts": encode(np.asfortranarray(one, dtype=np.uint8))["counts"].decode()}
        for name, one in (("dog", dog), ("far", far))
    }
    plain = {name: {"size": [40, 60], "counts": runs_of(one)} for name, one in (("light", light), ("near", near))}
    inner = [45, 25, 49, 25, 49, 29, 45, 29]
    told = [
        {"category_id": 1, "area": 750, "segmentation": packed["dog"], "iscrowd": 0},
        {"category_id": 7, "area": 16, "segmentation": plain["light"], "iscrowd": 0},
        {"category_id": 1, "area": 200, "segmentation": plain["near"], "iscrowd": 1},
        {"category_id": 1, "area": 400, "segmentation": packed["far"], "iscrowd": 1},
        {"category_id": 7, "area": 25, "segmentation": [inner], "iscrowd": 0},
        {"category_id": 7, "area": 9, "segmentation": [[0, 36, 2, 36, 2, 38, 0, 38]], "iscrowd": 1},
    ]
    write_coco(tmp_path / "coco", [{"id": number, "image_id": 1} | one for number, one in enumerate(told, 1)])
    prepare(tmp_path / "coco", tmp_path / "store", size=60, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    names = store.info["arrays"]["masks"]["parts"]
    assert names == ["background", "dog", "traffic_light", "void"]
    row = int(np.flatnonzero(store.manifest["source"] == "val2017/1.jpg")[0])
    found = store.masks[row][10:50]
    wanted = np.where(dog, 1, 0)
    wanted[light], wanted[near | far] = 2, 3
    wanted[25:30, 45:50], wanted[36:39, 0:3] = 2, 3  # what is smaller lies over what is larger
    assert np.array_equal(found, wanted)
    assert void_value(store) == 3
    assert set(mask_parts(store, ())[0]) == {"dog", "traffic_light"}


@pytest.mark.parametrize(
    "runs",
    [
        {"size": [40, 60], "counts": [1]},
        {"size": [40, 60], "counts": [2401, -1]},
        {"size": [40], "counts": [40]},
        {"counts": [2400]},
        {"size": [40, 60]},
        "all of it",
    ],
)
def test_run_lengths_that_do_not_fill_their_size(tmp_path: Path, runs: object) -> None:
    write_coco(tmp_path / "coco", [{"id": 5, "image_id": 1, "category_id": 1, "area": 9, "segmentation": runs}])
    with pytest.raises(ManifestError, match=r"instances_val2017.json: object 5 has run lengths that do not fill"):
        find_adapter("coco", tmp_path / "coco").samples(tmp_path / "coco")


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ({"size": [30, 60], "counts": [1800]}, r"its mask (dog): run lengths of 60 x 30, the image is 60 x 40"),
        ({"size": [40, 60], "counts": "abcdef"}, r"its mask (dog): damaged run lengths"),
    ],
)
def test_run_lengths_that_cannot_be_drawn(tmp_path: Path, runs: dict[str, object], said: str) -> None:
    pytest.importorskip("pycocotools")
    write_coco(tmp_path / "coco", [{"id": 5, "image_id": 1, "category_id": 1, "area": 9, "segmentation": runs}])
    prepare(tmp_path / "coco", tmp_path / "store", size=60, workers=1, progress=False)
    store = open_store(tmp_path / "store")
    assert (len(store), store.manifest["has_masks"].any()) == (2, False)
    assert store.refused["reason"].str.startswith(said).tolist() == [True]


def test_packed_run_lengths_name_the_package_they_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesalius.data.adapters.coco.find_spec", lambda _: None)
    runs = {"size": [40, 60], "counts": "abc"}
    write_coco(tmp_path / "coco", [{"id": 5, "image_id": 1, "category_id": 1, "area": 9, "segmentation": runs}])
    with pytest.raises(ConfigError, match=r"need pycocotools: pip install 'vesalius\[detection\]'"):
        find_adapter("coco", tmp_path / "coco").samples(tmp_path / "coco")


def test_tables_that_are_not_coco(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco", [{"id": 1, "image_id": 1, "category_id": 3, "area": 25, "segmentation": []}])
    with pytest.raises(ManifestError, match="object 1 is of class 3, which is not listed"):
        find_adapter("coco", tmp_path / "coco").samples(tmp_path / "coco")
    table = tmp_path / "coco/annotations/instances_val2017.json"
    table.write_text('{"images": []}')
    with pytest.raises(ManifestError, match="lacks annotations, categories"):
        find_adapter("coco", tmp_path / "coco").samples(tmp_path / "coco")
    table.write_text("no json")
    with pytest.raises(ManifestError, match="is no table of COCO"):
        find_adapter("coco", tmp_path / "coco").samples(tmp_path / "coco")
    write_coco(tmp_path / "other", [])
    content = json.loads((tmp_path / "other/annotations/instances_val2017.json").read_text())
    content["images"][0]["file_name"] = "../../secret.jpg"
    (tmp_path / "other/annotations/instances_val2017.json").write_text(json.dumps(content))
    with pytest.raises(ManifestError, match="leads out of"):
        find_adapter("coco", tmp_path / "other").samples(tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"annotations": [{"id": 1, "image_id": 1}]}, "one of annotations lacks category_id"),
        ({"images": [{"id": 1}]}, "one of images lacks file_name"),
        ({"images": [{"id": 1.5, "file_name": "1.jpg"}]}, "has the id 1.5, no whole number"),
        ({"categories": 3}, "is no table of COCO"),
        ({"images": [{"id": 1, "file_name": "1.jpg"}, {"id": 1, "file_name": "2.jpg"}]}, "2 of images have the id 1"),
        ({"categories": [{"id": 1, "name": "cell"}, {"id": 1, "name": "nucleus"}]}, "2 of categories have the id 1"),
        ({"annotations": [{"id": 7, "image_id": 1, "category_id": 1, "area": None}]}, "object 7 has the area None"),
        (
            {"annotations": [{"id": 6, "image_id": 1, "category_id": 1, "segmentation": [1, 2, 3, 4, 5, 6]}]},
            "object 6 has an outline that is no list of numbers: 1",
        ),
        ({"annotations": ["dog"]}, "one of annotations is 'dog'"),
        (
            {"annotations": [{"id": 4, "image_id": 1, "category_id": 1, "segmentation": [[1, 2, 3, 4, 5, "six"]]}]},
            "object 4 has an outline that is no list of numbers",
        ),
        (
            {"images": [{"id": 1, "file_name": "1.jpg", "patient_id": [3]}]},
            r"patient_id of image 1 is \[3\]; give a text or a whole number",
        ),
    ],
)
def test_what_a_table_lacks_is_told(tmp_path: Path, change: dict[str, object], why: str) -> None:
    write_coco(tmp_path / "coco", [])
    table = tmp_path / "coco/annotations/instances_val2017.json"
    table.write_text(json.dumps(json.loads(table.read_text()) | change))
    with pytest.raises(ManifestError, match=rf"instances_val2017.json: .*{why}"):
        find_adapter("coco", tmp_path / "coco").samples(tmp_path / "coco")


def test_patients_are_read_and_objects_without_an_image_are_told(tmp_path: Path) -> None:
    outline = {"id": 1, "category_id": 1, "area": 9, "segmentation": []}
    write_coco(tmp_path / "coco", [outline | {"image_id": 1}, outline | {"image_id": 9}])
    table = tmp_path / "coco/annotations/instances_val2017.json"
    content = json.loads(table.read_text())
    content["images"][0]["patient_id"] = "17 "
    table.write_text(json.dumps(content))
    adapter = find_adapter("coco", tmp_path / "coco")
    assert [one.patient for one in adapter.samples(tmp_path / "coco")] == ["17", "val2017_2"]
    assert any("1 objects are of images that it does not list" in text for text in adapter.warnings)


def test_a_box_beside_outlines_is_void_and_boxes_alone_are_no_masks(tmp_path: Path) -> None:
    square = [10, 10, 39, 10, 39, 29, 10, 29]
    dog = {"id": 1, "image_id": 1, "category_id": 1, "area": 600, "segmentation": [square]}
    light = {"id": 2, "image_id": 1, "category_id": 7, "area": 100, "segmentation": [], "bbox": [44, 5, 10, 10]}
    write_coco(tmp_path / "coco", [dog, light, light | {"id": 3, "image_id": 2}])
    adapter = find_adapter("coco", tmp_path / "coco")
    first, second = adapter.samples(tmp_path / "coco")
    assert first.outlines == ((VOID, (44, 5, 54, 5, 54, 15, 44, 15)), ("dog", tuple(map(float, square))))
    assert (second.outlines, second.labels["traffic_light"]) == ((), 1)
    assert any("1 objects have a box and no outline beside others" in note for note in adapter.notes)
    write_coco(tmp_path / "bare", [dog, light | {"bbox": [1, 2]}])
    with pytest.raises(ManifestError, match=r"object 2 has no outline of three corners, and its box is \[1, 2\]"):
        find_adapter("coco", tmp_path / "bare").samples(tmp_path / "bare")


@pytest.mark.real
def test_coco_here(real_data: Path) -> None:
    adapter = find_adapter("auto", real_data / "coco128")
    found = adapter.samples(real_data / "coco128")
    assert (adapter.name, len(found)) == ("coco", 68)
    assert all(sample.path.is_file() and sample.split == "val" for sample in found)
    assert sum(bool(sample.outlines) for sample in found) > 60
    for sample in found:
        drawn = {name for name, _ in sample.outlines} - {VOID}
        assert drawn <= {name for name, there in sample.labels.items() if there == 1}
