/* rematerialize.c - values of the forward pass that gradients need are kept, or computed again.
 *
 * Computing again gives the same bytes: it is the same op on the same bytes. By default an op that
 * is cheap is done again where its inputs are there anyway, or are much smaller than its result. In
 * a program that recomputes (mf_recompute), only marked values and small ones are kept.
 *
 * What is computed again is put in just before the op that needs it. The result of a cheap op is
 * then used for a few ops and computed once more later, so that it does not fill memory between. */
#include "program/compile/rematerialize.h"

#include <massflow/memory.h>

#include <stdlib.h>
#include <string.h>

enum {
    SMALL = 64 * 1024, /* bytes that are kept after mf_recompute too */
    AHEAD = 8,         /* ops among which one is taken that needs the same value */
    NEAR = 3,          /* ops for which the result of a cheap op stays */
    DEEP = 6           /* cheap ops in a row that are done again for one value */
};

/* A forward value that is being computed again: inputs before `next` are there. */
typedef struct frame {
    int32_t value, next;
    mf_op again;
} frame;

typedef struct state {
    mf_program *p;
    int32_t values; /* before any is added */
    bool *needed;   /* by gradients */
    bool *kept;
    size_t *cost;   /* bytes to keep so that a value can be computed again */
    uint8_t *depth; /* cheap ops in a row up to a value, from what is not cheap or kept */
    int32_t *copy;  /* the value computed again, -1 */
    int32_t *used;  /* where its copy was used last: an op of `old` */
    mf_op *old;     /* ops as they were */
    int32_t old_count, at;
    const bool *live; /* of `old` */
    bool *done;       /* of `old`: it is in the new list */
    bool *there;      /* a value is made, in the new list */
    int32_t *open;    /* [values]: whose sources are still to be kept */
    frame *frames;    /* [forward_ops + 1]: each is an input of the one before */
} state;

static const mf_op *maker(const state *s, int32_t value)
{
    int32_t op = s->p->values[value].op;
    return op < 0 ? NULL : &s->old[op];
}

/* Made by the forward pass. */
static bool is_forward(const state *s, int32_t value)
{
    return value >= 0 && value < s->values && s->p->values[value].op >= 0 &&
           s->p->values[value].op < s->p->forward_ops;
}

static bool is_reshape(const mf_op *op)
{
    return !op->type->record;
}

/* ---- what is kept ---------------------------------------------------------------------------- */

static void mark_needed(state *s)
{
    for (int32_t i = s->p->forward_ops; i < s->old_count; i++)
        for (int k = 0; s->live[i] && k < s->old[i].inputs; k++)
            if (is_forward(s, s->old[i].in[k].id))
                s->needed[s->old[i].in[k].id] = true;
    for (int32_t i = s->p->forward_ops - 1; i >= 0; i--) /* a reshape is its source */
        if (is_reshape(&s->old[i]) && s->needed[s->old[i].out[0].id] &&
            is_forward(s, s->old[i].in[0].id))
            s->needed[s->old[i].in[0].id] = true;
}

/* Puts a value on the list `open` unless it was there before. */
static int32_t open_source(state *s, int32_t value, int32_t count)
{
    if (!is_forward(s, value) || s->cost[value] == 0)
        return count;
    s->cost[value] = 0;
    s->open[count] = value;
    return count + 1;
}

/* Keeps what `value` is computed again from. Chains may be long: no recursion. */
static void keep_sources(state *s, int32_t value)
{
    int32_t count = open_source(s, value, 0);
    while (count > 0) {
        const int32_t v = s->open[--count];
        const mf_op *op = maker(s, v);
        if (s->depth[v] == 0) {
            s->kept[v] = true;
            continue;
        }
        for (int k = 0; k < op->inputs; k++)
            count = open_source(s, op->in[k].id, count);
    }
}

static size_t cost_of_inputs(const state *s, const mf_op *op)
{
    size_t all = 0;
    for (int k = 0; k < op->inputs; k++)
        all += is_forward(s, op->in[k].id) ? s->cost[op->in[k].id] : 0;
    return all;
}

/* Cheap ops in a row up to out[0] of op; 0 where it is not cheap, or there are too many. */
static uint8_t find_depth(const state *s, const mf_op *op)
{
    const bool cheap = op->type->is_cheap ? op->type->is_cheap(s->p, op) : op->type->cheap;
    int most = 0;
    for (int k = 0; cheap && k < op->inputs; k++)
        if (is_forward(s, op->in[k].id) && s->depth[op->in[k].id] > most)
            most = s->depth[op->in[k].id];
    return (uint8_t)(cheap && most < DEEP ? most + 1 : 0);
}

/* Of the results of a forward op, in order: sources come before. */
static void decide(state *s, const mf_op *op)
{
    for (int k = 0; k < op->outputs; k++) {
        const int32_t v = op->out[k].id;
        const size_t bytes = s->p->values[v].bytes;
        if (s->kept[v])
            continue;
        if (is_reshape(op)) {
            const int32_t from = op->in[0].id;
            s->cost[v] = cost_of_inputs(s, op);
            const bool deeper = is_forward(s, from) && s->depth[from] > 0;
            s->depth[v] = deeper ? s->depth[from] : 1; /* 0: kept instead of its source */
            continue;
        }
        s->depth[v] = k == 0 ? find_depth(s, op) : 0;
        if (s->p->recompute) {
            s->kept[v] = s->p->values[v].keep || (s->needed[v] && bytes <= SMALL);
            s->depth[v] = s->kept[v] ? 0 : s->depth[v];
            continue;
        }
        const bool cheap = s->depth[v] > 0;
        const size_t cost = cheap ? cost_of_inputs(s, op) : bytes;
        if (!s->needed[v]) {
            s->cost[v] = cost;
        } else if (cheap && cost <= bytes / 2) {
            for (int n = 0; n < op->inputs && cost; n++)
                keep_sources(s, op->in[n].id);
        } else {
            s->kept[v] = true;
            s->depth[v] = 0;
        }
    }
}

/* Statistics that an op is made again from are kept. */
static void keep_statistics(state *s, const mf_op *op)
{
    for (int k = 1; op->type->again && k < op->outputs; k++)
        s->kept[op->out[k].id] = true;
}

/* ---- computing again ------------------------------------------------------------------------- */

/* The op of a frame, all of whose inputs are there. */
static void make_again(state *s, frame *f)
{
    mf_program *p = s->p;
    const mf_op *op = maker(s, f->value);
    mf_shape shapes[MF_OP_OUTPUTS];
    p->scope = op->scope;
    if (is_reshape(op)) {
        const mf_shape shape = mf_shape_of(p, op->out[0]);
        s->copy[f->value] = mf_reshape(p, f->again.in[0], shape.rank, shape.dim).id;
        return;
    }
    for (int k = 0; k < f->again.outputs; k++)
        shapes[k] = mf_shape_of(p, op->out[k]);
    const mf_value first = mf_op_add(p, &f->again, shapes);
    for (int k = 0; !p->failure && k < f->again.outputs; k++)
        s->copy[op->out[k].id] = mf_producer(p, first)->out[k].id;
}

/* The value that gradients read in place of `value`, where nothing needs to be made for it. */
static bool at_hand(state *s, int32_t value, int32_t *use)
{
    *use = value;
    if (!is_forward(s, value) || s->kept[value] || s->p->failure)
        return true;
    const bool far = s->depth[value] > 0 && s->at - s->used[value] > NEAR;
    if (s->copy[value] < 0 || far)
        return false;
    s->used[value] = s->at;
    *use = s->copy[value];
    return true;
}

static void begin_frame(const state *s, int32_t value, frame *f)
{
    const mf_op *op = maker(s, value);
    f->value = value;
    f->next = 0;
    f->again = op->type->again && value == op->out[0].id ? op->type->again(op) : *op;
}

/* The value where gradients are computed: itself, or its copy, made now if need be, after what it
 * is made of. An input comes from an earlier op, so there are no more frames than ops of the
 * forward pass; they may be many thousands, hence no recursion. */
static int32_t have(state *s, int32_t value)
{
    int32_t depth = 0, use;
    if (at_hand(s, value, &use))
        return use;
    begin_frame(s, value, &s->frames[depth++]);
    while (depth > 0) {
        frame *f = &s->frames[depth - 1];
        if (f->next < f->again.inputs) {
            const int32_t input = f->again.in[f->next].id;
            if (at_hand(s, input, &use))
                f->again.in[f->next++].id = use;
            else
                begin_frame(s, input, &s->frames[depth++]);
            continue;
        }
        make_again(s, f);
        s->used[f->value] = s->at;
        use = s->copy[f->value];
        depth--;
        if (depth > 0) {
            f = &s->frames[depth - 1];
            f->again.in[f->next++].id = use;
        }
    }
    return use;
}

static void append(state *s, const mf_op *op)
{
    mf_program *p = s->p;
    mf_op *ops = mf_list_more(p->ops, (size_t)p->op_count, sizeof *ops);
    if (!ops) {
        mf_program_fail_code(p, MF_NO_MEMORY, "out of memory for a program");
        return;
    }
    p->ops = ops;
    for (int k = 0; k < op->outputs; k++) {
        p->values[op->out[k].id].op = p->op_count;
        s->there[op->out[k].id] = true;
    }
    p->ops[p->op_count++] = *op;
}

/* Op i of the old list, with what it needs. */
static void put(state *s, int32_t i)
{
    mf_op op = s->old[i];
    for (int k = 0; i >= s->p->forward_ops && s->live[i] && k < op.inputs; k++)
        op.in[k].id = have(s, op.in[k].id);
    append(s, &op);
    s->done[i] = true;
}

/* Whether all that op i reads is made. */
static bool is_ready(const state *s, const mf_op *op)
{
    bool ready = true;
    for (int k = 0; k < op->inputs; k++) {
        const int32_t v = op->in[k].id;
        ready &= v < 0 || s->p->values[v].kind != MF_VALUE_RESULT || s->there[v];
    }
    return ready;
}

/* Whether op reads the value, and what it makes is much smaller: the gradient of a weight. */
static bool ends_use(const state *s, const mf_op *op, int32_t value)
{
    size_t made = 0;
    bool reads = false;
    for (int k = 0; k < op->inputs; k++)
        reads |= op->in[k].id == value;
    for (int k = 0; k < op->outputs; k++)
        made += s->p->values[op->out[k].id].bytes;
    return reads && made < s->p->values[value].bytes / 4;
}

/* Ops a little later that read what op i has just had computed again, for weights: at once, so that
 * it need not wait for them. */
static void put_others(state *s, int32_t i)
{
    for (int k = 0; k < s->old[i].inputs; k++) {
        const int32_t value = s->old[i].in[k].id;
        if (!is_forward(s, value) || s->kept[value] || !ends_use(s, &s->old[i], value))
            continue;
        for (int32_t n = i + 1; n < s->old_count && n <= i + AHEAD; n++)
            if (s->live[n] && !s->done[n] && ends_use(s, &s->old[n], value) &&
                is_ready(s, &s->old[n]))
                put(s, n);
    }
}

static void rewrite(state *s)
{
    mf_program *p = s->p;
    const int32_t scope = p->scope;
    p->ops = NULL;
    p->op_count = 0;
    for (int32_t i = 0; i < s->old_count && !p->failure; i++) {
        s->at = i;
        if (s->done[i])
            continue;
        put(s, i);
        if (i >= p->forward_ops && s->live[i])
            put_others(s, i);
    }
    p->scope = scope;
}

static mf_status run(state *s)
{
    mf_program *p = s->p;
    const size_t n = (size_t)p->value_count + 1;
    s->needed = calloc(n, sizeof *s->needed);
    s->kept = calloc(n, sizeof *s->kept);
    s->cost = calloc(n, sizeof *s->cost);
    s->depth = calloc(n, sizeof *s->depth);
    s->copy = malloc(n * sizeof *s->copy);
    s->used = calloc(n, sizeof *s->used);
    s->done = calloc((size_t)p->op_count + 1, sizeof *s->done);
    s->there = calloc(n, sizeof *s->there);
    s->open = calloc(n, sizeof *s->open);
    s->frames = calloc((size_t)p->forward_ops + 1, sizeof *s->frames);
    if (!s->needed || !s->kept || !s->cost || !s->depth || !s->copy || !s->used || !s->done ||
        !s->there || !s->open || !s->frames)
        return mf_no_memory(0, "a plan");
    memset(s->copy, -1, n * sizeof *s->copy);
    mark_needed(s);
    for (int32_t i = 0; i < p->output_count; i++)
        s->kept[p->outputs[i].value.id] = true;
    for (int32_t i = 0; i < p->forward_ops; i++) {
        keep_statistics(s, &s->old[i]);
        decide(s, &s->old[i]);
    }
    rewrite(s);
    return mf_program_status(p);
}

mf_status mf_rematerialize(mf_program *p, const bool *live)
{
    if (!p->differentiated || p->rematerialized)
        return MF_OK;
    state s = {
        .p = p, .values = p->value_count, .old = p->ops, .old_count = p->op_count, .live = live};
    p->rematerialized = true;
    mf_status status = run(&s);
    free(s.needed);
    free(s.kept);
    free(s.cost);
    free(s.depth);
    free(s.copy);
    free(s.used);
    free(s.done);
    free(s.there);
    free(s.open);
    free(s.frames);
    if (p->ops != s.old)
        free(s.old);
    return status;
}
