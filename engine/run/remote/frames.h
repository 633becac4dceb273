/* frames.h - the connection of a coordinator (massflow run) and a worker (massflow worker) over
 * TCP.
 *
 * First both prove that they know the token, in plain messages of fixed size (c: coordinator, w:
 * worker; A, B: 32 random bytes, each of that connection alone):
 *     c   "massflow link 2\n"  A
 *     w   "massflow link 2\n"  B  HMAC(token, "worker" A B)
 *     c   HMAC(token, "coordinator" A B)
 * A number other than 1 is another protocol: that end says so and goes. Where the worker's proof is
 * wrong the coordinator closes without a word.
 *
 * Then frames, sealed by AES-256-GCM (secret.h) under keys of each direction:
 *     size of what is sealed (4 bytes), sealed: kind (1), 3 zeros, channel (4), body; tag (16)
 * Integers of frames are little-endian. Values of a body are as in worker/wire.h; MF_LINK_HELLO
 * says in which byte order, and ends of different order part. Each running node has a channel;
 * channel 0 is the worker itself. (c) coordinator to worker, (w) worker to coordinator. An end that
 * hears nothing for six heartbeats gives the other one up. */
#ifndef MASSFLOW_RUN_REMOTE_FRAMES_H
#define MASSFLOW_RUN_REMOTE_FRAMES_H

#include "run/remote/secret.h"
#include "run/worker/wire.h"

#define MF_LINK_MAGIC "massflow link 2\n"
#define MF_LINK_MAGIC_BYTES 16
#define MF_LINK_MOST ((size_t)64 << 20) /* bytes of a frame */
#define MF_LINK_BEAT 10.0               /* s, of a heartbeat */
#define MF_LINK_LEAST_BEAT 0.01         /* that may be asked for */
#define MF_LINK_MOST_BEAT 3600.0
#define MF_LINK_BEATS 6 /* that may be missing */
/* Log lines of a node that are on their way: more it does not send until they were taken. */
#define MF_LINK_LINES 2048
#define MF_LINK_BATCH ((size_t)16 << 20) /* bytes of chunks that are asked for at once */

typedef enum mf_link_kind {
    MF_LINK_PING,
    /* Of channel 0. */
    MF_LINK_HELLO,   /* w: what it is; see hello.h */
    MF_LINK_WELCOME, /* c: milliseconds of a heartbeat; the spool (spool.h), or none */
    MF_LINK_REFUSED, /* c: words; the link ends */
    MF_LINK_LEAVING, /* w: words; no new nodes */
    MF_LINK_CANCEL,  /* c: all that runs ends at its next cancel point; of a node: it alone, for
                      * nobody hears it any more */
    MF_LINK_BACK,    /* c: keys; which of them wait for a slot are handed back */
    MF_LINK_BYE,     /* c: the worker ends: the run is over, or has no node at one that leaves */
    /* Of a node. Questions are answered one after the other by MF_LINK_REPLY: a status, then what
     * stands behind the arrow. */
    MF_LINK_START,    /* c: what to run; see remote.c */
    MF_LINK_REPLY,    /* c */
    MF_LINK_LOG,      /* w: node, line */
    MF_LINK_PROGRESS, /* w: done, total, part, words */
    MF_LINK_GET,      /* w: id of an input -> its record */
    MF_LINK_WANT,     /* w: id, numbers of pieces -> each of them as MF_LINK_PIECE before it */
    MF_LINK_PIECE,    /* c, w: number, codec, bytes uncompressed, bytes */
    MF_LINK_OUTPUT,   /* w: port, record -> numbers of the pieces that the coordinator lacks */
    MF_LINK_SYNC,     /* w -> (the pieces so far are taken) */
    MF_LINK_KEEP,     /* w -> (all pieces of the output are there, and it is kept) */
    MF_LINK_LOAD,     /* w: most -> step, whether there is a state: its head, then its bytes */
    MF_LINK_STATE,    /* w: head of a state */
    MF_LINK_BYTES,    /* c, w: the next bytes of a state's arrays, or of an input's files */
    MF_LINK_SAVE,     /* w: step, keep -> (it is on disk): the state whose bytes came */
    MF_LINK_FILES,    /* w: number of an input -> its files; see offer.h */
    MF_LINK_READ,     /* w: that number, first byte, how many -> all as MF_LINK_BYTES before it */
    MF_LINK_DONE,     /* w: status, seconds, peak bytes */
    MF_LINK_RETURNED, /* w: words, whether its folder can't be written, whether it had waited for a
                       * slot till then; the node was not run, or not to its end */
    MF_LINK_TAKEN,    /* c: how many of its lines were taken */
    /* Of a node that several workers run; see gang.h and rank_links.h. */
    MF_LINK_RANKS, /* w: its address, the kind of its devices -> the addresses of all */
    MF_LINK_ABORT, /* c: another one has failed or ended */
    MF_LINK_RANK, /* from worker to worker, on a new connection: its number, of its devices which */
    MF_LINK_KIND_COUNT
} mf_link_kind;

typedef struct mf_frame {
    mf_link_kind kind;
    uint32_t channel;
    mf_packet body; /* to be read from */
} mf_frame;

typedef struct mf_link mf_link;

/* A connection whose other end is authentic. Takes over the socket, also on failure. */
MF_MUST_USE mf_status mf_link_new(int socket, const uint8_t send_key[MF_SECRET_BYTES],
                                  const uint8_t receive_key[MF_SECRET_BYTES], mf_link **link);
void mf_link_free(mf_link *link); /* NULL is fine */
/* Seconds of a heartbeat, for both directions. */
void mf_link_set_beat(mf_link *link, double seconds);
/* Ends both directions at once; whoever waits for it fails. From any thread. */
void mf_link_cut(mf_link *link);
/* Closes the socket of one that was cut and that no thread receives from. It is known further. */
void mf_link_close(mf_link *link);
int mf_link_socket(const mf_link *link);

/* From any thread. Empties the packet. */
MF_MUST_USE mf_status mf_link_send(mf_link *link, mf_link_kind kind, uint32_t channel,
                                   mf_packet *body);
/* The same with bytes behind the packet's, which are borrowed. */
MF_MUST_USE mf_status mf_link_send_bytes(mf_link *link, mf_link_kind kind, uint32_t channel,
                                         mf_packet *body, const void *bytes, size_t size);
/* A heartbeat where nothing was sent for so long; never waits. From any thread. */
void mf_link_beat(mf_link *link);
/* The next frame but heartbeats; one thread at a time. *end: the other end has closed. */
MF_MUST_USE mf_status mf_link_receive(mf_link *link, mf_frame *frame, bool *end);
int64_t mf_link_sent(const mf_link *link), mf_link_received(const mf_link *link); /* bytes */

/* The handshake of a worker on a connected socket, which it takes over, also on failure. */
MF_MUST_USE mf_status mf_link_join(int socket, const mf_token *token, double timeout,
                                   const char *where, mf_link **link);
/* That of a coordinator, step by step without waiting; see listener.c. */
typedef struct mf_handshake {
    uint8_t random[MF_SECRET_BYTES];
    uint8_t heard[MF_LINK_MAGIC_BYTES + 2 * MF_SECRET_BYTES];
    size_t size;
} mf_handshake;
/* Greets; false where the socket is gone. */
bool mf_handshake_begin(mf_handshake *h, int socket);
/* Reads what is there. *done: all of it; *link is then the link, which has the socket. An error:
 * the connection is to be closed. */
MF_MUST_USE mf_status mf_handshake_hear(mf_handshake *h, int socket, const mf_token *token,
                                        bool *done, mf_link **link);

#endif
