/* The load on HTTP servers: the same for all of them, and cheap enough not to be the bottleneck.
 *
 * httpload OP HOST PORT CONNECTIONS COUNT SIZE PREFIX [AUTHORIZATION]
 *
 * A thread per kept connection. OP: get (PREFIX%d, read and discarded) or put (PREFIX%d, SIZE bytes from memory).
 * One JSON line at the end. It understands Content-Length and nothing else, which is what the servers send for files.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 256 * 1024, HEAD = 16384 };

static const char *op, *prefix, *host, *authorization = "";
static struct sockaddr_in address;
static int connections;
static long count, size, next_index, failed;
static long long bytes;
static double *latencies;
static char first_error[256];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

static int send_all(int fd, const char *from, size_t left, int flags)
{
    while (left) {
        ssize_t sent = send(fd, from, left, MSG_NOSIGNAL | flags);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        from += sent;
        left -= (size_t)sent;
    }
    return 0;
}

/* One request and its answer; the body's length, or -1 with *why* filled. *closes*: the server ends the connection. */
static long long once(int fd, long index, char *block, char *why, int *closes)
{
    char head[HEAD];
    int put = !strcmp(op, "put");
    int length = snprintf(head, sizeof head, "%s %s%ld HTTP/1.1\r\nHost: %s\r\n%s", put ? "PUT" : "GET", prefix, index,
                          host, *authorization ? "Authorization: " : "");
    length += snprintf(head + length, sizeof head - (size_t)length, "%s%s", authorization, *authorization ? "\r\n" : "");
    if (put)
        length += snprintf(head + length, sizeof head - (size_t)length, "Content-Length: %ld\r\n", size);
    length += snprintf(head + length, sizeof head - (size_t)length, "\r\n");
    if (send_all(fd, head, (size_t)length, put ? MSG_MORE : 0) != 0)
        return -1;
    for (long left = put ? size : 0; left > 0;) {
        long part = left > BLOCK ? BLOCK : left;
        if (send_all(fd, block, (size_t)part, 0) != 0) {
            strcpy(why, "the server closed while the body was sent");
            return -1;
        }
        left -= part;
    }
    size_t have = 0;
    char *end = NULL;
    while (!end) {
        ssize_t got = recv(fd, block + have, HEAD - 1 - have, 0);
        if (got <= 0) {
            strcpy(why, "no answer");
            return -1;
        }
        have += (size_t)got;
        block[have] = 0;
        end = strstr(block, "\r\n\r\n");
        if (!end && have == HEAD - 1) {
            strcpy(why, "a head without end");
            return -1;
        }
    }
    int status = atoi(block + 9);
    char *ending = strcasestr(block, "\r\nConnection: close\r\n");
    *closes = ending && ending < end;
    char *field = strcasestr(block, "\r\nContent-Length:");
    long long announced = field && field < end ? atoll(field + 17) : 0;
    long long left = announced - (long long)(have - (size_t)(end + 4 - block));
    while (left > 0) {
        ssize_t got = recv(fd, block, left > BLOCK ? BLOCK : (size_t)left, 0);
        if (got <= 0) {
            strcpy(why, "the answer was cut short");
            return -1;
        }
        left -= got;
    }
    if (status < 200 || status > 299 || (!put && announced != size)) {
        snprintf(why, 100, "status %d, %lld bytes", status, announced);
        return -1;
    }
    return put ? size : announced;
}

static void *work(void *unused)
{
    char *block = malloc(BLOCK), why[128] = "";
    int fd = dial();
    long index;
    int closes = 0;
    (void)unused;
    memset(block, 'x', BLOCK);
    while ((index = __sync_fetch_and_add(&next_index, 1)) < count) {
        double before = now();
        if (closes) {
            close(fd);
            fd = dial();
            closes = 0;
        }
        long long moved = fd < 0 ? -1 : once(fd, index, block, why, &closes);
        if (moved < 0) {
            latencies[index] = -1;
            pthread_mutex_lock(&lock);
            failed++;
            if (!*first_error)
                snprintf(first_error, sizeof first_error, "%s", *why ? why : "no connection");
            pthread_mutex_unlock(&lock);
            close(fd);
            fd = dial();
            continue;
        }
        memset(block, 'x', HEAD);
        latencies[index] = now() - before;
        __sync_fetch_and_add(&bytes, moved);
    }
    close(fd);
    free(block);
    return NULL;
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

int main(int argc, char **argv)
{
    if (argc < 8) {
        fprintf(stderr, "usage: httpload OP HOST PORT CONNECTIONS COUNT SIZE PREFIX [AUTHORIZATION]\n");
        return 2;
    }
    op = argv[1];
    host = argv[2];
    address.sin_family = AF_INET;
    inet_pton(AF_INET, host, &address.sin_addr);
    address.sin_port = htons((unsigned short)atoi(argv[3]));
    connections = atoi(argv[4]);
    count = atol(argv[5]);
    size = atol(argv[6]);
    prefix = argv[7];
    if (argc > 8)
        authorization = argv[8];
    signal(SIGPIPE, SIG_IGN);
    pthread_t *threads = calloc((size_t)connections, sizeof *threads);
    latencies = calloc((size_t)count + 1, sizeof *latencies);
    double cpu = cpu_seconds(), start = now();
    for (int i = 0; i < connections; i++)
        pthread_create(&threads[i], NULL, work, NULL);
    for (int i = 0; i < connections; i++)
        pthread_join(threads[i], NULL);
    double seconds = now() - start;
    cpu = cpu_seconds() - cpu;
    long done = 0;
    for (long i = 0; i < count; i++)
        if (latencies[i] >= 0)
            latencies[done++] = latencies[i];
    qsort(latencies, (size_t)done, sizeof *latencies, by_size);
    printf("{\"operations\": %ld, \"failed\": %ld, \"bytes\": %lld, \"seconds\": %.6f, \"cpu_seconds\": %.6f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"peak_kib\": %ld, \"error\": \"%s\"}\n",
           done, failed, bytes, seconds, cpu, done ? latencies[(done - 1) / 2] * 1e6 : 0,
           done ? latencies[(long)((done - 1) * 0.99)] * 1e6 : 0, peak_kib(), first_error);
    return 0;
}
