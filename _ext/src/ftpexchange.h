/* The exchange that moves one small file over FTP: commands, replies and the data connection together.
 *
 * Only the ordinary course is known here. Whatever else happens (a refusal, a broken connection, a long file, silence)
 * ends the exchange in the state in which it is, and the caller goes on from there. Nothing waits but
 * fx_ftp_run(); one thread at a time uses an exchange.
 */
#ifndef FX_FTPEXCHANGE_H
#define FX_FTPEXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define FX_FTP_REPLIES 8192

/* What an epoll set reports of an exchange: its serial number, and which of the two sockets. */
#define FX_FTP_DATA 1u

typedef struct {
    int control;
    struct sockaddr_storage peer;
    socklen_t peer_size;
    int epoll_fd; /* -1: nobody watches */
    uint64_t serial;

    /* What is to be done. */
    int finals;     /* final replies to wait for */
    int address_at; /* which of them tells the port of this transfer; -1: none */
    int transfer_at; /* which of them is the transfer's own; -1: there is none, only commands */
    int next_at;    /* which of them tells that of the next; -1: none */
    const uint8_t *payload;
    size_t payload_size;
    bool sending;
    size_t limit; /* longest body taken */
    int size_at;  /* which of the final replies tells the file's size (SIZE); -1: none */
    bool leave_next; /* the last reply, which is next_at's, need not be waited for */
    const char *then; /* commands for when the whole payload is sent and the transfer's verdict is positive */
    size_t then_size; /* 0: there are none */
    int named_at;     /* which of the final replies is that of RNTO, behind that of RNFR; -1: none */
    int file;     /* a whole body is written to this descriptor, from its start; -1: it is not */

    /* Where it is. */
    bool done;
    int seen;
    int data; /* -1: not open (yet, or any more) */
    int next; /* a connection for the following transfer; -1: none */
    int64_t next_at_time;
    int64_t moved_at;
    bool connected;
    bool ended; /* the peer's end was received, or the whole payload handed over */
    bool owed;   /* the last reply was not waited for, and is still to come */
    bool consented; /* a reply said that the transfer begins */
    bool agreed; /* the transfer's verdict was positive, and for an upload there was consent before it */
    bool promised; /* RNFR was answered as it should be */
    bool named;    /* so was RNTO */
    bool stored; /* the whole body is in the file */
    bool steady; /* a small file has come in the ordinary course: so will the next, most likely */
    bool data_first; /* its replies are not worth being woken for before its bytes have come */
    int64_t size; /* what the server says; -1: nothing */
    size_t then_sent;
    size_t phase_start; /* where in the replies those begin that are of one piece: to the transfer, to what follows it */
    size_t before[2];   /* bytes of replies that came before the verdict, and before the answer to RNTO */
    size_t lull[2];     /* the same of the upload before this one, which was ordinary: nothing that is worth waking for */
    bool low_water;     /* the control connection's low-water mark is not 1 */
    int data_error;
    size_t sent;
    uint8_t *body;
    size_t body_size;
    size_t body_room;
    size_t reply_size;
    size_t parsed;
    size_t reply_start;
    int multi; /* the code of a reply of several lines that is not at its end; 0: none */
    char replies[FX_FTP_REPLIES];
} fx_ftp;

void fx_ftp_init(fx_ftp *x, int control);
/* Closes what is open and frees the body. */
void fx_ftp_destroy(fx_ftp *x);

/* Begins: x->data, or a port that will be told, is the data connection. A reply that is owed is the first of those that
 * are waited for now. */
void fx_ftp_begin(fx_ftp *x);
/* All has taken its course: the replies are what they should be, the body is whole, of the size that the server tells,
 * and in the file, and the next data connection is open; as far as that was asked for. */
bool fx_ftp_ordinary(const fx_ftp *x);
/* Goes on after all to wait for a reply that is owed. */
void fx_ftp_resume(fx_ftp *x);
/* Something came on the control connection. */
void fx_ftp_control(fx_ftp *x);
/* The data connection is ready: hung up is whether its peer's end is already known to be there. */
void fx_ftp_data(fx_ftp *x, bool hung_up);
/* Waits and works until it is done, or nothing has moved for patience ns; spin: ns of busy polling before each sleep.
 * Returns false when interrupted by a signal: look at it and call again. */
bool fx_ftp_run(fx_ftp *x, int64_t patience, int64_t spin);

#endif
