/* crash.c - a plugin for tests: a stage that ends badly in every way there is. */
#include <massflow/stage.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct crash_params {
    const char *how, *once;
    int64_t lines;
} crash_params;

static const mf_param table[] = {
    MF_CHOICE(crash_params, how, "well",
              "well|segv|ill|trap|divide|abort|exit|kill|fail|hang|wait|eat|orphan|overflow|late|"
              "topped|flood|daemon",
              "How to end."),
    MF_INT(crash_params, lines, "2", 0, 1000, "",
           "Lines written before, by turns to the log, "
           "stdout and stderr."),
    MF_TEXT(crash_params, once, "", "A file: only who finds none ends so, and makes it."),
    MF_END,
};
static const mf_port no_ports[] = {MF_END};
static const mf_port text_out[] = {MF_PORT("text", "text", "That it went well."), MF_END};

static void write_lines(mf_task *t, int64_t count)
{
    for (int64_t i = 1; i <= count; i++) {
        if (i % 3 == 1)
            mf_log(t, "logged line %d", (int)i);
        else if (i % 3 == 2)
            printf("printed line %d\n", (int)i);
        else
            fprintf(stderr, "line %d of stderr\n", (int)i);
    }
}

static bool spared(const char *once)
{
    int file;

    if (!*once)
        return false;
    file = open(once, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0)
        return true;
    close(file);
    return false;
}

/* Allocates until there is no more, and believes that there always is. */
static void eat(void)
{
    for (;;) {
        char *bytes = malloc((size_t)8 << 20);
        memset(bytes, 1, (size_t)8 << 20); /* dies here */
    }
}

static mf_status wait_forever(mf_task *t)
{
    for (;;) {
        MF_TRY(mf_cancel_point(t));
        usleep(1000);
    }
}

/* Leaves a child behind that would keep its output open. */
static void orphan(void)
{
    if (fork() == 0) {
        pause();
        _exit(0);
    }
    abort();
}

/* Talks as fast as it can. */
static mf_status flood(mf_task *t)
{
    for (int i = 0;; i++) {
        MF_TRY(mf_cancel_point(t));
        mf_log(t, "logged line %d of a flood", i);
        printf("printed line %d of a flood\n", i);
    }
}

/* Leaves a process of a session of its own behind, tells its number, and waits. */
static mf_status leave_daemon(mf_task *t)
{
    pid_t pid = fork();

    if (pid == 0) {
        setsid();
        close(1);
        close(2);
        for (;;)
            pause();
    }
    mf_log(t, "daemon %d", (int)pid);
    return wait_forever(t);
}

/* By an instruction, where this machine has one that does so. */
static void fault(int number)
{
#if defined(__x86_64__)
    if (number == SIGILL)
        __asm__ volatile("ud2");
    else if (number == SIGFPE)
        __asm__ volatile("xorl %%edx, %%edx\n\tdivl %%edx" : : : "eax", "edx", "cc");
    else
        __asm__ volatile("int3");
#else
    raise(number);
#endif
}

/* Uses up the thread's stack. */
__attribute__((noinline)) static int overflow(int depth)
{
    volatile char room[4096];

    room[depth % 4096] = 1;
    return depth < 0 ? 0 : overflow(depth + 1) + room[depth % 4096];
}

/* A handler such as drivers set: it writes, sets back what was there before, and lets it happen
 * again. */
static struct sigaction before_driver;

static void driver(int number)
{
    static const char words[] = "trace of the driver\n";
    ssize_t written = write(STDERR_FILENO, words, sizeof words - 1);

    (void)written;
    sigaction(number, &before_driver, NULL);
}

/* `topped`: until massflow has set its own on top. */
static mf_status set_driver(mf_task *t, bool topped)
{
    struct sigaction action = {.sa_handler = driver}, now = action;

    sigaction(SIGSEGV, &action, &before_driver);
    while (topped && now.sa_handler == driver) {
        MF_TRY(mf_cancel_point(t));
        usleep(1000);
        sigaction(SIGSEGV, NULL, &now);
    }
    return MF_OK;
}

static mf_status end(mf_task *t, const char *how)
{
    static volatile uintptr_t nowhere = 8;

    if (!strcmp(how, "late") || !strcmp(how, "topped")) {
        MF_TRY(set_driver(t, !strcmp(how, "topped")));
        how = "segv";
    }
    if (!strcmp(how, "segv"))
        *(volatile int *)nowhere = 1;
    else if (!strcmp(how, "ill"))
        fault(SIGILL);
    else if (!strcmp(how, "divide"))
        fault(SIGFPE);
    else if (!strcmp(how, "trap"))
        fault(SIGTRAP);
    else if (!strcmp(how, "abort"))
        abort();
    else if (!strcmp(how, "exit"))
        exit(3);
    else if (!strcmp(how, "kill"))
        raise(SIGKILL);
    else if (!strcmp(how, "eat"))
        eat();
    else if (!strcmp(how, "orphan"))
        orphan();
    else if (!strcmp(how, "overflow"))
        overflow(1);
    else if (!strcmp(how, "wait"))
        return wait_forever(t);
    else if (!strcmp(how, "flood"))
        return flood(t);
    else if (!strcmp(how, "daemon"))
        return leave_daemon(t);
    else if (!strcmp(how, "fail"))
        return mf_hint(mf_fail(MF_INVALID, "it went wrong as it should"),
                       "this is not an accident");
    while (!strcmp(how, "hang"))
        pause();
    return MF_OK;
}

static mf_status run(mf_task *t, const void *p, void *session)
{
    const crash_params *o = p;
    mf_artifact *a;
    mf_status status;

    (void)session;
    write_lines(t, o->lines);
    if (!spared(o->once))
        MF_TRY(end(t, o->how));
    MF_TRY(mf_artifact_new("text", &a));
    status = mf_artifact_set_text(a, "text", "well");
    if (status) {
        mf_artifact_unref(a);
        return status;
    }
    return mf_out(t, "text", a);
}

static MF_STAGE(crash, "crash.now", 1, "End in the way that is asked for.", .params = table,
                .params_size = sizeof(crash_params), .in = no_ports, .out = text_out, .run = run);

/* The same after kernels were built and have run, one with divisions by zero: drivers have set
 * handlers of their own by then. */
static const char *const kernels[] = {"__kernel void ones(__global int *x, int n)\n"
                                      "{\n"
                                      "    int i = (int)get_global_id(0);\n"
                                      "    if (i < n)\n"
                                      "        x[i] = 1;\n"
                                      "}\n"
                                      "__kernel void divided(__global int *x, int n)\n"
                                      "{\n"
                                      "    int i = (int)get_global_id(0);\n"
                                      "    if (i < n)\n"
                                      "        x[i] = n / (x[i] - 1);\n"
                                      "}\n",
                                      NULL};

static mf_status launch(mf_task *t, mf_array *ones)
{
    mf_queue *queue;

    MF_TRY(mf_launch(t, "ones", mf_array_count(ones), mf_write(ones)));
    MF_TRY(mf_launch(t, "divided", mf_array_count(ones), mf_write(ones)));
    MF_TRY(mf_task_queue(t, &queue));
    return mf_queue_finish(queue);
}

static mf_status run_on_device(mf_task *t, const void *p, void *session)
{
    const int64_t count = 1000;
    mf_array *ones;
    mf_status status;

    MF_TRY(mf_array_new(MF_I32, 1, &count, &ones));
    status = launch(t, ones);
    if (!status)
        status = run(t, p, session);
    mf_array_unref(ones);
    return status;
}

static MF_STAGE(on_device, "crash.device", 1, "End so after a kernel has run.", .params = table,
                .params_size = sizeof(crash_params), .in = no_ports, .out = text_out,
                .kernels = kernels, .run = run_on_device);

MF_PLUGIN("crash", &crash, &on_device)
