/* libuv: a poll handle for each descriptor. */

#include <stdlib.h>
#include <uv.h>

#include "dispatch.h"

struct loop;

struct watch {
    uv_poll_t poll;
    struct loop *loop;
};

struct loop {
    struct dispatch given;
    uv_loop_t base;
    /* So many handles are to be closed. */
    size_t open;
    struct watch watches[];
};

static void on_readable(uv_poll_t *poll, int status, int what)
{
    struct watch *watch = (struct watch *)poll;
    struct loop *loop = watch->loop;
    (void)status;
    (void)what;
    if (loop->given.ready(loop->given.relay, (size_t)(watch - loop->watches)))
        uv_stop(&loop->base);
}

void libuv_close(struct loop *loop)
{
    for (size_t at = 0; at < loop->open; at++)
        uv_close((uv_handle_t *)&loop->watches[at].poll, NULL);
    uv_run(&loop->base, UV_RUN_DEFAULT);
    uv_loop_close(&loop->base);
    free(loop);
}

struct loop *libuv_open(const struct dispatch *given)
{
    struct loop *loop = calloc(1, sizeof *loop + given->pairs * sizeof loop->watches[0]);
    if (!loop)
        return NULL;
    loop->given = *given;
    if (uv_loop_init(&loop->base)) {
        free(loop);
        return NULL;
    }
    for (size_t at = 0; at < given->pairs; at++) {
        struct watch *watch = &loop->watches[at];
        watch->loop = loop;
        if (uv_poll_init(&loop->base, &watch->poll, given->readers[at]))
            break;
        loop->open++;
        if (uv_poll_start(&watch->poll, UV_READABLE, on_readable))
            break;
        if (at + 1 == given->pairs)
            return loop;
    }
    libuv_close(loop);
    return NULL;
}

int libuv_lap(struct loop *loop)
{
    uv_run(&loop->base, UV_RUN_DEFAULT);
    return 0;
}
