// A population's multilayer perceptrons with rectified hidden units, an observation each: members lie
// side by side, and each member's sums run over the inputs in their order, whatever its neighbours.

constexpr int NETWORKS_SLAB = 64;  // members whose sums stay in registers

// `slab` members from `first` on: a constant in full slabs, so that loops over members unroll.
template <class T> INLINE void networks_slab(const Networks<T>& a, i64 first, const i64 slab) {
    const i64 inputs = a.sizes[0], outputs = a.sizes[a.layers], N = a.members;
    Scratch<T> buffers(2 * a.widest * slab);
    T *x = buffers, *y = x + a.widest * slab;
    for (i64 i = 0; i < inputs; ++i)
        for (i64 m = 0; m < slab; ++m) x[i * slab + m] = a.x[(first + m) * inputs + i];
    const T* weight = a.theta + first;
    for (i64 layer = 0; layer < a.layers; ++layer) {
        const i64 in = a.sizes[layer], out = a.sizes[layer + 1];
        const T* bias = weight + in * out * N;
        for (i64 o = 0; o < out; ++o) {
            T sums[NETWORKS_SLAB] = {};
            for (i64 i = 0; i < in; ++i) {
                const T *w = weight + (o * in + i) * N, *from = x + i * slab;
                for (i64 m = 0; m < slab; ++m) sums[m] += w[m] * from[m];
            }
            for (i64 m = 0; m < slab; ++m) {
                const T sum = sums[m] + bias[o * N + m];
                y[o * slab + m] = layer + 1 < a.layers && sum < T(0) ? T(0) : sum;
            }
        }
        weight = bias + out * N;
        T* swapped = x;
        x = y;
        y = swapped;
    }
    for (i64 m = 0; m < slab; ++m)
        for (i64 o = 0; o < outputs; ++o) a.out[(first + m) * outputs + o] = x[o * slab + m];
}

template <class T> void networks(const void* arguments, i64) {
    const auto& a = *static_cast<const Networks<T>*>(arguments);
    i64 first = 0;
    for (; first + NETWORKS_SLAB <= a.members; first += NETWORKS_SLAB)
        networks_slab(a, first, NETWORKS_SLAB);
    for (; first + LANES <= a.members; first += LANES) networks_slab(a, first, LANES);
    if (first < a.members) networks_slab(a, first, a.members - first);
}
