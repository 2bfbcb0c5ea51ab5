// The Python module: addresses of checked, contiguous memory in, nothing out. The GIL is released.
#include "common.hpp"
#include "pool.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

namespace nb = nanobind;
using namespace rlidim;

namespace {

using Address = std::uintptr_t;

struct InstructionSet {
    std::string name;
    const Kernels<float>* single_precision;
    const Kernels<double>* double_precision;
};

// The sets that this processor has, the fastest first.
const std::vector<InstructionSet>& sets() {
    static const std::vector<InstructionSet> found = [] {
        std::vector<InstructionSet> all;
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
            all.push_back({"avx512", &avx512::single_precision, &avx512::double_precision});
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            all.push_back({"avx2", &avx2::single_precision, &avx2::double_precision});
#endif
        all.push_back({"portable", &portable::single_precision, &portable::double_precision});
        return all;
    }();
    return found;
}

std::size_t chosen = 0;

template <class T> const Kernels<T>& kernels();
template <> const Kernels<float>& kernels<float>() { return *sets()[chosen].single_precision; }
template <> const Kernels<double>& kernels<double>() { return *sets()[chosen].double_precision; }

template <class T> T* at(Address address) { return reinterpret_cast<T*>(address); }

i64 tasks_of(i64 start, i64 stop, i64 size) {
    return start == stop ? 0 : divide_up(stop, size) - start / size;
}

// Sum the tasks' partial results in their order.
template <class T> void reduce(const std::vector<T>& partial, i64 tasks, i64 width, T* out) {
    for (i64 j = 0; j < width; ++j) out[j] = tasks > 0 ? partial[std::size_t(j)] : T(0);
    for (i64 task = 1; task < tasks; ++task)
        for (i64 j = 0; j < width; ++j) out[j] += partial[std::size_t(task * width + j)];
}

// Run an adjoint whose argument begins with an Adjoint<T>.
template <class T, class Arguments>
void run_adjoint(void (*kernel)(const void*, i64), Arguments& a, T* out, int threads) {
    const i64 tasks = tasks_of(a.rows.start, a.rows.stop, a.rows.rows_a_task);
    std::vector<T> partial(std::size_t(maximum(tasks, 1) * a.rows.width));
    a.rows.partial = partial.data();
    run(kernel, &a, tasks, threads);
    reduce(partial, tasks, a.rows.width, out);
}

// Rows of an adjoint's task: the same for any number of threads, partial sums below an eighth of D.
i64 rows_a_task(i64 width, i64 multiple) {
    return round_up(maximum(i64(1) << 16, 8 * width), multiple);
}

template <class T> struct Calls {
    static void rademacher_forward(Address theta, Address base, Address out, i64 start, i64 stop,
                                   i64 d, double scale, u64 seed, u32 tag, int threads) {
        std::vector<T> table(std::size_t(divide_up(d, 4) * LANES));
        kernels<T>().rademacher_table(at<T>(theta), d, T(scale), table.data());
        const RademacherForward<T> a = {
            {at<T>(base), at<T>(out), start, stop}, table.data(), d, {seed, tag}};
        run(kernels<T>().rademacher_forward, &a, tasks_of(start, stop, DENSE_TILE), threads);
    }

    static void rademacher_members(Address theta, Address base, Address out, i64 row, i64 member,
                                   i64 start, i64 stop, i64 d, i64 count, double scale, u64 seed,
                                   u32 tag, int threads) {
        const i64 groups = divide_up(d, 4), slabs = divide_up(count, MEMBERS);
        std::vector<T> table(std::size_t(slabs * groups * LANES * MEMBERS));
        const T* from = at<T>(theta);
        for (i64 slab = 0; slab < slabs; ++slab)
            for (i64 g = 0; g < groups; ++g) {
                T* to = table.data() + (slab * groups + g) * LANES * MEMBERS;
                for (i64 n = 0; n < MEMBERS && slab * MEMBERS + n < count; ++n) {
                    T four[4] = {}, sums[LANES];
                    for (i64 b = 0; b < 4 && 4 * g + b < d; ++b)
                        four[b] = from[(4 * g + b) * count + slab * MEMBERS + n];
                    kernels<T>().rademacher_table(four, 4, T(scale), sums);
                    for (i64 m = 0; m < LANES; ++m) to[m * MEMBERS + n] = sums[m];
                }
            }
        const MembersForward<T> a = {
            {at<T>(base), at<T>(out), start, stop}, row, member, d, count, table.data(), {seed, tag}};
        run(kernels<T>().rademacher_members, &a, tasks_of(start, stop, MEMBERS_TILE), threads);
    }

    static void rademacher_adjoint(Address g, Address out, i64 start, i64 stop, i64 d, double scale,
                                   u64 seed, u32 tag, int threads) {
        RademacherAdjoint<T> a = {
            {at<T>(g), nullptr, start, stop, rows_a_task(d, 128), d}, d, {seed, tag}};
        run_adjoint(kernels<T>().rademacher_adjoint, a, at<T>(out), threads);
        for (i64 j = 0; j < d; ++j) at<T>(out)[j] *= T(scale);
    }

    static void gaussian_forward(Address theta, Address scale, Address base, Address out, i64 start,
                                 i64 stop, i64 d, u64 seed, u32 tag, int threads) {
        std::vector<T> scaled(std::size_t(round_up(d, 8)));
        for (i64 j = 0; j < d; ++j) scaled[std::size_t(j)] = at<T>(theta)[j] * at<T>(scale)[j];
        const GaussianForward<T> a = {
            {at<T>(base), at<T>(out), start, stop}, scaled.data(), d, {seed, tag}};
        run(kernels<T>().gaussian_forward, &a, tasks_of(start, stop, DENSE_TILE), threads);
    }

    static void gaussian_adjoint(Address g, Address scale, Address out, i64 start, i64 stop, i64 d,
                                 u64 seed, u32 tag, int threads) {
        GaussianAdjoint<T> a = {
            {at<T>(g), nullptr, start, stop, rows_a_task(d, 512), d}, d, {seed, tag}};
        run_adjoint(kernels<T>().gaussian_adjoint, a, at<T>(out), threads);
        for (i64 j = 0; j < d; ++j) at<T>(out)[j] *= at<T>(scale)[j];
    }

    // Sums of squares of the unscaled entries, as whole numbers of 64 bits whatever T.
    static void gaussian_squares(Address out, i64 start, i64 stop, i64 d, u64 seed, u32 tag,
                                 int threads) {
        GaussianAdjoint<double> a = {
            {nullptr, nullptr, start, stop, rows_a_task(d, 512), d}, d, {seed, tag}};
        const i64 tasks = tasks_of(start, stop, a.rows.rows_a_task);
        std::vector<double> partial(std::size_t(tasks * d));
        a.rows.partial = partial.data();
        run(kernels<double>().gaussian_squares, &a, tasks, threads);
        std::fill_n(at<i64>(out), d, i64(0));
        for (i64 task = 0; task < tasks; ++task)
            for (i64 j = 0; j < d; ++j) at<i64>(out)[j] += i64(partial[std::size_t(task * d + j)]);
    }

    static void gaussian_members(Address theta, Address scale, Address base, Address out, i64 row,
                                 i64 member, i64 start, i64 stop, i64 d, i64 count, u64 seed, u32 tag,
                                 int threads) {
        const i64 width = member_stride(count);
        std::vector<T> scaled(std::size_t(d * width));
        for (i64 j = 0; j < d; ++j)
            for (i64 n = 0; n < count; ++n)
                scaled[std::size_t(j * width + n)] = at<T>(theta)[j * count + n] * at<T>(scale)[j];
        const MembersForward<T> a = {
            {at<T>(base), at<T>(out), start, stop}, row, member, d, count, scaled.data(), {seed, tag}};
        run(kernels<T>().gaussian_members, &a, tasks_of(start, stop, MULTIPLIED_ROWS), threads);
    }

    static void members_adjoint(bool normal, Address scale, Address g, i64 row, i64 member, Address out,
                                i64 start, i64 stop, i64 d, i64 count, u64 seed, u32 tag, int threads) {
        const i64 width = member_stride(count), blocks = divide_up(d, CALL_SIGNS);
        // Columns are shared out; where there are few, rows too.
        const i64 parts = maximum(MEMBERS_PARTS / blocks, 1);
        const i64 rows = round_up(divide_up(stop, parts), i64(1) << 16);
        MembersAdjoint<T> a = {{at<T>(g), nullptr, start, stop, rows, d * width}, row, member, d, count,
                               {seed, tag}};
        const i64 cut = tasks_of(start, stop, rows);
        std::vector<T> partial(std::size_t(maximum(cut, 1) * d * width)), sums(std::size_t(d * width));
        a.rows.partial = partial.data();
        const auto kernel = normal ? kernels<T>().gaussian_members_adjoint
                                   : kernels<T>().rademacher_members_adjoint;
        run(kernel, &a, cut * blocks, threads);
        reduce(partial, cut, d * width, sums.data());
        for (i64 j = 0; j < d; ++j)
            for (i64 n = 0; n < count; ++n)
                at<T>(out)[j * count + n] = sums[std::size_t(j * width + n)] * at<T>(scale)[j];
    }

    static void entries(bool normal, Address scale, Address out, i64 start, i64 stop, i64 d,
                        u64 seed, u32 tag, int threads) {
        const Entries<T> a = {at<T>(out), at<T>(scale), start, stop, d, {seed, tag}};
        run(normal ? kernels<T>().gaussian_entries : kernels<T>().rademacher_entries, &a,
            tasks_of(start, stop, MEMBERS_TILE), threads);
    }

    static void rotation_forward(Address theta, Address base, Address out, i64 start, i64 stop,
                                 i64 width, u64 seed, u32 signs, u32 places, int threads) {
        std::vector<T> twice(std::size_t(2 * width + LANES));
        std::copy_n(at<T>(theta), width, twice.begin());
        std::copy_n(at<T>(theta), width, twice.begin() + width);
        const BlocksForward<T> a = {{at<T>(base), at<T>(out), start, stop}, twice.data(), width,
                                    {seed, signs}, {seed, places}, nullptr};
        run(kernels<T>().rotation_forward, &a, tasks_of(start, stop, BLOCK_TILE), threads);
    }

    static void rotation_adjoint(Address g, Address out, i64 start, i64 stop, i64 width, u64 seed,
                                 u32 signs, u32 places, int threads) {
        BlocksAdjoint<T> a = {
            {at<T>(g), nullptr, start, stop, rows_a_task(width, BLOCK_TILE), width},
            width, {seed, signs}, {seed, places}, nullptr, nullptr};
        run_adjoint(kernels<T>().rotation_adjoint, a, at<T>(out), threads);
    }

    static void hashed_forward(Address theta, Address base, Address out, i64 start, i64 stop,
                               i64 width, u64 seed, u32 signs, u32 places, Address coprime,
                               int threads) {
        const BlocksForward<T> a = {{at<T>(base), at<T>(out), start, stop}, at<T>(theta), width,
                                    {seed, signs}, {seed, places}, at<u32>(coprime)};
        run(kernels<T>().hashed_forward, &a, tasks_of(start, stop, BLOCK_TILE), threads);
    }

    static void hashed_adjoint(Address g, Address out, i64 start, i64 stop, i64 width, u64 seed,
                               u32 signs, u32 places, Address coprime, Address inverse, int threads) {
        BlocksAdjoint<T> a = {
            {at<T>(g), nullptr, start, stop, rows_a_task(width, width), width},
            width, {seed, signs}, {seed, places}, at<u32>(coprime), at<u32>(inverse)};
        run_adjoint(kernels<T>().hashed_adjoint, a, at<T>(out), threads);
    }

    static void transform(Address x, Address out, i64 n) {
        const Transform<T> a = {at<T>(x), at<T>(out), n};
        kernels<T>().transform(&a, 0);
    }

    static void stacked_forward(Address scaled, Address base, Address out, i64 start, i64 stop,
                                i64 n, u64 seed, u32 middle, u32 outer, int threads) {
        std::vector<T> mixed(std::size_t(maximum(n, LANES)));
        transform(scaled, Address(mixed.data()), n);
        for (i64 j = n; j < LANES; ++j) mixed[std::size_t(j)] = mixed[std::size_t(j % n)];
        const StackedForward<T> a = {{at<T>(base), at<T>(out), start, stop}, mixed.data(), n,
                                     {seed, middle}, {seed, outer}};
        const i64 tile = maximum(n, 2 * GROUP_SIGNS);
        run(kernels<T>().stacked_forward, &a, tasks_of(start, stop, tile), threads);
    }

    static void stacked_adjoint(Address g, Address out, i64 start, i64 stop, i64 n, u64 seed,
                                u32 middle, u32 outer, int threads) {
        const i64 tile = maximum(n, 2 * GROUP_SIGNS);
        StackedAdjoint<T> a = {
            {at<T>(g), nullptr, start, stop, rows_a_task(n, tile), n}, n, {seed, middle}, {seed, outer}};
        run_adjoint(kernels<T>().stacked_adjoint, a, at<T>(out), threads);
        transform(out, out, n);
    }

    static void sparse_forward(Address table, Address base, Address out, i64 start, i64 stop,
                               Address entries, Address order, Address row_at, Address entry_at,
                               i64 counts, i64 D, int threads) {
        const SparseForward<T> a = {{at<T>(base), at<T>(out), start, stop}, at<T>(table),
                                    at<u32>(entries), at<u16>(order), at<i64>(row_at),
                                    at<i64>(entry_at), counts, D};
        run(kernels<T>().sparse_forward, &a, tasks_of(start, stop, BLOCK_TILE), threads);
    }

    static void sparse_adjoint(Address g, Address out, i64 start, i64 stop, i64 d, Address entries,
                               Address order, Address row_at, Address entry_at, i64 counts, i64 D,
                               int threads) {
        SparseAdjoint<T> a = {
            {at<T>(g), nullptr, start, stop, rows_a_task(d, BLOCK_TILE), d},
            at<u32>(entries), at<u16>(order), at<i64>(row_at), at<i64>(entry_at), counts, D};
        run_adjoint(kernels<T>().sparse_adjoint, a, at<T>(out), threads);
    }

    static void kronecker_forward(Address theta, Address left, Address right, Address base, Address out,
                                  i64 start, i64 stop, i64 d1, i64 D2, i64 d2, int threads) {
        const KroneckerForward<T> a = {{at<T>(base), at<T>(out), start, stop}, {d1, D2, d2},
                                       at<T>(theta), at<T>(left), at<T>(right)};
        run(kernels<T>().kronecker_forward, &a, tasks_of(start, stop, kronecker_rows(a.size) * D2),
            threads);
    }

    static void kronecker_adjoint(Address g, Address left, Address right, Address out, i64 start,
                                  i64 stop, i64 d1, i64 D2, i64 d2, int threads) {
        const KroneckerSize size = {d1, D2, d2};
        const i64 width = d1 * member_stride(d2);
        KroneckerAdjoint<T> a = {
            {at<T>(g), nullptr, start, stop, rows_a_task(width, kronecker_rows(size) * D2), width},
            size, at<T>(left), at<T>(right)};
        run_adjoint(kernels<T>().kronecker_adjoint, a, at<T>(out), threads);
    }

    static void gather_scaled(Address x, Address place, Address scale, Address out, i64 count) {
        const Permuted<T> a = {at<T>(x), at<T>(out), at<u32>(place), at<T>(scale), count};
        kernels<T>().gather_scaled(&a, 0);
    }

    static void scatter_scaled(Address x, Address place, Address scale, Address out, i64 count) {
        const Permuted<T> a = {at<T>(x), at<T>(out), at<u32>(place), at<T>(scale), count};
        kernels<T>().scatter_scaled(&a, 0);
    }

    static void networks(Address theta, Address x, Address out, Address sizes, i64 layers,
                         i64 members) {
        const i64* units = at<i64>(sizes);
        const i64 widest = *std::max_element(units, units + layers + 1);
        const Networks<T> a = {at<T>(theta), at<T>(x), at<T>(out), units, layers, widest, members};
        kernels<T>().networks(&a, 0);
    }

    static void bind(nb::module_ parent, const char* name) {
        nb::module_ m = parent.def_submodule(name);
        const auto release = nb::call_guard<nb::gil_scoped_release>();
        m.def("rademacher_forward", rademacher_forward, release);
        m.def("rademacher_members", rademacher_members, release);
        m.def("rademacher_adjoint", rademacher_adjoint, release);
        m.def("gaussian_forward", gaussian_forward, release);
        m.def("gaussian_adjoint", gaussian_adjoint, release);
        m.def("gaussian_squares", gaussian_squares, release);
        m.def("gaussian_members", gaussian_members, release);
        m.def("members_adjoint", members_adjoint, release);
        m.def("entries", entries, release);
        m.def("rotation_forward", rotation_forward, release);
        m.def("rotation_adjoint", rotation_adjoint, release);
        m.def("hashed_forward", hashed_forward, release);
        m.def("hashed_adjoint", hashed_adjoint, release);
        m.def("transform", transform, release);
        m.def("stacked_forward", stacked_forward, release);
        m.def("stacked_adjoint", stacked_adjoint, release);
        m.def("sparse_forward", sparse_forward, release);
        m.def("sparse_adjoint", sparse_adjoint, release);
        m.def("kronecker_forward", kronecker_forward, release);
        m.def("kronecker_adjoint", kronecker_adjoint, release);
        m.def("gather_scaled", gather_scaled, release);
        m.def("scatter_scaled", scatter_scaled, release);
        m.def("networks", networks, release);
    }
};

}  // namespace

NB_MODULE(_kernels, m) {
    m.def("instruction_sets", [] {
        std::vector<std::string> names;
        for (const InstructionSet& set : sets()) names.push_back(set.name);
        return names;
    });
    m.def("instruction_set", [] { return sets()[chosen].name; });
    m.def("use", [](const std::string& name) {
        for (std::size_t i = 0; i < sets().size(); ++i)
            if (sets()[i].name == name) {
                chosen = i;
                return;
            }
        throw std::invalid_argument("this processor has no instruction set '" + name + "'");
    });
    Calls<float>::bind(m, "float32");
    Calls<double>::bind(m, "float64");
}
