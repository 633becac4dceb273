/* stage.h - all that a stage plugin needs: what a stage is, and what its task may ask for.
 *
 * A plugin is one shared object with one entry symbol; it may hold several stages. What a stage is
 * stands in static data, so that the engine parses, checks, hashes and documents it by itself. No
 * callback may keep global state: two tasks of one stage run at once.
 *
 * Versions: a plugin works with an engine of the same major version and of the same or a newer
 * minor one. A minor version may add functions, and may append fields to the tables mf_stage,
 * mf_param, mf_port, mf_type and mf_case_source, whose sizes stand in the plugin's record, and to
 * that record itself (mf_plugin); for a plugin without them they are 0. It may append to what the
 * engine alone allocates (mf_needs, mf_view, mf_volume).
 * All other structs of the public headers keep their layout. */
#ifndef MASSFLOW_STAGE_H
#define MASSFLOW_STAGE_H

#include <massflow/artifact.h>
#include <massflow/compute.h>
#include <massflow/file.h>
#include <massflow/names.h>
#include <massflow/random.h>
#include <massflow/transport.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MF_ABI_MAJOR 1 /* must equal the engine's */
#define MF_ABI_MINOR 7 /* must not be newer than the engine's */

typedef struct mf_task mf_task;     /* opaque: a stage that runs */
typedef struct mf_stream mf_stream; /* opaque: a stream that a task reads */

/* ---- parameters ------------------------------------------------------------------------------ */

/* What a parameter holds, and so how its text is read; MF_FIELD_ has the type of its field. */
typedef enum mf_param_kind {
    MF_PARAM_END, /* closes a table */
    MF_PARAM_BOOL,
    MF_PARAM_INT,
    MF_PARAM_REAL,
    MF_PARAM_TEXT,
    MF_PARAM_CHOICE,
    MF_PARAM_PATH,
    MF_PARAM_INT3,
    MF_PARAM_REAL3,
    MF_PARAM_INTS,
    MF_PARAM_REALS,
    MF_PARAM_LABELS /* since 1.6 */
} mf_param_kind;

typedef struct mf_int3 {
    int64_t v[3];
} mf_int3; /* x, y, z in the graph file's order */
typedef struct mf_real3 {
    double v[3];
} mf_real3; /* the same in reals */
typedef struct mf_ints {
    const int64_t *v;
    size_t count;
} mf_ints; /* a list; borrowed */
typedef struct mf_reals {
    const double *v;
    size_t count;
} mf_reals; /* the same in reals */

/* Marks of a parameter. */
#define MF_NO_CACHE 1u   /* does not change the result: not part of the key */
#define MF_REQUIRED 2u   /* has no default */
#define MF_EXTENDABLE 4u /* a longer run may go on from a shorter one's last checkpoint */
#define MF_ANY_CASE 8u   /* CHOICE: letters of either case; "pet=pt" takes pt for pet as well */
/* TEXT: a command. What is spliced into it from a case or an axis stays one piece: where it holds
 * other characters than MF_COMMAND_PLAIN it stands as {'...'}, with a quote in it doubled. */
#define MF_COMMAND 16u
#define MF_COMMAND_PLAIN "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:@%+,=-"
/* INT, with MF_NO_CACHE: at so many workers a task of the stage runs at once, from 1 on; see
 * mf_task_rank. One parameter of a stage. Since 1.6. */
#define MF_RANKS 32u
/* TEXT: a mapping may be given as well; the text is then a line "KEY=VALUE" for each. Since 1.6. */
#define MF_MAPPING 64u

/* One parameter. MF_INT and its siblings below make them. */
typedef struct mf_param {
    const char *name;     /* as a graph file writes it */
    mf_param_kind kind;   /* how its text is read */
    size_t offset;        /* of the field in the parameter struct */
    const char *fallback; /* the default, as a user would write it: "1.5", "[1, 1, 1]", "true" */
    double min, max;      /* numbers, and each element of a list; text and paths: unused */
    const char *unit;     /* "mm", "HU", "" */
    const char *help;     /* one line */
    const char *choices;  /* CHOICE: words joined by '|'; see MF_ANY_CASE */
    unsigned marks;       /* MF_NO_CACHE ... joined by | */
} mf_param;

/* The field's C type is checked against the kind. Fields: bool, int64_t, double, const char *
 * (text, choice: one of the words; path: absolute), mf_int3, mf_real3, mf_ints, mf_reals,
 * mf_labels.
 */
#define MF_FIELD_(kind, type, s, field, fallback, min, max, unit, choices, marks, help)            \
    {                                                                                              \
#field, kind, offsetof(s, field) + 0 * sizeof(_Generic(&((s *)0)->field, type * : 1)),     \
            fallback, min, max, unit, help, choices, marks                                         \
    }
#define MF_BOOL(s, field, fallback, help)                                                          \
    MF_FIELD_(MF_PARAM_BOOL, bool, s, field, fallback, 0, 1, "", NULL, 0, help)
#define MF_INT(s, field, fallback, min, max, unit, help)                                           \
    MF_FIELD_(MF_PARAM_INT, int64_t, s, field, fallback, min, max, unit, NULL, 0, help)
#define MF_REAL(s, field, fallback, min, max, unit, help)                                          \
    MF_FIELD_(MF_PARAM_REAL, double, s, field, fallback, min, max, unit, NULL, 0, help)
#define MF_TEXT(s, field, fallback, help)                                                          \
    MF_FIELD_(MF_PARAM_TEXT, const char *, s, field, fallback, 0, 0, "", NULL, 0, help)
#define MF_CHOICE(s, field, fallback, choices, help)                                               \
    MF_FIELD_(MF_PARAM_CHOICE, const char *, s, field, fallback, 0, 0, "", choices, 0, help)
/* A choice whose words are met in several spellings; the field is the word as it stands first. */
#define MF_CHOICE_FOLDED(s, field, fallback, choices, help)                                        \
    MF_FIELD_(MF_PARAM_CHOICE, const char *, s, field, fallback, 0, 0, "", choices, MF_ANY_CASE,   \
              help)
/* Of a parameter that takes a modality, as a column of DICOM's Modality (0008,0060) has it. */
#define MF_MODALITIES "ct|mr=mri|pet=pt"
/* A file or folder that must exist: its content is part of the key, its name is not; what the stage
 * opens beside it is named by mf_stage.parts. The stage reads it in `run` (a stream: in `item`),
 * and nothing is published where it was written meanwhile. Of a folder, files for which
 * mf_path_ignored holds are no part of the key: they must not be read. Without a fallback it is
 * required; with the fallback "" it may be left out (NULL). */
#define MF_PATH(s, field, fallback, help)                                                          \
    MF_FIELD_(MF_PARAM_PATH, const char *, s, field, fallback, 0, 0, "", NULL, 0, help)
#define MF_INT3(s, field, fallback, min, max, unit, help)                                          \
    MF_FIELD_(MF_PARAM_INT3, mf_int3, s, field, fallback, min, max, unit, NULL, 0, help)
#define MF_REAL3(s, field, fallback, min, max, unit, help)                                         \
    MF_FIELD_(MF_PARAM_REAL3, mf_real3, s, field, fallback, min, max, unit, NULL, 0, help)
#define MF_INTS(s, field, fallback, min, max, unit, help)                                          \
    MF_FIELD_(MF_PARAM_INTS, mf_ints, s, field, fallback, min, max, unit, NULL, 0, help)
#define MF_REALS(s, field, fallback, min, max, unit, help)                                         \
    MF_FIELD_(MF_PARAM_REALS, mf_reals, s, field, fallback, min, max, unit, NULL, 0, help)
/* Labels, each by its value (min to max) or by its name; mf_labels_values (names.h) makes values of
 * them. Since 1.6. */
#define MF_LABELS(s, field, fallback, min, max, help)                                              \
    MF_FIELD_(MF_PARAM_LABELS, mf_labels, s, field, fallback, min, max, "", NULL, 0, help)
/* Names of labels, for mf_names_parse: in a graph a text, or a mapping {VALUE: NAME, ...}.
 * Since 1.6.
 */
#define MF_NAMES(s, field, help)                                                                   \
    MF_FIELD_(MF_PARAM_TEXT, const char *, s, field, "", 0, 0, "", NULL, MF_MAPPING, help)
/* As MF_INT and MF_REAL, for a parameter with marks. */
#define MF_INT_MARKED(s, field, fallback, min, max, unit, marks, help)                             \
    MF_FIELD_(MF_PARAM_INT, int64_t, s, field, fallback, min, max, unit, NULL, marks, help)
#define MF_REAL_MARKED(s, field, fallback, min, max, unit, marks, help)                            \
    MF_FIELD_(MF_PARAM_REAL, double, s, field, fallback, min, max, unit, NULL, marks, help)

/* Closes a table of parameters or of ports. */
#define MF_END                                                                                     \
    {                                                                                              \
        0                                                                                          \
    }
#define MF_PARAMS_END MF_END /* its name up to interface 1.3 */

/* ---- ports ----------------------------------------------------------------------------------- */

#define MF_KEYED 1u /* an input whose case ids enter the key */

/* type: a type's name, with "?" (optional), "[]" (list) or as "stream<type>". An optional output
 * may be left out by the stage; who has to have it is then an error, who need not runs without. */
typedef struct mf_port {
    const char *name, *type, *help; /* help: one line */
    unsigned marks;                 /* MF_KEYED or 0 */
} mf_port;

/* One row of a table of ports; MARKED: with MF_KEYED. The table ends with MF_END. */
#define MF_PORT(name, type, help)                                                                  \
    {                                                                                              \
        name, type, help, 0                                                                        \
    }
#define MF_PORT_MARKED(name, type, help, marks)                                                    \
    {                                                                                              \
        name, type, help, marks                                                                    \
    }

/* ---- stages ---------------------------------------------------------------------------------- */

/* What a task will need, for the scheduler: filled with defaults, corrected by the stage.
 * Estimates: what together exceeds the memory there is does not run at once; what alone exceeds it
 * runs alone. */
typedef struct mf_needs {
    size_t host_bytes; /* default: by the size of its inputs */
    /* Of the device it runs on; default 0. What its weights and programs take is counted on the
     * device that mf_task_counting gives. Where no device has so much, `needs` may fail with
     * MF_NO_MEMORY and a hint at what to lower: the node then fails before it starts, and
     * 'massflow plan' says so. */
    size_t device_bytes;
    int cpu;     /* worker slots; default 1 */
    bool device; /* launches kernels; default: the stage has kernels */
    double cost; /* seconds, 0 or more; default 1. Until a stage has run on this cache, what it says
                  * of the first of its nodes orders all of them by critical path */
    /* Since 1.5. Devices of one kind that it computes with at once; default 1. Where the run has
     * fewer, the node fails before it starts. device_bytes is of each; more are at
     * mf_task_device_at.
     */
    int devices;
} mf_needs;

/* Called with each further file; its error is passed on. */
typedef mf_status (*mf_part_call)(void *self, const char *path);

/* Of what a callback left in *session or *artifact nothing is taken where it returns an error. */
typedef struct mf_stage {
    const char *name;           /* "plugin.verb" or "noun.verb" */
    int version;                /* raised with each change of what it computes */
    const char *summary;        /* one line */
    const char *help;           /* more, or NULL */
    const mf_param *params;     /* ends with MF_PARAMS_END; NULL: none */
    size_t params_size;         /* of the parameter struct */
    const mf_port *in, *out;    /* end with a NULL name */
    const char *const *kernels; /* OpenCL sources, joined and built on first launch; or NULL */
    const char *code; /* digest of the stage's own sources, set by the build helper; or NULL */
    bool random;      /* draws random numbers: seed and case id enter the key */
    bool program;     /* runs tensor programs: the engine's numerics enter the key */
    /* How far results of two devices may be apart, by array: of reals, part of the largest value;
     * of integers, part of the elements that differ; of masks, part of their voxels. 0: not at all.
     */
    double tolerance;

    /* Rules across parameters; before anything runs. */
    mf_status (*check)(const void *params);
    /* What these inputs will need; inputs are open, lazily. */
    mf_status (*needs)(mf_task *task, const void *params, mf_needs *needs);
    /* What many tasks with the same parameters, `model` inputs and device share. */
    mf_status (*open)(mf_task *task, const void *params, void **session);
    void (*close)(void *session);
    /* The work: all outputs set, or an error. `session` is NULL without `open`. */
    mf_status (*run)(mf_task *task, const void *params, void *session);
    /* Instead of run, where the output is a stream: item i, a function of the recipe and i alone.
     * Called from several threads at once. No artifact (NULL) and no error: the stream is finite
     * and i lies past its end. */
    mf_status (*item)(mf_task *task, const void *params, void *session, int64_t i,
                      mf_artifact **artifact);
    /* What the stage opens beside the file that a path parameter names, such as the voxels that a
     * header points to: calls `call` with each, always in the same order. Their content enters the
     * key with that of the path. Before keys are made, in any thread. NULL: nothing. */
    mf_status (*parts)(const char *param, const char *path, mf_part_call call, void *self);
    /* It saves its state from time to time (mf_checkpoint_save), as every stage should that takes
     * long: a node of it may be given to a worker whose time is over before the node is done. Since
     * 1.5. */
    bool saves;
} mf_stage;

/* A stage as a static table, in C: what it must have, then its parameters and ports, then any other
 * field by name. Put `static` before it where it is used in its own file alone.
 *
 *     static MF_STAGE(above, "lab.above", 1, "Label the voxels at or above a value.",
 *                     MF_PARAMETERS(above_params, MF_REAL(above_params, min, ...)),
 *                     MF_INPUTS(MF_PORT("volume", "volume", "The scan.")),
 *                     MF_OUTPUTS(MF_PORT("labels", "labels", "1 there, else 0.")), .run = run); */
#define MF_STAGE(variable, stage_name, stage_version, stage_summary, ...)                          \
    const mf_stage variable = {.name = stage_name,                                                 \
                               .version = stage_version,                                           \
                               .summary = stage_summary,                                           \
                               .code = MF_CODE,                                                    \
                               __VA_ARGS__}
#define MF_PARAMETERS(s, ...)                                                                      \
    .params = (const mf_param[]){__VA_ARGS__, MF_END}, .params_size = sizeof(s)
#define MF_INPUTS(...)                                                                             \
    .in = (const mf_port[])                                                                        \
    {                                                                                              \
        __VA_ARGS__, MF_END                                                                        \
    }
#define MF_OUTPUTS(...)                                                                            \
    .out = (const mf_port[])                                                                       \
    {                                                                                              \
        __VA_ARGS__, MF_END                                                                        \
    }
#define MF_KERNELS(...)                                                                            \
    .kernels = (const char *const[])                                                               \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
/* The digest of the stage's own sources, where the build makes one: in NAME.code.h. */
#ifndef MF_CODE
#define MF_CODE NULL
#endif

/* How an artifact is to be drawn. */
typedef struct mf_view {
    int axis;       /* slices across 0 z, 1 y or 2 x of its grid */
    int64_t slice;  /* this one; -1: `slices` of them, spread evenly */
    int64_t slices; /* how many */
    int64_t tile;   /* pixels along the longer side of one slice */
} mf_view;

/* A type of artifact: what a stage must set when it publishes one. */
typedef struct mf_type {
    const char *name, *help; /* help: one line */
    /* "voxels image:f32[z,y,x] bits:u8{k}": names, each optionally with a dtype and a shape. Sides
     * are numbers, * for any, or letters, which mean the same side in all arrays; z, y and x are
     * those of the artifact's grid where it has one. {k}: an array of k rows of different lengths.
     */
    const char *arrays;
    const char
        *attributes; /* "spacing:reals axis:int": names, optionally with text, int or reals */
    /* Writes an artifact as a file, chosen by its suffix; `suffixes` joined by spaces (".nii.gz
     * .nrrd"; "*" is any, since 1.7). What belongs to a scan is put on the scan's own grid. */
    const char *suffixes;
    mf_status (*write)(const mf_artifact *artifact, const char *path);
    /* Reads a file as an artifact, for a look at it; `reads` as `suffixes`, "/" for folders. */
    const char *reads;
    mf_status (*read)(const char *path, mf_artifact **artifact);
    /* A picture, u8 [h, w, 3]. `scan`: the volume on the same grid that it was made from, to be
     * drawn over; NULL where none is at hand. */
    mf_status (*draw)(const mf_artifact *artifact, const mf_artifact *scan, const mf_view *view,
                      mf_array **rgb);
    /* What shapes alone do not say of an artifact: whether it is what it says it is. It may come
     * from anybody, and shapes are those that were declared. From attributes and the shapes of
     * arrays. */
    mf_status (*check)(const mf_artifact *artifact);
} mf_type;

struct mf_case_source; /* see cases.h */

/* What massflow_plugin returns: static data. */
typedef struct mf_plugin {
    int abi_major, abi_minor;                            /* MF_ABI_MAJOR, MF_ABI_MINOR */
    size_t stage_size, param_size, port_size, type_size; /* of the structs it was built with */
    const char *name;                                    /* of the plugin, for messages */
    const mf_stage *const *stages;                       /* NULL-terminated */
    const mf_type *const *types;                         /* NULL-terminated, or NULL */
    /* Since 1.4; a record of an older minor version ends above. */
    size_t source_size;                          /* of mf_case_source; 0 without sources */
    const struct mf_case_source *const *sources; /* NULL-terminated, or NULL */
} mf_plugin;

/* The entry symbol: `const mf_plugin *massflow_plugin(void)`. */
#define MF_PLUGIN_RECORD_(plugin_name, plugin_types, plugin_source_size, plugin_sources, ...)      \
    MF_API const mf_plugin *massflow_plugin(void);                                                 \
    MF_API const mf_plugin *massflow_plugin(void)                                                  \
    {                                                                                              \
        static const mf_stage *const stages[] = {__VA_ARGS__, NULL};                               \
        static const mf_plugin plugin = {MF_ABI_MAJOR,       MF_ABI_MINOR,    sizeof(mf_stage),    \
                                         sizeof(mf_param),   sizeof(mf_port), sizeof(mf_type),     \
                                         plugin_name,        stages,          plugin_types,        \
                                         plugin_source_size, plugin_sources};                      \
        return &plugin;                                                                            \
    }
#define MF_PLUGIN_WITH_TYPES(plugin_name, plugin_types, ...)                                       \
    MF_PLUGIN_RECORD_(plugin_name, plugin_types, 0, NULL, __VA_ARGS__)
#define MF_PLUGIN(plugin_name, ...) MF_PLUGIN_WITH_TYPES(plugin_name, NULL, __VA_ARGS__)

/* ---- what a task may ask for ----------------------------------------------------------------- */

/* Inputs, borrowed until the task ends. An optional input that is not connected gives NULL. */
MF_API MF_MUST_USE mf_status mf_in(mf_task *t, const char *port, const mf_artifact **artifact);
MF_API size_t mf_in_count(mf_task *t, const char *port); /* elements of a list port */
MF_API MF_MUST_USE mf_status mf_in_item(mf_task *t, const char *port, size_t i,
                                        const mf_artifact **artifact);
/* What to call an element in messages: the node that made it, "scan[case=012]". Never part of a
 * result: it is no part of the key. i = 0 for a port that is no list. */
MF_API const char *mf_in_name(mf_task *t, const char *port, size_t i);
/* Case id of an element, or "". What a stage is told must be part of its key: ports that are not
 * marked MF_KEYED always give "" here, and NULL below. */
MF_API const char *mf_in_case(mf_task *t, const char *port, size_t i);
/* A column of that case, as text; NULL where the case has none of that name, and for "path". */
MF_API const char *mf_in_column(mf_task *t, const char *port, size_t i, const char *column);
/* What tells elements apart that were gathered over axes of the graph (shots, seed): the name and
 * *value of the k-th such axis, NULL past the last. mf_in_column gives them by name. */
MF_API const char *mf_in_axis(mf_task *t, const char *port, size_t i, size_t k, const char **value);

/* A volume that was read whole. */
typedef struct mf_volume {
    mf_grid grid;     /* where its voxels lie */
    mf_array *voxels; /* [z, y, x], the dtype asked for */
} mf_volume;
/* The whole volume in `dtype`; the task frees it when it ends. */
MF_API MF_MUST_USE mf_status mf_in_volume(mf_task *t, const char *port, mf_dtype dtype,
                                          const mf_volume **volume);

/* Streams: items come in order 0, 1, ... computed ahead by worker threads; the caller unrefs. NULL
 * past the end of a finite one. */
MF_API MF_MUST_USE mf_status mf_in_stream(mf_task *t, const char *port, mf_stream **stream);
MF_API MF_MUST_USE mf_status mf_stream_seek(mf_stream *stream, int64_t i); /* next item is i */
MF_API MF_MUST_USE mf_status mf_stream_next(mf_stream *stream, mf_artifact **item);
/* Of each `period` items only those from `first` on, `count` of them, are computed and handed out.
 * Before the first item is asked for; a seek is to a multiple of `period`. */
MF_API MF_MUST_USE mf_status mf_stream_part(mf_stream *stream, int64_t period, int64_t first,
                                            int64_t count);
/* For `needs`: the `count` numbers of a parameter (INT, REAL: 1; INT3, REAL3: 3) of the stage whose
 * stream is connected. False where it has no such parameter. */
MF_API bool mf_in_stream_param(mf_task *t, const char *port, const char *param, int count,
                               double *values);

/* Writes an artifact as a file, as 'massflow get' does: the suffix says how (".nii.gz", ".npy",
 * ".csv", ".json", ...). For stages that hand files to a program. */
MF_API MF_MUST_USE mf_status mf_task_write(mf_task *t, const mf_artifact *artifact,
                                           const char *path);

/* A folder for files of this try, made in TMPDIR; removed when the stage ends, also by whoever
 * comes next where the process was killed. With `keep` it stays after an error, which names it. */
MF_API MF_MUST_USE mf_status mf_task_folder(mf_task *t, bool keep, const char **path);
/* The stage has started a process that leads a group of its own, or that group has ended: it is
 * stopped and continued with massflow (Ctrl-Z), and uses the task's folder. */
MF_API void mf_task_child(mf_task *t, int group, bool runs);
/* In the environment of an isolated stage, and so of all that it starts: what has it is killed when
 * the stage has ended. For a program that ends by itself what it started, take it out. */
#define MF_WORKER_MARK "MASSFLOW_WORKER"

/* Outputs. mf_out takes over the caller's reference; the port's type must fit. */
MF_API MF_MUST_USE mf_status mf_out(mf_task *t, const char *port, mf_artifact *artifact);
/* A new volume on `grid`, zeroed, already set as output; voxels are written through *voxels. */
MF_API MF_MUST_USE mf_status mf_out_volume(mf_task *t, const char *port, const mf_grid *grid,
                                           mf_dtype dtype, mf_array **voxels);

/* For `needs`: a counting device (compute.h) like the one with the most memory that the task may
 * get. The caller unrefs it. */
MF_API MF_MUST_USE mf_status mf_task_counting(mf_task *t, mf_device **counting);
/* Compute. The queue is the task's own. mf_task_module builds the stage's kernels with options. */
MF_API MF_MUST_USE mf_status mf_task_queue(mf_task *t, mf_queue **queue);
MF_API MF_MUST_USE mf_status mf_task_module(mf_task *t, const char *options,
                                            const mf_module **module);
/* Devices that it was given, see mf_needs: 1 or more. Device 0 is that of its queue; borrowed. */
MF_API int mf_task_devices(mf_task *t);
MF_API MF_MUST_USE mf_status mf_task_device_at(mf_task *t, int i, mf_device **device);
/* Calls work(self, rank) for ranks 0 .. count - 1 at once: rank 0 in the calling thread, the others
 * in threads of their own, which are stopped as the task is; returns when all have ended. Of
 * several errors it is that of the lowest rank, one that is not MF_CANCELLED before others.
 * *failed: its rank, or -1; may be NULL. Of the task, work may call what is said to be for any
 * thread: mf_cancel_point, mf_progress_part, mf_log. */
MF_API MF_MUST_USE mf_status mf_task_ranks(mf_task *t, int count,
                                           mf_status (*work)(void *self, int rank), void *self,
                                           int *failed);
/* One task at several workers, of a stage whose parameter marked MF_RANKS says how many: they run
 * it at the same time, with the same inputs. Number 0 alone saves states and hands over outputs;
 * what the others save, set and log goes nowhere. Where one ends or fails, all end. The number of
 * this one, from 0; *ranks (may be NULL): how many there are. */
MF_API int mf_task_rank(const mf_task *t, int *ranks);
/* To the same device (0 .. mf_task_devices - 1) of the other workers; borrowed, NULL where there
 * are none. */
MF_API mf_transport *mf_task_transport(const mf_task *t, int device);
/* A buffer that lives until the task ends. */
MF_API MF_MUST_USE mf_status mf_task_buffer(mf_task *t, size_t bytes, mf_buffer **buffer);
MF_API MF_MUST_USE mf_status mf_task_buffer_of(mf_task *t, const mf_array *array,
                                               mf_buffer **buffer);

/* Arguments of a launch. Arrays are moved to the device and back by the engine. */
typedef struct mf_launch_arg {
    mf_arg arg;            /* without an array */
    const mf_array *array; /* instead of arg.buffer */
    bool written;          /* the kernel writes to the array or buffer */
} mf_launch_arg;
static inline mf_launch_arg mf_read(const mf_array *a)
{
    mf_launch_arg x = {{MF_ARG_BUFFER, NULL, 0, 0, 0}, a, false};
    return x;
}
static inline mf_launch_arg mf_write(mf_array *a)
{
    mf_launch_arg x = {{MF_ARG_BUFFER, NULL, 0, 0, 0}, a, true};
    return x;
}
static inline mf_launch_arg mf_buf(mf_buffer *b)
{
    mf_launch_arg x = {{MF_ARG_BUFFER, b, 0, 0, 0}, NULL, true};
    return x;
}
static inline mf_launch_arg mf_int(int64_t i)
{
    mf_launch_arg x = {{MF_ARG_INT, NULL, 0, i, 0}, NULL, false};
    return x;
}
static inline mf_launch_arg mf_float(double f)
{
    mf_launch_arg x = {{MF_ARG_FLOAT, NULL, 0, 0, (float)f}, NULL, false};
    return x;
}
/* Launches a kernel of the stage over `count` work-items; kernels check get_global_id(0) < count,
 * which is passed as their last argument (int). */
#define mf_launch(t, kernel, count, ...)                                                           \
    mf_launch_args(t, kernel, count, (const mf_launch_arg[]){__VA_ARGS__},                         \
                   (int)(sizeof((const mf_launch_arg[]){__VA_ARGS__}) / sizeof(mf_launch_arg)))
MF_API MF_MUST_USE mf_status mf_launch_args(mf_task *t, const char *kernel, int64_t count,
                                            const mf_launch_arg *args, int arg_count);

/* Random numbers seeded from the stage's `seed` parameter, the case id and a stream's item. */
MF_API void mf_task_random(mf_task *t, mf_random *random);
/* Only for stages that draw random numbers (the key has it for them alone); else "". */
MF_API const char *mf_task_case(mf_task *t);
/* Progress: done of total, and a few words ("loss 0.31") or NULL. */
MF_API void mf_progress(mf_task *t, int64_t done, int64_t total, const char *words);
/* What is done of the next of them by now, 0 to 1: a rate is known before the first is done. */
MF_API void mf_progress_part(mf_task *t, double part);
MF_API void mf_log(mf_task *t, const char *format, ...) MF_PRINTF(2, 3);
/* Logs an error that ends nothing, and frees it; MF_OK logs nothing. For what a stage does beside
 * its work, such as saving its state once it is being stopped. */
MF_API void mf_log_error(mf_task *t, mf_status status);
/* MF_CANCELLED once the run is being stopped: call it in long loops and pass it on. */
MF_API MF_MUST_USE mf_status mf_cancel_point(mf_task *t);
MF_API int mf_task_threads(mf_task *t); /* worker threads that the task may use itself */

/* Checkpoints: a long stage saves its state from time to time. Killed or stopped and started again,
 * the same action gets it back and goes on, and must end with the same bytes as if it had never
 * been disturbed: so the state is all that the rest depends on (values, moments, counters, rows of
 * tables so far, the position in a stream, the state of random numbers), and no clock enters it.
 *
 * States belong to the action without its MF_EXTENDABLE parameters, on this kind of device. So a
 * run that ends earlier (`stop_at`) may leave its last state to a longer one: it says so by `keep`.
 * When the stage has succeeded, all other states up to the `most` that it asked for are dropped.
 *
 * The newest state of at most step `most`; *state NULL where there is none. Damaged ones are passed
 * over, with a line in the log. The caller unrefs. */
MF_API MF_MUST_USE mf_status mf_checkpoint_load(mf_task *t, int64_t most, int64_t *step,
                                                mf_artifact **state);
/* Saves the state after `step` steps; returns when it is on disk. `state`: any type, dense arrays,
 * no attribute whose name begins with a dot. Of the older ones only the newest stays. */
MF_API MF_MUST_USE mf_status mf_checkpoint_save(mf_task *t, int64_t step, const mf_artifact *state,
                                                bool keep);
/* Whether `seconds` have passed since the last save (or since the task began). */
MF_API bool mf_checkpoint_due(mf_task *t, double seconds);

#ifdef __cplusplus
}
#endif
#endif
