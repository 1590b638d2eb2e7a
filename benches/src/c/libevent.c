/* libevent: a persistent event for each descriptor, level-triggered, as its own benchmark has it. */

#include <event2/event.h>
#include <stdlib.h>

#include "dispatch.h"

struct loop;

struct watch {
    struct event *event;
    struct loop *loop;
};

struct loop {
    struct dispatch given;
    struct event_base *base;
    struct watch watches[];
};

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
    struct watch *watch = argument;
    struct loop *loop = watch->loop;
    (void)fd;
    (void)what;
    if (loop->given.ready(loop->given.relay, (size_t)(watch - loop->watches)))
        event_base_loopbreak(loop->base);
}

void libevent_close(struct loop *loop)
{
    for (size_t at = 0; at < loop->given.pairs; at++)
        if (loop->watches[at].event)
            event_free(loop->watches[at].event);
    if (loop->base)
        event_base_free(loop->base);
    free(loop);
}

struct loop *libevent_open(const struct dispatch *given)
{
    struct loop *loop = calloc(1, sizeof *loop + given->pairs * sizeof loop->watches[0]);
    if (!loop)
        return NULL;
    loop->given = *given;
    loop->base = event_base_new();
    for (size_t at = 0; loop->base && at < given->pairs; at++) {
        struct watch *watch = &loop->watches[at];
        short what = EV_READ | EV_PERSIST;
        watch->loop = loop;
        watch->event = event_new(loop->base, given->readers[at], what, on_readable, watch);
        if (!watch->event || event_add(watch->event, NULL))
            break;
        if (at + 1 == given->pairs)
            return loop;
    }
    libevent_close(loop);
    return NULL;
}

int libevent_lap(struct loop *loop)
{
    return event_base_dispatch(loop->base);
}
