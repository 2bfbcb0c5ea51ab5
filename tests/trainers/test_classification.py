"""Classifiers, trained natively and in a subspace, on data that a moment's training learns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from rlidim.data import datasets
from rlidim.networks import classifiers
from rlidim.networks.dimension import native_dimension
from rlidim.projections.spec import ProjectionSpec
from rlidim.records.cell import Cell, Seeds
from rlidim.records.record import Outcome
from rlidim.solutions.file import Solution
from rlidim.speed.epochs import throughput
from rlidim.tasks.names import find_task
from rlidim.tasks.problems import ARCHITECTURES, Classifier, Data, Supervised
from rlidim.tasks.task import Task
from rlidim.trainers import classification, random_policy
from rlidim.trainers import images as image_sets
from rlidim.trainers.run import Run
from tests.factory import bars, make_task

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give every data set's name the same few images."""
    monkeypatch.setattr(datasets, "load", lambda name: bars(datasets.SHAPES[name]))
    image_sets.kept.cache_clear()
    yield
    image_sets.kept.cache_clear()


def task_of(what: Data | None = None, **settings: object) -> Task:
    values = {"n_epochs": 6, "batch_size": 50, "learning_rate": 0.003, "l2": 0.0, **settings}
    if "momentum" not in settings:
        values = {"transfer_learning_rate": True, **values}
    task = make_task(
        "bars",
        problem=Supervised(what or Data("mnist"), Classifier("fc", (20,))),
        trainers=find_task("mnist-fc").trainers,
    )
    return task.replace_settings("sgd" if "momentum" in settings else "adam", values)


def run(task: Task, d: int | None = None, trainer: str = "adam", seed: int = 0) -> Outcome:
    cell = (
        Cell.baseline(task.name, trainer, seed)
        if d is None
        else Cell(task.name, trainer, "rademacher", d, seed)
    )
    return classification.train(Run(task, cell, Seeds.of(cell)))


def rebuilt(task: Task, outcome: Outcome, cell: Cell) -> np.ndarray:
    """Return the parameters from a seed and d numbers alone."""
    seed = Seeds.of(cell).theta_0
    assert outcome.spec is not None
    solution = Solution(
        ProjectionSpec.from_json(outcome.spec), outcome.theta_d, seed, None, outcome.network, {}
    )
    network = classifiers.network_of(task)
    return solution.parameters(classifiers.initial_parameters(network, seed))


def test_native_training_learns_and_guessing_does_not() -> None:
    task = task_of()
    outcome = run(task)
    assert outcome.status == "ok"
    assert outcome.returns[0] > 0.95
    assert outcome.D == native_dimension(task) == 785 * 20 + 21 * 10
    assert outcome.environment_steps == 6 * 12
    random = Cell.random("bars")
    guessed = random_policy.train(Run(task, random, Seeds.of(random)))
    assert guessed.returns == (0.1,)


def test_more_dimensions_learn_more() -> None:
    task = task_of()
    few, many = run(task, 3).returns[0], run(task, 1000).returns[0]
    assert few < 0.6
    assert many > 0.9


def test_a_solution_is_a_seed_and_d_numbers() -> None:
    task = task_of()
    cell = Cell("bars", "adam", "rademacher", 50, 0)
    outcome = run(task, 50)
    assert outcome.theta is None
    assert classification.score(task, rebuilt(task, outcome, cell)) == outcome.returns[0]


def test_the_same_seed_gives_the_same_run_and_another_does_not() -> None:
    task = task_of()
    first, second, other = run(task, 20), run(task, 20), run(task, 20, seed=1)
    assert first.theta_d is not None
    assert second.theta_d is not None
    assert other.theta_d is not None
    assert (first.theta_d == second.theta_d).all()
    assert first.curve == second.curve
    assert (first.theta_d != other.theta_d).any()


def test_sgd_learns_too() -> None:
    task = task_of(momentum=0.9, learning_rate=0.05)
    assert run(task, trainer="sgd").returns[0] > 0.9
    assert run(task, 400, trainer="sgd").returns[0] > 0.8


def test_a_falling_rate_reaches_zero() -> None:
    seen: list[float] = []
    real = classification._set_rate

    def note(optimizer: torch.optim.Optimizer, rate: float) -> None:
        seen.append(rate)
        real(optimizer, rate)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification, "_set_rate", note)
        run(task_of(learning_rate="lin_0.01"))
    assert seen[0] == pytest.approx(0.01)
    assert seen[-1] == pytest.approx(0.01 / len(seen))


def test_l2_shrinks_the_kernels() -> None:
    lengths = []
    for l2 in (0.0, 0.1):
        theta = run(task_of(l2=l2)).theta
        assert theta is not None
        lengths.append(float(np.linalg.norm(theta)))
    assert lengths[1] < 0.7 * lengths[0]


def begin(task: Task, d: int | None = None, trainer: str = "adam") -> classification.Descent:
    cell = Cell.baseline(task.name, trainer, 0)
    if d is not None:
        cell = Cell(task.name, trainer, "rademacher", d, 0)
    return classification.Descent(task, cell, Seeds.of(cell))


@pytest.mark.gpu
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}], ids=["adam", "sgd"])
@pytest.mark.parametrize("d", [None, 50])
def test_repeated_steps_are_the_launched_ones(d: int | None, settings: dict[str, float]) -> None:
    """On a GPU, with an epoch's last batch shorter and a rate that falls."""
    task = task_of(batch_size=64, learning_rate="lin_0.003", l2=0.001, **settings)
    trainer = "sgd" if settings else "adam"
    launched, repeated = begin(task, d, trainer), begin(task, d, trainer)
    launched._descend = launched._descended
    for descent in (launched, repeated):
        for _ in range(3):
            assert descent.epoch()
    here, there = (
        torch.nn.utils.parameters_to_vector(descent.network.parameters())
        for descent in (launched, repeated)
    )
    assert torch.equal(here, there)


def test_the_loss_is_the_mean_cross_entropy_and_l2_times_the_squares_of_the_kernels_alone() -> None:
    descent = begin(task_of(l2=0.03))
    with torch.no_grad():
        for parameter in descent.network.parameters():  # biases begin at zero, which hides them
            parameter.normal_()
    images, labels = descent.sets.training.images[:7], descent.sets.training.labels[:7]
    first, second = descent.network[1], descent.network[3]
    inputs = np.asarray(images, dtype=np.float64).reshape(7, 784) / 255
    kernels = [layer.weight.detach().numpy().astype(np.float64) for layer in (first, second)]
    biases = [layer.bias.detach().numpy().astype(np.float64) for layer in (first, second)]
    logits = np.maximum(inputs @ kernels[0].T + biases[0], 0) @ kernels[1].T + biases[1]
    chosen = logits[np.arange(7), np.asarray(labels)]
    loss = (np.log(np.exp(logits).sum(1)) - chosen).mean()
    squares = sum((kernel**2).sum() for kernel in kernels)
    assert squares > 1000  # a half of l2 times it, or the biases' squares, would be seen
    assert sum((bias**2).sum() for bias in biases) > 10
    found = descent._step(images, labels)
    assert float(found) == pytest.approx(loss + 0.03 * squares, rel=1e-5)


def test_every_image_is_seen_once_an_epoch_the_last_few_too() -> None:
    seen: list[torch.Tensor] = []
    real = classification.Descent._step

    def note(
        self: classification.Descent, images: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        seen.append(images)
        return real(self, images, labels)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification.Descent, "_step", note)
        outcome = run(task_of(n_epochs=2, batch_size=256))
    assert [len(images) for images in seen] == [256, 256, 88] * 2
    assert outcome.environment_steps == 6
    every = image_sets.sets(Data("mnist"), CPU).training.images
    epochs = [torch.cat(seen[:3]), torch.cat(seen[3:])]
    for images in epochs:  # sums of the images' bytes tell whether all are there
        assert torch.equal(images.long().sum((1, 2, 3)).sort().values,
                           every.long().sum((1, 2, 3)).sort().values)  # fmt: skip
    assert not torch.equal(epochs[0], epochs[1])


def test_the_score_is_the_last_epoch_s_not_the_best_one_s() -> None:
    accuracies = iter([0.5, 0.9, 0.7, 0.3])  # of three epochs; then of the other set
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classification, "accuracy", lambda *_: next(accuracies))
        outcome = run(task_of(n_epochs=3))
    assert [score for _, score in outcome.curve] == [0.5, 0.9, 0.7]
    assert outcome.returns == (0.7,)
    assert outcome.details["training_accuracy"] == 0.3


@pytest.mark.parametrize("d", [None, 20])
def test_settings_reach_the_optimizer_natively_and_in_a_subspace(d: int | None) -> None:
    adam = begin(task_of(beta2=0.97), d).optimizer
    assert getattr(adam, "inner", adam).param_groups[0]["betas"] == (0.9, 0.97)
    sgd = begin(task_of(momentum=0.7), d, "sgd").optimizer
    assert getattr(sgd, "inner", sgd).param_groups[0]["momentum"] == 0.7


def test_the_rate_is_transferred_unless_it_is_the_papers() -> None:
    lengths = []
    for transfer in (True, False):
        outcome = run(task_of(n_epochs=1, batch_size=600, transfer_learning_rate=transfer), 100)
        assert outcome.theta_d is not None
        lengths.append(float(np.linalg.norm(outcome.theta_d)))
    D = 785 * 20 + 21 * 10
    # One step of Adam moves every coordinate by the rate.
    assert lengths[1] == pytest.approx(0.003 * 10, rel=1e-3)
    assert lengths[0] / lengths[1] == pytest.approx((D / 100) ** 0.5, rel=1e-3)


def test_numbers_that_overflow_are_a_diverged_run() -> None:
    outcome = run(task_of(learning_rate=1e30, n_epochs=2))
    assert outcome.status == "diverged"
    assert outcome.returns == ()


def test_shuffled_pixels_are_shuffled_alike_in_both_sets() -> None:
    plain = image_sets.sets(Data("mnist"), CPU)
    shuffled = image_sets.sets(Data("mnist", shuffled="pixels"), CPU)
    for before, after in ((plain.training, shuffled.training), (plain.test, shuffled.test)):
        assert torch.equal(before.labels, after.labels)
        assert (before.images != after.images).any()
        # One permutation of all pixels: each image keeps its values.
        assert torch.equal(
            before.images.flatten(1).sort().values, after.images.flatten(1).sort().values
        )
    order = np.random.default_rng(image_sets.SHUFFLE).permutation(784)
    for before, after in ((plain.training, shuffled.training), (plain.test, shuffled.test)):
        assert torch.equal(before.images.flatten(1)[:, order], after.images.flatten(1))


def test_shuffled_labels_are_the_training_sets_own_and_a_share_is_its_first_part() -> None:
    plain = image_sets.sets(Data("mnist"), CPU)
    shuffled = image_sets.sets(Data("mnist", shuffled="labels", share=0.25), CPU)
    assert len(shuffled.training) == 150
    assert torch.equal(shuffled.training.images, plain.training.images[:150])
    assert (shuffled.training.labels != plain.training.labels[:150]).any()
    assert torch.equal(
        shuffled.training.labels.sort().values, plain.training.labels[:150].sort().values
    )
    assert torch.equal(shuffled.test.labels, plain.test.labels)


def test_the_score_is_measured_where_the_task_says() -> None:
    task = task_of(Data("mnist", shuffled="labels", measured_on="training"), n_epochs=30)
    outcome = run(task.replace_problem(classifier=Classifier("fc", (100,))))
    assert outcome.returns[0] > 0.5  # memorised
    assert outcome.details["test_accuracy"] < 0.3  # and nothing else learnt


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_scalings(name: str) -> None:
    unit = image_sets.sets(Data(name), CPU)
    inputs = unit.inputs(unit.training.images)
    assert torch.allclose(inputs, unit.training.images / 255)
    standard = image_sets.sets(Data(name, scaling="standard"), CPU)
    inputs = standard.inputs(standard.training.images)
    assert torch.allclose(inputs.mean((0, 2, 3)), torch.zeros(1), atol=1e-3)
    assert torch.allclose(inputs.std((0, 2, 3)), torch.ones(1), atol=1e-3)


@pytest.mark.parametrize("architecture", ARCHITECTURES[1:])
def test_every_architecture_trains_in_a_subspace(architecture: str) -> None:
    if architecture == "fctied-lenet":  # its kernels of 55 x 55 pixels take a while
        pytest.skip("slow: its parts are tested in test_classifiers.py")
    task = task_of(n_epochs=1, batch_size=300)
    task = task.replace_problem(classifier=Classifier(architecture))
    outcome = run(task, 10)
    assert outcome.status == "ok"
    assert native_dimension(task) == outcome.D


def test_throughput_is_of_pairs_of_epochs() -> None:
    task = task_of()
    figures = throughput(task, "adam", projection="rademacher", d=8, repeats=3, seconds=0.0)
    assert figures["repeats"] == 3
    low, high = figures["ratio_quartiles"]
    assert 0 < low <= figures["ratio"] <= high
    assert figures["native_seconds"] > 0
    images = len(image_sets.sets(Data("mnist"), CPU).training)
    assert figures["subspace_images_per_second"] == images / figures["subspace_seconds"]
