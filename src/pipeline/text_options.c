/* text_options.c - see text_options.h. Ranges are checked where the options are used. */
#include "pipeline/text_options.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum kind { REAL, WHOLE, SEED, STOP };

static const struct row {
    const char *name;
    enum kind kind;
    size_t offset; /* of a float or an int */
    const char *text;
} rows[] = {
#define SAMPLER(member) offsetof(struct text_options, sampler.member)
    {"temperature", REAL, SAMPLER(temperature), "how much is left to chance; 0: nothing"},
    {"top_k", WHOLE, SAMPLER(top_k), "choose among so many tokens; 0: all"},
    {"top_p", REAL, SAMPLER(top_p), "choose among the likeliest with this sum of probabilities"},
    {"min_p", REAL, SAMPLER(min_p), "leave out what is less likely, as a part of the likeliest"},
    {"typical_p", REAL, SAMPLER(typical_p), "choose among the most typical with this sum"},
    {"repeat_last_n", WHOLE, SAMPLER(repeat_last_n), "tokens the penalties look at; -1: all"},
    {"repeat_penalty", REAL, SAMPLER(repeat_penalty), "against repetition; 1: none"},
    {"presence_penalty", REAL, SAMPLER(presence_penalty), "against what was said; 0: none"},
    {"frequency_penalty", REAL, SAMPLER(frequency_penalty), "the same for each time; 0: none"},
    {"xtc_probability", REAL, SAMPLER(xtc_probability), "how often to leave out the likeliest"},
    {"xtc_threshold", REAL, SAMPLER(xtc_threshold), "the probability above which they are"},
    {"dry_multiplier", REAL, SAMPLER(dry_multiplier), "against repeated passages; 0: none"},
    {"dry_base", REAL, SAMPLER(dry_base), "its growth with their length"},
    {"dry_allowed_length", WHOLE, SAMPLER(dry_allowed_length), "tokens that may be repeated"},
    {"dry_penalty_last_n", WHOLE, SAMPLER(dry_last_n), "tokens it looks at; -1: all"},
    {"mirostat", WHOLE, SAMPLER(mirostat), "0: off, 2: keep the surprise at mirostat_tau"},
    {"mirostat_tau", REAL, SAMPLER(mirostat_tau), "bits of surprise"},
    {"mirostat_eta", REAL, SAMPLER(mirostat_eta), "how fast it adapts"},
    {"seed", SEED, 0, "where chance begins; negative: somewhere else each time"},
    {"num_predict", WHOLE, offsetof(struct text_options, num_predict),
     "tokens of the answer at most; -1: until the context is full"},
    {"num_ctx", WHOLE, offsetof(struct text_options, num_ctx), "tokens of prompt and answer"},
    {"num_keep", WHOLE, offsetof(struct text_options, num_keep),
     "tokens kept when a full context is shifted"},
    {"stop", STOP, 0, "a text that ends the answer"},
#undef SAMPLER
};

#define N_ROW ((int)(sizeof(rows) / sizeof(*rows)))

const char *text_option_name(int i, const char **text)
{
    if (i < 0 || i >= N_ROW)
        return NULL;
    if (text)
        *text = rows[i].text;
    return rows[i].name;
}

void text_options_init(struct text_options *o, const struct token_sampler_params *model)
{
    *o = (struct text_options){.sampler = *model, .num_predict = -1};
}

static void drop_stops(struct text_options *o)
{
    while (o->n_stop > 0)
        free(o->stop[--o->n_stop]);
}

void text_options_release(struct text_options *o)
{
    drop_stops(o);
}

static const struct row *find(const char *name, struct err *e)
{
    for (int i = 0; i < N_ROW; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    struct buf all;
    buf_init(&all, 1024);
    for (int i = 0; i < N_ROW; i++)
        buf_printf(&all, "%s%s", i ? ", " : "", rows[i].name);
    err_set(e, ERR_ARG, "there is no option %.60s; there are %s", name, buf_str(&all));
    buf_release(&all);
    return NULL;
}

static int set_number(struct text_options *o, const struct row *r, double x, struct err *e)
{
    bool whole = x == floor(x) && fabs(x) <= INT_MAX;
    char *at = (char *)o + r->offset;
    if (r->kind == REAL && isfinite(x) && fabs(x) <= FLT_MAX) {
        *(float *)at = (float)x;
        return 0;
    }
    if (r->kind == WHOLE && whole) {
        *(int *)at = (int)x;
        return 0;
    }
    return err_set(e, ERR_ARG, "%s: %g is no %s number that it can be", r->name, x,
                   r->kind == WHOLE ? "whole" : "finite");
}

static void set_seed(struct text_options *o, bool negative, uint64_t seed)
{
    o->seeded = !negative;
    o->sampler.seed = negative ? 0 : seed;
}

static int add_stop(struct text_options *o, const char *text, struct err *e)
{
    if (!*text) {
        drop_stops(o);
        return 0;
    }
    if (o->n_stop == TEXT_OPTIONS_MAX_STOP)
        return err_set(e, ERR_ARG, "stop: %d texts are the most", TEXT_OPTIONS_MAX_STOP);
    o->stop[o->n_stop++] = mem_strdup(text);
    return 0;
}

int text_option_set(struct text_options *o, const char *name, const char *text, struct err *e)
{
    const struct row *r = find(name, e);
    if (!r)
        return ERR_ARG;
    if (r->kind == STOP)
        return add_stop(o, text, e);
    char *end;
    errno = 0;
    bool negative = text[strspn(text, " ")] == '-';
    if (r->kind == SEED) {
        uint64_t seed = strtoull(text, &end, 10);
        if (end != text && !*end && (negative || errno != ERANGE)) {
            set_seed(o, negative, seed);
            return 0;
        }
    } else {
        double x = strtod(text, &end);
        if (end != text && !*end)
            return set_number(o, r, x, e);
    }
    return err_set(e, ERR_ARG, "%s %.60s: it takes a number (%s)", name, text, r->text);
}

int text_option_set_json(struct text_options *o, const char *name, const struct json_t *value,
                         struct err *e)
{
    const struct row *r = find(name, e);
    int rc = 0;
    size_t i;
    const json_t *one;
    if (!r)
        return ERR_ARG;
    if (r->kind == STOP && json_is_array(value)) {
        drop_stops(o);
        json_array_foreach(value, i, one)
        {
            if (!json_is_string(one))
                return err_set(e, ERR_ARG, "stop: item %zu is no text", i);
            rc = rc ? rc : add_stop(o, json_string_value(one), e);
        }
        return rc;
    }
    if (r->kind == STOP && json_is_string(value)) {
        drop_stops(o);
        return add_stop(o, json_string_value(value), e);
    }
    if (r->kind == SEED && json_is_integer(value)) {
        json_int_t seed = json_integer_value(value);
        set_seed(o, seed < 0, (uint64_t)seed);
        return 0;
    }
    if ((r->kind == REAL || r->kind == WHOLE) && json_is_number(value))
        return set_number(o, r, json_number_value(value), e);
    return err_set(e, ERR_ARG, "%s: the value is no %s", name,
                   r->kind == STOP ? "text, nor a list of them" : "number");
}

static void show_stops(const struct text_options *o, struct buf *out)
{
    for (int i = 0; i < o->n_stop; i++) {
        json_t *text = json_string(o->stop[i]);
        char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
        buf_printf(out, "stop %s\n", quoted ? quoted : "\"\"");
        free(quoted);
        json_decref(text);
    }
}

void text_options_show(const struct text_options *o, const struct text_options *from,
                       struct buf *out)
{
    for (int i = 0; i < N_ROW; i++) {
        const struct row *r = &rows[i];
        const char *a = (const char *)o + r->offset, *b = (const char *)from + r->offset;
        if (r->kind == STOP)
            show_stops(o, out);
        else if (r->kind == SEED && o->seeded)
            buf_printf(out, "seed %" PRIu64 "\n", o->sampler.seed);
        else if (r->kind == REAL && *(const float *)a != *(const float *)b)
            buf_printf(out, "%s %g\n", r->name, (double)*(const float *)a);
        else if (r->kind == WHOLE && *(const int *)a != *(const int *)b)
            buf_printf(out, "%s %d\n", r->name, *(const int *)a);
    }
}
