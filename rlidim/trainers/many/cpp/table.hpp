// The learners of one instruction set, included in its namespace after WIDTH, UNITS, VECTORS and BLOCK.
#include "lanes.hpp"
#include "perceptron.hpp"
#include "samples.hpp"
#include "ppo.hpp"
#include "q_learning.hpp"
#include "step.hpp"

extern const Kernels kernels = {act,     outputs,  values, log_probabilities, differentiate, regress,
                                greatest, adjoint, write,  step};
