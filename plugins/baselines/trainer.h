/* trainer.h - a method as a stage: its parameters and ports, its stream of pairs, checkpoints, what
 * is published.
 *
 *     typedef struct my_params {
 *         mf_baseline_params shared;   (the first field)
 *         double mine;
 *     } my_params;
 *     static const mf_param params[] = {MF_BASELINE_PARAMS("32", "0.002", ...),
 *                                       MF_REAL(my_params, mine, ...), MF_END};
 *     check, needs and run pass on to the functions below.
 */
#ifndef MF_BASELINES_TRAINER_H
#define MF_BASELINES_TRAINER_H

#include "../mass/model.h"
#include "method.h"

/* The lines of the table that all methods share, with what each is where a graph says nothing:
 * texts.
 */
#define MF_BASELINE_PARAMS(batch, rate, last_rate, scheduled, warming, decay, clip)                \
    MF_BASELINE_PARAMS_BY("lamb", batch, rate, last_rate, scheduled, warming, decay, clip)
/* The same with another optimizer than that of mass.train. */
#define MF_BASELINE_PARAMS_BY(update, batch, rate, last_rate, scheduled, warming, decay, clip)     \
    MF_BASELINE_PARAMS_FROM(0, update, batch, rate, last_rate, scheduled, warming, "", decay, "",  \
                            clip)
/* The same with what `warmup` and `weight_decay` are at least, and what their helps say of it. */
#define MF_BASELINE_PARAMS_FROM(least, update, batch, rate, last_rate, scheduled, warming,         \
                                warming_help, decay, decay_help, clip)                             \
    MF_MODEL_PARAMS(mf_baseline_params), MF_BACKBONE_PARAMS(mf_baseline_params),                   \
        MF_INT(mf_baseline_params, steps, "100000", 0, 1e9, "",                                    \
               "Number of optimizer steps of the whole training."),                                \
        MF_INT_MARKED(mf_baseline_params, stop_at, "-1", -1, 1e9, "", MF_EXTENDABLE,               \
                      "Stop after this many steps, without a change of the schedule. If it is "    \
                      "raised later, the training resumes there. -1: all steps."),                 \
        MF_INT(mf_baseline_params, batch_size, batch, 1, 4096, "",                                 \
               "Pairs of views (or crops with labels) per step."),                                 \
        MF_REAL(mf_baseline_params, lr, rate, 0, 10, "", "Maximum learning rate."),                \
        MF_REAL(mf_baseline_params, final_lr, last_rate, 0, 10, "",                                \
                "cosine: learning rate at the end."),                                              \
        MF_CHOICE(mf_baseline_params, optimizer, update, "lamb|adamw",                             \
                  "Optimizer of the training."),                                                   \
        MF_CHOICE(mf_baseline_params, scheduler, scheduled, "cosine|one-cycle|constant",           \
                  "Learning rate schedule after the warm-up. one-cycle is OneCycleLR of PyTorch, " \
                  "as in mass.train."),                                                            \
        MF_REAL(mf_baseline_params, warmup, warming, least, 1, "",                                 \
                "Warm-up fraction: the fraction of the steps in which the learning rate "          \
                "increases." warming_help),                                                        \
        MF_REAL(mf_baseline_params, weight_decay, decay, least, 10, "",                            \
                "Weight decay of the optimizer." decay_help),                                      \
        MF_REAL(mf_baseline_params, max_grad_norm, clip, 0, 1e12, "",                              \
                "Maximum norm of the gradient (gradient clipping). 0: no clipping."),              \
        MF_INT(mf_baseline_params, seed, "42", 0, 9e15, "",                                        \
               "Random seed of the initial weights and of what the method draws."),                \
        MF_REAL_MARKED(mf_baseline_params, checkpoint_interval, "300", 0, 1e9, "s", MF_NO_CACHE,   \
                       "Time between two checkpoints. 0: one after each step."),                   \
        MF_FIELD_(MF_PARAM_CHOICE, const char *, mf_baseline_params, recompute, "none", 0, 0, "",  \
                  "none|blocks", MF_NO_CACHE,                                                      \
                  "blocks: the values inside of residual blocks are computed again for the "       \
                  "gradient. It takes less memory and more time, with the same result."),          \
        MF_RANKS_PARAMS(mf_baseline_params)
/* Beside them, of methods without averages of their own. */
#define MF_BASELINE_EMA                                                                            \
    MF_REAL(mf_baseline_params, ema_decay, "0.99", 0, 0.999999, "",                                \
            "Decay of the exponential moving average (EMA) of the weights. Later stages use the "  \
            "averages. 0: no averages.")

extern const mf_port mf_baseline_inputs[], mf_baseline_outputs[];

/* Of the parameters that are shared. */
MF_MUST_USE mf_status mf_trainer_check(const mf_method *method, const mf_baseline_params *o);
/* What a step takes of the device, counted, and of the host: its pairs and what the method says. */
MF_MUST_USE mf_status mf_trainer_needs(mf_task *t, const mf_method *method,
                                       const mf_baseline_params *o, mf_needs *n);
MF_MUST_USE mf_status mf_trainer_run(mf_task *t, const mf_method *method,
                                     const mf_baseline_params *o);

/* Ends every method's help. */
#define MF_BASELINE_HELP                                                                           \
    " The output is a whole MASS model: what the method does not train has its initial value, as " \
    "mass.init draws it or as `init` has it. So mass.finetune, mass.classify and mass.features "   \
    "take it. A head of the method is not part of it. The training saves checkpoints. After an "   \
    "interruption it resumes from the last one and gives the same result, bit for bit."

#endif
