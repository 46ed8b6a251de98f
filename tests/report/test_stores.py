from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vesalius.data.phantom import write_phantom
from vesalius.data.prepare import prepare
from vesalius.data.store import Store, open_store
from vesalius.evaluation.write_result import read_result, write_result
from vesalius.report.data_sheet import data_sheets
from vesalius.report.gallery import retrieval
from vesalius.report.pretraining_store import of_pretraining
from vesalius.report.run_folder import read_run
from vesalius.report.stores import Stores

RunBuilder = Callable[..., Path]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("other")
    write_phantom(folder / "scans", images=12, seed=9, size=64)
    return open_store(prepare(folder / "scans", folder / "elsewhere", size=64, workers=1, progress=False).store)


def _data(*parts: tuple[Store, str]) -> dict[str, object]:
    digest = hashlib.sha256()
    for store, split in parts:
        digest.update(f"{store.fingerprint}@{split}".encode())
    return {
        "store": " + ".join(store.path.name for store, _ in parts),
        "fingerprint": digest.hexdigest(),
        "split": [split for _, split in parts],
    }


def test_a_training_on_two_stores_finds_both_only_while_they_are_unchanged(store: Store, other: Store) -> None:
    stores = Stores([other, store])
    data = _data((store, "train"), (other, "all"))
    assert stores.trained_on(data) == ((store, "train"), (other, "all"))
    assert stores.trained_on(data | {"split": ["train", "val"]}) == ()
    assert stores.trained_on(data | {"fingerprint": "0" * 64}) == ()
    assert Stores([store]).trained_on(data) == ()
    assert stores.trained_on({}) == ()


def test_fingerprints_are_found_by_their_first_digits_and_nothing_by_none(store: Store) -> None:
    assert Stores([store]).of(store.fingerprint[:8]) is store
    assert Stores([store]).of("") is None


def test_each_training_store_gets_its_own_sheet(
    build_run: RunBuilder, store: Store, other: Store, tmp_path: Path
) -> None:
    run = read_run(build_run(tmp_path / "vit", about={"data": _data((store, "train"), (other, "all"))}))
    sheets = data_sheets([run], Stores([store, other]))
    assert [(sheet.name, sheet.missing) for sheet in sheets] == [("phantom_store", ""), ("elsewhere", "")]
    assert "pretraining of vit (train) and scoring" in sheets[0].roles.replace(", scoring of", " and scoring of", 1)
    assert sheets[1].roles == "pretraining of vit (all)"


def test_queries_of_a_test_store_and_neighbours_of_another(
    build_run: RunBuilder, store: Store, other: Store, tmp_path: Path
) -> None:
    folder = build_run(tmp_path / "vit")
    file = next((folder / "evaluations").glob("knn-*/neighbours.json"))
    content = json.loads(file.read_text())
    content["neighbours"] = [[1, 2, 3, 4, 5] for _ in content["queries"]]
    file.write_text(json.dumps(content | {"store": "/moved/of_another_name"}))
    result = json.loads(file.with_name("result.json").read_text())
    learned = [{"name": one.path.name, "fingerprint": one.fingerprint} for one in (other, store)]
    result["settings"]["stores"] = learned
    file.with_name("result.json").write_text(json.dumps(result))
    run = read_run(folder)
    evaluation = next(each for each in run.evaluations if each.neighbours and "/moved" in each.neighbours["store"])
    shown = retrieval(run, evaluation, Stores([store, other]))
    assert shown is not None
    assert shown.problem == ""
    assert [each.image_id for each in shown.rows[0][1:]] == [i[:8] for i in other.manifest["image_id"].iloc[1:6]]
    assert shown.rows[0][0].image_id in {each[:8] for each in store.manifest["image_id"]}
    lost = retrieval(run, evaluation, Stores([store]))
    assert lost is not None
    assert "was not found unchanged" in lost.problem


@pytest.mark.parametrize("protocol", ["patients", "images"])
def test_what_was_scored_on_no_store_is_not_looked_for(
    build_run: RunBuilder, store: Store, tmp_path: Path, protocol: str
) -> None:
    folder = build_run(tmp_path / "vit", about={"data": _data((store, "train"))})
    assert len(data_sheets([read_run(folder)], Stores([store]))) == 1
    one = next((folder / "evaluations").iterdir())
    write_result(folder / "evaluations" / "detect-objects-0123abcd", replace(read_result(one), protocol=protocol))
    run = read_run(folder)
    [scored] = [each for each in run.evaluations if each.result.protocol == protocol]
    assert scored.fingerprint == "0123abcd"
    assert of_pretraining(run, scored, Stores([store])) is None
    assert [sheet.name for sheet in data_sheets([run], Stores([store]))] == ["phantom_store"]
