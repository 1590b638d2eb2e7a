/* libuv: a server of one page, a handle for each connection. */

#include <stdlib.h>
#include <uv.h>

enum { ROOM = 16384, TOGETHER = 64 };

struct page {
    void *given;
    /* A connection's own, and the end of it. */
    void *(*open)(void *given);
    void (*close)(void *own);
    /* Takes what came. So many answers are owed for it, or fewer than none if it was no request. */
    long (*hear)(void *given, void *own, const char *bytes, size_t length);
    const char *answer;
    size_t length;
};

struct server {
    uv_tcp_t listener;
    struct page page;
    /* What is read is used up before anything else is read. */
    char room[ROOM];
};

struct connection {
    uv_tcp_t stream;
    struct server *server;
    void *own;
};

struct rest {
    uv_write_t write;
    uv_buf_t bufs[];
};

static void on_close(uv_handle_t *handle)
{
    struct connection *connection = (struct connection *)handle;
    connection->server->page.close(connection->own);
    free(connection);
}

static void end(struct connection *connection)
{
    if (!uv_is_closing((uv_handle_t *)&connection->stream))
        uv_close((uv_handle_t *)&connection->stream, on_close);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    (void)suggested;
    *buf = uv_buf_init(((struct connection *)handle)->server->room, ROOM);
}

static void on_written(uv_write_t *write, int status)
{
    struct connection *connection = (struct connection *)write->handle;
    free(write);
    if (status)
        end(connection);
}

/* So many answers: tried at once, and what there is no room for when there is. */
static int say(struct connection *connection, long answers)
{
    struct page *page = &connection->server->page;
    uv_stream_t *stream = (uv_stream_t *)&connection->stream;
    while (answers > 0) {
        uv_buf_t bufs[TOGETHER];
        long count = answers < TOGETHER ? answers : TOGETHER, whole;
        int sent;
        for (long at = 0; at < count; at++)
            bufs[at] = uv_buf_init((char *)page->answer, (unsigned)page->length);
        sent = uv_try_write(stream, bufs, (unsigned)count);
        if (sent == UV_EAGAIN)
            sent = 0;
        if (sent < 0)
            return 0;
        whole = (long)((size_t)sent / page->length);
        answers -= whole;
        if (whole < count) {
            size_t begun = (size_t)sent % page->length;
            struct rest *rest = malloc(sizeof *rest + (size_t)answers * sizeof rest->bufs[0]);
            if (!rest)
                return 0;
            for (long at = 0; at < answers; at++)
                rest->bufs[at] = uv_buf_init((char *)page->answer, (unsigned)page->length);
            rest->bufs[0].base += begun;
            rest->bufs[0].len -= begun;
            if (uv_write(&rest->write, stream, rest->bufs, (unsigned)answers, on_written)) {
                free(rest);
                return 0;
            }
            return 1;
        }
    }
    return 1;
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *buf)
{
    struct connection *connection = (struct connection *)stream;
    struct page *page = &connection->server->page;
    long answers;
    if (count == 0)
        return;
    if (count < 0) {
        end(connection);
        return;
    }
    answers = page->hear(page->given, connection->own, buf->base, (size_t)count);
    if (answers < 0 || !say(connection, answers))
        end(connection);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct server *server = (struct server *)listener;
    struct connection *connection;
    if (status || !(connection = calloc(1, sizeof *connection)))
        return;
    connection->server = server;
    connection->own = server->page.open(server->page.given);
    if (uv_tcp_init(listener->loop, &connection->stream)) {
        server->page.close(connection->own);
        free(connection);
        return;
    }
    if (uv_accept(listener, (uv_stream_t *)&connection->stream) ||
        uv_tcp_nodelay(&connection->stream, 1) ||
        uv_read_start((uv_stream_t *)&connection->stream, on_room, on_read))
        end(connection);
}

/* Serves on a listening socket, which becomes libuv's, until the process ends. */
int libuv_http(int fd, const struct page *page)
{
    static struct server server;
    uv_loop_t *loop = uv_default_loop();
    server.page = *page;
    if (!loop || uv_tcp_init(loop, &server.listener) || uv_tcp_open(&server.listener, fd) ||
        uv_listen((uv_stream_t *)&server.listener, 1024, on_connection))
        return 1;
    return uv_run(loop, UV_RUN_DEFAULT);
}
