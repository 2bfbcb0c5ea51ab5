// Products with many members, the columns of theta or g, at once: a tile of a matrix's entries is
// made in cache and multiplied with rows of members. Members are the lanes, padded to whole vectors;
// rows of them, of theta, g and the sums, lie a member_stride apart.
//
// A sum's order depends on the place in P alone: neither on the threads nor on where rows are cut.

constexpr i64 TILE = MULTIPLIED_ROWS;  // and as many columns are multiplied at once
constexpr i64 TILES_A_SUM = 64;        // of rows, whose sum is short before it joins the long one
constexpr i64 COLUMNS_A_TASK = CALL_SIGNS;

// Rows of sums that registers hold beside two vectors of members.
template <class T> constexpr int SUM_ROWS = maximum(FLOAT_RADIX / (sizeof(T) == 4 ? 4 : 8), 1);

// sums[r][n] += the sum over k of factor[r][k] times members[k][n].
template <class T> struct Factor {
    const T* at;
    i64 row, depth;  // strides of r and k
};

template <int ROWS, int VECTORS, class T>
INLINE void multiply_rows(Factor<T> factor, i64 depth, const T* members, i64 stride, T* sums) {
    Lanes<T> sum[ROWS][VECTORS];
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < VECTORS; ++v) sum[r][v] = lanes(T(0));
    for (i64 k = 0; k < depth; ++k, members += stride) {
        Lanes<T> x[VECTORS];
        for (int v = 0; v < VECTORS; ++v) x[v] = load(members + LANES * v);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; ++r) {
            const Lanes<T> entry = lanes(factor.at[r * factor.row + k * factor.depth]);
            for (int v = 0; v < VECTORS; ++v) sum[r][v] = sum[r][v] + entry * x[v];
        }
    }
    for (int r = 0; r < ROWS; ++r, sums += stride)
        for (int v = 0; v < VECTORS; ++v)
            store(sums + LANES * v, load(sums + LANES * v) + sum[r][v]);
}

template <int VECTORS, class T>
INLINE void multiply_members(Factor<T> factor, i64 rows, i64 depth, const T* members, i64 stride,
                             T* sums) {
    constexpr int ROWS = SUM_ROWS<T> * 2 / VECTORS;
    i64 r = 0;
    for (; r + ROWS <= rows; r += ROWS, factor.at += ROWS * factor.row)
        multiply_rows<ROWS, VECTORS>(factor, depth, members, stride, sums + r * stride);
    for (; r < rows; ++r, factor.at += factor.row)
        multiply_rows<1, VECTORS>(factor, depth, members, stride, sums + r * stride);
}

// The depth is summed in parts of TILE: short sums, small errors.
template <class T>
void multiply(Factor<T> factor, i64 rows, i64 depth, const T* members, i64 count, T* sums) {
    const i64 stride = member_stride(count);
    for (i64 k = 0; k < depth; k += TILE, factor.at += TILE * factor.depth) {
        const i64 part = minimum(TILE, depth - k);
        const T* from = members + k * stride;
        i64 n = 0;
        for (; n + LANES < count; n += 2 * LANES)
            multiply_members<2>(factor, rows, part, from + n, stride, sums + n);
        if (n < count) multiply_members<1>(factor, rows, part, from + n, stride, sums + n);
    }
}

template <class T> void set_zero(T* to, i64 count) { std::memset(to, 0, sizeof(T) * std::size_t(count)); }

// Unscaled entries of TILE rows and columns; columns are made eight at a time, row by row.
template <class T> struct NormalTiles {
    static constexpr i64 row = 1, column = TILE;  // strides
    Stream stream;
    i64 d;

    void draw_rows(i64, i64) {}

    void make(i64 first, i64 from, T* tile) const {
        for (i64 j = 0; j < minimum(TILE, d - from); j += COLUMNS)
            for (i64 i = 0; i < TILE; i += LANES) {
                Lanes<T> x[COLUMNS];
                normal_tile(stream, first + i, (from + j) / COLUMNS, x);
                for (int c = 0; c < COLUMNS; ++c) store(tile + (j + c) * TILE + i, x[c]);
            }
    }
};

// Likewise signs, whose counters serve COLUMNS_A_TASK columns and are drawn once for them.
template <class T> struct SignTiles {
    static constexpr i64 row = TILE, column = 1;
    Stream stream;
    i64 d;
    alignas(64) u32 drawn[TILE * 4 + 1] = {};

    i64 step() const { return minimum(words_a_row(d), 4); }  // words a row from one counter

    void draw_rows(i64 first, i64 from) {
        for (i64 i = 0; i < TILE; i += 4 * LANES / step())
            draw_in_order(stream, (first + i) * step() / 4, u32(from / CALL_SIGNS), drawn + i * step());
    }

    void make(i64, i64 from, T* tile) const {
        const i64 bits_a_row = 32 * step(), count = minimum(TILE, bits_a_row);
        for (i64 i = 0; i < TILE; ++i)
            for (i64 j = 0; j < count; j += LANES) {
                const u32 bits = bits_at(drawn, i * bits_a_row + from % CALL_SIGNS + j);
                store(tile + i * TILE + j, flip(lanes(T(1)), bits));
            }
    }
};

// Write base + sums to rows of members wherever they lie; `sums` begins at the range's first row.
template <class T>
void write_members(const MembersForward<T>& a, Range range, i64 member, i64 count, const T* sums,
                   i64 width) {
    const T* base = a.rows.base == nullptr ? nullptr : a.rows.base + (range.first - a.rows.start);
    T* out = a.rows.out + (range.first - a.rows.start) * a.row + member * a.member;
    const i64 rows = range.last - range.first;
    // Along memory, whichever of the two is contiguous.
    if (a.row < a.member) {
        for (i64 n = 0; n < count; ++n)
            for (i64 i = 0; i < rows; ++i)
                out[i * a.row + n * a.member] = (base == nullptr ? T(0) : base[i]) + sums[i * width + n];
        return;
    }
    for (i64 i = 0; i < rows; ++i)
        for (i64 n = 0; n < count; ++n)
            out[i * a.row + n * a.member] = (base == nullptr ? T(0) : base[i]) + sums[i * width + n];
}

template <class T> void gaussian_members(const void* arguments, i64 task) {
    const auto& a = *static_cast<const MembersForward<T>*>(arguments);
    const Range range = task_rows(a.rows.start, a.rows.stop, TILE, task);
    const i64 first = range.first / TILE * TILE, width = member_stride(a.count);
    const NormalTiles<T> tiles = {a.stream, a.d};
    Scratch<T> tile(TILE * TILE), sums(TILE * width);
    set_zero<T>(sums, TILE * width);
    for (i64 from = 0; from < a.d; from += TILE) {
        tiles.make(first, from, tile);
        const Factor<T> factor = {tile + (range.first - first) * tiles.row, tiles.row, tiles.column};
        multiply<T>(factor, range.last - range.first, minimum(TILE, a.d - from),
                    a.theta + from * width, a.count, sums);
    }
    write_members<T>(a, range, 0, a.count, sums, width);
}

// A task has some columns, and a part of the rows. Its partial sum goes to its columns' place.
template <class Tiles, class T> void members_adjoint(const MembersAdjoint<T>& a, i64 task) {
    const i64 blocks = divide_up(a.d, COLUMNS_A_TASK), part = task / blocks;
    const i64 from = task % blocks * COLUMNS_A_TASK, columns = minimum(COLUMNS_A_TASK, a.d - from);
    const Range range = task_rows(a.rows.start, a.rows.stop, a.rows.rows_a_task, part);
    const i64 width = member_stride(a.count);
    Tiles tiles = {a.stream, a.d};
    Scratch<T> tile(TILE * TILE), g(TILE * width), sums(columns * width);
    T* total = a.rows.partial + (part * a.d + from) * width;
    set_zero<T>(sums, columns * width);
    set_zero(total, columns * width);
    set_zero<T>(g, TILE * width);
    for (i64 first = range.first / TILE * TILE; first < range.last; first += TILE) {
        const Range here = {maximum(first, range.first), minimum(first + TILE, range.last)};
        if (here.last - here.first < TILE) set_zero<T>(g, TILE * width);
        const T* row = a.rows.g + (here.first - a.rows.start) * a.row;
        for (i64 i = here.first - first; i < here.last - first; ++i, row += a.row)
            for (i64 n = 0; n < a.count; ++n) g[i * width + n] = row[n * a.member];
        tiles.draw_rows(first, from);
        for (i64 j = 0; j < columns; j += TILE) {
            tiles.make(first, from + j, tile);
            multiply<T>({tile, tiles.column, tiles.row}, minimum(TILE, columns - j), TILE, g, a.count,
                        sums + j * width);
        }
        if (first / TILE % TILES_A_SUM < TILES_A_SUM - 1 && first + TILE < range.last) continue;
        for (i64 i = 0; i < columns * width; i += LANES)
            store(total + i, load(total + i) + load(sums + i));
        set_zero<T>(sums, columns * width);
    }
}

template <class T> void gaussian_members_adjoint(const void* arguments, i64 task) {
    members_adjoint<NormalTiles<T>>(*static_cast<const MembersAdjoint<T>*>(arguments), task);
}

template <class T> void rademacher_members_adjoint(const void* arguments, i64 task) {
    members_adjoint<SignTiles<T>>(*static_cast<const MembersAdjoint<T>*>(arguments), task);
}
