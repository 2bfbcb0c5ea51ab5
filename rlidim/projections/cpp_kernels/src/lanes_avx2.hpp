// Sixteen lanes in two AVX2 registers.

struct Words {
    __m256i half[2];
};

template <class T> struct Lanes {
    typedef T All __attribute__((vector_size(LANES * sizeof(T))));
    All all;
};

template <> struct Lanes<float> {
    __m256 half[2];
};

INLINE Words words(u32 value) {
    const __m256i all = _mm256_set1_epi32(int(value));
    return {{all, all}};
}

INLINE Words counting_from(u32 first) {
    const __m256i start = _mm256_set1_epi32(int(first));
    return {{_mm256_add_epi32(start, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
             _mm256_add_epi32(start, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))}};
}

INLINE void store(u32* to, Words x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), x.half[0]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 8), x.half[1]);
}

INLINE Words load_words(const u32* from) {
    return {{_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)),
             _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 8))}};
}

INLINE void store_interleaved(u32* to, const Words* x) {
    for (int h = 0; h < 2; ++h, to += 32) {
        const __m256i a = _mm256_unpacklo_epi32(x[0].half[h], x[1].half[h]);
        const __m256i b = _mm256_unpackhi_epi32(x[0].half[h], x[1].half[h]);
        const __m256i c = _mm256_unpacklo_epi32(x[2].half[h], x[3].half[h]);
        const __m256i d = _mm256_unpackhi_epi32(x[2].half[h], x[3].half[h]);
        const __m256i first = _mm256_unpacklo_epi64(a, c), second = _mm256_unpackhi_epi64(a, c);
        const __m256i third = _mm256_unpacklo_epi64(b, d), fourth = _mm256_unpackhi_epi64(b, d);
        __m256i* place = reinterpret_cast<__m256i*>(to);
        _mm256_storeu_si256(place, _mm256_permute2x128_si256(first, second, 0x20));
        _mm256_storeu_si256(place + 1, _mm256_permute2x128_si256(third, fourth, 0x20));
        _mm256_storeu_si256(place + 2, _mm256_permute2x128_si256(first, second, 0x31));
        _mm256_storeu_si256(place + 3, _mm256_permute2x128_si256(third, fourth, 0x31));
    }
}

INLINE Words operator+(Words a, Words b) {
    return {{_mm256_add_epi32(a.half[0], b.half[0]), _mm256_add_epi32(a.half[1], b.half[1])}};
}

INLINE Words operator&(Words a, Words b) {
    return {{_mm256_and_si256(a.half[0], b.half[0]), _mm256_and_si256(a.half[1], b.half[1])}};
}

INLINE Words operator|(Words a, Words b) {
    return {{_mm256_or_si256(a.half[0], b.half[0]), _mm256_or_si256(a.half[1], b.half[1])}};
}

INLINE Words xor3(Words a, Words b, Words c) {
    for (int h = 0; h < 2; ++h)
        a.half[h] = _mm256_xor_si256(_mm256_xor_si256(a.half[h], b.half[h]), c.half[h]);
    return a;
}

template <int BITS> INLINE Words shift_left(Words a) {
    return {{_mm256_slli_epi32(a.half[0], BITS), _mm256_slli_epi32(a.half[1], BITS)}};
}

template <int BITS> INLINE Words shift_right(Words a) {
    return {{_mm256_srli_epi32(a.half[0], BITS), _mm256_srli_epi32(a.half[1], BITS)}};
}

INLINE Words reduce_once(Words a, u32 modulus) {
    const __m256i by = _mm256_set1_epi32(int(modulus));
    for (int h = 0; h < 2; ++h)
        a.half[h] = _mm256_min_epu32(a.half[h], _mm256_sub_epi32(a.half[h], by));
    return a;
}

INLINE void multiply(Words a, u32 factor, Words& high, Words& low) {
    const __m256i by = _mm256_set1_epi32(int(factor));
    for (int h = 0; h < 2; ++h) {
        const __m256i even = _mm256_mul_epu32(a.half[h], by);
        const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a.half[h], 32), by);
        high.half[h] = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
        low.half[h] = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
    }
}

INLINE Lanes<float> as_float(Words bits) {
    return {{_mm256_castsi256_ps(bits.half[0]), _mm256_castsi256_ps(bits.half[1])}};
}

INLINE Words as_words(Lanes<float> x) {
    return {{_mm256_castps_si256(x.half[0]), _mm256_castps_si256(x.half[1])}};
}

INLINE Lanes<float> to_float(Words small) {
    return {{_mm256_cvtepi32_ps(small.half[0]), _mm256_cvtepi32_ps(small.half[1])}};
}

INLINE Lanes<float> lanes(float value) {
    const __m256 all = _mm256_set1_ps(value);
    return {{all, all}};
}

INLINE Lanes<float> load(const float* from) {
    return {{_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}};
}

// All ones in the first lanes.
INLINE Words first_lanes(i64 count) {
    const __m256i bound = _mm256_set1_epi32(int(count));
    const Words place = counting_from(0);
    return {{_mm256_cmpgt_epi32(bound, place.half[0]), _mm256_cmpgt_epi32(bound, place.half[1])}};
}

INLINE Lanes<float> load_first(const float* from, i64 count) {
    const Words inside = first_lanes(count);
    return {{_mm256_maskload_ps(from, inside.half[0]), _mm256_maskload_ps(from + 8, inside.half[1])}};
}

INLINE void store(float* to, Lanes<float> x) {
    _mm256_storeu_ps(to, x.half[0]);
    _mm256_storeu_ps(to + 8, x.half[1]);
}

INLINE void store_first(float* to, i64 count, Lanes<float> x) {
    const Words inside = first_lanes(count);
    _mm256_maskstore_ps(to, inside.half[0], x.half[0]);
    _mm256_maskstore_ps(to + 8, inside.half[1], x.half[1]);
}

INLINE Lanes<float> operator+(Lanes<float> a, Lanes<float> b) {
    return {{_mm256_add_ps(a.half[0], b.half[0]), _mm256_add_ps(a.half[1], b.half[1])}};
}

INLINE Lanes<float> operator-(Lanes<float> a, Lanes<float> b) {
    return {{_mm256_sub_ps(a.half[0], b.half[0]), _mm256_sub_ps(a.half[1], b.half[1])}};
}

INLINE Lanes<float> operator*(Lanes<float> a, Lanes<float> b) {
    return {{_mm256_mul_ps(a.half[0], b.half[0]), _mm256_mul_ps(a.half[1], b.half[1])}};
}

// Each lane's bit, moved to the place of the sign.
INLINE Words sign_places(u32 bits) {
    const __m256i all = _mm256_set1_epi32(int(bits));
    return {{_mm256_sllv_epi32(all, _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24)),
             _mm256_sllv_epi32(all, _mm256_setr_epi32(23, 22, 21, 20, 19, 18, 17, 16))}};
}

INLINE Lanes<float> flip(Lanes<float> x, u32 bits) {
    const Words signs = sign_places(bits) & words(0x80000000u);
    for (int h = 0; h < 2; ++h)
        x.half[h] = _mm256_xor_ps(x.half[h], _mm256_castsi256_ps(signs.half[h]));
    return x;
}

INLINE Lanes<float> add_where(Lanes<float> x, u32 bits, Lanes<float> y) {
    const Words signs = sign_places(bits);
    for (int h = 0; h < 2; ++h) {
        const __m256 sum = _mm256_add_ps(x.half[h], y.half[h]);
        x.half[h] = _mm256_blendv_ps(x.half[h], sum, _mm256_castsi256_ps(signs.half[h]));
    }
    return x;
}

INLINE Lanes<float> look_up(const float* table, Words index) {
    const __m256 lower = _mm256_loadu_ps(table), upper = _mm256_loadu_ps(table + 8);
    Lanes<float> result;
    for (int h = 0; h < 2; ++h) {
        const __m256 which = _mm256_castsi256_ps(_mm256_slli_epi32(index.half[h], 28));
        result.half[h] = _mm256_blendv_ps(_mm256_permutevar8x32_ps(lower, index.half[h]),
                                          _mm256_permutevar8x32_ps(upper, index.half[h]), which);
    }
    return result;
}

INLINE Lanes<float> gather(const float* table, Words index) {
    return {{_mm256_i32gather_ps(table, index.half[0], 4),
             _mm256_i32gather_ps(table, index.half[1], 4)}};
}

template <int STAGES> INLINE Lanes<float> butterfly_within(Lanes<float> x) {
    for (int h = 0; h < 2; ++h) {
        __m256 v = x.half[h];
        if constexpr (STAGES > 0) {
            const __m256 sign = _mm256_setr_ps(0.f, -0.f, 0.f, -0.f, 0.f, -0.f, 0.f, -0.f);
            v = _mm256_add_ps(_mm256_xor_ps(v, sign), _mm256_permute_ps(v, 0xB1));
        }
        if constexpr (STAGES > 1) {
            const __m256 sign = _mm256_setr_ps(0.f, 0.f, -0.f, -0.f, 0.f, 0.f, -0.f, -0.f);
            v = _mm256_add_ps(_mm256_xor_ps(v, sign), _mm256_permute_ps(v, 0x4E));
        }
        if constexpr (STAGES > 2) {
            const __m256 sign = _mm256_setr_ps(0.f, 0.f, 0.f, 0.f, -0.f, -0.f, -0.f, -0.f);
            v = _mm256_add_ps(_mm256_xor_ps(v, sign), _mm256_permute2f128_ps(v, v, 0x01));
        }
        x.half[h] = v;
    }
    if constexpr (STAGES > 3) {
        const __m256 sum = _mm256_add_ps(x.half[0], x.half[1]);
        x.half[1] = _mm256_sub_ps(x.half[0], x.half[1]);
        x.half[0] = sum;
    }
    return x;
}
