// P = A (x) B: theta is a small matrix, a row of A makes a row of coefficients of it, and those make
// as many rows of P theta as B has. A task has whole rows of A, `kronecker_rows` of them.

template <class T> void kronecker_forward(const void* arguments, i64 task) {
    const auto& a = *static_cast<const KroneckerForward<T>*>(arguments);
    const KroneckerSize& size = a.size;
    const i64 step = kronecker_rows(size), depth = member_stride(size.d2);
    const i64 width = member_stride(size.D2);
    const Range range = task_rows(a.rows.start, a.rows.stop, step * size.D2, task);
    const i64 first = range.first / size.D2, rows = divide_up(range.last, size.D2) - first;
    Scratch<T> coefficients(rows * depth), sums(rows * width);
    set_zero<T>(coefficients, rows * depth);
    set_zero<T>(sums, rows * width);
    multiply<T>({a.left + first * size.d1, size.d1, 1}, rows, size.d1, a.theta, size.d2, coefficients);
    multiply<T>({coefficients, depth, 1}, rows, size.d2, a.right, size.D2, sums);
    for (i64 r = 0; r < rows; ++r) {
        const i64 start = (first + r) * size.D2;
        const Range part = {maximum(start, range.first), minimum(start + size.D2, range.last)};
        add_rows(a.rows, start, sums + r * width, part);
    }
}

template <class T> void kronecker_adjoint(const void* arguments, i64 task) {
    const auto& a = *static_cast<const KroneckerAdjoint<T>*>(arguments);
    const KroneckerSize& size = a.size;
    const i64 step = kronecker_rows(size), width = member_stride(size.d2);
    const Range range = task_rows(a.rows.start, a.rows.stop, a.rows.rows_a_task, task);
    T* partial = a.rows.partial + task * a.rows.width;
    set_zero(partial, a.rows.width);
    Scratch<T> cut(step * size.D2), sums(step * width);
    const i64 last = divide_up(range.last, size.D2);
    for (i64 row = range.first / size.D2; row < last; row += step) {
        const i64 rows = minimum(step, last - row), start = row * size.D2;
        const T* g = a.rows.g + (start - a.rows.start);
        if (start < range.first || start + rows * size.D2 > range.last) {
            const Range part = {maximum(start, range.first), minimum(start + rows * size.D2, range.last)};
            set_zero<T>(cut, rows * size.D2);
            std::memcpy(cut + (part.first - start), a.rows.g + (part.first - a.rows.start),
                        sizeof(T) * std::size_t(part.last - part.first));
            g = cut;
        }
        set_zero<T>(sums, rows * width);
        multiply<T>({g, size.D2, 1}, rows, size.D2, a.right, size.d2, sums);
        multiply<T>({a.left + row * size.d1, 1, size.d1}, size.d1, rows, sums, size.d2, partial);
    }
}
