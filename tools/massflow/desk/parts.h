/* parts.h - private to the server of the desk: requests, replies, the desk itself. */
#ifndef MF_DESK_PARTS_H
#define MF_DESK_PARTS_H

#include "desk.h"
#include "hub.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <microhttpd.h>

#define DESK_TOKEN 64            /* hex digits */
#define DESK_MOST_BODY (1 << 18) /* bytes of a POST */
#define DESK_MOST_CONNECTIONS 48
#define DESK_KEPT 16 /* artifacts that are kept open */

struct desk_request {
    desk *desk;
    struct MHD_Connection *connection;
    const char *path, *rest;
    bool post;
    char *body; /* as it comes in */
    size_t size;
    json_object *parsed;
};

struct desk_reply {
    unsigned status;
    const char *type;
    void *bytes; /* freed by the server unless `fixed` */
    size_t size;
    bool fixed, lasting;
    char *location, *cookie, *download;
    size_t (*read)(void *self, char *to, size_t room);
    void (*end)(void *self);
    void *self;
};

/* How the desk is opened; copied. */
typedef struct desk_options {
    const char *graph, *cache, *plugins, *devices;
    const char *pools; /* the site's file of pools; NULL: the usual one */
    bool by_version;
    const mf_setting *settings;
    size_t setting_count;
} desk_options;

typedef struct desk_kept {
    char id[65];
    mf_artifact *artifact;
    uint64_t used;
} desk_kept;

/* What running nodes said of their steps, "loss 0.31", since the run began: a page that is opened
 * late draws the same curves. live.c */
typedef struct desk_live {
    struct desk_sample *samples;
    size_t count, every; /* each `every`-th of a node is kept */
} desk_live;

/* What a run is to do. launch.c */
typedef struct desk_wanted {
    mf_workspace *w;
    char **targets;
    size_t target_count;
    bool force;
    bool local;                 /* this machine has slots */
    struct desk_pooled *pooled; /* NULL: this machine alone */
} desk_wanted;

/* A run in this process. launch.c */
typedef struct desk_launch {
    pthread_mutex_t lock; /* of all here */
    pthread_t thread;
    bool running, joinable, stopping;
    bool closed; /* no more is begun */
    desk_wanted wanted;
    char *state; /* JSON: what a page that comes late is told */
    desk_live live;
} desk_launch;

struct desk {
    char token[DESK_TOKEN + 1];
    char *host; /* that it listens at, as given */
    unsigned port;
    char *cookie; /* its name: browsers keep one jar for all ports of a host */
    struct MHD_Daemon *daemon;
    hub *hub;
    pthread_mutex_t lock; /* of what follows */
    char *graph, *cache, *plugins, *devices, *pools;
    bool by_version;
    mf_setting *settings;
    size_t setting_count;
    mf_workspace *w; /* NULL where the graph can't be read; then */
    char *trouble;   /* why */
    char *warnings;  /* of the file; or NULL */
    desk_kept kept[DESK_KEPT];
    uint64_t used;
    desk_launch launch;
    struct desk_look *look;   /* what Look keeps open; looked_at.c */
    struct desk_click *click; /* a scan as a model sees it; click.c */
    struct desk_jobs *jobs;   /* what is computed for a page; job.c */
};

/* request.c */
void desk_reply_clear(desk_reply *r);
void desk_reply_error(desk_reply *r, mf_status status); /* takes it */

/* gate.c */
typedef enum desk_gate {
    DESK_OPEN,     /* go on */
    DESK_ENTER,    /* the token is in the address: to be kept in a cookie */
    DESK_NO_TOKEN, /* neither is there */
    DESK_NO_HOST,  /* asked under a name that is not this machine's */
    DESK_NO_ORIGIN /* another site's page asks */
} desk_gate;
desk_gate desk_gate_check(const desk_request *q);
MF_MUST_USE mf_status desk_gate_token(char token[DESK_TOKEN + 1]);

/* routes.c */
const desk_route *desk_route_find(const char *method, const char *path, bool *known);

/* assets.c: the files of the page; false where there is none of that path. */
bool desk_asset(const char *path, desk_reply *r);

/* server.c */
MF_MUST_USE mf_status desk_server_open(desk *d);
void desk_server_close(desk *d);

/* kept_artifacts.c; with the lock of the desk held */
void desk_kept_drop(desk *d);

/* opened_graph.c */
MF_MUST_USE mf_status desk_new(const desk_options *o, desk **d);
void desk_free(desk *d);
/* Opens the graph with these settings, in the place of the one that is open. Where that can't be
 * done the same graph stays open as it was; of another one the errors are what desk_workspace says
 * from then on. Takes `settings`. */
mf_status desk_reopen(desk *d, const char *graph, mf_setting *settings, size_t count);
void desk_settings_free(mf_setting *settings, size_t count); /* with their texts */

/* live.c; with the lock of the run held */
void desk_live_clear(desk_live *l);
void desk_live_add(desk_live *l, const mf_workspace_active *a);
json_object *desk_live_json(const desk_live *l);

/* launch.c */
void desk_launch_close(desk *d); /* asks a run to end; no more is begun */
void desk_launch_join(desk *d);  /* waits for it */

/* looked_at.c */
MF_MUST_USE mf_status desk_look_new(struct desk_look **look);
void desk_look_free(struct desk_look *look); /* NULL is fine; no request is answered any more */

/* click.c */
MF_MUST_USE mf_status desk_click_new(struct desk_click **click);
void desk_click_free(struct desk_click *click); /* NULL is fine; no request is answered any more */

/* job.c */
typedef struct desk_jobs desk_jobs;
MF_MUST_USE mf_status desk_jobs_new(desk_jobs **jobs);
void desk_jobs_stop(desk_jobs *jobs); /* ends what is run; no more is begun */
void desk_jobs_free(desk_jobs *jobs); /* NULL is fine; no request is answered any more */

#endif
