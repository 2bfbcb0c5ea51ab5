// Sixteen words in a compiler's own vector type; included inside one namespace an instruction set.

struct Words {
    typedef u32 All __attribute__((vector_size(LANES * sizeof(u32))));
    All all;
};

template <class T> struct Lanes {
    typedef T All __attribute__((vector_size(LANES * sizeof(T))));
    All all;
};

INLINE Words words(u32 value) { return {Words::All{} + value}; }

INLINE Words counting_from(u32 first) {
    return {Words::All{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} + first};
}

INLINE void store(u32* to, Words x) { std::memcpy(to, &x, sizeof x); }

INLINE Words load_words(const u32* from) {
    Words result;
    std::memcpy(&result, from, sizeof result);
    return result;
}

// Lane by lane: x[0], x[1], x[2], x[3] of the first, then of the second, ...
INLINE void store_interleaved(u32* to, const Words* x) {
    u32 lane[4][LANES];
    for (int w = 0; w < 4; ++w) store(lane[w], x[w]);
    for (int i = 0; i < LANES; ++i)
        for (int w = 0; w < 4; ++w) to[4 * i + w] = lane[w][i];
}

INLINE Words operator+(Words a, Words b) { return {a.all + b.all}; }
INLINE Words operator&(Words a, Words b) { return {a.all & b.all}; }
INLINE Words operator|(Words a, Words b) { return {a.all | b.all}; }
INLINE Words xor3(Words a, Words b, Words c) { return {a.all ^ b.all ^ c.all}; }
template <int BITS> INLINE Words shift_left(Words a) { return {a.all << BITS}; }
template <int BITS> INLINE Words shift_right(Words a) { return {a.all >> BITS}; }

// a where a < modulus, else a - modulus.
INLINE Words reduce_once(Words a, u32 modulus) {
    return {a.all < modulus ? a.all : a.all - modulus};
}

INLINE void multiply(Words a, u32 factor, Words& high, Words& low) {
    u32 lane[LANES], upper[LANES];
    store(lane, a);
    for (int i = 0; i < LANES; ++i) upper[i] = u32(u64(lane[i]) * factor >> 32);
    high = load_words(upper);
    low.all = a.all * factor;
}

INLINE Lanes<float> as_float(Words bits) { return {(Lanes<float>::All)bits.all}; }
INLINE Words as_words(Lanes<float> x) { return {(Words::All)x.all}; }

INLINE Lanes<float> to_float(Words small) {  // below 2^31
    typedef std::int32_t Whole __attribute__((vector_size(LANES * sizeof(std::int32_t))));
    return {__builtin_convertvector((Whole)small.all, Lanes<float>::All)};
}
