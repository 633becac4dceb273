/* slurm.c - see slurm.h. Of Slurm 20.11 and later. */
#include "run/pool/slurm.h"

#include "base/path.h"
#include "graph/text/quantity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a worker's command line ----------------------------------------------------------------- */

static void add_word(mf_text *line, const char *before, const char *text)
{
    char *word = mf_shell_word(text, false);
    mf_text_add(line, "%s%s", before, word);
    free(word);
}

static char *copy(mf_arena *arena, mf_text *text)
{
    char *whole = mf_arena_copy(arena, text->data ? text->data : "");
    free(text->data);
    return whole;
}

char *mf_worker_words(mf_arena *arena, const mf_pool_worker *w, const char *slots, const char *ends)
{
    mf_text line = {0};
    add_word(&line, "worker --connect ", w->connect);
    if (!w->pool->token_by_environment)
        add_word(&line, " --token ", w->token);
    if (slots)
        mf_text_add(&line, " --slots %s", slots);
    if (w->pool->memory)
        mf_text_add(&line, " --memory '%zu MB'", w->pool->memory / 1000000);
    else if (slots) /* nine tenths of the allocation, where it has a limit: see the script */
        mf_text_add(&line, " ${memory:+--memory \"$memory MiB\"}");
    mf_text_add(&line, " --idle %.0f", w->pool->idle);
    if (ends)
        mf_text_add(&line, " --ends %s", ends);
    mf_text_add(&line, " --pool %s", w->pool->name);
    if (*w->plugins)
        mf_text_add(&line, " %s", w->plugins);
    if (w->pool->mpi)
        mf_text_add(&line, " --mpi");
    return copy(arena, &line);
}

char *mf_pool_line(mf_arena *arena, const mf_pool_worker *w, const char *line)
{
    const struct {
        const char *word, *value;
    } words[] = {{"{connect}", w->connect},
                 {"{token}", w->token},
                 {"{pool}", w->pool->name},
                 {"{name}", w->name}};
    mf_text text = {0};
    while (*line) {
        size_t taken = 0;
        for (size_t i = 0; i < sizeof words / sizeof *words && !taken; i++)
            if (!strncmp(line, words[i].word, strlen(words[i].word))) {
                taken = strlen(words[i].word);
                add_word(&text, "", words[i].value);
            }
        if (!taken)
            mf_text_add_n(&text, line, taken = 1);
        line += taken;
    }
    return copy(arena, &text);
}

/* ---- the script ------------------------------------------------------------------------------ */

/* What the script asks when it runs: how long it still has. An array is asked for by its own
 * number and the task's, for one of its tasks has the array's number as its own. */
static const char ask_time[] =
    "# Seconds that are left, which squeue shows as [[DAYS-]HOURS:]MINUTES:SECONDS.\n"
    "left=$(squeue -h -r -j \"${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID\" -o %%L 2>/dev/null)\n"
    "if [[ $left =~ ^(([0-9]+)-)?(([0-9]+):)?([0-9]+):([0-9]+)$ ]]; then\n"
    "    m=(\"${BASH_REMATCH[@]}\")\n"
    "    left=$(((10#0${m[2]} * 24 + 10#0${m[4]}) * 3600 + 10#0${m[5]} * 60 + 10#0${m[6]}))\n"
    "else\n"
    "    left=%.0f\n"
    "fi\n"
    "((left > 0)) || left=1\n\n";

/* An allocation of several workers: how many of them a node has at most, of "2(x3),1". */
static const char ask_tasks[] = "tasks=1\n"
                                "for n in ${SLURM_TASKS_PER_NODE//,/ }; do\n"
                                "    n=${n%%(*}\n"
                                "    ((n > tasks)) && tasks=$n\n"
                                "done\n";

/* Without a limit of its own for each task, srun would give it one core. */
static const char start_tasks[] = "exec srun --mpi=%s --kill-on-bad-exit=1 "
                                  "${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK} ";

static const char ask_memory[] =
    "# MiB that its nodes may need together: nine tenths of the limit, where there is one.\n"
    "memory=${SLURM_MEM_PER_NODE:-$((${SLURM_MEM_PER_CPU:-0} * ${SLURM_CPUS_ON_NODE:-1}))}\n"
    "memory=$((memory * 9 / 10%s))\n"
    "((memory > 0)) || memory=\n\n";

/* A value of an #SBATCH line: sbatch splits it at spaces outside of quotes. */
static void add_option(mf_text *script, const char *name, const char *value)
{
    bool plain = !value[strcspn(value, " \t\"'\\#")];
    mf_text_add(script, plain ? "#SBATCH --%s=%s\n" : "#SBATCH --%s=\"%s\"\n", name, value);
}

char *mf_slurm_script(mf_arena *arena, const mf_pool_worker *w)
{
    const mf_pool *p = w->pool;
    mf_text s = {0};
    mf_text_add(&s, "#!/bin/bash\n");
    add_option(&s, "job-name", w->name);
    add_option(&s, "time", p->time_text);
    add_option(&s, "output", mf_arena_print(arena, "%s/%s-%%A_%%a.txt", w->log, p->name));
    add_option(&s, "open-mode", "append");
    /* To the script, which is the worker then; srun would end its tasks at once, so they are told.
     */
    add_option(&s, "signal", mf_arena_print(arena, "%sTERM@%d", p->mpi ? "" : "B:", p->signal));
    mf_text_add(&s, "#SBATCH --requeue\n"
                    "# A worker of massflow. The arguments that the site gives to sbatch go before "
                    "these lines.\n\n");
    for (size_t i = 0; i < p->setup_count; i++)
        mf_text_add(&s, "%s\n", p->setup[i]);
    if (p->setup_count)
        mf_text_add(&s, "\n");
    mf_text_add(&s, ask_time, p->time);
    if (!p->memory && p->mpi)
        mf_text_add(&s, "%s", ask_tasks);
    if (!p->memory)
        mf_text_add(&s, ask_memory, p->mpi ? " / tasks" : "");
    if (p->token_by_environment)
        mf_text_add(&s, "# The token is in MASSFLOW_TOKEN, which sbatch has passed on.\n");
    if (p->mpi)
        mf_text_add(&s, start_tasks, p->mpi);
    add_word(&s, p->mpi ? "" : "exec ", w->program);
    const char *slots = p->slots ? mf_arena_print(arena, "%d", p->slots)
                        : p->mpi ? "\"${SLURM_CPUS_PER_TASK:-1}\""
                                 : "\"${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:-1}}\"";
    mf_text_add(&s, " %s\n", mf_worker_words(arena, w, slots, "\"$left\""));
    return copy(arena, &s);
}

/* ---- words ----------------------------------------------------------------------------------- */

const char *const *mf_slurm_submit(mf_arena *arena, const mf_pool_worker *w, const char *script,
                                   size_t count, const char *excluded)
{
    const mf_pool *p = w->pool;
    size_t n = 0, first = 0, behind = 0;
    const char **words = mf_arena_alloc(arena, p->sbatch_count + 6, sizeof *words);
    const char *theirs = mf_pool_argument(p, "exclude", 'x', &first, &behind);
    words[n++] = "sbatch";
    words[n++] = "--parsable";
    for (size_t i = 0; i < p->sbatch_count; i++)
        if (!*excluded || !theirs || i < first || i >= behind)
            words[n++] = p->sbatch[i];
    if (*excluded)
        words[n++] = mf_arena_print(arena, "--exclude=%s%s%s", theirs ? theirs : "",
                                    theirs ? "," : "", excluded);
    words[n++] = mf_arena_print(arena, "--array=1-%zu%%%d", count, p->max / mf_pool_tasks(p));
    words[n++] = script;
    return words;
}

const char *const *mf_slurm_count(mf_arena *arena, const char *names)
{
    const char **words = mf_arena_alloc(arena, 9, sizeof *words);
    size_t n = 0;
    words[n++] = "squeue";
    words[n++] = "--me";
    words[n++] = "-h";
    words[n++] = "-r";
    words[n++] = "--states=all";
    words[n++] = mf_arena_print(arena, "--name=%s", names);
    words[n++] = "--format=%j|%F_%K|%T|%M|%N|%r";
    return words;
}

const char *const *mf_slurm_cancel(mf_arena *arena, const char *name, bool all)
{
    const char **words = mf_arena_alloc(arena, 5, sizeof *words);
    size_t n = 0;
    words[n++] = "scancel";
    words[n++] = "--me";
    words[n++] = mf_arena_print(arena, "--name=%s", name);
    if (!all)
        words[n++] = "--state=PENDING";
    return words;
}

/* ---- answers --------------------------------------------------------------------------------- */

static mf_seen_state state_of(const char *text, const char *reason)
{
    static const char *const running[] = {"RUNNING",   "CONFIGURING", "COMPLETING", "SUSPENDED",
                                          "SIGNALING", "STOPPED",     "STAGE_OUT",  "RESIZING"};
    static const char *const waiting[] = {"PENDING", "REQUEUED", "REQUEUE_FED"};
    static const char *const failed[] = {"FAILED",        "BOOT_FAIL",    "NODE_FAIL",
                                         "OUT_OF_MEMORY", "REQUEUE_HOLD", "SPECIAL_EXIT"};
    for (size_t i = 0; i < sizeof running / sizeof *running; i++)
        if (!strcmp(text, running[i]))
            return MF_SEEN_RUNNING;
    for (size_t i = 0; i < sizeof waiting / sizeof *waiting; i++)
        if (!strcmp(text, waiting[i])) /* a job that is held never starts by itself */
            return !strncmp(reason, "JobHeld", 7) || strstr(reason, "requeued_held") ||
                           strstr(reason, "requeued held")
                       ? MF_SEEN_FAILED
                       : MF_SEEN_WAITING;
    for (size_t i = 0; i < sizeof failed / sizeof *failed; i++)
        if (!strcmp(text, failed[i]))
            return MF_SEEN_FAILED;
    return MF_SEEN_ENDED;
}

/* "1-02:03:04", "2:03"; what is none of it: 0. */
static double used(const char *text)
{
    double seconds = 0;
    if (!strchr(text, ':') || !mf__read_time_limit(text, &seconds))
        return 0;
    return seconds;
}

void mf_slurm_read(mf_arena *arena, const char *text, mf_slurm_job **jobs, size_t *count)
{
    size_t room = 0;
    mf_slurm_job *all = NULL;
    *jobs = NULL;
    *count = 0;
    while (*text) {
        size_t length = strcspn(text, "\n");
        char *line = mf_arena_copy_n(arena, text, length), *parts[6], *rest = line;
        size_t n = 0;
        text += length + (text[length] == '\n');
        while (n < 6 && rest)
            parts[n++] = strsep(&rest, "|");
        if (n < 6)
            continue;
        all = mf_grow(all, &room, *count + 1, sizeof *all);
        all[(*count)++] = (mf_slurm_job){
            parts[0], {parts[1], parts[4], state_of(parts[2], parts[5]), used(parts[3])}, parts[5]};
    }
    *jobs = mf_arena_alloc(arena, *count, sizeof **jobs);
    if (*count)
        memcpy(*jobs, all, *count * sizeof **jobs);
    free(all);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

/* "32G", "4000M", "4000" (MB), as sbatch takes them, in bytes. */
static size_t megabytes(const char *text)
{
    static const char units[] = "KMGT";
    char *end;
    double value = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end) : units + 1;
    if (end == text || value <= 0 || !unit || (*end && end[1]))
        return 0;
    value *= pow(1024, (double)(unit - units) + 1);
    return value < 0x1p60 ? (size_t)value : 0;
}

/* Of "gpu:2", "gpu:a100:2", "2", "a100:2": 2. */
static int gpus(const char *text)
{
    const char *colon = strrchr(text, ':');
    int count = atoi(colon ? colon + 1 : text);
    return count > 0 ? count : 1;
}

/* Workers that share a node, at most as far as the arguments say. */
static int tasks_of_node(const mf_pool *p)
{
    const char *each = p->mpi ? mf_pool_argument(p, "ntasks-per-node", 0, NULL, NULL) : NULL;
    return each && atoi(each) > 0 ? atoi(each) : mf_pool_tasks(p);
}

/* Of a worker. */
static int cards_of(const mf_pool *p)
{
    static const struct {
        const char *name;
        char letter;
    } of_all[] = {{"gpus", 'G'}, {"gpus-per-node", 0}, {"gres", 0}};
    const char *own = p->mpi ? mf_pool_argument(p, "gpus-per-task", 0, NULL, NULL) : NULL;
    if (own)
        return gpus(own);
    for (size_t i = 0; i < sizeof of_all / sizeof *of_all; i++) {
        const char *text = mf_pool_argument(p, of_all[i].name, of_all[i].letter, NULL, NULL);
        const bool gres = !strcmp(of_all[i].name, "gres");
        if (text && (!gres || !strncmp(text, "gpu", 3)))
            return gpus(gres ? text + 3 : text);
    }
    return 0;
}

void mf_slurm_sizes(const mf_pool *p, int *slots, size_t *memory, int *devices)
{
    const char *cores = mf_pool_argument(p, "cpus-per-task", 'c', NULL, NULL);
    const char *whole = mf_pool_argument(p, "mem", 0, NULL, NULL);
    const char *each = mf_pool_argument(p, "mem-per-cpu", 0, NULL, NULL);
    *slots = p->slots ? p->slots : cores && atoi(cores) > 0 ? atoi(cores) : 1;
    size_t limit = whole  ? megabytes(whole) / (size_t)tasks_of_node(p)
                   : each ? megabytes(each) * (size_t)*slots
                          : 0;
    *memory = p->memory ? p->memory : limit / 10 * 9; /* as the script has it */
    *devices = p->devices >= 0 ? p->devices : cards_of(p);
}
