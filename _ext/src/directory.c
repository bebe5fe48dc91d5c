#define _GNU_SOURCE
#include "directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifndef _WIN32

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

struct FxDirectory {
    FxDirectoryOptions options;
    DIR *stream;
    int fd;
    int ended;
    int64_t entries, skipped;
    char *out; /* the piece being written */
    size_t out_room;
    /* Sorted: all names, one after the other, and where they begin. */
    char *names;
    char **order;
    size_t name_count, name_at;
    char target[PATH_MAX];
};

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int is_dot(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int grow(char **memory, size_t *room, size_t need)
{
    if (need <= *room)
        return 0;
    size_t wanted = *room * 2 > need ? *room * 2 : need;
    char *grown = realloc(*memory, wanted);
    if (!grown)
        return ENOMEM;
    *memory = grown;
    *room = wanted;
    return 0;
}

/* Whether the entry is wanted as far as its name tells. Counts those that cannot be listed. */
static int wanted(FxDirectory *d, const char *name, size_t size)
{
    const FxText *omitted = &d->options.omitted;

    if (name[0] == '.' && (!d->options.hidden || is_dot(name)))
        return 0;
    if (omitted->size && size >= omitted->size &&
        !memcmp(name + size - omitted->size, omitted->data, omitted->size))
        return 0;
    if (fx_listable(name, size))
        return 1;
    d->skipped++;
    return 0;
}

/* Reads the whole directory and sorts it by name. */
static int read_sorted(FxDirectory *d)
{
    size_t used = 0, room = 0, count = 0;
    struct dirent *entry;

    for (errno = 0; (entry = readdir(d->stream)); errno = 0) {
        size_t size = strlen(entry->d_name);
        if (!wanted(d, entry->d_name, size))
            continue;
        if (grow(&d->names, &room, used + size + 1))
            return ENOMEM;
        memcpy(d->names + used, entry->d_name, size + 1);
        used += size + 1;
        count++;
    }
    if (errno)
        return errno;
    d->order = malloc((count ? count : 1) * sizeof *d->order);
    if (!d->order)
        return ENOMEM;
    char *name = d->names;
    for (size_t i = 0; i < count; i++, name += strlen(name) + 1)
        d->order[i] = name;
    d->name_count = count;
    qsort(d->order, count, sizeof *d->order, compare);
    return 0;
}

FxDirectory *fx_directory_open(int at, const char *path, const FxDirectoryOptions *options)
{
    FxDirectory *d = calloc(1, sizeof *d);

    if (!d)
        return NULL;
    d->options = *options;
    fx_listing_begin(&d->options.style);
    /* Opened anew, so that the caller may close the descriptor and keeps its position. */
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    do
        d->fd = at >= 0 ? openat(at, ".", flags) : open(path, flags);
    while (d->fd < 0 && errno == EINTR);
    if (d->fd >= 0 && !(d->stream = fdopendir(d->fd))) {
        int error = errno;
        close(d->fd);
        errno = error;
        d->fd = -1;
    }
    int error = d->fd < 0 ? errno : 0;
    if (!error && options->sort)
        error = read_sorted(d);
    if (error) {
        fx_directory_close(d);
        errno = error;
        return NULL;
    }
    return d;
}

/* The next name that is wanted; NULL at the end or with *error set. */
static const char *next_name(FxDirectory *d, size_t *size, int *kind, int *error)
{
    struct dirent *entry;

    *error = 0;
    if (d->order) {
        if (d->name_at == d->name_count)
            return NULL;
        const char *name = d->order[d->name_at++];
        *size = strlen(name);
        *kind = DT_UNKNOWN;
        return name;
    }
    for (errno = 0; (entry = readdir(d->stream)); errno = 0) {
        *size = strlen(entry->d_name);
        *kind = entry->d_type;
        if (wanted(d, entry->d_name, *size))
            return entry->d_name;
    }
    *error = errno;
    return NULL;
}

/* Fills item from the file system: 1, 0 where the entry is not to be shown, or a negative errno. */
static int examine(FxDirectory *d, const char *name, int kind, FxListingItem *item)
{
    const FxDirectoryOptions *options = &d->options;
    struct stat status;

    if (kind == DT_LNK && options->links == FX_LINKS_HIDE)
        return 0;
    if (options->style.format == FX_LISTING_NLST && (kind != DT_UNKNOWN || options->links != FX_LINKS_HIDE))
        return 1;
    if (fstatat(d->fd, name, &status, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? 0 : -errno;
    if (S_ISLNK(status.st_mode)) {
        struct stat followed;
        if (options->links == FX_LINKS_HIDE)
            return 0;
        if (options->links == FX_LINKS_FOLLOW && !fstatat(d->fd, name, &followed, 0))
            status = followed;
    }
    if (S_ISLNK(status.st_mode) && options->style.format == FX_LISTING_LIST) {
        ssize_t size = readlinkat(d->fd, name, d->target, sizeof d->target);
        if (size > 0) {
            item->target.data = d->target;
            item->target.size = (size_t)size;
        }
    }
    item->mode = status.st_mode;
    item->size = status.st_size;
    item->mtime = (double)status.st_mtime;
    item->nlink = (int64_t)status.st_nlink;
    item->uid = status.st_uid;
    item->gid = status.st_gid;
    item->device = (uint64_t)status.st_dev;
    item->inode = status.st_ino;
    return 1;
}

/* Whether lines are names that nothing but the directory itself must be asked about. */
static int only_names(const FxDirectory *d)
{
    return d->options.style.format == FX_LISTING_NLST && d->options.links != FX_LINKS_HIDE;
}

/* As fx_directory_next, where lines are names. */
static int next_names(FxDirectory *d, size_t chunk, size_t *used)
{
    const FxText *prefix = &d->options.prefix;
    size_t at = 0, size;
    int kind, error = 0;

    while (at < chunk) {
        const char *name = NULL;
        if (d->options.max_entries < 0 || d->entries < d->options.max_entries)
            name = next_name(d, &size, &kind, &error);
        if (!name) {
            d->ended = !error;
            break;
        }
        if ((error = grow(&d->out, &d->out_room, at + prefix->size + size + 2)))
            break;
        if (prefix->size) {
            memcpy(d->out + at, prefix->data, prefix->size);
            at += prefix->size;
        }
        memcpy(d->out + at, name, size);
        memcpy(d->out + at + size, "\r\n", 2);
        at += size + 2;
        d->entries++;
    }
    *used = at;
    return error;
}

int fx_directory_next(FxDirectory *d, size_t chunk, const char **data, size_t *size)
{
    size_t used = 0;

    if (!d->ended && only_names(d)) {
        int error = next_names(d, chunk, size);
        *data = d->out;
        return error;
    }
    while (!d->ended && used < chunk) {
        FxListingItem item = {.owner = d->options.owner, .group = d->options.group};
        int kind, error = 0;
        const char *name = NULL;
        if (d->options.max_entries < 0 || d->entries < d->options.max_entries)
            name = next_name(d, &item.name.size, &kind, &error);
        if (error)
            return error;
        if (!name) {
            d->ended = 1;
            break;
        }
        item.name.data = name;
        int shown = examine(d, name, kind, &item);
        if (shown < 0)
            return -shown;
        if (!shown)
            continue;
        const FxText *prefix = &d->options.prefix;
        if (grow(&d->out, &d->out_room, used + prefix->size + fx_listing_room(&d->options.style, &item)))
            return ENOMEM;
        if (prefix->size) {
            memcpy(d->out + used, prefix->data, prefix->size);
            used += prefix->size;
        }
        used += fx_listing_line(&d->options.style, &item, d->out + used);
        d->entries++;
    }
    *data = d->out;
    *size = used;
    return 0;
}

int64_t fx_directory_entries(const FxDirectory *directory)
{
    return directory->entries;
}

int64_t fx_directory_skipped(const FxDirectory *directory)
{
    return directory->skipped;
}

void fx_directory_close(FxDirectory *d)
{
    if (!d)
        return;
    if (d->stream)
        closedir(d->stream);
    free(d->out);
    free(d->names);
    free(d->order);
    free(d);
}

#else /* Windows has no directory descriptors: there the twin does it. */

FxDirectory *fx_directory_open(int at, const char *path, const FxDirectoryOptions *options)
{
    (void)at, (void)path, (void)options;
    errno = ENOSYS;
    return NULL;
}

int fx_directory_next(FxDirectory *directory, size_t chunk, const char **data, size_t *size)
{
    (void)directory, (void)chunk, (void)data, (void)size;
    return ENOSYS;
}

int64_t fx_directory_entries(const FxDirectory *directory)
{
    return (void)directory, 0;
}

int64_t fx_directory_skipped(const FxDirectory *directory)
{
    return (void)directory, 0;
}

void fx_directory_close(FxDirectory *directory)
{
    (void)directory;
}

#endif
