/* op_case.h - checks one op: its values against a reference in double, its gradients against
 * central differences of that reference. */
#ifndef OP_CASE_H
#define OP_CASE_H

#include "../expect.h"
#include <massflow/program.h>

enum { CASE_INPUTS = 3, CASE_INTS = 6 };

typedef struct op_case op_case;
struct op_case {
    const char *name;
    mf_value (*build)(mf_program *p, const mf_value *in, const op_case *c);
    /* in[k] and out in double; out has as many elements as the op's value */
    void (*reference)(const op_case *c, double *const *in, double *out);
    int inputs;
    struct {
        int rank;
        int64_t dim[MF_MAX_RANK];
        enum { TRAINED, CONSTANT, MASK } kind; /* MASK: u8, 0 or 1 */
        double low, high;                      /* of random values; both 0: -2 .. 2 */
    } in[CASE_INPUTS];
    int64_t i[CASE_INTS];
    double f;
    double terms; /* length of the longest sum, for the tolerance; 0: 8 */
};

/* Elements of input k. */
int64_t case_count(const op_case *c, int k);
/* Fails the running test where the op is wrong. Uses one device for the whole program. */
void check_case(const op_case *c);
mf_device *test_device(void);

#endif
