/* device_table.c - the checks of a device as a table. */
#include "device_check.h"

#include <math.h>
#include <string.h>

void check_show_device(FILE *out, const check_device *d)
{
    const mf_device_info *i = &d->info;
    fprintf(out, "%s  %s (%s)\n", d->text, i->name, d->form == MF_CHECK_CPU_FORM ? "CPU" : "GPU");
    fprintf(out, "   vendor %s, platform %s\n   %s, driver %s\n", i->vendor, i->platform,
            i->version, i->driver);
    fprintf(out,
            "   %d compute units, %.1f GiB memory, %.1f GiB maximum allocation, %zu KiB local, "
            "work-groups up to %zu\n\n",
            i->compute_units, (double)i->memory / 0x1p30, (double)i->max_allocation / 0x1p30,
            i->local_memory / 1024, i->max_work_group);
}

void check_show_head(FILE *out)
{
    fprintf(out, "%-26s %-4s %5s %11s %10s %14s %7s %7s  %s\n", "op", "form", "cases",
            "error/bound", "time", "rate", "local", "private", "result");
    fflush(out);
}

void check_show_begin(FILE *out, const char *op, mf_check_form form)
{
    fprintf(out, "%-26s %-4s ", op, mf_check_form_text(form));
    fflush(out);
}

static void show_size(char *text, size_t size, size_t bytes)
{
    if (bytes < 10000)
        snprintf(text, size, "%zu B", bytes);
    else
        snprintf(text, size, "%zu K", bytes / 1024);
}

static void show_failure(FILE *out, const check_failure *f)
{
    if (f->error[0]) {
        fprintf(out, "    %s\n", f->text);
        for (const char *line = f->error; *line;) {
            size_t length = strcspn(line, "\n");
            fprintf(out, "      %.*s\n", (int)length, line);
            line += length + (line[length] == '\n');
        }
    } else {
        fprintf(out, "    %s\n      %s is %.9g, should be %.9g, may differ by %.2g\n", f->text,
                f->what, f->got, f->want, f->bound);
    }
}

void check_show_end(FILE *out, const check_row *row)
{
    char ratio[24] = "", time[24] = "", rate[32] = "", local[24] = "", private[24] = "";
    snprintf(ratio, sizeof ratio, isinf(row->ratio) ? "inf" : "%.2f", row->ratio);
    if (row->seconds > 0) {
        snprintf(time, sizeof time, "%.3f ms", row->seconds * 1e3);
        if (row->flops > 0)
            snprintf(rate, sizeof rate, "%.1f GFLOP/s", row->flops / row->seconds * 1e-9);
        else
            snprintf(rate, sizeof rate, "%.1f GB/s", row->bytes / row->seconds * 1e-9);
    }
    show_size(local, sizeof local, row->local_memory);
    show_size(private, sizeof private, row->private_memory);
    fprintf(out, "%5d %11s %10s %14s %7s %7s  %s\n", row->cases, ratio, time, rate, local, private,
            row->crashed ? "CRASHED"
            : row->wrong ? "WRONG"
                         : "ok");
    for (int i = 0; i < row->wrong && i < CHECK_FAILURES; i++)
        show_failure(out, &row->failures[i]);
    if (row->wrong > CHECK_FAILURES)
        fprintf(out, "    and %d more\n", row->wrong - CHECK_FAILURES);
    fflush(out);
}

void check_show_sum(FILE *out, const check_report *report)
{
    size_t cases = 0, wrong = 0;
    for (size_t i = 0; i < report->count; i++) {
        cases += report->devices[i].cases;
        wrong += report->devices[i].wrong;
    }
    fprintf(out, "\n%zu case%s on %zu device%s in %.0f s: ", cases, cases == 1 ? "" : "s",
            report->count, report->count == 1 ? "" : "s", report->seconds);
    if (report->right) {
        fprintf(out, "all right\n");
        return;
    }
    fprintf(out, "%zu wrong\n", wrong);
    for (size_t i = 0; i < report->count; i++) {
        const check_device *d = &report->devices[i];
        if (d->error[0])
            fprintf(out, "%s  %s: %s\n", d->text, d->info.name, d->error);
        if (d->wrong || d->error[0])
            fprintf(out,
                    "Do not use device %s with this driver: its results can be wrong.\n"
                    "Install another version of the driver%s. Please send the file that\n"
                    "  massflow devices %s --check --json > check.json\nwrites.\n",
                    d->text, d->form == MF_CHECK_CPU_FORM ? "" : ", or use --device cpu", d->text);
    }
}
