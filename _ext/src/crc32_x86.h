/* CRC-32 by carry-less multiplication on x86-64, included by crc32.c only.
 *
 * A polynomial is folded: bytes of state are multiplied by x^D, modulo the CRC's polynomial but not yet reduced, and
 * added to the bytes that come D bits later (Gopal et al., "Fast CRC computation for generic polynomials using
 * PCLMULQDQ"). D may be any number of bits, so odd bytes are folded first: a block that holds only the first n % W bytes
 * is folded into the whole blocks, and nothing is left at the end. The last blocks are not folded into each other but
 * all at once to the end, each by constants of its own. Bits are reversed, so a constant for x^n is (x^n mod P) << 1. */

#include <immintrin.h>

#define T128 __attribute__((target("pclmul,sse4.1")))
#define T256 __attribute__((target("avx2,pclmul,vpclmulqdq")))
#define T512 __attribute__((target("avx512f,avx512vl,avx512bw,avx2,bmi2,pclmul,vpclmulqdq")))
#define INLINE __attribute__((always_inline)) static inline

/* x^(D+32), x^(D-32) for the halves of 16 bytes folded over a distance of D bits. */
typedef struct {
    uint64_t first, second;
} Factors;

/* For distances from -8 to 64 bytes; a block whose first byte is n bytes before the end needs those of n - 8 to become a
 * part of the 96 bits that are reduced last. */
enum { NEGATIVE = 8, NEAR = 65 };
static Factors near_factors[NEGATIVE + NEAR];
#define OVER(bytes) (&near_factors[NEGATIVE + (bytes)])
#define OVER_TO_END(bytes) OVER((ptrdiff_t)(bytes)-8)

/* For the last blocks: those of 16 bytes that begin n bytes before the end are n bytes before the end of this. */
enum { LAST = 28 };
static Factors last_factors[LAST] __attribute__((aligned(64)));
#define LAST_BLOCKS(bytes) ((const unsigned char *)(last_factors + LAST) - (bytes))

static Factors far_factors[2]; /* for 128 and 256 bytes */

/* P, and floor(x^96 / P) without its last term, which no result depends on. */
static uint64_t barrett[2] = {0x1DB710641, 0};

/* Read from byte 32 - n on: a mask that leaves the first n bytes. */
static const unsigned char first_bytes[64] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
};

static Factors factors_over(unsigned bytes)
{
    Factors factors = {(uint64_t)power_of_x(8 * bytes + 32) << 1, (uint64_t)power_of_x(8 * bytes - 32) << 1};
    return factors;
}

static void make_fold_constants(void)
{
    /* x^(2^32 - 1) is 1: where exponents begin below zero. */
    uint32_t first = power_of_x(UINT32_MAX - 8 * NEGATIVE + 32), second = power_of_x(UINT32_MAX - 8 * NEGATIVE - 32);
    for (int i = 0; i < NEGATIVE + NEAR; i++) {
        near_factors[i].first = (uint64_t)first << 1;
        near_factors[i].second = (uint64_t)second << 1;
        first = multiply(first, X_TO_8);
        second = multiply(second, X_TO_8);
    }
    for (unsigned i = 0; i < LAST; i++)
        last_factors[LAST - 1 - i] = factors_over(16 * i + 8);
    far_factors[0] = factors_over(128);
    far_factors[1] = factors_over(256);
    /* The quotient has a term where the remainder so far, times x, has one of x^32. */
    uint32_t remainder = power_of_x(31);
    for (int bit = 0; bit < 64; bit++) {
        barrett[1] |= (uint64_t)(remainder & 1) << bit;
        remainder = multiply(remainder, X_TO_1);
    }
}

/* The low 96 bits of v modulo P (Barrett). */
T128 INLINE uint32_t reduce96(__m128i v)
{
    const __m128i p_mu = _mm_loadu_si128((const __m128i *)barrett);
    __m128i quotient = _mm_clmulepi64_si128(v, p_mu, 0x10);

    v = _mm_xor_si128(v, _mm_clmulepi64_si128(quotient, p_mu, 0x00));
    return (uint32_t)_mm_extract_epi32(v, 2);
}

T128 INLINE __m128i load_128(const unsigned char *p, unsigned char *copy)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    if (copy)
        _mm_storeu_si128((__m128i *)copy, v);
    return v;
}

T256 INLINE __m256i load_256(const unsigned char *p, unsigned char *copy)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)p);
    if (copy)
        _mm256_storeu_si256((__m256i *)copy, v);
    return v;
}

T512 INLINE __m512i load_512(const unsigned char *p, unsigned char *copy)
{
    __m512i v = _mm512_loadu_si512(p);
    if (copy)
        _mm512_storeu_si512(copy, v);
    return v;
}

/* The first n bytes at p, which more follow, and the CRC so far. A copy is written whole: the rest comes after it. */
T128 INLINE __m128i begin_128(uint32_t crc, const unsigned char *p, size_t n, unsigned char *copy)
{
    __m128i mask = _mm_loadu_si128((const __m128i *)(first_bytes + 32 - n));
    return _mm_xor_si128(_mm_and_si128(load_128(p, copy), mask), _mm_cvtsi32_si128((int)~crc));
}

T256 INLINE __m256i begin_256(uint32_t crc, const unsigned char *p, size_t n, unsigned char *copy)
{
    __m256i mask = _mm256_loadu_si256((const __m256i *)(first_bytes + 32 - n));
    return _mm256_xor_si256(_mm256_and_si256(load_256(p, copy), mask),
                            _mm256_zextsi128_si256(_mm_cvtsi32_si128((int)~crc)));
}

T512 INLINE __m512i begin_512(uint32_t crc, const unsigned char *p, size_t n, unsigned char *copy)
{
    __m512i v = load_512(p, copy);
    return _mm512_xor_si512(_mm512_maskz_mov_epi8(_bzhi_u64(~0ull, (unsigned)n), v),
                            _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)~crc)));
}

T128 INLINE __m128i times_128(__m128i v, __m128i k)
{
    return _mm_xor_si128(_mm_clmulepi64_si128(v, k, 0x00), _mm_clmulepi64_si128(v, k, 0x11));
}

T256 INLINE __m256i times_256(__m256i v, __m256i k)
{
    return _mm256_xor_si256(_mm256_clmulepi64_epi128(v, k, 0x00), _mm256_clmulepi64_epi128(v, k, 0x11));
}

T128 INLINE __m128i fold_128(__m128i v, __m128i k, __m128i into)
{
    return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(v, k, 0x00), into), _mm_clmulepi64_si128(v, k, 0x11));
}

T256 INLINE __m256i fold_256(__m256i v, __m256i k, __m256i into)
{
    return _mm256_xor_si256(_mm256_xor_si256(_mm256_clmulepi64_epi128(v, k, 0x00), into),
                            _mm256_clmulepi64_epi128(v, k, 0x11));
}

T512 INLINE __m512i fold_512(__m512i v, __m512i k, __m512i into)
{
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(v, k, 0x00), into,
                                     _mm512_clmulepi64_epi128(v, k, 0x11), 0x96);
}

T512 INLINE __m512i times_512(__m512i v, __m512i k)
{
    return _mm512_xor_si512(_mm512_clmulepi64_epi128(v, k, 0x00), _mm512_clmulepi64_epi128(v, k, 0x11));
}

T128 INLINE __m128i factors_128(const Factors *factors)
{
    return _mm_loadu_si128((const __m128i *)factors);
}

T256 INLINE __m256i factors_256(const Factors *factors)
{
    return _mm256_broadcastsi128_si256(factors_128(factors));
}

T512 INLINE __m512i factors_512(const Factors *factors)
{
    return _mm512_broadcast_i32x4(factors_128(factors));
}

/* The sum of the lanes. */
T128 INLINE __m128i sum_128(__m128i v)
{
    return v;
}

T256 INLINE __m128i sum_256(__m256i v)
{
    return _mm_xor_si128(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

T512 INLINE __m128i sum_512(__m512i v)
{
    return sum_256(_mm256_xor_si256(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1)));
}

#define AT(offset) (copy ? copy + (offset) : NULL)

/* 16 to 63 bytes. */
T128 INLINE uint32_t run_short(uint32_t crc, const unsigned char *p, size_t n, unsigned char *copy)
{
    __m128i sum = times_128(begin_128(crc, p, n % 16, AT(0)), factors_128(OVER_TO_END(n)));
    size_t at = n % 16;

    if (n >= 48) {
        sum = fold_128(load_128(p + at, AT(at)), factors_128(OVER_TO_END(48)), sum);
        at += 16;
    }
    if (n >= 32) {
        sum = fold_128(load_128(p + at, AT(at)), factors_128(OVER_TO_END(32)), sum);
        at += 16;
    }
    return ~reduce96(fold_128(load_128(p + at, AT(at)), factors_128(OVER_TO_END(16)), sum));
}

/* Blocks of W bytes, at least one, four side by side. */
#define RUN(target, width, vector, W, over_4_blocks)                                                                   \
    target INLINE uint32_t run_##width(uint32_t crc, const unsigned char *p, size_t n, unsigned char *copy)            \
    {                                                                                                                  \
        size_t odd = n % W;                                                                                            \
        vector v = begin_##width(crc, p, odd, AT(0)), sum;                                                             \
        p += odd;                                                                                                      \
        n -= odd;                                                                                                      \
        copy = AT(odd);                                                                                                \
        v = fold_##width(v, factors_##width(OVER(odd)), load_##width(p, AT(0)));                                       \
        if (n >= 8 * W) {                                                                                              \
            const vector k = factors_##width(over_4_blocks);                                                           \
            vector v1 = load_##width(p + W, AT(W)), v2 = load_##width(p + 2 * W, AT(2 * W)),                           \
                   v3 = load_##width(p + 3 * W, AT(3 * W));                                                            \
            for (p += 4 * W, n -= 4 * W, copy = AT(4 * W); n >= 4 * W; p += 4 * W, n -= 4 * W, copy = AT(4 * W)) {     \
                v = fold_##width(v, k, load_##width(p, AT(0)));                                                        \
                v1 = fold_##width(v1, k, load_##width(p + W, AT(W)));                                                  \
                v2 = fold_##width(v2, k, load_##width(p + 2 * W, AT(2 * W)));                                          \
                v3 = fold_##width(v3, k, load_##width(p + 3 * W, AT(3 * W)));                                          \
            }                                                                                                          \
            const unsigned char *last = LAST_BLOCKS(n + 4 * W);                                                        \
            sum = fold_##width(v1, load_##width(last + W, NULL), times_##width(v, load_##width(last, NULL)));          \
            sum = fold_##width(v2, load_##width(last + 2 * W, NULL), sum);                                             \
            sum = fold_##width(v3, load_##width(last + 3 * W, NULL), sum);                                             \
        } else {                                                                                                       \
            sum = times_##width(v, load_##width(LAST_BLOCKS(n), NULL));                                                \
            p += W;                                                                                                    \
            n -= W;                                                                                                    \
            copy = AT(W);                                                                                              \
        }                                                                                                              \
        for (; n; p += W, n -= W, copy = AT(W))                                                                        \
            sum = fold_##width(load_##width(p, AT(0)), load_##width(LAST_BLOCKS(n), NULL), sum);                       \
        return ~reduce96(sum_##width(sum));                                                                            \
    }

RUN(T128, 128, __m128i, 16, OVER(64))
RUN(T256, 256, __m256i, 32, &far_factors[0])
RUN(T512, 512, __m512i, 64, &far_factors[1])

/* Where there is much of it, the blocks begin where cache lines do, and some bytes are left for the end: loads that lie
 * across two lines cost more than those. */
enum { MUCH = 32768, LINE = 64 };

#define VARIANT(target, width)                                                                                         \
    target INLINE uint32_t any_##width(uint32_t crc, const unsigned char *p, size_t n, unsigned char *copy)            \
    {                                                                                                                  \
        if (n >= MUCH) {                                                                                               \
            size_t rest = ((uintptr_t)p + n) % LINE;                                                                   \
            if (rest && rest < 16)                                                                                     \
                rest += LINE;                                                                                          \
            crc = run_##width(crc, p, n - rest, copy);                                                                 \
            p += n - rest;                                                                                             \
            copy = AT(n - rest);                                                                                       \
            n = rest;                                                                                                  \
            if (!n)                                                                                                    \
                return crc;                                                                                            \
        }                                                                                                              \
        return n < 64 ? run_short(crc, p, n, copy) : run_##width(crc, p, n, copy);                                     \
    }                                                                                                                  \
    target static uint32_t crc_##width(uint32_t crc, const unsigned char *p, size_t n)                                 \
    {                                                                                                                  \
        return any_##width(crc, p, n, NULL);                                                                           \
    }                                                                                                                  \
    target static uint32_t copy_##width(uint32_t crc, unsigned char *dst, const unsigned char *p, size_t n)            \
    {                                                                                                                  \
        return any_##width(crc, p, n, dst);                                                                            \
    }

VARIANT(T128, 128)
VARIANT(T256, 256)
VARIANT(T512, 512)

T128 static uint32_t multiply_128(uint32_t a, uint32_t b)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)a), _mm_cvtsi32_si128((int)b), 0);

    return reduce96(_mm_slli_si128(_mm_slli_epi64(product, 1), 4));
}

static int has_128(void)
{
    return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
}

static int has_256(void)
{
    return has_128() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("vpclmulqdq");
}

static int has_512(void)
{
    return has_256() && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
}

#undef AT
#undef RUN
#undef VARIANT
