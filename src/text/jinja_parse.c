/* jinja_parse.c - statements; see jinja_parse.h. */
#include "text/jinja_parse.h"

#include "base/err.h"
#include "base/mem.h"
#include "text/jinja.h"
#include "text/jinja_ast.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct jinja_token end_of_template = {.type = JINJA_EOF};

void jinja_syntax(struct jinja_parser *p, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (!p->rc)
        p->rc = err_set(p->e, ERR_FORMAT, "chat template, line %d: %s", p->at->line, text);
    p->at = &end_of_template;
}

const char *jinja_intern(struct jinja *t, const char *s, size_t n)
{
    char *name = map_get(&t->names, s, n);
    if (!name) {
        name = arena_strndup(&t->arena, s, n);
        map_put(&t->names, s, n, name);
    }
    return name;
}

struct jinja_node *jinja_node(struct jinja_parser *p, int kind)
{
    struct jinja_node *n = arena_alloc(&p->t->arena, sizeof(*n));
    n->kind = kind;
    n->line = p->at->line;
    return n;
}

void jinja_append(struct jinja_parser *p, struct jinja_nodes *list, struct jinja_node *n)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? list->cap * 2 : 2;
        struct jinja_node **v = arena_alloc(&p->t->arena, cap * sizeof(*v));
        if (list->n)
            memcpy(v, list->v, list->n * sizeof(*v));
        list->v = v;
        list->cap = cap;
    }
    list->v[list->n++] = n;
}

bool jinja_parse_enter(struct jinja_parser *p)
{
    if (p->depth >= JINJA_MAX_PARSE_DEPTH)
        jinja_syntax(p, "nested too deeply (%d levels)", JINJA_MAX_PARSE_DEPTH);
    else if (!p->rc)
        p->depth++;
    return !p->rc;
}

bool jinja_at_op(const struct jinja_parser *p, int op)
{
    return p->at->type == JINJA_OPERATOR && p->at->op == op;
}

bool jinja_at_name(const struct jinja_parser *p, const char *name)
{
    return p->at->type == JINJA_NAME && p->at->n == strlen(name) &&
           memcmp(p->at->text, name, p->at->n) == 0;
}

bool jinja_take_op(struct jinja_parser *p, int op)
{
    bool is = jinja_at_op(p, op);
    p->at += is;
    return is;
}

bool jinja_take_name(struct jinja_parser *p, const char *name)
{
    bool is = jinja_at_name(p, name);
    p->at += is;
    return is;
}

void jinja_expect_op(struct jinja_parser *p, int op)
{
    if (!jinja_take_op(p, op))
        jinja_syntax(p, "'%c' is expected here", op);
}

const char *jinja_expect_name(struct jinja_parser *p)
{
    if (p->at->type != JINJA_NAME) {
        jinja_syntax(p, "a name is expected here");
        return "";
    }
    const struct jinja_token *t = p->at++;
    return jinja_intern(p->t, t->text, t->n);
}

/* Statements */

static void parse_body(struct jinja_parser *p, struct jinja_nodes *body, const char *const ends[]);

static void expect_block_end(struct jinja_parser *p)
{
    if (p->at->type == JINJA_BLOCK_END)
        p->at++;
    else
        jinja_syntax(p, "'%%}' is expected here");
}

/* The body behind an opening tag up to one of these tags, whose name is at hand afterwards. */
static void parse_block(struct jinja_parser *p, struct jinja_nodes *body, const char *const ends[])
{
    jinja_take_op(p, ':');
    expect_block_end(p);
    if (jinja_parse_enter(p)) {
        parse_body(p, body, ends);
        p->depth--;
    }
}

static void parse_whole_block(struct jinja_parser *p, struct jinja_nodes *body, const char *end)
{
    const char *const ends[] = {end, NULL};
    parse_block(p, body, ends);
    p->at += p->at->type == JINJA_NAME;
}

static struct jinja_node *parse_set(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_SET);
    n->a = jinja_parse_target(p, NULL);
    if (jinja_take_op(p, '=')) {
        n->b = jinja_parse_tuple(p, true, NULL);
        return n;
    }
    n->kind = JN_SET_BLOCK;
    n->b = jinja_parse_filters(p, NULL, false);
    parse_whole_block(p, &n->body, "endset");
    return n;
}

static struct jinja_node *parse_for(struct jinja_parser *p)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    struct jinja_node *n = jinja_node(p, JN_FOR);
    n->a = jinja_parse_target(p, "in");
    if (!jinja_take_name(p, "in"))
        jinja_syntax(p, "'in' is expected here");
    n->b = jinja_parse_tuple(p, false, "recursive");
    if (jinja_take_name(p, "if"))
        n->c = jinja_parse_expression(p);
    n->op = jinja_take_name(p, "recursive");
    p->loops++;
    parse_block(p, &n->body, ends);
    p->loops--;
    if (jinja_take_name(p, "else"))
        parse_whole_block(p, &n->other, "endfor");
    else
        p->at += p->at->type == JINJA_NAME;
    return n;
}

static struct jinja_node *parse_if(struct jinja_parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct jinja_node *n = jinja_node(p, JN_IF);
    do {
        struct jinja_node *branch = jinja_node(p, JN_BRANCH);
        branch->a = jinja_parse_tuple(p, false, NULL);
        parse_block(p, &branch->body, ends);
        jinja_append(p, &n->list, branch);
    } while (jinja_take_name(p, "elif"));
    if (jinja_take_name(p, "else")) {
        struct jinja_node *branch = jinja_node(p, JN_BRANCH);
        parse_whole_block(p, &branch->body, "endif");
        jinja_append(p, &n->list, branch);
    } else {
        p->at += p->at->type == JINJA_NAME;
    }
    return n;
}

static void parse_params(struct jinja_parser *p, struct jinja_nodes *params)
{
    bool defaults = false;
    jinja_expect_op(p, '(');
    while (!p->rc && !jinja_at_op(p, ')')) {
        struct jinja_node *n = jinja_node(p, JN_PARAM);
        n->name = jinja_expect_name(p);
        if (jinja_take_op(p, '=')) {
            defaults = true;
            n->a = jinja_parse_expression(p);
        } else if (defaults) {
            jinja_syntax(p, "a parameter without default stands behind one with default");
        }
        jinja_append(p, params, n);
        if (!jinja_take_op(p, ','))
            break;
    }
    jinja_expect_op(p, ')');
}

/* The body of a macro, which knows no loops around it; says what it uses beside its parameters. */
static void parse_macro_body(struct jinja_parser *p, struct jinja_node *n, const char *end)
{
    int uses = p->uses, loops = p->loops;
    p->uses = p->loops = 0;
    parse_whole_block(p, &n->body, end);
    n->op = p->uses;
    p->uses |= uses;
    p->loops = loops;
}

static struct jinja_node *parse_macro(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_MACRO);
    n->name = jinja_expect_name(p);
    parse_params(p, &n->list);
    parse_macro_body(p, n, "endmacro");
    return n;
}

static struct jinja_node *parse_call_block(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_CALL_BLOCK);
    if (jinja_at_op(p, '('))
        parse_params(p, &n->list);
    n->a = jinja_parse_expression(p);
    if (n->a->kind != JN_CALL)
        jinja_syntax(p, "a call is expected here");
    parse_macro_body(p, n, "endcall");
    return n;
}

static struct jinja_node *parse_filter_block(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_FILTER_BLOCK);
    n->a = jinja_parse_filters(p, NULL, true);
    parse_whole_block(p, &n->body, "endfilter");
    return n;
}

static struct jinja_node *parse_with(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_WITH);
    while (!p->rc && p->at->type == JINJA_NAME) {
        struct jinja_node *set = jinja_node(p, JN_SET);
        set->a = jinja_parse_target(p, NULL);
        jinja_expect_op(p, '=');
        set->b = jinja_parse_expression(p);
        jinja_append(p, &n->list, set);
        if (!jinja_take_op(p, ','))
            break;
    }
    parse_whole_block(p, &n->body, "endwith");
    return n;
}

/* The output of the body is captured and printed: names set in it stay inside. */
static struct jinja_node *parse_generation(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_SCOPE);
    parse_whole_block(p, &n->body, "endgeneration");
    return n;
}

static struct jinja_node *parse_named_block(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_SCOPE);
    const char *name = jinja_expect_name(p);
    jinja_take_name(p, "scoped");
    jinja_take_name(p, "required");
    parse_whole_block(p, &n->body, "endblock");
    jinja_take_name(p, name);
    return n;
}

static struct jinja_node *parse_print(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_PRINT);
    do
        jinja_append(p, &n->list, jinja_parse_expression(p));
    while (jinja_take_op(p, ','));
    return n;
}

static struct jinja_node *parse_break(struct jinja_parser *p)
{
    if (!p->loops)
        jinja_syntax(p, "'break' stands outside of a loop");
    return jinja_node(p, JN_BREAK);
}

static struct jinja_node *parse_continue(struct jinja_parser *p)
{
    if (!p->loops)
        jinja_syntax(p, "'continue' stands outside of a loop");
    return jinja_node(p, JN_CONTINUE);
}

static struct jinja_node *parse_statement(struct jinja_parser *p)
{
    static const struct {
        const char *name;
        struct jinja_node *(*parse)(struct jinja_parser *p);
    } statements[] = {
        {"set", parse_set},
        {"for", parse_for},
        {"if", parse_if},
        {"macro", parse_macro},
        {"call", parse_call_block},
        {"filter", parse_filter_block},
        {"with", parse_with},
        {"generation", parse_generation},
        {"block", parse_named_block},
        {"print", parse_print},
        {"break", parse_break},
        {"continue", parse_continue},
    };
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (jinja_at_name(p, statements[i].name)) {
            int line = p->at++->line;
            struct jinja_node *n = statements[i].parse(p);
            n->line = line;
            return n;
        }
    if (p->at->type == JINJA_NAME)
        jinja_syntax(p, "unknown tag '%.*s'", (int)(p->at->n < 40 ? p->at->n : 40), p->at->text);
    else
        jinja_syntax(p, "the name of a tag is expected here");
    return jinja_node(p, JN_CONST);
}

static bool at_end(struct jinja_parser *p, const char *const ends[])
{
    for (; ends && *ends; ends++)
        if (jinja_at_name(p, *ends))
            return true;
    return false;
}

static struct jinja_node *data_node(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_DATA);
    struct jv_str *s = arena_alloc(&p->t->arena, sizeof(*s));
    *s = (struct jv_str){.p = p->at->text, .n = p->at->n, .n_chars = SIZE_MAX};
    n->value = (struct jv){.type = JV_STR, .u.str = s};
    p->at++;
    return n;
}

static void parse_body(struct jinja_parser *p, struct jinja_nodes *body, const char *const ends[])
{
    int line = p->at->line;
    while (!p->rc && p->at->type != JINJA_EOF) {
        if (p->at->type == JINJA_DATA) {
            jinja_append(p, body, data_node(p));
            continue;
        }
        if (p->at->type == JINJA_PRINT_BEGIN) {
            struct jinja_node *n = jinja_node(p, JN_PRINT);
            p->at++;
            jinja_append(p, &n->list, jinja_parse_tuple(p, true, NULL));
            if (p->at->type != JINJA_PRINT_END)
                jinja_syntax(p, "'}}' is expected here");
            p->at += !p->rc;
            jinja_append(p, body, n);
            continue;
        }
        p->at++; /* JINJA_BLOCK_BEGIN */
        if (at_end(p, ends))
            return;
        struct jinja_node *n = parse_statement(p);
        if (!p->rc)
            expect_block_end(p);
        jinja_append(p, body, n);
    }
    if (!p->rc && ends)
        jinja_syntax(p, "'%s' is missing for the block of line %d", ends[0], line);
}

/* Line ends become '\n', and one at the very end goes, as jinja2 reads a template. */
static const char *normal_source(struct jinja *t, const char *source, size_t *n, struct err *e)
{
    char *text = arena_try_array(&t->arena, *n + 1, 1, "a chat template", e);
    size_t used = 0;
    for (size_t i = 0; text && i < *n; i++) {
        text[used++] = source[i] == '\r' ? '\n' : source[i];
        i += source[i] == '\r' && i + 1 < *n && source[i + 1] == '\n';
    }
    *n = used && text[used - 1] == '\n' ? used - 1 : used;
    return text;
}

int jinja_parse(struct jinja **out, const char *source, size_t n, struct err *e)
{
    *out = NULL;
    if (n > JINJA_MAX_SOURCE)
        return err_set(e, ERR_FORMAT, "chat template: has %zu bytes (at most %zu)", n,
                       JINJA_MAX_SOURCE);
    struct jinja *t = mem_alloc(sizeof(*t));
    struct jinja_tokens tokens;
    const char *text = normal_source(t, source, &n, e);
    int rc = text ? jinja_lex(&tokens, text, n, &t->arena, e) : ERR_NOMEM;
    if (!rc) {
        struct jinja_parser p = {.t = t, .at = tokens.v, .e = e};
        parse_body(&p, &t->body, NULL);
        rc = p.rc;
    }
    if (rc) {
        jinja_free(t);
        return rc;
    }
    *out = t;
    return 0;
}

void jinja_free(struct jinja *t)
{
    if (!t)
        return;
    map_release(&t->names);
    arena_release(&t->arena);
    free(t);
}

int jinja_mentions(const struct jinja *t, const char *name)
{
    return map_get_str(&t->names, name) != NULL;
}
