// Samples through a learner's networks, a CHUNK at a time.

// Samples of rows (count, size) laid side by side, (size, width); those beyond count are zero.
inline void lay_out(const float* rows, const i32* order, i64 count, i64 size, i64 width, float* x) {
    for (i64 s = 0; s < count; ++s) {
        const float* row = rows + (order ? i64(order[s]) : s) * size;
        for (i64 i = 0; i < size; ++i) x[i * width + s] = row[i];
    }
    for (i64 i = 0; i < size; ++i)
        for (i64 s = count; s < width; ++s) x[i * width + s] = 0.0f;
}

INLINE i64 outputs_of(const Learner& a) { return a.actor.sizes[a.actor.layers]; }

// Call `with` on each CHUNK of rows: their number, the first of them, the outputs and their width.
template <class With>
INLINE void each_chunk(const Learner& a, const Network& network, const float* parameters,
                       const float* rows, i64 count, With with) {
    for (i64 first = 0; first < count; first += CHUNK) {
        const i64 here = minimum(count - first, CHUNK), width = round_up(here, LANES);
        lay_out(rows + first * network.sizes[0], nullptr, here, network.sizes[0], width, a.scratch);
        with(here, first, forward(network, parameters, a.scratch, width), width);
    }
}

// Forward, what `deltas` makes of LANES samples' outputs, backward: the gradient is added to. The inputs
// lie in the scratch.
template <class Deltas>
INLINE void pass(const Learner& a, const Network& network, i64 start, i64 width, Deltas deltas) {
    float* out = forward(network, a.parameters + start, a.scratch, width);
    for (i64 s = 0; s < width; s += LANES) deltas(out + s, s);
    // Deltas of the layers before may be wider: they leave the outputs' place.
    const i64 last = network.sizes[network.layers] * width;
    float* delta = out + last;
    for (i64 i = 0; i < last; ++i) delta[i] = out[i];
    backward(network, a.parameters + start, a.scratch, width, delta, delta + network.widest * width,
             a.gradient + start);
}

inline void outputs(const Learner& a, const float* observations, i64 rows, float* out) {
    const i64 count = outputs_of(a);
    each_chunk(a, a.actor, a.parameters, observations, rows, [&](i64 here, i64 first, float* y, i64 width) {
        for (i64 s = 0; s < here; ++s)
            for (i64 j = 0; j < count; ++j) out[(first + s) * count + j] = y[j * width + s];
    });
}
