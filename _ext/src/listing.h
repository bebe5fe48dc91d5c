/* Lines of LIST (ls -l) and MLSD (RFC 3659) listings. */
#ifndef FX_LISTING_H
#define FX_LISTING_H

#include <stddef.h>
#include <stdint.h>

enum { FX_LISTING_LIST, FX_LISTING_MLSD, FX_LISTING_NLST };

enum {
    FX_FACT_TYPE,
    FX_FACT_SIZE,
    FX_FACT_MODIFY,
    FX_FACT_PERM,
    FX_FACT_UNIQUE,
    FX_FACT_MODE,
    FX_FACT_OWNER,
    FX_FACT_GROUP,
    FX_FACT_UID,
    FX_FACT_GID,
    FX_FACT_COUNT
};

#define FX_MAX_FACTS 32

typedef struct {
    const char *data;
    size_t size;
} FxText;

typedef struct {
    int format;
    int fact_count;
    unsigned char facts[FX_MAX_FACTS]; /* in the order they are written */
    FxText file_perm, dir_perm;
    double now; /* seconds since 1970 */
    /* The calendar of the day last written. */
    int64_t cached_day;
    int cached_year, cached_month, cached_mday;
} FxListingStyle;

typedef struct {
    FxText name;
    FxText target; /* of a symbolic link; no data: not shown */
    FxText owner;  /* no data: the number below. For LIST padded to its column. */
    FxText group;
    FxText perm;   /* no data: the style's for its kind */
    FxText unique; /* no data: from the device and inode below, if there is an inode */
    uint32_t mode;
    int64_t size;
    double mtime; /* seconds since 1970 */
    int64_t nlink;
    uint64_t uid, gid, device, inode;
} FxListingItem;

/* Nothing has been written yet. */
void fx_listing_begin(FxListingStyle *style);

/* The most bytes that the item's line can have. */
size_t fx_listing_room(const FxListingStyle *style, const FxListingItem *item);

/* Writes the item's line, line end included; returns its length. */
size_t fx_listing_line(FxListingStyle *style, const FxListingItem *item, char *out);

/* Whether a name holds no control character (and is not empty). */
int fx_listable(const char *name, size_t size);

/* Days since 1970 of a date, and back. */
int64_t fx_days_from_date(int64_t year, int month, int day);
void fx_date_from_days(int64_t days, int *year, int *month, int *day);

/* Writes YYYYMMDDHHMMSS (14 bytes), of a time brought into the years 1 to 9999. */
void fx_write_time(FxListingStyle *style, double mtime, char *out);

#endif
