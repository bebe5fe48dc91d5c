#include "crc32.h"

#include <stdlib.h>
#include <string.h>

#define POLY 0xEDB88320u /* x^32 + x^26 + ... + 1, bit-reversed: the lowest bit is the highest power */

static uint32_t table[8][256];
static uint32_t power_table[64]; /* x^(8 * 2^k) mod POLY: what 2^k zero bytes multiply by */

static inline uint32_t load32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* a * b mod POLY, both bit-reversed. */
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

static uint32_t crc_table(uint32_t crc, const unsigned char *p, size_t n)
{
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint32_t low = load32(p) ^ crc;
        uint32_t high = load32(p + 4);
        crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
              table[3][high & 255] ^ table[2][high >> 8 & 255] ^ table[1][high >> 16 & 255] ^ table[0][high >> 24];
    }
    for (; n; n--)
        crc = crc >> 8 ^ table[0][(crc ^ *p++) & 255];
    return ~crc;
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
    power_table[0] = 0x00800000u; /* x^8 */
    for (int k = 1; k < 64; k++)
        power_table[k] = multiply(power_table[k - 1], power_table[k - 1]);
}

uint32_t fx_crc32(uint32_t crc, const void *p, size_t n)
{
    return crc_table(crc, p, n);
}

uint32_t fx_crc32_copy(uint32_t crc, void *dst, const void *src, size_t n)
{
    memcpy(dst, src, n);
    return crc_table(crc, src, n);
}

uint32_t fx_crc32_combine(uint32_t a, uint32_t b, uint64_t len2)
{
    for (int k = 0; len2; k++, len2 >>= 1)
        if (len2 & 1)
            a = multiply(a, power_table[k]);
    return a ^ b;
}

const char *fx_crc32_name(void)
{
    return "table";
}

#if defined(__GNUC__)
__attribute__((constructor))
#endif
void fx_crc32_init(void)
{
    make_tables();
}
