/* pieces.c - what the tokens of a vocabulary stand for (tokenizer_parts.h). */
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* "<0x0A>": the byte, or -1. */
static int byte_token(struct span s)
{
    if (s.n != 6 || memcmp(s.p, "<0x", 3) != 0 || s.p[5] != '>')
        return -1;
    int high = hex(s.p[3]), low = hex(s.p[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* Byte-level spelling to bytes; what spells none stays as it is. */
static void put_bytes(struct span s, struct buf *out)
{
    for (size_t i = 0, taken; i < s.n; i += taken) {
        int byte = byte_level_byte(utf8_decode(s.p + i, s.n - i, &taken));
        if (byte < 0)
            buf_append(out, s.p + i, taken);
        else
            buf_append_char(out, (char)byte);
    }
}

/* SentencePiece's blanks to blanks. */
static void put_blanks(struct span s, struct buf *out)
{
    for (size_t i = 0; i < s.n;) {
        bool blank = s.n - i >= 3 && memcmp(s.p + i, META_SPACE, 3) == 0;
        buf_append_char(out, blank ? ' ' : s.p[i]);
        i += blank ? 3 : 1;
    }
}

static bool ends_with(struct span s, struct span suffix)
{
    return suffix.n > 0 && s.n >= suffix.n && memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0;
}

/* " ." and " n't" become "." and "n't", as BERT's decoder has it. */
static bool hugs_word(struct span s)
{
    static const char *const texts[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (s.n == strlen(texts[i]) && memcmp(s.p, texts[i], s.n) == 0)
            return true;
    return false;
}

static void put_wordpiece(const struct tokenizer *t, struct span s, struct buf *out)
{
    size_t n = t->inner_prefix.n;
    if (n > 0 && s.n >= n && memcmp(s.p, t->inner_prefix.p, n) == 0) {
        buf_append(out, s.p + n, s.n - n);
        return;
    }
    if (!(t->clean_up && hugs_word(s)))
        buf_append_char(out, ' ');
    buf_append(out, s.p, s.n);
}

static void put_piece(const struct tokenizer *t, int32_t id, struct buf *out)
{
    struct span s = vocab_text(&t->vocab, id);
    enum token_kind kind = t->kind[id];
    int byte = t->byte_fallback && kind == TOKEN_BYTE ? byte_token(s) : -1;
    bool bytes = t->spelling == SPELLED_BYTES;
    if (byte >= 0)
        buf_append_char(out, (char)byte);
    else if (kind == TOKEN_CONTROL || kind == TOKEN_UNKNOWN || kind == TOKEN_VISIBLE ||
             (bytes && kind == TOKEN_USER))
        buf_append(out, s.p, s.n);
    else if (bytes)
        put_bytes(s, out);
    else if (t->spelling == SPELLED_WORDPIECE)
        put_wordpiece(t, s, out);
    else if (t->spelling == SPELLED_SUFFIX && ends_with(s, t->char_suffix))
        buf_printf(out, "%.*s ", (int)(s.n - t->char_suffix.n), s.p);
    else
        put_blanks(s, out);
}

/* The tokens of single bytes. */
static void find_bytes(struct tokenizer *t)
{
    for (int i = 0; i < 256; i++)
        t->byte_id[i] = -1;
    for (size_t i = t->vocab.n; i-- > 0;) {
        struct span s = t->bytes ? vocab_text(&t->pieces, (int32_t)i)
                                 : vocab_text(&t->vocab, (int32_t)i);
        int byte = t->bytes && s.n == 1 ? (unsigned char)s.p[0] : t->bytes ? -1 : byte_token(s);
        if (byte >= 0 && (t->kind[i] == TOKEN_NORMAL || t->kind[i] == TOKEN_BYTE))
            t->byte_id[byte] = (int32_t)i;
    }
}

int tokenizer_make_pieces(struct tokenizer *t, struct err *e)
{
    struct buf text;
    size_t n = t->vocab.n;
    struct span *pieces = mem_try_array(n + 1, sizeof(*pieces), "the tokens", e);
    if (!pieces)
        return ERR_NOMEM;
    buf_init(&text, VOCAB_MAX_TEXT);
    for (size_t i = 0; i < n; i++) {
        size_t before = text.len;
        put_piece(t, (int32_t)i, &text);
        pieces[i].n = text.len - before;
    }
    const char *p = buf_str(&text);
    for (size_t i = 0; i < n; p += pieces[i++].n)
        pieces[i].p = p;
    int rc = buf_failed(&text) ? err_set(e, ERR_NOMEM, "not enough memory for the tokens") : 0;
    if (!rc)
        rc = vocab_init(&t->pieces, pieces, n, e);
    free(pieces);
    buf_release(&text);
    if (!rc)
        find_bytes(t);
    return rc;
}

/* Does any token have a blank behind something else? If none has, merging never crosses the
 * beginning of a word, and words can be merged one by one, which is faster. */
static bool blanks_begin_tokens(const struct vocab *v)
{
    for (size_t i = 0; i < v->n; i++) {
        struct span s = vocab_text(v, (int32_t)i);
        while (s.n >= 3 && memcmp(s.p, META_SPACE, 3) == 0) {
            s.p += 3;
            s.n -= 3;
        }
        if (memmem(s.p, s.n, META_SPACE, 3))
            return false;
    }
    return true;
}

int tokenizer_split_at_blanks(struct tokenizer *t, struct err *e)
{
    const struct steps *s = &t->splitter;
    bool split = s->n > 0 && s->list[s->n - 1].kind == STEP_META_SPACE && s->list[s->n - 1].regex;
    if (t->model == MODEL_WORDPIECE || t->char_prefix.n || t->char_suffix.n || split ||
        s->n == TOKENIZER_MAX_STEPS || vocab_find(&t->vocab, META_SPACE, 3) < 0 ||
        !blanks_begin_tokens(&t->vocab))
        return 0;
    return steps_add_split(&t->splitter, META_SPACE "*[^" META_SPACE "]+|" META_SPACE "+", e);
}
