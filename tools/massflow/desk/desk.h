/* desk.h - the local page of `massflow desk`: what its parts share.
 *
 * A part of the desk (Run, Look, Measure, Click) is a file here that defines a table of routes,
 * `const desk_route desk_NAME_routes[]`, a line for that table in routes.c, and a module of the
 * page, page/NAME.js, with a line in page/main.js and in meson.build.
 *
 * Each request is answered in a thread of its own, so a handler may take its time; what it shares
 * with others it locks. It gets a request that has been checked: token, Host, Origin, size of the
 * body. It puts an answer into the reply, or returns an error, which is sent as JSON {"error",
 * "kind"}: 404 for MF_NOT_FOUND, 400 for MF_INVALID, 500 for the rest.
 *
 *     static mf_status answer_slice(desk_request *q, desk_reply *r)
 *     {
 *         int64_t slice;
 *         mf_artifact *a;
 *
 *         MF_TRY(desk_query_int(q, "slice", 0, 100000, &slice));
 *         MF_TRY(desk_artifact(q, &a));     // of ?id=DIGEST or ?node=scan[case=012].volume
 *         ...
 *         mf_artifact_unref(a);
 *         desk_reply_bytes(r, "application/octet-stream", bytes, size);
 *         desk_reply_lasting(r);            // an answer about an id never changes
 *         return MF_OK;
 *     }
 *     const desk_route desk_look_routes[] = {{"GET", "/api/look/slice", answer_slice}, {NULL}};
 */
#ifndef MF_DESK_H
#define MF_DESK_H

#include <massflow/embed.h>

#include <json-c/json.h>

typedef struct desk desk;
typedef struct desk_request desk_request;
typedef struct desk_reply desk_reply;

/* ---- routes ---------------------------------------------------------------------------------- */

typedef struct desk_route {
    const char *method; /* "GET", or "POST" with a JSON object as its body; NULL ends the table */
    const char *path;   /* "/api/run"; one that ends in a slash has more behind it: desk_rest */
    mf_status (*answer)(desk_request *q, desk_reply *r);
} desk_route;

/* ---- requests -------------------------------------------------------------------------------- */

desk *desk_of(const desk_request *q);
const char *desk_rest(const desk_request *q);  /* of the path, behind the route's; "" for none */
json_object *desk_body(const desk_request *q); /* of POST, an object; borrowed */
/* What follows "?": a text, valid UTF-8, or NULL; borrowed. */
const char *desk_query(const desk_request *q, const char *name);
/* The same where it has to be there, and as a number within [min, max]. */
MF_MUST_USE mf_status desk_query_text(const desk_request *q, const char *name, const char **text);
MF_MUST_USE mf_status desk_query_int(const desk_request *q, const char *name, int64_t min,
                                     int64_t max, int64_t *value);
MF_MUST_USE mf_status desk_query_real(const desk_request *q, const char *name, double min,
                                      double max, double *value);
/* The same of the body's fields. */
MF_MUST_USE mf_status desk_body_text(const desk_request *q, const char *name, const char **text);
MF_MUST_USE mf_status desk_body_int(const desk_request *q, const char *name, int64_t min,
                                    int64_t max, int64_t *value);
/* The same of an object in it. */
MF_MUST_USE mf_status desk_field_text(const desk_request *q, json_object *of, const char *name,
                                      const char **text);
MF_MUST_USE mf_status desk_field_int(const desk_request *q, json_object *of, const char *name,
                                     int64_t min, int64_t max, int64_t *value);

/* ---- replies --------------------------------------------------------------------------------- */

void desk_reply_json(desk_reply *r, json_object *o); /* takes `o`; texts in it may be any bytes */
/* Takes `bytes`, of malloc. `type` is static. */
void desk_reply_bytes(desk_reply *r, const char *type, void *bytes, size_t size);
void desk_reply_static(desk_reply *r, const char *type, const void *bytes, size_t size);
void desk_reply_lasting(desk_reply *r); /* the page may keep it */
/* It is to be saved under that name. */
void desk_reply_download(desk_reply *r, const char *name);
/* A reply without an end, in pieces: `read` waits, and gives up to `room` bytes; 0 for the end. */
void desk_reply_stream(desk_reply *r, const char *type,
                       size_t (*read)(void *self, char *to, size_t room), void (*end)(void *self),
                       void *self);

/* A text as a JSON string, cleaned to valid UTF-8; JSON null for NULL. */
json_object *desk_text(const char *text);
void desk_put(json_object *o, const char *name, const char *text); /* nothing for NULL */

/* ---- the graph and its results ----------------------------------------------------------------
 */

/* The workspace that is open now; the caller closes it (mf_workspace_close). MF_INVALID with the
 * errors of the file where the graph can't be read, or none is chosen. */
MF_MUST_USE mf_status desk_workspace(desk *d, mf_workspace **w);
/* The artifact that a request names, by `id` (64 digits) or by `node` ("scan[case=012].volume").
 * Lazy: its arrays are read by mf_artifact_read_box and the like. Kept open for the requests that
 * follow. By its id that costs microseconds; by its node the graph is planned, so a page asks
 * /api/nodes for ids first. The caller unrefs. */
MF_MUST_USE mf_status desk_artifact(const desk_request *q, mf_artifact **artifact);
/* The same for an id that is in a body. */
MF_MUST_USE mf_status desk_artifact_of_id(desk *d, const char *id, mf_artifact **artifact);
/* The folder of the cache; the caller frees. NULL where no graph is open. */
char *desk_cache(desk *d);

/* ---- events ---------------------------------------------------------------------------------- */

/* Sends an event to all pages that are open: window.addEventListener there gets it by its `name`
 * (see page/api.js). Takes `o`. */
void desk_tell(desk *d, const char *name, json_object *o);

#endif
