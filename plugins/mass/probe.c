/* probe.c - trains the pooled classifier: mini-batches in a drawn order, dropout, AdamW with a
 * cosine rate an epoch, as in the official linear probe. */
#include "probe.h"
#include "model.h"
#include "schedule.h"
#include "state.h"

#include <massflow/random.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct trainer {
    const mf_probe *o;
    mf_weights *weights;
    mf_executable *train, *test;
    int64_t *order; /* of the cases in an epoch */
    float *x, *drop, *target, *weight;
    double *class_weight;
    mf_random random;
    int64_t cases, steps;
} trainer;

static int64_t case_size(const mf_probe *o)
{
    return o->sites * o->head.channels;
}

static mf_status compile(trainer *t)
{
    const mf_probe *o = t->o;
    mf_program *p;
    MF_TRY(mf_program_new(&p));
    mf_head_training(p, &o->head, o->batch, o->sites, true);
    mf_status status = mf_weights_declare(t->weights, p);
    if (!status)
        status = mf_model_draw(t->weights, o->seed);
    if (!status)
        status = mf_program_compile(p, t->weights, &t->train);
    mf_program_free(p);
    MF_TRY(status);
    MF_TRY(mf_program_new(&p));
    mf_head_logits(p, &o->head, o->batch, o->sites, false);
    status = mf_program_compile(p, t->weights, &t->test);
    mf_program_free(p);
    return status;
}

static mf_status allocate(trainer *t, const mf_probe_set *train)
{
    const mf_probe *o = t->o;
    t->cases = train->n;
    t->order = calloc((size_t)train->n, sizeof *t->order);
    t->x = calloc((size_t)(o->batch * case_size(o)), sizeof *t->x);
    t->drop = calloc((size_t)(o->batch * mf_head_width(&o->head, o->sites)), sizeof *t->drop);
    t->target = calloc((size_t)(o->batch * o->head.classes), sizeof *t->target);
    t->weight = calloc((size_t)o->batch, sizeof *t->weight);
    t->class_weight = calloc((size_t)o->head.classes, sizeof *t->class_weight);
    if (!t->order || !t->x || !t->drop || !t->target || !t->weight || !t->class_weight)
        return mf_no_memory(0, "a batch of %lld cases", (long long)o->batch);
    for (int64_t i = 0; i < train->n; i++) {
        t->order[i] = i;
        t->class_weight[train->truth[i]]++;
    }
    for (int64_t c = 0; c < o->head.classes; c++) {
        double count = t->class_weight[c];
        double even = count > 0 ? (double)train->n / ((double)o->head.classes * count) : 1;
        t->class_weight[c] = o->balance ? fmin(fmax(even, 0.1), 10) : 1;
    }
    return MF_OK;
}

static void shuffle(trainer *t, int64_t n)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = mf_random_below(&t->random, i + 1), swap = t->order[i];
        t->order[i] = t->order[j];
        t->order[j] = swap;
    }
}

/* Cases order[first ..] as one batch; rows that are missing weigh nothing. */
static void fill_batch(trainer *t, const mf_probe_set *set, int64_t first)
{
    const mf_probe *o = t->o;
    memset(t->target, 0, sizeof(float) * (size_t)(o->batch * o->head.classes));
    for (int64_t i = 0; i < o->batch; i++) {
        bool there = first + i < set->n;
        int64_t from = there ? t->order[first + i] : t->order[0], truth = set->truth[from];
        memcpy(t->x + i * case_size(o), set->x + from * case_size(o),
               sizeof(float) * (size_t)case_size(o));
        t->target[i * o->head.classes + truth] = 1;
        t->weight[i] = there ? (float)t->class_weight[truth] : 0;
    }
    for (int64_t i = 0; i < o->batch * mf_head_width(&o->head, o->sites); i++)
        t->drop[i] =
            mf_random_uniform(&t->random, 0, 1) < o->dropout ? 0 : (float)(1 / (1 - o->dropout));
}

static mf_status learn_batch(trainer *t, double rate, double *loss)
{
    float value;
    MF_TRY(mf_weights_clear_gradients(t->weights));
    MF_TRY(mf_executable_set(t->train, "features", t->x));
    MF_TRY(mf_executable_set(t->train, "drop", t->drop));
    MF_TRY(mf_executable_set(t->train, "target", t->target));
    MF_TRY(mf_executable_set(t->train, "weight", t->weight));
    MF_TRY(mf_executable_run(t->train));
    MF_TRY(mf_executable_get(t->train, "loss", &value));
    if (!isfinite(value))
        return mf_fail(MF_INVALID, "the loss is %g", (double)value);
    mf_optimizer_step step = {.kind = MF_ADAMW,
                              .rate = rate,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .eps = 1e-8,
                              .weight_decay = t->o->weight_decay,
                              .grad_scale = 1,
                              .step = ++t->steps};
    *loss += (double)value;
    return mf_weights_step(t->weights, &step, NULL);
}

/* ---- its state: weights with their moments, the order of cases, random numbers, the step -------
 */

enum { RANDOM_WORDS = 11 }; /* key, counter, block, used */

static void pack_random(const mf_random *r, int64_t words[RANDOM_WORDS])
{
    for (int i = 0; i < 2; i++)
        words[i] = r->key[i];
    for (int i = 0; i < 4; i++) {
        words[2 + i] = r->counter[i];
        words[6 + i] = r->block[i];
    }
    words[10] = r->used;
}

static void unpack_random(const int64_t words[RANDOM_WORDS], mf_random *r)
{
    for (int i = 0; i < 2; i++)
        r->key[i] = (uint32_t)words[i];
    for (int i = 0; i < 4; i++) {
        r->counter[i] = (uint32_t)words[2 + i];
        r->block[i] = (uint32_t)words[6 + i];
    }
    r->used = (int)words[10];
}

static mf_status fill_state(trainer *t, mf_artifact *state)
{
    int64_t words[RANDOM_WORDS];
    pack_random(&t->random, words);
    MF_TRY(mf_artifact_set_int(state, "steps", t->steps));
    MF_TRY(mf_state_put(state, "random", MF_I64, RANDOM_WORDS, words));
    MF_TRY(mf_state_put(state, "order", MF_I64, t->cases, t->order));
    return mf_state_put_weights(state, t->weights, false);
}

/* What is to be saved of the trainer as it is now, to take the place of *state. */
static mf_status keep_state(trainer *t, mf_artifact **state)
{
    mf_artifact *made;
    MF_TRY(mf_artifact_new("training", &made));
    mf_status status = fill_state(t, made);
    if (status) {
        mf_artifact_unref(made);
        return status;
    }
    mf_artifact_unref(*state);
    *state = made;
    return MF_OK;
}

static mf_status take_state(trainer *t, const mf_artifact *state)
{
    int64_t words[RANDOM_WORDS];
    if (!mf_artifact_int(state, "steps", &t->steps))
        return mf_fail(MF_CORRUPT, "the saved state has no 'steps'");
    MF_TRY(mf_state_get(state, "random", MF_I64, RANDOM_WORDS, words));
    MF_TRY(mf_state_get(state, "order", MF_I64, t->cases, t->order));
    unpack_random(words, &t->random);
    return mf_state_get_weights(state, t->weights, false);
}

static mf_status resume(trainer *t, int64_t *epoch)
{
    mf_artifact *state;
    *epoch = 0;
    mf_random_seed(&t->random, t->o->seed, "probe", 0);
    if (!t->o->resume)
        return MF_OK;
    MF_TRY(t->o->resume(t->o->user, epoch, &state));
    if (!state)
        return MF_OK;
    mf_status status = take_state(t, state);
    mf_artifact_unref(state);
    return status;
}

/* ---- training -------------------------------------------------------------------------------- */

/* *mean: of its losses. */
static mf_status learn_epoch(trainer *t, const mf_probe_set *train, const mf_schedule *schedule,
                             int64_t epoch, double *mean)
{
    const mf_probe *o = t->o;
    double rate, beta1, loss = 0;
    int64_t batches = 0;
    mf_schedule_at(schedule, epoch, &rate, &beta1);
    shuffle(t, train->n);
    for (int64_t first = 0; first < train->n; first += o->batch, batches++) {
        fill_batch(t, train, first);
        MF_TRY(learn_batch(t, rate, &loss));
        if (o->part)
            o->part(o->user, fmin(1, (double)(first + o->batch) / (double)train->n));
    }
    *mean = loss / (double)batches;
    return MF_OK;
}

/* What is saved is the end of an epoch: a stop may be met inside the next one, so it is kept. */
static mf_status learn_all(trainer *t, const mf_probe_set *train, int64_t epoch, int64_t last,
                           mf_artifact **state)
{
    const mf_probe *o = t->o;
    const mf_schedule schedule = {.kind = MF_SCHEDULE_COSINE,
                                  .rate = o->rate,
                                  .steps = o->epochs,
                                  .beta1 = 0.9,
                                  .floor = o->last_rate};
    while (epoch < last) {
        double loss;
        mf_status told = learn_epoch(t, train, &schedule, epoch, &loss), failed = MF_OK;
        if (!told) {
            epoch++;
            told = o->save ? keep_state(t, state) : MF_OK;
            if (!told && o->step)
                told = o->step(o->user, epoch - 1, loss);
        }
        bool stopped = told && mf_error_code(told) == MF_CANCELLED;
        if (*state && epoch < last && (stopped || (!told && o->due(o->user))))
            failed = o->save(o->user, epoch, *state, false);
        if (told) {
            mf_error_free(failed);
            return told;
        }
        MF_TRY(failed);
    }
    return *state && last < o->epochs ? o->save(o->user, last, *state, true) : MF_OK;
}

static mf_status train_all(trainer *t, const mf_probe_set *train)
{
    const int64_t last = t->o->stop ? t->o->stop : t->o->epochs;
    mf_artifact *state = NULL;
    int64_t epoch;
    MF_TRY(resume(t, &epoch));
    if (t->o->begin)
        t->o->begin(t->o->user, epoch);
    mf_status status = learn_all(t, train, epoch, last, &state);
    mf_artifact_unref(state);
    return status;
}

static mf_status predict_all(trainer *t, const mf_probe_set *test, double *probability)
{
    const mf_probe *o = t->o;
    int64_t classes = o->head.classes;
    float *logits = calloc((size_t)(o->batch * classes), sizeof *logits);
    mf_status status = logits ? MF_OK : mf_no_memory(0, "logits");
    for (int64_t first = 0; first < test->n && !status; first += o->batch) {
        int64_t n = test->n - first < o->batch ? test->n - first : o->batch;
        memcpy(t->x, test->x + first * case_size(o), sizeof(float) * (size_t)(n * case_size(o)));
        status = mf_executable_set(t->test, "features", t->x);
        if (!status)
            status = mf_executable_run(t->test);
        if (!status)
            status = mf_executable_get(t->test, "logits", logits);
        for (int64_t i = 0; i < n && !status; i++) {
            double *p = probability + (first + i) * classes, sum = 0, most = -INFINITY;
            for (int64_t c = 0; c < classes; c++)
                most = fmax(most, (double)logits[i * classes + c]);
            for (int64_t c = 0; c < classes; c++)
                sum += p[c] = exp((double)logits[i * classes + c] - most);
            for (int64_t c = 0; c < classes; c++)
                p[c] /= sum;
        }
    }
    free(logits);
    return status;
}

mf_status mf_probe_count(const mf_probe *o, mf_device *device, size_t *bytes)
{
    const mf_optimizer_step step = {
        .kind = MF_ADAMW, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .grad_scale = 1, .step = 1};
    trainer t = {.o = o};
    mf_device *counting;
    *bytes = 0;
    MF_TRY(mf_device_counting(device, &counting));
    mf_status status = mf_weights_new(counting, &t.weights);
    if (!status)
        status = compile(&t);
    if (!status)
        status = mf_executable_run(t.train);
    if (!status)
        status = mf_weights_step(t.weights, &step, NULL);
    *bytes = mf_device_most_used(counting);
    mf_executable_free(t.train);
    mf_executable_free(t.test);
    mf_weights_free(t.weights);
    mf_device_unref(counting);
    return status;
}

mf_status mf_probe_run(const mf_probe *o, mf_weights *w, const mf_probe_set *train,
                       const mf_probe_set *test, double *probability)
{
    trainer t = {.o = o, .weights = w};
    mf_status status = allocate(&t, train);
    if (!status)
        status = compile(&t);
    if (!status)
        status = train_all(&t, train);
    if (!status)
        status = predict_all(&t, test, probability);
    mf_executable_free(t.train);
    mf_executable_free(t.test);
    free(t.order);
    free(t.x);
    free(t.drop);
    free(t.target);
    free(t.weight);
    free(t.class_weight);
    return status;
}
