#include "crc32.h"

#include <stdlib.h>
#include <string.h>

#define POLY 0xEDB88320u /* x^32 + x^26 + ... + 1, bit-reversed: the lowest bit is the highest power */
#define X_TO_0 0x80000000u
#define X_TO_1 0x40000000u
#define X_TO_8 0x00800000u

/* Below this many bytes only the table version is of use. */
#define MIN_FOLD 16

static uint32_t table[8][256];
static uint32_t zeros_power[16][16]; /* x^(8 * d * 16^k) mod P: what that many zero bytes multiply by */

static inline uint32_t load32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* a * b mod P. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (int bit = 0; bit < 32; bit++) {
        product ^= (0u - (a >> 31)) & b;
        a <<= 1;
        b = (b >> 1) ^ (POLY & (0u - (b & 1)));
    }
    return product;
}

static uint32_t power_of_x(unsigned n)
{
    uint32_t result = X_TO_0;

    for (uint32_t square = X_TO_1; n; n >>= 1, square = multiply(square, square))
        if (n & 1)
            result = multiply(result, square);
    return result;
}

static uint32_t crc_table(uint32_t crc, const unsigned char *p, size_t n)
{
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t low = load32(p) ^ crc;
        uint32_t high = load32(p + 4);
        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
              table[3][high & 255] ^ table[2][high >> 8 & 255] ^ table[1][high >> 16 & 255] ^ table[0][high >> 24];
    }
    if (n >= 4) {
        uint32_t word = load32(p) ^ crc;
        crc = table[3][word & 255] ^ table[2][word >> 8 & 255] ^ table[1][word >> 16 & 255] ^ table[0][word >> 24];
        n -= 4;
        p += 4;
    }
    for (; n; n--)
        crc = crc >> 8 ^ table[0][(crc ^ *p++) & 255];
    return ~crc;
}

static uint32_t copy_table(uint32_t crc, unsigned char *dst, const unsigned char *p, size_t n)
{
    if (n)
        memcpy(dst, p, n);
    return crc_table(crc, p, n);
}

static void make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (POLY & (0u - (crc & 1)));
        table[0][i] = crc;
    }
    for (int i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++)
            table[k][i] = table[k - 1][i] >> 8 ^ table[0][table[k - 1][i] & 255];
    uint32_t unit = X_TO_8;
    for (int k = 0; k < 16; k++) {
        zeros_power[k][0] = X_TO_0;
        for (int digit = 1; digit < 16; digit++)
            zeros_power[k][digit] = multiply(zeros_power[k][digit - 1], unit);
        unit = multiply(zeros_power[k][15], unit);
    }
}

typedef struct {
    const char *name;
    uint32_t (*crc)(uint32_t crc, const unsigned char *p, size_t n);
    uint32_t (*copy)(uint32_t crc, unsigned char *dst, const unsigned char *p, size_t n);
    uint32_t (*multiply)(uint32_t a, uint32_t b);
    int (*usable)(void);
} Implementation;

#if defined(__GNUC__) && defined(__x86_64__)
#include "crc32_x86.h"
#elif defined(__GNUC__) && defined(__aarch64__) && defined(__AARCH64EL__)
#include "crc32_arm.h"
#endif

/* Best first; the last one works everywhere. */
static const Implementation implementations[] = {
#if defined(__GNUC__) && defined(__x86_64__)
    {"vpclmul512", crc_512, copy_512, multiply_128, has_512},
    {"vpclmul", crc_256, copy_256, multiply_128, has_256},
    {"pclmul", crc_128, copy_128, multiply_128, has_128},
#elif defined(__GNUC__) && defined(__aarch64__) && defined(__AARCH64EL__)
    {"armv8", crc_armv8, copy_armv8, multiply, has_armv8},
#endif
    {"table", crc_table, copy_table, multiply, NULL},
};

static Implementation chosen = {"table", crc_table, copy_table, multiply, NULL};

uint32_t fx_crc32(uint32_t crc, const void *p, size_t n)
{
    if (n < MIN_FOLD)
        return crc_table(crc, p, n);
    return chosen.crc(crc, p, n);
}

uint32_t fx_crc32_copy(uint32_t crc, void *dst, const void *src, size_t n)
{
    if (n < MIN_FOLD)
        return copy_table(crc, dst, src, n);
    return chosen.copy(crc, dst, src, n);
}

uint32_t fx_crc32_combine(uint32_t a, uint32_t b, uint64_t len2)
{
    for (int k = 0; len2; k++, len2 >>= 4)
        if (len2 & 15)
            a = chosen.multiply(a, zeros_power[k][len2 & 15]);
    return a ^ b;
}

const char *fx_crc32_name(void)
{
    return chosen.name;
}

#if defined(__GNUC__)
__attribute__((constructor))
#endif
void fx_crc32_init(void)
{
    const char *forced = getenv("FASTXFER_CRC32");
    const size_t count = sizeof implementations / sizeof *implementations;
    size_t best = 0;

    if (zeros_power[0][0])
        return;
    make_tables();
#if defined(__GNUC__) && defined(__x86_64__)
    __builtin_cpu_init();
    make_fold_constants();
#elif defined(__GNUC__) && defined(__aarch64__) && defined(__AARCH64EL__)
    make_stream_constants();
#endif
    while (implementations[best].usable && !implementations[best].usable())
        best++;
    chosen = implementations[best];
    for (size_t i = best; forced && i < count; i++)
        if (!strcmp(forced, implementations[i].name) && (!implementations[i].usable || implementations[i].usable()))
            chosen = implementations[i];
}
