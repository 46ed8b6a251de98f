"""Run folders as training and evaluation write them, over a real store prepared from the phantom."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from vesalius.data.phantom import write_phantom
from vesalius.data.prepare import prepare
from vesalius.data.store import Store, open_store
from vesalius.evaluation.case_selection import Case
from vesalius.evaluation.explanation_trust import BASELINE, Figure
from vesalius.evaluation.write_result import result_folder, write_result
from vesalius.interpret.cases_picture import CaseRow, ShownMap, cases_picture
from vesalius.interpret.pictures import attention_picture, save_png, views_picture
from vesalius.records.result import Result, Score
from vesalius.records.view import View

# label -> arm -> ROC-AUC; the interval is +- 0.02, so that who is apart from whom can be read off.
FIGURES: Mapping[str, Mapping[str, float]] = {
    "effusion": {"pretrained": 0.91, "random_init": 0.78, "pixels": 0.74},
    "cardiomegaly": {"pretrained": 0.83, "random_init": 0.81, "pixels": 0.84},
    "opacity": {"pretrained": 0.71, "random_init": 0.64, "pixels": 0.79},
}
HALF = 0.02

RunBuilder = Callable[..., Path]
VOID = {"meta", "link", "img", "br", "line", "path", "rect", "circle", "polygon"}


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder / "scans", images=60, seed=3, size=96)
    listed = sorted((folder / "scans" / "images").glob("*.png"))
    listed[4].write_bytes(listed[4].read_bytes()[:200])
    listed[9].write_bytes(b"")
    summary = prepare(folder / "scans", folder / "phantom_store", size=64, workers=1, progress=False, seed=1)
    return open_store(summary.store)


@pytest.fixture(scope="session")
def build_run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> RunBuilder:
    usual = write_run(tmp_path_factory.mktemp("runs") / "usual", store)

    def build(folder: Path, **options: Any) -> Path:
        if set(options) <= {"about"}:  # as usual but for run.json
            shutil.copytree(usual, folder)
            state = json.loads((folder / "run.json").read_text())
            (folder / "run.json").write_text(json.dumps(state | dict(options.get("about") or {})))
            return folder
        return write_run(folder, store, **options)

    return build


def write_run(
    folder: Path,
    store: Store,
    *,
    figures: Mapping[str, Mapping[str, float]] = FIGURES,
    architecture: str = "vit_tiny_patch16_224",
    shift: float = 0.0,
    about: Mapping[str, Any] | None = None,
    attention: bool = True,
) -> Path:
    """Write a whole run folder by the layout of docs/RUNS.md."""
    folder.mkdir(parents=True)
    state = {
        "status": "done",
        "command": f"vesalius pretrain dino-cxr --data {store.path.name} --out {folder.name} --budget-minutes 20",
        "recipe": "dino-cxr",
        "seed": 0,
        "started": "2026-03-01T09:00:00+00:00",
        "seconds": 1203.5,
        "images_seen": 48_000,
        "epochs": 13.1,
        "steps": 750,
        "device": "cpu",
        "precision": "bf16-mixed",
        "versions": {"vesalius": "0.1.0", "torch": "2.9.0", "python": "3.11.9"},
        "data": {
            "store": store.path.name,
            "fingerprint": hashlib.sha256(f"{store.fingerprint}@train".encode()).hexdigest(),
            "images": len(store.rows(split="train")),
            "patients": int(store.manifest.loc[store.rows(split="train"), "patient"].nunique()),
            "split": ["train"],
        },
        "parameters": 5_524_416,
        "notes": ["60 images: K lowered to 256 prototypes, EMA from 0.99"],
        "alarms": [],
    }
    (folder / "run.json").write_text(json.dumps(state | dict(about or {})))
    (folder / "recipe.yaml").write_text("method:\n  name: dino\n  prototypes: 256\nviews:\n  plan: dino-cxr\n")
    (folder / "backbone").mkdir()
    (folder / "backbone" / "config.json").write_text(
        json.dumps({"architecture": architecture, "num_classes": 0, "vesalius": {"image_size": [64, 64]}})
    )
    _write_metrics(folder / "metrics.csv", labels=list(figures), shift=shift)
    _write_pictures(folder / "pictures", store, attention=attention)
    for label, arms in figures.items():
        for task, lift in (("knn", 0.0), ("linear", 0.015)):
            place = result_folder(folder, task=task, label=label, fingerprint=store.fingerprint)
            shifted = {arm: value + lift + (shift if arm == "pretrained" else 0) for arm, value in arms.items()}
            neighbours = _neighbours(store, label) if task == "knn" else None
            write_result(place, make_result(task, label, shifted), neighbours=neighbours)
    return folder


def make_result(task: str, label: str, arms: Mapping[str, float], **changes: Any) -> Result:
    """A result with two metrics at four amounts of labels; ROC-AUC at 100 % is as given, +- HALF."""
    scores = [
        Score(
            arm=arm,
            metric=metric,
            value=value - lower - less,
            low=value - lower - less - HALF,
            high=value - lower - less + HALF,
            fraction=fraction,
            seeds=1 if fraction == 1 else 5,
            spread=less / 3,
        )
        for metric, lower in (("roc_auc", 0.0), ("pr_auc", 0.05))
        for fraction, less in ((0.01, 0.12), (0.05, 0.07), (0.1, 0.04), (1.0, 0.0))
        for arm, value in arms.items()
    ]
    scores += [Score(arm="chance", metric=m, value=v, low=v, high=v) for m, v in (("roc_auc", 0.5), ("pr_auc", 0.3))]
    values: dict[str, Any] = {
        "task": task,
        "label": label,
        "kind": "binary",
        "scores": tuple(scores),
        "train_images": 48,
        "test_images": 12,
        "train_patients": 40,
        "test_patients": 10,
        "protocol": "split",
        "settings": {
            "classes": ["no", "yes"],
            "k": 20,
            "temperature": 0.07,
            "by_k": {"pretrained": {}},
            "calibration": {
                arm: {"ece": 0.04, "brier": 0.1, "predicted": [0.1, 0.6], "observed": [0.15, 0.5], "images": [7, 5]}
                for arm in ("pretrained", "pixels")
            },
            "comparisons": [
                {"baseline": arm, "metric": "roc_auc", "fraction": 1.0, "word": _word(arms["pretrained"] - value)}
                for arm, value in arms.items()
                if arm != "pretrained" and "pretrained" in arms
            ],
        },
        "verdict": f"ROC-AUC {arms.get('pretrained', math.nan):.3f} pretrained, as measured.",
    }
    return Result(**{**values, **changes})


def _word(difference: float) -> str:
    return "within" if abs(difference) <= 2 * HALF else "above" if difference > 0 else "below"


def _write_metrics(path: Path, *, labels: list[str], shift: float) -> None:
    rng = np.random.default_rng(7)
    lines = ["step,epoch,seconds,name,value"]
    for step in range(0, 750, 2):
        done = step / 750
        values = {
            "loss": 5.5 - 2.2 * (1 - math.exp(-4 * done)) + rng.normal(0, 0.04) - shift,
            "teacher_entropy": 5.3 - 2.9 * done**0.7 + rng.normal(0, 0.03),
            "teacher_entropy_max": math.log(256),
            "mean_entropy": 5.4 - 0.3 * done,
            "lr": 5e-4 * min(done * 8, 0.5 * (1 + math.cos(math.pi * done))),
            "teacher_momentum": 1 - 0.01 * 0.5 * (1 + math.cos(math.pi * done)),
            "weight_decay": 0.4 - 0.36 * 0.5 * (1 + math.cos(math.pi * done)),
            "images_per_second": 38 + rng.normal(0, 1),
        }
        if step % 74 == 0:
            values["feature_rank"] = 8 + 30 * done + rng.normal(0, 0.4)
            values |= {f"knn_{label}_auc": 0.66 + 0.2 * done**0.5 + shift for label in labels}
        lines += [f"{step},{step / 57:.4f},{step * 1.6:.2f},{name},{value!r}" for name, value in values.items()]
    path.write_text("\n".join(lines) + "\n")


def _write_pictures(folder: Path, store: Store, *, attention: bool) -> None:
    size = store.size
    images = torch.from_numpy(np.array(store.images[:5])).reshape(5, 1, size, size)
    pixels = (images.float() / 255 - 0.5) / 0.25
    affine = torch.eye(2, 3).expand(5, 2, 3)
    views = [
        View(pixels=each, affine=affine, image_size=(size, size), name=f"global_{index + 1}")
        for index, each in enumerate(
            (pixels, pixels.roll(6, -1) * 0.8, pixels[..., 4:60, 4:60], pixels.rot90(1, (2, 3)))
        )
    ]
    save_png(views_picture(views, [0.5], [0.25], images=5), folder / "views.png")
    if attention:
        place = torch.arange(8.0)
        heads = [
            torch.exp(-((place[:, None] - row) ** 2 + (place - column) ** 2) / 5).flatten()
            for row, column in ((3, 2), (3, 5), (5, 4))
        ]
        save_png(attention_picture(images, torch.stack(heads).expand(5, 3, 64), (8, 8)), folder / "attention.png")


def _neighbours(store: Store, label: str) -> dict[str, Any]:
    known = store.rows(label=label)
    values = store.manifest[f"label_{label}"].astype(float)
    queries, others = known[:8], known[8:]
    neighbours = [others[index : index + 5] for index in range(len(queries))]
    return {
        "store": str(store.path),
        "query_store": str(store.path),
        "queries": queries.tolist(),
        "neighbours": [rows.tolist() for rows in neighbours],
        "query_labels": values[queries].tolist(),
        "neighbour_labels": [values[rows].tolist() for rows in neighbours],
    }


def _write_cases(run: Path, store: Store, evaluation: str, warnings: Sequence[str] = ()) -> Path:
    """Write what `vesalius explain --cases` leaves in a run: three cases under one network, measured on 12 images."""
    folder = run / "explanations" / f"cases-{evaluation}"
    folder.mkdir(parents=True)
    bright = torch.linspace(0, 1, 64 * 64).reshape(64, 64)
    cases = [Case(kind, row, score) for kind, row, score in (("best", 3, 0.96), ("median", 8, 0.81), ("worst", 1, 0.2))]
    shown = [[ShownMap(bright, bright > 0.8, "heart, class")]]
    rows = [CaseRow([c.kind, f"Dice {c.score:.2f}"], np.asarray(store.images[c.row]), {}, shown) for c in cases]
    save_png(cases_picture(rows, [run.name], ["heart"]), folder / "cases.png")
    told = {"model": run.name, "subject": "heart", "explained": "heart, class"}
    pd.DataFrame([{"case": n, **asdict(c), **told} for n, c in enumerate(cases)]).to_csv(folder / "cases.csv")
    low_high = {"value": 0.31, "low": 0.27, "high": 0.35, "baseline": 0.09, "images": 12}
    figures = [Figure(model=run.name, subject="heart", metric=metric, **low_high) for metric in BASELINE]
    pd.DataFrame([asdict(each) for each in figures]).to_csv(folder / "trust.csv")
    plan = {"options": {"activation": {"method": "hires-cam", "layer": None}}}
    (folder / "cases.json").write_text(json.dumps({"plan": plan, "warnings": list(warnings)}))
    return folder


@pytest.fixture(scope="session")
def write_cases() -> Callable[..., Path]:
    return _write_cases


@pytest.fixture(scope="session")
def read_page() -> Callable[[str], PageReader]:
    return PageReader


class PageReader(HTMLParser):
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
