/* steps.c - the normalizer and the splitter of a tokenizer (tokenizer_parts.h). */
#include "base/buf.h"
#include "base/err.h"
#include "base/utf8.h"
#include "text/pretokenizers.h"
#include "text/regex.h"
#include "text/tokenizer_parts.h"

#include <string.h>

void steps_release(struct steps *s)
{
    for (size_t i = 0; i < s->n; i++)
        regex_free(s->list[i].regex);
    *s = (struct steps){0};
}

int steps_add_split(struct steps *s, const char *pattern, struct err *e)
{
    struct step *step = &s->list[s->n];
    *step = (struct step){.kind = STEP_SPLIT, .behavior = SPLIT_ISOLATED};
    int rc = regex_new(&step->regex, (struct span){pattern, strlen(pattern)}, false, e);
    s->n += !rc;
    return rc;
}

int steps_add_pretokenizer(struct steps *s, const struct pretokenizer *pre, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < PRETOKENIZER_MAX_PATTERNS && pre->patterns[i] && !rc; i++)
        rc = steps_add_split(s, pre->patterns[i], e);
    return rc;
}

void steps_add_bert_normalizer(struct steps *s, bool clean, bool chinese, bool accents,
                               bool lowercase)
{
    if (clean)
        s->list[s->n++] = (struct step){.kind = STEP_BERT_CLEAN};
    if (chinese)
        s->list[s->n++] = (struct step){.kind = STEP_BERT_CHINESE};
    if (accents) {
        s->list[s->n++] = (struct step){.kind = STEP_NORMAL_FORM, .form = UNICODE_NFD};
        s->list[s->n++] = (struct step){.kind = STEP_BERT_ACCENTS};
    }
    if (lowercase)
        s->list[s->n++] = (struct step){.kind = STEP_LOWERCASE};
}

int steps_add_bert_splitter(struct steps *s, struct err *e)
{
    int rc = steps_add_split(s, "\\s", e);
    if (rc)
        return rc;
    s->list[s->n - 1].behavior = SPLIT_REMOVED;
    return steps_add_split(s, STEPS_PUNCTUATION, e);
}

static bool starts_with(struct span text, struct span with)
{
    return text.n >= with.n && memcmp(text.p, with.p, with.n) == 0;
}

/* Replaces every blank. */
static void replace_blanks(struct span text, struct span by, struct buf *out)
{
    for (const char *p = text.p, *end = text.p + text.n, *blank; p < end; p = blank + 1) {
        blank = memchr(p, ' ', (size_t)(end - p));
        buf_append(out, p, (size_t)((blank ? blank : end) - p));
        if (!blank)
            break;
        buf_append(out, by.p, by.n);
    }
}

/* Bytes of the character at text.p[at]; a stray byte counts as one. */
static size_t step_over(struct span text, size_t at)
{
    size_t n = 1;
    while (at + n < text.n && ((unsigned char)text.p[at + n] & 0xc0) == 0x80)
        n++;
    return n;
}

/* The next match from *from on that is not the empty end of the last one; 1, 0 or ERR_*. */
static int next_match(struct encoder *c, const struct step *s, struct span text, size_t *from,
                      size_t last, struct regex_match *m)
{
    while (*from <= text.n) {
        int rc = regex_find(s->regex, &c->regex, text, *from, m, c->e);
        if (rc != 1)
            return rc;
        *from = m->end;
        if (m->end > m->begin)
            return 1;
        *from += m->end < text.n ? step_over(text, m->end) : 1;
        if (m->begin != last)
            return 1;
    }
    return 0;
}

static int replace(struct encoder *c, const struct step *s, struct span text, struct buf *out)
{
    struct regex_match m;
    size_t from = 0, last = 0;
    int rc;
    if (!s->regex) {
        replace_blanks(text, s->text, out);
        return 0;
    }
    while ((rc = next_match(c, s, text, &from, SIZE_MAX, &m)) == 1) {
        buf_append(out, text.p + last, m.begin - last);
        buf_append(out, s->text.p, s->text.n);
        last = m.end;
    }
    buf_append(out, text.p + last, text.n - last);
    return rc;
}

/* The characters of the text that a function keeps, or what it makes of them. */
static void filter(struct span text, struct buf *out,
                   void (*put)(uint32_t, struct span, struct buf *))
{
    for (size_t i = 0, taken; i < text.n; i += taken) {
        uint32_t cp = utf8_decode(text.p + i, text.n - i, &taken);
        put(cp, (struct span){text.p + i, taken}, out);
    }
}

static void put_unmarked(uint32_t cp, struct span s, struct buf *out)
{
    if (!unicode_is_mark(cp))
        buf_append(out, s.p, s.n);
}

static void put_unaccented(uint32_t cp, struct span s, struct buf *out)
{
    if (!unicode_is_nonspacing_mark(cp))
        buf_append(out, s.p, s.n);
}

static void put_clean(uint32_t cp, struct span s, struct buf *out)
{
    bool blank = unicode_is_space(cp) && cp != 0x0b && cp != 0x0c && cp != 0x85;
    if (blank)
        buf_append_char(out, ' ');
    else if (cp != UTF8_REPLACEMENT && !unicode_is_other(cp))
        buf_append(out, s.p, s.n);
}

static void put_spaced_chinese(uint32_t cp, struct span s, struct buf *out)
{
    bool chinese = unicode_is_chinese(cp);
    if (chinese)
        buf_append_char(out, ' ');
    buf_append(out, s.p, s.n);
    if (chinese)
        buf_append_char(out, ' ');
}

/* https://github.com/google/sentencepiece/blob/master/src/builder.cc, BuildNmtNFKCMap(). */
static void put_nmt(uint32_t cp, struct span s, struct buf *out)
{
    bool gone = (cp >= 1 && cp <= 8) || cp == 0x0b || (cp >= 0x0e && cp <= 0x1f) || cp == 0x7f ||
                cp == 0x8f || cp == 0x9f;
    bool blank = cp == 9 || cp == 0x0a || cp == 0x0c || cp == 0x0d || cp == 0x1680 ||
                 (cp >= 0x200b && cp <= 0x200f) || cp == 0x2028 || cp == 0x2029 || cp == 0x2581 ||
                 cp == 0xfeff || cp == UTF8_REPLACEMENT;
    if (blank)
        buf_append_char(out, ' ');
    else if (!gone)
        buf_append(out, s.p, s.n);
}

static void put_spelled_bytes(struct span text, struct buf *out)
{
    for (size_t i = 0; i < text.n; i++) {
        char spelled[4];
        uint32_t cp = byte_level_spelling((unsigned char)text.p[i]);
        buf_append(out, spelled, utf8_encode(cp, spelled));
    }
}

static void strip(const struct step *s, struct span text, struct buf *out)
{
    size_t begin = text.n, end = 0;
    for (size_t i = 0, taken; i < text.n; i += taken) {
        uint32_t cp = utf8_decode(text.p + i, text.n - i, &taken);
        bool blank = s->only_blanks ? cp == ' ' : unicode_is_space(cp);
        if (!blank && begin == text.n)
            begin = i;
        if (!blank && !(s->only_blanks && cp == 0x2581)) /* SentencePiece sees blanks as U+2581 */
            end = i + taken;
    }
    begin = s->left ? begin : 0;
    end = s->right ? end : text.n;
    if (end > begin)
        buf_append(out, text.p + begin, end - begin);
}

static int normalize_step(struct encoder *c, const struct step *s, struct span text,
                          struct buf *out)
{
    switch (s->kind) {
    case STEP_NORMAL_FORM:
        unicode_normalize(text, s->form, out);
        return 0;
    case STEP_LOWERCASE:
        unicode_lowercase(text, out);
        return 0;
    case STEP_STRIP:
        strip(s, text, out);
        return 0;
    case STEP_STRIP_ACCENTS:
        filter(text, out, put_unmarked);
        return 0;
    case STEP_BERT_ACCENTS:
        filter(text, out, put_unaccented);
        return 0;
    case STEP_BERT_CLEAN:
        filter(text, out, put_clean);
        return 0;
    case STEP_BERT_CHINESE:
        filter(text, out, put_spaced_chinese);
        return 0;
    case STEP_NMT:
        filter(text, out, put_nmt);
        return 0;
    case STEP_SPELL_BYTES:
        put_spelled_bytes(text, out);
        return 0;
    case STEP_CHARSMAP:
        if (s->by_grapheme)
            charsmap_apply_graphemes(&s->charsmap, text, out);
        else
            charsmap_apply(&s->charsmap, text, out);
        return 0;
    case STEP_REPLACE:
        return replace(c, s, text, out);
    case STEP_PREPEND:
        if (text.n > 0)
            buf_append(out, s->text.p, s->text.n);
        buf_append(out, text.p, text.n);
        return 0;
    default:
        return err_set(c->e, ERR_INTERNAL, "step %d is no normalizer", s->kind);
    }
}

static int check_text(struct encoder *c, const struct buf *b)
{
    return buf_failed(b) ? err_set(c->e, ERR_NOMEM, "not enough memory to normalize a text") : 0;
}

/* Does the step cut white space off the beginning? */
static bool cuts_beginning(const struct step *s, struct span text)
{
    size_t taken;
    return s->kind == STEP_STRIP && s->left && text.n > 0 &&
           unicode_is_space(utf8_decode(text.p, text.n, &taken));
}

int steps_normalize(struct encoder *c, struct span text, bool *first, struct span *out)
{
    *out = text;
    for (size_t i = 0; i < c->t->normalizer.n; i++) {
        *first = *first && !cuts_beginning(&c->t->normalizer.list[i], *out);
        struct buf *b = &c->texts[i % 2];
        buf_reset(b);
        int rc = normalize_step(c, &c->t->normalizer.list[i], *out, b);
        if (!rc)
            rc = check_text(c, b);
        if (rc)
            return rc;
        *out = (struct span){buf_str(b), b->len};
    }
    return 0;
}

static int split_step(struct encoder *c, size_t i, struct span text, bool first);

/* The pieces of STEP_SPLIT; the last one may still grow. */
struct cutting {
    struct encoder *c;
    size_t step;
    struct span text;
    bool first;
    enum split_behavior behavior;
    bool open, open_is_match;
    size_t begin, end; /* of the open piece */
};

static int close_piece(struct cutting *k)
{
    bool wanted = k->open && k->end > k->begin &&
                  !(k->behavior == SPLIT_REMOVED && k->open_is_match);
    k->open = false;
    if (!wanted)
        return 0;
    return split_step(k->c, k->step + 1, (struct span){k->text.p + k->begin, k->end - k->begin},
                      k->first && k->begin == 0);
}

static int add_piece(struct cutting *k, size_t begin, size_t end, bool is_match)
{
    bool joins = false;
    if (k->behavior == SPLIT_WITH_PREVIOUS)
        joins = is_match && !k->open_is_match;
    else if (k->behavior == SPLIT_WITH_NEXT)
        joins = !is_match && k->open_is_match;
    else if (k->behavior == SPLIT_CONTIGUOUS)
        joins = is_match == k->open_is_match;
    int rc = 0;
    if (k->open && joins) {
        k->end = end;
    } else {
        rc = close_piece(k);
        k->open = true;
        k->begin = begin;
        k->end = end;
    }
    k->open_is_match = is_match;
    return rc;
}

static int split(struct encoder *c, size_t i, struct span text, bool first)
{
    const struct step *s = &c->t->splitter.list[i];
    struct cutting k = {c, i, text, first, s->behavior, false, false, 0, 0};
    struct regex_match m;
    size_t from = 0, last = 0;
    int found, rc = 0;
    while ((found = next_match(c, s, text, &from, last, &m)) == 1 && !rc) {
        if (m.begin > last)
            rc = add_piece(&k, last, m.begin, s->invert);
        if (!rc)
            rc = add_piece(&k, m.begin, m.end, !s->invert);
        last = m.end;
    }
    if (!rc)
        rc = found;
    if (!rc && last < text.n)
        rc = add_piece(&k, last, text.n, s->invert);
    return rc ? rc : close_piece(&k);
}

/* Blanks become `text`, one goes before the text if it should; each begins a piece where the step
 * has a pattern. */
static int meta_space(struct encoder *c, size_t i, struct span text, bool first)
{
    const struct step *s = &c->t->splitter.list[i];
    struct buf *b = &c->texts[TEXT_OF_STEPS + i];
    buf_reset(b);
    replace_blanks(text, s->text, b);
    bool wanted = s->prepend == PREPEND_ALWAYS || (s->prepend == PREPEND_FIRST && first);
    if (wanted && !starts_with((struct span){buf_str(b), b->len}, s->text)) {
        buf_reset(b);
        buf_append(b, s->text.p, s->text.n);
        replace_blanks(text, s->text, b);
    }
    int rc = check_text(c, b);
    if (rc)
        return rc;
    struct span spaced = {buf_str(b), b->len};
    return s->regex ? split(c, i, spaced, first) : split_step(c, i + 1, spaced, first);
}

static int prefix_space(struct encoder *c, size_t i, struct span text, bool first)
{
    struct buf *b = &c->texts[TEXT_OF_STEPS + i];
    if (text.n > 0 && text.p[0] == ' ')
        return split_step(c, i + 1, text, first);
    buf_reset(b);
    buf_append_char(b, ' ');
    buf_append(b, text.p, text.n);
    int rc = check_text(c, b);
    return rc ? rc : split_step(c, i + 1, (struct span){buf_str(b), b->len}, first);
}

static int spell_bytes(struct encoder *c, size_t i, struct span text, bool first)
{
    struct buf *b = &c->texts[TEXT_OF_STEPS + i];
    buf_reset(b);
    put_spelled_bytes(text, b);
    int rc = check_text(c, b);
    return rc ? rc : split_step(c, i + 1, (struct span){buf_str(b), b->len}, first);
}

static int split_step(struct encoder *c, size_t i, struct span text, bool first)
{
    if (i == c->t->splitter.n)
        return model_word(c, text);
    switch (c->t->splitter.list[i].kind) {
    case STEP_SPLIT:
        return split(c, i, text, first);
    case STEP_META_SPACE:
        return meta_space(c, i, text, first);
    case STEP_PREFIX_SPACE:
        return prefix_space(c, i, text, first);
    case STEP_SPELL_BYTES:
        return spell_bytes(c, i, text, first);
    default:
        return err_set(c->e, ERR_INTERNAL, "step %d is no splitter", c->t->splitter.list[i].kind);
    }
}

int steps_split(struct encoder *c, struct span text, bool first)
{
    return split_step(c, 0, text, first);
}
