// The learners in plain C++17, for any processor.
#include "learner.hpp"

#define INLINE inline __attribute__((always_inline))

namespace rlidim::many::portable {
constexpr int WIDTH = 4;  // of a register, in numbers
// Units, vectors of samples, and a square of weights whose sums stay in registers.
constexpr int UNITS = 2, VECTORS = 1, BLOCK = 1;
#include "table.hpp"
}  // namespace rlidim::many::portable
