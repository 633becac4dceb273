/* bench_ranks.c - a step of training on one part of a CPU, on both parts, and on the whole CPU.
 *
 * bench_ranks [CHANNELS CROP MASKS BATCH ROUNDS], by default 8,16,32,64,96 64 6 4 5. The three take
 * turns; after one round to warm up it prints the medians of a step and of its parts, and what a
 * rank sent in a step. */
#include "bench.h"
#include "model.h"
#include "pretraining.h"
#include "rank_threads.h"

#include <massflow/random.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS_MOST = 2, ROUNDS_MOST = 100, SIDES = 3 };
enum { PASSES, EXCHANGE, UPDATE, PARTS };

typedef struct setting {
    mf_iris iris;
    int64_t crop[3], masks, batch;
    mf_pretraining_pair pair;
} setting;

typedef struct rank {
    const setting *s;
    mf_weights *weights;
    mf_executable *e;
    mf_transport *transport;
    int64_t step;
    double seconds[PARTS];
    pthread_t thread;
} rank;

/* One way to do a step. */
typedef struct side {
    const char *name;
    int count;
    rank ranks[RANKS_MOST];
    mf_rank_threads *threads;
    double step[ROUNDS_MOST], part[PARTS][ROUNDS_MOST];
} side;

static void *one_step(void *self)
{
    rank *r = self;
    const mf_pretraining how = {
        .schedule = {.kind = MF_SCHEDULE_CONSTANT, .rate = 1e-3, .steps = 1000},
        .lamb = true,
        .weight_decay = 1e-5,
        .max_norm = 1,
        .ema_decay = 0.99,
        .batch = r->s->batch};
    mf_pretraining_losses losses;
    int64_t first, items;
    double rate, start = mf_seconds();
    float norm;
    mf_batch_part(r->s->batch, r->transport->ranks, r->transport->rank, &first, &items);
    check(mf_weights_begin_batch(r->weights, items));
    for (int64_t i = 0; i < items; i++) {
        check(mf_pretraining_run(r->e, &r->s->pair, &losses));
        check(mf_weights_end_item(r->weights));
    }
    r->seconds[PASSES] = mf_seconds() - start;
    start = mf_seconds();
    check(mf_weights_exchange(r->weights, r->transport));
    r->seconds[EXCHANGE] = mf_seconds() - start;
    start = mf_seconds();
    check(mf_pretraining_update(r->weights, &how, r->step++, &rate, &norm));
    check(mf_weights_get(r->weights, 0, (float[27 * 512]){0})); /* waits for it */
    r->seconds[UPDATE] = mf_seconds() - start;
    return NULL;
}

static void run_side(side *s, int round)
{
    const double start = mf_seconds();
    for (int i = 1; i < s->count; i++)
        if (pthread_create(&s->ranks[i].thread, NULL, one_step, &s->ranks[i]))
            exit(1);
    one_step(&s->ranks[0]);
    for (int i = 1; i < s->count; i++)
        pthread_join(s->ranks[i].thread, NULL);
    if (round < 0)
        return;
    s->step[round] = mf_seconds() - start;
    for (int k = 0; k < PARTS; k++)
        s->part[k][round] = s->ranks[0].seconds[k];
}

static void open_side(side *s, const setting *set, const char *name, const char *which)
{
    mf_device **devices;
    size_t count;
    check(mf_devices_open(which, &devices, &count));
    s->name = name;
    s->count = (int)count;
    check(mf_rank_threads_new(s->count, &s->threads));
    for (int i = 0; i < s->count; i++) {
        rank *r = &s->ranks[i];
        r->s = set;
        r->transport = mf_rank_threads_at(s->threads, i);
        check(mf_weights_new(devices[i], &r->weights));
        check(mf_model_declare(r->weights, &set->iris));
        check(mf_model_draw(r->weights, 1));
        check(mf_pretraining_compile(r->weights, &set->iris, set->crop, set->masks, false, &r->e));
        mf_device_unref(devices[i]);
    }
    free(devices);
}

static void close_side(side *s)
{
    for (int i = 0; i < s->count; i++) {
        mf_executable_free(s->ranks[i].e);
        mf_weights_free(s->ranks[i].weights);
    }
    mf_rank_threads_free(s->threads);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[count / 2];
}

/* Noise images, and masks of a drawn half of the voxels. */
static void draw_pair(setting *s)
{
    const int64_t voxels = s->crop[0] * s->crop[1] * s->crop[2];
    mf_random random;
    float *image = malloc((size_t)voxels * sizeof *image);
    uint8_t *masks = malloc((size_t)(voxels * s->masks));
    if (!image || !masks)
        exit(1);
    mf_random_seed(&random, 1, "bench", 0);
    for (int64_t i = 0; i < voxels; i++)
        image[i] = (float)mf_random_normal(&random);
    for (int64_t i = 0; i < voxels * s->masks; i++)
        masks[i] = (uint8_t)mf_random_below(&random, 2);
    s->pair = (mf_pretraining_pair){image, masks, image, masks};
}

static void tell(side *s, int rounds, double weights)
{
    const double sent = (double)s->ranks[0].transport->sent / (rounds + 1);
    const double bound = 2.0 * (s->count - 1) / s->count * weights;
    printf("%s\t%.3f s\t%.3f s\t%.3f s\t%.3f s", s->name, median(s->step, rounds),
           median(s->part[PASSES], rounds), median(s->part[EXCHANGE], rounds),
           median(s->part[UPDATE], rounds));
    if (s->count > 1)
        printf("\t%.3f MB sent, at least %.3f MB", sent * 1e-6, bound * 1e-6);
    printf("\n");
}

int main(int argc, char **argv)
{
    static side sides[SIDES];
    setting s = {.iris = {.blocks = {2, 2, 2, 2}, .positions = 128}};
    long long c[MF_IRIS_DEPTHS];
    const char *channels = argc > 1 ? argv[1] : "8,16,32,64,96";
    const int64_t crop = argc > 2 ? atoi(argv[2]) : 64;
    const int rounds = argc > 5 ? atoi(argv[5]) : 5;
    double weights = 0;
    if (argc > 6 || rounds < 1 || rounds > ROUNDS_MOST ||
        sscanf(channels, "%lld,%lld,%lld,%lld,%lld", &c[0], &c[1], &c[2], &c[3], &c[4]) != 5) {
        fprintf(stderr, "usage: bench_ranks [C,C,C,C,C CROP MASKS BATCH ROUNDS]\n");
        return 2;
    }
    for (int i = 0; i < MF_IRIS_DEPTHS; i++)
        s.iris.channels[i] = c[i];
    for (int i = 0; i < 3; i++)
        s.crop[i] = crop;
    s.masks = argc > 3 ? atoi(argv[3]) : 6;
    s.batch = argc > 4 ? atoi(argv[4]) : 4;
    check(mf_iris_check(&s.iris));
    check(mf_iris_check_crop(s.crop, s.iris.positions));
    draw_pair(&s);
    open_side(&sides[0], &s, "cpu/2.0", "cpu/2.0");
    open_side(&sides[1], &s, "cpu/2, both parts", "cpu/2");
    open_side(&sides[2], &s, "cpu, one device", "cpu");
    for (int round = -1; round < rounds; round++)
        for (int i = 0; i < SIDES; i++)
            run_side(&sides[i], round);
    for (size_t i = 0; i < mf_weights_count(sides[0].ranks[0].weights); i++) {
        mf_weight_info info;
        mf_weights_info(sides[0].ranks[0].weights, i, &info);
        weights += 4.0 * (double)info.count;
    }
    printf("step of a batch of %lld, %s at %lld^3, %lld masks\ta step\tpasses\texchange\tupdate\n",
           (long long)s.batch, channels, (long long)crop, (long long)s.masks);
    for (int i = 0; i < SIDES; i++) {
        tell(&sides[i], rounds, weights);
        close_side(&sides[i]);
    }
    free((void *)s.pair.query);
    free((void *)s.pair.query_masks);
    return 0;
}
