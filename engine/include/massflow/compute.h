/* compute.h - OpenCL devices, queues, buffers and kernels, as stages and tensor programs use them.
 *
 * A device owns its context and its built programs; a queue is one in-order command queue and is
 * used by one thread at a time. Errors of launches that run later surface in mf_queue_finish, with
 * the kernel's name. Needs only a C library and the OpenCL loader. */
#ifndef MASSFLOW_COMPUTE_H
#define MASSFLOW_COMPUTE_H

#include <massflow/array.h>

/* Raised when kernels or programs give other results than before. It is part of the keys of stages
 * with programs. */
#define MF_NUMERICS_VERSION 2

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mf_device mf_device; /* opened device with its context; references are counted */
typedef struct mf_queue mf_queue;   /* in-order command queue of one device */
typedef struct mf_buffer mf_buffer; /* memory of one device */
typedef struct mf_module mf_module; /* built OpenCL source; owned by its device */

/* ---- devices --------------------------------------------------------------------------------- */

/* What a device says of itself. */
typedef struct mf_device_info {
    char name[128], vendor[128], platform[128], version[128],
        driver[128];         /* as OpenCL reports it */
    bool is_cpu;             /* not a GPU; also what emulates one on the CPU */
    bool shares_host_memory; /* host arrays are used in place */
    /* Kernels in the form for CPUs: no work-items that work together, groups of at most 64. Also on
     * a GPU whose groups are smaller than the other form needs. */
    bool plain;
    /* Number in the list of the same processor by a better driver; -1: none, or above 127. */
    int8_t same_as;
    int compute_units;                           /* cores of a CPU */
    size_t memory, max_allocation, local_memory; /* bytes */
    size_t max_work_group;                       /* work-items of a group, at most */
} mf_device_info;

/* All devices in a fixed order: GPUs, CPUs, emulations of devices, each as the platforms list them;
 * behind them other drivers of the same processors. None at all is an error that names the package
 * that brings one. Free *infos with free(). */
MF_API MF_MUST_USE mf_status mf_devices_list(mf_device_info **infos, size_t *count);
/* `which`: "" or NULL for the best, "cpu", "gpu", a number of the list, or part of a name. Behind
 * it may stand "/N.I": part I, from 0, of the device cut in N parts with equally many compute
 * units. */
MF_API MF_MUST_USE mf_status mf_device_open(const char *which, mf_device **device);
/* Several at once: such texts joined by commas, also "all", "gpus", and "/N" for all N parts of a
 * device. None may be meant twice. The caller unrefs each and frees the list with free(). */
MF_API MF_MUST_USE mf_status mf_devices_open(const char *which, mf_device ***devices,
                                             size_t *count);
/* The text that opens the same device in another process of this machine: "1", "0/2.1". */
MF_API const char *mf_device_text(const mf_device *device);
MF_API mf_device *mf_device_ref(mf_device *device);
MF_API void mf_device_unref(mf_device *device);
MF_API const mf_device_info *mf_device_get_info(const mf_device *device);
/* Bytes that the offset of an mf_arg must be a multiple of: 256 or more; 512 on NVIDIA's GPUs and
 * under Mesa's rusticl. */
MF_API size_t mf_device_alignment(const mf_device *device);
/* Bytes of the buffers that were made through `device`, now and at most so far. Host memory that is
 * used in place is not counted. */
MF_API size_t mf_device_used(const mf_device *device);
MF_API size_t mf_device_most_used(const mf_device *device);
/* A device like `like` that computes nothing: buffers have a size but no memory, kernels are not
 * built, launches do nothing, reads give zeros. Weights and programs are made on it to find out
 * what they will take of the memory of `like`; more than there is may be taken. The caller unrefs
 * it. */
MF_API MF_MUST_USE mf_status mf_device_counting(const mf_device *like, mf_device **counting);

/* Where built programs are kept between processes. `get` gives NULL where it has none, else bytes
 * for free(); `key` is a hex digest of source, options, device and driver. May be left unset. */
typedef struct mf_binary_store {
    void *self;                                                 /* passed to both calls */
    uint8_t *(*get)(void *self, const char *key, size_t *size); /* looks one up */
    void (*put)(void *self, const char *key, const uint8_t *bytes, size_t size); /* keeps one */
} mf_binary_store;
/* Sets it; `store` is copied, what it points to must outlive the device. */
MF_API void mf_device_keep_binaries(mf_device *device, const mf_binary_store *store);

/* ---- buffers --------------------------------------------------------------------------------- */

/* New memory of a device, not cleared; the caller frees it. */
MF_API MF_MUST_USE mf_status mf_buffer_new(mf_device *device, size_t bytes, mf_buffer **buffer);
/* The array's own memory where the device shares it, else a copy made now; keeps a reference. */
MF_API MF_MUST_USE mf_status mf_buffer_of(mf_device *device, const mf_array *array,
                                          mf_buffer **buffer);
MF_API void mf_buffer_free(mf_buffer *buffer);          /* NULL is fine */
MF_API size_t mf_buffer_bytes(const mf_buffer *buffer); /* its size */
/* Write and read block until the bytes are there. `offset` and `bytes` are in bytes and must lie
 * inside the buffer. */
MF_API MF_MUST_USE mf_status mf_buffer_write(mf_queue *queue, mf_buffer *buffer, size_t offset,
                                             const void *src, size_t bytes);
MF_API MF_MUST_USE mf_status mf_buffer_read(mf_queue *queue, const mf_buffer *buffer, size_t offset,
                                            void *dst, size_t bytes);
MF_API MF_MUST_USE mf_status mf_buffer_fill(mf_queue *queue, mf_buffer *buffer, size_t offset,
                                            size_t bytes, uint8_t value);

/* ---- kernels --------------------------------------------------------------------------------- */

/* Builds `sources` (NULL-terminated, joined in order) with `options` ("-DC=16"), or gives the
 * module that the device already has for them. Every module sees the traits of its device as
 * macros: MF_CPU (0 or 1), MF_VECTOR (native float width). */
MF_API MF_MUST_USE mf_status mf_module_build(mf_device *device, const char *const *sources,
                                             const char *options, const mf_module **module);

/* What an argument of a kernel is. */
typedef enum mf_arg_kind {
    MF_ARG_BUFFER, /* __global pointer */
    MF_ARG_INT,    /* int, 32 bits */
    MF_ARG_LONG,   /* long, 64 bits */
    MF_ARG_FLOAT,  /* float */
    MF_ARG_LOCAL   /* __local pointer */
} mf_arg_kind;

/* One argument of a kernel. */
typedef struct mf_arg {
    mf_arg_kind kind;  /* which of the fields count */
    mf_buffer *buffer; /* BUFFER */
    size_t offset;     /* bytes into buffer; a multiple of mf_device_alignment */
    int64_t i;         /* INT, LONG; LOCAL: bytes */
    float f;           /* FLOAT */
} mf_arg;

/* The work-items of a launch. */
typedef struct mf_range {
    int dims;         /* 1 .. 3 */
    size_t global[3]; /* work-items; any number: rounded up to whole groups, kernels check bounds */
    size_t local[3];  /* all 0: the device chooses */
} mf_range;

/* A queue of a device, which it keeps a reference to; the caller frees it. */
MF_API MF_MUST_USE mf_status mf_queue_new(mf_device *device, mf_queue **queue);
MF_API void mf_queue_free(mf_queue *queue);               /* finishes first */
MF_API mf_device *mf_queue_device(const mf_queue *queue); /* borrowed */
/* Enqueues a kernel of a module with `count` arguments, in their order; returns before it has run.
 */
MF_API MF_MUST_USE mf_status mf_queue_launch(mf_queue *queue, const mf_module *module,
                                             const char *kernel, mf_range range, const mf_arg *args,
                                             int count);
/* Waits until all that was enqueued has run; the error of the first launch that failed. */
MF_API MF_MUST_USE mf_status mf_queue_finish(mf_queue *queue);

#ifdef __cplusplus
}
#endif
#endif
