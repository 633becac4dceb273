/* pools_there.c - what a page is told of pools: those of the site's file, and the workers of runs
 * that are under way on this cache, of this desk and of other processes. */
#include "../crew.h"
#include "../sites.h"
#include "parts.h"

#include <stdio.h>
#include <stdlib.h>

static json_object *pool_of(const mf_pool *p)
{
    json_object *o = json_object_new_object();
    char *words = NULL;
    size_t size;
    FILE *out = open_memstream(&words, &size);

    desk_put(o, "name", p->name);
    json_object_object_add(o, "max", json_object_new_int(p->max));
    if (out) {
        site_pool_words(out, p);
        fclose(out);
        desk_put(o, "words", words);
    }
    free(words);
    return o;
}

/* A file that is not there is no trouble: there are no pools then. One that --pools names is. */
static mf_status answer_pools(desk_request *q, desk_reply *r)
{
    json_object *o = json_object_new_object(), *list = json_object_new_array();
    const char *path = desk_of(q)->pools;
    mf_site *site;
    mf_status status = read_site(path, &site);

    if (status && (path || mf_error_code(status) != MF_NOT_FOUND)) {
        char *text = mf_error_text(status);
        desk_put(o, "trouble", text);
        free(text);
    }
    mf_error_free(status);
    if (site)
        desk_put(o, "path", mf_site_path(site));
    for (size_t i = 0; site && i < mf_site_count(site); i++)
        json_object_array_add(list, pool_of(mf_site_pool(site, i)));
    mf_site_free(site);
    json_object_object_add(o, "pools", list);
    desk_reply_json(r, o);
    return MF_OK;
}

/* What `massflow workers --json` prints. */
static mf_status answer_workers(desk_request *q, desk_reply *r)
{
    char *cache = desk_cache(desk_of(q));
    json_object *runs = NULL;
    mf_status status = cache ? crew_read(cache, &runs) : MF_OK;

    free(cache);
    if (status && mf_error_code(status) == MF_NOT_FOUND) { /* no cache yet */
        mf_error_free(status);
        status = MF_OK;
    }
    if (!status)
        desk_reply_json(r, runs ? runs : json_object_new_array());
    return status;
}

const desk_route desk_pool_routes[] = {{"GET", "/api/pools", answer_pools},
                                       {"GET", "/api/workers", answer_workers},
                                       {NULL, NULL, NULL}};
