"""Shapes: what /openapi.json promises is what comes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel
from small_server import Running

from hpa_hier.serve.routes import shapes


@pytest.fixture(scope="module")
def places(served: Running) -> dict[str, str]:
    job = served.client.post("/predict", params={"wait": 30}, json={"paths": ["p1"]}).json()["job"]["job"]
    return {"job": job, "key": "0", "name": "small", "ensemble": "small"}


@pytest.fixture(scope="module")
def told(served: Running) -> dict[str, Any]:
    found: dict[str, Any] = served.client.get("/openapi.json").json()
    return found


SHAPES: dict[str, type[BaseModel]] = {
    "/jobs": shapes.JobList,
    "/jobs/{job}": shapes.JobState,
    "/jobs/{job}/samples": shapes.Rows,
    "/jobs/{job}/samples/{key}": shapes.Card,
    "/ensembles": shapes.EnsembleList,
    "/ensembles/{name}": shapes.EnsembleShape,
    "/explain/{job}/{key}": shapes.Explanation,
    "/explain/{job}/{key}/nearest": shapes.Nearest,
    "/corrections/{ensemble}": shapes.CorrectionList,
    "/adapt": shapes.AdaptingState,
}


@pytest.mark.parametrize("path", SHAPES)
def test_answers_have_the_shape_that_is_promised(
    served: Running, places: dict[str, str], told: dict[str, Any], path: str
) -> None:
    answer = served.client.get(path.format(**places))
    assert answer.status_code == 200
    SHAPES[path].model_validate(answer.json())
    promised = told["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert promised == {"$ref": f"#/components/schemas/{SHAPES[path].__name__}"}


def test_predictions_and_refusals_have_theirs(served: Running, places: dict[str, str]) -> None:
    found = served.client.post("/predict", params={"wait": 30}, json={"paths": ["p1"]})
    shapes.Predicted.model_validate(found.json())
    shapes.Predicted.model_validate(served.client.post("/predict", json={"paths": ["p1"]}).json())
    url = f"/jobs/{places['job']}/samples/0/correction"
    shapes.Row.model_validate(served.client.put(url, json={"labels": ["Nucleoli"]}).json())
    shapes.Row.model_validate(served.client.delete(url).json())
    shapes.Problem.model_validate(served.client.get("/nowhere").json())


def test_every_route_says_what_it_is_and_how_it_refuses(told: dict[str, Any]) -> None:
    assert told["openapi"].startswith("3.1")
    for path, methods in told["paths"].items():
        for method, route in methods.items():
            assert route["description"], (method, path)
            assert route["responses"]["default"]["content"]["application/json"]["schema"]["$ref"].endswith("/Problem")
            assert "422" not in route["responses"]


def test_nothing_of_the_server_is_loaded_from_elsewhere(served: Running) -> None:
    assert served.client.get("/docs").status_code == 404
    page = served.client.get("/").text
    assert "http://" not in page
    assert "https://" not in page
