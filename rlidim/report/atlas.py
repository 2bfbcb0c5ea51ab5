"""Claims about reinforcement-learning tasks that the atlas judges, by rules stated beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rlidim.records.measurement import Measurement
from rlidim.report.claims import OPEN, REFUTED, SUPPORTED, Claim, by_intervals, ratio_interval
from rlidim.report.headline import by_trainer
from rlidim.report.rows import counts, reading_of
from rlidim.report.trainers import readings
from rlidim.statistics.reading import isotonic_fit
from rlidim.statistics.scale import HALF
from rlidim.statistics.wording import beside

# What one number that makes tasks harder does to their dimension, and the tasks, easiest first.
KNOBS: dict[str, tuple[str, ...]] = {
    "a shorter pole makes CartPole's dimension larger": (
        "cartpole",
        "cartpole-50cm",
        "cartpole-20cm",
    ),
    "a larger room makes the dimension of MiniGrid's empty one larger": (
        "minigrid-empty-5x5",
        "minigrid-empty-6x6",
        "minigrid-empty",
    ),
}
# Tasks that begin at solutions of a neighbour, and those that begin at random theta_0.
STARTED = {"cartpole-from-20cm": "cartpole", "cartpole-20cm-from-1m": "cartpole-20cm"}
NEVER, ALWAYS = 0.1, 0.9  # shares of runs that solve, where a transition begins and ends
SHARP = 4.0  # times: within so many of d


def claims(measurements: Sequence[Measurement]) -> list[Claim]:
    """Return every claim that the measurements can judge."""
    rows = by_trainer(measurements)
    judged = [_harder(words, names, rows) for words, names in KNOBS.items()]
    judged.append(_transition(measurements))
    judged.append(_started(rows, by_trainer(measurements, started=True)))
    return [claim for claim in judged if claim is not None]


def _harder(
    words: str, names: tuple[str, ...], rows: Mapping[str, Mapping[str, Measurement]]
) -> Claim | None:
    """Judge whether the dimension grows as a task is made harder, for every trainer of all levels.

    Supported where for each trainer no step goes down and the interval of the last reading over
    the first lies above 1; refuted where for some trainer that interval lies below 1.
    """
    figures, grows, falls = [], [], []
    levels = [rows.get(name, {}) for name in names]
    for trainer in levels[0]:
        of = [row[trainer] for row in levels if trainer in row and counts(row[trainer])]
        if len(of) < len(names):
            continue
        low, high = ratio_interval(of[-1], of[0])
        d = [reading_of(each) for each in of]
        grows.append(d == sorted(d) and low is not None and low > 1)
        falls.append(high is not None and high < 1)
        steps = " to ".join(beside(each.estimate) for each in of)
        figures.append(f"{trainer} {steps}")
    if not figures:
        return None
    return by_intervals(f"{words} ({' to '.join(names)})", figures, grows, falls)


def _transition(measurements: Sequence[Measurement]) -> Claim | None:
    """Judge whether success appears all at once (Larsen et al. 2022): a transition in log d.

    Of the rows whose runs were seen to fail at some d, nine in ten: supported where in half of them
    or more nine in ten solve within ``SHARP`` times that d, refuted where in fewer; undecided while
    the share's 95 % interval (Clopper and Pearson 1934) holds a half.
    """
    from scipy.stats import binomtest

    sharp = total = 0
    for row in readings(measurements).values():
        for each in row.values():
            assert each.estimate is not None
            rungs = each.estimate.rungs
            fit = isotonic_fit([rung.share for rung in rungs], [len(r.scores) for r in rungs])
            shares = [(rung.d, float(share)) for rung, share in zip(rungs, fit, strict=True)]
            failing = [d for d, share in shares if share <= NEVER]
            if not failing:
                continue
            total += 1
            solving = min((d for d, share in shares if share >= ALWAYS), default=None)
            sharp += solving is not None and solving <= SHARP * max(failing)
    if not total:
        return None
    ends = binomtest(sharp, total).proportion_ci()
    verdict = SUPPORTED if ends.low >= HALF else REFUTED if ends.high < HALF else OPEN
    return Claim(
        "whether runs solve a task is a phase transition in log d",
        verdict,
        f"from at most {100 * NEVER:g} % of the runs to at least {100 * ALWAYS:g} % within "
        f"{SHARP:g} times d in {sharp} of the {total} rows in which the failing d were "
        f"tested: a share of {ends.low:.2f} to {ends.high:.2f}",
    )


def _started(
    rows: Mapping[str, Mapping[str, Measurement]], started: Mapping[str, Mapping[str, Measurement]]
) -> Claim | None:
    """Judge whether theta_0 from a neighbouring task lowers the dimension.

    Of every pair and trainer: supported where the interval of the reading from there over that from
    random theta_0 lies below 1 each time; refuted where it reaches above 1 alone some time.
    """
    figures, lowers, raises = [], [], []
    for name, plain in STARTED.items():
        for trainer, there in started.get(name, {}).items():
            own = rows.get(plain, {}).get(trainer)
            if own is None or not (counts(own) and counts(there)):
                continue
            low, high = ratio_interval(there, own)
            lowers.append(high is not None and high < 1)
            raises.append(low is not None and low > 1)
            figures.append(f"{plain} {trainer} {beside(own.estimate)} to {beside(there.estimate)}")
    if not figures:
        return None
    claim = "theta_0 from a neighbouring task, a pole of another length, lowers the dimension"
    return by_intervals(claim, figures, lowers, raises)
