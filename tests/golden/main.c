/* main.c - tools/parity: run massflow's model on weights and inputs from outside. */
#include "parity.h"
#include "run/artifact/write.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: parity iris   WEIGHTS.safetensors IN.safetensors OUT.safetensors [--lr 0.002]\n"
    "                     [--weight-decay 1e-5] [--device NAME]\n"
    "       parity i3d    WEIGHTS IN OUT [--lr 0.002] [--weight-decay 1e-5] [--freeze 0]\n"
    "       parity pretrain WEIGHTS IN OUT [--steps 1] [--total-steps 100000] [--lr 0.002]\n"
    "                     [--weight-decay 1e-5]\n"
    "       parity head   WEIGHTS IN OUT [--lr 1e-4] [--weight-decay 1e-4] [--pooling mean|max]\n"
    "       parity window WEIGHTS IN OUT [--overlap 0.5] [--like inference|evaluate]\n"
    "       parity embed  WEIGHTS IN OUT [--size 128] [--like finetune|evaluate]\n"
    "       parity finetune WEIGHTS IN OUT [--mode full|probing] [--lr 0.0005]\n"
    "                     [--weight-decay 0.001]\n"
    "       parity classify WEIGHTS IN OUT [--lr 1e-4] [--encoder-lr 1e-5] [--weight-decay 1e-4]\n"
    "                     [--pooling mean|max|none] [--freeze 0] [--steps 1]\n"
    "       parity sam2   WEIGHTS IN OUT [--image N] [--heads N] [--windows A,B,C,D]\n"
    "                     [--global A,B,..] [--decoder-heads N] [--automatic]\n"
    "                     [--points-per-side 32] [--points-per-batch 64]\n"
    "                     [--pred-iou-thresh 0.8] [--stability-score-thresh 0.95]\n"
    "                     [--stability-score-offset 1] [--mask-threshold 0]\n"
    "                     [--box-nms-thresh 0.7] [--crop-n-layers 0] [--crop-nms-thresh 0.7]\n"
    "                     [--crop-overlap-ratio 0.34133] [--crop-n-points-downscale-factor 1]\n"
    "                     [--min-mask-region-area 0] [--use-m2m 0] [--multimask-output 1]\n"
    "\n"
    "iris    in: target, reference f32 [D,H,W], target_masks, reference_masks u8 [K,D,H,W]\n"
    "        out: feat5..feat1, prior0..2, posterior0..2, decoder_out, logits, dice, bce, loss,\n"
    "        grad.<name> before clipping, norm, after.<name> after clipping to 1 and a LAMB step\n"
    "i3d     in: image f32 [D,H,W], gradient f32 [C,d,h,w] of the deepest map; weights encoder.*\n"
    "        of an I3D; out: map0..map4, loss (sum of map4 times gradient), grad.<name>, norm,\n"
    "        after.<name>; --freeze 1: the running statistics in place of the batch's\n"
    "pretrain  in: target, reference f32 [N,D,H,W], target_masks, reference_masks u8 "
    "[N,K,D,H,W];\n"
    "        with --steps S, S batches one after another; out: losses, dices, bces, norms, rates\n"
    "        [S], after.<name> and after.ema.<name> (averages) after S steps of LAMB, clipped to "
    "1,\n"
    "        the first of a one-cycle schedule of --total-steps\n"
    "head    in: features f32 [N,C,d,h,w], target i64 [N]; weights pool.attention.* (or "
    "--pooling)\n"
    "        and fc.*; out: pooled, logits, loss, grad.<name>, norm, after.<name> (AdamW, no "
    "clip)\n"
    "classify  in: images f32 [N,D,H,W], target i64 [N] with class_weights f32 [C] or none, or\n"
    "        target f32 [N,C] with pos_weight f32 [C] or none; weights encoder.*, "
    "pool.attention.*\n"
    "        (or --pooling) and fc.*; out: logits [N,C], loss, grad.<name>, norm, after.<name> "
    "after\n"
    "        clipping to 1 and an AdamW step; with --steps S, images are S batches: losses, norms "
    "[S]\n"
    "window  in: target f32 [D,H,W], reference f32 [d,h,w] (the window), reference_masks\n"
    "        u8 [K,d,h,w]; out: prior0..2, probability [1,K,D,H,W], labels u16 [D,H,W].\n"
    "        --like evaluate: uniform weights, places of windows as in evaluate.py (the last one\n"
    "        twice, if a size is a multiple of the step)\n"
    "embed   in: images f32 [N,D,H,W], normalized, labels u8 [N,D,H,W] (1..K, 0 background); out:\n"
    "        tokens.0..2 [K,11,C] (deepest first), the means over the images that show a label, "
    "of\n"
    "        crops of size^3 around the mean of its voxels (as fine-tuning starts), or around the\n"
    "        middle one (--like evaluate)\n"
    "finetune  in: images f32, labels u8 [N,D,H,W] (0 background, 1..K), tokens.0..2 f32 "
    "[K,11,C],\n"
    "        deepest first; out: logits [N,K,D,H,W], dice, bce, loss, grad.<name>,\n"
    "        grad.tokens.0..2, norm (of the model alone), after.<name>, after.tokens.0..2 after\n"
    "        clipping the model's gradient to 1 and one AdamW step; of what learns in that mode\n"
    "sam2    weights: under original names or those of transformers. h = image / 16.\n"
    "        in: image u8 [H,W,3]; prompts pN.points f32 [P,2] or [B,P,2] (x, y px of the\n"
    "        image), pN.labels (1 inside, 0 outside, 2 and 3 corners of a box), or\n"
    "        pN.mask_prompt_low f32 [B,4h,4h], or both; mask_prompt_low f32 [4h,4h].\n"
    "        out: trunk_stage0..3, neck_level2, neck_level3 (the coarsest), high_res0,\n"
    "        high_res1, image_embed (level 2 + no_mem_embed) [1,C,edge,edge];\n"
    "        pN.multi.low_res [B,3,4h,4h] and .iou [B,3]; pN.single.low_res [B,1,4h,4h] and\n"
    "        .iou [B,1] (the best of three where it is not stable); pN.token0.low_res and .iou\n"
    "        (the single one in any case); pN.object_score [B,1]; logits as they are, not\n"
    "        clamped. mask_prompt_low alone gives mask.*, with each pN of one prompt pN.mask.*.\n"
    "        --automatic, or any option of the generator (official names and defaults): masks of\n"
    "        the whole picture, masks_packed u8 [K,H,ceil(W/8)] (the first pixel of eight is the\n"
    "        highest bit, as numpy.packbits has it), bbox and crop_box f32 [K,4] (x y w h),\n"
    "        predicted_iou, stability_score f32 [K], point_coords f32 [K,2].\n"
    "        in: frames u8 [T,H,W,3], mask_prompt.oI.frameJ u8 [H,W] (object I on frame J) or\n"
    "        point_prompt.oI.frameJ f32 [P,3] (x, y, label).\n"
    "        out, each object by itself, forward to the end, then in reverse: fwd.fT.oI.low_res\n"
    "        [1,1,4h,4h], .obj_ptr [1,dim], .object_score [1,1], and rev.fT.oI likewise.\n";

typedef mf_status (*command)(mf_device *, const mf_parity *, const mf_tensors *, const mf_tensors *,
                             mf_tensors *);

/* A number at least 0 that is the whole text. */
static mf_status number(const char *option, const char *text, double *value)
{
    char *end;
    *value = strtod(text, &end);
    if (end == text || *end || !(*value >= 0))
        return mf_fail(MF_INVALID, "--%s %s: not a number", option, text);
    return MF_OK;
}

/* A whole number at least 0 at the start of *text; *text moves behind it and a comma. */
static mf_status whole(const char *option, const char **text, int64_t *value)
{
    char *end;
    long long v = strtoll(*text, &end, 10);
    if (end == *text || v < 0 || (*end && *end != ','))
        return mf_fail(MF_INVALID, "--%s %s: not an integer", option, *text);
    *text = *end ? end + 1 : end;
    *value = v;
    return MF_OK;
}

/* Whole numbers between commas: at least `least`, at most `most`. */
static mf_status wholes(const char *option, const char *text, int64_t *values, int64_t least,
                        int64_t most, int64_t *count)
{
    const char *at = text;
    for (*count = 0; *at; (*count)++) {
        if (*count == most)
            return mf_fail(MF_INVALID, "--%s %s: more than %lld numbers", option, text,
                           (long long)most);
        MF_TRY(whole(option, &at, &values[*count]));
    }
    if (*count < least)
        return mf_fail(MF_INVALID, "--%s %s: not %lld numbers", option, text, (long long)least);
    return MF_OK;
}

/* An option of a SAM 2's sizes. */
static mf_status parse_size(const char *name, const char *text, sam2_config *said)
{
    int64_t count;
    if (!strcmp(name, "image"))
        return wholes(name, text, &said->image, 1, 1, &count);
    if (!strcmp(name, "heads"))
        return wholes(name, text, &said->heads, 1, 1, &count);
    if (!strcmp(name, "decoder-heads"))
        return wholes(name, text, &said->decoder_heads, 1, 1, &count);
    if (!strcmp(name, "windows"))
        return wholes(name, text, said->windows, SAM2_STAGES, SAM2_STAGES, &count);
    return wholes(name, text, said->global, 0, SAM2_GLOBAL_MOST, &said->global_count);
}

/* An option of the automatic generator. */
static mf_status parse_generator(const char *name, const char *text, mf_parity *o)
{
    sam2_generate_options *g = &o->generate;
    int64_t use_m2m = g->use_m2m, three = g->multimask_output, count;
    const struct {
        const char *name;
        double *real;
        int64_t *whole;
    } options[] = {{"pred-iou-thresh", &g->pred_iou_thresh, NULL},
                   {"stability-score-thresh", &g->stability_score_thresh, NULL},
                   {"stability-score-offset", &g->stability_score_offset, NULL},
                   {"mask-threshold", &g->mask_threshold, NULL},
                   {"box-nms-thresh", &g->box_nms_thresh, NULL},
                   {"crop-nms-thresh", &g->crop_nms_thresh, NULL},
                   {"crop-overlap-ratio", &g->crop_overlap_ratio, NULL},
                   {"points-per-side", NULL, &g->points_per_side},
                   {"points-per-batch", NULL, &g->points_per_batch},
                   {"crop-n-layers", NULL, &g->crop_n_layers},
                   {"crop-n-points-downscale-factor", NULL, &g->crop_n_points_downscale_factor},
                   {"min-mask-region-area", NULL, &g->min_mask_region_area},
                   {"use-m2m", NULL, &use_m2m},
                   {"multimask-output", NULL, &three}};
    o->automatic = true;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (strcmp(name, options[i].name))
            continue;
        MF_TRY(options[i].real ? number(name, text, options[i].real)
                               : wholes(name, text, options[i].whole, 1, 1, &count));
    }
    g->use_m2m = use_m2m != 0;
    g->multimask_output = three != 0;
    return MF_OK;
}

/* What would not end, or not begin. */
static mf_status check_generator(const sam2_generate_options *g)
{
    if (g->points_per_side < 1 || g->points_per_side > 512 || g->points_per_batch < 1 ||
        g->points_per_batch > 4096 || g->crop_n_layers > 4 ||
        g->crop_n_points_downscale_factor < 1 || g->crop_n_points_downscale_factor > 512 ||
        g->crop_overlap_ratio > 1)
        return mf_fail(MF_INVALID, "the generator takes 1 to 512 points a side, 1 to 4096 a batch, "
                                   "up to 4 layers of crops, a factor of 1 to 512, overlap 0 to 1");
    return MF_OK;
}

static mf_status parse(int argc, char **argv, mf_parity *o, const char **device)
{
    static const struct option options[] = {
        {"lr", required_argument, NULL, 'l'},
        {"weight-decay", required_argument, NULL, 'w'},
        {"overlap", required_argument, NULL, 'o'},
        {"pooling", required_argument, NULL, 'p'},
        {"mode", required_argument, NULL, 'm'},
        {"like", required_argument, NULL, 'k'},
        {"size", required_argument, NULL, 'n'},
        {"encoder-lr", required_argument, NULL, 'e'},
        {"steps", required_argument, NULL, 't'},
        {"total-steps", required_argument, NULL, 'T'},
        {"freeze", required_argument, NULL, 'f'},
        {"device", required_argument, NULL, 'd'},
        {"image", required_argument, NULL, 's'},
        {"heads", required_argument, NULL, 's'},
        {"decoder-heads", required_argument, NULL, 's'},
        {"windows", required_argument, NULL, 's'},
        {"global", required_argument, NULL, 's'},
        {"automatic", no_argument, NULL, 'g'},
        {"pred-iou-thresh", required_argument, NULL, 'g'},
        {"stability-score-thresh", required_argument, NULL, 'g'},
        {"stability-score-offset", required_argument, NULL, 'g'},
        {"mask-threshold", required_argument, NULL, 'g'},
        {"box-nms-thresh", required_argument, NULL, 'g'},
        {"crop-nms-thresh", required_argument, NULL, 'g'},
        {"crop-overlap-ratio", required_argument, NULL, 'g'},
        {"points-per-side", required_argument, NULL, 'g'},
        {"points-per-batch", required_argument, NULL, 'g'},
        {"crop-n-layers", required_argument, NULL, 'g'},
        {"crop-n-points-downscale-factor", required_argument, NULL, 'g'},
        {"min-mask-region-area", required_argument, NULL, 'g'},
        {"use-m2m", required_argument, NULL, 'g'},
        {"multimask-output", required_argument, NULL, 'g'},
        {0}};
    const char *like = "";
    int c, which = 0;
    int64_t freeze = 0, count;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "", options, &which)) != -1) {
        if (c == 'l')
            MF_TRY(number("lr", optarg, &o->rate));
        else if (c == 'w')
            MF_TRY(number("weight-decay", optarg, &o->weight_decay));
        else if (c == 'o')
            MF_TRY(number("overlap", optarg, &o->overlap));
        else if (c == 'p')
            o->pooling = optarg;
        else if (c == 'm')
            o->mode = optarg;
        else if (c == 'e')
            MF_TRY(number("encoder-lr", optarg, &o->encoder_rate));
        else if (c == 't')
            MF_TRY(wholes("steps", optarg, &o->steps, 1, 1, &count));
        else if (c == 'T')
            MF_TRY(wholes("total-steps", optarg, &o->total_steps, 1, 1, &count));
        else if (c == 'f')
            MF_TRY(wholes("freeze", optarg, &freeze, 1, 1, &count));
        else if (c == 'd')
            *device = optarg;
        else if (c == 'k')
            like = optarg;
        else if (c == 'n')
            MF_TRY(wholes("size", optarg, &o->size, 1, 1, &count));
        else if (c == 's')
            MF_TRY(parse_size(options[which].name, optarg, &o->said));
        else if (c == 'g')
            MF_TRY(parse_generator(options[which].name, optarg, o));
        else
            return mf_fail(MF_INVALID, "unknown or incomplete option %s", argv[optind - 1]);
    }
    o->frozen = freeze != 0;
    MF_TRY(check_generator(&o->generate));
    if (o->overlap > 0.95)
        return mf_fail(MF_INVALID, "--overlap %g: at most 0.95", o->overlap);
    if (strcmp(o->pooling, "mean") && strcmp(o->pooling, "max") &&
        (strcmp(o->pooling, "none") || strcmp(argv[optind], "classify")))
        return mf_fail(MF_INVALID, "--pooling %s: mean or max", o->pooling);
    if (strcmp(o->mode, "full") && strcmp(o->mode, "probing"))
        return mf_fail(MF_INVALID, "--mode %s: full or probing", o->mode);
    if (argc - optind != 4)
        return mf_fail(MF_INVALID, "give a command and three files");
    o->evaluate = !strcmp(like, "evaluate");
    const char *usual = !strcmp(argv[optind], "embed") ? "finetune" : "inference";
    if (*like && !o->evaluate && strcmp(like, usual) != 0)
        return mf_fail(MF_INVALID, "--like %s: %s or evaluate", like, usual);
    if (o->evaluate && o->overlap < 0.5)
        return mf_fail(MF_INVALID, "--overlap %g: at least 0.5 with --like evaluate", o->overlap);
    return MF_OK;
}

/* All of the list as one file. */
static mf_status write_all(const mf_tensors *t, const char *path)
{
    mf_artifact *all;
    MF_TRY(mf_artifact_new("features", &all));
    mf_status status = MF_OK;
    for (size_t i = 0; i < t->count && !status; i++)
        status = mf_artifact_add(all, t->item[i].name, t->item[i].array);
    if (!status)
        status = mf_within(mf_write_safetensors(all, path), "%s", path);
    mf_artifact_unref(all);
    return status;
}

static mf_status work(command run, const mf_parity *o, const char *which, char **files)
{
    mf_tensors weights = {0}, in = {0}, out = {0};
    mf_device *device = NULL;
    mf_status status = mf_tensors_read(files[0], &weights);
    if (!status)
        status = mf_tensors_read(files[1], &in);
    if (!status)
        status = mf_device_open(which, &device);
    if (!status)
        status = run(device, o, &weights, &in, &out);
    if (!status)
        status = write_all(&out, files[2]);
    mf_device_unref(device);
    mf_tensors_clear(&weights);
    mf_tensors_clear(&in);
    mf_tensors_clear(&out);
    return status;
}

static int report(mf_status status, int code)
{
    char *text = mf_error_text(status);
    fprintf(stderr, "parity: %s\n", text ? text : "out of memory");
    free(text);
    mf_error_free(status);
    return code;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        command run;
        double rate, weight_decay;
    } commands[] = {{"iris", mf_parity_iris, 0.002, 1e-5},
                    {"i3d", mf_parity_i3d, 0.002, 1e-5},
                    {"pretrain", mf_parity_pretrain, 0.002, 1e-5},
                    {"head", mf_parity_head, 1e-4, 1e-4},
                    {"classify", mf_parity_classify, 1e-4, 1e-4},
                    {"window", mf_parity_window, 0, 0},
                    {"finetune", mf_parity_finetune, 0.0005, 0.001},
                    {"embed", mf_parity_embed, 0, 0},
                    {"sam2", mf_parity_sam2, 0, 0}};
    if (argc < 2 || !strcmp(argv[1], "--help")) {
        fputs(usage, argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (strcmp(argv[1], commands[i].name))
            continue;
        mf_parity o = {.rate = commands[i].rate,
                       .weight_decay = commands[i].weight_decay,
                       .overlap = 0.5,
                       .size = 128,
                       .pooling = "mean",
                       .encoder_rate = 1e-5,
                       .total_steps = 100000,
                       .generate = mf_parity_generator,
                       .mode = "full"};
        const char *device = "";
        mf_status status = parse(argc, argv, &o, &device);
        if (status) {
            fputs(usage, stderr);
            return report(status, 2);
        }
        status = work(commands[i].run, &o, device, argv + optind + 1);
        return status ? report(status, 1) : 0;
    }
    fputs(usage, stderr);
    return report(mf_fail(MF_INVALID, "no command %s", argv[1]), 2);
}
