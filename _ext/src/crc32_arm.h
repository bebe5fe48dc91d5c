/* CRC-32 with the CRC32 instructions of ARMv8, included by crc32.c only.
 *
 * The instruction has a latency of several cycles but starts every cycle: three streams run side by side and are
 * joined by a carry-less multiplication (PMULL), or without one by the table version's. */

#include <arm_acle.h>
#include <arm_neon.h>

#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(__clang__)
#define TARGET_CRC __attribute__((target("crc")))
#define TARGET_PMULL __attribute__((target("crc,aes")))
#else
#define TARGET_CRC __attribute__((target("+crc")))
#define TARGET_PMULL __attribute__((target("+crc+crypto")))
#endif

#define STREAM 1024 /* bytes of each of the three streams */

static uint32_t stream_powers[2]; /* x^(8 * STREAM), x^(16 * STREAM): moved by x^-33, which the PMULL way adds */
static uint32_t stream_shifts[2]; /* the same, unmoved */
static int has_pmull;

static void make_stream_constants(void)
{
    for (int i = 0; i < 2; i++) {
        stream_shifts[i] = power_of_x(8 * STREAM * (unsigned)(i + 1));
        stream_powers[i] = power_of_x(8 * STREAM * (unsigned)(i + 1) - 33);
    }
}

/* crc times a constant c / x^33: the product has 63 bits, and the CRC of its 8 bytes multiplies by x^33 again. */
TARGET_PMULL static uint32_t shift_pmull(uint32_t crc, uint32_t constant)
{
    poly128_t product = vmull_p64((poly64_t)crc, (poly64_t)constant);

    return __crc32d(0, vgetq_lane_u64(vreinterpretq_u64_p128(product), 0));
}

static inline uint64_t load64(const unsigned char *p)
{
    uint64_t word;

    memcpy(&word, p, 8);
    return word;
}

TARGET_CRC static uint32_t crc_armv8(uint32_t crc, const unsigned char *p, size_t n)
{
    crc = ~crc;
    for (; n >= 3 * STREAM; n -= 3 * STREAM, p += 3 * STREAM) {
        uint32_t first = crc, second = 0, third = 0;
        for (size_t i = 0; i < STREAM; i += 8) {
            first = __crc32d(first, load64(p + i));
            second = __crc32d(second, load64(p + STREAM + i));
            third = __crc32d(third, load64(p + 2 * STREAM + i));
        }
        if (has_pmull)
            crc = shift_pmull(first, stream_powers[1]) ^ shift_pmull(second, stream_powers[0]) ^ third;
        else
            crc = multiply(first, stream_shifts[1]) ^ multiply(second, stream_shifts[0]) ^ third;
    }
    for (; n >= 8; n -= 8, p += 8)
        crc = __crc32d(crc, load64(p));
    for (; n; n--)
        crc = __crc32b(crc, *p++);
    return ~crc;
}

static uint32_t copy_armv8(uint32_t crc, unsigned char *dst, const unsigned char *p, size_t n)
{
    /* In pieces that stay in the first-level cache between the two passes. */
    for (; n > 3 * STREAM; n -= 3 * STREAM, p += 3 * STREAM, dst += 3 * STREAM) {
        memcpy(dst, p, 3 * STREAM);
        crc = crc_armv8(crc, p, 3 * STREAM);
    }
    memcpy(dst, p, n);
    return crc_armv8(crc, p, n);
}

static int has_armv8(void)
{
#if defined(__linux__)
    unsigned long capabilities = getauxval(AT_HWCAP);

    has_pmull = (capabilities & (1 << 4)) != 0; /* HWCAP_PMULL */
    return (capabilities & (1 << 7)) != 0;      /* HWCAP_CRC32 */
#elif defined(__APPLE__)
    int crc = 0, pmull = 0;
    size_t size = sizeof(int);

    if (sysctlbyname("hw.optional.armv8_crc32", &crc, &size, NULL, 0))
        crc = 0;
    size = sizeof(int);
    has_pmull = !sysctlbyname("hw.optional.arm.FEAT_PMULL", &pmull, &size, NULL, 0) && pmull;
    return crc;
#else
    return 0;
#endif
}
