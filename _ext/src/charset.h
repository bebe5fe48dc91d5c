/* Whether a name holds only the characters of FastDFS filenames: A-Z a-z 0-9 - . / _ */
#ifndef FX_CHARSET_H
#define FX_CHARSET_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Three ranges: - . / 0-9 lie side by side, and a letter with the bit of lower case set is a-z. */
static inline int fx_in_filename(unsigned char c) {
    return (unsigned char)(c - '-') <= '9' - '-' || (unsigned char)((c | 0x20) - 'a') <= 'z' - 'a' || c == '_';
}

#if defined(__GNUC__)

typedef unsigned char fx_bytes16 __attribute__((vector_size(16)));

/* Sixteen at a time, the last sixteen overlapping what has been looked at: a filename has 44 characters and more. */
static inline int fx_all_in_filename(const char *text, size_t length) {
    fx_bytes16 all, part;
    uint64_t half[2];
    size_t at = 0;
    if (length < 16) {
        int good = 1;
        for (; at < length; at++)
            good &= fx_in_filename((unsigned char)text[at]);
        return good;
    }
    memset(&all, 0xff, sizeof all);
    for (;;) {
        memcpy(&part, text + at, 16);
        all &= (fx_bytes16)((fx_bytes16)(part - '-') <= '9' - '-') |
               (fx_bytes16)((fx_bytes16)((part | 0x20) - 'a') <= 'z' - 'a') | (fx_bytes16)(part == '_');
        if (at + 16 == length)
            break;
        at = at + 32 <= length ? at + 16 : length - 16;
    }
    memcpy(half, &all, 16);
    return (half[0] & half[1]) == UINT64_MAX;
}

#else

static inline int fx_all_in_filename(const char *text, size_t length) {
    int good = 1;
    for (size_t at = 0; at < length; at++)
        good &= fx_in_filename((unsigned char)text[at]);
    return good;
}

#endif

#endif
