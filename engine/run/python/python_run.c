/* python_run.c - one node in a worker: what it gets, what it asks, what it says.
 *
 *   START: stage, node, parameters in their order; for each port a count, and for each element its
 *     name, where the port is told them the case with its columns, and the head (type, attributes,
 *     arrays without data)
 *   ARRAY, the worker asks: port, element, array -> REPLY: status, the array's files
 *   LOG, PROGRESS
 *   OUTPUT: port, head; then CONTENT for each of its arrays, with its files
 *   DONE: status
 *
 * Python can't be asked to end: a node whose time is over or whose run is cancelled loses its
 * worker. */
#include "run/python/python_private.h"
#include "run/task/task.h"
#include "run/worker/heard.h"

#include <massflow/seconds.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOOK 50 /* milliseconds between two looks at whether it is to end */

/* An output that is coming. */
typedef struct incoming {
    mf_packet head; /* the names of `infos` lie here */
    char *port;
    mf_artifact *artifact;
    mf_array_info *infos;
    size_t count, have;
} incoming;

typedef struct serving {
    mf_task *task;
    mf_python_worker *worker;
    incoming in;
    bool done; /* it has said so: it can run another node */
} serving;

/* ---- what it gets ---------------------------------------------------------------------------- */

static void put_param(mf_packet *p, const mf_param *param, const void *params)
{
    const void *field = (const char *)params + param->offset;
    const mf_ints *ints = field;
    const mf_reals *reals = field;

    switch (param->kind) {
    case MF_PARAM_BOOL:
        mf_packet_int(p, *(const bool *)field);
        break;
    case MF_PARAM_INT:
        mf_packet_int(p, *(const int64_t *)field);
        break;
    case MF_PARAM_REAL:
        mf_packet_bytes(p, field, sizeof(double));
        break;
    case MF_PARAM_INT3:
    case MF_PARAM_REAL3:
        mf_packet_bytes(p, field, 3 * sizeof(double)); /* int64_t is of that size, too */
        break;
    case MF_PARAM_INTS:
        mf_packet_bytes(p, ints->v, ints->count * sizeof *ints->v);
        break;
    case MF_PARAM_REALS:
        mf_packet_bytes(p, reals->v, reals->count * sizeof *reals->v);
        break;
    default:
        mf_packet_text(p, *(const char *const *)field);
    }
}

/* Of a port that is told the cases: the case id, then its columns and axes, name and value in turn,
 * then "". */
static void put_case(mf_packet *p, mf_task *t, const char *port, size_t i)
{
    const mf_element *e = mf_task_keyed_element(t, port, i);
    const size_t count = e && e->row ? mf_graph_column_count(e->row->graph) : 0;
    const char *name, *value;

    mf_packet_text(p, mf_in_case(t, port, i));
    for (size_t k = 0; k < count; k++) {
        name = mf_graph_column(e->row->graph, k);
        value = mf_in_column(t, port, i, name);
        if (value && strcmp(name, "id") != 0) {
            mf_packet_text(p, name);
            mf_packet_text(p, value);
        }
    }
    for (size_t k = 0; (name = mf_in_axis(t, port, i, k, &value)); k++) {
        mf_packet_text(p, name);
        mf_packet_text(p, value);
    }
    mf_packet_text(p, "");
}

static mf_status put_inputs(mf_packet *p, mf_task *t, const mf_stage *stage)
{
    for (const mf_port *port = stage->in; port && port->name; port++) {
        size_t count = mf_in_count(t, port->name);
        mf_packet_int(p, (int64_t)count);
        for (size_t i = 0; i < count; i++) {
            const mf_artifact *artifact;
            MF_TRY(mf_in_item(t, port->name, i, &artifact));
            mf_packet_text(p, mf_in_name(t, port->name, i));
            if (port->marks & MF_KEYED)
                put_case(p, t, port->name, i);
            mf_packet_head(p, artifact);
        }
    }
    return MF_OK;
}

static mf_status send_start(serving *s, const void *params)
{
    const mf_work *work = mf_task_work(s->task);
    mf_packet p = {.kind = MF_WIRE_START};

    mf_packet_text(&p, work->stage->name);
    mf_packet_text(&p, work->node);
    for (const mf_param *param = work->stage->params; param && param->name; param++)
        put_param(&p, param, params);
    mf_status status = put_inputs(&p, s->task, work->stage);
    if (!status)
        status = mf_wire_send(s->worker->socket, &p);
    mf_packet_clear(&p);
    return status;
}

/* A volume is read into the shared memory itself: nothing is copied in between. */
static mf_status put_volume(mf_packet *p, const mf_artifact *artifact, const mf_array_info *info)
{
    const int64_t zero[3] = {0};
    size_t bytes = mf_dtype_size(info->dtype);

    for (int d = 0; d < 3; d++)
        if (!mf_size_mul(bytes, (size_t)info->shape[d], &bytes))
            return mf_fail(MF_NO_MEMORY, "array '%s' is too large", info->name);
    int file = memfd_create("massflow array", MFD_CLOEXEC);
    void *data = MAP_FAILED;
    if (file >= 0 && !ftruncate(file, (off_t)bytes))
        data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    mf_status status = data == MAP_FAILED
                           ? mf_no_memory(bytes, "a shared array: %s", strerror(errno))
                           : mf_artifact_read_box(artifact, info->name, zero, info->shape, data);
    if (data != MAP_FAILED)
        munmap(data, bytes);
    if (file >= 0)
        p->files[p->file_count++] = file;
    return status;
}

static mf_status put_array(mf_packet *p, const mf_artifact *artifact, const char *name)
{
    mf_array_info info;

    if (mf_artifact_find(artifact, name, &info) && info.rank == 3 && !info.ragged &&
        info.shape[0] > 0 && info.shape[1] > 0 && info.shape[2] > 0)
        return put_volume(p, artifact, &info);
    return mf_packet_array(p, artifact, name);
}

static mf_status answer(serving *s, mf_packet *question)
{
    const mf_stage *stage = mf_task_work(s->task)->stage;
    const char *port = mf_packet_get_text(question);
    int64_t item = mf_packet_get_int(question);
    const char *name = mf_packet_get_text(question);
    const mf_artifact *artifact = NULL;
    mf_packet content = {0}, reply = {.kind = MF_WIRE_REPLY};

    MF_TRY(mf_packet_check(question));
    if (!port || !name || mf_port_find(stage->in, port) < 0 || item < 0 ||
        (size_t)item >= mf_in_count(s->task, port))
        return mf_fail(MF_INTERNAL, "the worker asks for an input that is not there");
    mf_status status = mf_in_item(s->task, port, (size_t)item, &artifact);
    if (!status)
        status = put_array(&content, artifact, name);
    if (status)
        mf_packet_clear(&content);
    mf_packet_status(&reply, status);
    mf_error_free(status);
    mf_packet_append(&reply, &content);
    status = mf_wire_send(s->worker->socket, &reply);
    mf_packet_clear(&reply);
    mf_packet_clear(&content);
    return status;
}

/* ---- what it makes --------------------------------------------------------------------------- */

static void clear_incoming(incoming *in)
{
    mf_packet_clear(&in->head);
    free(in->port);
    free(in->infos);
    mf_artifact_unref(in->artifact);
    *in = (incoming){0};
}

/* All of its arrays have come. */
static mf_status finish(serving *s)
{
    incoming *in = &s->in;

    if (in->have < in->count)
        return MF_OK;
    mf_artifact *artifact = in->artifact;
    in->artifact = NULL;
    mf_status status = mf_out(s->task, in->port, artifact);
    clear_incoming(in);
    return status;
}

static mf_status take_output(serving *s, mf_packet *p)
{
    incoming *in = &s->in;

    if (in->artifact)
        return mf_fail(MF_INTERNAL, "the worker begins an output within another");
    in->head = *p; /* taken over */
    *p = (mf_packet){0};
    const char *port = mf_packet_get_text(&in->head), *type = mf_packet_get_text(&in->head);
    MF_TRY(mf_packet_check(&in->head));
    if (!port || !type || mf_port_find(mf_task_work(s->task)->stage->out, port) < 0)
        return mf_fail(MF_INTERNAL, "the worker makes an output that the stage does not have");
    in->port = strdup(port);
    if (!in->port)
        return mf_no_memory(0, "an output");
    MF_TRY(mf_artifact_new(type, &in->artifact));
    MF_TRY(mf_packet_get_attributes(&in->head, in->artifact));
    MF_TRY(mf_packet_get_arrays(&in->head, &in->infos, &in->count));
    return finish(s);
}

static mf_status take_content(serving *s, const mf_packet *p)
{
    incoming *in = &s->in;
    mf_array *array, *offsets;

    if (!in->artifact || in->have >= in->count)
        return mf_fail(MF_INTERNAL, "the worker sends an array that belongs to nothing");
    const mf_array_info *info = &in->infos[in->have++];
    MF_TRY(mf_packet_get_array(p, info, &array, &offsets));
    mf_status status = offsets ? mf_artifact_add_rows(in->artifact, info->name, array, offsets)
                               : mf_artifact_add(in->artifact, info->name, array);
    mf_array_unref(array);
    mf_array_unref(offsets);
    return status ? status : finish(s);
}

/* ---- the conversation ------------------------------------------------------------------------ */

static mf_status take(serving *s, mf_packet *p)
{
    const char *node, *line;

    switch ((int)p->kind) {
    case MF_WIRE_ARRAY:
        return answer(s, p);
    case MF_WIRE_LOG:
        MF_TRY(mf_heard_log(s->task, p, &node, &line));
        mf_log(s->task, "%s", line);
        return MF_OK;
    case MF_WIRE_PROGRESS:
        return mf_heard_progress(s->task, p);
    case MF_WIRE_OUTPUT:
        return take_output(s, p);
    case MF_WIRE_CONTENT:
        return take_content(s, p);
    case MF_WIRE_DONE:
        s->done = true;
        return mf_packet_get_status(p);
    default:
        return mf_fail(MF_INTERNAL, "the worker sends a message that it has no right to");
    }
}

static mf_status converse(serving *s, bool *gone)
{
    while (!s->done) {
        MF_TRY(mf_cancel_point(s->task));
        int ready = poll(&(struct pollfd){.fd = s->worker->socket, .events = POLLIN}, 1, LOOK);
        if (ready <= 0)
            continue;
        mf_packet packet;
        mf_status status = mf_wire_receive(s->worker->socket, &packet, gone);
        if (!status && !*gone)
            status = take(s, &packet);
        mf_packet_clear(&packet);
        MF_TRY(status);
        if (*gone)
            return MF_OK;
    }
    return MF_OK;
}

mf_status mf__python_run(mf_task *task, const void *params, void *session)
{
    mf_python *python = ((const mf_python_stage *)mf_task_work(task)->stage)->python;
    serving s = {.task = task};
    bool gone = false;

    (void)session;
    MF_TRY(mf__python_acquire(python, &s.worker));
    pid_t pid = s.worker->pid;
    mf_task_child(task, pid, true);
    mf_status status = send_start(&s, params);
    if (!status)
        status = converse(&s, &gone);
    clear_incoming(&s.in);
    mf_task_child(task, pid, false);
    if (s.done) {
        mf__python_give_back(python, s.worker);
        return status;
    }
    if (!gone)
        kill(-pid, SIGKILL);
    char *how = mf__python_end(s.worker);
    if (gone && !status)
        status = mf_fail(MF_INVALID, "its Python process %s", how ? how : "is gone");
    free(how);
    return status;
}

mf_status mf__python_needs(mf_task *task, const void *params, mf_needs *needs)
{
    const mf_python_stage *stage = (const mf_python_stage *)mf_task_work(task)->stage;

    (void)params;
    needs->cpu = stage->cpu > 0 ? stage->cpu : 1;
    return MF_OK;
}
