from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from vesalius.data.store import Store
from vesalius.errors import RunError, StoreError
from vesalius.evaluation.write_result import read_result, result_folder, write_result
from vesalius.report import page
from vesalius.report.page import report

RunBuilder = Callable[..., Path]

VOID = {"meta", "link", "img", "br", "line", "path", "rect", "circle", "polygon"}


class Reader(HTMLParser):
    """Collects what a page refers to, its headings, its text, and whether its tags are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.headings: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.references += [str(values[key]) for key in ("src", "href", "action", "data", "srcset") if values.get(key)]
        if "id" in values:
            self.ids.append(str(values["id"]))
        if tag == "img":
            self.pictures.append(values)
        if re.fullmatch(r"h\d", tag):
            self.headings.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)


@pytest.fixture(scope="module")
def one(build_run: RunBuilder, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tmp_path_factory.mktemp("page")
    return Reader(report([build_run(folder / "vit")], folder / "report.html").read_text())


def test_page_is_whole_and_needs_nothing_from_outside(build_run: RunBuilder, tmp_path: Path) -> None:
    out = report([build_run(tmp_path / "vit")], tmp_path / "pages" / "report.html")
    text = out.read_text()
    reader = Reader(text)
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


def test_every_picture_opens_and_has_words(one: Reader) -> None:
    assert len(one.pictures) > 10
    for picture in one.pictures:
        assert picture.get("alt")
        data = base64.b64decode(str(picture["src"]).partition(",")[2], validate=True)
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert not image.info.get("exif")


def test_summary_counts_what_the_scores_say(one: Reader) -> None:
    # By the figures of the builder: effusion passes both, cardiomegaly neither, opacity only the untrained network.
    assert "in 4 of 6 measurements (95 % intervals apart), with 2 not told apart from it." in one.text
    assert "in 2 of 6; for cardiomegaly and opacity at least one score is no better" in one.text
    assert "the training finished after 20 minutes." in one.text


def test_scores_show_arms_intervals_and_pixels_in_plain_words(one: Reader) -> None:
    for words in ("0.910", "0.890–0.930", "untrained network", "raw pixels", "chance", "PR-AUC"):
        assert words in one.text
    assert "This is within raw pixels: the image shrunk to 32 × 32, with nothing learned, scores 0.840" in one.text
    assert "This is below raw pixels" in one.text
    assert "▲ above" in one.text
    assert "▼ below" in one.text


def test_training_and_data_and_limits_are_there(one: Reader, store: Store) -> None:
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


def test_folds_and_several_labels_are_said(build_run: RunBuilder, store: Store, tmp_path: Path) -> None:
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
    reader = Reader(report([run], tmp_path / "report.html").read_text())
    assert "any finding, sex" in reader.text
    assert "12 labelled images of 10 patients, in folds by patient" in reader.text
    assert "Learned on 48 labelled images of 40 patients, scored on 12 images of 10 patients." in reader.text
    assert "Raw pixels were not scored here" in reader.text


def test_neighbours_say_same_or_other_in_words(one: Reader) -> None:
    assert one.text.count("Query") >= 12
    assert "✓ same label" in one.text
    assert "✗ other label" in one.text


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


def test_several_runs_stand_side_by_side(build_run: RunBuilder, tmp_path: Path) -> None:
    first = build_run(tmp_path / "vit")
    second = build_run(tmp_path / "resnet", shift=-0.03, attention=False, about={"alarms": ["collapse <b>now</b>"]})
    reader = Reader(report([first, second], tmp_path / "report.html").read_text())
    assert "What two pretrained networks learned" in reader.text
    assert "pretrained · vit" in reader.text
    assert "pretrained · resnet" in reader.text
    assert "untrained network · resnet" in reader.text
    assert "raw pixels · resnet" not in reader.text
    assert "resnet: 1 alarm raised while training" in reader.text
    assert "collapse <b>now</b>" in reader.text  # shown as text, not as markup
    assert "no class token" in reader.text
    assert "at least one alarm was raised" in reader.text


def test_a_run_in_progress_without_scores_says_so(build_run: RunBuilder, tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit", figures={}, about={"status": "running"})
    (run / "metrics.csv").write_text("step,epoch,seconds,name,value\n")
    for picture in (run / "pictures").iterdir():
        picture.unlink()
    (run / "backbone" / "config.json").unlink()
    reader = Reader(report([run], tmp_path / "report.html").read_text())
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


def test_barest_run_still_makes_a_page(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    reader = Reader(report([tmp_path / "run"], tmp_path / "report.html").read_text())
    assert "No run names the data it was trained on." in reader.text
    assert "the training's state is not recorded" in reader.text


def test_store_elsewhere_is_named_by_data_and_a_changed_one_is_not_shown(
    build_run: RunBuilder, store: Store, tmp_path: Path
) -> None:
    run = build_run(tmp_path / "vit")
    for file in (run / "evaluations").glob("*/neighbours.json"):
        file.write_text(
            json.dumps(
                json.loads(file.read_text()) | {"store": str(tmp_path / "gone"), "query_store": str(tmp_path / "gone")}
            )
        )
    without = Reader(report([run], tmp_path / "report.html").read_text())
    assert "The store was not found, or has changed since" in without.text
    assert "the neighbours cannot be shown" in without.text
    assert "Query" not in without.text
    told = Reader(report([run], tmp_path / "report.html", data=[store.path]).read_text())
    assert "✓ same label" in told.text
    with pytest.raises(StoreError, match="does not exist"):
        report([run], tmp_path / "report.html", data=[tmp_path / "gone"])


def test_damaged_picture_and_neighbours_are_said(build_run: RunBuilder, tmp_path: Path) -> None:
    run = build_run(tmp_path / "vit")
    (run / "pictures" / "views.png").write_bytes(b"\x89PNG\r\n\x1a\ncut")
    for file in (run / "evaluations").glob("*/neighbours.json"):
        content = json.loads(file.read_text())
        file.write_text(json.dumps(content | {"queries": [10**6] * len(content["queries"])}))
    reader = Reader(report([run], tmp_path / "report.html").read_text())
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

    monkeypatch.setattr(page.os, "fdopen", disk_full)
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


def test_results_of_other_settings_stand_beside_each_other_with_their_commands(
    build_run: RunBuilder, store: Store, tmp_path: Path
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
    reader = Reader(report([run], tmp_path / "report.html").read_text())
    words = "Nearest neighbours (k-NN), k 50; features cls; seeds 7; fractions 0.1, 1"
    assert f"{words}. ROC-AUC" in reader.text
    assert f"{words}; learned on clinic b. ROC-AUC" in reader.text
    assert "Nearest neighbours (k-NN). ROC-AUC" in reader.text
    assert "7 of 12 scored images were among the unlabelled images of the pretraining" in reader.text
    assert "It is not known how many of the scored images" in reader.text
    options = "--task knn --label effusion --k 50 --features cls --seeds 7 --fractions 0.1,1"
    assert f"vesalius evaluate vit --data phantom_store {options}" in reader.text
    assert f"vesalius evaluate vit --data 'clinic b' --test-data phantom_store {options}" in reader.text


def test_folders_that_may_bear_a_name_are_not_on_the_page_but_stay_on_disk(
    build_run: RunBuilder, store: Store, tmp_path: Path
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
    text = Reader(report([run], tmp_path / "report.html").read_text()).text
    assert "jane" not in text
    assert "qux" not in text
    assert "vesalius pretrain dino/small --set=monitors.knn_store=watch --data 'my store@all' --out x" in text
    assert "name: dino/small" in text
    assert "weights: w.safetensors" in text
    assert "read notes.txt" in text
    neighbours = json.loads(next((run / "evaluations").glob("knn-*/neighbours.json")).read_text())
    assert neighbours["store"] == str(store.path)


def test_attention_says_its_input_size(one: Reader) -> None:
    assert "Drawn at the input size of the weights, 64 × 64 px." in one.text
