// Types, constants and the arguments of every kernel; the same for all instruction sets.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace rlidim {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i64 = std::int64_t;

constexpr int LANES = 16;
constexpr int CALL_SIGNS = 128;                    // signs of one counter
constexpr int GROUP_SIGNS = LANES * CALL_SIGNS;    // of sixteen counters, drawn together

// Rows that one task works on. Tasks are the same whatever the number of threads.
constexpr i64 DENSE_TILE = 2048;       // forward, dense families
constexpr i64 MEMBERS_TILE = 128;      // forward for many members
constexpr i64 BLOCK_TILE = 16384;      // forward, one entry a row
constexpr i64 MULTIPLIED_ROWS = 64;    // forward and adjoint for many members, gaussian
constexpr int MEMBERS = 32;            // members whose sums stay in registers
constexpr i64 MEMBERS_PARTS = 16;      // tasks at least of an adjoint for many members

constexpr i64 minimum(i64 a, i64 b) { return a < b ? a : b; }
constexpr i64 maximum(i64 a, i64 b) { return a > b ? a : b; }
inline i64 divide_up(i64 a, i64 b) { return (a + b - 1) / b; }
inline i64 round_up(i64 a, i64 b) { return divide_up(a, b) * b; }

// A key and a family's part of the stream.
struct Stream {
    u64 seed;
    u32 tag;
};

// base + P theta for rows start .. stop - 1; base may be missing, and may be out itself.
template <class T> struct Forward {
    const T* base;
    T* out;
    i64 start, stop;
};

// P^T g for rows start .. stop - 1: one partial sum a task, `width` numbers each.
template <class T> struct Adjoint {
    const T* g;
    T* partial;
    i64 start, stop, rows_a_task, width;
};

template <class T> struct RademacherForward {
    Forward<T> rows;
    const T* table;  // 16 sums of each 4 coefficients
    i64 d;
    Stream stream;
};

// The same for `count` members: out's and g's strides of a row and of a member are anything.
template <class T> struct MembersForward {
    Forward<T> rows;
    i64 row, member;
    i64 d, count;
    const T* theta;  // gaussian: scaled, (d, count padded to its member_stride)
                     // rademacher: 16 sums of each 4 coefficients of MEMBERS members at a time
    Stream stream;
};

// Partial sums are (d, count padded to its member_stride).
template <class T> struct MembersAdjoint {
    Adjoint<T> rows;
    i64 row, member;
    i64 d, count;
    Stream stream;
};

template <class T> struct RademacherAdjoint {
    Adjoint<T> rows;
    i64 d;
    Stream stream;
};

// Entries times each column's scale, (rows, d); for Gaussians and signs.
template <class T> struct Entries {
    T* out;
    const T* scale;
    i64 start, stop, d;
    Stream stream;
};

template <class T> struct GaussianForward {
    Forward<T> rows;
    const T* theta;  // scaled, padded with zeros to a multiple of 8
    i64 d;
    Stream stream;
};

template <class T> struct GaussianAdjoint {
    Adjoint<T> rows;
    i64 d;
    Stream stream;
};

// One signed entry a row: rows k width .. (k + 1) width - 1 hold each column once.
template <class T> struct BlocksForward {
    Forward<T> rows;
    const T* theta;  // scaled; for rotation twice in a row
    i64 width;
    Stream signs, places;
    const u32* coprime;  // hashed: the factor for each residue
};

template <class T> struct BlocksAdjoint {
    Adjoint<T> rows;
    i64 width;
    Stream signs, places;
    const u32* coprime;
    const u32* inverse;  // hashed: of each factor
};

template <class T> struct StackedForward {
    Forward<T> rows;
    const T* mixed;  // H B C theta, at least LANES numbers, repeated where n is less
    i64 n;
    Stream middle, outer;
};

template <class T> struct StackedAdjoint {
    Adjoint<T> rows;
    i64 n;
    Stream middle, outer;
};

template <class T> struct Transform {
    const T* x;  // may be out itself
    T* out;
    i64 n;
};

// Rows of one tile, grouped by their number of entries.
template <class T> struct SparseForward {
    Forward<T> rows;
    const T* table;       // coefficient, minus coefficient, ...
    const u32* entries;   // 2 column + sign
    const u16* order;     // row within its tile
    const i64* row_at;    // first row of each (tile, count)
    const i64* entry_at;  // likewise, first entry
    i64 counts, D;
};

template <class T> struct SparseAdjoint {
    Adjoint<T> rows;
    const u32* entries;
    const u16* order;
    const i64* row_at;
    const i64* entry_at;
    i64 counts, D;
};

// A is D1 x d1, B is D2 x d2; row i D2 + k and column j d2 + l of P hold A[i, j] B[k, l].
struct KroneckerSize {
    i64 d1, D2, d2;
};

inline i64 kronecker_rows(const KroneckerSize& size) { return maximum(BLOCK_TILE / size.D2, 1); }

template <class T> struct KroneckerForward {
    Forward<T> rows;
    KroneckerSize size;
    const T* theta;  // (d1, d2), rows padded to their member_stride
    const T* left;   // A
    const T* right;  // B transposed, (d2, D2), padded likewise
};

template <class T> struct KroneckerAdjoint {
    Adjoint<T> rows;  // partial sums are (d1, d2), rows padded to their member_stride
    KroneckerSize size;
    const T* left;   // A
    const T* right;  // B, padded likewise
};

template <class T> struct Permuted {
    const T* x;
    T* out;
    const u32* place;
    const T* scale;
    i64 count;
};

// A population's networks: parameters (D, members), observations and outputs a row a member.
template <class T> struct Networks {
    const T* theta;
    const T* x;
    T* out;
    const i64* sizes;  // units of the layers + 1 layers, inputs and outputs included
    i64 layers, widest, members;
};

// The kernels of one instruction set and precision. A task is numbered from 0.
template <class T> struct Kernels {
    void (*rademacher_table)(const T* theta, i64 d, T scale, T* table);
    void (*rademacher_forward)(const void* arguments, i64 task);
    void (*rademacher_members)(const void* arguments, i64 task);
    void (*rademacher_adjoint)(const void* arguments, i64 task);
    void (*rademacher_members_adjoint)(const void* arguments, i64 task);
    void (*rademacher_entries)(const void* arguments, i64 task);
    void (*gaussian_forward)(const void* arguments, i64 task);
    void (*gaussian_adjoint)(const void* arguments, i64 task);
    void (*gaussian_members)(const void* arguments, i64 task);
    void (*gaussian_members_adjoint)(const void* arguments, i64 task);
    void (*gaussian_squares)(const void* arguments, i64 task);
    void (*gaussian_entries)(const void* arguments, i64 task);
    void (*rotation_forward)(const void* arguments, i64 task);
    void (*rotation_adjoint)(const void* arguments, i64 task);
    void (*hashed_forward)(const void* arguments, i64 task);
    void (*hashed_adjoint)(const void* arguments, i64 task);
    void (*stacked_forward)(const void* arguments, i64 task);
    void (*stacked_adjoint)(const void* arguments, i64 task);
    void (*transform)(const void* arguments, i64 task);
    void (*sparse_forward)(const void* arguments, i64 task);
    void (*sparse_adjoint)(const void* arguments, i64 task);
    void (*kronecker_forward)(const void* arguments, i64 task);
    void (*kronecker_adjoint)(const void* arguments, i64 task);
    void (*gather_scaled)(const void* arguments, i64 task);
    void (*scatter_scaled)(const void* arguments, i64 task);
    void (*networks)(const void* arguments, i64 task);
};

// From one row of members to the next: an odd number of vectors, so that rows do not share the same
// few places of a cache.
inline i64 member_stride(i64 count) { return (divide_up(count, LANES) | 1) * LANES; }

inline i64 words_a_row(i64 d) { return d <= 32 ? 1 : d <= 64 ? 2 : 4 * divide_up(d, CALL_SIGNS); }

// What the rows of `rows` share with a task's rows: the tasks' borders are multiples of `size`.
struct Range {
    i64 first, last;
};

inline Range task_rows(i64 start, i64 stop, i64 size, i64 task) {
    const i64 first = (start / size + task) * size;
    return {maximum(first, start), minimum(first + size, stop)};
}

namespace portable {
extern const Kernels<float> single_precision;
extern const Kernels<double> double_precision;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels<float> single_precision;
extern const Kernels<double> double_precision;
}
namespace avx512 {
extern const Kernels<float> single_precision;
extern const Kernels<double> double_precision;
}
#endif

}  // namespace rlidim
