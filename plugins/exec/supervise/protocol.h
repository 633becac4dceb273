/* protocol.h - what a command's supervisor and the stage tell each other, over a socket of
 * messages. That the stage's end of it is closed means that the command is to end with all that it
 * started. */
#ifndef SUPERVISE_PROTOCOL_H
#define SUPERVISE_PROTOCOL_H

#include <stdint.h>

#define SUPERVISE_SOCKET 3 /* where the supervisor finds it */

typedef enum supervise_kind {
    SUPERVISE_STARTED = 1, /* supervisor: value is the command's process, which leads a group */
    SUPERVISE_FAILED,      /* supervisor: it could not be started; value is the errno */
    SUPERVISE_ENDED,       /* supervisor: value is how, as wait says; it is not reaped yet */
    SUPERVISE_GONE,        /* supervisor: all that it started has ended but value processes */
    SUPERVISE_ASK,         /* stage: SIGTERM to the command's group */
    SUPERVISE_KILL,        /* stage: end it, and all that it started */
    SUPERVISE_FORGOTTEN    /* stage, after ENDED: its group is no longer signalled from there */
} supervise_kind;

typedef struct supervise_message {
    int32_t kind, value;
} supervise_message;

#endif
