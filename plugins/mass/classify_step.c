/* classify_step.c - a step of mass.classify. Views, order and dropout are functions of the seed,
 * the epoch and the case alone, so that a state needs no random numbers. */
#include "../common/parallel.h"
#include "classify_private.h"
#include "schedule.h"

#include <math.h>

/* One step: cases order[first .. first + n) of an epoch. */
typedef struct step {
    mf_classify *w;
    int64_t i, epoch, first, n;
    int64_t own; /* first case of the batch that this process learns from */
} step;

static void seed_case(const step *s, const char *what, int64_t of, mf_random *random)
{
    mf_random_seed(random, (uint64_t)s->w->o->seed, what,
                   (uint64_t)(s->epoch * s->w->train.truth.n + of));
}

/* A new order each epoch, which only seed and epoch decide. */
static void draw_order(const step *s)
{
    int64_t *order = s->w->order;
    mf_random random;
    mf_random_seed(&random, (uint64_t)s->w->o->seed, "order", (uint64_t)s->epoch);
    for (int64_t j = 0; j < s->w->train.truth.n; j++) { /* Fisher and Yates, inside out */
        int64_t k = mf_random_below(&random, j + 1);
        order[j] = order[k];
        order[k] = j;
    }
}

static mf_view_settings view_settings(const mf_classify_params *o)
{
    return (mf_view_settings){.affine_prob = o->affine_prob,
                              .scale = o->scale,
                              .translate = o->translate,
                              .shear = o->shear,
                              .rotate = o->rotate,
                              .brightness_prob = o->aug_prob,
                              .brightness_additive_prob = o->aug_prob,
                              .gamma_prob = o->aug_prob,
                              .contrast_prob = o->aug_prob,
                              .blur_prob = o->aug_prob,
                              .gaussian_noise_prob = o->aug_prob,
                              .brightness_range = o->brightness_range,
                              .gamma_range = o->gamma_range,
                              .contrast_range = o->contrast_range,
                              .blur_range = o->blur_range,
                              .brightness_additive_std = o->brightness_additive_std,
                              .gaussian_noise_std = o->gaussian_noise_std};
}

static int64_t view_size(const mf_classify *w)
{
    return w->shape.crop[0] * w->shape.crop[1] * w->shape.crop[2];
}

/* View `at` of those of the step that this process learns from; for mf_parallel. */
static mf_status make_view(void *user, int worker, int64_t at)
{
    const step *s = user;
    const int64_t k = s->own + at;
    mf_classify *w = s->w;
    const int64_t of = w->order[s->first + k];
    float *view = w->views + k * view_size(w);
    const mf_view_settings settings = view_settings(w->o);
    mf_random random;
    (void)worker;
    seed_case(s, "view", of, &random);
    mf_status status = mf_case_set_know(w, &w->train, of);
    if (!status)
        status = w->o->augment ? mf_scan_view_draw(&w->train.scan[of], &settings, w->shape.crop,
                                                   w->o->margin, &random, view)
                               : mf_scan_view_center(&w->train.scan[of], w->shape.crop, view);
    return mf_within(status, "train case '%s'", mf_case_set_name(w, &w->train, of));
}

static int64_t class_of(const mf_classify *w, int64_t of)
{
    const uint8_t *label = w->train.truth.label + of * w->classes.count;
    int64_t c = 0;
    while (!label[c])
        c++;
    return c;
}

/* The part of the loss of the batch that is the case's: PyTorch's means, by weight of its class, or
 * of all cases alike. */
static double share_of(const step *s, int64_t of)
{
    const mf_classify *w = s->w;
    double all = 0;
    if (w->o->multi_label)
        return 1 / (double)s->n;
    for (int64_t k = 0; k < s->n; k++)
        all += w->class_weight[class_of(w, w->order[s->first + k])];
    return w->class_weight[class_of(w, of)] / all;
}

static void fill_target(const mf_classify *w, mf_classify_rank *rank, int64_t of)
{
    const uint8_t *label = w->train.truth.label + of * w->classes.count;
    for (int64_t c = 0; c < w->classes.count; c++) {
        if (w->o->multi_label) {
            rank->target[2 * c] = label[c] ? 0 : 1;
            rank->target[2 * c + 1] = label[c] ? (float)w->class_weight[c] : 0;
        } else {
            rank->target[c] = label[c];
        }
    }
}

static void fill_drop(const step *s, mf_classify_rank *rank, int64_t of)
{
    const double p = s->w->o->dropout;
    mf_random random;
    seed_case(s, "drop", of, &random);
    for (int64_t i = 0; i < mf_classifier_width(rank->classifier); i++)
        rank->drop[i] = mf_random_uniform(&random, 0, 1) < p ? 0 : (float)(1 / (1 - p));
}

static mf_status no_number(mf_status status)
{
    return mf_hint(status, "lower head_lr or encoder_lr, or look for extreme voxels in the scans; "
                           "the state before this step is kept");
}

static mf_status learn_case(const step *s, mf_classify_rank *rank, int64_t k)
{
    const mf_classify *w = s->w;
    const int64_t of = w->order[s->first + k];
    float value;
    const mf_classifier_case one = {.image = w->views + k * view_size(w),
                                    .drop = rank->drop,
                                    .target = rank->target,
                                    .weight = w->weight,
                                    .share = (float)share_of(s, of)};
    MF_TRY(mf_cancel_point(w->task));
    fill_target(w, rank, of);
    fill_drop(s, rank, of);
    MF_TRY(mf_classifier_learn(rank->classifier, &one, &value, NULL));
    if (!isfinite(value))
        return no_number(mf_fail(MF_INVALID, "step %lld (epoch %lld), case '%s': the loss is %g",
                                 (long long)s->i + 1, (long long)s->epoch + 1,
                                 mf_case_set_name(w, &w->train, of), (double)value));
    w->losses[k] = (double)value;
    return MF_OK;
}

/* The part of the batch that is a rank's own; then the gradients of all. The last batch of an epoch
 * may be smaller than there are ranks. */
static mf_status learn_part(void *self, int r)
{
    const step *s = self;
    mf_classify *w = s->w;
    mf_weights *weights = mf_classifier_weights(w->rank[r].classifier);
    int64_t first, items;
    mf_transport *transport = mf_ranks_transport(w->ranks, r);
    mf_batch_part(s->n, transport->ranks, transport->rank, &first, &items);
    MF_TRY(items ? mf_weights_begin_batch(weights, items) : mf_weights_clear_gradients(weights));
    for (int64_t k = 0; k < items; k++) {
        MF_TRY(learn_case(s, &w->rank[r], first + k));
        if (r == 0)
            mf_progress_part(w->task, (double)(k + 1) / (double)items);
    }
    return mf_weights_exchange(weights, transport);
}

double mf_classify_rate(const mf_classify *w, double rate, int64_t epoch)
{
    const mf_schedule schedule = {.kind = MF_SCHEDULE_COSINE,
                                  .rate = rate,
                                  .steps = w->o->epochs,
                                  .beta1 = 0.9,
                                  .floor = w->o->eta_min};
    double at, beta1;
    mf_schedule_at(&schedule, epoch, &at, &beta1);
    return at;
}

/* Of one rank: the gradients are the same in all. */
static mf_status update(void *self, int r)
{
    const step *s = self;
    const mf_classify *w = s->w;
    const mf_classifier_step by = {.head_rate = mf_classify_rate(w, w->o->head_lr, s->epoch),
                                   .encoder_rate = mf_classify_rate(w, w->o->encoder_lr, s->epoch),
                                   .weight_decay = w->o->weight_decay,
                                   .max_norm = w->o->max_grad_norm,
                                   .step = s->i + 1};
    mf_status status = mf_classifier_update(w->rank[r].classifier, &by, &w->rank[r].norm);
    if (!status || mf_error_code(status) != MF_INVALID)
        return status;
    return no_number(mf_within(status, "step %lld (epoch %lld), cases '%s' to '%s' of the batch",
                               (long long)s->i + 1, (long long)s->epoch + 1,
                               mf_case_set_name(w, &w->train, w->order[s->first]),
                               mf_case_set_name(w, &w->train, w->order[s->first + s->n - 1])));
}

mf_status mf_classify_step(mf_classify *w, int64_t i)
{
    step s = {.w = w, .i = i, .epoch = i / w->batches, .first = i % w->batches * w->batch};
    const int64_t left = w->train.truth.n - s.first;
    int64_t items;
    double loss = 0;
    s.n = left < w->batch ? left : w->batch;
    draw_order(&s);
    mf_ranks_part(w->ranks, s.n, &s.own, &items);
    MF_TRY(mf_parallel(mf_task_threads(w->task), items, make_view, &s));
    MF_TRY(mf_ranks_run(w->ranks, learn_part, &s, NULL));
    MF_TRY(mf_ranks_gather(w->ranks, w->losses, s.n, sizeof *w->losses));
    MF_TRY(mf_ranks_run(w->ranks, update, &s, NULL));
    for (int64_t k = 0; k < s.n; k++)
        loss += w->losses[k];
    w->sums.loss += loss / (double)w->batches;
    w->sums.norm += (double)w->rank->norm / (double)w->batches;
    return MF_OK;
}
