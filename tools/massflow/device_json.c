/* device_json.c - the checks of devices as JSON, to be sent. */
#include "device_check.h"

#include <json-c/json.h>
#include <math.h>
#include <string.h>

enum { VERSION = 1 };

static void text(json_object *o, const char *name, const char *value)
{
    json_object_object_add(o, name, json_object_new_string(value));
}

static void whole(json_object *o, const char *name, size_t value)
{
    json_object_object_add(o, name, json_object_new_int64((int64_t)value));
}

/* JSON has no infinity and no NaN: they are texts. */
static void number(json_object *o, const char *name, double value)
{
    char digits[40];
    snprintf(digits, sizeof digits, "%.9g", value);
    json_object_object_add(o, name,
                           isfinite(value) ? json_object_new_double_s(value, digits)
                                           : json_object_new_string(digits));
}

static json_object *failure_of(const check_failure *f)
{
    json_object *o = json_object_new_object();
    text(o, "case", f->text);
    if (f->error[0]) {
        text(o, "error", f->error);
        return o;
    }
    text(o, "element", f->what);
    number(o, "value", f->got);
    number(o, "expected", f->want);
    number(o, "bound", f->bound);
    return o;
}

static json_object *row_of(const check_row *r)
{
    json_object *o = json_object_new_object(), *failures = json_object_new_array();
    text(o, "op", r->op);
    text(o, "form", mf_check_form_text(r->form));
    text(o, "result", r->crashed ? "crashed" : r->wrong ? "wrong" : "ok");
    whole(o, "cases", (size_t)r->cases);
    whole(o, "wrong", (size_t)r->wrong);
    number(o, "ratio", r->ratio);
    if (r->seconds > 0) {
        text(o, "timed", r->timed);
        number(o, "seconds", r->seconds);
        number(o, r->flops > 0 ? "flops" : "bytes", r->flops > 0 ? r->flops : r->bytes);
    }
    whole(o, "local_memory", r->local_memory);
    whole(o, "private_memory", r->private_memory);
    whole(o, "group_multiple", r->multiple);
    whole(o, "max_group", r->group);
    for (int i = 0; i < r->wrong && i < CHECK_FAILURES; i++)
        json_object_array_add(failures, failure_of(&r->failures[i]));
    json_object_object_add(o, "failures", failures);
    return o;
}

static json_object *device_of(const check_device *d)
{
    json_object *o = json_object_new_object(), *rows = json_object_new_array();
    text(o, "device", d->text);
    text(o, "name", d->info.name);
    text(o, "vendor", d->info.vendor);
    text(o, "platform", d->info.platform);
    text(o, "version", d->info.version);
    text(o, "driver", d->info.driver);
    text(o, "form", mf_check_form_text(d->form));
    whole(o, "compute_units", (size_t)d->info.compute_units);
    whole(o, "memory", d->info.memory);
    whole(o, "max_allocation", d->info.max_allocation);
    whole(o, "local_memory", d->info.local_memory);
    whole(o, "max_work_group", d->info.max_work_group);
    whole(o, "cases", d->cases);
    whole(o, "wrong", d->wrong);
    number(o, "seconds", d->seconds);
    if (d->error[0])
        text(o, "error", d->error);
    for (size_t i = 0; i < d->row_count; i++)
        json_object_array_add(rows, row_of(&d->rows[i]));
    json_object_object_add(o, "rows", rows);
    return o;
}

char *check_json(const check_report *report)
{
    json_object *o = json_object_new_object(), *devices = json_object_new_array();
    whole(o, "version", VERSION);
    text(o, "massflow", MF_VERSION);
    whole(o, "numerics", MF_NUMERICS_VERSION);
    text(o, "result", report->right ? "ok" : "wrong");
    number(o, "seconds", report->seconds);
    for (size_t i = 0; i < report->count; i++)
        json_object_array_add(devices, device_of(&report->devices[i]));
    json_object_object_add(o, "devices", devices);
    const char *lines = json_object_to_json_string_ext(
        o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
    char *copy = lines ? strdup(lines) : NULL;
    json_object_put(o);
    return copy;
}
