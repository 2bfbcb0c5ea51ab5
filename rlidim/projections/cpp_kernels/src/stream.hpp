// Philox4x32-10 (Salmon et al., SC 2011) for sixteen counters at once, and bits made of it.

INLINE void philox(Words c0, Words c1, Words c2, Words c3, u64 seed, Words* out) {
    u32 key_0 = u32(seed), key_1 = u32(seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
        Words high_0, low_0, high_1, low_1;
        multiply(c0, 0xD2511F53u, high_0, low_0);
        multiply(c2, 0xCD9E8D57u, high_1, low_1);
        c0 = xor3(high_1, c1, words(key_0));
        c2 = xor3(high_0, c3, words(key_1));
        c1 = low_1;
        c3 = low_0;
        key_0 += 0x9E3779B9u;
        key_1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

// Four words for each of sixteen counters; `first` is a multiple of 16, so that no lane carries.
INLINE void draw(Stream stream, i64 first, u32 block, Words* out) {
    philox(counting_from(u32(first)), words(block), words(u32(u64(first) >> 32)), words(stream.tag),
           stream.seed, out);
}

// The same words in the stream's order, 64 of them: counter by counter.
INLINE void draw_in_order(Stream stream, i64 first, u32 block, u32* out) {
    Words drawn[4];
    draw(stream, first, block, drawn);
    store_interleaved(out, drawn);
}

// Signs of rows first .. last - 1 as bits; `first` a multiple of GROUP_SIGNS. Takes
// sign_words(last - first) words, the last of them for reading across the end.
INLINE i64 sign_words(i64 count) { return round_up(count, GROUP_SIGNS) / 32 + 1; }

INLINE void draw_signs(Stream stream, i64 first, i64 last, u32* out) {
    for (i64 at = first; at < last; at += GROUP_SIGNS, out += GROUP_SIGNS / 32)
        draw_in_order(stream, at / CALL_SIGNS, 0, out);
    *out = 0;
}

// Sixteen bits from any place.
INLINE u32 bits_at(const u32* bits, i64 place) {
    u32 value;
    std::memcpy(&value, reinterpret_cast<const u8*>(bits) + (place >> 3), sizeof value);
    return (value >> (place & 7)) & 0xFFFFu;
}

// The first two words of counter `block`, for one block at a time.
struct BlockWords {
    Stream stream;
    i64 drawn = -1;
    u32 first[LANES], second[LANES];

    explicit BlockWords(Stream places) : stream(places) {}

    INLINE void seek(i64 block) {
        if (block / LANES == drawn) return;
        drawn = block / LANES;
        Words out[4];
        draw(stream, drawn * LANES, 0, out);
        store(first, out[0]);
        store(second, out[1]);
    }
};

template <class T> INLINE T total(Lanes<T> x) {
    T lane[LANES];
    store(lane, x);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
    return lane[0];
}
