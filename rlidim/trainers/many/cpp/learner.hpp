// What the kernels are given: a learner, its rollout, observations; the same for all instruction sets.
#pragma once

#include <cstdint>

namespace rlidim::many {

using i64 = std::int64_t;
using i32 = std::int32_t;

constexpr int LANES = 16;     // samples side by side
constexpr i64 CHUNK = 128;    // samples at a time of a minibatch, whose activations stay in the cache
constexpr i64 MOST_PARTS = 64;  // of a continuous action

constexpr i64 minimum(i64 a, i64 b) { return a < b ? a : b; }
constexpr i64 round_up(i64 a, i64 b) { return (a + b - 1) / b * b; }

// A multilayer perceptron: each layer's weight (out, in), then its bias (out,).
struct Network {
    const i64* sizes;  // units of every layer, inputs and outputs included
    i64 layers, size, widest;  // size: parameters; widest: the most units of a layer
    bool tanh;         // hidden units; rectified otherwise
};

// An actor, a critic of the same hidden layers (none: of no layers), and how they are trained.
struct Learner {
    Network actor, critic;
    bool gaussian;          // continuous actions; one choice of several otherwise
    float* parameters;      // the actor's, the critic's, for continuous actions log_std (outputs,)
    float* gradient;        // of the loss by them
    i64 size, confined;     // parameters, and how many of them lie in the subspace or are clipped alone
    i64 d;                  // of the subspace; 0: native
    const float *theta_0, *P;  // (confined,) and (d, confined): P transposed; P may be missing
    float *theta_d, *gradient_d;
    float *mean, *square;   // moments of the gradient, of theta_d or the confined, then of all others
    float entropy, value;   // coefficients in the loss
    double longest;         // the gradient is clipped to; infinite: it is not
    bool normalised;        // advantages, in each minibatch
    bool root_mean_square;  // RMSprop moves the parameters; Adam otherwise
    float epsilon;          // of either
    float* scratch;         // scratch_size(...) numbers
    i32* told;              // (inputs,): which of them are not zero
};

struct Rollout {
    const float *observations, *actions;  // (steps, inputs), (steps, parts): a choice is a number too
    const float *advantages, *returns, *old;  // (steps,); old: log-probabilities of the actions
    const i32* order;                     // of a minibatch
    i64 count;                            // of its samples
    float clip;                           // the range of a probability's ratio
};

// Transitions whose actions' values are to become the targets.
struct Transitions {
    const float *observations, *actions, *targets;  // (count, inputs), (count,), (count,)
    i64 count;
};

// A step of the optimizer.
struct Step {
    double rate, factor;  // the native rate, and theta_d's in units of it
    double number;        // from 1
};

// The calls of one instruction set.
struct Kernels {
    // Actions (rows, parts) for observations: noise (rows, parts) is uniform in 0 .. 1 for a choice,
    // standard normal for continuous actions.
    void (*act)(const Learner&, const float* observations, const float* noise, i64 rows, float* actions);
    void (*outputs)(const Learner&, const float* observations, i64 rows, float* outputs);
    void (*values)(const Learner&, const float* observations, i64 rows, float* values);
    void (*log_probabilities)(const Learner&, const float* observations, const float* actions, i64 rows,
                              float* out);
    void (*differentiate)(const Learner&, const Rollout&);  // the loss of a minibatch
    void (*regress)(const Learner&, const Transitions&);    // Huber's loss of a minibatch
    // The greatest output of the actor with other parameters.
    void (*greatest)(const Learner&, const float* parameters, const float* observations, i64 rows,
                     float* out);
    void (*adjoint)(const Learner&);                        // gradient_d = P^T gradient
    void (*write)(const Learner&);                          // parameters = theta_0 + P theta_d
    void (*step)(const Learner&, const Step&);
};

// Numbers that the kernels need beside a learner's own, for its wider network.
inline i64 scratch_size(const Network& network) {
    i64 units = 2 * network.widest;  // activations, and two layers' deltas
    for (i64 layer = 0; layer <= network.layers; ++layer) units += network.sizes[layer];
    return units * CHUNK;
}

namespace portable { extern const Kernels kernels; }
#if defined(__x86_64__)
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
#endif

}  // namespace rlidim::many
