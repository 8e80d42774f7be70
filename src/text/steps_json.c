/* steps_json.c - normalizers, pre-tokenizers and decoders of a tokenizer.json.
 *
 * Their types and members: https://github.com/huggingface/tokenizers, tokenizers/src/normalizers,
 * pre_tokenizers and decoders.
 */
#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "text/pretokenizers.h"
#include "text/tokenizer_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define JOINERS     "\\x{200c}\\x{200d}" /* Rust has them in \\w */
#define MAX_NESTING 4                    /* sequences in sequences */
#define MOST_STEPS  5                    /* that one type adds */

struct span json_text(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_string(v) ? (struct span){json_string_value(v), json_string_length(v)}
                             : (struct span){"", 0};
}

bool json_flag(const json_t *object, const char *key, bool otherwise)
{
    const json_t *v = json_object_get(object, key);
    return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

static struct span keep(struct tokenizer *t, struct span s)
{
    return (struct span){arena_strndup(&t->arena, s.p, s.n), s.n};
}

static bool is(struct span s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}

/* One type of step: a function reads it, or it is `step`, with this pattern if any. */
struct step_type {
    const char *name;
    int (*read)(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e);
    struct step step;
    const char *pattern;
};

/* A part of the file: its name, where its Sequence keeps the members, and their types. */
struct part {
    const char *name, *members;
    const struct step_type *types; /* the last has no name */
};

static int unknown_type(const char *part, struct span type, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "tokenizer.json: the %s \"%.*s\" is not supported", part,
                   (int)(type.n < 64 ? type.n : 64), type.p);
}

static int add_step(struct steps *s, const struct step_type *type, struct err *e)
{
    struct step *step = &s->list[s->n];
    *step = type->step;
    int rc = 0;
    if (type->pattern)
        rc = regex_new(&step->regex, (struct span){type->pattern, strlen(type->pattern)}, false, e);
    s->n += !rc;
    return rc;
}

static int read_step(struct tokenizer *t, struct steps *s, const json_t *v, const struct part *part,
                     struct err *e)
{
    struct span type = json_text(v, "type");
    if (s->n + MOST_STEPS > TOKENIZER_MAX_STEPS)
        return err_set(e, ERR_UNSUPPORTED, "tokenizer.json: the %s has more than %d steps",
                       part->name, TOKENIZER_MAX_STEPS - MOST_STEPS);
    for (const struct step_type *known = part->types; known->name; known++)
        if (is(type, known->name))
            return known->read ? known->read(t, s, v, e) : add_step(s, known, e);
    return unknown_type(part->name, type, e);
}

/* Reads a value of some type; the members of a Sequence one after the other. */
static int read_steps(struct tokenizer *t, struct steps *s, const json_t *v,
                      const struct part *part, int depth, struct err *e)
{
    if (!v || json_is_null(v))
        return 0;
    if (!is(json_text(v, "type"), "Sequence"))
        return read_step(t, s, v, part, e);
    const json_t *members = json_object_get(v, part->members);
    size_t n = json_array_size(members);
    int rc = 0;
    if (depth == MAX_NESTING)
        return err_set(e, ERR_FORMAT, "tokenizer.json: the %s is nested too deeply", part->name);
    for (size_t i = 0; i < n && !rc; i++)
        rc = read_steps(t, s, json_array_get(members, i), part, depth + 1, e);
    return rc;
}

/* {"String": "..."}, {"Regex": "..."} */
static int read_pattern(struct step *step, const json_t *v, struct err *e)
{
    const json_t *pattern = json_object_get(v, "pattern");
    bool literal = !json_object_get(pattern, "Regex");
    return regex_new(&step->regex, json_text(pattern, literal ? "String" : "Regex"), literal, e);
}

/* -- normalizers -- */

static int read_strip(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    (void)t, (void)e;
    s->list[s->n++] = (struct step){.kind = STEP_STRIP,
                                    .left = json_flag(v, "strip_left", true),
                                    .right = json_flag(v, "strip_right", true)};
    return 0;
}

static int read_prepend(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    (void)e;
    s->list[s->n++] = (struct step){.kind = STEP_PREPEND, .text = keep(t, json_text(v, "prepend"))};
    return 0;
}

static int read_replace(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    struct step *step = &s->list[s->n];
    *step = (struct step){.kind = STEP_REPLACE, .text = keep(t, json_text(v, "content"))};
    if (!is(json_text(json_object_get(v, "pattern"), "String"), " ")) {
        int rc = read_pattern(step, v, e);
        if (rc)
            return rc;
    }
    s->n++;
    return 0;
}

static int read_bert(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    (void)t, (void)e;
    bool lowercase = json_flag(v, "lowercase", true);
    steps_add_bert_normalizer(s, json_flag(v, "clean_text", true),
                              json_flag(v, "handle_chinese_chars", true),
                              json_flag(v, "strip_accents", lowercase), lowercase);
    return 0;
}

static int read_precompiled(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    struct span text = json_text(v, "precompiled_charsmap");
    struct step *step = &s->list[s->n];
    if (text.n > CHARSMAP_MAX)
        return err_set(e, ERR_FORMAT, "tokenizer.json: the precompiled_charsmap has %zu bytes",
                       text.n);
    char *data = mem_try_array(text.n + 4, 1, "the charsmap", e);
    if (!data)
        return ERR_NOMEM;
    size_t n = base64_decode(text.p, text.n, data);
    *step = (struct step){.kind = STEP_CHARSMAP, .by_grapheme = true};
    int rc = n == SIZE_MAX
                 ? err_set(e, ERR_FORMAT, "tokenizer.json: the precompiled_charsmap is no base64")
                 : charsmap_init(&step->charsmap, &t->arena, (struct span){data, n}, e);
    free(data);
    s->n += !rc;
    return rc;
}

int steps_read_normalizer(struct tokenizer *t, const json_t *normalizer, struct err *e)
{
    static const struct step_type types[] = {
        {.name = "NFC", .step = {.kind = STEP_NORMAL_FORM, .form = UNICODE_NFC}},
        {.name = "NFD", .step = {.kind = STEP_NORMAL_FORM, .form = UNICODE_NFD}},
        {.name = "NFKC", .step = {.kind = STEP_NORMAL_FORM, .form = UNICODE_NFKC}},
        {.name = "NFKD", .step = {.kind = STEP_NORMAL_FORM, .form = UNICODE_NFKD}},
        {.name = "Lowercase", .step = {.kind = STEP_LOWERCASE}},
        {.name = "StripAccents", .step = {.kind = STEP_STRIP_ACCENTS}},
        {.name = "Nmt", .step = {.kind = STEP_NMT}},
        {.name = "ByteLevel", .step = {.kind = STEP_SPELL_BYTES}},
        {.name = "Strip", .read = read_strip},
        {.name = "Prepend", .read = read_prepend},
        {.name = "Replace", .read = read_replace},
        {.name = "BertNormalizer", .read = read_bert},
        {.name = "Precompiled", .read = read_precompiled},
        {.name = NULL},
    };
    static const struct part part = {"normalizer", "normalizers", types};
    return read_steps(t, &t->normalizer, normalizer, &part, 0, e);
}

/* -- pre-tokenizers -- */

static int read_behavior(const json_t *v, enum split_behavior *b, struct err *e)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    struct span name = json_text(v, "behavior");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (is(name, names[i])) {
            *b = (enum split_behavior)i;
            return 0;
        }
    }
    return unknown_type("behavior", name, e);
}

static int read_split(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    (void)t;
    struct step *step = &s->list[s->n];
    *step = (struct step){.kind = STEP_SPLIT, .invert = json_flag(v, "invert", false)};
    int rc = read_behavior(v, &step->behavior, e);
    if (!rc)
        rc = read_pattern(step, v, e);
    s->n += !rc;
    return rc;
}

static int read_byte_level(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    (void)t;
    int rc = 0;
    if (json_flag(v, "add_prefix_space", true))
        s->list[s->n++] = (struct step){.kind = STEP_PREFIX_SPACE};
    if (json_flag(v, "use_regex", true))
        rc = steps_add_split(s, pretokenizer_gpt2, e);
    if (!rc)
        s->list[s->n++] = (struct step){.kind = STEP_SPELL_BYTES};
    return rc;
}

static int read_metaspace(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    struct span scheme = json_text(v, "prepend_scheme"), by = json_text(v, "replacement");
    struct step *step = &s->list[s->n];
    bool prefix = json_flag(v, "add_prefix_space", true);
    *step = (struct step){.kind = STEP_META_SPACE,
                          .text = keep(t, by.n ? by : (struct span){META_SPACE, 3}),
                          .behavior = SPLIT_WITH_NEXT,
                          .prepend = prefix ? PREPEND_ALWAYS : PREPEND_NEVER};
    if (scheme.n)
        step->prepend = is(scheme, "always")  ? PREPEND_ALWAYS
                        : is(scheme, "first") ? PREPEND_FIRST
                                              : PREPEND_NEVER;
    int rc = json_flag(v, "split", true) ? regex_new(&step->regex, step->text, true, e) : 0;
    s->n += !rc;
    return rc;
}

static int read_digits(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    (void)t;
    bool one_by_one = json_flag(v, "individual_digits", false);
    return steps_add_split(s, one_by_one ? "\\p{N}" : "\\p{N}+", e);
}

static int read_punctuation(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    (void)t;
    enum split_behavior behavior = SPLIT_ISOLATED;
    int rc = json_object_get(v, "behavior") ? read_behavior(v, &behavior, e) : 0;
    if (!rc)
        rc = steps_add_split(s, STEPS_PUNCTUATION, e);
    if (!rc)
        s->list[s->n - 1].behavior = behavior;
    return rc;
}

static int read_bert_splitter(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    (void)t, (void)v;
    return steps_add_bert_splitter(s, e);
}

static int read_delimiter(struct tokenizer *t, struct steps *s, const json_t *v, struct err *e)
{
    (void)t;
    struct step *step = &s->list[s->n];
    *step = (struct step){.kind = STEP_SPLIT, .behavior = SPLIT_REMOVED};
    int rc = regex_new(&step->regex, json_text(v, "delimiter"), true, e);
    s->n += !rc;
    return rc;
}

int steps_read_splitter(struct tokenizer *t, const json_t *pre_tokenizer, struct err *e)
{
    static const struct step_type types[] = {
        {.name = "Whitespace",
         .step = {.kind = STEP_SPLIT, .behavior = SPLIT_REMOVED, .invert = true},
         .pattern = "[\\w" JOINERS "]+|[^\\w\\s" JOINERS "]+"},
        {.name = "WhitespaceSplit",
         .step = {.kind = STEP_SPLIT, .behavior = SPLIT_REMOVED},
         .pattern = "\\s"},
        {.name = "Split", .read = read_split},
        {.name = "ByteLevel", .read = read_byte_level},
        {.name = "Metaspace", .read = read_metaspace},
        {.name = "Digits", .read = read_digits},
        {.name = "Punctuation", .read = read_punctuation},
        {.name = "BertPreTokenizer", .read = read_bert_splitter},
        {.name = "CharDelimiterSplit", .read = read_delimiter},
        {.name = NULL},
    };
    static const struct part part = {"pre-tokenizer", "pretokenizers", types};
    return read_steps(t, &t->splitter, pre_tokenizer, &part, 0, e);
}

/* -- decoders -- */

/* A part of a decoder: what it says about the pieces. */
static int read_decoder(struct tokenizer *t, const json_t *v, int depth, struct err *e)
{
    struct span type = json_text(v, "type");
    if (is(type, "Sequence")) {
        const json_t *members = json_object_get(v, "decoders");
        int rc = depth == MAX_NESTING ? unknown_type("nested decoder", type, e) : 0;
        for (size_t i = 0; i < json_array_size(members) && !rc; i++)
            rc = read_decoder(t, json_array_get(members, i), depth + 1, e);
        return rc;
    }
    if (is(type, "ByteLevel")) {
        t->spelling = SPELLED_BYTES;
    } else if (is(type, "Metaspace")) {
        struct span scheme = json_text(v, "prepend_scheme");
        t->strip_first_space = scheme.n ? !is(scheme, "never")
                                        : json_flag(v, "add_prefix_space", true);
    } else if (is(type, "WordPiece")) {
        t->spelling = SPELLED_WORDPIECE;
        t->clean_up = json_flag(v, "cleanup", true);
        t->strip_first_space = true;
    } else if (is(type, "BPEDecoder")) {
        t->spelling = SPELLED_SUFFIX;
    } else if (is(type, "Strip")) {
        t->strip_first_space = json_integer_value(json_object_get(v, "start")) > 0;
    } else if (!is(type, "Replace") && !is(type, "ByteFallback") && !is(type, "Fuse")) {
        return unknown_type("decoder", type, e);
    }
    return 0;
}

int steps_read_decoder(struct tokenizer *t, const json_t *decoder, struct err *e)
{
    return decoder && !json_is_null(decoder) ? read_decoder(t, decoder, 0, e) : 0;
}
