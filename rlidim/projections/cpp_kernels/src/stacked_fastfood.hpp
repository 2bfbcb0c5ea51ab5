// Blocks T_k H S_k (H B C theta): the signs are drawn for a tile of rows, the blocks stay in cache.

template <class T> struct LoadSigned {
    const T* from;
    const u32* bits;
    i64 place;
    INLINE Lanes<T> operator()(i64 i) const { return flip(load(from + i), bits_at(bits, place + i)); }
};

template <class T> struct StoreSigned {
    T* to;
    const u32* bits;
    i64 place;
    INLINE void operator()(i64 i, Lanes<T> x) const { store(to + i, flip(x, bits_at(bits, place + i))); }
};

template <class T> struct StoreSignedOnBase {
    const T* base;
    T* to;
    const u32* bits;
    i64 place;
    INLINE void operator()(i64 i, Lanes<T> x) const {
        store(to + i, load(base + i) + flip(x, bits_at(bits, place + i)));
    }
};

template <class T> struct AddSigned {
    T* to;
    const u32* bits;
    i64 place;
    INLINE void operator()(i64 i, Lanes<T> x) const {
        store(to + i, load(to + i) + flip(x, bits_at(bits, place + i)));
    }
};

// Rows of a tile: whole blocks, and whole draws of signs.
INLINE i64 stacked_tile(i64 n) { return maximum(n, 2 * GROUP_SIGNS); }

template <class T> void stacked_forward(const void* arguments, i64 task) {
    const auto& a = *static_cast<const StackedForward<T>*>(arguments);
    const i64 tile = stacked_tile(a.n), step = maximum(a.n, LANES);
    const Range range = task_rows(a.rows.start, a.rows.stop, tile, task);
    const i64 first = range.first / tile * tile;
    Scratch<u32> middle(sign_words(tile)), outer(sign_words(tile));
    draw_signs(a.middle, first, round_up(range.last, step), middle);  // of whole blocks
    draw_signs(a.outer, first, range.last, outer);
    Scratch<T> work(step), cut(step);
    const T* base = a.rows.base == nullptr ? nullptr : a.rows.base - a.rows.start;
    T* out = a.rows.out - a.rows.start;
    for (i64 at = range.first / step * step; at < range.last; at += step) {
        const LoadSigned<T> from = {a.mixed, middle, at - first};
        if (at >= range.first && at + step <= range.last) {
            if (base == nullptr)
                transform<T>(a.n, work, from, StoreSigned<T>{out + at, outer, at - first});
            else
                transform<T>(a.n, work, from,
                             StoreSignedOnBase<T>{base + at, out + at, outer, at - first});
            continue;
        }
        transform<T>(a.n, work, from, StoreSigned<T>{cut, outer, at - first});
        for (i64 i = maximum(at, range.first); i < minimum(at + step, range.last); ++i)
            out[i] = base == nullptr ? cut[i - at] : base[i] + cut[i - at];
    }
}

template <class T> void stacked_adjoint(const void* arguments, i64 task) {
    const auto& a = *static_cast<const StackedAdjoint<T>*>(arguments);
    const i64 tile = stacked_tile(a.n), step = maximum(a.n, LANES);
    const Range whole = task_rows(a.rows.start, a.rows.stop, a.rows.rows_a_task, task);
    Scratch<u32> middle(sign_words(tile)), outer(sign_words(tile));
    Scratch<T> work(step), cut(step), sums(step);
    std::memset(sums, 0, sizeof(T) * std::size_t(step));
    const T* g = a.rows.g - a.rows.start;
    for (i64 first = whole.first / tile * tile; first < whole.last; first += tile) {
        const Range range = {maximum(first, whole.first), minimum(first + tile, whole.last)};
        draw_signs(a.middle, first, round_up(range.last, step), middle);  // of whole blocks
        draw_signs(a.outer, first, range.last, outer);
        for (i64 at = range.first / step * step; at < range.last; at += step) {
            const AddSigned<T> to = {sums, middle, at - first};
            if (at >= range.first && at + step <= range.last) {
                transform<T>(a.n, work, LoadSigned<T>{g + at, outer, at - first}, to);
                continue;
            }
            for (i64 i = at; i < at + step; ++i)
                cut[i - at] = i >= range.first && i < range.last ? g[i] : T(0);
            transform<T>(a.n, work, LoadSigned<T>{cut, outer, at - first}, to);
        }
    }
    T* partial = a.rows.partial + task * a.rows.width;
    std::memcpy(partial, sums, sizeof(T) * std::size_t(a.n));
    for (i64 j = a.n; j < step; ++j) partial[j % a.n] += sums[j];
}
