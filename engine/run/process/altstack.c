/* altstack.c - see altstack.h. */
#include "run/process/altstack.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>

#define BYTES ((size_t)128 << 10) /* handlers of drivers print traces */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int has_key;

static void give_back(void *stack)
{
    stack_t none = {.ss_flags = SS_DISABLE}, now;

    if (sigaltstack(NULL, &now) == 0 && now.ss_sp == stack)
        sigaltstack(&none, NULL);
    munmap(stack, BYTES);
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, give_back) == 0;
}

void mf_altstack_set(void)
{
    stack_t stack = {.ss_size = BYTES}, now;

    pthread_once(&once, make_key);
    if (!has_key || sigaltstack(NULL, &now) != 0 || !(now.ss_flags & SS_DISABLE))
        return;
    stack.ss_sp = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED)
        return;
    if (pthread_setspecific(key, stack.ss_sp) != 0 || sigaltstack(&stack, NULL) != 0) {
        pthread_setspecific(key, NULL);
        munmap(stack.ss_sp, BYTES);
    }
}
