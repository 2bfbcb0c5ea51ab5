// Rotation and hashed: one signed entry a row, each column once in every block of `width` rows.
//
// Nothing is stored: a rotation's shift and a hash's affine map come from the stream, the adjoint
// walks the same blocks column by column (the inverse of an affine map is one), so nothing collides.

constexpr i64 ALIGNED_WIDTH = 128;  // from here on it pays to write whole cache lines

// Write base + (next() with its sign) for `count` rows; `place` is where their bits begin.
template <bool BASE, class T, class Next>
INLINE void write_rows(T* out, const T* base, i64 count, const u32* bits, i64 place, Next& next) {
    for (; count >= LANES; count -= LANES, out += LANES, base += LANES, place += LANES) {
        const Lanes<T> x = flip(next(), bits_at(bits, place));
        store(out, BASE ? load(base) + x : x);
    }
    if (count > 0) {
        const Lanes<T> x = flip(next(), bits_at(bits, place));
        store_first(out, count, BASE ? load_first(base, count) + x : x);
    }
}

template <class T, class Next>
INLINE void write_rows(T* out, const T* base, i64 count, const u32* bits, i64 place, Next next) {
    if (base == nullptr)
        write_rows<false>(out, out, count, bits, place, next);
    else
        write_rows<true>(out, base, count, bits, place, next);
}

template <class T> struct NextFrom {
    const T* from;
    INLINE Lanes<T> operator()() {
        from += LANES;
        return load(from - LANES);
    }
};

template <class T> void rotation_forward(const void* arguments, i64 task) {
    const auto& a = *static_cast<const BlocksForward<T>*>(arguments);
    const Range range = task_rows(a.rows.start, a.rows.stop, BLOCK_TILE, task);
    const i64 first = range.first / BLOCK_TILE * BLOCK_TILE;
    alignas(64) u32 bits[BLOCK_TILE / 32 + 1];
    draw_signs(a.signs, first, range.last, bits);
    BlockWords words(a.places);
    const T* base = a.rows.base == nullptr ? nullptr : a.rows.base - a.rows.start;
    T* out = a.rows.out - a.rows.start;
    for (i64 block = range.first / a.width; block * a.width < range.last; ++block) {
        words.seek(block);
        const i64 start = block * a.width;
        const T* theta = a.theta + words.first[block % LANES] % u32(a.width) - start;
        const i64 last = minimum(start + a.width, range.last);
        i64 i = maximum(start, range.first);
        if (a.width >= ALIGNED_WIDTH) {
            const u64 number = reinterpret_cast<std::uintptr_t>(out + i) / sizeof(T);
            const i64 head = minimum(i64((0 - number) % LANES), last - i);
            write_rows(out + i, base == nullptr ? nullptr : base + i, head, bits, i - first,
                       NextFrom<T>{theta + i});
            i += head;
        }
        write_rows(out + i, base == nullptr ? nullptr : base + i, last - i, bits, i - first,
                   NextFrom<T>{theta + i});
    }
}

template <class T> void rotation_adjoint(const void* arguments, i64 task) {
    const auto& a = *static_cast<const BlocksAdjoint<T>*>(arguments);
    const Range whole = task_rows(a.rows.start, a.rows.stop, a.rows.rows_a_task, task);
    alignas(64) u32 bits[BLOCK_TILE / 32 + 1];
    BlockWords words(a.places);
    Scratch<T> sums(2 * a.width + LANES);
    std::memset(sums, 0, sizeof(T) * std::size_t(2 * a.width + LANES));
    const T* g = a.rows.g - a.rows.start;
    for (i64 first = whole.first / BLOCK_TILE * BLOCK_TILE; first < whole.last; first += BLOCK_TILE) {
        const Range range = {maximum(first, whole.first), minimum(first + BLOCK_TILE, whole.last)};
        draw_signs(a.signs, first, range.last, bits);
        for (i64 block = range.first / a.width; block * a.width < range.last; ++block) {
            words.seek(block);
            const i64 start = block * a.width;
            T* place = sums + (words.first[block % LANES] % u32(a.width)) - start;
            const i64 last = minimum(start + a.width, range.last);
            i64 i = maximum(start, range.first);
            for (; i + LANES <= last; i += LANES)
                store(place + i, load(place + i) + flip(load(g + i), bits_at(bits, i - first)));
            if (i < last) {
                const Lanes<T> rest = flip(load_first(g + i, last - i), bits_at(bits, i - first));
                store_first(place + i, last - i, load_first(place + i, last - i) + rest);
            }
        }
    }
    T* partial = a.rows.partial + task * a.rows.width;
    for (i64 j = 0; j < a.width; ++j) partial[j] = sums[j] + sums[j + a.width];
}

// (factor * t + shift) mod width for sixteen t at a time.
struct AffineWalk {
    Words at;
    u32 step, width;

    INLINE AffineWalk(u64 factor, u64 shift, u64 first, u64 modulus) : width(u32(modulus)) {
        u32 lane[LANES];
        u64 value = (factor * first + shift) % modulus;
        for (int i = 0; i < LANES; ++i) {
            lane[i] = u32(value);
            value += factor;
            if (value >= modulus) value -= modulus;
        }
        at = load_words(lane);
        step = u32(LANES * factor % modulus);
    }

    INLINE void advance() { at = reduce_once(at + words(step), width); }
};

template <class T> struct NextGathered {
    const T* from;
    AffineWalk walk;
    INLINE Lanes<T> operator()() {
        const Lanes<T> x = gather(from, walk.at);
        walk.advance();
        return x;
    }
};

template <class T> void hashed_forward(const void* arguments, i64 task) {
    const auto& a = *static_cast<const BlocksForward<T>*>(arguments);
    const Range range = task_rows(a.rows.start, a.rows.stop, BLOCK_TILE, task);
    const i64 first = range.first / BLOCK_TILE * BLOCK_TILE;
    alignas(64) u32 bits[BLOCK_TILE / 32 + 1];
    draw_signs(a.signs, first, range.last, bits);
    BlockWords words(a.places);
    const T* base = a.rows.base == nullptr ? nullptr : a.rows.base - a.rows.start;
    T* out = a.rows.out - a.rows.start;
    const u32 width = u32(a.width);
    for (i64 block = range.first / a.width; block * a.width < range.last; ++block) {
        words.seek(block);
        const i64 start = block * a.width, last = minimum(start + a.width, range.last);
        const i64 i = maximum(start, range.first);
        const u32 factor = a.coprime[words.first[block % LANES] % width];
        const AffineWalk walk(factor, words.second[block % LANES] % width, u64(i - start), width);
        write_rows(out + i, base == nullptr ? nullptr : base + i, last - i, bits, i - first,
                   NextGathered<T>{a.theta, walk});
    }
}

template <class T> void hashed_adjoint(const void* arguments, i64 task) {
    const auto& a = *static_cast<const BlocksAdjoint<T>*>(arguments);
    const Range range = task_rows(a.rows.start, a.rows.stop, a.rows.rows_a_task, task);
    BlockWords words(a.places);
    const u32 width = u32(a.width);
    const i64 padded = round_up(a.width, LANES);
    Scratch<T> sums(padded), values(a.width + LANES);
    T* signed_g = values;
    Scratch<u32> bits(sign_words(a.width + GROUP_SIGNS));
    std::memset(sums, 0, sizeof(T) * std::size_t(padded));
    const T* g = a.rows.g - a.rows.start;
    i64 bits_from = 0, bits_to = 0;  // rows whose signs are drawn
    for (i64 block = range.first / a.width; block * a.width < range.last; ++block) {
        words.seek(block);
        const i64 start = block * a.width;
        const i64 lower = maximum(start, range.first), upper = minimum(start + a.width, range.last);
        if (upper > bits_to) {
            bits_from = lower / GROUP_SIGNS * GROUP_SIGNS;
            bits_to = round_up(upper, GROUP_SIGNS);
            draw_signs(a.signs, bits_from, bits_to, bits);
        }
        if (upper - lower < a.width) std::memset(signed_g, 0, sizeof(T) * std::size_t(a.width));
        i64 i = lower;
        for (; i + LANES <= upper; i += LANES)
            store(signed_g + (i - start), flip(load(g + i), bits_at(bits, i - bits_from)));
        if (i < upper)
            store_first(signed_g + (i - start), upper - i,
                        flip(load_first(g + i, upper - i), bits_at(bits, i - bits_from)));
        // Row t holds column a t + b, so column j stands in row (j - b) / a.
        const u64 factor = a.inverse[a.coprime[words.first[block % LANES] % width]];
        const u64 shift = words.second[block % LANES] % width;
        AffineWalk walk(factor, (width - shift) % width * factor % width, 0, width);
        for (i64 j = 0; j < a.width; j += LANES, walk.advance()) {
            __builtin_prefetch(g + minimum(start + a.width + j, range.last - 1));  // the next block
            store(sums + j, load(sums + j) + gather(signed_g, walk.at));
        }
    }
    std::memcpy(a.rows.partial + task * a.rows.width, sums, sizeof(T) * std::size_t(a.width));
}
