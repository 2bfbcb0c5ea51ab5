// Independent signs: regenerated, and never expanded to floating-point numbers.
//
// Forward: lanes are rows. The 16 signed sums of four coefficients lie in one table, so that four
// bits of a row's word look up four products at once. For many members the same table holds whole
// rows of members. Adjoint: lanes are columns, and a row's bits say which of them its g is added to.

template <class T> void rademacher_table(const T* theta, i64 d, T scale, T* table) {
    for (i64 j = 0; j < d; j += 4, table += LANES) {
        T t[4];
        for (int b = 0; b < 4; ++b) t[b] = j + b < d ? theta[j + b] * scale : T(0);
        for (int m = 0; m < LANES; ++m) {
            const T low = (m & 1 ? -t[0] : t[0]) + (m & 2 ? -t[1] : t[1]);
            const T high = (m & 4 ? -t[2] : t[2]) + (m & 8 ? -t[3] : t[3]);
            table[m] = low + high;
        }
    }
}

template <class T> INLINE void look_up_word(Words word, const T* table, i64 groups, Lanes<T>& sum) {
    if (groups >= 8) {
#pragma GCC unroll 8
        for (int s = 0; s < 8; ++s, table += LANES) {
            sum = sum + look_up(table, word);
            word = shift_right<4>(word);
        }
        return;
    }
    for (i64 s = 0; s < groups; ++s, table += LANES) {
        sum = sum + look_up(table, word);
        word = shift_right<4>(word);
    }
}

// Store sixteen rows of each of PARTS vectors as they follow each other in memory.
template <int PARTS, class T> INLINE void store_interleaved(const Lanes<T>* x, T* to) {
    T lane[PARTS][LANES];
    for (int p = 0; p < PARTS; ++p) store(lane[p], x[p]);
    for (int i = 0; i < LANES; ++i)
        for (int p = 0; p < PARTS; ++p) to[PARTS * i + p] = lane[p][i];
}

template <class T> void rademacher_sums(const RademacherForward<T>& a, i64 first, i64 last, T* sums) {
    const i64 groups = divide_up(a.d, 4);
    Words word[2][4];
    if (a.d <= 32) {
        for (i64 i = first; i < last; i += 4 * LANES) {
            draw(a.stream, i / 4, 0, word[0]);
            Lanes<T> row[4];
            for (int p = 0; p < 4; ++p) {
                row[p] = lanes(T(0));
                look_up_word(word[0][p], a.table, groups, row[p]);
            }
            store_interleaved<4>(row, sums + (i - first));
        }
        return;
    }
    if (a.d <= 64) {
        for (i64 i = first; i < last; i += 2 * LANES) {
            draw(a.stream, i / 2, 0, word[0]);
            Lanes<T> row[2];
            for (int p = 0; p < 2; ++p) {
                row[p] = lanes(T(0));
                look_up_word(word[0][2 * p], a.table, 8, row[p]);
                look_up_word(word[0][2 * p + 1], a.table + 8 * LANES, groups - 8, row[p]);
            }
            store_interleaved<2>(row, sums + (i - first));
        }
        return;
    }
    constexpr i64 COUNTERS = 16;  // 2048 coefficients, whose table stays in the first cache
    const i64 counters = divide_up(a.d, CALL_SIGNS);
    for (i64 from = 0; from < counters; from += COUNTERS) {
        const i64 to = minimum(from + COUNTERS, counters);
        for (i64 i = first; i < last; i += 2 * LANES) {
            Lanes<T> sum[2][4];
            for (int u = 0; u < 2; ++u)
                for (int w = 0; w < 4; ++w) sum[u][w] = lanes(T(0));
            for (i64 q = from; q < to; ++q) {
                for (int u = 0; u < 2; ++u) draw(a.stream, i + u * LANES, u32(q), word[u]);
#pragma GCC unroll 4
                for (int w = 0; w < 4; ++w) {
                    const i64 group = 32 * q + 8 * w;
                    for (int u = 0; u < 2; ++u)
                        look_up_word(word[u][w], a.table + group * LANES, groups - group, sum[u][w]);
                }
            }
            for (int u = 0; u < 2; ++u) {
                Lanes<T> all = (sum[u][0] + sum[u][1]) + (sum[u][2] + sum[u][3]);
                T* place = sums + (i - first) + u * LANES;
                if (from > 0) all = all + load(place);
                store(place, all);
            }
        }
    }
}

template <class T> void rademacher_forward(const void* arguments, i64 task) {
    const auto& a = *static_cast<const RademacherForward<T>*>(arguments);
    const Range range = task_rows(a.rows.start, a.rows.stop, DENSE_TILE, task);
    alignas(64) T sums[DENSE_TILE];
    const i64 first = range.first / (4 * LANES) * (4 * LANES);
    rademacher_sums(a, first, range.last, sums);
    add_rows(a.rows, first, sums, range);
}

template <class T> void rademacher_members(const void* arguments, i64 task) {
    const auto& a = *static_cast<const MembersForward<T>*>(arguments);
    const Range range = task_rows(a.rows.start, a.rows.stop, MEMBERS_TILE, task);
    const i64 first = range.first / MEMBERS_TILE * MEMBERS_TILE;
    const i64 width = words_a_row(a.d), groups = divide_up(a.d, 4);
    const i64 rows_a_draw = width >= 4 ? LANES : 4 * LANES / width;
    Scratch<T> sums(MEMBERS_TILE * MEMBERS);
    Scratch<u32> drawn(MEMBERS_TILE * 4);
    const i64 step = minimum(width, 4);  // words a row from one counter
    for (i64 n = 0; n < a.count; n += MEMBERS) {
        const T* table = a.theta + n / MEMBERS * groups * LANES * MEMBERS;
        std::memset(sums, 0, sizeof(T) * MEMBERS_TILE * MEMBERS);
        for (i64 w = 0; w < width; w += step) {
            for (i64 i = 0; i < MEMBERS_TILE; i += rows_a_draw)
                draw_in_order(a.stream, (first + i) * step / 4, u32(w / 4), drawn + i * step);
            for (i64 part = 0; part < step; part += 2) {
                const i64 group = 8 * (w + part);
                const i64 left = minimum(groups - group, 16);
                const T* here = table + group * LANES * MEMBERS;
                for (i64 i = range.first - first; i < range.last - first; ++i) {
                    const u32* word = drawn + i * step + part;
                    u64 bits = word[0];
                    if (part + 1 < step) bits |= u64(word[1]) << 32;
                    T* place = sums + i * MEMBERS;
                    Lanes<T> x = load(place), y = load(place + LANES);
                    for (i64 s = 0; s < left; ++s, bits >>= 4) {
                        const T* row = here + (s * LANES + i64(bits & 15)) * MEMBERS;
                        x = x + load(row);
                        y = y + load(row + LANES);
                    }
                    store(place, x);
                    store(place + LANES, y);
                }
            }
        }
        write_members<T>(a, range, n, minimum(a.count - n, MEMBERS),
                         sums + (range.first - first) * MEMBERS, MEMBERS);
    }
}

template <int WIDTH, class T>
INLINE void add_columns(const u32* drawn, const T* g, i64 rows, T all, T* sums) {
    Lanes<T> sum[2 * WIDTH];
    for (int k = 0; k < 2 * WIDTH; ++k) sum[k] = lanes(T(0));
    for (i64 i = 0; i < rows; ++i, drawn += WIDTH) {
        const Lanes<T> value = lanes(g[i]);
#pragma GCC unroll 4
        for (int w = 0; w < WIDTH; ++w) {
            sum[2 * w] = add_where(sum[2 * w], drawn[w] & 0xFFFFu, value);
            sum[2 * w + 1] = add_where(sum[2 * w + 1], drawn[w] >> 16, value);
        }
    }
    // A set bit is a minus: the sum of all g less twice those that were added. A few rows at a time,
    // or what the two have in common, where g has a mean, would cost its digits.
    for (int k = 0; k < 2 * WIDTH; ++k) {
        const Lanes<T> signed_sum = lanes(all) - (sum[k] + sum[k]);
        store(sums + LANES * k, load(sums + LANES * k) + signed_sum);
    }
}

template <int WIDTH, class T>
void rademacher_partial(const RademacherAdjoint<T>& a, Range range, T* partial) {
    constexpr i64 ROWS = 128;
    const i64 counters = WIDTH == 4 ? divide_up(a.d, CALL_SIGNS) : 1;
    const i64 columns = 32 * WIDTH * counters;
    Scratch<T> sums(columns);
    std::memset(sums, 0, sizeof(T) * std::size_t(columns));
    alignas(64) u32 drawn[ROWS * 4];
    alignas(64) T g[ROWS];
    for (i64 first = range.first / ROWS * ROWS; first < range.last; first += ROWS) {
        double all = 0;
        for (i64 i = 0; i < ROWS; ++i) {
            const i64 row = first + i;
            const bool inside = row >= range.first && row < range.last;
            g[i] = inside ? a.rows.g[row - a.rows.start] : T(0);
            all += double(g[i]);
        }
        for (i64 q = 0; q < counters; ++q) {
            for (i64 i = 0; i < ROWS; i += 4 * LANES / WIDTH)
                draw_in_order(a.stream, (first + i) * WIDTH / 4, u32(q), drawn + i * WIDTH);
            add_columns<WIDTH>(drawn, g, ROWS, T(all), sums + q * CALL_SIGNS);
        }
    }
    std::memcpy(partial, sums, sizeof(T) * std::size_t(a.d));
}

template <class T> void rademacher_adjoint(const void* arguments, i64 task) {
    const auto& a = *static_cast<const RademacherAdjoint<T>*>(arguments);
    const Range range = task_rows(a.rows.start, a.rows.stop, a.rows.rows_a_task, task);
    T* partial = a.rows.partial + task * a.rows.width;
    if (a.d <= 32)
        rademacher_partial<1>(a, range, partial);
    else if (a.d <= 64)
        rademacher_partial<2>(a, range, partial);
    else
        rademacher_partial<4>(a, range, partial);
}

template <class T> void rademacher_entries(const void* arguments, i64 task) {
    const auto& a = *static_cast<const Entries<T>*>(arguments);
    const Range range = task_rows(a.start, a.stop, MEMBERS_TILE, task);
    const i64 first = range.first / MEMBERS_TILE * MEMBERS_TILE;
    const i64 width = words_a_row(a.d), step = minimum(width, 4);
    Scratch<u32> drawn(MEMBERS_TILE * 4 + 1);
    for (i64 w = 0; w < width; w += step) {
        for (i64 i = 0; i < MEMBERS_TILE; i += 4 * LANES / step)
            draw_in_order(a.stream, (first + i) * step / 4, u32(w / 4), drawn + i * step);
        const i64 column = 32 * w, count = minimum(a.d - column, 32 * step);
        for (i64 i = range.first; i < range.last; ++i) {
            T* out = a.out + (i - a.start) * a.d + column;
            for (i64 j = 0; j < count; j += LANES) {
                const u32 bits = bits_at(drawn, (i - first) * step * 32 + j);
                const i64 left = minimum(count - j, LANES);
                store_first(out + j, left, flip(load_first(a.scale + column + j, left), bits));
            }
        }
    }
}
