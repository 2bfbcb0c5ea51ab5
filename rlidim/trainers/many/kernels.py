"""The C++ that computes what learners do, where it was built."""

from __future__ import annotations

try:
    from rlidim.trainers.many._learners import Learner, act, instruction_sets, outputs, use
except ModuleNotFoundError:
    MISSING = "the C++ extension was not built: install rlidim where a C++17 compiler is"
else:
    MISSING = ""

__all__ = ["MISSING", "Learner", "act", "instruction_sets", "outputs", "use"]
