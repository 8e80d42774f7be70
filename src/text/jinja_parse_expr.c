/* jinja_parse_expr.c - expressions, by recursive descent in the order of jinja2's own parser. */
#include "text/jinja_parse.h"

#include "text/jinja_ast.h"
#include "text/jinja_builtins.h"

#include <string.h>

static struct jinja_node *parse_unary(struct jinja_parser *p, bool with_filter);
static struct jinja_node *parse_or(struct jinja_parser *p);

static struct jinja_node *constant(struct jinja_parser *p, struct jv v)
{
    struct jinja_node *n = jinja_node(p, JN_CONST);
    n->value = v;
    return n;
}

static struct jinja_node *pair(struct jinja_parser *p, int kind, struct jinja_node *a,
                               struct jinja_node *b)
{
    struct jinja_node *n = jinja_node(p, kind);
    if (a)
        n->line = a->line;
    n->a = a;
    n->b = b;
    return n;
}

/* Adjacent strings are one. */
static struct jinja_node *parse_string(struct jinja_parser *p)
{
    const struct jinja_token *first = p->at;
    size_t n = 0, used = 0;
    for (const struct jinja_token *t = first; t->type == JINJA_STRING; t++)
        n += t->n;
    struct jv_str *s = arena_alloc(&p->t->arena, sizeof(*s));
    char *text = NULL;
    s->p = first->text;
    if (first[1].type == JINJA_STRING)
        s->p = text = arena_alloc(&p->t->arena, n + 1);
    struct jinja_node *node = constant(p, (struct jv){.type = JV_STR, .u.str = s});
    for (; p->at->type == JINJA_STRING; p->at++) {
        if (text)
            memcpy(text + used, p->at->text, p->at->n);
        used += p->at->n;
    }
    s->n = used;
    s->n_chars = SIZE_MAX;
    s->n_chars = jv_str_chars(s);
    return node;
}

static struct jinja_node *parse_name(struct jinja_parser *p)
{
    static const struct {
        const char *name;
        struct jv v;
    } constants[] = {
        {"true", {JV_BOOL, {.b = true}}},   {"True", {JV_BOOL, {.b = true}}},
        {"false", {JV_BOOL, {.b = false}}}, {"False", {JV_BOOL, {.b = false}}},
        {"none", {JV_NONE, {0}}},           {"None", {JV_NONE, {0}}},
    };
    static const char *const special[] = {"caller", "kwargs", "varargs"};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (jinja_at_name(p, constants[i].name)) {
            struct jinja_node *n = constant(p, constants[i].v);
            p->at++;
            return n;
        }
    struct jinja_node *n = jinja_node(p, JN_NAME);
    n->name = jinja_expect_name(p);
    for (int i = 0; i < 3; i++)
        p->uses |= strcmp(n->name, special[i]) == 0 ? 1 << i : 0;
    return n;
}

/* Items up to the closing bracket, a comma between them and perhaps behind them. */
static struct jinja_node *parse_list(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_LIST);
    p->at++;
    while (!p->rc && !jinja_at_op(p, ']')) {
        jinja_append(p, &n->list, jinja_parse_expression(p));
        if (!jinja_take_op(p, ','))
            break;
    }
    jinja_expect_op(p, ']');
    return n;
}

static struct jinja_node *parse_dict(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node(p, JN_DICT);
    p->at++;
    while (!p->rc && !jinja_at_op(p, '}')) {
        jinja_append(p, &n->list, jinja_parse_expression(p));
        jinja_expect_op(p, ':');
        jinja_append(p, &n->list, jinja_parse_expression(p));
        if (!jinja_take_op(p, ','))
            break;
    }
    jinja_expect_op(p, '}');
    return n;
}

static struct jinja_node *parse_primary(struct jinja_parser *p)
{
    struct jinja_node *n;
    switch (p->at->type) {
    case JINJA_NAME:
        return parse_name(p);
    case JINJA_STRING:
        return parse_string(p);
    case JINJA_INTEGER:
        n = constant(p, jv_int(p->at->u.i));
        p->at++;
        return n;
    case JINJA_FLOAT:
        n = constant(p, jv_float(p->at->u.f));
        p->at++;
        return n;
    default:
        break;
    }
    if (jinja_at_op(p, '['))
        return parse_list(p);
    if (jinja_at_op(p, '{'))
        return parse_dict(p);
    if (jinja_take_op(p, '(')) {
        if (jinja_at_op(p, ')'))
            n = jinja_node(p, JN_TUPLE);
        else
            n = jinja_parse_tuple(p, true, NULL);
        jinja_expect_op(p, ')');
        return n;
    }
    jinja_syntax(p, "an expression is expected here");
    return jinja_node(p, JN_CONST);
}

static void parse_args(struct jinja_parser *p, struct jinja_nodes *args)
{
    jinja_expect_op(p, '(');
    bool named = false;
    while (!p->rc && !jinja_at_op(p, ')')) {
        struct jinja_node *n = NULL;
        if (jinja_take_op(p, '*')) {
            n = pair(p, JN_STAR, jinja_parse_expression(p), NULL);
        } else if (jinja_take_op(p, JINJA_POW)) {
            named = true;
            n = pair(p, JN_STARS, jinja_parse_expression(p), NULL);
        } else if (p->at->type == JINJA_NAME && p->at[1].type == JINJA_OPERATOR &&
                   p->at[1].op == '=') {
            named = true;
            n = jinja_node(p, JN_KEYWORD);
            n->name = jinja_expect_name(p);
            p->at++;
            n->a = jinja_parse_expression(p);
        } else {
            if (named)
                jinja_syntax(p, "a positional argument stands behind named ones");
            n = jinja_parse_expression(p);
        }
        jinja_append(p, args, n);
        if (!jinja_take_op(p, ','))
            break;
    }
    jinja_expect_op(p, ')');
}

/* One part between the brackets of a[...]. */
static struct jinja_node *parse_subscript(struct jinja_parser *p)
{
    struct jinja_node *part[3] = {NULL, NULL, NULL};
    int line = p->at->line;
    if (!jinja_at_op(p, ':')) {
        part[0] = jinja_parse_expression(p);
        if (!jinja_at_op(p, ':'))
            return part[0];
    }
    for (int i = 1; i < 3 && jinja_take_op(p, ':'); i++)
        if (!jinja_at_op(p, ':') && !jinja_at_op(p, ']') && !jinja_at_op(p, ','))
            part[i] = jinja_parse_expression(p);
    struct jinja_node *n = jinja_node(p, JN_SLICE);
    n->line = line;
    n->a = part[0];
    n->b = part[1];
    n->c = part[2];
    return n;
}

static struct jinja_node *parse_item(struct jinja_parser *p, struct jinja_node *of)
{
    struct jinja_node *n = pair(p, JN_ITEM, of, NULL);
    n->b = parse_subscript(p);
    if (jinja_at_op(p, ',')) {
        struct jinja_node *tuple = jinja_node(p, JN_TUPLE);
        jinja_append(p, &tuple->list, n->b);
        while (jinja_take_op(p, ','))
            jinja_append(p, &tuple->list, parse_subscript(p));
        n->b = tuple;
    }
    jinja_expect_op(p, ']');
    return n;
}

static struct jinja_node *parse_dot(struct jinja_parser *p, struct jinja_node *of)
{
    struct jinja_node *n = pair(p, p->at->type == JINJA_INTEGER ? JN_ITEM : JN_ATTR, of, NULL);
    if (p->at->type == JINJA_INTEGER)
        n->b = parse_primary(p);
    else
        n->name = jinja_expect_name(p);
    return n;
}

static struct jinja_node *parse_call(struct jinja_parser *p, struct jinja_node *of)
{
    struct jinja_node *n = pair(p, JN_CALL, of, NULL);
    n->line = p->at->line;
    parse_args(p, &n->list);
    return n;
}

static struct jinja_node *parse_postfix(struct jinja_parser *p, struct jinja_node *n)
{
    while (!p->rc) {
        if (jinja_take_op(p, '.'))
            n = parse_dot(p, n);
        else if (jinja_take_op(p, '['))
            n = parse_item(p, n);
        else if (jinja_at_op(p, '('))
            n = parse_call(p, n);
        else
            break;
    }
    return n;
}

struct jinja_node *jinja_parse_filters(struct jinja_parser *p, struct jinja_node *input,
                                       bool inline_start)
{
    struct jinja_node *n = input;
    while (!p->rc && (inline_start || jinja_take_op(p, '|'))) {
        n = pair(p, JN_FILTER, n, NULL);
        n->line = p->at->line;
        n->name = jinja_expect_name(p);
        n->builtin = jinja_filter_find(n->name);
        if (jinja_at_op(p, '('))
            parse_args(p, &n->list);
        inline_start = false;
    }
    return n;
}

/* An argument may follow without brackets: x is divisibleby 3. */
static bool at_test_argument(const struct jinja_parser *p)
{
    switch (p->at->type) {
    case JINJA_STRING:
    case JINJA_INTEGER:
    case JINJA_FLOAT:
        return true;
    case JINJA_NAME:
        return !jinja_at_name(p, "else") && !jinja_at_name(p, "or") && !jinja_at_name(p, "and");
    case JINJA_OPERATOR:
        return p->at->op == '[' || p->at->op == '{';
    default:
        return false;
    }
}

static struct jinja_node *parse_test(struct jinja_parser *p, struct jinja_node *of)
{
    bool negated = jinja_take_name(p, "not");
    struct jinja_node *n = pair(p, JN_TEST, of, NULL);
    n->line = p->at->line;
    n->name = jinja_expect_name(p);
    n->builtin = jv_builtin_find(jinja_tests, n->name);
    if (jinja_at_op(p, '(')) {
        parse_args(p, &n->list);
    } else if (at_test_argument(p)) {
        if (jinja_at_name(p, "is"))
            jinja_syntax(p, "tests cannot be chained with 'is'");
        jinja_append(p, &n->list, parse_postfix(p, parse_primary(p)));
    }
    return negated ? pair(p, JN_NOT, n, NULL) : n;
}

static struct jinja_node *parse_unary(struct jinja_parser *p, bool with_filter)
{
    struct jinja_node *n;
    if (!jinja_parse_enter(p))
        return jinja_node(p, JN_CONST);
    if (jinja_take_op(p, '-'))
        n = pair(p, JN_NEGATE, parse_unary(p, false), NULL);
    else if (jinja_take_op(p, '+'))
        n = pair(p, JN_PLUS, parse_unary(p, false), NULL);
    else
        n = parse_primary(p);
    n = parse_postfix(p, n);
    while (with_filter && !p->rc) {
        if (jinja_at_op(p, '|'))
            n = jinja_parse_filters(p, n, false);
        else if (jinja_take_name(p, "is"))
            n = parse_test(p, n);
        else if (jinja_at_op(p, '('))
            n = parse_call(p, n);
        else
            break;
    }
    p->depth--;
    return n;
}

/* Operators that associate to the left, from the tightest. */
static struct jinja_node *parse_power(struct jinja_parser *p)
{
    struct jinja_node *n = parse_unary(p, true);
    while (jinja_take_op(p, JINJA_POW)) {
        n = pair(p, JN_BINARY, n, parse_unary(p, true));
        n->op = JINJA_POW;
    }
    return n;
}

static struct jinja_node *parse_product(struct jinja_parser *p)
{
    struct jinja_node *n = parse_power(p);
    while (p->at->type == JINJA_OPERATOR && (p->at->op == '*' || p->at->op == '/' ||
                                             p->at->op == JINJA_FLOORDIV || p->at->op == '%')) {
        int op = p->at++->op;
        n = pair(p, JN_BINARY, n, parse_power(p));
        n->op = op;
    }
    return n;
}

static struct jinja_node *parse_concat(struct jinja_parser *p)
{
    struct jinja_node *first = parse_product(p);
    if (!jinja_at_op(p, '~'))
        return first;
    struct jinja_node *n = jinja_node(p, JN_CONCAT);
    jinja_append(p, &n->list, first);
    while (jinja_take_op(p, '~'))
        jinja_append(p, &n->list, parse_product(p));
    return n;
}

static struct jinja_node *parse_sum(struct jinja_parser *p)
{
    struct jinja_node *n = parse_concat(p);
    while (jinja_at_op(p, '+') || jinja_at_op(p, '-')) {
        int op = p->at++->op;
        n = pair(p, JN_BINARY, n, parse_concat(p));
        n->op = op;
    }
    return n;
}

/* The comparison at hand, taken; 0: none. */
static int take_comparison(struct jinja_parser *p)
{
    static const int ops[] = {JINJA_EQ, JINJA_NE, '<', JINJA_LE, '>', JINJA_GE};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (jinja_take_op(p, ops[i]))
            return ops[i];
    if (jinja_take_name(p, "in"))
        return JINJA_IN;
    if (jinja_at_name(p, "not") && p->at[1].type == JINJA_NAME && p->at[1].n == 2 &&
        memcmp(p->at[1].text, "in", 2) == 0) {
        p->at += 2;
        return JINJA_NOT_IN;
    }
    return 0;
}

static struct jinja_node *parse_comparison(struct jinja_parser *p)
{
    struct jinja_node *first = parse_sum(p), *n = NULL;
    for (int op; (op = take_comparison(p));) {
        if (!n)
            n = pair(p, JN_COMPARE, first, NULL);
        struct jinja_node *operand = pair(p, JN_OPERAND, parse_sum(p), NULL);
        operand->op = op;
        jinja_append(p, &n->list, operand);
    }
    return n ? n : first;
}

static struct jinja_node *parse_not(struct jinja_parser *p)
{
    if (!jinja_at_name(p, "not") || !jinja_parse_enter(p))
        return parse_comparison(p);
    p->at++;
    struct jinja_node *n = pair(p, JN_NOT, parse_not(p), NULL);
    p->depth--;
    return n;
}

static struct jinja_node *parse_and(struct jinja_parser *p)
{
    struct jinja_node *n = parse_not(p);
    while (jinja_take_name(p, "and"))
        n = pair(p, JN_AND, n, parse_not(p));
    return n;
}

static struct jinja_node *parse_or(struct jinja_parser *p)
{
    struct jinja_node *n = parse_and(p);
    while (jinja_take_name(p, "or"))
        n = pair(p, JN_OR, n, parse_and(p));
    return n;
}

struct jinja_node *jinja_parse_expression(struct jinja_parser *p)
{
    if (!jinja_parse_enter(p))
        return jinja_node(p, JN_CONST);
    struct jinja_node *n = parse_or(p);
    while (jinja_take_name(p, "if")) {
        n = pair(p, JN_COND, n, parse_or(p));
        if (jinja_take_name(p, "else"))
            n->c = jinja_parse_expression(p);
    }
    p->depth--;
    return n;
}

static bool at_tuple_end(const struct jinja_parser *p, const char *stop)
{
    return p->at->type == JINJA_BLOCK_END || p->at->type == JINJA_PRINT_END ||
           p->at->type == JINJA_EOF || jinja_at_op(p, ')') || (stop && jinja_at_name(p, stop));
}

struct jinja_node *jinja_parse_tuple(struct jinja_parser *p, bool condition, const char *stop)
{
    struct jinja_node *first = condition ? jinja_parse_expression(p) : parse_or(p);
    if (!jinja_at_op(p, ','))
        return first;
    struct jinja_node *n = jinja_node(p, JN_TUPLE);
    jinja_append(p, &n->list, first);
    while (!p->rc && jinja_take_op(p, ',') && !at_tuple_end(p, stop))
        jinja_append(p, &n->list, condition ? jinja_parse_expression(p) : parse_or(p));
    return n;
}

static struct jinja_node *parse_one_target(struct jinja_parser *p)
{
    struct jinja_node *n;
    if (jinja_at_op(p, '(') && jinja_parse_enter(p)) {
        p->at++;
        n = jinja_parse_target(p, NULL);
        jinja_expect_op(p, ')');
        p->depth--;
        return n;
    }
    n = parse_name(p);
    if (n->kind == JN_CONST)
        jinja_syntax(p, "a constant cannot be assigned to");
    if (jinja_take_op(p, '.')) {
        n->kind = JN_NSREF;
        const char *attr = jinja_expect_name(p);
        struct jv_str *s = arena_alloc(&p->t->arena, sizeof(*s));
        *s = (struct jv_str){.p = attr, .n = strlen(attr), .n_chars = SIZE_MAX};
        s->n_chars = jv_str_chars(s);
        n->value = (struct jv){.type = JV_STR, .u.str = s};
    }
    return n;
}

struct jinja_node *jinja_parse_target(struct jinja_parser *p, const char *stop)
{
    struct jinja_node *first = parse_one_target(p);
    if (!jinja_at_op(p, ','))
        return first;
    struct jinja_node *n = jinja_node(p, JN_TUPLE);
    jinja_append(p, &n->list, first);
    while (!p->rc && jinja_take_op(p, ',') && !at_tuple_end(p, stop))
        jinja_append(p, &n->list, parse_one_target(p));
    return n;
}
