"""The strict loader: every file of the suite loads, every mistake has one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from rlidim.errors import RlidimError
from rlidim.tasks import loading
from rlidim.tasks.names import find_task, task_files
from rlidim.tasks.parsing import parse
from rlidim.tasks.settings import TRAINERS, AdamSettings, SGDSettings
from rlidim.tasks.writing import yaml_of

MINIMAL = """
title: Mine
environment: {id: CartPole-v1}
network: {hidden: [8]}
trainers:
  es: {n_timesteps: 1000}
"""
CLASSIFIED = """
title: Mine
kind: supervised
data: {name: mnist}
classifier: {architecture: fc, hidden: [20]}
trainers:
  adam: {n_epochs: 1}
"""


def write(folder: Path, text: str, name: str = "mine.yml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_every_file_of_the_suite_loads() -> None:
    names = sorted(task_files())
    assert len(names) > 40
    for name in names:
        loaded = find_task(name)  # which names the file in its error
        assert loaded.name == name
        assert loaded.trainers, name
        assert loaded.search.hint >= 1, name


def test_minimal_file_and_defaults(tmp_path: Path) -> None:
    loaded = loading.load_task(write(tmp_path, MINIMAL))
    assert loaded.name == "mine"
    assert loaded.control.evaluation.episodes == 100
    assert loaded.settings("es").n_timesteps == 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (MINIMAL + "evaluatoin: {}\n", "unknown key 'evaluatoin' (did you mean 'evaluation'?)"),
        (MINIMAL.replace("n_timesteps", "n_timestep"), "did you mean 'n_timesteps'?"),
        (MINIMAL.replace("es:", "ess:"), "unknown trainer 'ess'"),
        (MINIMAL.replace("1000", "many"), "expected a whole number, found 'many'"),
        (MINIMAL.replace("1000", "true"), "expected a whole number, found True"),
        (MINIMAL.replace("1000", "0.5"), "expected a whole number, found 0.5"),
        (MINIMAL.replace("title: Mine\n", ""), "key 'title' is missing"),
        (MINIMAL.replace("network", "nettwork"), "did you mean 'network'?"),
        (MINIMAL.replace("hidden: [8]", "hidden: 8"), "expected a list of a whole number"),
        (MINIMAL + "kind: contrl\n", "did you mean 'control'?"),
        (MINIMAL + "bench: {es: [quik]}\n", "did you mean 'quick'?"),
        (MINIMAL + "known: 0\n", "expected a whole number >= 1"),
        (MINIMAL + "search: {hints: 3}\n", "did you mean 'hint'?"),
        (MINIMAL + "search: {es: {hints: 3}}\n", "search: es: unknown key 'hints'"),
        ("title: [", "not a YAML file"),
        ("- 1\n", "expected a mapping"),
        ("title: x\ntrainers: {es: {n_timesteps: 1}}\n", "needs the keys environment and network"),
    ],
)
def test_mistakes_have_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RlidimError) as raised:
        loading.load_task(path)
    message = str(raised.value)
    assert expected in message
    assert str(path) in message
    assert "\n" not in message


def classified(old: str, new: str) -> str:
    assert old in CLASSIFIED
    return CLASSIFIED.replace(old, new)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (classified("[20]", "[20, -3]"), "classifier: hidden: each must be at least 1, got -3"),
        (MINIMAL.replace("[8]", "[0]"), "network: hidden: each must be at least 1, got 0"),
        (classified("mnist}", "mnist, share: 0}"), "share must be above 0 and at most 1, got 0"),
        (classified("mnist}", "mnist, share: 1.0e-6}"), "share 1e-06 of the 60,000 training image"),
        (classified("adam:", "es:").replace("n_epochs", "n_timesteps"), "it may have adam, sgd"),
        (classified("adam: {n_epochs: 1}", "supervised: {n_iterations: 1, learning_rate: 1}"),
         "trainers: supervised: is not for a task of kind supervised; it may have adam, sgd"),
        (MINIMAL.replace("es: {n_timesteps: 1000}", "adam: {}"),
         "it may have es, cmaes, sepcmaes, ars, ppo"),
        (classified("fc", "lenet"), "hidden: belongs to the architecture fc, lenet has layers of"),
        (classified("hidden: [20]", "linear_convolutions: true"), "the architecture fc has none"),
        (CLASSIFIED + "paper: {sgd: {}}\n", "paper: sgd: has no settings under trainers: "),
        (CLASSIFIED + "search: {sgd: {hint: 3}}\n", "search: sgd: has no settings under"),
        (MINIMAL + "paper: {es: {n_timesteps: 1}}\n", "paper: belongs to a task of kind superv"),
        (CLASSIFIED + "environment: {id: CartPole-v1}\n", "environment: belongs to a task of ki"),
        (MINIMAL + "data: {name: mnist}\n", "data: belongs to a task of kind supervised"),
        (classified("data: {name: mnist}\n", ""), "needs the keys data and classifier"),
        (classified("[20]", "[100_000_000]"), "D = 79,500,000,010, at most 2,147,483,648 fit"),
        (MINIMAL.replace("[8]", "[100_000, 100_000]"), "network: hidden: the network would have"),
        (MINIMAL.replace("[8]", str([1] * 1001)), "hidden: more than 1,000 hidden layers"),
        (MINIMAL + "known: true\n", "known: expected a whole number >= 1, found True"),
        (MINIMAL + "published: 3\n", "published: expected a list of mappings, found 3"),
        (MINIMAL + "bench: {es: quick}\n", "bench: es: expected a list of tiers, found 'quick'"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_has_one_line(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(RlidimError) as raised:
        loading.load_task(path)
    message = str(raised.value)
    assert expected in message
    assert message.startswith(f"{path}: ")
    assert "\n" not in message


# What each setting may be, apart from the package's own table: values inside, values outside.
INSIDE_AND_OUTSIDE = {
    **dict.fromkeys(
        ("n_timesteps", "n_iterations", "n_epochs", "n_envs", "eval_freq", "buffer_size",
         "train_freq", "target_update_interval", "policy_delay", "n_quantiles", "cg_max_steps",
         "line_search_max_iter", "n_critic_updates"),
        ([1, 7], [0, -1, 0.5, ".inf"]),
    ),
    "batch_size": ([2, 128], [0, -1]),
    "n_steps": ([2, 7], [0, -1]),
    "population": ([2, 64], [0, -2, 3]),
    "gradient_steps": ([1, 7, -1], [0, -2]),
    "n_top": ([1, 7, "null"], [0, -1, 33]),
    "rank": ([1, 7, "null"], [0, -1, 0.5]),
    **dict.fromkeys(
        ("diagonal_above", "learning_starts", "top_quantiles_to_drop_per_net"), ([0, 7], [-1])
    ),
    **dict.fromkeys(
        ("sigma", "sigma0", "max_grad_norm", "target_kl"), ([0.1, 2], [0, -1, ".nan", ".inf"])
    ),
    **dict.fromkeys(
        ("learning_rate", "clip_range"),
        ([0.1, 2, "lin_0.1", "1e-3"],
         [0, -1, ".nan", ".inf", "lin_0", "lin_-1", "lin_", "lin_nan", "lim_1", "often"]),
    ),
    **dict.fromkeys(
        ("weight_decay", "l2", "vf_coef", "noise_std", "cg_damping"), ([0, 2], [-0.1, ".nan"])
    ),
    "ent_coef": ([0, 0.1], [-0.1, ".nan", "lin_1", "automatic", "auto_", "auto_-1"]),
    **dict.fromkeys(
        ("beta2", "momentum", "line_search_shrinking_factor"), ([0, 0.99], [1, 1.5, -0.1])
    ),
    **dict.fromkeys(
        ("gamma", "gae_lambda", "exploration_initial_eps", "exploration_final_eps"),
        ([0, 1], [-0.1, 1.1]),
    ),
    **dict.fromkeys(("tau", "exploration_fraction"), ([0.1, 1], [0, 1.1])),
}  # fmt: skip
NEVER_CLIPPED = ("sac", "td3", "ddpg", "tqc", "crossq", "trpo")  # natively, and so in a subspace
NUMBERS = [
    (trainer, field.name)
    for trainer, settings in TRAINERS.items()
    for field in dataclasses.fields(settings)
    if field.type != "bool" and not (field.name == "max_grad_norm" and trainer in NEVER_CLIPPED)
]


@pytest.mark.parametrize(("trainer", "name"), NUMBERS)
def test_every_number_of_every_trainer_has_a_range(tmp_path: Path, trainer: str, name: str) -> None:
    fields = {field.name: field for field in dataclasses.fields(TRAINERS[trainer])}
    needed = {key: 10**6 for key in fields if fields[key].default is dataclasses.MISSING}
    base = {"control": MINIMAL, "supervised": CLASSIFIED, "analytic": "title: x\nkind: analytic\n"}
    base_text = base[TRAINERS[trainer].trains].partition("trainers:")[0]

    def load(value: object) -> None:
        values = ", ".join(f"{key}: {word}" for key, word in {**needed, name: value}.items())
        loading.load_task(write(tmp_path, f"{base_text}trainers: {{{trainer}: {{{values}}}}}\n"))

    inside, outside = INSIDE_AND_OUTSIDE[name]
    for value in inside:
        if fields[name].type == "Rate" or not str(value).startswith("lin_"):
            load(value)
    for value in outside:
        with pytest.raises(RlidimError, match=rf"mine\.yml: trainers: {trainer}: {name}"):
            load(value)


def test_the_entropy_coefficient_of_sac_may_be_learnt(tmp_path: Path) -> None:
    for word in ("auto", "auto_0.1"):
        text = MINIMAL.replace("es: {", f"sac: {{ent_coef: {word}, ")
        assert loading.load_task(write(tmp_path, text)).settings("sac").ent_coef == word


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("sac: {ent_coef: auto_0, ", "one that is learned begins above 0"),
        ("tqc: {top_quantiles_to_drop_per_net: 25, ", "must be at least 0 and at most 24"),
        ("recurrent_ppo: {n_steps: 65, batch_size: 64, ", "= 65 in minibatches .* the last has 1"),
        ("maskable_ppo: {n_steps: 65, batch_size: 64, ", "= 65 in minibatches .* the last has 1"),
    ],
)
def test_settings_that_train_nothing_are_refused(
    tmp_path: Path, settings: str, message: str
) -> None:
    with pytest.raises(RlidimError, match=message):
        loading.load_task(write(tmp_path, MINIMAL.replace("es: {", settings)))
    loading.load_task(
        write(tmp_path, MINIMAL.replace("es: {", "ppo: {n_steps: 65, batch_size: 64, "))
    )


@pytest.mark.parametrize("settings", ["n_steps: 1, batch_size: 64", "batch_size: 1"])
def test_one_advantage_cannot_be_normalised(tmp_path: Path, settings: str) -> None:
    path = write(tmp_path, MINIMAL.replace("es: {", f"ppo: {{{settings}, "))
    with pytest.raises(RlidimError, match=r"mine\.yml: trainers: ppo: normalize_advantage needs"):
        loading.load_task(path)
    write(tmp_path, path.read_text().replace("ppo: {", "ppo: {normalize_advantage: false, "))
    loading.load_task(path)


@pytest.mark.parametrize("trainer", ["ppo", "a2c", "trpo", "ppo-many"])
def test_a_rate_cannot_fall_to_zero_before_the_first_rollout(tmp_path: Path, trainer: str) -> None:
    settings = "learning_rate: lin_0.01, n_steps: 64, n_envs: 4, n_timesteps: "
    text = MINIMAL.replace("es: {n_timesteps: 1000}", f"{trainer}: {{{settings}255}}")
    with pytest.raises(RlidimError, match="learning_rate falls to zero at n_timesteps = 255"):
        loading.load_task(write(tmp_path, text))
    loading.load_task(write(tmp_path, text.replace("255", "256")))
    loading.load_task(write(tmp_path, text.replace("lin_0.01", "0.01")))


def test_a_setting_on_the_command_line_has_the_same_range() -> None:
    with pytest.raises(RlidimError, match="adam settings: beta2 must be at least 0 and below 1"):
        find_task("mnist-fc").replace_settings("adam", {"beta2": 1.5})


@pytest.mark.parametrize("name", ["minatar-breakout", "pong"])
def test_frames_are_not_normalised_by_a_change_either(name: str) -> None:
    refused = rf"task '{name}': trainers: es: normalize: a game's frames are as they are"
    with pytest.raises(RlidimError, match=refused):
        find_task(name).replace_settings("es", {"normalize": True})


def test_a_changed_problem_is_checked_against_the_settings(tmp_path: Path) -> None:
    normalised = MINIMAL.replace("1000}", "1000, normalize: true}")
    frames = find_task("minatar-breakout").control
    with pytest.raises(RlidimError, match="task 'mine': trainers: es: normalize: a game's frames"):
        loading.load_task(write(tmp_path, normalised)).replace_problem(
            environment=frames.environment, network=frames.network
        )


def test_trainers_inherit_the_general_search(tmp_path: Path) -> None:
    text = MINIMAL + "search: {hint: 5, budget: 7m, es: {hint: 9}}\n"
    loaded = loading.load_task(write(tmp_path, text))
    assert (loaded.search.hint, loaded.search_for("es").hint) == (5, 9)
    assert loaded.search_for("es").budget == 420.0


@pytest.mark.parametrize(("budget", "seconds"), [("300h", 1_080_000.0), ("1234567s", 1_234_567.0)])
def test_a_long_budget_is_written_as_it_is_read(
    tmp_path: Path, budget: str, seconds: float
) -> None:
    text = MINIMAL + f"search: {{budget: {budget}}}\n"
    loaded = loading.load_task(write(tmp_path, text))
    again = loading.load_task(write(tmp_path, yaml_of(loaded, loaded.trainers)))
    assert loaded.search_for("es").budget == again.search_for("es").budget == seconds


def test_a_trainers_name_is_a_text(tmp_path: Path) -> None:
    text = MINIMAL.replace("  es: {", "  1: {module: mine.py, ")
    with pytest.raises(RlidimError, match=r"trainers: 1: expected a trainer's name, a text"):
        loading.load_task(write(tmp_path, text))


def test_a_budget_is_a_length_of_time(tmp_path: Path) -> None:
    with pytest.raises(RlidimError, match=r"search: budget: expected a time such as 3h, .* '7'"):
        loading.load_task(write(tmp_path, MINIMAL + "search: {budget: '7'}\n"))


def test_a_run_stops_at_the_target(tmp_path: Path) -> None:
    declared = MINIMAL + "target: {score: 475, source: a threshold}\n"
    loaded = loading.load_task(write(tmp_path, declared))
    assert loaded.target is not None
    assert (loaded.target.score, loaded.control.evaluation.solved) == (475, 475)
    other = declared + "evaluation: {solved: 490}\n"
    assert loading.load_task(write(tmp_path, other)).control.evaluation.solved == 490
    with pytest.raises(RlidimError, match="target: key 'source' is missing"):
        loading.load_task(write(tmp_path, MINIMAL + "target: {score: 475}\n"))


def test_own_tasks_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = write(tmp_path, MINIMAL, "cartpole.yml")
    assert find_task("cartpole", tmp_path).file == own
    monkeypatch.setenv("RLIDIM_ENVS", str(tmp_path))
    assert find_task("cartpole").file == own


def test_unknown_task_names_the_nearest() -> None:
    with pytest.raises(RlidimError, match=r"unknown task 'cartpol' .did you mean 'cartpole'"):
        find_task("cartpol")


def test_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(RlidimError, match="no such folder"):
        task_files(tmp_path / "nowhere")


def test_settings_can_be_replaced(tmp_path: Path) -> None:
    loaded = loading.load_task(write(tmp_path, MINIMAL))
    assert loaded.replace_settings("es", {"n_timesteps": 5}).settings("es").n_timesteps == 5
    with pytest.raises(RlidimError, match="did you mean 'population'"):
        loaded.replace_settings("es", {"populaton": 5})
    with pytest.raises(RlidimError, match="no settings for trainer 'ppo'"):
        loaded.settings("ppo")


PUBLISHED = (
    "{d_int: 3, D: 9, trainer: es, rule: paper, baseline: {kind: global, score: 1.0}, "
    "source: y, fraction: 0.5}"
)


def test_a_published_number_may_have_been_read_at_another_share(tmp_path: Path) -> None:
    text = f"{MINIMAL}published: [{PUBLISHED}, {PUBLISHED.replace(', fraction: 0.5', '')}]\n"
    read = [entry.fraction for entry in loading.load_task(write(tmp_path, text)).published]
    assert read == [0.5, None]
    for wrong in ("0", "1", "-0.9", ".nan"):
        path = write(tmp_path, text.replace("0.5", wrong))
        with pytest.raises(RlidimError, match="published: fraction"):
            loading.load_task(path)


def test_variants_of_width_and_depth() -> None:
    base = find_task("mnist-fc")
    hidden = {
        (50, None): ("mnist-fc-50x2", (50, 50)),
        (None, 3): ("mnist-fc-200x3", (200, 200, 200)),
        (400, 1): ("mnist-fc-400x1", (400,)),
        (200, 2): ("mnist-fc", (200, 200)),  # the task itself
    }
    for (width, depth), (name, expected) in hidden.items():
        changed = base.variant(width, depth)
        assert changed.name == name
        assert changed.supervised.classifier.hidden == expected
        assert changed.trainers == base.trainers
        assert changed == find_task(name)
    assert base.variant(200, 2).bench == base.bench
    assert base.variant(50).bench == {}


def test_variants_of_the_protocol() -> None:
    base = find_task("mnist-shuffled-pixels-lenet")
    paper = base.variant(protocol="paper")
    assert paper.name == "mnist-shuffled-pixels-lenet-paper"
    assert next(iter(paper.trainers)) == "sgd"  # which the paper used: it is the default there
    assert paper.settings("adam") == AdamSettings()
    assert paper.settings("sgd") == SGDSettings(learning_rate=0.01, l2=0.0)
    one, other = paper.supervised, base.supervised
    assert (one.data, one.classifier) == (other.data, other.classifier)
    assert paper.published == base.published
    both = find_task("mnist-fc").variant(400, 3, "paper")
    assert both.name == "mnist-fc-400x3-paper"
    assert both == find_task("mnist-fc-400x3-paper")
    assert [entry.d_int for entry in both.published] == [800]


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("mnist-softmax", (5, None), "no width and depth: its classifier has no hidden layers"),
        ("mnist-lenet", (7, None), "whose classifier has the architecture fc do"),
        ("cartpole", (None, 2), "whose classifier has the architecture fc do"),
        ("mnist-fc", (0, None), "must be at least 1, got 0 and 2"),
        ("mnist-fc", (None, -1), "must be at least 1, got 200 and -1"),
        ("mnist-fc", (100_000_000, None), "width 100000000 and depth 2: the network would have D"),
        ("mnist-fc", (100_000_000, 1), "D = 79,500,000,010, at most 2,147,483,648 fit"),
        ("mnist-fc", (1, 10**12), "more than 1,000 hidden layers"),
        ("mnist-fc", (None, None, "theirs"), "unknown protocol 'theirs'; there is paper"),
        ("cartpole", (None, None, "paper"), "only supervised tasks have the paper's"),
    ],
)
def test_variants_that_there_are_not(
    name: str, arguments: tuple[int | None, ...], expected: str
) -> None:
    with pytest.raises(RlidimError) as raised:
        find_task(name).variant(*arguments)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_types_of_a_user_s_own_settings() -> None:
    @dataclasses.dataclass(frozen=True)
    class Own:
        sizes: list[int] = dataclasses.field(default_factory=list)
        widths: Sequence[int] = ()
        kind: Literal["a", "b"] = "a"
        what: Any = None

    given = {"sizes": [1, 2], "widths": [3], "kind": "b", "what": {"x": 1}}
    read = parse(Own, given, "own.yml: trainers")
    assert read == Own([1, 2], (3,), "b", {"x": 1})
    with pytest.raises(RlidimError, match="kind: expected one of 'a', 'b', found 'c'"):
        parse(Own, {"kind": "c"}, "own.yml: trainers")
    with pytest.raises(RlidimError, match="sizes: expected a list of a whole number"):
        parse(Own, {"sizes": 3}, "own.yml: trainers")


def test_a_type_that_is_not_there_is_one_line() -> None:
    own = dataclasses.make_dataclass("Own", [("x", "Nope", 1)])
    with pytest.raises(RlidimError, match="a type of Own is unknown"):
        parse(own, {}, "own.yml: trainers")
