/* wire.h - messages between massflow and a worker process, over a stream socket.
 *
 * A message is a kind, a few values in a fixed order, and up to two files (shared memory): the
 * header of 24 bytes, with the files, then the values. Integers are 8 bytes in the machine's order,
 * for both ends are the same program; a text is its length, its bytes and a NUL, so that it can be
 * read in place. Neither end trusts what it reads: a value that is not there marks the packet as
 * broken. Whoever sends from several threads holds a lock. */
#ifndef MASSFLOW_RUN_WIRE_H
#define MASSFLOW_RUN_WIRE_H

#include <massflow/artifact.h>

/* What is asked and told. (m) massflow to worker, (w) worker to massflow. */
typedef enum mf_wire_kind {
    MF_WIRE_START,      /* m: what to run; see frozen.h */
    MF_WIRE_CANCEL,     /* m: end at the next cancel point */
    MF_WIRE_REPLY,      /* m: status, then what was asked for */
    MF_WIRE_LOG,        /* w: node, line */
    MF_WIRE_PROGRESS,   /* w: done, total, words */
    MF_WIRE_GET,        /* w: id                 -> head of the artifact */
    MF_WIRE_ARRAY,      /* w: id, index          -> file, of a ragged array: bytes and offsets */
    MF_WIRE_BOX,        /* w: id, index, lo, hi  -> bytes */
    MF_WIRE_ROW,        /* w: id, index, row     -> bytes */
    MF_WIRE_LOAD_STATE, /* w: most               -> step, whether there is one: id MF_WIRE_STATE */
    MF_WIRE_STATE_HEAD, /* w: head of a state */
    MF_WIRE_SAVE_STATE, /* w: step, keep         -> (it is on disk): the state whose content came */
    MF_WIRE_OUTPUT,     /* w: port, head of an artifact */
    MF_WIRE_CONTENT,    /* w: the next array of that output or state, its file or files */
    MF_WIRE_DONE        /* w: status */
} mf_wire_kind;

#define MF_WIRE_STATE "state" /* the id under which a loaded state is read */
#define MF_WIRE_FILES 2

/* Start with {0}; both kinds are cleared with mf_packet_clear, which closes its files. */
typedef struct mf_packet {
    mf_wire_kind kind;
    uint8_t *bytes;
    size_t size, room, at;
    bool failed; /* no memory, or a value is not there */
    int files[MF_WIRE_FILES];
    int file_count;
} mf_packet;

void mf_packet_clear(mf_packet *p);
void mf_packet_int(mf_packet *p, int64_t value);
void mf_packet_text(mf_packet *p, const char *text); /* may be NULL */
void mf_packet_bytes(mf_packet *p, const void *bytes, size_t size);
void mf_packet_status(mf_packet *p, const mf_error *status); /* borrowed */
void mf_packet_append(mf_packet *p, mf_packet *content);     /* takes over its files */
/* Type, attributes, arrays: all but the data. */
void mf_packet_head(mf_packet *p, const mf_artifact *artifact);
/* The data of one array as the packet's files. */
MF_MUST_USE mf_status mf_packet_array(mf_packet *p, const mf_artifact *artifact, const char *name);

int64_t mf_packet_get_int(mf_packet *p);
const char *mf_packet_get_text(mf_packet *p); /* NULL where NULL was put, and when broken */
const void *mf_packet_get_bytes(mf_packet *p, size_t *size);
MF_MUST_USE mf_status
mf_packet_get_status(mf_packet *p); /* the other end's; also an error when broken */
/* A list's length: at most what the rest of the packet can hold. */
size_t mf_packet_get_count(mf_packet *p);
MF_MUST_USE mf_status mf_packet_check(const mf_packet *p);

/* What mf_packet_head put. Attributes are set on `artifact` if that is not NULL. The names in
 * *arrays, which the caller frees, lie in the packet. */
MF_MUST_USE mf_status mf_packet_get_attributes(mf_packet *p, mf_artifact *artifact);
MF_MUST_USE mf_status mf_packet_get_arrays(mf_packet *p, mf_array_info **arrays, size_t *count);
/* The array that lies in the packet's files; `offsets` for a ragged one. */
MF_MUST_USE mf_status mf_packet_get_array(const mf_packet *p, const mf_array_info *info,
                                          mf_array **array, mf_array **offsets);

MF_MUST_USE mf_status mf_wire_send(int socket, const mf_packet *p);
/* One whole message. *end: the other side is gone, which is no error. */
MF_MUST_USE mf_status mf_wire_receive(int socket, mf_packet *p, bool *end);

#endif
