// Sixteen numbers side by side, and functions of them that no library computes in another way.
// Included inside an instruction set's namespace.

// Pieces of a register's WIDTH: what is asked of all sixteen is asked of each.
constexpr int PIECES = LANES / WIDTH;
typedef float Piece __attribute__((vector_size(4 * WIDTH)));
typedef i32 WholePiece __attribute__((vector_size(4 * WIDTH)));
typedef float LoosePiece __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
struct Lanes {
    Piece of[PIECES];
};
struct Whole {
    WholePiece of[PIECES];
};

template <class Result, class With> INLINE Result each(With with) {
    Result x;
#pragma GCC unroll 4
    for (int i = 0; i < PIECES; ++i) x.of[i] = with(i);
    return x;
}

INLINE Lanes load(const float* from) {
    return each<Lanes>([&](int i) { return *reinterpret_cast<const LoosePiece*>(from + i * WIDTH); });
}
INLINE void store(float* to, Lanes x) {
#pragma GCC unroll 4
    for (int i = 0; i < PIECES; ++i) *reinterpret_cast<LoosePiece*>(to + i * WIDTH) = x.of[i];
}
INLINE Lanes lanes(float x) {
    return each<Lanes>([&](int) { return x - Piece{}; });
}
INLINE Lanes operator+(Lanes a, Lanes b) {
    return each<Lanes>([&](int i) { return a.of[i] + b.of[i]; });
}
INLINE Lanes operator-(Lanes a, Lanes b) {
    return each<Lanes>([&](int i) { return a.of[i] - b.of[i]; });
}
INLINE Lanes operator*(Lanes a, Lanes b) {
    return each<Lanes>([&](int i) { return a.of[i] * b.of[i]; });
}
INLINE Lanes operator/(Lanes a, Lanes b) {
    return each<Lanes>([&](int i) { return a.of[i] / b.of[i]; });
}
INLINE Lanes operator+(Lanes a, float b) { return a + lanes(b); }
INLINE Lanes operator-(Lanes a, float b) { return a - lanes(b); }
INLINE Lanes operator-(float a, Lanes b) { return lanes(a) - b; }
INLINE Lanes operator*(float a, Lanes b) { return lanes(a) * b; }
INLINE Lanes operator*(Lanes a, float b) { return a * lanes(b); }
INLINE Lanes operator/(float a, Lanes b) { return lanes(a) / b; }
INLINE Lanes operator-(Lanes a) {
    return each<Lanes>([&](int i) { return -a.of[i]; });
}
INLINE Lanes& operator+=(Lanes& a, Lanes b) { return a = a + b; }
INLINE Lanes& operator-=(Lanes& a, Lanes b) { return a = a - b; }
INLINE Whole operator<(Lanes a, Lanes b) {
    return each<Whole>([&](int i) { return a.of[i] < b.of[i]; });
}
INLINE Whole operator>(Lanes a, Lanes b) { return b < a; }
INLINE Whole operator==(Lanes a, float b) {
    return each<Whole>([&](int i) { return a.of[i] == b; });
}
INLINE Whole operator&(Whole a, Whole b) {
    return each<Whole>([&](int i) { return a.of[i] & b.of[i]; });
}
INLINE Whole operator|(Whole a, Whole b) {
    return each<Whole>([&](int i) { return a.of[i] | b.of[i]; });
}
INLINE Whole differs(Lanes a) {  // from zero
    return each<Whole>([&](int i) { return a.of[i] != 0.0f; });
}
INLINE bool any(Whole a) {
    i32 found = 0;
    for (int i = 0; i < PIECES; ++i)
        for (int l = 0; l < WIDTH; ++l) found |= a.of[i][l];
    return found != 0;
}
INLINE Lanes choose(Whole where, Lanes yes, Lanes no) {
    return each<Lanes>([&](int i) { return where.of[i] ? yes.of[i] : no.of[i]; });
}
INLINE Lanes smaller(Lanes a, Lanes b) { return choose(a < b, a, b); }
INLINE Lanes larger(Lanes a, Lanes b) { return choose(a > b, a, b); }

// Neighbours of a and of b added: as many sums of each as half the lanes.
template <int W, class P> INLINE P added(P a, P b) {
    if constexpr (W == 16)
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
               __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    else if constexpr (W == 8)
        return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14) +
               __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
    else
        return __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
}
INLINE Lanes neighbours(Lanes a, Lanes b) {
    return each<Lanes>([&](int i) {
        const auto piece = [&](int at) { return at < PIECES ? a.of[at] : b.of[at - PIECES]; };
        return added<WIDTH>(piece(2 * i), piece(2 * i + 1));
    });
}

// The sums over the lanes of 1, 2, 4 or 16 vectors, in the first places; each in the same order.
template <int N> INLINE Lanes totals(const Lanes* x) {
    if constexpr (N == 16) {
        Lanes pairs[8];
        for (int i = 0; i < 8; ++i) pairs[i] = neighbours(x[2 * i], x[2 * i + 1]);
        for (int i = 0; i < 4; ++i) pairs[i] = neighbours(pairs[2 * i], pairs[2 * i + 1]);
        for (int i = 0; i < 2; ++i) pairs[i] = neighbours(pairs[2 * i], pairs[2 * i + 1]);
        return neighbours(pairs[0], pairs[1]);
    } else if constexpr (N == 4) {
        Lanes sum = neighbours(neighbours(x[0], x[1]), neighbours(x[2], x[3]));
        sum = neighbours(sum, sum);
        return neighbours(sum, sum);
    } else {
        Lanes sum = neighbours(x[0], x[N - 1]);
        for (int level = 0; level < 3; ++level) sum = neighbours(sum, sum);
        return sum;
    }
}

INLINE float total(Lanes x) { return totals<1>(&x).of[0][0]; }

// By Cody and Waite's reduction and Cephes' polynomial: about an ulp.
INLINE Lanes exponential(Lanes x) {
    x = smaller(larger(x, lanes(-87.3f)), lanes(88.7f));
    const Lanes shifted = x * 1.44269504f + 12582912.0f;  // rounds to a whole number
    const Lanes n = shifted - 12582912.0f;
    const Lanes r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    Lanes p = 1.9875691500e-4f * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r) * r + r + 1.0f;
    return p * each<Lanes>([&](int i) {
               return (Piece)((__builtin_convertvector(n.of[i], WholePiece) + 127) << 23);
           });
}

// Of positive, normal numbers; Cephes' polynomial.
INLINE Lanes logarithm(Lanes x) {
    const Lanes half = each<Lanes>([&](int i) {  // 0.5 .. 1
        return (Piece)(((WholePiece)x.of[i] & 0x007fffff) | 0x3f000000);
    });
    const Whole low = half < lanes(0.707106781186547524f);
    const Lanes m = choose(low, half + half, half) - 1.0f, z = m * m;
    const Lanes e = each<Lanes>([&](int i) {
        return __builtin_convertvector(((WholePiece)x.of[i] >> 23) - 126 + low.of[i], Piece);
    });
    Lanes p = 7.0376836292e-2f * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    p = p * m * z + e * -2.12194440e-4f - 0.5f * z;
    return m + p + e * 0.693359375f;
}

// Near zero a polynomial, further out 1 - 2 / (exp(2 |x|) + 1).
INLINE Lanes hyperbolic_tangent(Lanes x) {
    const Lanes size = choose(x < Lanes{}, -x, x), z = x * x;
    Lanes p = -5.70498872745e-3f * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const Lanes near = p * z * x + x;
    const Lanes far = 1.0f - 2.0f / (exponential(size + size) + 1.0f);
    return choose(size < lanes(0.625f), near, choose(x < Lanes{}, -far, far));
}
