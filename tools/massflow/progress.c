/* progress.c - drawing the events of a run. Lines that stay are printed above the live ones. */
#include "progress.h"
#include "workspace.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void progress_open(progress *p, FILE *out)
{
    struct winsize size;

    memset(p, 0, sizeof *p);
    p->out = out;
    p->live = isatty(fileno(out));
    p->width = 80;
    if (p->live && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        p->width = size.ws_col;
}

static void erase(progress *p)
{
    for (; p->drawn > 0; p->drawn--)
        fputs("\033[A\033[2K", p->out);
}

void progress_close(progress *p)
{
    erase(p);
    fflush(p->out);
}

static void clock_words(double seconds, char text[32])
{
    long s = (long)(seconds + 0.5);

    if (s < 3600)
        snprintf(text, 32, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(text, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

/* "masks[case=012]  [####......]  41%  12.3/s  0:42 left  loss 0.31" */
static void draw_active(progress *p, const mf_run_active *a)
{
    char line[512], left[32], bar[21];
    const mf_task_state *s = &a->state;
    double part = s->total > 0 ? (double)s->done / (double)s->total : 0;
    double rate = a->seconds > 0 ? (double)s->done / a->seconds : 0;
    int filled;

    part = part > 1 ? 1 : part;
    if (s->total <= 0) {
        clock_words(a->seconds, left);
        snprintf(line, sizeof line, "  %-28s %s  %s", a->node, left, s->words);
    } else {
        filled = (int)(part * 20);
        memset(bar, '.', 20);
        memset(bar, '#', (size_t)filled);
        bar[20] = '\0';
        clock_words(rate > 0 ? (double)(s->total - s->done) / rate : 0, left);
        snprintf(line, sizeof line, "  %-28s [%s] %3.0f%%  %.3g/s  %s left  %s", a->node, bar,
                 part * 100, rate, left, s->words);
    }
    fprintf(p->out, "%.*s\n", p->width - 1, line);
    p->drawn++;
}

static void draw_counts(progress *p, const mf_run_counts *c)
{
    size_t ended = c->done + c->cached + c->failed + c->blocked + c->cancelled;
    char line[256];

    snprintf(line, sizeof line, "  %zu/%zu  %zu done, %zu cached%s", ended, c->wanted, c->done,
             c->cached, c->failed ? "" : ", 0 failed");
    if (c->failed)
        snprintf(line + strlen(line), sizeof line - strlen(line), ", %zu failed, %zu blocked",
                 c->failed, c->blocked);
    fprintf(p->out, "%.*s\n", p->width - 1, line);
    p->drawn++;
}

static void tick(progress *p, const mf_run_event *e)
{
    if (!p->live)
        return;
    erase(p);
    for (size_t i = 0; i < e->active_count; i++)
        draw_active(p, &e->active[i]);
    draw_counts(p, e->counts);
    fflush(p->out);
}

static int first_line(const char *text)
{
    return (int)strcspn(text, "\n");
}

void progress_event(void *self, const mf_run_event *e)
{
    progress *p = self;
    char took[32];

    switch (e->kind) {
    case MF_RUN_TICK:
        tick(p, e);
        return;
    case MF_RUN_STARTED:
        if (p->live)
            return;
        fprintf(p->out, "start    %s\n", e->node);
        break;
    case MF_RUN_DONE:
        if (p->live && e->seconds < 1)
            return; /* a thousand quick ones would bury the rest */
        erase(p);
        break;
    case MF_RUN_FOUND:
        return; /* counted at the end */
    case MF_RUN_STOP_NOW:
        erase(p);
        fprintf(p->out, "stopped\n");
        fflush(p->out);
        _exit(EXIT_INTERRUPTED);
    default:
        erase(p);
        break;
    }
    words_seconds(e->seconds, took);
    if (e->kind == MF_RUN_PLANNED)
        fprintf(p->out, "%zu of %zu nodes are cached\n", e->counts->cached, e->counts->wanted);
    else if (e->kind == MF_RUN_DONE)
        fprintf(p->out, "done     %s (%s)\n", e->node, took);
    else if (e->kind == MF_RUN_FAILED)
        fprintf(p->out, "failed   %s: %.*s\n", e->node, first_line(e->text), e->text);
    else if (e->kind == MF_RUN_BLOCKED)
        fprintf(p->out, "blocked  %s: %s\n", e->node, e->text ? e->text : "");
    else if (e->kind == MF_RUN_WAITING)
        fprintf(p->out, "waiting for %s: %s\n", e->node, e->text);
    else if (e->kind == MF_RUN_LOG)
        fprintf(p->out, "%s: %s\n", e->node, e->text);
    else if (e->kind == MF_RUN_STOPPING)
        fprintf(p->out, "stopping: running stages end at their next safe point; once more stops "
                        "now\n");
    fflush(p->out);
}
