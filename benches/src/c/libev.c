/* libev: a watcher for each descriptor. */

#include <ev.h>
#include <stdlib.h>

#include "dispatch.h"

struct loop;

struct watch {
    ev_io io;
    struct loop *loop;
};

struct loop {
    struct dispatch given;
    struct ev_loop *base;
    struct watch watches[];
};

static void on_readable(struct ev_loop *base, ev_io *io, int what)
{
    struct watch *watch = (struct watch *)io;
    struct loop *loop = watch->loop;
    (void)what;
    if (loop->given.ready(loop->given.relay, (size_t)(watch - loop->watches)))
        ev_break(base, EVBREAK_ALL);
}

void libev_close(struct loop *loop)
{
    for (size_t at = 0; at < loop->given.pairs; at++)
        if (loop->watches[at].loop)
            ev_io_stop(loop->base, &loop->watches[at].io);
    if (loop->base)
        ev_loop_destroy(loop->base);
    free(loop);
}

struct loop *libev_open(const struct dispatch *given)
{
    struct loop *loop = calloc(1, sizeof *loop + given->pairs * sizeof loop->watches[0]);
    if (!loop)
        return NULL;
    loop->given = *given;
    loop->base = ev_loop_new(EVFLAG_AUTO);
    if (!loop->base) {
        free(loop);
        return NULL;
    }
    for (size_t at = 0; at < given->pairs; at++) {
        struct watch *watch = &loop->watches[at];
        watch->loop = loop;
        ev_io_init(&watch->io, on_readable, given->readers[at], EV_READ);
        ev_io_start(loop->base, &watch->io);
    }
    return loop;
}

int libev_lap(struct loop *loop)
{
    ev_run(loop->base, 0);
    return 0;
}
