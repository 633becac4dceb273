/* decoder.h - decoding by libraries of others, in a process of its own (massflow-decode, which lies
 * beside this module): what ends that process is an error here. Started with the first frame, kept
 * for the next ones, and ended by decoder_close. */
#ifndef VOLUME_DECODER_H
#define VOLUME_DECODER_H

#include "../decode/frame.h"
#include <massflow/array.h>
#include <sys/types.h>

typedef struct decoder {
    const char *program;         /* NULL: massflow-decode beside this module */
    mf_status (*stop)(void *of); /* asked while waiting; its error ends the wait; NULL: never */
    void *of;
    double timeout; /* s without an answer, for whatever reason; 0: see decode_seconds */
    bool running;
    pid_t pid;
    int socket;
} decoder;

/* Decodes a stream: pixels [1, rows, columns] of `dtype`, whose size is that of the request's
 * pixels. `where` names file and frame, `name` the kind of stream. Where an error ended the
 * process, the next frame starts a new one. */
MF_MUST_USE mf_status decoder_run(decoder *d, const char *where, const char *name,
                                  const decode_request *r, const unsigned char *stream,
                                  mf_dtype dtype, mf_array **pixels);
void decoder_close(decoder *d);

#endif
