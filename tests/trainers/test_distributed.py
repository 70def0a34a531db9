"""Two processes that train together over gloo do what one does that splits its steps in two."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from search_space.errors import ConfigError
from tests.trainers.child_trainings import STEPS, finish, read_losses, start
from tests.trainers.conftest import tiny_detector
from tests.trainers.test_loop_resume import assert_same_ending, ending
from trainers.data import DataSplits
from trainers.data.batches import BatchStream
from trainers.distributed import World, join_processes

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trainings") / "together"
    assert finish(folder, size=2, accumulate=1) == [0, 0]
    return folder


def test_two_processes_equal_one_with_two_parts(together: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    assert finish(alone, accumulate=2) == [0]
    first, second = dict(read_losses(together)), dict(read_losses(alone))
    assert len(first) == STEPS and first[1] == pytest.approx(second[1], rel=1e-6)
    assert [first[step] for step in range(1, 5)] == pytest.approx([second[step] for step in range(1, 5)], rel=1e-3)
    weights = {name for name, _ in tiny_detector().named_parameters()}
    states = ending(together)["last"], ending(alone)["last"]
    start = tiny_detector().state_dict()
    moved = torch.cat([(states[1][name] - start[name]).flatten() for name in weights])
    apart = torch.cat([(states[0][name] - states[1][name]).flatten() for name in weights])
    assert apart.norm() < 0.02 * moved.norm(), "but for rounding"
    assert not torch.equal(states[0]["stem.0.1.running_var"], states[1]["stem.0.1.running_var"]), "one share only"


def test_only_the_first_process_writes_and_calls_back(together: Path) -> None:
    assert (together / "losses-1.txt").read_text() == ""
    assert {path.name for path in together.iterdir()} == {"losses-0.txt", "losses-1.txt", "last.pt", "result.pt"}


def test_ctrl_c_in_one_ends_both_and_both_resume(together: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    options = {"size": 2, "accumulate": 1, "checkpoint_steps": 0}
    codes = finish(folder, erring=("SIGINT", 1, 3), **options)  # type: ignore[arg-type]
    assert codes == [1, 1] and len(read_losses(folder)) == 3
    assert finish(folder, **options) == [0, 0]  # type: ignore[arg-type]
    assert_same_ending(folder, together)


def test_an_error_in_one_ends_both(tmp_path: Path) -> None:
    folder = tmp_path / "error"
    children = start(folder, size=2, accumulate=1, erring=("error", 1, 3))
    for child in children:
        child.join(timeout=30)
    assert [child.exitcode for child in children] == [1, 1]
    assert not (folder / "result.pt").exists()


def test_shares_are_the_images_of_the_whole_step(hit_uav: DataSplits) -> None:
    def stream(**more: int) -> BatchStream:
        return BatchStream(
            dataset=hit_uav.train, input_hw=(64, 64), fit="letterbox", batch_size=4, num_steps=3, seed=2, **more
        )

    whole = stream().batch(1)
    shares = [part for rank in range(2) for part in stream(rank=rank, num_ranks=2).parts(1)]
    split = stream(accumulate=2).parts(1)
    for parts in (shares, split):
        assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
        assert torch.equal(torch.cat([part.objects.boxes for part in parts]), whole.objects.boxes)
    with pytest.raises(ConfigError, match="batch_size is 4; it must be a multiple of accumulate x processes"):
        stream(num_ranks=3)


def test_a_single_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    module = torch.nn.Linear(2, 2)
    with join_processes() as rank:
        world = World.current(torch.device("cpu"))
        assert (rank, world.size, world.is_first) == (0, 1, True)
        assert world.wrap(module) is module and world.largest(2) == 2
