/* tokenizer_fuzz.c - any text with a byte-level vocabulary: its tokens put together are the text,
 * to the byte, and a stream of them gives whole characters only. */
#include "base/buf.h"
#include "base/err.h"
#include "base/utf8.h"
#include "text/detokenizer.h"
#include "text/tokenizer_parts.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char merges[] = "\"t h\",\"th e\",\"\xc4\xa0 the\",\"\xc4\xa0 \xc4\xa0\",\"\xc3\xa3 "
                             "\xc4\xa3\",\"a a\",\"aa aa\",\"1 2\"";
static const char results[] = "\"th\":256,\"the\":257,\"\xc4\xa0the\":258,\"\xc4\xa0\xc4\xa0\":259,"
                              "\"\xc3\xa3\xc4\xa3\":260,\"aa\":261,\"aaaa\":262,\"12\":263";

/* The 256 bytes and a few merges, cut by GPT-2's pattern. */
static struct tokenizer *make(void)
{
    struct tokenizer *t;
    struct buf json;
    struct err e = {0};
    buf_init(&json, 1 << 20);
    buf_append_str(&json, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                          "\"decoder\":{\"type\":\"ByteLevel\"},\"added_tokens\":[{\"id\":264,"
                          "\"content\":\"<s>\",\"special\":true}],\"model\":{\"vocab\":{");
    for (int byte = 0; byte < 256; byte++) {
        char spelled[5] = "";
        utf8_encode(byte_level_spelling((unsigned char)byte), spelled);
        buf_printf(&json, "\"%s%s\":%d,", byte == '"' || byte == '\\' ? "\\" : "", spelled, byte);
    }
    buf_printf(&json, "%s},\"merges\":[%s]}}", results, merges);
    if (tokenizer_from_json(&t, (struct span){buf_str(&json), json.len}, (struct span){"", 0}, &e))
        abort();
    buf_release(&json);
    return t;
}

static void check_stream(const struct tokenizer *t, const struct tokens *ids, struct span text)
{
    struct detokenizer d;
    struct buf out, want;
    buf_init(&out, SIZE_MAX / 2);
    buf_init(&want, SIZE_MAX / 2);
    unicode_repair(text, &want);
    detokenizer_init(&d, t, true);
    for (size_t i = 0; i < ids->n; i++) {
        size_t before = out.len;
        detokenizer_push(&d, ids->ids[i], &out);
        if (!unicode_is_valid((struct span){buf_str(&out) + before, out.len - before}))
            abort();
    }
    detokenizer_flush(&d, &out);
    if (out.len != want.len || memcmp(buf_str(&out), buf_str(&want), out.len) != 0)
        abort();
    buf_release(&out);
    buf_release(&want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct tokenizer *t;
    struct span text = {(const char *)data, size};
    struct tokens ids = {0};
    struct err e = {0};
    size_t at = 0;
    if (!t)
        t = make();
    if (tokenizer_encode(t, text, 0, &ids, &e))
        abort();
    for (size_t i = 0; i < ids.n; i++) {
        struct span piece = tokenizer_piece(t, ids.ids[i]);
        if (piece.n > size - at || memcmp(piece.p, data + at, piece.n) != 0)
            abort();
        at += piece.n;
    }
    if (at != size)
        abort();
    check_stream(t, &ids, text);
    tokens_release(&ids);
    return 0;
}
