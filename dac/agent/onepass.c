/* What activation.py computes once it has the logistic function: in one pass over the values, not in one for every
 * operation. The operations are those of PyTorch's kernels, in their order and with their roundings, so that no bit
 * differs (onepass.py compares them before it uses this). */

#include <math.h>
#include <omp.h>
#include <stdint.h>

/* x <- mish(x) */
static void value_part(float *restrict x, const float *restrict s, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float u = (2.0f - s[i]) * s[i];
        x[i] = x[i] * u / (2.0f - u);
    }
}

/* value <- mish(x), s <- its derivative */
static void slope_part(const float *restrict x, float *restrict s, float *restrict value, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float u = (2.0f - s[i]) * s[i];
        float rest = 2.0f - u;
        float tanh = u / rest;
        float minus_quarter = s[i] * (u - 1.0f) / rest / rest;
        value[i] = tanh * x[i];
        s[i] = fmaf(-4.0f * x[i], minus_quarter, tanh);
    }
}

/* The values of one of several threads: `begin` is the first, `count` how many. */
#define SHARED_OUT(n, threads, ...)                                        \
    _Pragma("omp parallel num_threads(threads) if (threads > 1)") {        \
        int64_t begin = (n) * omp_get_thread_num() / omp_get_num_threads(); \
        int64_t count = (n) * (omp_get_thread_num() + 1) / omp_get_num_threads() - begin; \
        __VA_ARGS__;                                                       \
    }

void mish(float *x, const float *s, int64_t n, int threads) {
    SHARED_OUT(n, threads, value_part(x + begin, s + begin, count))
}

void mish_and_slope(const float *x, float *s, float *value, int64_t n, int threads) {
    SHARED_OUT(n, threads, slope_part(x + begin, s + begin, value + begin, count))
}
