// A perceptron forward and backward over samples side by side: row i of an activation is unit i's,
// `width` samples of it, a multiple of LANES. A sample's sums run over the units in their order,
// whatever the samples beside it; a weight's over the samples.

// A layer's units o .. o + O - 1 for S vectors of samples.
template <int O, int S, bool LAST>
INLINE void units(const Network& network, const float* weight, const float* bias, i64 in, const float* x,
                  float* y, i64 width) {
    Lanes sum[O][S];
    for (int o = 0; o < O; ++o)
        for (int s = 0; s < S; ++s) sum[o][s] = lanes(bias[o]);
    for (i64 i = 0; i < in; ++i) {
        Lanes from[S];
        for (int s = 0; s < S; ++s) from[s] = load(x + i * width + s * LANES);
        for (int o = 0; o < O; ++o)
            for (int s = 0; s < S; ++s) sum[o][s] += weight[o * in + i] * from[s];
    }
    for (int o = 0; o < O; ++o)
        for (int s = 0; s < S; ++s) {
            Lanes out = sum[o][s];
            if constexpr (!LAST)
                out = network.tanh ? hyperbolic_tangent(out) : larger(out, Lanes{});
            store(y + o * width + s * LANES, out);
        }
}

template <int S, bool LAST>
INLINE void layer_of(const Network& network, const float* weight, i64 in, i64 out, const float* x,
                     float* y, i64 width) {
    const float* bias = weight + in * out;
    i64 o = 0;
    for (; o + UNITS <= out; o += UNITS)
        units<UNITS, S, LAST>(network, weight + o * in, bias + o, in, x, y + o * width, width);
    for (; o < out; ++o)
        units<1, S, LAST>(network, weight + o * in, bias + o, in, x, y + o * width, width);
}

template <bool LAST>
INLINE void layer(const Network& network, const float* weight, i64 in, i64 out, const float* x, float* y,
                  i64 width) {
    i64 s = 0;
    for (; s + VECTORS * LANES <= width; s += VECTORS * LANES)
        layer_of<VECTORS, LAST>(network, weight, in, out, x + s, y + s, width);
    for (; s < width; s += LANES)
        layer_of<1, LAST>(network, weight, in, out, x + s, y + s, width);
}

// Activations follow each other in memory, the inputs first; return the outputs.
inline float* forward(const Network& network, const float* parameters, float* activations, i64 width) {
    float* x = activations;
    for (i64 l = 0; l < network.layers; ++l) {
        const i64 in = network.sizes[l], out = network.sizes[l + 1];
        float* y = x + in * width;
        if (l + 1 < network.layers)
            layer<false>(network, parameters, in, out, x, y, width);
        else
            layer<true>(network, parameters, in, out, x, y, width);
        parameters += (in + 1) * out;
        x = y;
    }
    return x;
}

// The weights' gradient, block by block: sums over the samples.
template <int O, int I>
INLINE void weights(const float* delta, const float* x, i64 in, i64 width, float* gradient) {
    Lanes sum[O * I] = {};
    for (i64 s = 0; s < width; s += LANES) {
        Lanes from[I];
        for (int i = 0; i < I; ++i) from[i] = load(x + i * width + s);
        for (int o = 0; o < O; ++o) {
            const Lanes d = load(delta + o * width + s);
            for (int i = 0; i < I; ++i) sum[o * I + i] += d * from[i];
        }
    }
    if constexpr (O * I == 1 || O * I == 4 || O * I == 16) {
        float place[LANES];
        store(place, totals<O * I>(sum));
        for (int o = 0; o < O; ++o)
            for (int i = 0; i < I; ++i) gradient[o * in + i] += place[o * I + i];
    } else {
        for (int o = 0; o < O; ++o)
            for (int i = 0; i < I; ++i) gradient[o * in + i] += total(sum[o * I + i]);
    }
}

template <int O>
INLINE void weights_of(const float* delta, const float* x, i64 in, i64 width, float* gradient) {
    i64 i = 0;
    for (; i + BLOCK <= in; i += BLOCK)
        weights<O, BLOCK>(delta, x + i * width, in, width, gradient + i);
    for (; i < in; ++i) weights<O, 1>(delta, x + i * width, in, width, gradient + i);
}

// What S samples' deltas are at the inputs i .. i + I - 1 of a layer, whose activations are y.
template <int I>
INLINE void back(const Network& network, const float* weight, i64 in, i64 out, const float* delta,
                 const float* y, float* before, i64 width) {
    for (i64 s = 0; s < width; s += LANES) {
        Lanes sum[I] = {};
        for (i64 o = 0; o < out; ++o) {
            const Lanes d = load(delta + o * width + s);
            for (int i = 0; i < I; ++i) sum[i] += weight[o * in + i] * d;
        }
        for (int i = 0; i < I; ++i) {
            const Lanes unit = load(y + i * width + s);
            const Lanes slope = network.tanh ? 1.0f - unit * unit
                                             : choose(unit > Lanes{}, lanes(1.0f), Lanes{});
            store(before + i * width + s, sum[i] * slope);
        }
    }
}

// Add the gradient of what the outputs' deltas (outputs, width) are of; they are overwritten.
inline void backward(const Network& network, const float* parameters, const float* activations, i64 width,
                     float* delta, float* other, float* gradient) {
    const float* x = activations;
    i64 start = 0;
    for (i64 l = 0; l + 1 < network.layers; ++l) {
        x += network.sizes[l] * width;
        start += (network.sizes[l] + 1) * network.sizes[l + 1];
    }
    for (i64 l = network.layers - 1; l >= 0; --l) {
        const i64 in = network.sizes[l], out = network.sizes[l + 1];
        float* to = gradient + start;
        i64 o = 0;
        for (; o + BLOCK <= out; o += BLOCK)
            weights_of<BLOCK>(delta + o * width, x, in, width, to + o * in);
        for (; o < out; ++o) weights_of<1>(delta + o * width, x, in, width, to + o * in);
        for (o = 0; o < out; ++o) {
            Lanes sum = {};
            for (i64 s = 0; s < width; s += LANES) sum += load(delta + o * width + s);
            to[in * out + o] += total(sum);
        }
        if (l == 0) return;
        const float* weight = parameters + start;
        i64 i = 0;
        for (; i + UNITS <= in; i += UNITS)
            back<UNITS>(network, weight + i, in, out, delta, x + i * width, other + i * width, width);
        for (; i < in; ++i)
            back<1>(network, weight + i, in, out, delta, x + i * width, other + i * width, width);
        float* swapped = delta;
        delta = other;
        other = swapped;
        x -= network.sizes[l - 1] * width;
        start -= (network.sizes[l - 1] + 1) * in;
    }
}
