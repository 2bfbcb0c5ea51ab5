// Very sparse P, kept twice: rows grouped by their number of entries (no branch, no wasted slot),
// and columns for the adjoint. An entry is its place and its sign in one word.

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

template <class T> INLINE T signed_value(const T* g, u32 entry) {
    const T value = g[entry >> 1];
    return entry & 1u ? -value : value;
}

template <class T> void sparse_adjoint(const void* arguments, i64 task) {
    const auto& a = *static_cast<const SparseAdjoint<T>*>(arguments);
    const i64 first = task * a.columns_a_task;
    for (i64 j = first; j < minimum(first + a.columns_a_task, a.d); ++j) {
        T sum[4] = {};
        i64 e = a.column_at[j];
        for (; e + 4 <= a.column_at[j + 1]; e += 4)
            for (int k = 0; k < 4; ++k) sum[k] += signed_value(a.g, a.entries[e + k]);
        for (; e < a.column_at[j + 1]; ++e) sum[0] += signed_value(a.g, a.entries[e]);
        a.out[j] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) * a.scale[j];
    }
}
