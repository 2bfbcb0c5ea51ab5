// Normal numbers of 16 bits each, whole multiples of 1/4096: see normal.py, whose bits these are.

#include "cubics.inc"

// The number of the low 16 bits of each lane; every operation is rounded by itself.
INLINE Lanes<float> normal_numbers(Words value) {
    const Words odd = shift_left<1>(value & words(0x7FFFu)) | words(1u);
    const Words bits = as_words(to_float(odd));
    const Words octave = shift_right<23>(bits);  // 127 + octave: the table begins at octave 1
    const Lanes<float> within = as_float((bits & words(0x7FFFFFu)) | words(0x3F800000u));
    Lanes<float> x = within * look_up(CUBE, octave);
    x = within * (look_up(SQUARE, octave) + x);
    x = within * (look_up(LINEAR, octave) + x);
    x = look_up(CONSTANT, octave) + x;
    const Lanes<float> shift = lanes(12582912.0f);  // 1.5 * 2^23: rounds to whole numbers
    x = (x + shift) - shift;
    const Words sign = shift_left<16>(value & words(0x8000u));
    return as_float(xor3(as_words(x), sign, words(0u)));
}

INLINE Lanes<float> convert(Lanes<float> x, float) { return x; }
INLINE Lanes<double> convert(Lanes<float> x, double) { return to_double(x); }

constexpr i64 COLUMNS = 8;  // of one counter

// Sixteen rows of eight columns.
template <class T> INLINE void normal_tile(Stream stream, i64 row, i64 block, Lanes<T>* out) {
    Words word[4];
    draw(stream, row, u32(block), word);
#pragma GCC unroll 4
    for (int w = 0; w < 4; ++w) {
        out[2 * w] = convert(normal_numbers(word[w]), T(0));
        out[2 * w + 1] = convert(normal_numbers(shift_right<16>(word[w])), T(0));
    }
}

template <class T> void add_rows(const Forward<T>& rows, i64 first, const T* sums, Range range) {
    const T* base = rows.base;
    T* out = rows.out + (range.first - rows.start);
    sums += range.first - first;
    const i64 count = range.last - range.first;
    if (base == nullptr) {
        std::memcpy(out, sums, std::size_t(count) * sizeof(T));
        return;
    }
    base += range.first - rows.start;
    for (i64 i = 0; i < count; ++i) out[i] = base[i] + sums[i];
}

template <class T> void gaussian_forward(const void* arguments, i64 task) {
    const auto& a = *static_cast<const GaussianForward<T>*>(arguments);
    const Range range = task_rows(a.rows.start, a.rows.stop, DENSE_TILE, task);
    alignas(64) T sums[DENSE_TILE];
    const i64 first = range.first / LANES * LANES;
    for (i64 i = first; i < range.last; i += LANES) {
        Lanes<T> sum[COLUMNS];  // shorter sums, smaller errors
        for (int c = 0; c < COLUMNS; ++c) sum[c] = lanes(T(0));
        for (i64 block = 0; block < divide_up(a.d, COLUMNS); ++block) {
            Lanes<T> tile[COLUMNS];
            normal_tile(a.stream, i, block, tile);
            const T* theta = a.theta + block * COLUMNS;
            for (int c = 0; c < COLUMNS; ++c) sum[c] = sum[c] + tile[c] * lanes(theta[c]);
        }
        for (int half = COLUMNS / 2; half > 0; half /= 2)
            for (int c = 0; c < half; ++c) sum[c] = sum[c] + sum[c + half];
        store(sums + (i - first), sum[0]);
    }
    add_rows(a.rows, first, sums, range);
}

// Each column's sum over the lanes of what `weigh` makes of an entry and its row.
template <class T, class Weigh>
INLINE void gaussian_columns(const GaussianAdjoint<T>& a, Range range, T* partial, Weigh weigh) {
    constexpr i64 ROWS = 512;
    const i64 blocks = divide_up(a.d, COLUMNS);
    Scratch<T> sums(blocks * COLUMNS * LANES);
    std::memset(sums, 0, sizeof(T) * std::size_t(blocks * COLUMNS * LANES));
    alignas(64) T g[ROWS];
    for (i64 first = range.first / ROWS * ROWS; first < range.last; first += ROWS) {
        for (i64 i = 0; i < ROWS; ++i) {
            const i64 row = first + i;
            const bool inside = row >= range.first && row < range.last;
            g[i] = inside ? weigh.of_row(row) : T(0);
        }
        for (i64 block = 0; block < blocks; ++block) {
            Lanes<T> sum[COLUMNS];
            T* place = sums + block * COLUMNS * LANES;
            for (int c = 0; c < COLUMNS; ++c) sum[c] = load(place + LANES * c);
            for (i64 i = 0; i < ROWS && first + i < range.last; i += LANES) {
                Lanes<T> tile[COLUMNS];
                normal_tile(a.stream, first + i, block, tile);
                const Lanes<T> value = load(g + i);
                for (int c = 0; c < COLUMNS; ++c) sum[c] = sum[c] + weigh(tile[c], value);
            }
            for (int c = 0; c < COLUMNS; ++c) store(place + LANES * c, sum[c]);
        }
    }
    for (i64 j = 0; j < a.d; ++j) partial[j] = total(load(sums + LANES * j));
}

template <class T> struct TimesRow {
    const T* g;
    i64 start;
    INLINE T of_row(i64 row) const { return g[row - start]; }
    INLINE Lanes<T> operator()(Lanes<T> entry, Lanes<T> value) const { return entry * value; }
};

template <class T> struct Squared {
    INLINE T of_row(i64) const { return T(1); }
    INLINE Lanes<T> operator()(Lanes<T> entry, Lanes<T> value) const { return entry * entry * value; }
};

template <class T> void gaussian_adjoint(const void* arguments, i64 task) {
    const auto& a = *static_cast<const GaussianAdjoint<T>*>(arguments);
    const Range range = task_rows(a.rows.start, a.rows.stop, a.rows.rows_a_task, task);
    const TimesRow<T> weigh = {a.rows.g, a.rows.start};
    gaussian_columns(a, range, a.rows.partial + task * a.rows.width, weigh);
}

// Each column's sum of squares, exact in double precision up to 2^23 rows a task.
template <class T> void gaussian_squares(const void* arguments, i64 task) {
    const auto& a = *static_cast<const GaussianAdjoint<T>*>(arguments);
    const Range range = task_rows(a.rows.start, a.rows.stop, a.rows.rows_a_task, task);
    gaussian_columns(a, range, a.rows.partial + task * a.rows.width, Squared<T>{});
}

template <class T> void gaussian_entries(const void* arguments, i64 task) {
    const auto& a = *static_cast<const Entries<T>*>(arguments);
    const Range range = task_rows(a.start, a.stop, MEMBERS_TILE, task);
    for (i64 i = range.first / LANES * LANES; i < range.last; i += LANES) {
        for (i64 column = 0; column < a.d; column += COLUMNS) {
            Lanes<T> tile[COLUMNS];
            normal_tile(a.stream, i, column / COLUMNS, tile);
            T lane[COLUMNS][LANES];
            for (int c = 0; c < COLUMNS; ++c) store(lane[c], tile[c]);
            const i64 count = minimum(a.d - column, COLUMNS);
            for (i64 r = maximum(range.first - i, 0); r < minimum(range.last - i, LANES); ++r) {
                T* out = a.out + (i + r - a.start) * a.d + column;
                for (i64 c = 0; c < count; ++c) out[c] = lane[c][r] * a.scale[column + c];
            }
        }
    }
}
