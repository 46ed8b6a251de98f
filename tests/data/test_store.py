from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vesalius.data.array_writer import ArrayLayout
from vesalius.data.salt import load_salt, salt_id
from vesalius.data.sharded_array import ShardedArray
from vesalius.data.store import Store, open_store
from vesalius.data.store_writer import StoreWriter, existing_store
from vesalius.errors import LabelError, StoreError

SIZE = 8
LAYOUTS = [
    ArrayLayout(name="images", row_shape=(SIZE, SIZE), dtype="uint16"),
    ArrayLayout(name="masks", row_shape=(SIZE, SIZE), dtype="uint8", parts=("background", "heart")),
]
LABELS = {"tb": {"kind": "binary", "classes": ["no", "yes"]}}
PIXELS = np.random.default_rng(0).integers(0, 65536, (20, SIZE, SIZE), dtype=np.uint16)
MASKS = (PIXELS % 2).astype(np.uint8)


def manifest(rows: int = 20) -> pd.DataFrame:
    number = np.arange(rows)
    return pd.DataFrame(
        {
            "image_id": [f"{row:016x}" for row in number],
            "source": [f"{row}.png" for row in number],
            "frame": 0,
            "sha256": "0" * 64,
            "pixel_sha256": [f"{row:064x}" for row in number],
            "patient": [f"{row // 2:016x}" for row in number],
            "patient_known": True,
            "study": None,
            "volume": None,
            "slice_mm": None,
            "split": np.where(number < 10, "train", np.where(number < 16, "val", "test")),
            "original_width": 40,
            "original_height": 20,
            "spacing_x_mm": None,
            "spacing_y_mm": None,
            "scale_x": 5.0,
            "scale_y": 5.0,
            "offset_x": 0.0,
            "offset_y": -10.0,
            "window_low": 0.0,
            "window_high": 65535.0,
            "window_source": "range",
            "bits": 16,
            "inverted": False,
            "colour": False,
            "has_masks": True,
            "label_tb": [None if row % 5 == 0 else row % 2 for row in number],
        }
    )


def write(out: Path, *, shard_bytes: int = 128 + 6 * SIZE * SIZE * 2) -> Store:
    with StoreWriter(out, plan={"size": SIZE}, layouts=LAYOUTS, shard_bytes=shard_bytes) as writer:
        for start in range(writer.rows, 20, 7):
            rows = slice(start, start + 7)
            writer.commit({"images": PIXELS[rows], "masks": MASKS[rows]}, {"kept": []}, needed_bytes=0)
        counts = {"images": 20}
        refused = pd.DataFrame([("x.png", 0, "broken, \u00e9", "")], columns=["file", "frame", "reason", "advice"])
        return writer.finish(manifest(), refused, pd.DataFrame(columns=["file"]), {"labels": LABELS, "counts": counts})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return write(tmp_path_factory.mktemp("stores") / "s")


def test_rows_come_back_from_several_shards(store: Store) -> None:
    assert [shard["rows"] for shard in store.info["arrays"]["images"]["shards"]] == [6, 6, 6, 2]
    assert all(
        (store.path / s["file"]).stat().st_size <= 128 + 6 * 128 for s in store.info["arrays"]["images"]["shards"]
    )
    assert store.images.shape == (20, SIZE, SIZE)
    np.testing.assert_array_equal(store.images[:], PIXELS)
    np.testing.assert_array_equal(store.array("masks")[:], MASKS)
    assert (store.size, store.channels, store.dtype, len(store)) == (SIZE, 1, np.dtype("uint16"), 20)
    assert store.maps == ("masks",)
    assert store.has("masks")
    assert not store.has("atlas")


def test_shards_are_plain_npy(store: Store) -> None:
    np.testing.assert_array_equal(np.load(store.path / "images-00001.npy"), PIXELS[6:12])


@pytest.mark.parametrize(
    "index", [[5, 19, 0, 5], np.array([-1, 3]), [], slice(3, 15, 4), slice(None, None, -3), np.arange(20) % 3 == 0]
)
def test_indexing_is_numpys(store: Store, index) -> None:
    expected = PIXELS[np.asarray(index, dtype=int) if isinstance(index, list) else index]
    np.testing.assert_array_equal(store.images[index], expected)


def test_one_row_and_iteration(store: Store) -> None:
    np.testing.assert_array_equal(store.images[np.int64(-2)], PIXELS[-2])
    np.testing.assert_array_equal(np.stack(list(store.images)), PIXELS)


@pytest.mark.parametrize("index", [20, -21, [3, 20], [0.5], np.zeros(3, dtype=bool), np.zeros((2, 2), dtype=int)])
def test_rows_outside_are_index_errors(store: Store, index) -> None:
    with pytest.raises(IndexError):
        store.images[index]


def test_an_opened_array_travels_to_another_process(store: Store) -> None:
    array = store.images
    array[0]
    sent = pickle.dumps(array)
    assert len(sent) < 2000
    back: ShardedArray = pickle.loads(sent)
    np.testing.assert_array_equal(back[[7, 1]], PIXELS[[7, 1]])


def test_what_is_read_is_a_copy(store: Store) -> None:
    row = store.images[0]
    row[:] = 0
    np.testing.assert_array_equal(store.images[0], PIXELS[0])


def test_rows_by_split_and_label(store: Store) -> None:
    assert store.rows(split="val").tolist() == [10, 11, 12, 13, 14, 15]
    assert store.rows(split=("val", "test"), label="tb").tolist() == [11, 12, 13, 14, 16, 17, 18, 19]
    assert len(store.rows()) == 20
    with pytest.raises(StoreError, match=r"no split 'valid'"):
        store.rows(split="valid")
    with pytest.raises(LabelError, match=r"no label 'tbc'.*did you mean 'tb'"):
        store.rows(label="tbc")
    with pytest.raises(StoreError, match=r"no array 'mask'.*did you mean 'masks'"):
        store.array("mask")


def test_coordinates_map_back_to_the_original(store: Store) -> None:
    points = store.to_source(3, np.array([[0.0, 2.0], [8.0, 6.0]]))
    np.testing.assert_allclose(points, [[0, 0], [40, 20]])


def test_tables(store: Store) -> None:
    assert store.refused.to_dict("records") == [
        {"file": "x.png", "frame": "0", "reason": "broken, \u00e9", "advice": ""}
    ]
    assert len(store.manifest) == 20
    assert len(store.duplicates) == 0


def test_verify_finds_one_flipped_bit(tmp_path: Path) -> None:
    store = write(tmp_path / "s")
    store.verify()
    path = store.path / "images-00002.npy"
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)
    open_store(store.path)
    with pytest.raises(StoreError, match=r"images-00002\.npy differs from its checksum"):
        store.verify()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda s: (s / "images-00001.npy").unlink(), r"images-00001\.npy is missing"),
        (lambda s: (s / "images-00001.npy").write_bytes(b"short"), "has 5 bytes, expected"),
        (lambda s: (s / "manifest.parquet").unlink(), r"manifest\.parquet is missing"),
        (lambda s: (s / "store.json").unlink(), "is not a store"),
        (lambda s: (s / "store.json").write_text("{"), "not readable"),
        (lambda s: (s / "store.json").write_text('{"schema": 99}'), "layout version 99"),
        (lambda s: (s / "journal").mkdir(), "unfinished"),
    ],
)
def test_damaged_stores_do_not_open(tmp_path: Path, damage, said: str) -> None:
    write(tmp_path / "s")
    damage(tmp_path / "s")
    with pytest.raises(StoreError, match=said):
        open_store(tmp_path / "s")


def test_a_missing_store_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"does not exist.*vesalius prepare"):
        open_store(tmp_path / "none")
    (tmp_path / "s.partial").mkdir()
    with pytest.raises(StoreError, match=r"s\.partial is an unfinished one"):
        open_store(tmp_path / "s")


def test_fingerprint_follows_pixels_and_labels_not_maps(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    assert first.fingerprint == second.fingerprint
    with StoreWriter(tmp_path / "c", plan={}, layouts=LAYOUTS) as writer:
        writer.commit({"images": PIXELS[::-1], "masks": MASKS}, {}, needed_bytes=0)
        empty = pd.DataFrame(columns=["file"])
        third = writer.finish(manifest(), empty, empty, {"labels": LABELS, "counts": {"images": 20}})
    assert third.fingerprint != first.fingerprint


def test_shard_size_does_not_change_what_is_read(tmp_path: Path) -> None:
    store = write(tmp_path / "s", shard_bytes=10**6)
    assert len(store.info["arrays"]["images"]["shards"]) == 1
    np.testing.assert_array_equal(store.images[:], PIXELS)


def commit_some(writer: StoreWriter, start: int, stop: int) -> None:
    writer.commit({"images": PIXELS[start:stop], "masks": MASKS[start:stop]}, {"kept": [{"at": start}]}, needed_bytes=0)


def test_a_partial_resumes_after_its_last_commit(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", plan={"size": SIZE}, layouts=LAYOUTS) as writer:
        commit_some(writer, 0, 7)
        # What a crash between the pixels and the journal leaves behind: rows that nobody vouches for.
        writer._arrays[0].append(PIXELS[15:18])
    assert existing_store(tmp_path / "s") is None
    with pytest.raises(StoreError, match=r"unfinished"):
        open_store(tmp_path / "s.partial")
    with StoreWriter(tmp_path / "s", plan={"size": SIZE}, layouts=LAYOUTS) as writer:
        assert (writer.chunks, writer.rows) == (1, 7)
        assert writer.records[0]["records"] == {"kept": [{"at": 0}]}
    store = write(tmp_path / "s", shard_bytes=2_000_000_000)
    np.testing.assert_array_equal(store.images[:], PIXELS)
    assert not (tmp_path / "s.partial").exists()


def test_another_plan_does_not_resume(tmp_path: Path) -> None:
    with StoreWriter(tmp_path / "s", plan={"size": SIZE, "fit": "pad"}, layouts=LAYOUTS) as writer:
        commit_some(writer, 0, 7)
    with pytest.raises(StoreError, match=r"fit was 'pad', now 'crop'.*--no-resume"):
        StoreWriter(tmp_path / "s", plan={"size": SIZE, "fit": "crop"}, layouts=LAYOUTS)
    with StoreWriter(tmp_path / "s", plan={"size": SIZE, "fit": "crop"}, layouts=LAYOUTS, resume=False) as writer:
        assert writer.rows == 0


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    first = StoreWriter(tmp_path / "s", plan={}, layouts=LAYOUTS)
    with pytest.raises(StoreError, match=r"another process is writing"):
        StoreWriter(tmp_path / "s", plan={}, layouts=LAYOUTS)
    first.close()
    StoreWriter(tmp_path / "s", plan={}, layouts=LAYOUTS).close()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    write(tmp_path / "s")
    with pytest.raises(StoreError, match=r"already exists"):
        StoreWriter(tmp_path / "s", plan={}, layouts=LAYOUTS)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(StoreError, match=r"already exists"):
        StoreWriter(tmp_path / "thesis", plan={}, layouts=LAYOUTS)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_store_json_is_for_people_too(store: Store) -> None:
    text = (store.path / "store.json").read_text()
    about = json.loads(text)
    assert about["arrays"]["masks"]["parts"] == ["background", "heart"]
    assert "offset_x + scale_x * x_store" in about["coordinates"]
    assert set(about["checksums"]) == {path.name for path in store.path.iterdir()} - {"store.json"}


def test_salt_is_made_once_private_and_long_enough(tmp_path: Path) -> None:
    salt = load_salt(tmp_path / "deep" / "s.salt")
    assert len(salt) >= 32
    assert (tmp_path / "deep" / "s.salt").stat().st_mode & 0o777 == 0o600
    assert load_salt(tmp_path / "deep" / "s.salt") == salt
    assert load_salt(tmp_path / "other.salt") != salt
    assert salt_id(salt) not in salt.decode()
    (tmp_path / "short").write_text("pepper\n")
    with pytest.raises(StoreError, match=r"6 bytes is too short"):
        load_salt(tmp_path / "short")
