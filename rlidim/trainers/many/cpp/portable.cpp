// The learners in plain C++17, for any processor.
#include "learner.hpp"

#define INLINE inline __attribute__((always_inline))

namespace rlidim::many::portable {
constexpr int WIDTH = 4;  // of a register, in numbers
// Units, vectors of samples, and a square of weights whose sums stay in registers.
constexpr int UNITS = 2, VECTORS = 1, BLOCK = 1;
#include "lanes.hpp"
#include "perceptron.hpp"
#include "samples.hpp"
#include "ppo.hpp"
#include "q_learning.hpp"
#include "step.hpp"

extern const Kernels kernels = {act,     outputs,  values, log_probabilities, differentiate, regress,
                                greatest, adjoint, write,  step};
}  // namespace rlidim::many::portable
