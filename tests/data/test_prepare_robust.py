"""Folders and stores that hold what nobody expects."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vesalius.data.doctor import doctor
from vesalius.data.prepare import prepare
from vesalius.data.store import open_store
from vesalius.errors import DatasetError, SplitError, StoreError, UnreadableImageError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def run(source: Path, out: Path, **options):
    return prepare(source, out, **({"size": 16, "workers": 1, "progress": False} | options))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_sockets_do_not_block(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vesalius.data.read import sniff

    os.mkfifo(source / "pipe.png")
    os.mkfifo(source / "labels.csv")
    monkeypatch.chdir(source)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s.dcm")
    for name in ("pipe.png", "s.dcm"):
        with pytest.raises(UnreadableImageError, match="not a regular file"):
            sniff(source / name)
    refused = {one.file: one.reason for one in doctor(source).refused}
    assert set(refused) == {"pipe.png", "s.dcm"}
    for frames in ("auto", "all"):
        summary = run(source, tmp_path / frames, frames=frames)
        assert summary.read == 3
        assert {one.file: one.reason for one in summary.refused} == refused
    assert any("labels.csv: not a regular file" in line for line in open_store(tmp_path / "all").info["warnings"])


def test_nothing_is_written_before_a_bad_source_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "deep" / "deeper" / "s"
    with pytest.raises(DatasetError):
        run(tmp_path / "empty", out)
    with pytest.raises(DatasetError):
        run(tmp_path / "none", out)
    with pytest.raises(SplitError):
        run(source, out, split="given")
    assert not (tmp_path / "deep").exists()
    run(source, out)
    assert out.with_name("s.salt").exists()


@pytest.mark.parametrize("entry", ["arrays", "counts", "labels", "fingerprint", "checksums"])
def test_a_store_json_that_lacks_an_entry_is_no_store(source: Path, tmp_path: Path, entry: str) -> None:
    run(source, tmp_path / "s")
    about = tmp_path / "s" / "store.json"
    info = json.loads(about.read_text())
    del info[entry]
    about.write_text(json.dumps(info))
    with pytest.raises(StoreError, match=f"not a whole store.json: it lacks '{entry}'"):
        open_store(tmp_path / "s")


@pytest.mark.parametrize("name", ["../secret.npy", "/secret.npy", "..", "a\\b.npy", "sub/x.npy", "", 3])
def test_a_shard_outside_the_store_is_never_opened(source: Path, tmp_path: Path, name: object) -> None:
    run(source, tmp_path / "s")
    about = tmp_path / "s" / "store.json"
    info = json.loads(about.read_text())
    np.save(tmp_path / "secret.npy", np.zeros(3))
    shard = info["arrays"]["images"]["shards"][0]
    shard["file"], shard["bytes"] = name, (tmp_path / "secret.npy").stat().st_size
    about.write_text(json.dumps(info))
    with pytest.raises(StoreError, match="no file of the store's own folder"):
        open_store(tmp_path / "s")


def test_masks_are_a_property_and_their_absence_is_said(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "s")
    with pytest.raises(StoreError, match="has no masks"):
        _ = open_store(tmp_path / "s").masks
    images, masks = tmp_path / "f" / "images", tmp_path / "f" / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    mask = np.zeros((20, 20), np.uint8)
    mask[4:9, 3:12] = 255
    for path in source.glob("*.png"):
        path.rename(images / path.name)
        Image.fromarray(mask).save(masks / path.name)
    run(tmp_path / "f", tmp_path / "m", size=20)
    store = open_store(tmp_path / "m")
    assert store.masks.shape == (3, 20, 20)
    np.testing.assert_array_equal(store.masks[1], mask > 0)
