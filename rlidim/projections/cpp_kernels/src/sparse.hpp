// Very sparse P: the rows of a tile grouped by their number of entries, so that there is no branch
// and no wasted slot. An entry is its column and its sign in one word.

template <int COUNT, class T>
INLINE void sparse_rows(const SparseForward<T>& a, const u16* order, const u32* entry, i64 rows,
                        i64 count, const T* base, T* out) {
    const i64 length = COUNT > 0 ? COUNT : count;
    for (i64 r = 0; r < rows; ++r, entry += length) {
        T sum = a.table[entry[0]];
        for (i64 e = 1; e < length; ++e) sum += a.table[entry[e]];
        const i64 row = order[r];
        out[row] = base == nullptr ? sum : base[row] + sum;
    }
}

template <class T> void sparse_forward(const void* arguments, i64 task) {
    const auto& a = *static_cast<const SparseForward<T>*>(arguments);
    const Range range = task_rows(a.rows.start, a.rows.stop, BLOCK_TILE, task);
    const i64 tile = range.first / BLOCK_TILE, first = tile * BLOCK_TILE;
    const bool whole = range.first == first && range.last == minimum(first + BLOCK_TILE, a.D);
    // A part of a tile is cut out of all of it.
    Scratch<T> kept(whole ? 0 : 2 * BLOCK_TILE);
    const i64 count = range.last - range.first, skip = range.first - first;
    T* out = whole ? a.rows.out + (first - a.rows.start) : kept + 0;
    const T* base = a.rows.base == nullptr ? nullptr : a.rows.base + (range.first - a.rows.start);
    if (!whole && base != nullptr) {
        std::memcpy(kept + BLOCK_TILE + skip, base, sizeof(T) * std::size_t(count));
        base = kept + BLOCK_TILE;
    }
    const i64* row_at = a.row_at + tile * a.counts;
    const i64* entry_at = a.entry_at + tile * a.counts;
    for (i64 n = 0; n < a.counts; ++n) {
        const u16* order = a.order + row_at[n];
        const u32* entry = a.entries + entry_at[n];
        const i64 rows = row_at[n + 1] - row_at[n];
        switch (n) {
            case 0:
                for (i64 r = 0; r < rows; ++r) out[order[r]] = base == nullptr ? T(0) : base[order[r]];
                break;
            case 1: sparse_rows<1>(a, order, entry, rows, n, base, out); break;
            case 2: sparse_rows<2>(a, order, entry, rows, n, base, out); break;
            case 3: sparse_rows<3>(a, order, entry, rows, n, base, out); break;
            case 4: sparse_rows<4>(a, order, entry, rows, n, base, out); break;
            case 5: sparse_rows<5>(a, order, entry, rows, n, base, out); break;
            case 6: sparse_rows<6>(a, order, entry, rows, n, base, out); break;
            case 7: sparse_rows<7>(a, order, entry, rows, n, base, out); break;
            case 8: sparse_rows<8>(a, order, entry, rows, n, base, out); break;
            default: sparse_rows<0>(a, order, entry, rows, n, base, out);
        }
    }
    if (!whole)
        std::memcpy(a.rows.out + (range.first - a.rows.start), kept + skip, sizeof(T) * std::size_t(count));
}

// The value with either sign lies ready, so that a sign is no branch.
template <int COUNT, class T>
INLINE void sparse_columns(const u16* order, const u32* entry, i64 rows, i64 count, const T* g,
                           T* sums) {
    const i64 length = COUNT > 0 ? COUNT : count;
    for (i64 r = 0; r < rows; ++r, entry += length) {
        const T value = g[order[r]];
        const T either[2] = {value, -value};
        for (i64 e = 0; e < length; ++e) sums[entry[e] >> 1] += either[entry[e] & 1];
    }
}

template <class T> void sparse_adjoint(const void* arguments, i64 task) {
    const auto& a = *static_cast<const SparseAdjoint<T>*>(arguments);
    const Range whole = task_rows(a.rows.start, a.rows.stop, a.rows.rows_a_task, task);
    T* sums = a.rows.partial + task * a.rows.width;
    std::memset(sums, 0, sizeof(T) * std::size_t(a.rows.width));
    Scratch<T> cut(BLOCK_TILE);
    for (i64 first = whole.first / BLOCK_TILE * BLOCK_TILE; first < whole.last; first += BLOCK_TILE) {
        const i64 tile = first / BLOCK_TILE;
        const i64* row_at = a.row_at + tile * a.counts;
        const i64* entry_at = a.entry_at + tile * a.counts;
        const T* g = a.rows.g + (first - a.rows.start);
        const Range part = {maximum(first, whole.first), minimum(first + BLOCK_TILE, whole.last)};
        if (part.first > first || part.last < minimum(first + BLOCK_TILE, a.D)) {
            set_zero<T>(cut, BLOCK_TILE);
            std::memcpy(cut + (part.first - first), a.rows.g + (part.first - a.rows.start),
                        sizeof(T) * std::size_t(part.last - part.first));
            g = cut;
        }
        for (i64 n = 1; n < a.counts; ++n) {
            const u16* order = a.order + row_at[n];
            const u32* entry = a.entries + entry_at[n];
            const i64 rows = row_at[n + 1] - row_at[n];
            switch (n) {
                case 1: sparse_columns<1>(order, entry, rows, n, g, sums); break;
                case 2: sparse_columns<2>(order, entry, rows, n, g, sums); break;
                case 3: sparse_columns<3>(order, entry, rows, n, g, sums); break;
                case 4: sparse_columns<4>(order, entry, rows, n, g, sums); break;
                default: sparse_columns<0>(order, entry, rows, n, g, sums);
            }
        }
    }
}
