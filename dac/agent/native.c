/* The networks of dac/agent/networks.py on a CPU: what a gradient step and an action take, a function for each, instead
 * of hundreds of PyTorch's kernels. networks.py, diffusion.py and optim.py have what they are held to.
 *
 * A network is M members of equal sizes, each a row of layers with Mish between them; run r has the members r * H to
 * (r + 1) * H. Rows are cut into blocks, whose activations stay in the cache from the first layer to the last. An
 * element of a product is one sum in the order of its terms, whatever the block, the pack or the number of threads:
 * neither changes a bit of a result. Rows of activations are as long as whole vectors, with zeros behind what is real.
 *
 * Every function but `kept` returns 0, or 1 where memory is lacking. */

#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

#if defined(__AVX512F__)
#define LANES 16
#define ROWS 12
#elif defined(__AVX__)
#define LANES 8
#define ROWS 6
#else
#define LANES 4
#define ROWS 6
#endif
#define PANEL (2 * LANES)  /* columns of a packed matrix that lie together */
#define BLOCK_FLOATS 24576 /* of a block's activations in the widest layer: 96 KB, a part of a second-level cache */

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef float memory_vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static inline vec load(const float *x) { return *(const memory_vec *)x; }
static inline void store(float *x, vec v) { *(memory_vec *)x = v; }
static inline vec all(float x) { return x - (vec){0}; }

/* The lesser and the greater of a limit and x; a NaN of x stays. */
#if defined(__AVX512F__)
static inline vec at_most(float limit, vec x) { return (vec)_mm512_min_ps((__m512)all(limit), (__m512)x); }
static inline vec at_least(float limit, vec x) { return (vec)_mm512_max_ps((__m512)all(limit), (__m512)x); }
#elif defined(__AVX__)
static inline vec at_most(float limit, vec x) { return (vec)_mm256_min_ps((__m256)all(limit), (__m256)x); }
static inline vec at_least(float limit, vec x) { return (vec)_mm256_max_ps((__m256)all(limit), (__m256)x); }
#else
static inline vec chosen(ivec mask, vec yes, vec no) { return (vec)(((ivec)yes & mask) | ((ivec)no & ~mask)); }
static inline vec at_most(float limit, vec x) { return chosen(x > limit, all(limit), x); }
static inline vec at_least(float limit, vec x) { return chosen(x < limit, all(limit), x); }
#endif

/* a * b + c, rounded once where the processor can. Nothing else is contracted (compiled.py): what the compiler would
 * choose may differ from one place to the next, and with it a row's last bit from block to block. */
#if defined(__AVX512F__)
static inline vec sum_of_product(vec a, vec b, vec c) { return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
#elif defined(__AVX__) && defined(__FMA__)
static inline vec sum_of_product(vec a, vec b, vec c) { return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
#elif defined(__ARM_NEON) && defined(__aarch64__)
static inline vec sum_of_product(vec a, vec b, vec c) {
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
#else
static inline vec sum_of_product(vec a, vec b, vec c) { return a * b + c; }
#endif

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t padded(int64_t n) { return (n + LANES - 1) / LANES * LANES; }
static float *floats(int64_t n) { return aligned_alloc(64, (n * sizeof(float) / 64 + 1) * 64); }

/* Let each of several threads do its share of `count` items. A failure of one is one of all. */
#define SHARED_OUT(count, threads, failed, ...)                                           \
    _Pragma("omp parallel num_threads(threads) if (threads > 1) reduction(| : failed)") { \
        int64_t first = (count) * omp_get_thread_num() / omp_get_num_threads();           \
        int64_t behind = (count) * (omp_get_thread_num() + 1) / omp_get_num_threads();    \
        if (first < behind) failed |= __VA_ARGS__;                                        \
    }

/* ---- Mish ------------------------------------------------------------------------------------------------------- */

/* x where e^x is a float32 number; Mish is x in float32 behind 20, and 0 before -87 */
static inline vec cut(vec x) { return at_least(-87.0f, at_most(20.0f, x)); }

/* e^x within two units of the last place, of an x that is cut; of a NaN a NaN */
static inline vec exponential(vec x) {
    vec shifted = sum_of_product(x, all(1.44269504f), all(12582912.0f)); /* 1.5 * 2^23: the last bits are the nearest */
    vec whole = shifted - 12582912.0f;                                   /* whole number */
    vec rest = sum_of_product(whole, all(-0.693359375f), x);
    rest = sum_of_product(whole, all(2.12194440e-4f), rest);
    vec p = all(1.3835643805e-3f); /* e^rest = 1 + rest + rest^2 p, within 3.3e-9 of it on |rest| <= ln(2) / 2 */
    p = sum_of_product(p, rest, all(8.3687041468e-3f));
    p = sum_of_product(p, rest, all(4.1668011505e-2f));
    p = sum_of_product(p, rest, all(1.6666520770e-1f));
    p = sum_of_product(p, rest, all(4.9999995013e-1f));
    p = sum_of_product(p, rest * rest, rest) + 1.0f;
    return (vec)((ivec)p + ((ivec)shifted << 23));
}

/* With e = e^x and w = e (e + 2): tanh(softplus(x)) = w / (w + 2), without a cancellation. */
static inline vec mish_of(vec x) {
    vec e = exponential(cut(x)), w = e * (e + 2.0f);
    return x * (w * (1.0f / (w + 2.0f))); /* as in the next one, to the bit */
}

/* Its derivative is tanh + 4 x e (e + 1) / (w + 2)^2. */
static inline vec mish_and_slope_of(vec x, vec *slope) {
    vec limited = cut(x), e = exponential(limited), w = e * (e + 2.0f), share = 1.0f / (w + 2.0f), tanh = w * share;
    *slope = sum_of_product(4.0f * limited * share, e * (e + 1.0f) * share, tanh);
    return x * tanh;
}

/* These two take whole vectors. */
static void activate(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) store(x + i, mish_of(load(x + i)));
}

static void activate_and_keep(const float *x, float *value, float *slope, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        vec derivative;
        store(value + i, mish_and_slope_of(load(x + i), &derivative));
        store(slope + i, derivative);
    }
}

static int mish_of_range(float *x, int64_t first, int64_t behind) {
    int64_t whole = first + (behind - first) / LANES * LANES;
    float rest[LANES] = {0};
    activate(x + first, whole - first);
    memcpy(rest, x + whole, (behind - whole) * sizeof(float));
    activate(rest, LANES);
    memcpy(x + whole, rest, (behind - whole) * sizeof(float));
    return 0;
}

static int mish_and_slope_of_range(const float *x, float *value, float *slope, int64_t first, int64_t behind) {
    int64_t whole = first + (behind - first) / LANES * LANES;
    float rest[LANES] = {0}, rest_value[LANES], rest_slope[LANES];
    activate_and_keep(x + first, value + first, slope + first, whole - first);
    memcpy(rest, x + whole, (behind - whole) * sizeof(float));
    activate_and_keep(rest, rest_value, rest_slope, LANES);
    memcpy(value + whole, rest_value, (behind - whole) * sizeof(float));
    memcpy(slope + whole, rest_slope, (behind - whole) * sizeof(float));
    return 0;
}

/* x (n,) <- mish(x) */
int mish(float *x, int64_t n, int threads) {
    int failed = 0;
    SHARED_OUT(n, threads, failed, mish_of_range(x, first, behind))
    return failed;
}

/* mish(x) and its derivative, each (n,) */
int mish_and_slope(const float *x, float *value, float *slope, int64_t n, int threads) {
    int failed = 0;
    SHARED_OUT(n, threads, failed, mish_and_slope_of_range(x, value, slope, first, behind))
    return failed;
}

/* ---- Products --------------------------------------------------------------------------------------------------- */

/* c (R, columns of a panel) += a (R, depth) times a panel (depth, its columns); a's (i, k) is a[i row + k step] */
#define PRODUCT_TWO(R)                                                                                              \
    static void two_##R(int64_t depth, const float *restrict a, int64_t row, int64_t step, const float *restrict b, \
                        float *restrict c, int64_t width) {                                                         \
        vec left[R], right[R];                                                                                      \
        _Pragma("GCC unroll 16") for (int i = 0; i < R; i++) {                                                      \
            left[i] = load(c + i * width);                                                                          \
            right[i] = load(c + i * width + LANES);                                                                 \
        }                                                                                                           \
        for (int64_t k = 0; k < depth; k++, b += PANEL) {                                                           \
            vec b0 = load(b), b1 = load(b + LANES);                                                                 \
            _Pragma("GCC unroll 16") for (int i = 0; i < R; i++) {                                                  \
                vec x = all(a[i * row + k * step]);                                                                 \
                left[i] = sum_of_product(x, b0, left[i]);                                                           \
                right[i] = sum_of_product(x, b1, right[i]);                                                         \
            }                                                                                                       \
        }                                                                                                           \
        _Pragma("GCC unroll 16") for (int i = 0; i < R; i++) {                                                      \
            store(c + i * width, left[i]);                                                                          \
            store(c + i * width + LANES, right[i]);                                                                 \
        }                                                                                                           \
    }

#define PRODUCT_ONE(R)                                                                                              \
    static void one_##R(int64_t depth, const float *restrict a, int64_t row, int64_t step, const float *restrict b, \
                        float *restrict c, int64_t width) {                                                         \
        vec sum[R];                                                                                                 \
        _Pragma("GCC unroll 16") for (int i = 0; i < R; i++) sum[i] = load(c + i * width);                          \
        for (int64_t k = 0; k < depth; k++, b += LANES) {                                                           \
            vec b0 = load(b);                                                                                       \
            _Pragma("GCC unroll 16") for (int i = 0; i < R; i++) sum[i] =                                           \
                sum_of_product(all(a[i * row + k * step]), b0, sum[i]);                                             \
        }                                                                                                           \
        _Pragma("GCC unroll 16") for (int i = 0; i < R; i++) store(c + i * width, sum[i]);                          \
    }

#define UP_TO_6(F) F(1) F(2) F(3) F(4) F(5) F(6)
#define FROM_7_TO_12(F) F(7) F(8) F(9) F(10) F(11) F(12)
#define TWO(R) two_##R,
#define ONE(R) one_##R,
typedef void product(int64_t, const float *, int64_t, int64_t, const float *, float *, int64_t);

UP_TO_6(PRODUCT_TWO)
UP_TO_6(PRODUCT_ONE)
#if ROWS == 12
FROM_7_TO_12(PRODUCT_TWO)
FROM_7_TO_12(PRODUCT_ONE)
static product *const panels_of_two[] = {UP_TO_6(TWO) FROM_7_TO_12(TWO)}, *const panels_of_one[] = {
                                                                              UP_TO_6(ONE) FROM_7_TO_12(ONE)};
#else
static product *const panels_of_two[] = {UP_TO_6(TWO)}, *const panels_of_one[] = {UP_TO_6(ONE)};
#endif

/* Rows that a product takes at once: their elements (i, k) are at[i row + k step], of the next ones beyond `ahead` */
typedef struct {
    const float *at;
    int64_t row, step, ahead;
} Left;

/* c (rows, width) += a (rows, depth) times a packed matrix (depth, width); width: whole vectors, also of c's rows */
static void add_product(int64_t rows, int64_t depth, int64_t width, Left a, const float *packed, float *c) {
    for (int64_t j = 0; j < width; j += PANEL) {
        product *const *products = width - j > LANES ? panels_of_two : panels_of_one;
        for (int64_t i = 0; i < rows; i += ROWS)
            products[least(ROWS, rows - i) - 1](depth, a.at + i / ROWS * a.ahead, a.row, a.step, packed + j * depth,
                                                c + i * width + j, width);
    }
}

/* The rows of a matrix that follow each other at a distance */
static Left rows_of(const float *a, int64_t distance) { return (Left){a, distance, 1, ROWS * distance}; }

/* Copy so many floats, of whole vectors mostly: a copy of a constant length is no call. */
static inline void copy(float *to, const float *from, int64_t count, int64_t whole) {
    if (count == whole)
        memcpy(to, from, whole * sizeof(float));
    else
        memcpy(to, from, count * sizeof(float));
}

/* The columns of a matrix (depth, columns) as rows, copied so that those taken at once lie together */
static Left columns_of(int64_t depth, int64_t columns, const float *a, int64_t distance, float *copied) {
    for (int64_t j = 0; j < columns; j += ROWS)
        for (int64_t k = 0; k < depth; k++)
            copy(copied + j * depth + k * ROWS, a + k * distance + j, least(ROWS, columns - j), ROWS);
    return (Left){copied, 1, ROWS, ROWS * depth};
}

/* Lay a matrix (depth, columns) with rows at a distance out as panels. Returns what is behind them. */
static float *pack(int64_t depth, int64_t columns, const float *b, int64_t distance, float *packed) {
    for (int64_t j = 0; j < padded(columns); j += PANEL) {
        int64_t wide = padded(columns) - j > LANES ? PANEL : LANES, real = least(wide, columns - j);
        for (int64_t k = 0; k < depth; k++, packed += wide) {
            copy(packed, b + k * distance + j, real, PANEL);
            for (int64_t i = real; i < wide; i++) packed[i] = 0.0f;
        }
    }
    return packed;
}

/* Elements of two vectors by turns: those of their first halves, and of their second ones */
#if LANES == 16
#define FIRST_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define SECOND_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define FIRST_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define SECOND_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#else
#define FIRST_HALVES 0, 4, 1, 5
#define SECOND_HALVES 2, 6, 3, 7
#endif
#if defined(__clang__)
#define MIXED(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define MIXED(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif

/* Transpose a square of LANES rows at a distance; the transposed ones have another one. */
static inline void transpose(const float *from, int64_t distance, float *to, int64_t new_distance) {
    vec rows[LANES], mixed[LANES];
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) rows[i] = load(from + i * distance);
    _Pragma("GCC unroll 4") for (int count = LANES; count > 1; count /= 2) {
        _Pragma("GCC unroll 8") for (int i = 0; i < LANES / 2; i++) {
            mixed[2 * i] = MIXED(rows[i], rows[i + LANES / 2], FIRST_HALVES);
            mixed[2 * i + 1] = MIXED(rows[i], rows[i + LANES / 2], SECOND_HALVES);
        }
        _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) rows[i] = mixed[i];
    }
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) store(to + i * new_distance, rows[i]);
}

/* The transpose of a matrix (columns, depth), likewise */
static void pack_transposed(int64_t depth, int64_t columns, const float *b, float *packed) {
    for (int64_t j = 0; j < padded(columns); j += PANEL) {
        int64_t wide = padded(columns) - j > LANES ? PANEL : LANES;
        for (int64_t i = 0; i < wide; i += LANES) {
            int64_t squares = j + i + LANES <= columns ? depth / LANES * LANES : 0;
            const float *rows = b + (j + i) * depth;
            for (int64_t k = 0; k < squares; k += LANES) transpose(rows + k, depth, packed + k * wide + i, wide);
            for (int64_t column = i; column < i + LANES; column++)
                for (int64_t k = squares; k < depth; k++)
                    packed[k * wide + column] = j + column < columns ? b[(j + column) * depth + k] : 0.0f;
        }
        packed += depth * wide;
    }
}

/* ---- Networks ---------------------------------------------------------------------------------------------------- */

typedef struct {
    int64_t members, layers;
    const int64_t *sizes;                    /* of the input and of every layer's output */
    const int64_t *kernels, *kernel_strides; /* of a layer: the first member's address, and floats to the next one's */
    const int64_t *biases, *bias_strides;
} Network;

static Network described(const int64_t *d) {
    Network net;
    net.members = d[0], net.layers = d[1], net.sizes = d + 2;
    net.kernels = net.sizes + net.layers + 1;
    net.kernel_strides = net.kernels + net.layers;
    net.biases = net.kernel_strides + net.layers;
    net.bias_strides = net.biases + net.layers;
    return net;
}

static const float *kernel_of(const Network *net, int64_t layer, int64_t member) {
    return (const float *)(intptr_t)net->kernels[layer] + member * net->kernel_strides[layer];
}
static const float *bias_of(const Network *net, int64_t layer, int64_t member) {
    return (const float *)(intptr_t)net->biases[layer] + member * net->bias_strides[layer];
}
static int64_t width_of(const Network *net, int64_t layer) {
    return padded(net->sizes[layer + 1]);
} /* a layer's rows */

static int64_t widest(const Network *net) {
    int64_t found = 0;
    for (int64_t l = 0; l < net->layers; l++) found = width_of(net, l) > found ? width_of(net, l) : found;
    return found;
}
static int64_t packed_floats(const Network *net) {
    int64_t n = 0;
    for (int64_t l = 0; l < net->layers; l++) n += (net->sizes[l] + 1) * width_of(net, l);
    return n;
}
static int64_t block_rows(const Network *net) { return BLOCK_FLOATS / widest(net) + 1; }

/* A layer's bias as a row, and behind it its kernel's rows as panels. Returns what is behind them. */
static float *pack_layer(const Network *net, int64_t layer, int64_t member, int64_t first, int64_t count,
                         float *packed) {
    int64_t outputs = net->sizes[layer + 1];
    memset(packed, 0, width_of(net, layer) * sizeof(float));
    memcpy(packed, bias_of(net, layer, member), outputs * sizeof(float));
    return pack(count, outputs, kernel_of(net, layer, member) + first * outputs, outputs,
                packed + width_of(net, layer));
}
static void pack_behind_first(const Network *net, int64_t member, float *packed) {
    for (int64_t l = 1; l < net->layers; l++) packed = pack_layer(net, l, member, 0, net->sizes[l], packed);
}

static void fill_rows(int64_t rows, int64_t width, const float *row, float *c) {
    for (int64_t i = 0; i < rows; i++) memcpy(c + i * width, row, width * sizeof(float));
}

/* All layers behind the first, from its output in `hidden`; `packed` is of `pack_behind_first`. Returns the buffer of
 * the two that the last one's output is in. */
static float *behind_first(const Network *net, const float *packed, int64_t rows, float *hidden, float *other) {
    for (int64_t l = 1; l < net->layers; l++) {
        int64_t width = width_of(net, l), before = width_of(net, l - 1);
        activate(hidden, rows * before);
        fill_rows(rows, width, packed, other);
        add_product(rows, net->sizes[l], width, rows_of(hidden, before), packed + width, other);
        packed += (net->sizes[l] + 1) * width;
        float *swapped = hidden;
        hidden = other, other = swapped;
    }
    return hidden;
}

/* ---- Without a gradient: several rows a state, whose part of the first layer is computed once -------------------- */

typedef struct {
    Network net;
    int64_t ensemble, states, samples, observation, action; /* H, b, m, O, A */
    const float *observations;                              /* (R, b, O) */
    int64_t in_block;                                       /* states */
} States;

typedef struct {
    float *all, *state_kernel, *action_kernel, *packed, *shared, *hidden, *other, *x;
} StateBuffers;

static States states_of(const int64_t *d, int64_t ensemble, int64_t states, int64_t samples, int64_t observation,
                        int64_t action, const float *observations) {
    States s = {described(d), ensemble, states, samples, observation, action, observations, 0};
    s.in_block = block_rows(&s.net) / samples + 1;
    return s;
}
static int64_t items_of(const States *s) { return s->net.members * ((s->states + s->in_block - 1) / s->in_block); }

static StateBuffers state_buffers(const States *s) {
    int64_t width = width_of(&s->net, 0), rows = s->in_block * s->samples, n = widest(&s->net);
    int64_t sizes[] = {(s->observation + 1) * width,
                       (s->action + 1) * width,
                       packed_floats(&s->net),
                       s->in_block * width,
                       rows * n,
                       rows * n,
                       rows * s->action},
            total = 0;
    for (int i = 0; i < 7; i++) total += padded(sizes[i]);
    StateBuffers b;
    b.all = floats(total);
    float **parts[] = {&b.state_kernel, &b.action_kernel, &b.packed, &b.shared, &b.hidden, &b.other, &b.x},
          *next = b.all;
    for (int i = 0; i < 7; i++) *parts[i] = next, next += padded(sizes[i]);
    return b;
}

static void pack_states_network(const States *s, int64_t member, StateBuffers *b) {
    pack_layer(&s->net, 0, member, 0, s->observation, b->state_kernel);
    pack_layer(&s->net, 0, member, s->observation, s->action, b->action_kernel);
    pack_behind_first(&s->net, member, b->packed);
}

/* The observations' part of the first layer, its bias included, of a block's states */
static void share(const States *s, int64_t run, int64_t state, int64_t count, StateBuffers *b) {
    int64_t width = width_of(&s->net, 0);
    fill_rows(count, width, b->state_kernel, b->shared);
    const float *observations = s->observations + (run * s->states + state) * s->observation;
    add_product(count, s->observation, width, rows_of(observations, s->observation), b->state_kernel + width,
                b->shared);
}

/* The network's output for x (rows, A), with `time` (may be NULL) added to the first layer's; returns its rows */
static float *of_actions(const States *s, int64_t count, const float *x, const float *time, StateBuffers *b) {
    int64_t width = width_of(&s->net, 0), real = s->net.sizes[1];
    for (int64_t i = 0; i < count; i++) {
        float *row = b->hidden + i * s->samples * width;
        memcpy(row, b->shared + i * width, width * sizeof(float));
        for (int64_t j = 0; time && j < real; j++) row[j] += time[j];
        for (int64_t m = 1; m < s->samples; m++) memcpy(row + m * width, row, width * sizeof(float));
    }
    add_product(count * s->samples, s->action, width, rows_of(x, s->action), b->action_kernel + width, b->hidden);
    return behind_first(&s->net, b->packed, count * s->samples, b->hidden, b->other);
}

static int values_of_items(const States *s, const float *actions, float *values, int64_t first, int64_t behind) {
    StateBuffers b = state_buffers(s);
    if (!b.all) return 1;
    int64_t blocks = items_of(s) / s->net.members, rows_of_run = s->states * s->samples;
    int64_t width = width_of(&s->net, s->net.layers - 1), real = s->net.sizes[s->net.layers];
    for (int64_t item = first; item < behind; item++) {
        int64_t member = item / blocks, state = item % blocks * s->in_block, run = member / s->ensemble;
        int64_t count = least(s->in_block, s->states - state), row = state * s->samples;
        if (item == first || state == 0) pack_states_network(s, member, &b);
        share(s, run, state, count, &b);
        const float *out = of_actions(s, count, actions + (run * rows_of_run + row) * s->action, NULL, &b);
        for (int64_t i = 0; i < count * s->samples; i++)
            memcpy(values + (member * rows_of_run + row + i) * real, out + i * width, real * sizeof(float));
    }
    free(b.all);
    return 0;
}

/* Outputs (M, b * m, their last size) of critics at the actions (R, b * m, A) */
int values(const int64_t *net, int64_t ensemble, int64_t states, int64_t samples, int64_t observation, int64_t action,
           const float *observations, const float *actions, float *found, int threads) {
    States s = states_of(net, ensemble, states, samples, observation, action, observations);
    int failed = 0;
    SHARED_OUT(items_of(&s), threads, failed, values_of_items(&s, actions, found, first, behind))
    return failed;
}

/* Steps of a reverse process, from the prior (R, rows, A) on */
typedef struct {
    int64_t steps, times;   /* visited, and T */
    const int64_t *visited; /* (steps,) t - 1 */
    const float *numbers;   /* (steps, 5): noise, signal, clean, kept, spread of diffusion.ReverseStep */
    Network time;           /* embeds the times, for the last rows of the noise predictor's first kernel */
    const float *features;  /* (T, its inputs) */
    int clip;
    const float *prior, *z; /* z (R, ?, rows, A) is read where a step spreads */
    int64_t prior_run, z_run, z_step;
} Process;

/* x (rows, size) <- the next x of a step; the prediction's rows are `width` long */
static void next_x(const Process *p, int64_t step, int64_t rows, int64_t size, const float *prediction, int64_t width,
                   const float *z, float *x) {
    const float *number = p->numbers + 5 * step;
    for (int64_t row = 0; row < rows; row++, x += size, prediction += width)
        for (int64_t i = 0; i < size; i++) {
            float clean = (x[i] - number[0] * prediction[i]) / number[1];
            if (p->clip) clean = clean > 1.0f ? 1.0f : clean < -1.0f ? -1.0f : clean;
            float next = clean * number[2];
            if (number[3] != 0.0f) next += number[3] * x[i];
            x[i] = number[4] != 0.0f ? next + number[4] * z[row * size + i] : next;
        }
}

/* What the times 1..T add to a run's first layer: rows (T, its width). Returns 1 where memory is lacking. */
static int time_part(const States *s, const Process *p, int64_t run, float *part) {
    const Network *time = &p->time;
    int64_t n = p->times, most = widest(time), embedding = time->sizes[time->layers], width = width_of(&s->net, 0);
    int64_t first = padded(packed_floats(time)), rows = padded(n * most);
    float *packed = floats(first + (embedding + 1) * width + 2 * rows);
    if (!packed) return 1;
    float *noise = packed + first, *hidden = noise + (embedding + 1) * width;
    pack_behind_first(time, run, pack_layer(time, 0, run, 0, time->sizes[0], packed));
    pack_layer(&s->net, 0, run, s->observation + s->action, embedding, noise);
    fill_rows(n, width_of(time, 0), packed, hidden);
    add_product(n, time->sizes[0], width_of(time, 0), rows_of(p->features, time->sizes[0]), packed + width_of(time, 0),
                hidden);
    const float *behind = packed + (time->sizes[0] + 1) * width_of(time, 0);
    const float *embedded = behind_first(time, behind, n, hidden, hidden + rows);
    memset(part, 0, n * width * sizeof(float));
    add_product(n, embedding, width, rows_of(embedded, width_of(time, time->layers - 1)), noise + width, part);
    free(packed);
    return 0;
}

static int samples_of_items(const States *s, const Process *p, float *actions, int64_t first, int64_t behind) {
    StateBuffers b = state_buffers(s);
    float *part = floats(p->times * width_of(&s->net, 0));
    int failed = !b.all || !part;
    int64_t blocks = items_of(s) / s->net.members, rows_of_run = s->states * s->samples,
            width = width_of(&s->net, s->net.layers - 1);
    for (int64_t item = first; item < behind && !failed; item++) {
        int64_t run = item / blocks, state = item % blocks * s->in_block, count = least(s->in_block, s->states - state);
        int64_t begin = state * s->samples * s->action, n = count * s->samples * s->action;
        if (item == first || state == 0) {
            pack_states_network(s, run, &b);
            failed |= time_part(s, p, run, part);
            if (failed) break;
        }
        share(s, run, state, count, &b);
        memcpy(b.x, p->prior + run * p->prior_run + begin, n * sizeof(float));
        for (int64_t step = 0; step < p->steps; step++) {
            const float *time = part + p->visited[step] * width_of(&s->net, 0);
            const float *prediction = of_actions(s, count, b.x, time, &b);
            const float *z = p->z ? p->z + run * p->z_run + step * p->z_step + begin : NULL;
            next_x(p, step, count * s->samples, s->action, prediction, width, z, b.x);
        }
        memcpy(actions + run * rows_of_run * s->action + begin, b.x, n * sizeof(float));
    }
    free(b.all), free(part);
    return failed;
}

/* Actions (R, b * m, A) of a reverse process with the noise predictor `net` */
int sample(const int64_t *net, int64_t states, int64_t samples, int64_t observation, int64_t action,
           const float *observations, int64_t steps, int64_t times, const int64_t *visited, const float *numbers,
           const int64_t *time, const float *features, int clip, const float *prior, int64_t prior_run, const float *z,
           int64_t z_run, int64_t z_step, float *actions, int threads) {
    States s = states_of(net, 1, states, samples, observation, action, observations);
    Process p = {steps, times, visited, numbers, described(time), features, clip, prior, z, prior_run, z_run, z_step};
    int failed = 0;
    SHARED_OUT(items_of(&s), threads, failed, samples_of_items(&s, &p, actions, first, behind))
    return failed;
}

/* ---- With a gradient: a row of the input is [part 0, part 1, ...] ------------------------------------------------ */

typedef struct {
    Network net;
    int64_t ensemble, rows; /* H, n */
    int64_t parts;
    const int64_t *part, *part_width; /* addresses of (R, n, its width) */
    float *inputs;                    /* (R, n, all parts' widths) */
    float *kept; /* of a member: for every layer but the last, activations (n, its width), slopes likewise */
} Rows;

static int64_t kept_floats(const Rows *r) {
    int64_t n = 0;
    for (int64_t l = 0; l < r->net.layers - 1; l++) n += 2 * r->rows * width_of(&r->net, l);
    return n;
}

/* Floats that `forward` keeps of all members */
int64_t kept(const int64_t *net, int64_t rows) {
    Rows r = {described(net), 1, rows, 0, NULL, NULL, NULL, NULL};
    return r.net.members * kept_floats(&r);
}

static void gather(const Rows *r, int64_t run, int64_t first, int64_t count, float *x) {
    int64_t size = r->net.sizes[0], column = 0;
    for (int64_t p = 0; p < r->parts; column += r->part_width[p], p++) {
        const float *part = (const float *)(intptr_t)r->part[p] + (run * r->rows + first) * r->part_width[p];
        for (int64_t i = 0; i < count; i++)
            memcpy(x + i * size + column, part + i * r->part_width[p], r->part_width[p] * sizeof(float));
    }
}

static int outputs_of_items(const Rows *r, float *outputs, int64_t block, int64_t first, int64_t behind) {
    const Network *net = &r->net;
    int64_t blocks = (r->rows + block - 1) / block, last = net->layers - 1, size = net->sizes[0];
    float *buffer = floats(packed_floats(net) + block * widest(net) + block * size);
    if (!buffer) return 1;
    float *hidden = buffer + packed_floats(net), *x = hidden + block * widest(net);
    for (int64_t item = first; item < behind; item++) {
        int64_t member = item / blocks, row = item % blocks * block, count = least(block, r->rows - row),
                run = member / r->ensemble;
        float *packed = buffer, *kept = r->kept + member * kept_floats(r);
        if (item == first || row == 0)
            for (int64_t l = 0; l < net->layers; l++) packed = pack_layer(net, l, member, 0, net->sizes[l], packed);
        gather(r, run, row, count, x);
        if (member % r->ensemble == 0)
            memcpy(r->inputs + (run * r->rows + row) * size, x, count * size * sizeof(float));
        const float *input = x;
        int64_t input_width = size;
        packed = buffer;
        for (int64_t l = 0; l < net->layers; l++) {
            int64_t width = width_of(net, l);
            fill_rows(count, width, packed, hidden);
            add_product(count, net->sizes[l], width, rows_of(input, input_width), packed + width, hidden);
            packed += (net->sizes[l] + 1) * width;
            if (l == last) break;
            activate_and_keep(hidden, kept + row * width, kept + (r->rows + row) * width, count * width);
            input = kept + row * width, input_width = width;
            kept += 2 * r->rows * width;
        }
        int64_t real = net->sizes[last + 1];
        for (int64_t i = 0; i < count; i++)
            memcpy(outputs + (member * r->rows + row + i) * real, hidden + i * width_of(net, last),
                   real * sizeof(float));
    }
    free(buffer);
    return 0;
}

/* Outputs (M, n, its last size) of every member, and what `backward` needs */
int forward(const int64_t *net, int64_t ensemble, int64_t rows, int64_t parts, const int64_t *part,
            const int64_t *part_width, float *inputs, float *kept, float *outputs, int threads) {
    Rows r = {described(net), ensemble, rows, parts, part, part_width, inputs, kept};
    int64_t block = block_rows(&r.net);
    int failed = 0;
    SHARED_OUT(r.net.members * ((rows + block - 1) / block), threads, failed,
               outputs_of_items(&r, outputs, block, first, behind))
    return failed;
}

typedef struct {
    const float *outputs;      /* the loss's gradient (M, n, last size) */
    int64_t parameters, found; /* addresses of all parameters and of their gradient, laid out alike; 0: not wanted */
    int64_t first_column, columns; /* of the input's gradient */
    float *inputs;                 /* (M, n, columns) */
} Gradients;

static float *gradient_of(const Gradients *g, const float *parameter) {
    return (float *)(intptr_t)(g->found + ((intptr_t)parameter - g->parameters));
}

/* gradient (in, out) of a kernel and its bias's (out,), from the layer's input and the gradient of its output */
static void layer_gradients(const Rows *r, int64_t layer, const float *input, int64_t input_width, const float *delta,
                            float *packed, float *copied, float *sums, float *kernel, float *bias) {
    int64_t width = width_of(&r->net, layer), in = r->net.sizes[layer], out = r->net.sizes[layer + 1];
    pack(r->rows, width, delta, width, packed);
    float *c = out == width ? kernel : sums;
    memset(c, 0, in * width * sizeof(float));
    add_product(in, r->rows, width, columns_of(r->rows, in, input, input_width, copied), packed, c);
    for (int64_t i = 0; c == sums && i < in; i++) memcpy(kernel + i * out, sums + i * width, out * sizeof(float));
    memset(sums, 0, width * sizeof(float));
    for (int64_t i = 0; i < r->rows; i++)
        for (int64_t j = 0; j < width; j++) sums[j] += delta[i * width + j];
    memcpy(bias, sums, out * sizeof(float));
}

static int gradients_of_items(const Rows *r, const Gradients *g, int64_t first, int64_t behind) {
    const Network *net = &r->net;
    int64_t n = r->rows, most = widest(net), last = net->layers - 1,
            deepest = most > padded(net->sizes[0]) ? most : padded(net->sizes[0]);
    float *buffer = floats(2 * n * deepest + 2 * deepest * deepest + n * most + n * (deepest + ROWS));
    if (!buffer) return 1;
    float *sums = buffer + 2 * n * deepest, *packed = sums + deepest * deepest;
    float *copied = packed + deepest * deepest + n * most;
    for (int64_t member = first; member < behind; member++) {
        float *delta = buffer, *before = buffer + n * deepest, *kept = r->kept + (member + 1) * kept_floats(r);
        int64_t width = width_of(net, last), real = net->sizes[last + 1];
        memset(delta, 0, n * width * sizeof(float));
        for (int64_t i = 0; i < n; i++)
            memcpy(delta + i * width, g->outputs + (member * n + i) * real, real * sizeof(float));
        for (int64_t l = last; l >= 0; l--) {
            int64_t in = net->sizes[l], out = net->sizes[l + 1], input_width = l ? width_of(net, l - 1) : in;
            if (l) kept -= 2 * n * input_width;
            if (g->found)
                layer_gradients(r, l, l ? kept : r->inputs + member / r->ensemble * n * in, input_width, delta, packed,
                                copied, sums, gradient_of(g, kernel_of(net, l, member)),
                                gradient_of(g, bias_of(net, l, member)));
            int64_t column = l ? 0 : g->first_column, columns = l ? in : g->columns;
            if (!columns) break;
            pack_transposed(out, columns, kernel_of(net, l, member) + column * out, packed);
            memset(before, 0, n * padded(columns) * sizeof(float));
            add_product(n, out, padded(columns), rows_of(delta, width_of(net, l)), packed, before);
            const float *slope = kept + n * input_width;
            for (int64_t i = 0; l && i < n * input_width; i++) before[i] *= slope[i];
            float *swapped = delta;
            delta = before, before = swapped;
        }
        for (int64_t i = 0; g->columns && i < n; i++)
            memcpy(g->inputs + (member * n + i) * g->columns, delta + i * padded(g->columns),
                   g->columns * sizeof(float));
    }
    free(buffer);
    return 0;
}

/* Gradients from what `forward` kept: of all kernels and biases, and of some columns of every member's input */
int backward(const int64_t *net, int64_t ensemble, int64_t rows, float *inputs, float *kept, const float *of_outputs,
             int64_t parameters, int64_t found, int64_t first_column, int64_t columns, float *of_inputs, int threads) {
    Rows r = {described(net), ensemble, rows, 0, NULL, NULL, inputs, kept};
    Gradients g = {of_outputs, parameters, found, first_column, columns, of_inputs};
    int failed = 0;
    SHARED_OUT(r.net.members, threads, failed, gradients_of_items(&r, &g, first, behind))
    return failed;
}

/* ---- The optimiser ----------------------------------------------------------------------------------------------- */

#define CHUNK 16384 /* parameters whose squares are added up together, by whatever thread */

static int64_t chunks(int64_t n) { return (n + CHUNK - 1) / CHUNK; }

static int squares_of_items(int64_t n, const float *gradient, double *sums, int64_t first, int64_t behind) {
    for (int64_t item = first; item < behind; item++) {
        const float *g = gradient + item / chunks(n) * n + item % chunks(n) * CHUNK;
        int64_t count = least(CHUNK, n - item % chunks(n) * CHUNK), whole = count / LANES * LANES;
        vec lanes = {0};
        for (int64_t i = 0; i < whole; i += LANES) lanes += load(g + i) * load(g + i);
        double sum = 0.0;
        for (int i = 0; i < LANES; i++) sum += lanes[i];
        for (int64_t i = whole; i < count; i++) sum += g[i] * g[i];
        sums[item] = sum;
    }
    return 0;
}

typedef struct {
    float decay1, decay2; /* 1 - beta */
    float scale2;         /* the root of the second moment's correction */
    float epsilon, rate;  /* lr / the first moment's correction */
} Rates;

static void adam_of_chunk(int64_t count, const Rates *r, float clip, const float *restrict gradient,
                          float *restrict parameters, float *restrict moment1, float *restrict moment2) {
    for (int64_t i = 0; i < count; i++) {
        float g = gradient[i] * clip;
        moment1[i] += r->decay1 * (g - moment1[i]);
        moment2[i] += r->decay2 * (g * g - moment2[i]);
        parameters[i] -= r->rate * (moment1[i] / (__builtin_sqrtf(moment2[i]) / r->scale2 + r->epsilon));
    }
}

static int adam_of_items(int64_t n, const Rates *rates, const float *clips, const unsigned char *active,
                         const float *gradient, float *parameters, float *moment1, float *moment2, int64_t first,
                         int64_t behind) {
    for (int64_t item = first; item < behind; item++) {
        int64_t run = item / chunks(n), begin = item % chunks(n) * CHUNK, at = run * n + begin;
        if (active[run])
            adam_of_chunk(least(CHUNK, n - begin), rates, clips[run], gradient + at, parameters + at, moment1 + at,
                          moment2 + at);
    }
    return 0;
}

/* A clipped step of Adam on the parameters (R, n) of the active runs; one whose loss or gradient is not finite ceases
 * to be */
int descend(int64_t runs, int64_t n, float *parameters, const float *gradient, float *moment1, float *moment2,
            const float *loss, unsigned char *active, double max_norm, double decay1, double decay2, double scale2,
            double epsilon, double rate, int threads) {
    Rates rates = {decay1, decay2, scale2, epsilon, rate};
    int64_t items = runs * chunks(n);
    double *sums = malloc(items * sizeof(double));
    float *clips = malloc(runs * sizeof(float));
    int failed = !sums || !clips;
    if (!failed) {
        SHARED_OUT(items, threads, failed, squares_of_items(n, gradient, sums, first, behind))
        for (int64_t run = 0; run < runs; run++) {
            double sum = 0.0;
            for (int64_t i = 0; i < chunks(n); i++) sum += sums[run * chunks(n) + i];
            float norm = __builtin_sqrt(sum);
            clips[run] = norm > max_norm ? max_norm / norm : 1.0;
            active[run] &= __builtin_isfinite(norm) && __builtin_isfinite(loss[run]);
        }
        SHARED_OUT(items, threads, failed,
                   adam_of_items(n, &rates, clips, active, gradient, parameters, moment1, moment2, first, behind))
    }
    free(sums), free(clips);
    return failed;
}

static int follow_of_items(int64_t n, const float *restrict online, float *restrict target, const unsigned char *active,
                           float rate, int64_t first, int64_t behind) {
    for (int64_t item = first; item < behind; item++) {
        int64_t run = item / chunks(n), begin = run * n + item % chunks(n) * CHUNK;
        int64_t end = begin + least(CHUNK, n - item % chunks(n) * CHUNK);
        for (int64_t i = begin; active[run] && i < end; i++) {
            float way = online[i] - target[i]; /* at a rate of 1 the target is the online parameter, to the bit */
            target[i] = rate < 0.5f ? target[i] + rate * way : online[i] - (1.0f - rate) * way;
        }
    }
    return 0;
}

/* Move the targets (R, n) of the active runs towards the online parameters */
int follow(int64_t runs, int64_t n, const float *online, float *target, const unsigned char *active, double rate,
           int threads) {
    int failed = 0;
    SHARED_OUT(runs * chunks(n), threads, failed, follow_of_items(n, online, target, active, rate, first, behind))
    return failed;
}
