/* hub.h - server-sent events: what happens is put in once, and each page that listens takes it from
 * a queue of its own. (HTML Standard, 9.2.) */
#ifndef MF_DESK_HUB_H
#define MF_DESK_HUB_H

#include <massflow/error.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct hub hub;
typedef struct hub_ear hub_ear; /* one who listens */

#define HUB_MOST_EARS 16
#define HUB_MOST_WAITING 1024 /* events; one who is further behind is told to begin anew */

MF_MUST_USE mf_status hub_new(hub **h);
void hub_free(hub *h); /* nobody listens any more */
/* Ends all listening, and refuses more. */
void hub_close(hub *h);
/* `json` on one line. */
void hub_put(hub *h, const char *name, const char *json);
/* A line that says nothing, to all: it finds out who has gone. */
void hub_beat(hub *h);
/* NULL where too many listen. */
hub_ear *hub_listen(hub *h);
/* Waits; gives up to `room` bytes of the stream, 0 at its end. */
size_t hub_read(void *ear, char *to, size_t room);
void hub_leave(void *ear);

#endif
