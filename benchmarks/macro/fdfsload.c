/* The bare loop in C: kept sockets, plain blocking send and recv (files: sendfile and splice), nothing looked at but
 * status and length. No client that sleeps for its replies does better.
 *
 * fdfsload [-t] [-s SPIN] [-f FILE] HOST PORT OPS COUNT SIZE THREADS
 *
 * HOST, PORT: a tracker, which names a storage server once, in the beginning. OPS: comma list of ping (an exchange with
 * the storage server that touches no file), upload, download, info, delete, or with -f upload_file and download_file
 * instead, done in order, COUNT times each from THREADS threads, with files of SIZE bytes; what is left is deleted in
 * the end.
 * -t: the tracker is asked before each operation, too (and its answer left aside). -s: microseconds to poll for a reply
 * before sleeping for it. -f: the file that upload_file sends; download_file writes beside it.
 * One JSON line for each operation.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 10, GROUP = 16, PORT = 8, UPLOAD_HEAD = HEAD + 1 + 8 + 6, NAME = 128, SMALL = 512 };
enum { UPLOAD = 11, DELETE = 12, DOWNLOAD = 14, INFO = 22, PING = 111 };
enum { QUERY_STORE = 101, QUERY_FETCH = 102, QUERY_UPDATE = 103 };

#define PIPE ((size_t)1 << 20)

struct operation {
    const char *name;
    unsigned char command;
    unsigned char query; /* what the tracker is asked before; 0: nothing */
    int by_file;
};

static const struct operation operations[] = {
    {"ping", PING, 0, 0},
    {"upload", UPLOAD, QUERY_STORE, 0},
    {"download", DOWNLOAD, QUERY_FETCH, 0},
    {"info", INFO, QUERY_FETCH, 0},
    {"delete", DELETE, QUERY_UPDATE, 0},
    {"upload_file", UPLOAD, QUERY_STORE, 1},
    {"download_file", DOWNLOAD, QUERY_FETCH, 1},
};

struct worker {
    int tracker, storage;
    int source, target, pipe[2];
    char head[UPLOAD_HEAD]; /* of a request to upload */
    char *upload;           /* the same with the file behind it */
    char *reply;            /* head and body */
    size_t room;
    char small[SMALL];
};

/* A file's name as requests have it: the group, padded, and the name in it. */
struct file {
    char name[NAME];
    size_t length; /* 0: it is not stored */
};

static struct sockaddr_in tracker_address, storage_address;
static struct worker *workers;
static struct file *files;
static const struct operation *op;
static const char *path;
static int threads, ask_tracker;
static unsigned char store_path;
static long count, size, next_index, failed;
static int64_t spin;
static double *latencies;
static int first_status;

static int moves(const struct operation *what)
{
    return what->command == UPLOAD || what->command == DOWNLOAD;
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void give_up(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "the server closed the connection");
    exit(1);
}

static int dial(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
        give_up("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static size_t receive(int fd, char *into, size_t room)
{
    ssize_t got;
    if (spin) {
        int64_t end = now() + spin;
        do {
            got = recv(fd, into, room, MSG_DONTWAIT);
            if (got > 0)
                return (size_t)got;
            if (got == 0 || errno != EAGAIN)
                break;
            sched_yield();
        } while (now() < end);
    }
    do
        got = recv(fd, into, room, 0);
    while (got < 0 && errno == EINTR);
    if (got <= 0) {
        errno = got ? errno : 0;
        give_up("recv");
    }
    return (size_t)got;
}

static void send_all(int fd, const char *request, size_t length, int flags)
{
    while (length) {
        ssize_t sent = send(fd, request, length, MSG_NOSIGNAL | flags);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            give_up("send");
        request += sent;
        length -= (size_t)sent;
    }
}

/* Receives a reply, or only its head if that is all there is room for; its status, and the length of its body. */
static int receive_reply(int fd, char *reply, size_t room, size_t *body)
{
    size_t have = 0, whole = HEAD;
    while (have < whole) {
        have += receive(fd, reply + have, room - have);
        if (have >= HEAD && whole == HEAD) {
            uint64_t big;
            memcpy(&big, reply, sizeof big);
            *body = be64toh(big);
            if (room == HEAD)
                break;
            whole += *body;
            if (whole > room) {
                fprintf(stderr, "a reply of %zu bytes\n", whole);
                exit(1);
            }
        }
    }
    return (unsigned char)reply[9];
}

static int exchange(int fd, const char *request, size_t length, char *reply, size_t room, size_t *body)
{
    send_all(fd, request, length, 0);
    return receive_reply(fd, reply, room, body);
}

static void put_head(char *at, size_t body, unsigned char command)
{
    uint64_t big = htobe64(body);
    memcpy(at, &big, sizeof big);
    at[8] = (char)command;
    at[9] = 0;
}

static int query_tracker(struct worker *w, unsigned char query, const struct file *file, size_t *body)
{
    char request[HEAD + NAME];
    size_t length = query == QUERY_STORE ? 0 : file->length;
    put_head(request, length, query);
    memcpy(request + HEAD, file->name, length);
    return exchange(w->tracker, request, HEAD + length, w->small, sizeof w->small, body);
}

static void send_file(struct worker *w)
{
    off_t at = 0;
    send_all(w->storage, w->head, sizeof w->head, MSG_MORE);
    while (at < size)
        if (sendfile(w->storage, w->source, &at, (size_t)(size - at)) <= 0 && errno != EINTR)
            give_up("sendfile");
}

static void splice_file(struct worker *w, size_t left)
{
    if (ftruncate(w->target, 0) != 0 || lseek(w->target, 0, SEEK_SET) != 0)
        give_up("the local file");
    while (left) {
        ssize_t got = splice(w->storage, NULL, w->pipe[1], NULL, left < PIPE ? left : PIPE, SPLICE_F_MOVE);
        if (got <= 0)
            give_up("splice from the socket");
        left -= (size_t)got;
        while (got) {
            ssize_t put = splice(w->pipe[0], NULL, w->target, NULL, (size_t)got, SPLICE_F_MOVE);
            if (put <= 0)
                give_up("splice to the file");
            got -= put;
        }
    }
}

static int upload(struct worker *w, struct file *file)
{
    size_t body;
    if (op->by_file)
        send_file(w);
    else
        send_all(w->storage, w->upload, UPLOAD_HEAD + (size_t)size, 0);
    int status = receive_reply(w->storage, w->reply, w->room, &body);
    if (status)
        return status;
    if (body <= GROUP || body > NAME)
        return EPROTO;
    memcpy(file->name, w->reply + HEAD, body);
    file->length = body;
    return 0;
}

static int once(struct worker *w, struct file *file)
{
    char request[HEAD + 16 + NAME];
    size_t body = 0, extra = op->command == DOWNLOAD ? 16 : 0;
    int status;
    if (ask_tracker && op->query && (status = query_tracker(w, op->query, file, &body)) != 0)
        return status;
    if (op->command == UPLOAD)
        return upload(w, file);
    size_t length = op->command == PING ? 0 : extra + file->length;
    put_head(request, length, op->command);
    if (length) {
        memset(request + HEAD, 0, extra); /* offset and length of a download: all of it */
        memcpy(request + HEAD + extra, file->name, file->length);
    }
    status = exchange(w->storage, request, HEAD + length, w->reply, op->by_file ? HEAD : w->room, &body);
    if (status)
        return status;
    if (op->command == DOWNLOAD && body != (size_t)size)
        return EPROTO;
    if (op->command == DOWNLOAD && op->by_file)
        splice_file(w, body);
    if (op->command == DELETE)
        file->length = 0;
    return 0;
}

static void *work(void *argument)
{
    struct worker *w = argument;
    long index;
    while ((index = __sync_fetch_and_add(&next_index, 1)) < count) {
        int64_t before = now();
        int status = once(w, &files[index]);
        latencies[index] = status ? -1 : (double)(now() - before) / 1e3;
        if (status) {
            __sync_fetch_and_add(&failed, 1);
            first_status = first_status ? first_status : status;
        }
    }
    return NULL;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* Not ru_maxrss: that begins with what the parent had when it forked. */
static long peak_kib(void)
{
    char line[256];
    long peak = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, "VmHWM:", 6))
            peak = atol(line + 6);
    if (status)
        fclose(status);
    return peak;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_result(double seconds, double cpu)
{
    long done = 0;
    for (long i = 0; i < count; i++)
        if (latencies[i] >= 0)
            latencies[done++] = latencies[i];
    qsort(latencies, (size_t)done, sizeof *latencies, by_size);
    printf("{\"op\": \"%s\", \"operations\": %ld, \"failed\": %ld, \"bytes\": %ld, \"seconds\": %.6f, "
           "\"cpu_seconds\": %.6f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"peak_kib\": %ld, \"error\": \"%s\"}\n",
           op->name, done, failed, moves(op) ? done * size : 0, seconds, cpu, done ? latencies[(done - 1) / 2] : 0,
           done ? latencies[(long)((done - 1) * 0.99)] : 0, peak_kib(), first_status ? strerror(first_status) : "");
    fflush(stdout);
}

static void run(const struct operation *what, int report)
{
    pthread_t *started = calloc((size_t)threads, sizeof *started);
    op = what;
    next_index = failed = first_status = 0;
    double cpu = cpu_seconds();
    int64_t start = now();
    if (threads == 1)
        work(workers);
    for (int i = 0; threads > 1 && i < threads; i++)
        if ((errno = pthread_create(&started[i], NULL, work, &workers[i])) != 0)
            give_up("pthread_create");
    for (int i = 0; threads > 1 && i < threads; i++)
        pthread_join(started[i], NULL);
    double seconds = (double)(now() - start) / 1e9;
    if (report)
        print_result(seconds, cpu_seconds() - cpu);
    free(started);
}

/* The storage server that the tracker names for an upload. */
static void find_storage(void)
{
    struct worker asking = {.tracker = dial(&tracker_address)};
    size_t body;
    int status = query_tracker(&asking, QUERY_STORE, NULL, &body);
    size_t wide = body - GROUP - PORT - 1; /* 15 or 45, as the servers are set up */
    if (status || body <= GROUP + PORT + 1 || wide >= 64) {
        fprintf(stderr, "the tracker names no storage server: %s\n", strerror(status ? status : EPROTO));
        exit(1);
    }
    char text[64] = "";
    uint64_t port;
    memcpy(text, asking.small + HEAD + GROUP, wide);
    memcpy(&port, asking.small + HEAD + GROUP + wide, sizeof port);
    store_path = (unsigned char)asking.small[HEAD + body - 1];
    storage_address.sin_family = AF_INET;
    storage_address.sin_port = htons((unsigned short)be64toh(port));
    if (inet_pton(AF_INET, text, &storage_address.sin_addr) != 1) {
        fprintf(stderr, "not an IPv4 address: %s\n", text);
        exit(1);
    }
    close(asking.tracker);
}

/* Bytes that do not compress. */
static char *content(size_t length)
{
    char *bytes = malloc(length + 8);
    uint64_t x = UINT64_C(88172645463325252);
    for (size_t i = 0; i < length; i += 8) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(bytes + i, &x, 8);
    }
    return bytes;
}

static void prepare_for_files(struct worker *w, int index)
{
    char target[4096];
    snprintf(target, sizeof target, "%s-received-%d", path, index);
    w->source = open(path, O_RDONLY | O_CLOEXEC);
    w->target = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (w->source < 0 || w->target < 0 || pipe2(w->pipe, O_CLOEXEC) != 0)
        give_up(path);
    unlink(target);
    fcntl(w->pipe[1], F_SETPIPE_SZ, (int)PIPE);
}

static void prepare(struct worker *w, const char *bytes)
{
    uint64_t big = htobe64((uint64_t)size);
    w->tracker = ask_tracker ? dial(&tracker_address) : -1;
    w->storage = dial(&storage_address);
    put_head(w->head, UPLOAD_HEAD - HEAD + (size_t)size, UPLOAD);
    w->head[HEAD] = (char)store_path;
    memcpy(w->head + HEAD + 1, &big, sizeof big);
    memcpy(w->head + HEAD + 9, "bin\0\0", 6);
    w->room = SMALL;
    if (bytes) {
        w->room += (size_t)size;
        w->upload = malloc(UPLOAD_HEAD + (size_t)size);
        memcpy(w->upload, w->head, UPLOAD_HEAD);
        memcpy(w->upload + UPLOAD_HEAD, bytes, (size_t)size);
    }
    w->reply = malloc(w->room);
    memset(w->reply, 1, w->room); /* touched */
}

static const struct operation *named(const char *name)
{
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (!strcmp(operations[i].name, name) && (operations[i].by_file == !!path || !moves(&operations[i])))
            return &operations[i];
    fprintf(stderr, "there is no operation %s here\n", name);
    exit(2);
}

static int usage(void)
{
    fprintf(stderr, "usage: fdfsload [-t] [-s SPIN] [-f FILE] HOST PORT OPS COUNT SIZE THREADS\n");
    return 2;
}

static int arguments(int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "ts:f:")) != -1)
        switch (option) {
        case 't': ask_tracker = 1; break;
        case 's': spin = atol(optarg) * 1000; break;
        case 'f': path = optarg; break;
        default: return -1;
        }
    argv += optind;
    if (argc - optind != 6 || inet_pton(AF_INET, argv[0], &tracker_address.sin_addr) != 1)
        return -1;
    tracker_address.sin_family = AF_INET;
    tracker_address.sin_port = htons((unsigned short)atoi(argv[1]));
    count = atol(argv[3]);
    size = atol(argv[4]);
    threads = atoi(argv[5]);
    return count < 1 || size < 0 || threads < 1 || spin < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
    if (arguments(argc, argv) != 0)
        return usage();
    signal(SIGPIPE, SIG_IGN);
    find_storage();
    files = calloc((size_t)count, sizeof *files);
    latencies = calloc((size_t)count, sizeof *latencies);
    workers = calloc((size_t)threads, sizeof *workers);
    const char *bytes = path ? NULL : content((size_t)size);
    for (int i = 0; i < threads; i++) {
        prepare(&workers[i], bytes);
        if (path)
            prepare_for_files(&workers[i], i);
    }
    int stored = 0, lost = 0;
    for (char *name = strtok(argv[optind + 2], ","); name; name = strtok(NULL, ",")) {
        const struct operation *what = named(name);
        if (what->command == UPLOAD && stored)
            run(named("delete"), 0);
        if (what->command != PING && what->command != UPLOAD && !stored)
            run(named(path ? "upload_file" : "upload"), 0);
        stored = what->command == PING ? stored : what->command != DELETE;
        run(what, 1);
        lost |= failed != 0;
    }
    if (stored)
        run(named("delete"), 0);
    return lost;
}
