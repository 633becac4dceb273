/* first_use.c - the process that checks a device before a run first uses it with its driver
 * (`massflow first-use DEVICE`); engine/embed/first_use.c starts it, and says what it prints. */
#include "embed/first_use.h"
#include "command.h"
#include "device_check.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { TEXT = MF_FIRST_USE_TEXT };

/* The first failure; whether all of them are wrong numbers. */
static bool describe(const check_report *report, char text[TEXT])
{
    const check_device *d = report->devices;
    bool numbers = !d->error[0];

    *text = 0;
    for (size_t i = 0; i < d->row_count; i++)
        for (int k = 0; k < d->rows[i].wrong && k < CHECK_FAILURES; k++) {
            const check_failure *f = &d->rows[i].failures[k];
            numbers &= !f->error[0];
            if (*text)
                continue;
            if (f->error[0])
                snprintf(text, TEXT, "%s: %s", f->text, f->error);
            else
                snprintf(text, TEXT, "%s: %s is %.9g, should be %.9g, may differ by %.2g", f->text,
                         f->what, f->got, f->want, f->bound);
        }
    text[strcspn(text, "\n")] = 0;
    return numbers;
}

static mf_status check_form(const char *device, bool other, FILE *out, bool *right, bool *numbers,
                            char text[TEXT])
{
    check_request request = {.device = device,
                             .options = {.depth = MF_CHECK_FIRST},
                             .own_form = true,
                             .other_form = other};
    check_report report;
    mf_status status = device_check(&request, out, &report);

    if (!status && (!report.count || (report.right && !report.devices->cases)))
        status = mf_fail(MF_INTERNAL, "no op was checked on device %s", device);
    *right = report.right;
    if (!status && !report.right)
        *numbers &= describe(&report, text);
    check_report_clear(&report);
    return status;
}

static mf_status find_verdict(const char *device, FILE *out)
{
    char own_text[TEXT] = "", other_text[TEXT] = "";
    bool own, other = false, numbers = true;

    MF_TRY(check_form(device, false, out, &own, &numbers, own_text));
    if (!own)
        MF_TRY(check_form(device, true, out, &other, &numbers, other_text));
    printf("%s\n%s\n",
           own     ? "own"
           : other ? "other"
                   : "none",
           own || (other && numbers) ? "kept" : "once");
    if (!own)
        printf("%s\n", own_text);
    if (!own && !other)
        printf("%s\n", other_text);
    return MF_OK;
}

static int check(const args *a)
{
    FILE *out = fopen("/dev/null", "w");
    mf_status status;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!out)
        return command_refuse("/dev/null: %s", strerror(errno));
    status = find_verdict(args_at(a, 0), out);
    fclose(out);
    return status ? command_fail(status, EXIT_FAILED) : EXIT_DONE;
}

/* Without a summary it is not listed. */
const command command_first_use = {"first-use", "DEVICE", NULL, NULL, NULL, 1, 1, check};
