// Lanes in a compiler's own vector type: every precision on the portable path, double on the others.

template <class T> struct WholeOf;
template <> struct WholeOf<float> {
    typedef std::int32_t All __attribute__((vector_size(LANES * sizeof(std::int32_t))));
};
template <> struct WholeOf<double> {
    typedef std::int64_t All __attribute__((vector_size(LANES * sizeof(std::int64_t))));
};

template <class T> INLINE Lanes<T> lanes(T value) { return {typename Lanes<T>::All{} + value}; }

template <class T> INLINE Lanes<T> load(const T* from) {
    Lanes<T> result;
    std::memcpy(&result, from, sizeof result);
    return result;
}

template <class T> INLINE Lanes<T> load_first(const T* from, i64 count) {
    T lane[LANES] = {};
    for (i64 i = 0; i < minimum(count, LANES); ++i) lane[i] = from[i];
    return load(lane);
}

template <class T> INLINE void store(T* to, Lanes<T> x) { std::memcpy(to, &x, sizeof x); }

template <class T> INLINE void store_first(T* to, i64 count, Lanes<T> x) {
    std::memcpy(to, &x, sizeof(T) * std::size_t(count));
}

template <class T> INLINE Lanes<T> operator+(Lanes<T> a, Lanes<T> b) { return {a.all + b.all}; }
template <class T> INLINE Lanes<T> operator-(Lanes<T> a, Lanes<T> b) { return {a.all - b.all}; }
template <class T> INLINE Lanes<T> operator*(Lanes<T> a, Lanes<T> b) { return {a.all * b.all}; }

// All ones in the lanes whose bit is set.
template <class T> INLINE typename WholeOf<T>::All where(u32 bits) {
    typedef typename WholeOf<T>::All All;
    const All place = {1,   2,   4,    8,    16,   32,   64,    128,
                       256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    return ((All{} + std::int32_t(bits)) & place) != 0;
}

// Change the sign of the lanes whose bit is set.
template <class T> INLINE Lanes<T> flip(Lanes<T> x, u32 bits) {
    return {where<T>(bits) ? -x.all : x.all};
}

// Add to the lanes whose bit is set.
template <class T> INLINE Lanes<T> add_where(Lanes<T> x, u32 bits, Lanes<T> y) {
    return {where<T>(bits) ? x.all + y.all : x.all};
}

template <class T> INLINE Lanes<T> gather(const T* table, Words index) {
    u32 at[LANES];
    store(at, index);
    T lane[LANES];
    for (int i = 0; i < LANES; ++i) lane[i] = table[at[i]];
    return load(lane);
}

// table[index mod 16] in each lane.
template <class T> INLINE Lanes<T> look_up(const T* table, Words index) {
    return gather(table, index & words(15u));
}

// One stage of a Walsh-Hadamard transform, between lanes that are HALF apart.
template <int HALF, class T> INLINE Lanes<T> butterfly_lanes(Lanes<T> x) {
    constexpr int H = HALF;
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 12  // which lack the other name
    const typename WholeOf<T>::All partner = {0 ^ H, 1 ^ H, 2 ^ H,  3 ^ H,  4 ^ H,  5 ^ H,  6 ^ H,  7 ^ H,
                                              8 ^ H, 9 ^ H, 10 ^ H, 11 ^ H, 12 ^ H, 13 ^ H, 14 ^ H, 15 ^ H};
    const typename Lanes<T>::All other = __builtin_shuffle(x.all, partner);
#else
    const typename Lanes<T>::All other = __builtin_shufflevector(
        x.all, x.all, 0 ^ H, 1 ^ H, 2 ^ H, 3 ^ H, 4 ^ H, 5 ^ H, 6 ^ H, 7 ^ H, 8 ^ H, 9 ^ H, 10 ^ H,
        11 ^ H, 12 ^ H, 13 ^ H, 14 ^ H, 15 ^ H);
#endif
    constexpr u32 upper = H == 1 ? 0xAAAA : H == 2 ? 0xCCCC : H == 4 ? 0xF0F0 : 0xFF00;
    return {other + flip(x, upper).all};
}

// The first STAGES stages of a Walsh-Hadamard transform, within the lanes.
template <int STAGES, class T> INLINE Lanes<T> butterfly_within(Lanes<T> x) {
    if constexpr (STAGES > 0) x = butterfly_lanes<1>(x);
    if constexpr (STAGES > 1) x = butterfly_lanes<2>(x);
    if constexpr (STAGES > 2) x = butterfly_lanes<4>(x);
    if constexpr (STAGES > 3) x = butterfly_lanes<8>(x);
    return x;
}

INLINE Lanes<double> to_double(Lanes<float> x) {
    typedef float Single __attribute__((vector_size(LANES * sizeof(float))));
    Single single;
    std::memcpy(&single, &x, sizeof single);
    return {__builtin_convertvector(single, Lanes<double>::All)};
}
