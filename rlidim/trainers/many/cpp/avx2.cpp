// The learners for AVX2, whatever the rest of the program is compiled for.
#include "learner.hpp"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#define INLINE inline __attribute__((always_inline))

namespace rlidim::many::avx2 {
constexpr int WIDTH = 8;  // of a register, in numbers
// Units, vectors of samples, and a square of weights whose sums stay in registers.
constexpr int UNITS = 4, VECTORS = 1, BLOCK = 2;
#include "table.hpp"
}  // namespace rlidim::many::avx2

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
