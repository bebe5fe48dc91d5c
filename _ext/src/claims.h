/* Names that uploads have claimed whose files have none yet, as all processes see them that this one has forked or was
 * forked from. A claim is a word: a hash of the name, and when it was made.
 */
#ifndef FX_CLAIMS_H
#define FX_CLAIMS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    FX_CLAIMS = 256,
    /* Seconds after which a claim counts no more, because whoever has made it must be dead. */
    FX_CLAIM_AGE = 60
};

/* Makes room for them, before any process is forked. -1 and errno where there is no memory. */
int fx_claims_open(void);

/* The number of a claim that is the caller's now; -1 where another has the same, or there is no room. */
int fx_claim(uint64_t hash);

void fx_unclaim(int number, uint64_t hash);

bool fx_claimed(uint64_t hash);

/* Whether there is any claim at all: mostly there is none, and nothing need be known of the name. */
bool fx_claims_stand(void);

/* What tells a directory from others. */
uint64_t fx_claim_place(uint64_t device, uint64_t inode);

/* The hash of a name in a directory, from that of the name alone. */
uint64_t fx_claim_hash(uint64_t name, uint64_t place);

#endif
