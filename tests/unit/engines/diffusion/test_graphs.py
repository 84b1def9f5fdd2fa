"""Recorded computations: which one is replayed, on which inputs. On a processor a recording computes again."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from deployments.engines.diffusion.graphs import MOST_GRAPHS, Graphs
from tests.support.recording import Recorder


def double(inputs: Any) -> Any:
    return inputs["x"] * 2


def test_a_computation_is_recorded_once_and_replayed_on_what_comes() -> None:
    recorder, network = Recorder(), torch.nn.Linear(1, 1)
    graphs = Graphs(recorder)
    given = [torch.full((2, 2), float(number)) for number in range(3)]
    found = [graphs.run(double, {"x": one}, [network], ()) for one in given]
    assert all(torch.equal(own, one * 2) for own, one in zip(found, given, strict=True))
    assert recorder.count == 1


@pytest.mark.parametrize("change", ["shape", "dtype", "how", "network", "moved", "edges"])
def test_whatever_changes_the_computation_is_recorded_anew(change: str) -> None:
    recorder, network = Recorder(), torch.nn.Sequential()
    network.conv_in = torch.nn.Conv2d(1, 1, 1)
    graphs, x = Graphs(recorder), torch.ones(2, 2)
    graphs.run(double, {"x": x}, [network], "one")
    if change == "moved":
        network.conv_in.weight.data = network.conv_in.weight.data.clone()
    if change == "edges":
        network.conv_in.padding_mode = "circular"
    other = {"shape": torch.ones(3, 2), "dtype": x.half()}.get(change, x)
    own = torch.nn.Linear(1, 1) if change == "network" else network
    found = graphs.run(double, {"x": other}, [own], "other" if change == "how" else "one")
    assert torch.equal(found, other * 2)
    assert recorder.count == 2


def test_a_network_in_the_place_of_one_that_is_gone_is_recorded_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deployments.engines.diffusion.graphs._place_of", lambda _: (0, 0, ""))
    recorder = Recorder()
    graphs = Graphs(recorder)
    for _ in range(2):
        graphs.run(double, {"x": torch.ones(1)}, [torch.nn.Linear(1, 1)], ())
    assert recorder.count == 2


def test_weights_that_change_in_place_count_without_a_new_recording() -> None:
    recorder, network = Recorder(), torch.nn.Linear(1, 1, bias=False)
    graphs = Graphs(recorder)

    def through(inputs: Any) -> Any:
        with torch.no_grad():
            return network(inputs["x"])

    for weight in (1.0, 3.0):
        network.weight.data.fill_(weight)
        assert graphs.run(through, {"x": torch.ones(1, 1)}, [network], ()).item() == weight
    assert recorder.count == 1


def test_a_result_is_not_written_over_by_the_next_one() -> None:
    graphs, network = Graphs(Recorder()), torch.nn.Linear(1, 1)
    first = graphs.run(double, {"x": torch.ones(1)}, [network], ())
    graphs.run(double, {"x": torch.zeros(1)}, [network], ())
    assert first.item() == 2


def test_the_least_recently_used_leave() -> None:
    recorder, network = Recorder(), torch.nn.Linear(1, 1)
    graphs = Graphs(recorder)
    for number in (*range(MOST_GRAPHS), 0, MOST_GRAPHS, 0):
        graphs.run(double, {"x": torch.ones(1)}, [network], number)
    assert recorder.count == MOST_GRAPHS + 1


def test_graphs_of_a_network_that_leaves_are_freed_with_the_next_call_and_the_others_stay() -> None:
    recorder, first, second = Recorder(), torch.nn.Sequential(), torch.nn.Linear(1, 1)
    graphs = Graphs(recorder)
    for network in (first, second):
        graphs.run(double, {"x": torch.ones(1)}, [network], ())
    graphs.forget(first)  # from another thread, where none may be freed
    assert graphs.count == 2
    graphs.run(double, {"x": torch.ones(1)}, [second], ())
    assert (graphs.count, recorder.count) == (1, 2)
    graphs.run(double, {"x": torch.ones(1)}, [first], ())
    assert recorder.count == 3


def test_all_graphs_can_be_forgotten() -> None:
    recorder, network = Recorder(), torch.nn.Linear(1, 1)
    graphs = Graphs(recorder)
    for _ in range(2):
        graphs.run(double, {"x": torch.ones(1)}, [network], ())
        graphs.forget()
    assert recorder.count == 2


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_what_cannot_be_recorded_is_computed_and_not_tried_again(error: type[Exception]) -> None:
    tried: list[int] = []

    def fail(_compute: Any, inputs: Any) -> Any:
        tried.append(len(inputs))
        raise error("not here")

    graphs, network = Graphs(fail), torch.nn.Linear(1, 1)
    for number in (1.0, 2.0):
        assert graphs.run(double, {"x": torch.full((1,), number)}, [network], ()).item() == 2 * number
    assert tried == [1]


def test_the_others_are_freed_where_one_cannot_be_recorded_for_want_of_memory() -> None:
    recorder, network = Recorder(), torch.nn.Linear(1, 1)

    def record(compute: Any, inputs: Any) -> Any:
        if len(inputs["x"]) > 1:
            raise torch.OutOfMemoryError("not here")
        return recorder(compute, inputs)

    graphs = Graphs(record)
    for size in (1, 2, 1):
        graphs.run(double, {"x": torch.ones(size)}, [network], ())
    assert recorder.count == 2


def test_without_a_way_to_record_everything_is_computed() -> None:
    assert Graphs(None).run(double, {"x": torch.ones(1)}, [], ()).item() == 2
