// The paper's Fastfood: theta fills only the first n of L places, so the first transform is one of
// length n, repeated; the permutation then reads from (or adds to) those n numbers.

template <class T> void gather_scaled(const void* arguments, i64) {
    const auto& a = *static_cast<const Permuted<T>*>(arguments);
    i64 i = 0;
    for (; i + LANES <= a.count; i += LANES)
        store(a.out + i, gather(a.x, load_words(a.place + i)) * load(a.scale + i));
    for (; i < a.count; ++i) a.out[i] = a.x[a.place[i]] * a.scale[i];
}

template <class T> void scatter_scaled(const void* arguments, i64) {
    const auto& a = *static_cast<const Permuted<T>*>(arguments);
    for (i64 i = 0; i < a.count; ++i) a.out[a.place[i]] += a.x[i] * a.scale[i];
}
