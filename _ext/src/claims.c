#define _GNU_SOURCE
#include "claims.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include "clock.h"

#define SECONDS_BITS 24
#define SECONDS_MASK ((UINT64_C(1) << SECONDS_BITS) - 1)

static _Atomic uint64_t *claims;

int fx_claims_open(void) {
    if (claims) return 0;
    void *memory = mmap(NULL, FX_CLAIMS * sizeof *claims, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return -1;
    claims = memory;
    return 0;
}

static uint64_t seconds(void) {
    return (uint64_t)(fx_now() / FX_SECOND) & SECONDS_MASK;
}

/* Never zero, which is an empty place. */
static uint64_t head_of(uint64_t hash) {
    uint64_t head = hash & ~SECONDS_MASK;
    return head ? head : SECONDS_MASK + 1;
}

static bool counts(uint64_t word, uint64_t now) {
    return word && ((now - word) & SECONDS_MASK) < FX_CLAIM_AGE;
}

/* Whether one at another place than number has the hash; what counts no more is struck out. */
static bool taken(uint64_t hash, int number, uint64_t now) {
    uint64_t head = head_of(hash);
    for (int i = 0; i < FX_CLAIMS; i++) {
        uint64_t word = atomic_load(&claims[i]);
        if (!word || i == number) continue;
        if (!counts(word, now))
            atomic_compare_exchange_strong(&claims[i], &word, 0);
        else if ((word & ~SECONDS_MASK) == head)
            return true;
    }
    return false;
}

int fx_claim(uint64_t hash) {
    if (!claims) return -1;
    uint64_t now = seconds();
    uint64_t word = head_of(hash) | now;
    unsigned first = (unsigned)(hash >> SECONDS_BITS);
    for (unsigned i = 0; i < FX_CLAIMS; i++) {
        int number = (int)((first + i) % FX_CLAIMS);
        uint64_t old = atomic_load(&claims[number]);
        if (counts(old, now) || !atomic_compare_exchange_strong(&claims[number], &old, word)) continue;
        /* It stands there before the others are looked at: of two at the same time, one at least sees the other. */
        if (!taken(hash, number, now)) return number;
        fx_unclaim(number, hash);
        return -1;
    }
    return -1;
}

void fx_unclaim(int number, uint64_t hash) {
    uint64_t word = atomic_load(&claims[number]);
    if ((word & ~SECONDS_MASK) == head_of(hash)) atomic_compare_exchange_strong(&claims[number], &word, 0);
}

bool fx_claimed(uint64_t hash) {
    return claims && taken(hash, -1, seconds());
}

bool fx_claims_stand(void) {
    if (!claims) return false;
    uint64_t now = seconds();
    for (int i = 0; i < FX_CLAIMS; i++)
        if (counts(atomic_load(&claims[i]), now)) return true;
    return false;
}

uint64_t fx_claim_place(uint64_t device, uint64_t inode) {
    return inode * UINT64_C(0x9E3779B97F4A7C15) ^ device * UINT64_C(0xC2B2AE3D27D4EB4F);
}

uint64_t fx_claim_hash(uint64_t name, uint64_t place) {
    uint64_t hash = name ^ place;
    hash ^= hash >> 33;
    hash *= UINT64_C(0xFF51AFD7ED558CCD);
    hash ^= hash >> 33;
    hash *= UINT64_C(0xC4CEB9FE1A85EC53);
    return hash ^ hash >> 33;
}
