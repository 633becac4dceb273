/* program.h - a program's values and ops. Op families see op.h only. */
#ifndef MF_PROGRAM_PROGRAM_H
#define MF_PROGRAM_PROGRAM_H

#include "program/ir/op.h"

typedef enum mf_value_kind { MF_VALUE_INPUT, MF_VALUE_WEIGHT, MF_VALUE_RESULT } mf_value_kind;

typedef struct mf_value_record {
    mf_value_kind kind;
    mf_dtype dtype;
    mf_shape shape;
    int64_t count;
    size_t bytes;
    int32_t op;        /* that makes it, -1: input or weight */
    int32_t storage;   /* the value whose memory this is: itself, or the source of a reshape */
    bool wants;        /* gradient; settled by mf_differentiate */
    bool frozen;       /* a weight that gets none: mf_freeze */
    float momentum;    /* of a weight that is a running statistic: mf_follow; else 0 */
    bool required;     /* an input that gets one: mf_require_gradient */
    mf_value gradient; /* d loss / d this */
    bool keep;         /* mf_keep */
    char *name;        /* of inputs and weights */
} mf_value_record;

typedef struct mf_named_value {
    char *name;
    mf_value value;
} mf_named_value;

struct mf_program {
    mf_value_record *values;
    int32_t value_count;
    mf_op *ops;
    int32_t op_count;
    mf_named_value *outputs;
    int32_t output_count;
    char **scopes; /* every scope met, joined by dots; 0: "" */
    int32_t scope_count, scope;
    int32_t stack[64];
    int depth;
    bool differentiated, recompute, rematerialized;
    int32_t forward_ops; /* before those of gradients; where it is differentiated */
    /* Adds two gradients; given by mf_differentiate. */
    mf_value (*add)(mf_program *p, mf_value a, mf_value b);
    char *failure, *failure_scope; /* the first error */
    mf_code failure_code;
    char text[4][96]; /* of mf_shape_text */
    int text_at;
};

mf_value_record *mf_value_of(const mf_program *p, mf_value x); /* x must be valid */
void mf_program_fail_code(mf_program *p, mf_code code, const char *format, ...) MF_PRINTF(3, 4);

#endif
