// Sixteen lanes in one AVX-512 register.

struct Words {
    __m512i all;
};

template <class T> struct Lanes {
    typedef T All __attribute__((vector_size(LANES * sizeof(T))));
    All all;
};

template <> struct Lanes<float> {
    __m512 all;
};

INLINE __mmask16 first_lanes(i64 count) { return __mmask16((1u << count) - 1u); }

INLINE Words words(u32 value) { return {_mm512_set1_epi32(int(value))}; }

INLINE Words counting_from(u32 first) {
    const __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return {_mm512_add_epi32(_mm512_set1_epi32(int(first)), places)};
}

INLINE void store(u32* to, Words x) { _mm512_storeu_si512(to, x.all); }
INLINE Words load_words(const u32* from) { return {_mm512_loadu_si512(from)}; }
INLINE void store_interleaved(u32* to, const Words* x) {
    const __m512i a = _mm512_unpacklo_epi32(x[0].all, x[1].all);
    const __m512i b = _mm512_unpackhi_epi32(x[0].all, x[1].all);
    const __m512i c = _mm512_unpacklo_epi32(x[2].all, x[3].all);
    const __m512i d = _mm512_unpackhi_epi32(x[2].all, x[3].all);
    // Now a quarter of each register is one lane's four words: lanes 0, 4, 8, 12 in the first.
    const __m512i first = _mm512_unpacklo_epi64(a, c), second = _mm512_unpackhi_epi64(a, c);
    const __m512i third = _mm512_unpacklo_epi64(b, d), fourth = _mm512_unpackhi_epi64(b, d);
    const __m512i low_0 = _mm512_shuffle_i32x4(first, second, 0x44);
    const __m512i low_1 = _mm512_shuffle_i32x4(third, fourth, 0x44);
    const __m512i high_0 = _mm512_shuffle_i32x4(first, second, 0xEE);
    const __m512i high_1 = _mm512_shuffle_i32x4(third, fourth, 0xEE);
    _mm512_storeu_si512(to, _mm512_shuffle_i32x4(low_0, low_1, 0x88));
    _mm512_storeu_si512(to + 16, _mm512_shuffle_i32x4(low_0, low_1, 0xDD));
    _mm512_storeu_si512(to + 32, _mm512_shuffle_i32x4(high_0, high_1, 0x88));
    _mm512_storeu_si512(to + 48, _mm512_shuffle_i32x4(high_0, high_1, 0xDD));
}

INLINE Words operator+(Words a, Words b) { return {_mm512_add_epi32(a.all, b.all)}; }
INLINE Words operator&(Words a, Words b) { return {_mm512_and_si512(a.all, b.all)}; }
INLINE Words operator|(Words a, Words b) { return {_mm512_or_si512(a.all, b.all)}; }

INLINE Words xor3(Words a, Words b, Words c) {
    return {_mm512_ternarylogic_epi32(a.all, b.all, c.all, 0x96)};
}

template <int BITS> INLINE Words shift_left(Words a) { return {_mm512_slli_epi32(a.all, BITS)}; }
template <int BITS> INLINE Words shift_right(Words a) { return {_mm512_srli_epi32(a.all, BITS)}; }

INLINE Words reduce_once(Words a, u32 modulus) {
    return {_mm512_min_epu32(a.all, _mm512_sub_epi32(a.all, _mm512_set1_epi32(int(modulus))))};
}

INLINE void multiply(Words a, u32 factor, Words& high, Words& low) {
    const __m512i by = _mm512_set1_epi32(int(factor));
    const __m512i even = _mm512_mul_epu32(a.all, by);
    const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a.all, 32), by);
    high.all = _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_ENUM(0xF5));
    low.all = _mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_ENUM(0xA0));
}

INLINE Lanes<float> as_float(Words bits) { return {_mm512_castsi512_ps(bits.all)}; }
INLINE Words as_words(Lanes<float> x) { return {_mm512_castps_si512(x.all)}; }
INLINE Lanes<float> to_float(Words small) { return {_mm512_cvtepi32_ps(small.all)}; }

INLINE Lanes<float> lanes(float value) { return {_mm512_set1_ps(value)}; }
INLINE Lanes<float> load(const float* from) { return {_mm512_loadu_ps(from)}; }

INLINE Lanes<float> load_first(const float* from, i64 count) {
    return {_mm512_maskz_loadu_ps(first_lanes(count), from)};
}

INLINE void store(float* to, Lanes<float> x) { _mm512_storeu_ps(to, x.all); }

INLINE void store_first(float* to, i64 count, Lanes<float> x) {
    _mm512_mask_storeu_ps(to, first_lanes(count), x.all);
}

INLINE Lanes<float> operator+(Lanes<float> a, Lanes<float> b) { return {_mm512_add_ps(a.all, b.all)}; }
INLINE Lanes<float> operator-(Lanes<float> a, Lanes<float> b) { return {_mm512_sub_ps(a.all, b.all)}; }
INLINE Lanes<float> operator*(Lanes<float> a, Lanes<float> b) { return {_mm512_mul_ps(a.all, b.all)}; }

INLINE Lanes<float> flip(Lanes<float> x, u32 bits) {
    const __m512i same = _mm512_castps_si512(x.all);
    const __m512i sign = _mm512_set1_epi32(int(0x80000000u));
    return {_mm512_castsi512_ps(_mm512_mask_xor_epi32(same, __mmask16(bits), same, sign))};
}

INLINE Lanes<float> add_where(Lanes<float> x, u32 bits, Lanes<float> y) {
    return {_mm512_mask_add_ps(x.all, __mmask16(bits), x.all, y.all)};
}

INLINE Lanes<float> look_up(const float* table, Words index) {
    return {_mm512_permutexvar_ps(index.all, _mm512_loadu_ps(table))};
}

INLINE Lanes<float> gather(const float* table, Words index) {
    return {_mm512_i32gather_ps(index.all, table, 4)};
}

// x times +1 or -1 is exact, so that the fused form rounds as the addition alone does.
template <int STAGES> INLINE Lanes<float> butterfly_within(Lanes<float> x) {
    __m512 v = x.all;
    if constexpr (STAGES > 0) {
        const __m512 sign = _mm512_setr_ps(1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1);
        v = _mm512_fmadd_ps(v, sign, _mm512_permute_ps(v, 0xB1));
    }
    if constexpr (STAGES > 1) {
        const __m512 sign = _mm512_setr_ps(1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1);
        v = _mm512_fmadd_ps(v, sign, _mm512_permute_ps(v, 0x4E));
    }
    if constexpr (STAGES > 2) {
        const __m512 sign = _mm512_setr_ps(1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1);
        v = _mm512_fmadd_ps(v, sign, _mm512_shuffle_f32x4(v, v, 0xB1));
    }
    if constexpr (STAGES > 3) {
        const __m512 sign = _mm512_setr_ps(1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1);
        v = _mm512_fmadd_ps(v, sign, _mm512_shuffle_f32x4(v, v, 0x4E));
    }
    return {v};
}
