/* CRC-32 (IEEE 802.3, zlib's) of memory, by the quickest means the processor has. */
#ifndef FX_CRC32_H
#define FX_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Chooses the implementation. Runs by itself when the module is loaded, except under MSVC: call it once there.
 * FASTXFER_CRC32 in the environment (vpclmul512, vpclmul, pclmul, armv8, table) forces one that the processor has. */
void fx_crc32_init(void);

/* Name of the implementation in use. */
const char *fx_crc32_name(void);

/* CRC-32 of n bytes at p, continuing from crc (0 to begin). */
uint32_t fx_crc32(uint32_t crc, const void *p, size_t n);

/* The same while copying the n bytes to dst (the two must not overlap): memory is read once. */
uint32_t fx_crc32_copy(uint32_t crc, void *dst, const void *src, size_t n);

/* CRC-32 of two pieces laid end to end; b is the CRC-32 of the second, len2 its length in bytes. */
uint32_t fx_crc32_combine(uint32_t a, uint32_t b, uint64_t len2);

#endif
