"""The family that ``projection="auto"`` means: a rule of two rows, from timings in results/."""

from __future__ import annotations

from dataclasses import dataclass

# Entries up to which regenerated signs cost little: on the CPU 0.1 ms for both products, on an H200
# what stacked_fastfood's products cost, 25 us (results/kernels/cuda.json).
DENSE_ENTRIES = {"cpu": 2 * 10**6, "cuda": 10**7}


@dataclass(frozen=True)
class Row:
    """One row of the rule: the first whose bound holds decides."""

    when: str
    family: str
    why: str


RULE = (
    Row(
        f"D d <= {DENSE_ENTRIES['cpu']:.0e} on the CPU, {DENSE_ENTRIES['cuda']:.0e} on a GPU",
        "rademacher",
        "independent entries, as in the paper's dense P; no matrix, a few bits an entry",
    ),
    Row(
        "otherwise",
        "stacked_fastfood",
        "every parameter depends on all of theta_d, at a few times the cost of writing D numbers",
    ),
)


def choose(D: int, d: int, device_type: str = "cpu") -> str:
    """Return the family for a size and a type of device.

    Example:
        >>> choose(562, 16), choose(1_005_974, 6_000)
        ('rademacher', 'stacked_fastfood')
    """
    dense = D * d <= DENSE_ENTRIES.get(device_type, DENSE_ENTRIES["cpu"])
    return RULE[0].family if dense else RULE[1].family
