/* compute.h - what the files of this folder share, and what recorded tensor programs use besides
 * the public calls: launches that are made once and enqueued often, and views into buffers. */
#ifndef MF_COMPUTE_COMPUTE_H
#define MF_COMPUTE_COMPUTE_H

#include <CL/cl.h>
#include <massflow/compute.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct mf_signature mf_signature; /* of a kernel: what arguments it takes */

struct mf_module {
    mf_module *next;
    mf_device *device;
    char key[33];
    cl_program program;
    mf_signature *signatures; /* of its kernels, in no order */
};

struct mf_device {
    int refs;
    mf_device_info info;
    char text[40]; /* mf_device_text */
    bool is_part;
    cl_device_id id;
    cl_context context;
    bool counting;        /* mf_device_counting: no context, nothing is computed */
    size_t alignment;     /* of views, bytes */
    int vector;           /* native float width */
    pthread_mutex_t lock; /* guards modules and store */
    mf_module *modules;
    mf_binary_store store;
    bool keeps_kernels; /* its driver does, between processes: the store is not used */
    struct {
        pthread_mutex_t lock; /* never held while anything is built */
        double begun, ended;  /* seconds; of builds that follow each other closely */
        int sources;          /* that were compiled, the present one included */
        bool now;
    } building;
    _Atomic size_t used, most_used; /* bytes of its buffers, now and at most */
};

struct mf_buffer {
    mf_device *device;
    cl_mem mem; /* NULL on a counting device */
    size_t bytes;
    size_t taken;          /* of the device's memory: nothing for views and host memory in place */
    const mf_array *array; /* whose memory this is, or NULL */
    mf_buffer *parent;     /* of a view; borrowed */
};

/* A device that is there, before it is opened. */
typedef struct mf_found_device {
    mf_device_info info;
    cl_device_id id;
    cl_platform_id platform;
    enum { MF_FOUND_GPU, MF_FOUND_CPU, MF_FOUND_EMULATION } kind;
    int64_t pci; /* domain << 16 | bus << 8 | device << 3 | function; -1: not told */
} mf_found_device;

/* ---- rank.c ---------------------------------------------------------------------------------- */

/* Whether a device of this name is a program that emulates one on the CPU. */
bool mf_device_is_emulation(const char *name);
/* Whether an emulation of this name takes the form of the kernels for GPUs: llvmpipe computes a
 * work-item in each lane of a vector, and needs minutes to compile a work-item that owns a tile. */
bool mf_device_runs_groups(const char *name);
/* Sorts the list, best first, and sets same_as. */
MF_MUST_USE mf_status mf_devices_rank(mf_found_device *list, size_t count);

/* ---- device.c -------------------------------------------------------------------------------- */

/* All devices, as ranked; *list is freed with free(). */
MF_MUST_USE mf_status mf_devices_find(mf_found_device **list, size_t *count);
/* Opens the index-th of the list, or with parts > 0 the part-th of so many. */
MF_MUST_USE mf_status mf_device_new(const mf_found_device *list, size_t index, int parts, int part,
                                    mf_device **device);

/* "CL_OUT_OF_RESOURCES (-5)" */
const char *mf_cl_text(cl_int code);
/* MF_OK, or an error that says what was being done. */
MF_MUST_USE mf_status mf_cl_check(cl_int code, const char *doing);

/* 128 bits over the strings (with their ends) as 32 hex digits; names binaries, guards nothing. */
void mf_digest(const char *const *strings, char hex[33]);

/* Part of a buffer as one of its own; offset must be a multiple of device->alignment. Freed before
 * its parent. */
MF_MUST_USE mf_status mf_buffer_view(mf_buffer *parent, size_t offset, size_t bytes,
                                     mf_buffer **view);

/* ---- signature.c ----------------------------------------------------------------------------- */

mf_signature *mf_signatures_read(cl_program program); /* of its kernels */
void mf_signatures_free(mf_signature *list);
/* Whether an argument is of the type that the kernel declares, as far as the driver says it. */
MF_MUST_USE mf_status mf_signature_check(const mf_module *module, const char *kernel, int i,
                                         const mf_arg *arg);

/* ---- launches -------------------------------------------------------------------------------- */

typedef struct mf_launch {
    cl_kernel kernel;
    int dims;
    size_t global[3], local[3];
    char label[96]; /* the kernel's name, in errors and in the profile */
    mf_buffer *views[16];
    int view_count;
} mf_launch;

enum { MF_LAUNCH_ARGS = 32 };

/* Looks the kernel up, sets its arguments, settles group and grid. `label` must outlive the launch.
 */
MF_MUST_USE mf_status mf_launch_init(mf_launch *launch, const mf_module *module, const char *kernel,
                                     mf_range range, const mf_arg *args, int count,
                                     const char *label);
void mf_launch_clear(mf_launch *launch);
MF_MUST_USE mf_status mf_queue_enqueue(mf_queue *queue, const mf_launch *launch);
MF_MUST_USE mf_status mf_queue_flush(mf_queue *queue); /* starts what is enqueued, does not wait */

#endif
