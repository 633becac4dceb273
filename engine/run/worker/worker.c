/* worker.c - the process that runs one isolated node: everything it needs it asks of massflow.
 *
 * The main thread runs the stage; a second one hears what massflow says, so that a cancel arrives
 * while the stage computes, and tells the progress. When massflow is gone the worker and all that
 * it started end at once. */
#include "run/artifact/write.h"
#include "run/process/clock.h"
#include "run/process/marked.h"
#include "run/process/signals.h"
#include "run/worker/execute.h"
#include "run/worker/frozen.h"
#include "run/worker/heard.h"
#include "run/worker/wire.h"

#include "base/artifact_source.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PROGRESS_EVERY 100 /* ms */
/* What is read by box travels in slabs of about this size. */
#define SLAB_BYTES ((size_t)16 << 20)

typedef struct remote {
    int socket;
    pthread_mutex_t sending, calling; /* one message, one question at a time */
    pthread_mutex_t lock;             /* of the reply */
    pthread_cond_t heard;
    mf_packet reply;
    bool replied;
    mf_host *host;
    mf_task *task;
} remote;

static _Noreturn void end_all(void)
{
    const char *value = getenv(MF_WORKER_MARK);
    char mark[MF_MARK_SIZE];

    if (value && snprintf(mark, sizeof mark, MF_WORKER_MARK "=%s", value) < (int)sizeof mark)
        mf_mark_end(mark);
    kill(0, SIGKILL);
    _exit(1);
}

static void send_packet(remote *r, mf_packet *p)
{
    mf_status status;

    pthread_mutex_lock(&r->sending);
    status = mf_wire_send(r->socket, p);
    pthread_mutex_unlock(&r->sending);
    mf_packet_clear(p);
    if (status)
        end_all(); /* there is nobody to tell */
}

/* Asks, and waits for the answer. `question` is cleared; the caller clears `answer`. */
static mf_status call(remote *r, mf_packet *question, mf_packet *answer)
{
    pthread_mutex_lock(&r->calling);
    send_packet(r, question);
    pthread_mutex_lock(&r->lock);
    while (!r->replied)
        pthread_cond_wait(&r->heard, &r->lock);
    *answer = r->reply;
    r->reply = (mf_packet){0};
    r->replied = false;
    pthread_mutex_unlock(&r->lock);
    pthread_mutex_unlock(&r->calling);
    return mf_packet_get_status(answer);
}

/* ---- artifacts that lie in massflow's store ---------------------------------------------------
 */

typedef struct source {
    remote *remote;
    char id[MF_HEX_SIZE];
    mf_packet head; /* the names in `arrays` lie in it */
    mf_array_info *arrays;
    size_t count;
} source;

static mf_packet question(const source *s, mf_wire_kind kind, size_t index)
{
    mf_packet p = {.kind = kind};

    mf_packet_text(&p, s->id);
    mf_packet_int(&p, (int64_t)index);
    return p;
}

static mf_status get_arrays(source *s, size_t index, mf_array **array, mf_array **offsets)
{
    mf_packet p = question(s, MF_WIRE_ARRAY, index), answer;
    mf_status status = call(s->remote, &p, &answer);

    if (!status)
        status = mf_packet_get_array(&answer, &s->arrays[index], array, offsets);
    mf_packet_clear(&answer);
    return status;
}

static mf_status source_array(void *self, size_t index, mf_array **array)
{
    mf_array *offsets;

    return get_arrays(self, index, array, &offsets);
}

static mf_status source_rows(void *self, size_t index, mf_array **bytes, mf_array **offsets)
{
    return get_arrays(self, index, bytes, offsets);
}

static mf_status get_slab(source *s, size_t index, const int64_t lo[3], const int64_t hi[3],
                          uint8_t *dst, size_t bytes)
{
    mf_packet p = question(s, MF_WIRE_BOX, index), answer;
    size_t size = 0;
    const void *data;
    mf_status status;

    for (int i = 0; i < 3; i++) {
        mf_packet_int(&p, lo[i]);
        mf_packet_int(&p, hi[i]);
    }
    status = call(s->remote, &p, &answer);
    data = status ? NULL : mf_packet_get_bytes(&answer, &size);
    if (!status && size != bytes)
        status = mf_fail(MF_INTERNAL, "a message of the other process is damaged");
    if (!status && size)
        memcpy(dst, data, size);
    mf_packet_clear(&answer);
    return status;
}

static mf_status source_box(void *self, size_t index, const int64_t lo[3], const int64_t hi[3],
                            void *dst)
{
    source *s = self;
    size_t plane =
        (size_t)(hi[1] - lo[1]) * (size_t)(hi[2] - lo[2]) * mf_dtype_size(s->arrays[index].dtype);
    int64_t thick = plane && plane < SLAB_BYTES ? (int64_t)(SLAB_BYTES / plane) : 1;
    uint8_t *to = dst;

    for (int64_t z = lo[0]; z < hi[0]; z += thick) {
        int64_t end = z + thick < hi[0] ? z + thick : hi[0];
        size_t bytes = plane * (size_t)(end - z);
        MF_TRY(get_slab(s, index, (const int64_t[3]){z, lo[1], lo[2]},
                        (const int64_t[3]){end, hi[1], hi[2]}, to, bytes));
        to += bytes;
    }
    return MF_OK;
}

static mf_status source_row(void *self, size_t index, int64_t row, uint8_t **bytes, size_t *size)
{
    source *s = self;
    mf_packet p = question(s, MF_WIRE_ROW, index), answer;
    const void *data = NULL;
    mf_status status;

    *bytes = NULL;
    mf_packet_int(&p, row);
    status = call(s->remote, &p, &answer);
    if (!status)
        data = mf_packet_get_bytes(&answer, size);
    if (!status)
        status = mf_packet_check(&answer);
    if (!status && *size) {
        *bytes = malloc(*size);
        if (*bytes)
            memcpy(*bytes, data, *size);
        else
            status = mf_no_memory(0, "a row of an array");
    }
    mf_packet_clear(&answer);
    return status;
}

static void source_free(void *self)
{
    source *s = self;

    free(s->arrays);
    mf_packet_clear(&s->head);
    free(s);
}

/* Offsets alone are asked for where an artifact is checked, which the other process does. */
static mf_status source_offsets(void *self, size_t index, mf_array **offsets)
{
    mf_array *bytes;
    MF_TRY(source_rows(self, index, &bytes, offsets));
    mf_array_unref(bytes);
    return MF_OK;
}

static const mf_artifact_source calls = {.array = source_array,
                                         .box = source_box,
                                         .row = source_row,
                                         .rows = source_rows,
                                         .offsets = source_offsets,
                                         .free = source_free};

/* Attributes and arrays are set while `a` already owns `s`. */
static mf_status fill(source *s, mf_artifact *a)
{
    MF_TRY(mf_packet_get_attributes(&s->head, a));
    MF_TRY(mf_packet_get_arrays(&s->head, &s->arrays, &s->count));
    for (size_t i = 0; i < s->count; i++)
        MF_TRY(mf_artifact_declare(a, &s->arrays[i]));
    return MF_OK;
}

static mf_status get_artifact(void *self, const char *id, mf_artifact **artifact)
{
    remote *r = self;
    source *s = calloc(1, sizeof *s);
    mf_packet p = {.kind = MF_WIRE_GET};
    const char *type = NULL;
    mf_status status;

    *artifact = NULL;
    if (!s)
        return mf_no_memory(0, "an artifact");
    s->remote = r;
    snprintf(s->id, sizeof s->id, "%s", id);
    mf_packet_text(&p, id);
    status = call(r, &p, &s->head);
    if (!status && !(type = mf_packet_get_text(&s->head)))
        status = mf_fail(MF_INTERNAL, "a message of the other process is damaged");
    if (status) {
        source_free(s);
        return status;
    }
    MF_TRY(mf_artifact_lazy(type, id, &calls, s, artifact));
    status = fill(s, *artifact);
    if (status) {
        mf_artifact_unref(*artifact);
        *artifact = NULL;
    }
    return status;
}

/* ---- artifacts to massflow ------------------------------------------------------------------- */

static mf_status tell_content(remote *r, const mf_artifact *a)
{
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_packet p = {.kind = MF_WIRE_CONTENT};
        mf_array_info info;
        mf_status status;
        mf_artifact_array_info(a, i, &info);
        status = mf_packet_array(&p, a, info.name);
        if (status) {
            mf_packet_clear(&p);
            return status;
        }
        send_packet(r, &p);
    }
    return MF_OK;
}

static mf_status tell_output(remote *r, size_t port)
{
    const mf_artifact *a = mf_task_output(r->task, port);
    mf_packet p = {.kind = MF_WIRE_OUTPUT};

    mf_packet_text(&p, mf_task_work(r->task)->stage->out[port].name);
    mf_packet_head(&p, a);
    send_packet(r, &p);
    return tell_content(r, a);
}

static mf_status save_state(void *self, int64_t step, const mf_artifact *state, bool keep)
{
    mf_packet p = {.kind = MF_WIRE_STATE_HEAD}, saved = {.kind = MF_WIRE_SAVE_STATE}, answer;
    mf_status status;

    mf_packet_head(&p, state);
    send_packet(self, &p);
    MF_TRY(tell_content(self, state));
    mf_packet_int(&saved, step);
    mf_packet_int(&saved, keep);
    status = call(self, &saved, &answer);
    mf_packet_clear(&answer);
    return status;
}

static mf_status load_state(void *self, int64_t most, int64_t *step, mf_artifact **state)
{
    mf_packet p = {.kind = MF_WIRE_LOAD_STATE}, answer;
    bool found = false;
    mf_status status;

    *state = NULL;
    mf_packet_int(&p, most);
    status = call(self, &p, &answer);
    if (!status) {
        *step = mf_packet_get_int(&answer);
        found = mf_packet_get_int(&answer) != 0;
        status = mf_packet_check(&answer);
    }
    mf_packet_clear(&answer);
    return status || !found ? status : get_artifact(self, MF_WIRE_STATE, state);
}

/* ---- hearing and telling ----------------------------------------------------------------------
 */

static void tell_line(void *self, const char *node, const char *line)
{
    mf_packet p = {.kind = MF_WIRE_LOG};

    mf_packet_text(&p, node);
    mf_packet_text(&p, line);
    send_packet(self, &p);
}

static void tell_progress(remote *r, mf_task_state *told)
{
    mf_packet p = {.kind = MF_WIRE_PROGRESS};

    if (mf_heard_put_progress(&p, r->task, told))
        send_packet(r, &p);
}

static void take_message(remote *r, mf_packet *p)
{
    if (p->kind == MF_WIRE_CANCEL) {
        mf_packet_clear(p);
        mf_host_cancel(r->host);
        return;
    }
    pthread_mutex_lock(&r->lock);
    mf_packet_clear(&r->reply);
    r->reply = *p;
    r->replied = true;
    pthread_cond_signal(&r->heard);
    pthread_mutex_unlock(&r->lock);
}

/* Progress is due by the clock: a stage that reads without pause is heard as well. */
static void *hear(void *self)
{
    remote *r = self;
    mf_task_state told = {0};
    double due = 0; /* of mf_run_clock, which goes on as it is read here */

    for (;;) {
        struct pollfd wait = {.fd = r->socket, .events = POLLIN};
        mf_packet p;
        bool end = false;
        int heard = poll(&wait, 1, PROGRESS_EVERY);
        double now = mf_run_clock();
        mf_signals_hold();
        if (now >= due) {
            tell_progress(r, &told);
            due = now + PROGRESS_EVERY * 1e-3;
        }
        if (heard <= 0)
            continue;
        if (mf_wire_receive(r->socket, &p, &end) || end)
            end_all();
        take_message(r, &p);
    }
    return NULL;
}

/* ---- one task ---------------------------------------------------------------------------------
 */

/* Only what is allocated counts: not what is mapped from files and not shared arrays. */
static mf_status limit_memory(int64_t bytes)
{
    struct rlimit limit = {(rlim_t)bytes, (rlim_t)bytes};

    if (bytes > 0 && setrlimit(RLIMIT_DATA, &limit) != 0)
        return mf_fail(MF_INVALID, "the memory of the worker process could not be limited");
    return MF_OK;
}

static mf_status load(mf_packet *start, mf_registry **registry)
{
    size_t count = mf_packet_get_count(start);
    const char **files = calloc(count + 1, sizeof *files);
    mf_status status = files ? MF_OK : mf_no_memory(0, "the plugins");

    for (size_t i = 0; !status && i < count; i++) {
        files[i] = mf_packet_get_text(start);
        start->failed |= !files[i];
        status = mf_packet_check(start);
    }
    if (!status)
        status = mf_registry_new(registry);
    if (!status)
        status = mf_write_register(*registry);
    if (!status)
        status = mf_registry_load(*registry, files, count);
    free(files);
    return status;
}

static mf_status run(remote *r)
{
    pthread_t hearer;

    if (pthread_create(&hearer, NULL, hear, r) != 0)
        return mf_fail(MF_NO_MEMORY, "no thread for a worker process");
    MF_TRY(mf_task_execute(r->task));
    for (size_t i = 0; i < mf_task_work(r->task)->out_count; i++) {
        if (!mf_task_output(r->task, i))
            continue; /* optional, and left out */
        MF_TRY(tell_output(r, i));
    }
    return MF_OK;
}

/* The devices of the task: their numbers, and the forms of their kernels. */
typedef struct task_devices {
    size_t index[MF_TASK_DEVICES], count;
    int64_t form[MF_TASK_DEVICES];
} task_devices;

static mf_status get_devices(mf_packet *start, task_devices *d)
{
    d->count = mf_packet_get_count(start);
    if (d->count < 1 || d->count > MF_TASK_DEVICES)
        return mf_fail(MF_INTERNAL, "a task on %zu devices", d->count);
    for (size_t i = 0; i < d->count; i++) {
        d->index[i] = (size_t)mf_packet_get_int(start);
        d->form[i] = mf_packet_get_int(start);
    }
    return mf_packet_check(start);
}

/* The order in which isolate.c puts it. Nothing is given back: the process ends with its task. */
static mf_status serve(remote *r, mf_packet *start)
{
    static mf_supply supply;
    int64_t memory = mf_packet_get_int(start), threads = mf_packet_get_int(start),
            timeout = mf_packet_get_int(start);
    const char *words = mf_packet_get_text(start);
    task_devices devices;
    mf_registry *registry;
    mf_frozen *frozen;

    MF_TRY(limit_memory(memory));
    MF_TRY(get_devices(start, &devices));
    MF_TRY(load(start, &registry));
    MF_TRY(mf_frozen_get(start, registry, NULL, NULL, &frozen));
    MF_TRY(mf_host_new(NULL, registry, words, &r->host));
    for (size_t i = 0; i < devices.count; i++)
        if (devices.form[i] >= 0)
            MF_TRY(mf_host_set_form(r->host, devices.index[i], devices.form[i] == 1));
    mf_worker_mind_signals(
        r->host); /* a batch system, or somebody by hand, signals this process too */
    supply = (mf_supply){r, get_artifact, load_state, save_state};
    mf_host_set_supply(r->host, &supply);
    mf_host_set_log(r->host, tell_line, r);
    MF_TRY(mf_task_new(r->host, mf_frozen_work(frozen), (int)threads, &r->task));
    mf_task_set_devices(r->task, devices.index, devices.count);
    mf_task_set_timeout(r->task, (double)timeout * 1e-6);
    return run(r);
}

_Noreturn void mf_worker_serve(int socket)
{
    static remote r; /* outlives this call: other threads use it until the process ends */
    mf_packet start, done = {.kind = MF_WIRE_DONE};
    bool end = false;
    mf_status status;

    setvbuf(stdout, NULL, _IOLBF, 0); /* a crash loses nothing that was printed */
    fcntl(socket, F_SETFD, FD_CLOEXEC);
    r.socket = socket;
    pthread_mutex_init(&r.sending, NULL);
    pthread_mutex_init(&r.calling, NULL);
    pthread_mutex_init(&r.lock, NULL);
    pthread_cond_init(&r.heard, NULL);
    status = mf_wire_receive(socket, &start, &end);
    if (end)
        end_all();
    if (!status)
        status = start.kind == MF_WIRE_START
                     ? serve(&r, &start)
                     : mf_fail(MF_INTERNAL, "a message of the other process is damaged");
    mf_packet_status(&done, status);
    send_packet(&r, &done);
    fflush(NULL);
    _exit(0);
}
