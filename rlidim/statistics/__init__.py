"""From scores to d_int90 with its 95 % interval; needs numpy and scipy alone."""

from rlidim.statistics.coverage import KINDS, coverage_study
from rlidim.statistics.estimate import (
    Estimate,
    Rung,
    estimate,
    interquartile_mean,
    isotonic_fit,
    normalise,
    paper_rule,
)

__all__ = [
    "KINDS",
    "Estimate",
    "Rung",
    "coverage_study",
    "estimate",
    "interquartile_mean",
    "isotonic_fit",
    "normalise",
    "paper_rule",
]
