"""The server's answers: pixels and maps as they are on disk, and nothing beside them."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from vesalius.explorer.app import make_app
from vesalius.explorer.exploration import Exploration

from .conftest import LABEL, Explored


@pytest.fixture(scope="module")
def client(exploration: Exploration) -> TestClient:
    return TestClient(make_app(exploration))


def array(answer: Any) -> np.ndarray:
    shape = [int(one) for one in answer.headers["x-shape"].split(",")]
    return np.frombuffer(answer.content, dtype=answer.headers["x-type"]).reshape(shape)


def layer_of(client: TestClient, title: str) -> int:
    return [one["title"] for one in client.get("/api/about").json()["layers"]].index(title)


def test_what_it_is_about(client: TestClient, explored: Explored) -> None:
    about = client.get("/api/about").json()
    assert (about["images"], about["size"], about["bits"], about["channels"]) == (64, 40, 8, 1)
    assert [one["name"] for one in about["runs"]] == ["run", "other"]
    assert {(one["kind"], one["run"]) for one in about["layers"]} == {
        ("mask", None), ("map", None), ("attention", 0), ("prediction", 0), ("activation", 0),
    }  # fmt: skip


def test_images_and_small_pictures(client: TestClient, explored: Explored) -> None:
    answer = client.get("/api/images/7")
    np.testing.assert_array_equal(array(answer), explored.store.images[7])
    assert answer.headers["x-window"] == "0,255"
    with Image.open(io.BytesIO(client.get("/api/thumbnails/64/7").content)) as small:
        assert small.size == (40, 40)
        assert np.abs(np.asarray(small, dtype=float) - explored.store.images[7]).mean() < 4
        assert not small.info.get("exif")


def test_masks_one_each(client: TestClient, explored: Explored) -> None:
    number = layer_of(client, "Mask")
    parts = client.get("/api/about").json()["layers"][number]["parts"]
    names = list(explored.store.info["arrays"]["masks"]["parts"])
    found = array(client.get(f"/api/layers/{number}/3"))
    truth = np.asarray(explored.store.masks[3])
    for channel, part in enumerate(parts):
        np.testing.assert_array_equal(found[channel] > 0, truth == names.index(part))


def test_attention_by_its_highest_value(client: TestClient, exploration: Exploration) -> None:
    found = array(client.get(f"/api/layers/{layer_of(client, 'Attention of the [CLS]')}/5"))
    np.testing.assert_array_equal(found, exploration.runs[0].seen.attention[5])
    assert (found.max((1, 2)) == 255).all()


def test_predictions_overlap_masks_as_was_scored(
    client: TestClient, exploration: Exploration, explored: Explored
) -> None:
    """The Dice of what is shown is the Dice that the evaluation wrote."""
    table = client.get("/api/table").json()
    [told] = [one for one in table["answers"] if one["evaluation"].startswith("segment-heart")]
    parts = client.get("/api/about").json()["layers"][layer_of(client, "Predicted masks")]["parts"]
    number, truth = layer_of(client, "Predicted masks"), layer_of(client, "Mask")
    patients = explored.store.manifest["patient"]
    for patient in patients.unique()[:3]:
        rows = np.flatnonzero(patients == patient)
        heart, real = (
            np.stack([array(client.get(f"/api/layers/{layer}/{row}"))[parts.index("heart")] > 0 for row in rows])
            for layer in (number, truth)
        )
        dice = 2 * (heart & real).sum() / (heart.sum() + real.sum())
        assert dice == pytest.approx(told["values"][rows[0]], abs=1e-3)


def test_neighbours_are_the_most_similar(client: TestClient, exploration: Exploration) -> None:
    found = client.get("/api/neighbours/1/9?count=5").json()
    features = np.asarray(exploration.runs[1].seen.features, dtype=np.float64)
    similarity = features @ features[9]
    similarity[9] = -np.inf
    expected = np.argsort(-similarity)[:5]
    np.testing.assert_allclose(found["similarities"], similarity[expected], atol=2e-3)
    assert 9 not in found["rows"]


def test_places_of_every_image(client: TestClient) -> None:
    places = array(client.get("/api/places/0"))
    assert places.shape == (64, 2)
    assert np.isfinite(places).all()


@pytest.mark.parametrize(
    "path",
    [
        "/api/images/64", "/api/images/-1", "/api/layers/99/0", "/api/layers/0/64", "/api/thumbnails/64/64",
        "/api/places/2", "/api/thumbnails/77/0", "/api/neighbours/0/64", "/../store.json", "/%2e%2e/store.json",
        "/..%2f..%2fetc%2fpasswd", "/static/main.js", "/types.d.ts", "/docs", "/openapi.json", "/manifest.parquet",
    ],
)  # fmt: skip
def test_nothing_else_is_there(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/api/images/one", "/api/neighbours/0/0?count=1000", "/api/layers/0/1.5"])
def test_what_is_no_number_is_refused(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 422


def test_no_patient_and_no_file_is_named(client: TestClient, explored: Explored) -> None:
    manifest = explored.store.manifest
    texts = [client.get("/api/table").text, client.get("/api/about").text, client.get("/").text]
    for text in texts:
        assert not any(patient in text for patient in manifest["patient"])
        assert not any(source in text for source in manifest["source"])
        assert str(explored.store.path.parent) not in text


def test_the_page_names_only_its_own_files(client: TestClient) -> None:
    page = client.get("/").text
    for name in re.findall(r'(?:src|href)="([^"#]+)"', page):
        assert name.startswith("data:") or client.get(f"/{name}").status_code == 200
    assert "http" not in page


def test_the_table_holds_labels_and_answers(client: TestClient, explored: Explored) -> None:
    table = json.loads(client.get("/api/table").text)
    assert table["ids"] == list(explored.store.manifest["image_id"])
    columns = {one["key"]: one for one in table["columns"]}
    known = explored.store.manifest[f"label_{LABEL}"].to_numpy(dtype=float, na_value=np.nan)
    assert columns[f"label:{LABEL}"]["values"] == [None if np.isnan(one) else int(one) for one in known]
    assert {one["run"] for one in table["answers"]} == {0, 1}
    assert table["problems"] == []
