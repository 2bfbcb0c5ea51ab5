// The policies and the loss of PPO (Schulman et al. 2017), as Stable-Baselines3 has them. A2C's loss is
// the same where the ratio has no range and the policy has not moved yet.

constexpr float HALF_LOG_TWO_PI = 0.918938533f;

INLINE const float* log_std_of(const Learner& a) { return a.parameters + a.actor.size + a.critic.size; }
INLINE i64 parts_of(const Learner& a) { return a.gaussian ? outputs_of(a) : 1; }

// Logits (outputs, width) of LANES samples made log-probabilities.
INLINE void normalise(float* logits, i64 outputs, i64 width) {
    Lanes most = load(logits);
    for (i64 j = 1; j < outputs; ++j) most = larger(most, load(logits + j * width));
    Lanes sum = {};
    for (i64 j = 0; j < outputs; ++j) sum += exponential(load(logits + j * width) - most);
    const Lanes shift = most + logarithm(sum);
    for (i64 j = 0; j < outputs; ++j) store(logits + j * width, load(logits + j * width) - shift);
}

// The log-probability of LANES samples' actions; actions (parts, LANES).
INLINE Lanes log_probability(const Learner& a, const float* out, i64 width, const float* actions) {
    Lanes sum = {};
    for (i64 j = 0; j < outputs_of(a); ++j) {
        const Lanes o = load(out + j * width);
        if (a.gaussian) {
            const float log_std = log_std_of(a)[j];
            const Lanes off = (load(actions + j * LANES) - o) * exponential(lanes(-log_std));
            sum += -0.5f * off * off - log_std - HALF_LOG_TWO_PI;
        } else {
            sum = choose(load(actions) == float(j), o, sum);
        }
    }
    return sum;
}

inline void values(const Learner& a, const float* observations, i64 rows, float* out) {
    each_chunk(a, a.critic, a.parameters + a.actor.size, observations, rows,
               [&](i64 here, i64 first, float* y, i64) {
                   for (i64 s = 0; s < here; ++s) out[first + s] = y[s];
               });
}

inline void act(const Learner& a, const float* observations, const float* noise, i64 rows,
                float* actions) {
    const i64 count = outputs_of(a), parts = parts_of(a);
    float std[LANES];
    each_chunk(a, a.actor, a.parameters, observations, rows, [&](i64 here, i64 first, float* y, i64 width) {
        if (a.gaussian) {
            for (i64 j = 0; j < count; ++j) {
                store(std, exponential(lanes(log_std_of(a)[j])));
                for (i64 s = 0; s < here; ++s) {
                    const i64 at = (first + s) * parts + j;
                    actions[at] = y[j * width + s] + std[0] * noise[at];
                }
            }
            return;
        }
        for (i64 s = 0; s < width; s += LANES) {
            normalise(y + s, count, width);
            for (i64 j = 0; j < count; ++j)
                store(y + s + j * width, exponential(load(y + s + j * width)));
        }
        for (i64 s = 0; s < here; ++s) {  // the first action up to which the probabilities are more
            float sum = y[s];
            i64 action = 0;
            while (action + 1 < count && sum <= noise[first + s]) sum += y[++action * width + s];
            actions[first + s] = float(action);
        }
    });
}

inline void log_probabilities(const Learner& a, const float* observations, const float* actions, i64 rows,
                              float* out) {
    const i64 parts = parts_of(a);
    each_chunk(a, a.actor, a.parameters, observations, rows, [&](i64 here, i64 first, float* y, i64 width) {
        for (i64 s = 0; s < width; s += LANES) {
            float taken[LANES], chosen[MOST_PARTS * LANES];
            const i64 some = minimum(here - s, LANES);
            lay_out(actions + (first + s) * parts, nullptr, some, parts, LANES, chosen);
            if (!a.gaussian) normalise(y + s, outputs_of(a), width);
            store(taken, log_probability(a, y + s, width, chosen));
            for (i64 l = 0; l < some; ++l) out[first + s + l] = taken[l];
        }
    });
}

// The mean and one over the deviation of a minibatch's advantages; 0 and 1 where they stay as they are.
struct Scale {
    float mean, factor;
};

inline Scale scale_of(const Learner& a, const Rollout& of) {
    if (!a.normalised || of.count < 2) return {0.0f, 1.0f};
    double sum = 0.0, squares = 0.0;
    for (i64 s = 0; s < of.count; ++s) sum += double(of.advantages[of.order[s]]);
    const double mean = sum / double(of.count);
    for (i64 s = 0; s < of.count; ++s) {
        const double off = double(of.advantages[of.order[s]]) - mean;
        squares += off * off;
    }
    const double deviation = __builtin_sqrt(squares / double(of.count - 1));
    return {float(mean), float(1.0 / (deviation + 1e-8))};
}

// The loss's derivatives by LANES samples' outputs, in their place; others than the first `some` get
// none. What belongs to log_std is added to `spread`.
INLINE void actor_deltas(const Learner& a, const Rollout& of, Scale scale, const i32* order, i64 some,
                         float* out, i64 width, float* spread) {
    const i64 count = outputs_of(a), parts = parts_of(a);
    float chosen[MOST_PARTS * LANES], advantages[LANES], old[LANES], inside[LANES];
    lay_out(of.actions, order, some, parts, LANES, chosen);
    lay_out(of.advantages, order, some, 1, LANES, advantages);
    lay_out(of.old, order, some, 1, LANES, old);
    for (i64 l = 0; l < LANES; ++l) inside[l] = l < some ? 1.0f / float(of.count) : 0.0f;
    const Lanes share = load(inside);
    if (!a.gaussian) normalise(out, count, width);
    const Lanes advantage = (load(advantages) - scale.mean) * scale.factor;
    const Lanes ratio = exponential(log_probability(a, out, width, chosen) - load(old));
    const Whole held = ((advantage > Lanes{}) & (ratio > lanes(1.0f + of.clip))) |
                       ((advantage < Lanes{}) & (ratio < lanes(1.0f - of.clip)));
    const Lanes by_log = choose(held, Lanes{}, -advantage * ratio) * share;
    if (a.gaussian) {
        for (i64 j = 0; j < count; ++j) {
            const Lanes inverse = exponential(lanes(-log_std_of(a)[j]));
            const Lanes off = (load(chosen + j * LANES) - load(out + j * width)) * inverse;
            store(out + j * width, by_log * off * inverse);
            spread[j] += total(by_log * (off * off - 1.0f) - a.entropy * share);
        }
        return;
    }
    Lanes entropy = {};
    for (i64 j = 0; j < count; ++j) {
        const Lanes log_p = load(out + j * width);
        entropy -= exponential(log_p) * log_p;
    }
    for (i64 j = 0; j < count; ++j) {
        const Lanes log_p = load(out + j * width), p = exponential(log_p);
        const Lanes taken = choose(load(chosen) == float(j), lanes(1.0f), Lanes{});
        store(out + j * width, by_log * (taken - p) + a.entropy * share * p * (log_p + entropy));
    }
}

inline void differentiate(const Learner& a, const Rollout& of) {
    const Scale scale = scale_of(a, of);
    for (i64 i = 0; i < a.size; ++i) a.gradient[i] = 0.0f;
    for (i64 first = 0; first < of.count; first += CHUNK) {
        const i64 here = minimum(of.count - first, CHUNK), width = round_up(here, LANES);
        const i32* order = of.order + first;
        const Told inputs = lay_out_inputs(a, a.actor, of.observations, order, here, width);
        pass(a, a.actor, 0, inputs, width, [&](float* out, i64 s) {
            actor_deltas(a, of, scale, order + s, minimum(here - s, LANES), out, width,
                         a.gradient + a.actor.size + a.critic.size);
        });
        pass(a, a.critic, a.actor.size, inputs, width, [&](float* out, i64 s) {
            for (i64 l = 0; l < LANES; ++l)
                out[l] = s + l < here
                             ? a.value * 2.0f * (out[l] - of.returns[order[s + l]]) / float(of.count)
                             : 0.0f;
        });
    }
}
