"""Normal numbers rounded to whole multiples of 1/4096: the same bits on every device.

A number takes 16 bits: a sign and a place in the upper half of the distribution, mapped through
the normal quantile function by cubics, one an octave of the tail probability: no device's own
logarithm takes part. Sums of squares of such multiples are exact in any order.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

SCALE = 4096  # one standard deviation
BITS = 16  # of the stream for each number
MAGNITUDES = 2 ** (BITS - 1)

# CUBICS[power][octave]: with q = k / 65536 for odd k and k = m 2^octave, 1 <= m < 2, the magnitude
# 4096 |x| with P(|X| > |x|) = q is their polynomial in m, to 0.75 (minimax over the octave's k).
CUBICS = (
    (
        *(17714.869140625, 16696.142578125, 17034.041015625, 17181.1953125),
        *(16544.814453125, 15877.34765625, 15179.5107421875, 14451.1845703125),
        *(13688.8349609375, 12888.396484375, 12044.5166015625, 11150.3935546875),
        *(10197.3916015625, 9174.59765625, 8069.1904296875, 6902.52783203125),
    ),
    (
        *(0.0, 0.0, -665.0213012695312, -2008.2984619140625),
        *(-2118.117919921875, -2223.05908203125, -2332.503173828125, -2455.412109375),
        *(-2595.848876953125, -2760.243408203125, -2957.02294921875, -3198.405029296875),
        *(-3503.182861328125, -3901.99853515625, -4449.94580078125, -5341.740234375),
    ),
    (
        *(0.0, 0.0, 0.0, 658.9691162109375),
        *(701.8170166015625, 737.7915649414062, 772.4451293945312, 810.4575805664062),
        *(852.5519409179688, 900.396240234375, 955.7108764648438, 1020.4819946289062),
        *(1096.7939453125, 1185.8223876953125, 1285.534912109375, 1457.3670654296875),
    ),
    (
        *(0.0, 0.0, 0.0, -96.99640655517578),
        *(-104.1951675415039, -109.72358703613281, -114.80799102783203, -120.39718627929688),
        *(-126.53054809570312, -133.46438598632812, -141.45083618164062, -150.79421997070312),
        *(-161.88424682617188, -175.34210205078125, -193.6828155517578, -256.1529541015625),
    ),
)


@cache
def magnitudes() -> Tensor:
    """Return the magnitude of every 15-bit value, float32 (2^15,) of whole numbers, on the CPU.

    Only single operations, each rounded: no fused multiply-add.
    """
    odd = 2 * torch.arange(MAGNITUDES, dtype=torch.int32) + 1
    bits = odd.to(torch.float32).view(torch.int32)
    octave = (bits >> 23) - 127
    within = ((bits & 0x7FFFFF) | 0x3F800000).view(torch.float32)
    constant, linear, square, cube = torch.tensor(CUBICS, dtype=torch.float32)[:, octave]
    numbers: Tensor = constant + within * (linear + within * (square + within * cube))
    return numbers.round()


def halves(values: Tensor) -> Tensor:
    """Split words (..., m) into 16-bit values, int64 (..., 2 m): the low half first."""
    return torch.stack((values & 0xFFFF, values >> 16), dim=-1).flatten(-2)


def normal(values: Tensor) -> Tensor:
    """Map words (..., m) to normal numbers times 4096, float32 (..., 2 m): bit 15 is the sign."""
    drawn = halves(values)
    magnitude = magnitudes().to(values.device)[drawn & (MAGNITUDES - 1)]
    return torch.where(drawn >= MAGNITUDES, -magnitude, magnitude)
