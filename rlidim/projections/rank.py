"""Full column rank, decided in whole numbers: the same on every device.

A small random P may be singular: of two by two signs every other one is. Such a draw is not used.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

# A singular draw is met only among small matrices. Of the families that are asked, P of more rows
# is singular less than once in a million draws.
CHECKED_ROWS = 256
RETRY = 0x1000  # added to a family's tag for each draw that was singular
PRIME = 2**31 - 1
ENOUGH_MORE = 32  # rows than columns: mostly of full rank without the others


def full_column_rank(matrix: Tensor) -> bool:
    """Say whether a matrix of whole numbers has full column rank, by elimination modulo a prime.

    Full rank modulo a prime is full rank. A matrix of full rank is missed where the prime divides
    all its minors, about once in 2^31 draws.

    Args:
        matrix: (D, d), whole numbers of any type, on any device.
    """
    rows, columns = matrix.shape
    if rows > columns + ENOUGH_MORE and full_column_rank(matrix[: columns + ENOUGH_MORE]):
        return True
    rest = np.rint(matrix.cpu().numpy()).astype(np.int64) % PRIME
    while rest.shape[1]:
        pivots = np.flatnonzero(rest[:, 0])
        if not len(pivots):
            return False
        pivot = rest[pivots[0]] * pow(int(rest[pivots[0], 0]), -1, PRIME) % PRIME
        rest = np.delete(rest, pivots[0], axis=0)
        rest = (rest[:, 1:] - rest[:, :1] * pivot[1:] % PRIME) % PRIME
    return True
