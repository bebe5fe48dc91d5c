/* CRC-32 by carry-less multiplication on x86-64, included by crc32.c only.
 *
 * A polynomial is folded: 16 bytes of state times x^D, modulo the CRC's polynomial but not yet reduced, is added to the
 * 16 bytes that come D bits later (Gopal et al., "Fast CRC computation for generic polynomials using PCLMULQDQ").
 * Bits are reversed, so a constant for x^n is (x^n mod P) << 1. All sizes below are of 16 bytes or more. */

#include <immintrin.h>

#define T128 __attribute__((target("pclmul,sse4.1")))
#define T256 __attribute__((target("avx2,pclmul,vpclmulqdq")))
#define T512 __attribute__((target("avx512f,avx512vl,avx512bw,avx2,pclmul,vpclmulqdq")))
#define INLINE __attribute__((always_inline)) static inline

/* Pairs x^(D+32), x^(D-32) for the distances D in bits that folding needs. */
enum { D128, D256, D384, D512, D768, D1024, D1536, D2048, DISTANCES };
static const int distances[DISTANCES] = {128, 256, 384, 512, 768, 1024, 1536, 2048};
static uint64_t fold_constants[DISTANCES][2];

/* Those that fold the first three of four lanes into the last. */
static uint64_t lane_constants[4][2];

/* P, and floor(x^96 / P) without its last term, which no result depends on. */
static uint64_t barrett[2] = {0x1DB710641, 0};

/* Shuffles that move 16 bytes up or down, by where in here they are loaded from. */
static const unsigned char shifts[48] = {
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
    0,    1,    2,    3,    4,    5,    6,    7,    8,    9,    10,   11,   12,   13,   14,   15,
    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
};

static void make_fold_constants(void)
{
    for (int i = 0; i < DISTANCES; i++) {
        fold_constants[i][0] = (uint64_t)power_of_x(distances[i] + 32) << 1;
        fold_constants[i][1] = (uint64_t)power_of_x(distances[i] - 32) << 1;
    }
    for (int lane = 0; lane < 3; lane++)
        memcpy(lane_constants[lane], fold_constants[D384 - lane], sizeof lane_constants[lane]);
    /* The quotient has a term where the remainder so far, times x, has one of x^32. */
    uint32_t remainder = power_of_x(31);
    for (int bit = 0; bit < 64; bit++) {
        barrett[1] |= (uint64_t)(remainder & 1) << bit;
        remainder = multiply(remainder, X_TO_1);
    }
}

T128 INLINE __m128i load128(const unsigned char *p, unsigned char *copy)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    if (copy)
        _mm_storeu_si128((__m128i *)copy, v);
    return v;
}

T128 INLINE __m128i constants128(int distance)
{
    return _mm_loadu_si128((const __m128i *)fold_constants[distance]);
}

T128 INLINE __m128i fold128(__m128i v, __m128i k, __m128i into)
{
    return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(v, k, 0x00), into), _mm_clmulepi64_si128(v, k, 0x11));
}

/* The low 96 bits of v modulo P (Barrett). */
T128 INLINE uint32_t reduce96(__m128i v)
{
    const __m128i p_mu = _mm_loadu_si128((const __m128i *)barrett);
    __m128i quotient = _mm_clmulepi64_si128(v, p_mu, 0x10);

    v = _mm_xor_si128(v, _mm_clmulepi64_si128(quotient, p_mu, 0x00));
    return (uint32_t)_mm_extract_epi32(v, 2);
}

/* The CRC of 16 bytes of state and the last n < 16 bytes that follow at p. */
T128 INLINE uint32_t finish(__m128i v, const unsigned char *p, size_t n, unsigned char *copy)
{
    __m128i k = constants128(D128);

    if (n) {
        /* As if the whole began with 16 - n zeros: fold what slides out below, join the rest with the last bytes. */
        __m128i out = _mm_shuffle_epi8(v, _mm_loadu_si128((const __m128i *)(shifts + n)));
        __m128i keep = _mm_loadu_si128((const __m128i *)(shifts + 16 + n));
        __m128i last = load128(p + n - 16, copy ? copy + n - 16 : NULL);
        v = fold128(out, k, _mm_blendv_epi8(_mm_shuffle_epi8(v, keep), last, keep));
    }
    return ~reduce96(_mm_xor_si128(_mm_srli_si128(v, 8), _mm_clmulepi64_si128(v, k, 0x10)));
}

/* Folds whole 16-byte blocks one after the other, then finishes. */
T128 INLINE uint32_t finish_blocks(__m128i v, const unsigned char *p, size_t n, unsigned char *copy)
{
    const __m128i k = constants128(D128);

    for (; n >= 16; n -= 16, p += 16) {
        v = fold128(v, k, load128(p, copy));
        if (copy)
            copy += 16;
    }
    return finish(v, p, n, copy);
}

T128 INLINE __m128i begin128(uint32_t crc, const unsigned char *p, unsigned char *copy)
{
    return _mm_xor_si128(load128(p, copy), _mm_cvtsi32_si128((int)~crc));
}

#define AT(offset) (copy ? copy + (offset) : NULL)

T128 INLINE uint32_t run128(uint32_t crc, const unsigned char *p, size_t n, unsigned char *copy)
{
    __m128i v = begin128(crc, p, AT(0));

    if (n >= 64) {
        const __m128i k = constants128(D512);
        __m128i v1 = load128(p + 16, AT(16)), v2 = load128(p + 32, AT(32)), v3 = load128(p + 48, AT(48));
        for (p += 64, n -= 64, copy = AT(64); n >= 64; p += 64, n -= 64, copy = AT(64)) {
            v = fold128(v, k, load128(p, AT(0)));
            v1 = fold128(v1, k, load128(p + 16, AT(16)));
            v2 = fold128(v2, k, load128(p + 32, AT(32)));
            v3 = fold128(v3, k, load128(p + 48, AT(48)));
        }
        v3 = fold128(v2, constants128(D128), v3);
        v = fold128(v, constants128(D384), fold128(v1, constants128(D256), v3));
    } else {
        p += 16;
        n -= 16;
        copy = AT(16);
    }
    return finish_blocks(v, p, n, copy);
}

T256 INLINE __m256i load256(const unsigned char *p, unsigned char *copy)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)p);
    if (copy)
        _mm256_storeu_si256((__m256i *)copy, v);
    return v;
}

T256 INLINE __m256i fold256(__m256i v, __m256i k, __m256i into)
{
    return _mm256_xor_si256(_mm256_xor_si256(_mm256_clmulepi64_epi128(v, k, 0x00), into),
                            _mm256_clmulepi64_epi128(v, k, 0x11));
}

T256 INLINE __m256i constants256(int distance)
{
    return _mm256_broadcastsi128_si256(constants128(distance));
}

/* Folds whole 32-byte blocks, then finishes. */
T256 INLINE uint32_t finish256(__m256i v, const unsigned char *p, size_t n, unsigned char *copy)
{
    const __m256i k = constants256(D256);

    for (; n >= 32; n -= 32, p += 32, copy = AT(32))
        v = fold256(v, k, load256(p, AT(0)));
    __m128i x = fold128(_mm256_castsi256_si128(v), constants128(D128), _mm256_extracti128_si256(v, 1));
    if (n >= 16) {
        x = fold128(x, constants128(D128), load128(p, AT(0)));
        p += 16;
        n -= 16;
        copy = AT(16);
    }
    return finish(x, p, n, copy);
}

T256 INLINE uint32_t run256(uint32_t crc, const unsigned char *p, size_t n, unsigned char *copy)
{
    if (n < 64)
        return finish_blocks(begin128(crc, p, AT(0)), p + 16, n - 16, AT(16));
    __m256i v = _mm256_xor_si256(load256(p, AT(0)), _mm256_zextsi128_si256(_mm_cvtsi32_si128((int)~crc)));
    if (n < 128)
        return finish256(v, p + 32, n - 32, AT(32));
    __m256i v1 = load256(p + 32, AT(32)), v2 = load256(p + 64, AT(64)), v3 = load256(p + 96, AT(96));
    const __m256i k = constants256(D1024);
    for (p += 128, n -= 128, copy = AT(128); n >= 128; p += 128, n -= 128, copy = AT(128)) {
        v = fold256(v, k, load256(p, AT(0)));
        v1 = fold256(v1, k, load256(p + 32, AT(32)));
        v2 = fold256(v2, k, load256(p + 64, AT(64)));
        v3 = fold256(v3, k, load256(p + 96, AT(96)));
    }
    v3 = fold256(v2, constants256(D256), v3);
    v = fold256(v, constants256(D768), fold256(v1, constants256(D512), v3));
    return finish256(v, p, n, copy);
}

T512 INLINE __m512i load512(const unsigned char *p, unsigned char *copy)
{
    __m512i v = _mm512_loadu_si512(p);
    if (copy)
        _mm512_storeu_si512(copy, v);
    return v;
}

T512 INLINE __m512i fold512(__m512i v, __m512i k, __m512i into)
{
    return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(v, k, 0x00), into,
                                     _mm512_clmulepi64_epi128(v, k, 0x11), 0x96);
}

T512 INLINE __m512i constants512(int distance)
{
    return _mm512_broadcast_i32x4(constants128(distance));
}

T512 INLINE uint32_t run512(uint32_t crc, const unsigned char *p, size_t n, unsigned char *copy)
{
    if (n < 256)
        return run256(crc, p, n, copy);
    __m512i v = _mm512_xor_si512(load512(p, AT(0)), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)~crc)));
    __m512i v1 = load512(p + 64, AT(64)), v2 = load512(p + 128, AT(128)), v3 = load512(p + 192, AT(192));
    const __m512i k = constants512(D2048);
    for (p += 256, n -= 256, copy = AT(256); n >= 256; p += 256, n -= 256, copy = AT(256)) {
        v = fold512(v, k, load512(p, AT(0)));
        v1 = fold512(v1, k, load512(p + 64, AT(64)));
        v2 = fold512(v2, k, load512(p + 128, AT(128)));
        v3 = fold512(v3, k, load512(p + 192, AT(192)));
    }
    v3 = fold512(v2, constants512(D512), v3);
    v = fold512(v, constants512(D1536), fold512(v1, constants512(D1024), v3));
    const __m512i k64 = constants512(D512);
    for (; n >= 64; n -= 64, p += 64, copy = AT(64))
        v = fold512(v, k64, load512(p, AT(0)));
    if (n < 32) {
        const __m512i lanes = _mm512_loadu_si512(lane_constants);
        __m512i w = _mm512_xor_si512(_mm512_clmulepi64_epi128(v, lanes, 0x00), _mm512_clmulepi64_epi128(v, lanes, 0x11));
        __m256i half = _mm256_xor_si256(_mm512_castsi512_si256(w), _mm512_extracti64x4_epi64(w, 1));
        __m128i x = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
        return finish_blocks(_mm_xor_si128(x, _mm512_extracti32x4_epi32(v, 3)), p, n, copy);
    }
    return finish256(fold256(_mm512_castsi512_si256(v), constants256(D256), _mm512_extracti64x4_epi64(v, 1)), p, n,
                     copy);
}

#define VARIANT(target, width)                                                                                         \
    target static uint32_t crc_##width(uint32_t crc, const unsigned char *p, size_t n)                                 \
    {                                                                                                                  \
        return run##width(crc, p, n, NULL);                                                                            \
    }                                                                                                                  \
    target static uint32_t copy_##width(uint32_t crc, unsigned char *dst, const unsigned char *p, size_t n)            \
    {                                                                                                                  \
        return run##width(crc, p, n, dst);                                                                             \
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
    return has_256() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw");
}

#undef AT
#undef VARIANT
