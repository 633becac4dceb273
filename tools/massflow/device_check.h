/* device_check.h - `massflow devices --check`: the checks of engine/check in a process of their
 * own, which a driver may crash or hang, and what is shown of them. */
#ifndef MF_DEVICE_CHECK_H
#define MF_DEVICE_CHECK_H

#include "check/checks.h"

#include <stdio.h>

/* An op in one form of the kernels: a row of the table. */
typedef struct check_failure {
    char text[160], what[96], error[512];
    double got, want, bound;
} check_failure;

enum { CHECK_FAILURES = 4 }; /* of a row that are kept, of those that there are */

typedef struct check_row {
    char op[64];
    mf_check_form form;
    int cases, wrong;
    double ratio;
    char timed[160]; /* the case that was measured, "" for none */
    double seconds, flops, bytes;
    size_t local_memory, private_memory, multiple, group;
    check_failure failures[CHECK_FAILURES];
    bool crashed;
} check_row;

typedef struct check_device {
    mf_device_info info;
    char text[40];
    mf_check_form form; /* its own */
    check_row *rows;
    size_t row_count;
    size_t cases, wrong;
    double seconds;
    char error[512]; /* it could not be opened, or all of it crashed */
} check_device;

typedef struct check_report {
    check_device *devices;
    size_t count;
    double seconds;
    bool right;
} check_report;

typedef struct check_request {
    const char *device; /* as --device takes it; NULL: all */
    mf_check_options options;
    bool own_form;   /* only that, also on a CPU */
    bool other_form; /* only the other one */
} check_request;

/* Runs the checks and shows them on `out` as they come. */
MF_MUST_USE mf_status device_check(const check_request *request, FILE *out, check_report *report);
void check_report_clear(check_report *report);

/* device_table.c */
void check_show_device(FILE *out, const check_device *d);
void check_show_head(FILE *out);
/* The beginning of a row, then its rest. */
void check_show_begin(FILE *out, const char *op, mf_check_form form);
void check_show_end(FILE *out, const check_row *row);
void check_show_sum(FILE *out, const check_report *report);

/* device_json.c: one object, for free(); NULL: no memory. */
char *check_json(const check_report *report);

#endif
