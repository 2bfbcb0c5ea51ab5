// Samples through a learner's networks, a CHUNK at a time.

// Samples of rows (count, size) laid side by side, (size, width); those beyond count are zero.
inline void lay_out(const float* rows, const i32* order, i64 count, i64 size, i64 width, float* x) {
    for (i64 first = 0; first < width; first += LANES) {
        const i64 some = minimum(count - first, LANES);
        const float* row[LANES];
        for (i64 l = 0; l < some; ++l) row[l] = rows + (order ? i64(order[first + l]) : first + l) * size;
        for (i64 i = 0; i < size; ++i) {  // a line of the cache is written at once
            float* to = x + i * width + first;
            for (i64 l = 0; l < some; ++l) to[l] = row[l][i];
            for (i64 l = some; l < LANES; ++l) to[l] = 0.0f;
        }
    }
}

// The inputs of a network laid out at the beginning of the scratch, and which of them say something.
inline Told lay_out_inputs(const Learner& a, const Network& network, const float* rows, const i32* order,
                           i64 count, i64 width) {
    const i64 size = network.sizes[0];
    lay_out(rows, order, count, size, width, a.scratch);
    return told(a.scratch, size, width, a.told);
}

INLINE i64 outputs_of(const Learner& a) { return a.actor.sizes[a.actor.layers]; }

// Call `with` on each CHUNK of rows: their number, the first of them, the outputs and their width.
template <class With>
INLINE void each_chunk(const Learner& a, const Network& network, const float* parameters,
                       const float* rows, i64 count, With with) {
    for (i64 first = 0; first < count; first += CHUNK) {
        const i64 here = minimum(count - first, CHUNK), width = round_up(here, LANES);
        const Told inputs =
            lay_out_inputs(a, network, rows + first * network.sizes[0], nullptr, here, width);
        with(here, first, forward(network, parameters, a.scratch, inputs, width), width);
    }
}

// Forward, what `deltas` makes of LANES samples' outputs, backward: the gradient is added to. The inputs
// lie in the scratch, and stay there.
template <class Deltas>
INLINE void pass(const Learner& a, const Network& network, i64 start, Told inputs, i64 width,
                 Deltas deltas) {
    float* out = forward(network, a.parameters + start, a.scratch, inputs, width);
    for (i64 s = 0; s < width; s += LANES) deltas(out + s, s);
    // Deltas of the layers before may be wider: they leave the outputs' place.
    const i64 last = network.sizes[network.layers] * width;
    float* delta = out + last;
    for (i64 i = 0; i < last; ++i) delta[i] = out[i];
    backward(network, a.parameters + start, a.scratch, inputs, width, delta,
             delta + network.widest * width, a.gradient + start);
}

inline void outputs(const Learner& a, const float* observations, i64 rows, float* out) {
    const i64 count = outputs_of(a);
    each_chunk(a, a.actor, a.parameters, observations, rows, [&](i64 here, i64 first, float* y, i64 width) {
        for (i64 s = 0; s < here; ++s)
            for (i64 j = 0; j < count; ++j) out[(first + s) * count + j] = y[j * width + s];
    });
}
