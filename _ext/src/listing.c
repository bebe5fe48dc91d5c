#include "listing.h"

#include <string.h>

#define KIND_MASK 0170000u
#define DIRECTORY 0040000u
#define REGULAR 0100000u
#define SYMLINK 0120000u

#define DAY 86400
#define RECENT 15778476.0 /* half a year, seconds: older files show their year */
#define EARLIEST -62135596800.0 /* 0001-01-01 */
#define LATEST 253402300799.0   /* 9999-12-31 23:59:59 */

#define MAX_NUMBER 20 /* digits of a 64-bit number, or sign and digits */

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

/* Days are counted in years that begin in March, so that the leap day comes last (Hinnant, "chrono-compatible
 * low-level date algorithms"). */
int64_t fx_days_from_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

void fx_date_from_days(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;

    *day = (int)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
    *month = (int)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

/* Whether any of eight bytes is less than 0x20, or 0x7F. */
static inline int any_control(const char *bytes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t word, deleted;

    memcpy(&word, bytes, sizeof word);
    deleted = word ^ ones * 0x7F;
    return (((word - ones * 0x20) & ~word) | ((deleted - ones) & ~deleted)) & tops ? 1 : 0;
}

int fx_listable(const char *name, size_t size)
{
    if (size >= 8) {
        for (size_t i = 0; i + 8 < size; i += 8)
            if (any_control(name + i))
                return 0;
        return !any_control(name + size - 8);
    }
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F)
            return 0;
    return size > 0;
}

void fx_listing_begin(FxListingStyle *style)
{
    style->cached_day = INT64_MIN;
}

size_t fx_listing_room(const FxListingStyle *style, const FxListingItem *item)
{
    size_t fixed = style->format == FX_LISTING_MLSD ? (size_t)style->fact_count * (MAX_NUMBER * 2 + 16) : 128;
    size_t perms = style->file_perm.size + style->dir_perm.size + item->perm.size;

    return fixed + perms * (size_t)style->fact_count + item->unique.size * (size_t)style->fact_count +
           (item->owner.size + item->group.size) * (size_t)(1 + 2 * style->fact_count) + item->name.size +
           item->target.size + 16;
}

static inline char *put(char *out, FxText text)
{
    if (text.size)
        memcpy(out, text.data, text.size);
    return out + text.size;
}

#define PUT(out, literal) (memcpy(out, literal, sizeof(literal) - 1), (out) + sizeof(literal) - 1)

static char *put_unsigned(char *out, uint64_t value)
{
    char digits[MAX_NUMBER];
    int at = MAX_NUMBER;

    do
        digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    memcpy(out, digits + at, (size_t)(MAX_NUMBER - at));
    return out + MAX_NUMBER - at;
}

/* Right-aligned in width columns. */
static char *put_aligned(char *out, int64_t value, int width)
{
    char digits[MAX_NUMBER + 1];
    char *start = digits;

    if (value < 0)
        *start++ = '-';
    char *end = put_unsigned(start, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
    int size = (int)(end - digits);
    for (; width > size; width--)
        *out++ = ' ';
    memcpy(out, digits, (size_t)size);
    return out + size;
}

static char *put_hex(char *out, uint64_t value)
{
    int shift = 60;

    while (shift && !(value >> shift))
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *out++ = "0123456789abcdef"[value >> shift & 15];
    return out;
}

static inline char *put_two(char *out, int value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
    return out + 2;
}

static inline char *put_four(char *out, int value)
{
    return put_two(put_two(out, value / 100), value % 100);
}

/* Sets the cached date to that of mtime; returns the second of the day. */
static int set_date(FxListingStyle *style, double mtime)
{
    mtime = mtime < EARLIEST ? EARLIEST : mtime > LATEST ? LATEST : mtime;
    int64_t seconds = (int64_t)mtime;
    if ((double)seconds > mtime)
        seconds--;
    int64_t day = seconds / DAY;
    if (day * DAY > seconds)
        day--;
    if (day != style->cached_day) {
        fx_date_from_days(day, &style->cached_year, &style->cached_month, &style->cached_mday);
        style->cached_day = day;
    }
    return (int)(seconds - day * DAY);
}

void fx_write_time(FxListingStyle *style, double mtime, char *out)
{
    int second = set_date(style, mtime);

    out = put_four(out, style->cached_year);
    out = put_two(out, style->cached_month);
    out = put_two(out, style->cached_mday);
    out = put_two(out, second / 3600);
    out = put_two(out, second / 60 % 60);
    put_two(out, second % 60);
}

static char kind_letter(uint32_t mode)
{
    switch (mode & KIND_MASK) {
    case DIRECTORY: return 'd';
    case SYMLINK: return 'l';
    case REGULAR: return '-';
    case 0020000u: return 'c';
    case 0060000u: return 'b';
    case 0010000u: return 'p';
    case 0140000u: return 's';
    default: return '?';
    }
}

static char *put_permissions(char *out, uint32_t mode)
{
    static const char letters[] = "rwxrwxrwx";

    for (int i = 0; i < 9; i++)
        out[i] = mode & (0400u >> i) ? letters[i] : '-';
    if (mode & 04000)
        out[2] = mode & 0100 ? 's' : 'S';
    if (mode & 02000)
        out[5] = mode & 0010 ? 's' : 'S';
    if (mode & 01000)
        out[8] = mode & 0001 ? 't' : 'T';
    return out + 9;
}

static char *put_column(char *out, FxText text, uint64_t number)
{
    if (text.data)
        return put(out, text);
    char *end = put_unsigned(out, number);
    while (end < out + 8)
        *end++ = ' ';
    return end;
}

static char *put_list(FxListingStyle *style, const FxListingItem *item, char *out)
{
    int second = set_date(style, item->mtime);

    *out++ = kind_letter(item->mode);
    out = put_permissions(out, item->mode);
    *out++ = ' ';
    out = put_aligned(out, item->nlink, 3);
    *out++ = ' ';
    out = put_column(out, item->owner, item->uid);
    *out++ = ' ';
    out = put_column(out, item->group, item->gid);
    *out++ = ' ';
    out = put_aligned(out, item->size, 12);
    *out++ = ' ';
    memcpy(out, months + 3 * (style->cached_month - 1), 3);
    out = put_aligned(out + 3, style->cached_mday, 3);
    *out++ = ' ';
    if (item->mtime > style->now - RECENT && item->mtime <= style->now) {
        out = put_two(out, second / 3600);
        *out++ = ':';
        out = put_two(out, second / 60 % 60);
    } else {
        *out++ = ' ';
        out = put_four(out, style->cached_year);
    }
    *out++ = ' ';
    out = put(out, item->name);
    if (item->target.data && (item->mode & KIND_MASK) == SYMLINK && fx_listable(item->target.data, item->target.size))
        out = put(PUT(out, " -> "), item->target);
    return out;
}

static char *put_word(char *out, FxText text, uint64_t number)
{
    return text.data ? put(out, text) : put_unsigned(out, number);
}

static char *put_fact(FxListingStyle *style, const FxListingItem *item, int fact, char *out)
{
    uint32_t kind = item->mode & KIND_MASK;

    switch (fact) {
    case FX_FACT_TYPE:
        if (kind == REGULAR)
            return PUT(out, "type=file;");
        if (kind == DIRECTORY)
            return PUT(out, "type=dir;");
        return kind == SYMLINK ? PUT(out, "type=OS.unix=symlink;") : PUT(out, "type=OS.unix=other;");
    case FX_FACT_SIZE:
        if (kind == DIRECTORY)
            return out;
        out = put_aligned(PUT(out, "size="), item->size, 0);
        break;
    case FX_FACT_MODIFY:
        out = PUT(out, "modify=");
        fx_write_time(style, item->mtime, out);
        out += 14;
        break;
    case FX_FACT_PERM:
        out = put(PUT(out, "perm="), item->perm.data   ? item->perm
                                     : kind == DIRECTORY ? style->dir_perm
                                                         : style->file_perm);
        break;
    case FX_FACT_UNIQUE:
        if (item->unique.data) {
            out = put(PUT(out, "unique="), item->unique);
        } else if (item->inode) {
            out = put_hex(PUT(out, "unique="), item->device);
            *out++ = 'g';
            out = put_hex(out, item->inode);
        } else {
            return out;
        }
        break;
    case FX_FACT_MODE:
        out = PUT(out, "UNIX.mode=");
        for (int shift = 9; shift >= 0; shift -= 3)
            *out++ = (char)('0' + (item->mode >> shift & 7));
        break;
    case FX_FACT_OWNER:
        out = put_word(PUT(out, "UNIX.owner="), item->owner, item->uid);
        break;
    case FX_FACT_UID:
        out = put_word(PUT(out, "UNIX.uid="), item->owner, item->uid);
        break;
    case FX_FACT_GROUP:
        out = put_word(PUT(out, "UNIX.group="), item->group, item->gid);
        break;
    default:
        out = put_word(PUT(out, "UNIX.gid="), item->group, item->gid);
        break;
    }
    *out++ = ';';
    return out;
}

size_t fx_listing_line(FxListingStyle *style, const FxListingItem *item, char *out)
{
    char *start = out;

    if (style->format == FX_LISTING_LIST) {
        out = put_list(style, item, out);
    } else {
        if (style->format == FX_LISTING_MLSD) {
            for (int i = 0; i < style->fact_count; i++)
                out = put_fact(style, item, style->facts[i], out);
            *out++ = ' ';
        }
        out = put(out, item->name);
    }
    *out++ = '\r';
    *out++ = '\n';
    return (size_t)(out - start);
}
