"""The server's answers: the page's own files, the table, pixels, maps, places and neighbours. All by numbers."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse, Response

from vesalius.data.store import Store
from vesalius.errors import StoreError, VesaliusError
from vesalius.explorer.exploration import Exploration, Layer
from vesalius.explorer.image_bytes import SIDES, bare, thumbnail
from vesalius.explorer.image_table import image_table
from vesalius.explorer.nearest import nearest_images
from vesalius.version import __version__

__all__ = ["make_app"]

_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def make_app(exploration: Exploration) -> FastAPI:
    """Return the application; `vesalius.explorer.guard.Guard` goes around it."""
    app = FastAPI(title="vesalius explore", docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(VesaliusError)
    def changed(_: Request, error: VesaliusError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=409 if isinstance(error, StoreError) else 500)

    _answer_about_the_store(app, exploration)
    _answer_about_runs(app, exploration)
    _answer_with_own_files(app)  # last: its path takes any name
    return app


def _answer_about_the_store(app: FastAPI, exploration: Exploration) -> None:
    store, layers = exploration.store, exploration.layers()

    @app.get("/api/about")
    def about() -> dict[str, Any]:
        exploration.check_unchanged()
        return _about(exploration, layers)

    @app.get("/api/table")
    def table() -> Response:
        exploration.check_unchanged()
        runs = [run.path for run in exploration.runs]
        found = image_table(store, runs, text_labels=exploration.text_labels)
        return Response(json.dumps(found, separators=(",", ":")), media_type="application/json")

    @app.get("/api/thumbnails/{side}/{row}")
    def small(side: int, row: int) -> Response:
        _check_row(store, row)
        if side not in SIDES:
            raise HTTPException(404, f"no small pictures of {side} pixels; sides: {SIDES}")
        exploration.check_unchanged()
        return Response(thumbnail(store, row, side), media_type="image/jpeg")

    @app.get("/api/images/{row}")
    def image(row: int) -> Response:
        _check_row(store, row)
        exploration.check_unchanged()
        window = (float(store.manifest[f"window_{end}"].iloc[row]) for end in ("low", "high"))
        more = {"X-Window": ",".join(f"{one:.9g}" for one in window)}
        return _numbers(np.asarray(store.images[row]), more)

    @app.get("/api/layers/{layer}/{row}")
    def maps(layer: int, row: int) -> Response:
        _check_row(store, row)
        if not 0 <= layer < len(layers):
            raise HTTPException(404, "no such layer")
        exploration.check_unchanged()
        found = layers[layer].read(row)
        return Response(status_code=204) if found is None else _numbers(found)

    @app.get("/api/alive")
    def alive() -> dict[str, bool]:
        exploration.check_unchanged()
        return {"alive": True}


def _answer_about_runs(app: FastAPI, exploration: Exploration) -> None:
    @app.get("/api/places/{run}")
    def places(run: int) -> Response:
        return _numbers(np.asarray(_seen(exploration, run).places, dtype=np.float32))

    @app.get("/api/neighbours/{run}/{row}")
    def neighbours(run: int, row: int, count: int = Query(12, ge=1, le=100)) -> dict[str, Any]:
        _check_row(exploration.store, row)
        found = nearest_images(_seen(exploration, run).features, row, count)
        return {"rows": [one for one, _ in found], "similarities": [one for _, one in found]}


def _answer_with_own_files(app: FastAPI) -> None:
    files = _own_files()

    @app.get("/")
    def index() -> Response:
        return files["index.html"]

    @app.get("/{name}")
    def own(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "no such file")
        return files[name]


def _own_files() -> dict[str, Response]:
    """Read the page's files once, by their names: no path is ever made of what a request asks for."""
    found = {}
    for entry in resources.files("vesalius.explorer").joinpath("static").iterdir():
        kind = next((kind for end, kind in _TYPES.items() if entry.name.endswith(end)), None)
        if kind is not None:
            found[entry.name] = Response(entry.read_bytes(), media_type=kind)
    return found


def _about(exploration: Exploration, layers: tuple[Layer, ...]) -> dict[str, Any]:
    store = exploration.store
    return {
        "version": __version__,
        "store": store.path.name,
        "images": len(store),
        "size": store.size,
        "bits": store.dtype.itemsize * 8,
        "channels": store.channels,
        "runs": [{"name": run.name, "map": run.seen.about["map"]} for run in exploration.runs],
        "layers": [{"kind": one.kind, "title": one.title, "parts": list(one.parts), "run": one.run} for one in layers],
    }


def _check_row(store: Store, row: int) -> None:
    if not 0 <= row < len(store):
        raise HTTPException(404, "no such image")


def _seen(exploration: Exploration, run: int) -> Any:
    exploration.check_unchanged()
    if not 0 <= run < len(exploration.runs):
        raise HTTPException(404, "no such run")
    return exploration.runs[run].seen


def _numbers(array: npt.NDArray[Any], more: dict[str, str] | None = None) -> Response:
    body, headers = bare(array)
    return Response(body, media_type="application/octet-stream", headers=headers | (more or {}))
