/* broken_decoder.c - stands for massflow-decode in the test of what happens when that fails: the
 * number of columns says how. */
#include "decode/frame.h"
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void reply(uint32_t mark, uint32_t failed, uint64_t size, const char *bytes)
{
    const decode_reply r = {mark, failed, size};
    if (send(0, &r, sizeof r, 0) != (ssize_t)sizeof r ||
        send(0, bytes, strlen(bytes), 0) != (ssize_t)strlen(bytes))
        _exit(1);
}

int main(void)
{
    decode_request r;
    char stream[5] = "";
    while (recv(0, &r, sizeof r, MSG_WAITALL) == sizeof r && recv(0, stream, 4, MSG_WAITALL) == 4) {
        if (r.columns > 100) {
            signal((int)r.columns - 100, SIG_DFL); /* a sanitizer may have a handler */
            raise((int)r.columns - 100);
        }
        if (r.columns == 1) /* the first bytes of the stream are the pixels */
            reply(DECODE_MARK, 0, 2, "12");
        if (r.columns == 2)
            return 3;
        if (r.columns == 3) /* of another size */
            reply(DECODE_MARK, 0, 77, "12");
        if (r.columns == 4)
            reply(1, 0, 8, "12345678");
        if (r.columns == 5) /* words that would colour a terminal */
            reply(DECODE_MARK, 1, 8, "\x1b[1mred\x07");
        if (r.columns == 6) { /* in the middle of the pixels */
            reply(DECODE_MARK, 0, 12, "12");
            return 4;
        }
        if (r.columns == 7)
            pause();
    }
    return 0;
}
