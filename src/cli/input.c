/* input.c - see input.h. */
#include "cli/input.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "cli/interrupt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int read_standard(struct buf *b, const char *what, struct err *e)
{
    char chunk[16384];
    ssize_t n;
    while ((n = read(STDIN_FILENO, chunk, sizeof(chunk))) != 0) {
        if (n < 0 && atomic_load(interrupt_flag()))
            return err_set(e, ERR_CANCELLED, "cancelled");
        if (n < 0 && errno != EINTR)
            return err_set(e, ERR_IO, "standard input: reading %s failed: %s", what,
                           strerror(errno));
        if (n > 0)
            buf_append(b, chunk, (size_t)n);
    }
    return 0;
}

int input_read(const char *path, struct buf *b, const char *what, struct err *e)
{
    char *data = NULL;
    size_t n = 0;
    int rc;
    if (strcmp(path, "-") == 0) {
        rc = read_standard(b, what, e);
    } else {
        rc = file_read(path, b->max, &data, &n, e);
        if (!rc)
            buf_append(b, data, n);
        free(data);
    }
    if (!rc && buf_failed(b))
        rc = err_set(e, ERR_ARG, "%s is longer than %zu MiB; shorten it", what, b->max >> 20);
    return rc;
}

void input_trim(struct buf *b)
{
    while (b->len > 0 && (b->data[b->len - 1] == '\n' || b->data[b->len - 1] == '\r'))
        b->data[--b->len] = '\0';
}
