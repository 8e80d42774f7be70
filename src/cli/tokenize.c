/* tokenize.c - the command `lar tokenize`: standard input as the ids of a model's tokens. */
#include "cli/commands.h"

#include "base/buf.h"
#include "base/err.h"
#include "cli/message.h"
#include "engine/store.h"
#include "text/tokenizer.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OUT SIZE_MAX / 2

static int read_input(struct buf *text, struct err *e)
{
    char block[65536];
    size_t n;
    while ((n = fread(block, 1, sizeof(block), stdin)) > 0)
        buf_append(text, block, n);
    if (ferror(stdin))
        return err_set(e, ERR_IO, "reading standard input: %s", strerror(errno));
    if (buf_failed(text))
        return err_set(e, ERR_ARG, "standard input has more than the %zu bytes supported",
                       TOKENIZER_TEXT_MAX);
    return 0;
}

static void put_ids(const struct tokens *ids, struct buf *out)
{
    for (size_t i = 0; i < ids->n; i++)
        buf_printf(out, i ? " %d" : "%d", ids->ids[i]);
    buf_append_char(out, '\n');
}

/* A piece in quotes; what is no printable ASCII or whole character is escaped as in C. */
static void put_quoted(struct span piece, struct buf *out)
{
    json_t *text = json_stringn(piece.p, piece.n);
    buf_append_char(out, '"');
    for (size_t i = 0; i < piece.n; i++) {
        unsigned char c = (unsigned char)piece.p[i];
        if (c == '\n')
            buf_append_str(out, "\\n");
        else if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !text))
            buf_printf(out, "\\x%02x", c);
        else
            buf_append_char(out, (char)c);
    }
    buf_append_char(out, '"');
    json_decref(text);
}

static void put_lines(const struct tokenizer *t, const struct tokens *ids, struct buf *out)
{
    for (size_t i = 0; i < ids->n; i++) {
        buf_printf(out, "%6d  ", ids->ids[i]);
        put_quoted(tokenizer_piece(t, ids->ids[i]), out);
        buf_append_char(out, '\n');
    }
}

static int tokenize(const struct tokenizer *t, const struct options *o, struct err *e)
{
    struct buf text, out;
    struct tokens ids = {0};
    unsigned flags = o->value[OPTION_NO_BOS].given ? 0 : TOKENIZE_ENDS;
    flags |= o->value[OPTION_NO_SPECIAL].given ? 0 : TOKENIZE_SPECIAL;
    buf_init(&text, TOKENIZER_TEXT_MAX);
    buf_init(&out, MAX_OUT);
    int rc = read_input(&text, e);
    if (!rc)
        rc = tokenizer_encode(t, (struct span){buf_str(&text), text.len}, flags, &ids, e);
    if (!rc && o->value[OPTION_IDS].given)
        put_ids(&ids, &out);
    else if (!rc)
        put_lines(t, &ids, &out);
    if (!rc)
        rc = buf_failed(&out) ? err_set(e, ERR_NOMEM, "not enough memory for the output")
                              : message_out(buf_str(&out), out.len, e);
    tokens_release(&ids);
    buf_release(&text);
    buf_release(&out);
    return rc;
}

int command_tokenize(const struct options *o, struct err *e)
{
    const char *model = o->value[OPTION_MODEL].text;
    char *path = NULL;
    struct tokenizer *t = NULL;
    if (!model || !*model)
        return err_set(e, ERR_ARG,
                       "no model: name a GGUF file, a folder or a tokenizer.json with "
                       "-m");
    int rc = store_weights(model, &path, e);
    if (!rc)
        rc = tokenizer_open(&t, path, e);
    if (!rc)
        rc = tokenize(t, o, e);
    tokenizer_free(t);
    free(path);
    return rc;
}
