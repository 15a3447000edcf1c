"""Statistics against NumPy and against what stock LeRobot stored."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from handrail.store import stats
from handrail.store.schema import feature

FEATURES = {"x": feature("float32", [3]), "flag": feature("bool"), "n": feature("int64")}


def columns(rng: np.random.Generator, length: int) -> dict[str, np.ndarray]:
    return {
        "x": rng.normal(size=(length, 3)).astype(np.float32),
        "flag": rng.random(length) < 0.3,
        "n": rng.integers(0, 9, length),
    }


def test_of_an_episode_against_numpy() -> None:
    made = columns(np.random.default_rng(0), 57)
    found = stats.episode_stats(made, FEATURES)
    for key, values in made.items():
        table = np.asarray(values, np.float64).reshape(57, -1)
        np.testing.assert_allclose(found[key]["mean"], table.mean(0))
        np.testing.assert_allclose(found[key]["std"], table.std(0))
        for name, level in stats.QUANTILES.items():
            np.testing.assert_allclose(found[key][name], np.quantile(table, level, axis=0), atol=1e-9)
    assert found["flag"]["min"].dtype == np.bool_ and found["n"]["max"].dtype == np.int64


def test_merging_equals_the_whole_in_moments_and_extremes() -> None:
    rng = np.random.default_rng(1)
    parts = [columns(rng, length) for length in (5, 80, 13)]
    merged = stats.merge_all([stats.episode_stats(part, FEATURES) for part in parts])
    whole = stats.episode_stats({key: np.concatenate([part[key] for part in parts]) for key in FEATURES}, FEATURES)
    for key in FEATURES:
        for name in ("min", "max", "mean", "std", "count"):
            np.testing.assert_allclose(merged[key][name], whole[key][name], err_msg=f"{key} {name}")


@pytest.mark.parametrize("name", ["lerobot_v3_state", "lerobot_v3_video"])
def test_merging_is_lerobots(fixtures, name) -> None:
    """Stock episodes, merged by us, give the stock `stats.json`."""
    rows = pq.read_table(fixtures / name / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    merged = stats.merge_all([stats.from_columns(row) for row in rows])
    stock = json.loads((fixtures / name / "meta/stats.json").read_text())
    assert set(merged) == set(stock)
    for key, entry in stock.items():
        for statistic, values in entry.items():
            np.testing.assert_allclose(
                merged[key][statistic], values, rtol=1e-6, atol=1e-9, err_msg=f"{key} {statistic}"
            )


def test_of_an_episode_like_lerobots(fixtures) -> None:
    """Moments and extremes of a stock episode; its quantiles come from a histogram and ours are exact."""
    root = fixtures / "lerobot_v3_state"
    row = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()[1]
    state = np.array(
        pq.read_table(root / "data/chunk-000/file-000.parquet").column("observation.state").to_pylist()[8:18]
    )
    found = stats.episode_stats({"observation.state": state}, {"observation.state": feature("float32", [3])})
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(found["observation.state"][name], row[f"stats/observation.state/{name}"], rtol=1e-5)


def test_of_images() -> None:
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (4, 20, 30, 3), dtype=np.uint8)
    counted = stats.ImageStats()
    for image in images:
        counted.add(image)
    found, table = counted.stats(), images.reshape(-1, 3) / 255.0
    np.testing.assert_allclose(found["mean"].ravel(), table.mean(0))
    np.testing.assert_allclose(found["std"].ravel(), table.std(0))
    np.testing.assert_allclose(found["q50"].ravel(), np.quantile(table, 0.5, axis=0), atol=1 / 255)
    assert found["mean"].shape == (3, 1, 1) and found["count"] == 4
    assert (found["min"] <= found["q01"]).all() and (found["q99"] <= found["max"]).all()


def test_json_comes_back() -> None:
    made = stats.episode_stats(columns(np.random.default_rng(3), 9), FEATURES)
    again = stats.from_json(stats.to_json(made))
    assert {key: list(entry) for key, entry in again.items()} == {key: list(entry) for key, entry in made.items()}
    np.testing.assert_array_equal(again["x"]["q90"], made["x"]["q90"])
