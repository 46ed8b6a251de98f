"""A page that leaks nothing, breaks on nothing, and is written whole or not at all."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vesalius.data.store import Store
from vesalius.errors import RunError, StoreError
from vesalius.report.page import report

RunBuilder = Callable[..., Path]
PageReader = Callable[[str], Any]


def test_no_patient_and_no_file_name_on_the_page(build_run: RunBuilder, store: Store, tmp_path: Path) -> None:
    text = report([build_run(tmp_path / "vit")], tmp_path / "r.html").read_text()
    visible = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", "", text)
    table = store.manifest
    for value in {*table["patient"], *table["sha256"], *table["source"], *store.refused["file"]}:
        assert value not in visible
    for source in table["source"]:
        assert Path(source).name not in visible
    assert str(store.path.parent) not in visible
    shown = set(re.findall(r"<code>([0-9a-f]{8})</code>", visible))
    assert shown
    assert shown <= {each[:8] for each in table["image_id"]}


def test_a_run_in_progress_without_scores_says_so(read_page: PageReader, build_run: RunBuilder, tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit", figures={}, about={"status": "running"})
    (run / "metrics.csv").write_text("step,epoch,seconds,name,value\n")
    for picture in (run / "pictures").iterdir():
        picture.unlink()
    (run / "backbone" / "config.json").unlink()
    reader = read_page(report([run], tmp_path / "report.html").read_text())
    for words in (
        "recorded as still running, so every figure here is provisional",
        "Nothing was scored yet",
        "No curves: nothing was logged yet.",
        "No sample views were saved",
        "There is no attention picture",
        "No neighbours were saved",
        "A training that has not finished",
    ):
        assert words in reader.text


def test_barest_run_still_makes_a_page(read_page: PageReader, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    reader = read_page(report([tmp_path / "run"], tmp_path / "report.html").read_text())
    assert "No run names the data it was trained on." in reader.text
    assert "the training's state is not recorded" in reader.text


def test_store_elsewhere_is_named_by_data_and_a_changed_one_is_not_shown(
    read_page: PageReader, build_run: RunBuilder, store: Store, tmp_path: Path
) -> None:
    run = build_run(tmp_path / "vit")
    for file in (run / "evaluations").glob("*/neighbours.json"):
        file.write_text(
            json.dumps(
                json.loads(file.read_text()) | {"store": str(tmp_path / "gone"), "query_store": str(tmp_path / "gone")}
            )
        )
    without = read_page(report([run], tmp_path / "report.html").read_text())
    assert "The store was not found, or has changed since" in without.text
    assert "the neighbours cannot be shown" in without.text
    assert "Query" not in without.text
    told = read_page(report([run], tmp_path / "report.html", data=[store.path]).read_text())
    assert "✓ same label" in told.text
    with pytest.raises(StoreError, match="does not exist"):
        report([run], tmp_path / "report.html", data=[tmp_path / "gone"])


def test_damaged_picture_and_neighbours_are_said(read_page: PageReader, build_run: RunBuilder, tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit")
    (run / "pictures" / "views.png").write_bytes(b"\x89PNG\r\n\x1a\ncut")
    for file in (run / "evaluations").glob("*/neighbours.json"):
        content = json.loads(file.read_text())
        file.write_text(json.dumps(content | {"queries": [10**6] * len(content["queries"])}))
    reader = read_page(report([run], tmp_path / "report.html").read_text())
    assert "views.png is damaged" in reader.text
    assert "The neighbours could not be read" in reader.text


def test_hostile_names_stay_text(build_run: RunBuilder, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    run = build_run(tmp_path / "vit", about={"recipe": evil, "command": evil, "notes": [evil], "alarms": [evil]})
    (run / "recipe.yaml").write_text(evil)
    assert evil not in report([run], tmp_path / "report.html").read_text()


def test_written_whole_or_not_at_all(build_run: RunBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = build_run(tmp_path / "vit")
    out = tmp_path / "page"
    out.mkdir()
    assert report([run], out) == out / "report.html"
    (out / "report.html").write_text("older")

    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vesalius.atomic.os.replace", disk_full)
    with pytest.raises(RunError, match=r"report\.html: the page cannot be written .No space left"):
        report([run], out)
    assert [(file.name, file.read_text()) for file in out.iterdir()] == [("report.html", "older")]


def test_out_below_a_file_is_a_clear_error(build_run: RunBuilder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="cannot be written"):
        report([build_run(tmp_path / "vit")], tmp_path / "file" / "report.html")


def test_makes_a_page_without_torch(build_run: RunBuilder, tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit")
    code = (
        "import sys; from pathlib import Path; from vesalius.report.page import report; "
        f"report([Path({str(run)!r})], Path({str(tmp_path / 'r.html')!r})); "
        "sys.exit(any(name.split('.')[0] in ('torch', 'timm', 'lightning') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert (tmp_path / "r.html").stat().st_size > 50_000


def test_folders_that_may_bear_a_name_are_not_on_the_page_but_stay_on_disk(
    read_page: PageReader, build_run: RunBuilder, store: Store, tmp_path: Path
) -> None:
    home = "/home/jane.qux/scans"
    command = (
        f"vesalius pretrain dino/small --set=monitors.knn_store={home}/watch --data '{home}/my store@all' --out ../r/x"
    )
    about = {"command": command, "recipe": "dino/small", "notes": [f"read {home}/notes.txt"]}
    run = build_run(tmp_path / "vit", about=about)
    (run / "recipe.yaml").write_text(
        f"name: dino/small\nabout: from {home}/a.yaml\nbackbone: {{weights: {home}/w.safetensors}}\n"
        "monitors: {knn_store: qux/watch}\n"
    )
    text = read_page(report([run], tmp_path / "report.html").read_text()).text
    assert "jane" not in text
    assert "qux" not in text
    assert "vesalius pretrain dino/small --set=monitors.knn_store=watch --data 'my store@all' --out x" in text
    assert "name: dino/small" in text
    assert "weights: w.safetensors" in text
    assert "read notes.txt" in text
    neighbours = json.loads(next((run / "evaluations").glob("knn-*/neighbours.json")).read_text())
    assert neighbours["store"] == str(store.path)
