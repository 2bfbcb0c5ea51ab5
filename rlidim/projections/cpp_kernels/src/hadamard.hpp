// The Walsh-Hadamard transform, unnormalised, stage by stage from neighbours to the whole length.
//
// What is transformed is loaded and stored by a caller's functors, so that signs, a base or a sum
// cost no pass of their own. The stages' order is fixed, and so are the results.

constexpr i64 CACHED = 8192;  // numbers that are transformed completely before the next

// Vectors that one butterfly holds in registers: stages that one pass over memory makes.
template <class T> constexpr int RADIX = sizeof(T) == 4 ? FLOAT_RADIX : 2;

template <int COUNT, int HALF, class T> INLINE void butterflies(Lanes<T>* x) {
    if constexpr (HALF < COUNT) {
#pragma GCC unroll 16
        for (int pair = 0; pair < COUNT / 2; ++pair) {
            const int i = pair / HALF * 2 * HALF + pair % HALF;
            const Lanes<T> a = x[i], b = x[i + HALF];
            x[i] = a + b;
            x[i + HALF] = a - b;
        }
        butterflies<COUNT, 2 * HALF>(x);
    }
}

template <class T> struct LoadFrom {
    const T* from;
    INLINE Lanes<T> operator()(i64 i) const { return load(from + i); }
};

template <class T> struct StoreTo {
    T* to;
    INLINE void operator()(i64 i, Lanes<T> x) const { store(to + i, x); }
};

// COUNT vectors, `stride` apart, from `first` on.
template <int COUNT, int WITHIN, class T, class Load, class Store>
INLINE void one_butterfly(i64 first, i64 stride, const Load& from, const Store& to) {
    Lanes<T> x[COUNT];
#pragma GCC unroll 16
    for (int r = 0; r < COUNT; ++r) x[r] = butterfly_within<WITHIN>(Lanes<T>(from(first + r * stride)));
    butterflies<COUNT, 1>(x);
#pragma GCC unroll 16
    for (int r = 0; r < COUNT; ++r) to(first + r * stride, x[r]);
}

template <int COUNT, class T, class Load, class Store>
INLINE void one_pass(i64 n, i64 stride, const Load& from, const Store& to) {
    for (i64 block = 0; block < n; block += COUNT * stride)
        for (i64 j = block; j < block + stride; j += LANES)
            one_butterfly<COUNT, 0, T>(j, stride, from, to);
}

// The first stages, up to LANES * RADIX numbers.
template <class T, class Load, class Store>
INLINE void short_transform(i64 n, i64 first, const Load& from, const Store& to) {
    switch (n) {
        case 1: return one_butterfly<1, 0, T>(first, LANES, from, to);
        case 2: return one_butterfly<1, 1, T>(first, LANES, from, to);
        case 4: return one_butterfly<1, 2, T>(first, LANES, from, to);
        case 8: return one_butterfly<1, 3, T>(first, LANES, from, to);
        case 16: return one_butterfly<1, 4, T>(first, LANES, from, to);
        case 32: return one_butterfly<2, 4, T>(first, LANES, from, to);
    }
    if constexpr (RADIX<T> >= 4)
        if (n == 64) return one_butterfly<4, 4, T>(first, LANES, from, to);
    if constexpr (RADIX<T> >= 8)
        if (n == 128) return one_butterfly<8, 4, T>(first, LANES, from, to);
    if constexpr (RADIX<T> >= 16)
        if (n == 256) return one_butterfly<16, 4, T>(first, LANES, from, to);
}

template <class T> INLINE i64 radix_for(i64 rest) { return minimum(rest, RADIX<T>); }

// The later stages, from `stride` on: up to `radix_for` of them.
template <class T, class Load, class Store>
INLINE void long_pass(i64 n, i64 radix, i64 stride, const Load& from, const Store& to) {
    if (radix == 2) return one_pass<2, T>(n, stride, from, to);
    if constexpr (RADIX<T> >= 4)
        if (radix == 4) return one_pass<4, T>(n, stride, from, to);
    if constexpr (RADIX<T> >= 8)
        if (radix == 8) return one_pass<8, T>(n, stride, from, to);
    if constexpr (RADIX<T> >= 16)
        if (radix == 16) return one_pass<16, T>(n, stride, from, to);
}

// Transform n numbers, a power of two; fewer than 16 as if they were repeated up to 16 lanes.
// `work` takes n numbers; `from` is read once before `to` is written.
template <class T, class Load, class Store>
INLINE void transform(i64 n, T* work, const Load& from, const Store& to) {
    constexpr i64 SHORT = LANES * RADIX<T>;
    if (n <= SHORT) return short_transform<T>(n, 0, from, to);
    const LoadFrom<T> again = {work};
    const StoreTo<T> keep = {work};
    const i64 part = minimum(n, CACHED);
    i64 stride = SHORT;
    for (i64 first = 0; first < n; first += part) {
        for (i64 i = first; i < first + part; i += SHORT) short_transform<T>(SHORT, i, from, keep);
        const LoadFrom<T> here = {work + first};
        const StoreTo<T> there = {work + first};
        stride = SHORT;
        while (stride < part && stride * radix_for<T>(part / stride) < n) {
            const i64 radix = radix_for<T>(part / stride);
            long_pass<T>(part, radix, stride, here, there);
            stride *= radix;
        }
    }
    while (stride * radix_for<T>(n / stride) < n) {
        const i64 radix = radix_for<T>(n / stride);
        long_pass<T>(n, radix, stride, again, keep);
        stride *= radix;
    }
    long_pass<T>(n, n / stride, stride, again, to);
}

template <class T> void whole_transform(const void* arguments, i64) {
    const auto& a = *static_cast<const Transform<T>*>(arguments);
    Scratch<T> work(maximum(a.n, LANES));
    if (a.n >= LANES) return transform<T>(a.n, work, LoadFrom<T>{a.x}, StoreTo<T>{a.out});
    T padded[LANES * RADIX<T>] = {};
    std::memcpy(padded, a.x, sizeof(T) * std::size_t(a.n));
    transform<T>(a.n, work, LoadFrom<T>{padded}, StoreTo<T>{padded});
    std::memcpy(a.out, padded, sizeof(T) * std::size_t(a.n));
}
