/* limits.c - how a stage is run, never what it computes: isolate, timeout, retries, memory, pool.
 * None of it is part of a key. */
#include "graph/check/limits.h"
#include "graph/data/report.h"
#include "graph/text/quantity.h"
#include "graph/values/splice.h"

#include <stdlib.h>
#include <string.h>

static const char *const limit_keys[] = {"isolate", "timeout", "retries", "memory", "pool"};

/* The text of a scalar, with parameters spliced in; NULL after an error. */
static const char *scalar(mf_graph *g, const yaml *node, const char *takes)
{
    given v;
    if (!mf__resolve(g, node, NULL, &v))
        return NULL;
    if (!v.list && v.text)
        return v.text;
    mf__graph_error(g, node, "%s", takes);
    return NULL;
}

static bool read_flag(mf_graph *g, const yaml *node, bool *flag)
{
    static const char takes[] = "'isolate' is true or false";
    const char *text = scalar(g, node, takes);
    if (!text)
        return false;
    *flag = !strcmp(text, "true");
    return *flag || !strcmp(text, "false") || mf__graph_error(g, node, "%s, not '%s'", takes, text);
}

static bool read_timeout(mf_graph *g, const yaml *node, mf_limits *limits)
{
    static const char takes[] = "'timeout' is a number of seconds above 0";
    const char *text = scalar(g, node, takes);
    char *end;
    if (!text)
        return false;
    limits->timeout = strtod(text, &end);
    return (end != text && !*end && limits->timeout > 0 && limits->timeout < 1e9) ||
           mf__graph_error(g, node, "%s, not '%s'", takes, text);
}

static bool read_retries(mf_graph *g, const yaml *node, mf_limits *limits)
{
    static const char takes[] = "'retries' is an integer from 0 to 100";
    const char *text = scalar(g, node, takes);
    char *end;
    if (!text)
        return false;
    long count = strtol(text, &end, 10);
    limits->retries = (int)(count < 0 || count > 100 ? -1 : count);
    return (end != text && !*end && limits->retries >= 0) ||
           mf__graph_error(g, node, "%s, not '%s'", takes, text);
}

static bool read_memory(mf_graph *g, const yaml *node, mf_limits *limits)
{
    static const char takes[] = "'memory' is a size such as '4 GB' or '500 MB'";
    const char *text = scalar(g, node, takes);
    return text && (mf__read_bytes(text, &limits->memory) ||
                    mf__graph_error(g, node, "%s, not '%s'", takes, text));
}

static bool read_pool(mf_graph *g, const yaml *node, mf_limits *limits)
{
    static const char takes[] = "'pool' is the name of a pool of workers: letters, digits, _ and -";
    limits->pool = scalar(g, node, takes);
    return limits->pool && (mf__is_name(limits->pool) ||
                            mf__graph_error(g, node, "%s, not '%s'", takes, limits->pool));
}

/* A stream has no process of its own. */
static bool refuse_stream(mf_graph *g, const stage_def *def)
{
    yaml *key;
    for (size_t i = 0; i < sizeof limit_keys / sizeof *limit_keys; i++)
        if (mf_yaml_get(def->node, limit_keys[i], &key))
            return mf__graph_error(
                g, key,
                "'%s' is a stream, which runs with the stage that reads it: write "
                "'%s' there",
                def->key->text, limit_keys[i]);
    return true;
}

bool mf__read_limits(mf_graph *g, stage_def *def)
{
    mf_limits *limits = &def->limits;
    yaml *key;
    const yaml *node;
    bool good = true;
    if (def->stage && def->stage->item)
        return refuse_stream(g, def);
    limits->isolate = g->isolate;
    if ((node = mf_yaml_get(def->node, "isolate", NULL)))
        good &= read_flag(g, node, &limits->isolate);
    if ((node = mf_yaml_get(def->node, "timeout", NULL)))
        good &= read_timeout(g, node, limits);
    if ((node = mf_yaml_get(def->node, "retries", NULL)))
        good &= read_retries(g, node, limits);
    if ((node = mf_yaml_get(def->node, "pool", NULL)))
        good &= read_pool(g, node, limits);
    if ((node = mf_yaml_get(def->node, "memory", &key))) {
        good &= read_memory(g, node, limits);
        if (good && !limits->isolate)
            good =
                mf__graph_error(g, key,
                                "'memory' needs 'isolate: true': only a process of its own can be "
                                "limited");
    }
    return good;
}

bool mf__read_isolate(mf_graph *g)
{
    const yaml *node = mf_yaml_get(g->root, "isolate", NULL);
    return !node || read_flag(g, node, &g->isolate);
}
