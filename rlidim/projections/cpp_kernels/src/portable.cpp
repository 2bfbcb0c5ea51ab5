// The kernels in plain C++17, for any processor.
#include "common.hpp"

#define INLINE inline __attribute__((always_inline))

namespace rlidim::portable {
constexpr int FLOAT_RADIX = 4;
#include "lanes_portable.hpp"
#include "lanes_generic.hpp"
#include "table.hpp"
}  // namespace rlidim::portable
