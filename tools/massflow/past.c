/* past.c - see past.h. */
#include "past.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool is_number(const char *text)
{
    return *text && strspn(text, "0123456789") == strlen(text) && strlen(text) < 18;
}

/* A number is a run, a file that exists a graph, all else a node. */
static int sort_operands(const args *a, past *p)
{
    for (size_t i = 0; i < args_count(a); i++) {
        const char *text = args_at(a, i);
        if (is_number(text) && !p->run) {
            p->run = strtoll(text, NULL, 10);
        } else if (!p->graph && !p->node && access(text, F_OK) == 0) {
            p->graph = realpath(text, NULL);
            if (!p->graph)
                return command_refuse("'%s' can't be read", text);
        } else if (!p->node) {
            p->node = text;
        } else {
            return command_refuse("'%s': there is no such file, and a node is named already: '%s'",
                                  text, p->node);
        }
    }
    return EXIT_DONE;
}

int past_open(const args *a, past *p)
{
    char *dir = NULL;
    mf_status status;
    int code;

    memset(p, 0, sizeof *p);
    code = sort_operands(a, p);
    if (code) {
        past_close(p);
        return code;
    }
    if (args_value(a, "cache"))
        dir = strdup(args_value(a, "cache"));
    else if (!p->graph)
        dir = strdup(".massflow");
    else if (asprintf(&dir, "%.*s/.massflow", (int)(strrchr(p->graph, '/') - p->graph), p->graph) <
             0)
        dir = NULL;
    if (dir)
        status = mf_store_open(dir, MF_STORE_READ, &p->store);
    else
        status = mf_no_memory(0, "the name of the cache");
    free(dir);
    if (!status)
        return EXIT_DONE;
    past_close(p);
    return command_fail(status, EXIT_REQUEST);
}

void past_close(past *p)
{
    mf_store_close(p->store);
    free(p->graph);
    memset(p, 0, sizeof *p);
}

static int by_start(const void *a, const void *b)
{
    const mf_run_node *x = a, *y = b;

    if (!(x->started > 0) != !(y->started > 0))
        return x->started > 0 ? -1 : 1;
    if (x->started < y->started || x->started > y->started)
        return x->started < y->started ? -1 : 1;
    return strcmp(x->node, y->node);
}

mf_status past_run(const past *p, mf_run_entry **run, mf_run_node **nodes, size_t *count)
{
    mf_run_entry *list;
    size_t runs, i = 0;
    mf_status status;

    *run = NULL;
    MF_TRY(mf_store_list_runs(p->store, p->graph, p->run ? 0 : 1, &list, &runs));
    while (p->run && i < runs && list[i].id != p->run)
        i++;
    if (i >= runs) {
        mf_run_list_free(list, runs);
        if (!p->run)
            return mf_fail(MF_NOT_FOUND, "there are no runs yet");
        return mf_hint(mf_fail(MF_NOT_FOUND, "there is no run %" PRId64, p->run),
                       "'massflow runs' lists the runs");
    }
    *run = calloc(1, sizeof **run);
    if (!*run) {
        mf_run_list_free(list, runs);
        return mf_no_memory(0, "a run");
    }
    **run = list[i];
    list[i] = list[runs - 1]; /* its texts are the caller's now */
    mf_run_list_free(list, runs - 1);
    status = mf_store_list_run_nodes(p->store, (*run)->id, nodes, count);
    if (status) {
        mf_run_list_free(*run, 1);
        *run = NULL;
        return status;
    }
    if (*count)
        qsort(*nodes, *count, sizeof **nodes, by_start);
    return MF_OK;
}

void words_time(int64_t seconds, char text[32])
{
    time_t t = (time_t)seconds;
    struct tm local;

    localtime_r(&t, &local);
    strftime(text, 32, "%Y-%m-%d %H:%M:%S", &local);
}

void words_took(const mf_run_entry *run, char text[32])
{
    int64_t end = run->end;

    text[0] = '\0';
    if (!end && !strcmp(run->status, "running"))
        end = (int64_t)time(NULL);
    if (!end)
        return;
    if (end - run->start < 1)
        strcpy(text, "< 1 s");
    else if (end - run->start < 60)
        snprintf(text, 32, "%" PRId64 " s", end - run->start);
    else
        words_seconds((double)(end - run->start), text);
}

void words_counts(const mf_run_entry *run, char text[160])
{
    size_t used = 0;

    text[0] = '\0';
    for (int i = 0; i < MF_OUTCOME_COUNT && used < 150; i++) {
        if (run->counts[i])
            used += (size_t)snprintf(text + used, 160 - used, "%s%" PRId64 " %s", used ? ", " : "",
                                     run->counts[i], mf_outcome_text((mf_outcome)i));
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool words_workers(const mf_run_node *nodes, size_t count, char text[80])
{
    const char **places = calloc(count + 1, sizeof *places);
    size_t ran = 0, workers = 0;

    for (size_t i = 0; places && i < count; i++)
        if (*nodes[i].place)
            places[ran++] = nodes[i].place;
    if (ran)
        qsort(places, ran, sizeof *places, by_text);
    for (size_t i = 0; i < ran; i++)
        workers += !i || strcmp(places[i], places[i - 1]);
    free(places);
    snprintf(text, 80, "%zu node%s ran on %zu worker%s", ran, ran == 1 ? "" : "s", workers,
             workers == 1 ? "" : "s");
    return ran > 0;
}
