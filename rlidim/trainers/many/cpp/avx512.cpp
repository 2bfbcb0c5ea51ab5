// The learners for AVX-512, whatever the rest of the program is compiled for.
#include "learner.hpp"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")
#endif

#define INLINE inline __attribute__((always_inline))

namespace rlidim::many::avx512 {
constexpr int WIDTH = 16;  // of a register, in numbers
// Units, vectors of samples, and a square of weights whose sums stay in registers.
constexpr int UNITS = 4, VECTORS = 2, BLOCK = 4;
#include "table.hpp"
}  // namespace rlidim::many::avx512

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
