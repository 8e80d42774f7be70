/* options.c - see options.h. */
#include "cli/options.h"

#include "base/err.h"
#include "base/mem.h"
#include "cli/seeds.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct command_row command_rows[N_COMMAND] = {
#define COMMAND(ID, name, ...) {#name, __VA_ARGS__},
#define OPTION(...)
#include "cli/options.def"
#undef COMMAND
#undef OPTION
};

#define IN(ID) (1u << COMMAND_##ID)
#define IN_ALL ((1u << N_COMMAND) - 1)
const struct option_row option_rows[N_OPTION] = {
#define COMMAND(...)
#define OPTION(ID, commands, letter, name, KIND, ...) \
    {commands, letter, name, KIND_##KIND, __VA_ARGS__},
#include "cli/options.def"
#undef COMMAND
#undef OPTION
};

/* The edit distance of Damerau and Levenshtein (adjacent letters may swap), for words of up to 31
 * letters. */
#define MAX_WORD 32
static int distance(const char *a, size_t n_a, const char *b)
{
    int d[MAX_WORD][MAX_WORD];
    size_t n_b = strlen(b);
    if (n_a >= MAX_WORD || n_b >= MAX_WORD)
        return INT_MAX;
    for (size_t i = 0; i <= n_a; i++) {
        for (size_t j = 0; j <= n_b; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = (int)(i + j);
                continue;
            }
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (d[i - 1][j] + 1 < best)
                best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best)
                best = d[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n_a][n_b];
}

/* Keeps the nearest candidate: a typing error away, or a word that was begun. */
static void consider(const char *word, size_t n, const char *candidate, const char **nearest,
                     int *least)
{
    int d = distance(word, n, candidate);
    if (n > 1 && strncmp(word, candidate, n) == 0)
        d = 1;
    if (d < *least && d < (int)strlen(candidate)) {
        *least = d;
        *nearest = candidate;
    }
}

int options_command(const char *name, enum command *command, struct err *e)
{
    const char *nearest = NULL;
    int least = 3;
    for (int i = 0; i < N_COMMAND; i++) {
        if (strcmp(name, command_rows[i].name) == 0) {
            *command = (enum command)i;
            return 0;
        }
        consider(name, strlen(name), command_rows[i].name, &nearest, &least);
    }
    if (nearest)
        return err_set(e, ERR_ARG, "%s: no such command; did you mean lar %s?", name, nearest);
    return err_set(e, ERR_ARG, "%s: no such command; `lar help` lists them", name);
}

/* A whole decimal number and nothing else. */
static bool parse_whole(const char *s, uint64_t *v)
{
    char *end;
    errno = 0;
    if (!isdigit((unsigned char)*s))
        return false;
    unsigned long long x = strtoull(s, &end, 10);
    *v = x;
    return !*end && !errno;
}

static int take_size(const struct option_row *row, struct option_value *v, const char *shown,
                     struct err *e)
{
    char *end;
    bool fits = isdigit((unsigned char)*v->text);
    long width = strtol(v->text, &end, 10);
    fits = fits && (*end == 'x' || *end == 'X') && isdigit((unsigned char)end[1]);
    long height = fits ? strtol(end + 1, &end, 10) : 0;
    if (!fits || *end)
        return err_set(e, ERR_ARG, "%s %s: wants width x height in pixels, such as 768x512", shown,
                       v->text);
    if (width < (long)row->least || width > (long)row->most || height < (long)row->least ||
        height > (long)row->most)
        return err_set(e, ERR_ARG, "%s %s: width and height may be %.0f to %.0f pixels", shown,
                       v->text, row->least, row->most);
    v->width = (int)width;
    v->height = (int)height;
    return 0;
}

/* The decimal point is a point in every locale: the program never calls setlocale(). */
static int take_number(const struct option_row *row, struct option_value *v, const char *shown,
                       struct err *e)
{
    char *end;
    v->number = strtod(v->text, &end);
    bool plain = *v->text && !isspace((unsigned char)*v->text) && !*end;
    if (plain && isfinite(v->number) && v->number >= row->least && v->number <= row->most)
        return 0;
    return err_set(e, ERR_ARG, "%s %s: wants a number from %g to %g", shown, v->text, row->least,
                   row->most);
}

static void add_to_list(struct option_value *v, const char *text)
{
    v->list = mem_realloc(v->list, ((size_t)v->n + 1) * sizeof(*v->list));
    v->list[v->n++] = v->text = text;
    v->given = true;
}

bool options_cut_weight(char *text, double *weight)
{
    char *colon = strrchr(text, ':'), *end;
    if (!colon || !colon[1] || isspace((unsigned char)colon[1]))
        return false;
    double x = strtod(colon + 1, &end);
    if (*end || !isfinite(x))
        return false;
    *weight = x;
    *colon = '\0';
    return true;
}

static int take_choice(const struct option_row *row, const struct option_value *v,
                       const char *shown, struct err *e)
{
    size_t n = strlen(v->text);
    for (const char *p = row->value; *p;) {
        size_t length = strcspn(p, "|");
        if (n == length && strncmp(p, v->text, n) == 0)
            return 0;
        p += length + (p[length] == '|');
    }
    return err_set(e, ERR_ARG, "%s %s: wants one of %s", shown, v->text, row->value);
}

static int take_seeds(struct option_value *v, const char *shown, struct err *e)
{
    struct seeds seeds;
    if (!seeds_parse(&seeds, v->text))
        return err_set(e, ERR_ARG,
                       "%s %s: wants whole numbers from 0 to 2^64 - 1, such as 7, 1-9 or 5,8,13; "
                       "leave it out for a random one",
                       shown, v->text);
    v->whole = seeds.v[0];
    seeds_release(&seeds);
    return 0;
}

/* Checks and keeps the value of an option. */
static int take_value(struct options *o, enum option id, const char *text, const char *shown,
                      struct err *e)
{
    const struct option_row *row = &option_rows[id];
    struct option_value *v = &o->value[id];
    if (row->kind == KIND_LIST) {
        add_to_list(v, text);
        return 0;
    }
    *v = (struct option_value){.given = true, .text = text};
    switch (row->kind) {
    case KIND_FLAG:
    case KIND_TEXT:
    case KIND_LIST:
        return 0;
    case KIND_WHOLE:
        if (parse_whole(text, &v->whole) && (double)v->whole >= row->least &&
            (double)v->whole <= row->most)
            return 0;
        return err_set(e, ERR_ARG, "%s %s: wants a whole number from %.0f to %.0f", shown, text,
                       row->least, row->most);
    case KIND_SEED:
        return take_seeds(v, shown, e);
    case KIND_NUMBER:
        return take_number(row, v, shown, e);
    case KIND_SIZE:
        return take_size(row, v, shown, e);
    case KIND_CHOICE:
        return take_choice(row, v, shown, e);
    }
    return 0;
}

int options_set(struct options *o, enum option id, const char *text, struct err *e)
{
    char *shown = mem_printf("--%s", option_rows[id].name);
    int rc = take_value(o, id, text, shown, e);
    free(shown);
    return rc;
}

/* An option that the command does not have: of another command, or a typing error. */
static int unknown(const struct options *o, const char *word, size_t n, struct err *e)
{
    const char *command = command_rows[o->command].name, *nearest = NULL;
    int least = 3;
    for (int i = 0; i < N_OPTION; i++) {
        const struct option_row *row = &option_rows[i];
        if (row->commands & (1u << o->command))
            consider(word, n, row->name, &nearest, &least);
    }
    if (nearest)
        return err_set(e, ERR_ARG, "--%.*s: lar %s has no such option; did you mean --%s?", (int)n,
                       word, command, nearest);
    return err_set(e, ERR_ARG, "--%.*s: lar %s has no such option; `lar help %s` lists them",
                   (int)n, word, command, command);
}

static bool belongs(const struct options *o, int id)
{
    return option_rows[id].commands & (1u << o->command);
}

/* argv[*i] is "--name", "--name=value", or "--name" with its value behind. */
static int parse_long(struct options *o, int argc, char **argv, int *i, struct err *e)
{
    const char *word = argv[*i] + 2, *value = NULL;
    size_t n = strcspn(word, "=");
    int id = 0;
    while (id < N_OPTION && (!belongs(o, id) || strlen(option_rows[id].name) != n ||
                             strncmp(option_rows[id].name, word, n) != 0))
        id++;
    if (id == N_OPTION)
        return unknown(o, word, n, e);
    const struct option_row *row = &option_rows[id];
    if (word[n] == '=')
        value = word + n + 1;
    if (row->kind == KIND_FLAG && value)
        return err_set(e, ERR_ARG, "--%s: takes no value; leave out %s", row->name, word + n);
    if (row->kind != KIND_FLAG && !value) {
        if (*i + 1 == argc)
            return err_set(e, ERR_ARG, "--%s: its value is missing; write --%s %s", row->name,
                           row->name, row->value);
        value = argv[++*i];
    }
    char shown[MAX_WORD + 2];
    snprintf(shown, sizeof(shown), "--%s", row->name);
    return take_value(o, (enum option)id, value, shown, e);
}

/* argv[*i] is "-qh" (flags), "-n3", or "-n" with its value behind. */
static int parse_letters(struct options *o, int argc, char **argv, int *i, struct err *e)
{
    for (const char *p = argv[*i] + 1; *p; p++) {
        int id = 0;
        while (id < N_OPTION && (!belongs(o, id) || option_rows[id].letter != *p))
            id++;
        if (id == N_OPTION)
            return err_set(e, ERR_ARG,
                           "%s: lar %s has no option -%c; an argument that begins with - belongs "
                           "behind --",
                           argv[*i], command_rows[o->command].name, *p);
        const struct option_row *row = &option_rows[id];
        const char shown[] = {'-', *p, '\0'}, *value = NULL;
        if (row->kind != KIND_FLAG) {
            if (!p[1] && *i + 1 == argc)
                return err_set(e, ERR_ARG, "-%c: its value is missing; write -%c %s", *p, *p,
                               row->value);
            value = p[1] ? p + 1 : argv[++*i];
        }
        int rc = take_value(o, (enum option)id, value, shown, e);
        if (rc || value)
            return rc;
    }
    return 0;
}

/* `lar COMMAND --help` is `lar help COMMAND`. */
static void turn_into_help(struct options *o, const char *subject)
{
    o->command = COMMAND_HELP;
    o->n_operands = 0;
    if (subject)
        o->operands[o->n_operands++] = subject;
}

static int check_operands(const struct options *o, struct err *e)
{
    const struct command_row *row = &command_rows[o->command];
    if (row->most == 0 && o->n_operands > 0)
        return err_set(e, ERR_ARG, "%s: lar %s takes no arguments", o->operands[0], row->name);
    if (row->most >= 0 && o->n_operands > row->most)
        return err_set(e, ERR_ARG, "%s: lar %s takes no more than %d argument%s",
                       o->operands[row->most], row->name, row->most, row->most == 1 ? "" : "s");
    if (o->n_operands < row->least)
        return err_set(e, ERR_ARG, "lar %s wants %s; `lar help %s` explains", row->name,
                       row->operands, row->name);
    return 0;
}

int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
    *o = (struct options){.command = COMMAND_HELP};
    o->operands = mem_alloc(sizeof(*o->operands) * ((size_t)argc + 1));
    const char *name = argc > 1 ? argv[1] : "--help";
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        return 0;
    int rc = options_command(strcmp(name, "--version") == 0 ? "version" : name, &o->command, e);
    bool ended = false;
    for (int i = 2; i < argc && !rc; i++) {
        const char *word = argv[i];
        if (ended || word[0] != '-' || !word[1])
            o->operands[o->n_operands++] = word;
        else if (strcmp(word, "--") == 0)
            ended = true;
        else if (word[1] == '-')
            rc = parse_long(o, argc, argv, &i, e);
        else
            rc = parse_letters(o, argc, argv, &i, e);
    }
    if (!rc && o->value[OPTION_HELP].given) {
        turn_into_help(o, command_rows[o->command].name);
        return 0;
    }
    return rc ? rc : check_operands(o, e);
}

void options_release(struct options *o)
{
    for (int i = 0; i < N_OPTION; i++)
        free(o->value[i].list);
    free(o->operands);
    *o = (struct options){0};
}
