// The loss of DQN (Mnih et al. 2015), as Stable-Baselines3 has it.

inline void greatest(const Learner& a, const float* parameters, const float* observations, i64 rows,
                     float* out) {
    const i64 count = outputs_of(a);
    each_chunk(a, a.actor, parameters, observations, rows, [&](i64 here, i64 first, float* y, i64 width) {
        for (i64 s = 0; s < here; ++s) {
            float most = y[s];
            for (i64 j = 1; j < count; ++j) most = y[j * width + s] > most ? y[j * width + s] : most;
            out[first + s] = most;
        }
    });
}

inline void regress(const Learner& a, const Transitions& of) {
    const i64 count = outputs_of(a);
    const float share = 1.0f / float(of.count);
    for (i64 i = 0; i < a.size; ++i) a.gradient[i] = 0.0f;
    for (i64 first = 0; first < of.count; first += CHUNK) {
        const i64 here = minimum(of.count - first, CHUNK), width = round_up(here, LANES);
        const Told inputs = lay_out_inputs(
            a, a.actor, of.observations + first * a.actor.sizes[0], nullptr, here, width);
        pass(a, a.actor, 0, inputs, width, [&](float* out, i64 s) {
            for (i64 l = 0; l < LANES; ++l) {
                const bool inside = s + l < here;
                const i64 at = first + s + l, action = inside ? i64(of.actions[at]) : 0;
                const float off = inside ? out[action * width + l] - of.targets[at] : 0.0f;
                const float slope = off > 1.0f ? 1.0f : off < -1.0f ? -1.0f : off;
                for (i64 j = 0; j < count; ++j) out[j * width + l] = j == action ? slope * share : 0.0f;
            }
        });
    }
}
