// A perceptron forward and backward over samples side by side: row i of an activation is unit i's,
// `width` samples of it, a multiple of LANES. A sample's sums run over the units in their order,
// whatever the samples beside it; a weight's over the samples.

// The units of a layer that are not zero in every sample, of which alone the next layer's sums and the
// gradient of its weights are made. Most of a one-hot view of a room is.
struct Told {
    const i32* unit;  // ascending; missing: every unit
    i64 count;
};

constexpr i64 MANY = 64;  // inputs from which it pays to look

inline Told told(const float* x, i64 in, i64 width, i32* unit) {
    if (in < MANY) return {nullptr, in};
    i64 count = 0;
    for (i64 i = 0; i < in; ++i) {
        Whole some = {};
        for (i64 s = 0; s < width; s += LANES) some = some | differs(load(x + i * width + s));
        if (any(some)) unit[count++] = i32(i);
    }
    return count < in ? Told{unit, count} : Told{nullptr, in};
}

// A layer's units o .. o + O - 1 for S vectors of samples.
template <int O, int S, bool LAST, bool SOME>
INLINE void units(const Network& network, const float* weight, const float* bias, i64 in, Told from_units,
                  const float* x, float* y, i64 width) {
    Lanes sum[O][S];
    for (int o = 0; o < O; ++o)
        for (int s = 0; s < S; ++s) sum[o][s] = lanes(bias[o]);
    for (i64 at = 0; at < from_units.count; ++at) {
        const i64 i = SOME ? i64(from_units.unit[at]) : at;
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

template <int S, bool LAST, bool SOME>
INLINE void layer_of(const Network& network, const float* weight, i64 in, i64 out, Told from, const float* x,
                     float* y, i64 width) {
    const float* bias = weight + in * out;
    i64 o = 0;
    for (; o + UNITS <= out; o += UNITS)
        units<UNITS, S, LAST, SOME>(network, weight + o * in, bias + o, in, from, x, y + o * width, width);
    for (; o < out; ++o)
        units<1, S, LAST, SOME>(network, weight + o * in, bias + o, in, from, x, y + o * width, width);
}

template <bool LAST, bool SOME>
INLINE void layer(const Network& network, const float* weight, i64 in, i64 out, Told from, const float* x,
                  float* y, i64 width) {
    i64 s = 0;
    for (; s + VECTORS * LANES <= width; s += VECTORS * LANES)
        layer_of<VECTORS, LAST, SOME>(network, weight, in, out, from, x + s, y + s, width);
    for (; s < width; s += LANES)
        layer_of<1, LAST, SOME>(network, weight, in, out, from, x + s, y + s, width);
}

// Activations follow each other in memory, the inputs first; return the outputs.
inline float* forward(const Network& network, const float* parameters, float* activations, Told inputs,
                      i64 width) {
    float* x = activations;
    for (i64 l = 0; l < network.layers; ++l) {
        const i64 in = network.sizes[l], out = network.sizes[l + 1];
        float* y = x + in * width;
        const Told from = l == 0 ? inputs : Told{nullptr, in};
        if (l + 1 == network.layers && from.unit)
            layer<true, true>(network, parameters, in, out, from, x, y, width);
        else if (l + 1 == network.layers)
            layer<true, false>(network, parameters, in, out, from, x, y, width);
        else if (from.unit)
            layer<false, true>(network, parameters, in, out, from, x, y, width);
        else
            layer<false, false>(network, parameters, in, out, from, x, y, width);
        parameters += (in + 1) * out;
        x = y;
    }
    return x;
}

// The weights' gradient, block by block: sums over the samples. The inputs are those from `first` on.
template <int O, int I, bool SOME>
INLINE void weights(const float* delta, const float* x, i64 in, Told from_units, i64 first, i64 width,
                    float* gradient) {
    i64 unit[I];
    for (int i = 0; i < I; ++i) unit[i] = SOME ? i64(from_units.unit[first + i]) : first + i;
    Lanes sum[O * I] = {};
    for (i64 s = 0; s < width; s += LANES) {
        Lanes from[I];
        for (int i = 0; i < I; ++i) from[i] = load(x + unit[i] * width + s);
        for (int o = 0; o < O; ++o) {
            const Lanes d = load(delta + o * width + s);
            for (int i = 0; i < I; ++i) sum[o * I + i] += d * from[i];
        }
    }
    if constexpr (O * I == 1 || O * I == 4 || O * I == 16) {
        float place[LANES];
        store(place, totals<O * I>(sum));
        for (int o = 0; o < O; ++o)
            for (int i = 0; i < I; ++i) gradient[o * in + unit[i]] += place[o * I + i];
    } else {
        for (int o = 0; o < O; ++o)
            for (int i = 0; i < I; ++i) gradient[o * in + unit[i]] += total(sum[o * I + i]);
    }
}

template <int O, bool SOME>
INLINE void weights_of(const float* delta, const float* x, i64 in, Told from, i64 width, float* gradient) {
    i64 i = 0;
    for (; i + BLOCK <= from.count; i += BLOCK)
        weights<O, BLOCK, SOME>(delta, x, in, from, i, width, gradient);
    for (; i < from.count; ++i) weights<O, 1, SOME>(delta, x, in, from, i, width, gradient);
}

template <bool SOME>
INLINE void all_weights(const float* delta, const float* x, i64 in, i64 out, Told from, i64 width,
                        float* gradient) {
    i64 o = 0;
    for (; o + BLOCK <= out; o += BLOCK)
        weights_of<BLOCK, SOME>(delta + o * width, x, in, from, width, gradient + o * in);
    for (; o < out; ++o) weights_of<1, SOME>(delta + o * width, x, in, from, width, gradient + o * in);
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
inline void backward(const Network& network, const float* parameters, const float* activations, Told inputs,
                     i64 width, float* delta, float* other, float* gradient) {
    const float* x = activations;
    i64 start = 0;
    for (i64 l = 0; l + 1 < network.layers; ++l) {
        x += network.sizes[l] * width;
        start += (network.sizes[l] + 1) * network.sizes[l + 1];
    }
    for (i64 l = network.layers - 1; l >= 0; --l) {
        const i64 in = network.sizes[l], out = network.sizes[l + 1];
        float* to = gradient + start;
        if (l == 0 && inputs.unit)
            all_weights<true>(delta, x, in, out, inputs, width, to);
        else
            all_weights<false>(delta, x, in, out, {nullptr, in}, width, to);
        for (i64 o = 0; o < out; ++o) {
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
