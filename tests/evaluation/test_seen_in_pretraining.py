"""A pretraining leaves the record from which an evaluation says what of its images were seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from vesalius import pipeline
from vesalius.data.pool_record import read_pool
from vesalius.errors import RunError

TINY = (
    "views.options={size: 32, locals: 0}",
    "backbone={name: test_vit, image_size: 32}",
    "method={name: dino, prototypes: 64, hidden: 32, bottleneck: 16}",
    "training={batch_size: 16, epochs: 0.25, accelerator: cpu}",
)


def test_a_run_records_its_images_and_an_older_one_gets_the_record_from_the_same_data_only(
    phantom_store: Path, tmp_path: Path
) -> None:
    table = pipeline.open_store(phantom_store).manifest
    run = pipeline.pretrain("dino/small", data=phantom_store, out=tmp_path / "run", overrides=TINY)
    train = table[table["split"] == "train"]
    pool = read_pool(run / "pool.parquet")
    assert pool is not None
    assert list(pool.columns) == ["patient", "pixel_sha256", "pseudonyms"]
    assert pool["pixel_sha256"].tolist() == train["pixel_sha256"].tolist()
    (run / "pool.parquet").unlink()
    pipeline.pretrain("dino/small", data=f"{phantom_store}@all", out=run, resume=True)
    assert read_pool(run / "pool.parquet") is None
    pipeline.pretrain("dino/small", data=phantom_store, out=run, resume=True)
    test_side = table[table["split"] == "test"]
    names = ("any_finding", "effusion", "opacity", "cardiomegaly", "sex")
    label = next(name for name in names if test_side[f"label_{name}"].nunique() == 2)
    options = {"fractions": (1.0,), "seeds": 1, "random_inits": 1, "bootstrap": 20, "device": "cpu"}
    result = pipeline.evaluate(
        run, data=phantom_store, task="knn", label=label, protocol="folds", folds=3, progress=False, **options
    )
    seen = result.settings["seen_in_pretraining"]
    scored = table[table[f"label_{label}"].notna()]
    assert (seen["test_images"], seen["of_images"]) == (int((scored["split"] == "train").sum()), len(scored))
    apart = pipeline.evaluate(
        run, data=phantom_store, task="knn", label=label, protocol="split", progress=False, **options
    )
    assert apart.settings["seen_in_pretraining"]["test_images"] == 0
    assert len(list((run / "evaluations").iterdir())) == 2
    with pytest.raises(RunError, match="holds a run already"):
        pipeline.pretrain("dino/small", data=phantom_store, out=run, overrides=TINY)
