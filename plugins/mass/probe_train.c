/* probe_train.c - the stage probe.train: how well a simple classifier reads frozen features. */
#include "mass_stages.h"
#include "probe.h"
#include "probe_train.code.h"
#include "scores.h"
#include "targets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct probe_params {
    const char *target, *class_weight, *pooling;
    int64_t epochs, stop_at, batch_size, seed;
    double lr, eta_min, weight_decay, dropout, checkpoint_interval;
    bool standardize;
} probe_params;

static const mf_param params[] = {
    MF_TEXT(probe_params, target, NULL,
            "Class of a case: a column of the cases, or an attribute of their features such as "
            "`lesion`."),
    MF_CHOICE(probe_params, pooling, "attention", MF_POOLINGS,
              "Pooling of a feature map to a vector. attention: learned. none: the linear layer "
              "sees all voxels of the map."),
    MF_INT(probe_params, epochs, "100", 1, 1e7, "", "Number of passes over the training cases."),
    MF_INT_MARKED(probe_params, stop_at, "-1", -1, 1e7, "", MF_EXTENDABLE,
                  "Stop after this many epochs, without a change of the schedule. If it is raised "
                  "later, the training resumes there. -1: all epochs."),
    MF_INT(probe_params, batch_size, "8", 1, 4096, "", "Cases per step."),
    MF_REAL(probe_params, lr, "0.0001", 0, 10, "", "Initial learning rate."),
    MF_REAL(probe_params, eta_min, "0.000001", 0, 10, "",
            "Final learning rate of the cosine schedule."),
    MF_REAL(probe_params, weight_decay, "0.0001", 0, 10, "", "Weight decay (AdamW)."),
    MF_REAL(probe_params, dropout, "0.1", 0, 0.95, "",
            "Dropout probability of the pooled channels."),
    MF_CHOICE(probe_params, class_weight, "balanced", "balanced|none",
              "Class weights of the loss. balanced: inverse class frequency."),
    MF_BOOL(probe_params, standardize, "false",
            "Standardize each channel with mean and standard deviation of the training cases. The "
            "official code does not."),
    MF_INT(probe_params, seed, "42", 0, 9e15, "", "Random seed of weights, order and dropout."),
    MF_REAL_MARKED(probe_params, checkpoint_interval, "300", 0, 1e9, "s", MF_NO_CACHE,
                   "Time between two checkpoints. 0: one after each epoch."),
    MF_END};
static const mf_port inputs[] = {
    MF_PORT_MARKED("train", "features[]", "Features of the training cases.", MF_KEYED),
    MF_PORT_MARKED("test", "features[]", "Features of the test cases.", MF_KEYED), MF_END};
static const mf_port outputs[] = {
    MF_PORT("head", "model", "Classifier, under the official parameter names."),
    MF_PORT("metrics", "table",
            "AUC, accuracy, balanced accuracy, confusion matrix of the test cases."),
    MF_PORT("predictions", "table", "Truth, prediction and probabilities of each test case."),
    MF_END};

/* ---- features -------------------------------------------------------------------------------- */

typedef struct work {
    mf_task *task;
    const probe_params *o;
    mf_targets classes;
    int64_t shape[4]; /* C d h w of all maps; 0 before the first */
    int64_t sites;    /* as the head sees them */
    mf_probe_set train, test;
    float *mean, *scale; /* [C], NULL unless standardized */
} work;

static void set_clear(mf_probe_set *s)
{
    free(s->x);
    free(s->truth);
}

/* Whether the program sees a map, or what it was pooled to here. */
static bool whole_map(const probe_params *o)
{
    mf_pooling pooling = mf_pooling_of(o->pooling);
    return pooling == MF_POOL_ATTENTION || pooling == MF_POOL_NONE;
}

static mf_head head_of(const probe_params *o, int64_t channels, int64_t count)
{
    const mf_pooling pooling = whole_map(o) ? mf_pooling_of(o->pooling) : MF_POOL_NONE;
    return (mf_head){channels, count, pooling, false};
}

/* Adds the map `values` as case i: pooled, or sites by channels. */
static mf_status add_case(work *w, const mf_array *values, mf_probe_set *s, size_t i)
{
    if (values->dtype != MF_F32 || values->rank != 4 || mf_array_count(values) == 0)
        return mf_fail(MF_INVALID, "not a feature map [C,d,h,w]");
    int64_t c = values->shape[0], all = mf_array_count(values) / c;
    const mf_pooling pooling = mf_pooling_of(w->o->pooling);
    const bool whole = whole_map(w->o);
    if (!w->shape[0]) {
        memcpy(w->shape, values->shape, sizeof w->shape);
        w->sites = whole ? all : 1;
        if (pooling == MF_POOL_ATTENTION && c < 4)
            return mf_fail(MF_INVALID, "attention pooling needs at least 4 channels, not %lld",
                           (long long)c);
    }
    if (memcmp(w->shape, values->shape, whole ? sizeof w->shape : sizeof *w->shape))
        return mf_hint(mf_fail(MF_INVALID, "a feature map of another size"),
                       "set the same roi_size for all cases");
    if (!s->x) {
        size_t bytes;
        if (mf_size_mul((size_t)s->n * sizeof(float), (size_t)(w->sites * c), &bytes))
            s->x = malloc(bytes);
        if (!s->x)
            return mf_no_memory(bytes, "%lld feature maps", (long long)s->n);
    }
    float *to = s->x + (int64_t)i * w->sites * c;
    const float *from = values->data;
    if (!whole) {
        mf_head_pool(from, c, all, pooling == MF_POOL_MAX, to);
        return MF_OK;
    }
    for (int64_t v = 0; v < all; v++)
        for (int64_t k = 0; k < c; k++)
            to[v * c + k] = from[k * all + v];
    return MF_OK;
}

static mf_status read_case(work *w, const char *port, mf_probe_set *s, size_t i)
{
    const mf_artifact *a;
    mf_array *values;
    char text[256];
    MF_TRY(mf_target_of(w->task, port, i, w->o->target, text, sizeof text));
    s->truth[i] = mf_targets_find(&w->classes, text);
    if (s->truth[i] < 0)
        return mf_fail(MF_INVALID, "its %s is '%s', which no training case has", w->o->target,
                       text);
    MF_TRY(mf_in_item(w->task, port, i, &a));
    MF_TRY(mf_artifact_array(a, "values", &values));
    mf_status status = add_case(w, values, s, i);
    mf_array_unref(values);
    return status;
}

static mf_status read_set(work *w, const char *port, mf_probe_set *s)
{
    size_t n = mf_in_count(w->task, port);
    if (n == 0)
        return mf_fail(MF_INVALID, "there are no %s cases", port);
    s->n = (int64_t)n;
    s->truth = calloc(n, sizeof *s->truth);
    if (!s->truth)
        return mf_no_memory((size_t)n * sizeof *s->truth, "%zu cases", n);
    for (size_t i = 0; i < n; i++)
        MF_TRY(mf_within(read_case(w, port, s, i), "%s case '%s'", port,
                         mf_in_case(w->task, port, i)));
    return MF_OK;
}

/* Features that do not differ tell no case from another: an AUC of 0.5 would look like a result. */
static mf_status check_features(const work *w)
{
    const size_t bytes = (size_t)(w->sites * w->shape[0]) * sizeof *w->train.x;
    const char *x = (const char *)w->train.x;
    for (int64_t i = 1; i < w->train.n; i++)
        if (memcmp(x, x + (size_t)i * bytes, bytes))
            return MF_OK;
    return mf_hint(mf_fail(MF_INVALID, "all %lld training cases have the same features",
                           (long long)w->train.n),
                   "check what the features are computed from: for labels.volumes, that its "
                   "`labels` are in the label maps");
}

static void apply_scale(const work *w, mf_probe_set *s)
{
    int64_t c = w->shape[0];
    for (int64_t i = 0; i < s->n * w->sites * c; i++)
        s->x[i] = (s->x[i] - w->mean[i % c]) * w->scale[i % c];
}

static mf_status standardize(work *w)
{
    int64_t c = w->shape[0], rows = w->train.n * w->sites;
    if (!w->o->standardize)
        return MF_OK;
    w->mean = calloc((size_t)c, sizeof *w->mean);
    w->scale = calloc((size_t)c, sizeof *w->scale);
    if (!w->mean || !w->scale)
        return mf_no_memory(0, "%lld channels", (long long)c);
    for (int64_t k = 0; k < c; k++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < rows; i++)
            sum += (double)w->train.x[i * c + k];
        for (int64_t i = 0; i < rows; i++) {
            double d = (double)w->train.x[i * c + k] - sum / (double)rows;
            squares += d * d;
        }
        double deviation = sqrt(squares / (double)rows);
        w->mean[k] = (float)(sum / (double)rows);
        w->scale[k] = deviation > 1e-12 ? (float)(1 / deviation) : 1;
    }
    apply_scale(w, &w->train);
    apply_scale(w, &w->test);
    return MF_OK;
}

/* ---- results --------------------------------------------------------------------------------- */

/* Where the test cases lack a class, AUC is over the others, or undefined. */
static void say_scores(const work *w, const mf_scores *s)
{
    const int64_t most = w->classes.count == 2 ? 1 : w->classes.count;
    if (s->auc_classes == 0)
        mf_log(w->task,
               "accuracy %.4f over %lld test cases; AUC is undefined: they are all of one class",
               s->accuracy, (long long)w->test.n);
    else if (s->auc_classes < most)
        mf_log(
            w->task,
            "AUC %.4f over the %lld of %lld classes that test cases have, accuracy %.4f over %lld "
            "test cases",
            s->auc, (long long)s->auc_classes, (long long)most, s->accuracy, (long long)w->test.n);
    else
        mf_log(w->task, "AUC %.4f, accuracy %.4f over %lld test cases", s->auc, s->accuracy,
               (long long)w->test.n);
}

static mf_status publish_metrics(work *w, const mf_scores *s)
{
    static const char *const columns[] = {"metric:text", "value", NULL};
    int64_t n = w->classes.count;
    mf_table *table;
    mf_artifact *a;
    MF_TRY(mf_table_new(columns, &table));
    mf_status status = mf_table_row(table, "auc", s->auc);
    if (!status)
        status = mf_table_row(table, "accuracy", s->accuracy);
    if (!status)
        status = mf_table_row(table, "balanced_accuracy", s->balanced);
    for (int64_t i = 0; i < n * n && !status; i++) {
        char name[600];
        snprintf(name, sizeof name, "%s as %s", w->classes.name[i / n], w->classes.name[i % n]);
        status = mf_table_row(table, name, (double)s->confusion[i]);
    }
    if (status) {
        mf_table_free(table);
        return status;
    }
    MF_TRY(mf_table_finish(table, &a));
    return mf_out(w->task, "metrics", a);
}

static mf_status publish_predictions(work *w, const double *probability)
{
    static const char *const columns[] = {"case:text",           "truth:text",
                                          "prediction:text",     "probability_of_truth",
                                          "probability_of_last", NULL};
    int64_t n = w->classes.count;
    mf_table *table;
    mf_artifact *a;
    MF_TRY(mf_table_new(columns, &table));
    mf_status status = MF_OK;
    for (int64_t i = 0; i < w->test.n && !status; i++) {
        const double *p = probability + i * n;
        int64_t best = 0;
        for (int64_t c = 1; c < n; c++)
            best = p[c] > p[best] ? c : best;
        status = mf_table_row(table, mf_in_case(w->task, "test", (size_t)i),
                              w->classes.name[w->test.truth[i]], w->classes.name[best],
                              p[w->test.truth[i]], p[n - 1]);
    }
    if (status) {
        mf_table_free(table);
        return status;
    }
    MF_TRY(mf_table_finish(table, &a));
    return mf_out(w->task, "predictions", a);
}

static mf_status add_vector(mf_artifact *a, const char *name, const float *values, int64_t n)
{
    mf_array *array;
    MF_TRY(mf_array_new(MF_F32, 1, &n, &array));
    memcpy(array->data, values, array->bytes);
    mf_status status = mf_artifact_add(a, name, array);
    mf_array_unref(array);
    return status;
}

static mf_status fill_head(work *w, mf_weights *weights, mf_artifact *a)
{
    char names[4096] = "";
    for (int64_t i = 0; i < w->classes.count; i++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", i ? "\t" : "",
                 w->classes.name[i]);
    MF_TRY(mf_artifact_set_text(a, "architecture", "head"));
    MF_TRY(mf_artifact_set_text(a, "pooling", w->o->pooling));
    MF_TRY(mf_artifact_set_text(a, "classes", names));
    for (size_t i = 0; i < mf_weights_count(weights); i++) {
        mf_weight_info info;
        mf_array *array;
        mf_weights_info(weights, i, &info);
        MF_TRY(mf_array_new(MF_F32, info.rank, info.shape, &array));
        mf_status status = mf_weights_get(weights, i, array->data);
        if (!status)
            status = mf_artifact_add(a, info.name, array);
        mf_array_unref(array);
        MF_TRY(status);
    }
    if (!w->mean)
        return MF_OK;
    MF_TRY(add_vector(a, "standardize.mean", w->mean, w->shape[0]));
    return add_vector(a, "standardize.scale", w->scale, w->shape[0]);
}

static mf_status publish_head(work *w, mf_weights *weights)
{
    mf_artifact *a;
    MF_TRY(mf_artifact_new("model", &a));
    mf_status status = fill_head(w, weights, a);
    if (status) {
        mf_artifact_unref(a);
        return status;
    }
    return mf_out(w->task, "head", a);
}

/* ---- the run --------------------------------------------------------------------------------- */

static int64_t last_epoch(const probe_params *o)
{
    return o->stop_at > 0 ? o->stop_at : o->epochs;
}

static mf_status check(const void *p)
{
    const probe_params *o = p;
    if (o->stop_at == 0 || o->stop_at > o->epochs)
        return mf_fail(MF_INVALID, "stop_at is %lld; it must be -1 or 1 to %lld, the epochs",
                       (long long)o->stop_at, (long long)o->epochs);
    return MF_OK;
}

static mf_status count_needs(mf_task *t, const probe_params *o, const mf_targets *all, mf_needs *n)
{
    const mf_artifact *first;
    mf_array_info info;
    mf_device *device;
    const int64_t cases = (int64_t)mf_in_count(t, "train");
    const bool whole = whole_map(o);
    MF_TRY(mf_in_item(t, "train", 0, &first));
    if (!mf_artifact_find(first, "values", &info) || info.rank != 4)
        return MF_OK; /* met in the run */
    const mf_probe probe = {.head = head_of(o, info.shape[0], all->count),
                            .sites = whole ? info.shape[1] * info.shape[2] * info.shape[3] : 1,
                            .batch = o->batch_size < cases ? o->batch_size : cases};
    MF_TRY(mf_task_counting(t, &device));
    mf_status status =
        mf_hint(mf_probe_count(&probe, device, &n->device_bytes), "lower batch_size");
    const mf_device_info *has = mf_device_get_info(device);
    if (!status && n->device_bytes > has->memory)
        status =
            mf_hint(mf_fail(MF_NO_MEMORY,
                            "batches of %lld cases take %.1f GiB of device memory; %s has %.1f "
                            "GiB",
                            (long long)probe.batch, (double)n->device_bytes / 0x1p30, has->name,
                            (double)has->memory / 0x1p30),
                    "lower batch_size");
    mf_device_unref(device);
    return status;
}

static mf_status needs(mf_task *t, const void *p, mf_needs *n)
{
    const probe_params *o = p;
    mf_targets all = {0};
    if (!mf_in_count(t, "train"))
        return MF_OK;
    mf_status status = mf_targets_collect(t, o->target, false, &all);
    if (status) { /* met in the run */
        mf_error_free(status);
        status = MF_OK;
    } else {
        status = count_needs(t, o, &all, n);
    }
    mf_targets_clear(&all);
    return status;
}

static void begin(void *user, int64_t epoch)
{
    const work *w = user;
    mf_progress(w->task, epoch, last_epoch(w->o), NULL);
}

static void part(void *user, double done)
{
    mf_progress_part(((const work *)user)->task, done);
}

static mf_status step(void *user, int64_t epoch, double loss)
{
    const work *w = user;
    char words[64];
    snprintf(words, sizeof words, "loss %.4f", loss);
    mf_progress(w->task, epoch + 1, last_epoch(w->o), words);
    return mf_cancel_point(w->task);
}

static mf_status resume(void *user, int64_t *epoch, mf_artifact **state)
{
    const work *w = user;
    MF_TRY(mf_checkpoint_load(w->task, last_epoch(w->o), epoch, state));
    if (*state)
        mf_log(w->task, "resumes after epoch %lld of %lld", (long long)*epoch,
               (long long)last_epoch(w->o));
    return MF_OK;
}

static bool due(void *user)
{
    const work *w = user;
    return mf_checkpoint_due(w->task, w->o->checkpoint_interval);
}

static mf_status save(void *user, int64_t epoch, const mf_artifact *state, bool keep)
{
    const work *w = user;
    return mf_checkpoint_save(w->task, epoch, state, keep);
}

static mf_status judge(work *w, mf_weights *weights, double *probability)
{
    const probe_params *o = w->o;
    mf_scores scores;
    mf_probe probe = {.head = head_of(o, w->shape[0], w->classes.count),
                      .sites = w->sites,
                      .epochs = o->epochs,
                      .stop = last_epoch(o),
                      .batch = o->batch_size < w->train.n ? o->batch_size : w->train.n,
                      .rate = o->lr,
                      .last_rate = o->eta_min,
                      .weight_decay = o->weight_decay,
                      .dropout = o->dropout,
                      .balance = !strcmp(o->class_weight, "balanced"),
                      .seed = (uint64_t)o->seed,
                      .begin = begin,
                      .part = part,
                      .step = step,
                      .resume = resume,
                      .due = due,
                      .save = save,
                      .user = w};
    MF_TRY(mf_probe_run(&probe, weights, &w->train, &w->test, probability));
    MF_TRY(mf_scores_make(probability, w->test.truth, w->test.n, w->classes.count, &scores));
    say_scores(w, &scores);
    mf_status status = publish_metrics(w, &scores);
    mf_scores_clear(&scores);
    MF_TRY(status);
    MF_TRY(publish_predictions(w, probability));
    return publish_head(w, weights);
}

static mf_status work_all(work *w)
{
    mf_queue *queue;
    mf_weights *weights = NULL;
    MF_TRY(mf_targets_collect(w->task, w->o->target, false, &w->classes));
    MF_TRY(read_set(w, "train", &w->train));
    MF_TRY(check_features(w));
    MF_TRY(read_set(w, "test", &w->test));
    MF_TRY(standardize(w));
    MF_TRY(mf_task_queue(w->task, &queue));
    double *probability = calloc((size_t)(w->test.n * w->classes.count), sizeof *probability);
    mf_status status = probability ? mf_weights_new(mf_queue_device(queue), &weights)
                                   : mf_no_memory(0, "probabilities");
    if (!status)
        status = judge(w, weights, probability);
    mf_weights_free(weights);
    free(probability);
    return status;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    (void)session;
    work w = {.task = t, .o = p};
    mf_status status = work_all(&w);
    set_clear(&w.train);
    set_clear(&w.test);
    free(w.mean);
    free(w.scale);
    mf_targets_clear(&w.classes);
    return status;
}

MF_STAGE(
    mf_stage_probe_train, "probe.train", 4,
    "Trains and tests a pooled linear classifier on frozen features (linear probe).",
    .help =
        "Feature maps are pooled to vectors. Dropout and a linear layer follow. Classes are the "
        "values of `target`, whole numbers by value and then texts. With two classes, AUC is that "
        "of the second class.",
    .params = params, .params_size = sizeof(probe_params), .in = inputs, .out = outputs,
    .program = true, .tolerance = 1e-2, .check = check, .needs = needs, .run = run, .saves = true);
