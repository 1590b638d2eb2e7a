/* libuv: a pipe handle that reads, and writes that are tried at once. */

#include <stddef.h>
#include <string.h>
#include <uv.h>

enum { ROOM = 256 };

struct side {
    uv_pipe_t pipe;
    void *exchange;
    /* Takes what came and puts what is to be sent into `out`. Its length, 0 for none, less when it is over. */
    int (*received)(void *exchange, const char *bytes, size_t length, char *out);
    int failed;
    char room[ROOM];
};

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct side *side = (struct side *)handle;
    (void)suggested;
    *buf = uv_buf_init(side->room, ROOM);
}

static void end(struct side *side, int failed)
{
    side->failed = failed;
    uv_close((uv_handle_t *)&side->pipe, NULL);
}

static int say(struct side *side, char *bytes, int length)
{
    uv_buf_t buf = uv_buf_init(bytes, (unsigned)length);
    return uv_try_write((uv_stream_t *)&side->pipe, &buf, 1) == length;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct side *side = (struct side *)stream;
    char out[ROOM];
    int over = 0, length;
    if (count <= 0) {
        if (count < 0)
            end(side, 1);
        return;
    }
    length = side->received(side->exchange, buf->base, (size_t)count, out);
    if (length < 0) {
        over = 1;
        length = -length - 1;
    }
    if (length > 0 && !say(side, out, length))
        end(side, 1);
    else if (over)
        end(side, 0);
}

/* One side, on a socket that becomes libuv's. Not zero if it went wrong. */
int libuv_exchange(int fd, void *exchange, char *opening, int length,
                   int (*received)(void *, const char *, size_t, char *))
{
    uv_loop_t loop;
    struct side side;
    memset(&side, 0, sizeof side);
    side.exchange = exchange;
    side.received = received;
    if (uv_loop_init(&loop))
        return 1;
    if (uv_pipe_init(&loop, &side.pipe, 0) || uv_pipe_open(&side.pipe, fd) ||
        (length > 0 && !say(&side, opening, length)) ||
        uv_read_start((uv_stream_t *)&side.pipe, on_room, on_read))
        return 1;
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return side.failed;
}
