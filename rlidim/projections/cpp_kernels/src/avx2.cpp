// The kernels for AVX2, whatever the rest of the program is compiled for.
#include "common.hpp"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#define INLINE inline __attribute__((always_inline))

namespace rlidim::avx2 {
constexpr int FLOAT_RADIX = 8;
#include "lanes_avx2.hpp"
#include "lanes_generic.hpp"
#include "table.hpp"
}  // namespace rlidim::avx2

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
