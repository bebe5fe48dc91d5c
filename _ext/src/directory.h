/* Reads a directory and writes its listing, a piece at a time. Needs no Python and no lock of its own: one thread at a
 * time may use a reader. */
#ifndef FX_DIRECTORY_H
#define FX_DIRECTORY_H

#include "listing.h"

enum { FX_LINKS_SHOW, FX_LINKS_FOLLOW, FX_LINKS_HIDE };

typedef struct FxDirectory FxDirectory;

typedef struct {
    FxListingStyle style;
    FxText owner, group; /* no data: numbers */
    FxText omitted;      /* names that end so are passed over; empty: none */
    FxText prefix;       /* stands before every name; for FX_LISTING_NLST only */
    int links;
    int hidden;
    int sort;
    int64_t max_entries; /* negative: all */
} FxDirectoryOptions;

/* Opens the directory that descriptor at is of, or, at being -1, the one at path. The texts in options must outlive it.
 * NULL with errno set on failure. */
FxDirectory *fx_directory_open(int at, const char *path, const FxDirectoryOptions *options);

/* Writes lines until at least chunk bytes are there or the directory ends (then *size is what there is, maybe 0).
 * *data is valid until the next call. 0, or an errno. */
int fx_directory_next(FxDirectory *directory, size_t chunk, const char **data, size_t *size);

/* Lines written, and names left out because they cannot be listed. */
int64_t fx_directory_entries(const FxDirectory *directory);
int64_t fx_directory_skipped(const FxDirectory *directory);

void fx_directory_close(FxDirectory *directory);

#endif
