/* The load on FTP servers: the same for all of them, and cheap enough not to be the bottleneck.
 *
 * ftpload OP HOST PORT SESSIONS COUNT SIZE NAME [tls]
 *
 * A thread per session, user "user", password "pass", type I, one data connection per transfer (EPSV).
 * OP: retr (NAME%d of 0..COUNT-1, read and discarded), stor (NAME%d, SIZE bytes from memory), list, mlsd, nlst (of
 * directory NAME), noop, login (a new connection each time), idle (SESSIONS logged-in sessions, held until end of input).
 * One JSON line; then the sessions stay open until the end of input, so that the servers' processes can be looked at.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
static SSL_CTX *context;
#else
typedef void SSL;
#endif

enum { BLOCK = 256 * 1024, LINE = 4096 };

struct stream {
    int fd;
    SSL *ssl;
};

struct session {
    struct stream control;
    char line[LINE]; /* unread bytes of the control connection */
    size_t have;
    char reply[LINE]; /* last reply line */
    char *block;
};

static const char *op, *name;
static struct sockaddr_in address;
static int sessions, use_tls;
static long count, size;
static long next_index, failed;
static long long bytes;
static double *latencies;
static char first_error[512];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void note_failure(const char *what, const char *detail)
{
    pthread_mutex_lock(&lock);
    failed++;
    if (!*first_error)
        snprintf(first_error, sizeof first_error, "%s: %.300s", what, detail);
    pthread_mutex_unlock(&lock);
}

static ssize_t stream_read(struct stream *s, char *into, size_t room)
{
#ifdef WITH_TLS
    if (s->ssl) {
        int got = SSL_read(s->ssl, into, room > 16384 ? 16384 : (int)room);
        if (got > 0)
            return got;
        return SSL_get_error(s->ssl, got) == SSL_ERROR_ZERO_RETURN ? 0 : got == 0 ? 0 : -1;
    }
#endif
    ssize_t got;
    do
        got = recv(s->fd, into, room, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

static int stream_write(struct stream *s, const char *from, size_t left)
{
    while (left) {
        ssize_t sent;
#ifdef WITH_TLS
        if (s->ssl)
            sent = SSL_write(s->ssl, from, left > BLOCK ? BLOCK : (int)left);
        else
#endif
            sent = send(s->fd, from, left, MSG_NOSIGNAL);
        if (sent <= 0) {
            if (sent < 0 && errno == EINTR && !s->ssl)
                continue;
            return -1;
        }
        from += sent;
        left -= (size_t)sent;
    }
    return 0;
}

static void stream_close(struct stream *s)
{
#ifdef WITH_TLS
    if (s->ssl) {
        /* What the server still sends (session tickets) must be read, or closing resets the connection. */
        char rest[LINE];
        SSL_shutdown(s->ssl);
        shutdown(s->fd, SHUT_WR);
        while (recv(s->fd, rest, sizeof rest, 0) > 0)
            ;
        SSL_free(s->ssl);
        s->ssl = NULL;
    }
#endif
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static int secure(struct stream *s, struct stream *like)
{
#ifdef WITH_TLS
    s->ssl = SSL_new(context);
    SSL_set_fd(s->ssl, s->fd);
    if (like && like->ssl) {
        SSL_SESSION *known = SSL_get1_session(like->ssl);
        SSL_set_session(s->ssl, known);
        SSL_SESSION_free(known);
    }
    return SSL_connect(s->ssl) == 1 ? 0 : -1;
#else
    (void)s;
    (void)like;
    return -1;
#endif
}

static int dial(int port)
{
    struct sockaddr_in to = address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    to.sin_port = htons((unsigned short)port);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* Reads one whole reply; its code, or -1. */
static int reply(struct session *s)
{
    char code[5] = "";
    for (;;) {
        char *end = memchr(s->line, '\n', s->have);
        if (end) {
            size_t length = (size_t)(end - s->line) + 1;
            memcpy(s->reply, s->line, length);
            s->reply[length - 1] = 0;
            memmove(s->line, s->line + length, s->have - length);
            s->have -= length;
            if (!*code) {
                memcpy(code, s->reply, 3);
                if (length > 4 && s->reply[3] == '-')
                    continue;
                return atoi(code);
            }
            if (!strncmp(s->reply, code, 3) && s->reply[3] == ' ')
                return atoi(code);
            continue;
        }
        if (s->have == LINE)
            return -1;
        ssize_t got = stream_read(&s->control, s->line + s->have, LINE - s->have);
        if (got <= 0) {
            snprintf(s->reply, sizeof s->reply, "the server closed the control connection");
            return -1;
        }
        s->have += (size_t)got;
    }
}

static int command(struct session *s, const char *format, ...)
{
    char text[LINE];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text - 2, format, arguments);
    va_end(arguments);
    memcpy(text + length, "\r\n", 2);
    if (stream_write(&s->control, text, (size_t)length + 2) != 0)
        return -1;
    return reply(s);
}

static int sign_in(struct session *s)
{
    s->have = 0;
    s->control.ssl = NULL;
    s->control.fd = dial(ntohs(address.sin_port));
    if (s->control.fd < 0) {
        snprintf(s->reply, sizeof s->reply, "connect: %s", strerror(errno));
        return -1;
    }
    if (reply(s) != 220)
        return -1;
    if (use_tls && (command(s, "AUTH TLS") != 234 || secure(&s->control, NULL) != 0))
        return -1;
    int code = command(s, "USER user");
    if (code == 331)
        code = command(s, "PASS pass");
    if (code != 230)
        return -1;
    if (use_tls && (command(s, "PBSZ 0") != 200 || command(s, "PROT P") != 200))
        return -1;
    return strcmp(op, "login") && strcmp(op, "idle") && command(s, "TYPE I") != 200 ? -1 : 0;
}

/* One transfer with its data connection; the payload's length, or -1. */
static long long transfer(struct session *s, const char *verb, const char *argument, long send_bytes)
{
    if (command(s, "EPSV") != 229)
        return -1;
    char *bar = strstr(s->reply, "|||");
    struct stream data = {.fd = bar ? dial(atoi(bar + 3)) : -1};
    if (data.fd < 0)
        return -1;
    int code = command(s, "%s %s", verb, argument);
    if (code != 150 && code != 125) {
        stream_close(&data);
        return -1;
    }
    if (use_tls && secure(&data, &s->control) != 0) {
        snprintf(s->reply, sizeof s->reply, "no TLS on the data connection");
        stream_close(&data);
        return -1;
    }
    long long moved = 0;
    if (send_bytes >= 0) {
        while (moved < send_bytes) {
            long part = send_bytes - moved > BLOCK ? BLOCK : (long)(send_bytes - moved);
            if (stream_write(&data, s->block, (size_t)part) != 0)
                break;
            moved += part;
        }
    } else {
        ssize_t got;
        while ((got = stream_read(&data, s->block, BLOCK)) > 0)
            moved += got;
        if (got < 0)
            moved = -1;
    }
    stream_close(&data);
    code = reply(s);
    return code / 100 == 2 ? moved : -1; /* 226 or 250; aioftp ends listings with 200 */
}

static int once(struct session *s, long index)
{
    char path[LINE];
    long long moved;
    if (!strcmp(op, "login")) {
        int bad = sign_in(s);
        if (!bad)
            command(s, "QUIT");
        stream_close(&s->control);
        return bad;
    }
    if (!strcmp(op, "noop"))
        return command(s, "NOOP") == 200 ? 0 : -1;
    snprintf(path, sizeof path, "%s%ld", name, index);
    if (!strcmp(op, "retr"))
        moved = transfer(s, "RETR", path, -1);
    else if (!strcmp(op, "stor"))
        moved = transfer(s, "STOR", path, size);
    else
        moved = transfer(s, !strcmp(op, "list") ? "LIST" : !strcmp(op, "mlsd") ? "MLSD" : "NLST", name, -1);
    if (moved < 0 || ((!strcmp(op, "retr") || !strcmp(op, "stor")) && moved != size))
        return -1;
    __sync_fetch_and_add(&bytes, moved);
    return 0;
}

static void *work(void *argument)
{
    struct session *s = argument;
    long index;
    while ((index = __sync_fetch_and_add(&next_index, 1)) < count) {
        double before = now();
        if (once(s, index) != 0) {
            latencies[index] = -1;
            note_failure(op, s->reply);
            if (s->control.fd < 0)
                break;
        } else
            latencies[index] = now() - before;
    }
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

static void print_result(double seconds, double cpu)
{
    long done = 0;
    for (long i = 0; i < count && i < next_index; i++)
        if (latencies[i] >= 0)
            latencies[done++] = latencies[i];
    qsort(latencies, (size_t)done, sizeof *latencies, by_size);
    for (char *c = first_error; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
            *c = ' ';
    printf("{\"operations\": %ld, \"failed\": %ld, \"bytes\": %lld, \"seconds\": %.6f, \"cpu_seconds\": %.6f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"peak_kib\": %ld, \"error\": \"%s\"}\n",
           done, failed, bytes, seconds, cpu, done ? latencies[(done - 1) / 2] * 1e6 : 0,
           done ? latencies[(long)((done - 1) * 0.99)] * 1e6 : 0, peak_kib(), first_error);
    fflush(stdout);
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void wait_for_end_of_input(void)
{
    while (getchar() != EOF)
        ;
}

int main(int argc, char **argv)
{
    if (argc < 8) {
        fprintf(stderr, "usage: ftpload OP HOST PORT SESSIONS COUNT SIZE NAME [tls]\n");
        return 2;
    }
    op = argv[1];
    address.sin_family = AF_INET;
    inet_pton(AF_INET, argv[2], &address.sin_addr);
    address.sin_port = htons((unsigned short)atoi(argv[3]));
    sessions = atoi(argv[4]);
    count = atol(argv[5]);
    size = atol(argv[6]);
    name = argv[7];
    use_tls = argc > 8 && !strcmp(argv[8], "tls");
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
#ifdef WITH_TLS
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT);
#else
    if (use_tls) {
        fprintf(stderr, "compiled without TLS\n");
        return 2;
    }
#endif
    struct session *all = calloc((size_t)sessions, sizeof *all);
    pthread_t *threads = calloc((size_t)sessions, sizeof *threads);
    int transfers = strcmp(op, "login") && strcmp(op, "idle") && strcmp(op, "noop");
    latencies = calloc((size_t)count + 1, sizeof *latencies);
    for (int i = 0; i < sessions; i++) {
        all[i].control.fd = -1;
        if (transfers) {
            all[i].block = malloc(BLOCK);
            memset(all[i].block, i + 1, BLOCK);
        }
        if (strcmp(op, "login") && sign_in(&all[i]) != 0) {
            fprintf(stderr, "cannot sign in: %s\n", all[i].reply);
            return 1;
        }
    }
    if (!strcmp(op, "idle")) {
        print_result(0, 0);
        wait_for_end_of_input();
        return 0;
    }
    double cpu = cpu_seconds(), start = now();
    for (int i = 0; i < sessions; i++)
        pthread_create(&threads[i], NULL, work, &all[i]);
    for (int i = 0; i < sessions; i++)
        pthread_join(threads[i], NULL);
    double seconds = now() - start;
    print_result(seconds, cpu_seconds() - cpu);
    wait_for_end_of_input();
    return 0;
}
