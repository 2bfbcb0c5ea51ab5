// Steps in a subspace or natively.

inline void adjoint(const Learner& a) {
    for (i64 j = 0; j < a.d; ++j) {
        const float* column = a.P + j * a.confined;
        Lanes sum[4] = {};
        i64 i = 0;
        for (; i + 4 * LANES <= a.confined; i += 4 * LANES)
            for (int u = 0; u < 4; ++u)
                sum[u] += load(column + i + u * LANES) * load(a.gradient + i + u * LANES);
        for (; i + LANES <= a.confined; i += LANES) sum[0] += load(column + i) * load(a.gradient + i);
        float rest = 0.0f;
        for (; i < a.confined; ++i) rest += column[i] * a.gradient[i];
        a.gradient_d[j] = total((sum[0] + sum[1]) + (sum[2] + sum[3])) + rest;
    }
}

inline void write(const Learner& a) {
    i64 i = 0;
    for (; i + 4 * LANES <= a.confined; i += 4 * LANES) {
        Lanes sum[4];
        for (int u = 0; u < 4; ++u) sum[u] = load(a.theta_0 + i + u * LANES);
        for (i64 j = 0; j < a.d; ++j)
            for (int u = 0; u < 4; ++u)
                sum[u] += a.theta_d[j] * load(a.P + j * a.confined + i + u * LANES);
        for (int u = 0; u < 4; ++u) store(a.parameters + i + u * LANES, sum[u]);
    }
    for (; i < a.confined; ++i) {
        float sum = a.theta_0[i];
        for (i64 j = 0; j < a.d; ++j) sum += a.theta_d[j] * a.P[j * a.confined + i];
        a.parameters[i] = sum;
    }
}

// As torch's clip_grad_norm_.
INLINE float shortened(const float* g, i64 count, double longest) {
    double squares = 0.0;
    for (i64 i = 0; i < count; ++i) squares += double(g[i]) * double(g[i]);
    const double share = longest / (__builtin_sqrt(squares) + 1e-6);
    return share < 1.0 ? float(share) : 1.0f;
}

// By Adam (Kingma and Ba 2015) or RMSprop, with the decays that Stable-Baselines3 has.
INLINE void move(const Learner& a, float* x, const float* g, float shrink, i64 moments, i64 count,
                 double rate, double number) {
    float *mean = a.mean + moments, *square = a.square + moments;
    if (a.root_mean_square) {
        const float length = float(rate);
        for (i64 i = 0; i < count; ++i) {
            const float slope = g[i] * shrink;
            square[i] = 0.99f * square[i] + 0.01f * slope * slope;
            x[i] -= length * (slope / (__builtin_sqrtf(square[i]) + a.epsilon));
        }
        return;
    }
    const float length = float(rate / (1.0 - __builtin_pow(0.9, number)));
    const float root = float(__builtin_sqrt(1.0 - __builtin_pow(0.999, number)));
    for (i64 i = 0; i < count; ++i) {
        const float slope = g[i] * shrink;
        mean[i] += 0.1f * (slope - mean[i]);
        square[i] = 0.999f * square[i] + 0.001f * slope * slope;
        x[i] -= length * (mean[i] / (__builtin_sqrtf(square[i]) / root + a.epsilon));
    }
}

inline void step(const Learner& a, const Step& by) {
    if (a.d == 0) {
        const float shrink = shortened(a.gradient, a.size, a.longest);
        move(a, a.parameters, a.gradient, shrink, 0, a.size, by.rate, by.number);
        return;
    }
    const float shrink = shortened(a.gradient_d, a.d, a.longest);
    move(a, a.theta_d, a.gradient_d, shrink, 0, a.d, by.rate * by.factor, by.number);
    move(a, a.parameters + a.confined, a.gradient + a.confined, 1.0f, a.d, a.size - a.confined, by.rate,
         by.number);
}
