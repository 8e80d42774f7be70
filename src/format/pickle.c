/* pickle.c - see pickle.h. */
#include "format/pickle.h"

#include "base/err.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define MAX_VALUES ((size_t)2 << 20) /* a checkpoint has a few ten thousand */
#define MAX_TEXT   ((size_t)16 << 20)

enum opcode {
    PROTO = 0x80,
    FRAME = 0x95,
    STOP = '.',
    MARK = '(',
    NONE = 'N',
    NEWTRUE = 0x88,
    NEWFALSE = 0x89,
    BININT = 'J',
    BININT1 = 'K',
    BININT2 = 'M',
    LONG1 = 0x8a,
    LONG4 = 0x8b,
    BINFLOAT = 'G',
    BINSTRING = 'T',
    SHORT_BINSTRING = 'U',
    BINBYTES = 'B',
    SHORT_BINBYTES = 'C',
    BINUNICODE = 'X',
    SHORT_BINUNICODE = 0x8c,
    BINUNICODE8 = 0x8d,
    EMPTY_DICT = '}',
    EMPTY_LIST = ']',
    EMPTY_TUPLE = ')',
    TUPLE = 't',
    TUPLE1 = 0x85,
    TUPLE2 = 0x86,
    TUPLE3 = 0x87,
    LIST = 'l',
    DICT = 'd',
    APPEND = 'a',
    APPENDS = 'e',
    SETITEM = 's',
    SETITEMS = 'u',
    GLOBAL = 'c',
    STACK_GLOBAL = 0x93,
    REDUCE = 'R',
    NEWOBJ = 0x81,
    BUILD = 'b',
    BINPERSID = 'Q',
    BINPUT = 'q',
    LONG_BINPUT = 'r',
    MEMOIZE = 0x94,
    BINGET = 'h',
    LONG_BINGET = 'j'
};

struct machine {
    const unsigned char *start, *p, *end;
    const char *const *globals;
    struct arena *arena;
    struct pickle_value **stack, **memo;
    struct pickle_value *persistent;
    size_t n_stack, cap_stack, n_memo, cap_memo;
    size_t n_values, n_items, n_text; /* limited: the pickle may be hostile */
    int rc;
    struct err *e;
};

static void fail(struct machine *m, const char *what)
{
    if (!m->rc)
        m->rc = err_set(m->e, ERR_FORMAT, "its pickle is damaged at byte %zu: %s",
                        (size_t)(m->p - m->start), what);
}

/* n bytes, or NULL. */
static const unsigned char *take(struct machine *m, uint64_t n)
{
    if (m->rc || n > (uint64_t)(m->end - m->p)) {
        fail(m, "it ends too early");
        return NULL;
    }
    m->p += n;
    return m->p - n;
}

static uint64_t number(struct machine *m, int bytes)
{
    const unsigned char *p = take(m, (uint64_t)bytes);
    uint64_t v = 0;
    for (int i = bytes - 1; p && i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

/* Makes room for one more pointer. */
static bool grow(struct machine *m, struct pickle_value ***v, size_t n, size_t *cap, bool arena)
{
    if (n < *cap)
        return true;
    size_t more = *cap ? 2 * *cap : 8;
    struct pickle_value **bigger = arena ? arena_try_array(m->arena, more, sizeof(*bigger),
                                                           "a pickle", m->e)
                                         : mem_try_array(more, sizeof(*bigger), "a pickle", m->e);
    if (!bigger) {
        m->rc = ERR_NOMEM;
        return false;
    }
    if (n)
        memcpy(bigger, *v, n * sizeof(*bigger));
    if (!arena)
        free(*v);
    *v = bigger;
    *cap = more;
    return true;
}

static void push(struct machine *m, struct pickle_value *v)
{
    if (m->n_stack >= MAX_VALUES)
        fail(m, "its stack is deeper than any model needs");
    if (!m->rc && v && grow(m, &m->stack, m->n_stack, &m->cap_stack, false))
        m->stack[m->n_stack++] = v;
}

static struct pickle_value *new_value(struct machine *m, enum pickle_kind kind)
{
    if (m->rc)
        return NULL;
    if (++m->n_values > MAX_VALUES) {
        fail(m, "it holds more values than any model");
        return NULL;
    }
    struct pickle_value *v = arena_try_array(m->arena, 1, sizeof(*v), "a pickle", m->e);
    if (v)
        v->kind = kind;
    else
        m->rc = ERR_NOMEM;
    return v;
}

static struct pickle_value *push_new(struct machine *m, enum pickle_kind kind)
{
    struct pickle_value *v = new_value(m, kind);
    push(m, v);
    return m->rc ? NULL : v;
}

static void push_number(struct machine *m, enum pickle_kind kind, int64_t number)
{
    struct pickle_value *v = push_new(m, kind);
    if (v)
        v->number = number;
}

/* The topmost value, which is no mark. */
static struct pickle_value *pop(struct machine *m)
{
    if (m->rc || !m->n_stack || m->stack[m->n_stack - 1]->kind == PICKLE_MARK) {
        fail(m, "its stack is empty");
        return NULL;
    }
    return m->stack[--m->n_stack];
}

static struct pickle_value *top(struct machine *m)
{
    struct pickle_value *v = pop(m);
    m->n_stack += v != NULL;
    return v;
}

static void append(struct machine *m, struct pickle_value *to, struct pickle_value *v)
{
    if (++m->n_items > 4 * MAX_VALUES)
        fail(m, "it holds more values than any model");
    if (!m->rc && grow(m, &to->items, to->n, &to->cap, true))
        to->items[to->n++] = v;
}

/* Index of the first value above the last mark; without a mark, a failure. */
static size_t above_mark(struct machine *m)
{
    size_t i = m->n_stack;
    while (i > 0 && m->stack[i - 1]->kind != PICKLE_MARK)
        i--;
    if (!i)
        fail(m, "a mark is missing");
    return i;
}

/* Moves what is above the mark to a list or dictionary below it. */
static void collect(struct machine *m, struct pickle_value *to)
{
    size_t first = above_mark(m);
    if (m->rc || !to)
        return;
    if (to->kind != PICKLE_LIST && (m->n_stack - first) % 2) {
        fail(m, "a key without a value");
        return;
    }
    for (size_t i = first; i < m->n_stack; i++)
        append(m, to, m->stack[i]);
    m->n_stack = first - 1;
}

/* APPENDS and SETITEMS: the target lies below the mark. */
static void collect_below(struct machine *m, bool list)
{
    size_t first = above_mark(m);
    struct pickle_value *to = !m->rc && first > 1 ? m->stack[first - 2] : NULL;
    if (!to ||
        (list ? to->kind != PICKLE_LIST : to->kind != PICKLE_DICT && to->kind != PICKLE_OBJECT))
        fail(m, "items for something that holds none");
    collect(m, to);
}

static void collect_new(struct machine *m, enum pickle_kind kind)
{
    struct pickle_value *v = new_value(m, kind);
    collect(m, v);
    push(m, v);
}

static void tuple(struct machine *m, size_t n)
{
    struct pickle_value *v = new_value(m, PICKLE_LIST);
    if (m->n_stack < n)
        fail(m, "its stack is empty");
    for (size_t i = 0; !m->rc && i < n; i++) {
        if (m->stack[m->n_stack - n + i]->kind == PICKLE_MARK)
            fail(m, "its stack is empty");
        append(m, v, m->stack[m->n_stack - n + i]);
    }
    if (!m->rc)
        m->n_stack -= n;
    push(m, v);
}

static void one_item(struct machine *m, bool list)
{
    struct pickle_value *v = pop(m), *key = list ? v : pop(m), *to = top(m);
    if (!to ||
        (list ? to->kind != PICKLE_LIST : to->kind != PICKLE_DICT && to->kind != PICKLE_OBJECT))
        fail(m, "an item for something that holds none");
    if (!m->rc && !list)
        append(m, to, key);
    if (!m->rc)
        append(m, to, v);
}

static void text(struct machine *m, uint64_t n)
{
    const unsigned char *p = take(m, n);
    if (p && (m->n_text += n) > MAX_TEXT)
        fail(m, "its texts are longer than any model's");
    struct pickle_value *v = m->rc ? NULL : push_new(m, PICKLE_TEXT);
    if (v)
        v->text = arena_strndup(m->arena, (const char *)p, n);
}

/* Integers beyond 64 bits keep their low ones: only legacy files' magic number is one. */
static void long_integer(struct machine *m, uint64_t n)
{
    const unsigned char *p = take(m, n);
    uint64_t v = p && n && p[n - 1] & 0x80 ? UINT64_MAX : 0;
    for (uint64_t i = n < 8 ? n : 8; p && i > 0; i--)
        v = v << 8 | p[i - 1];
    push_number(m, PICKLE_INT, (int64_t)v);
}

static bool is_known(const char *const *globals, const char *name)
{
    for (; *globals; globals++) {
        size_t n = strlen(*globals);
        if ((*globals)[n - 1] == '.' ? strncmp(name, *globals, n) == 0
                                     : strcmp(name, *globals) == 0)
            return true;
    }
    return false;
}

static void push_global(struct machine *m, const char *module, size_t n, const char *name,
                        size_t n_name)
{
    struct pickle_value *v = push_new(m, PICKLE_GLOBAL);
    if (!v)
        return;
    v->text = arena_printf(m->arena, "%.*s.%.*s", (int)n, module, (int)n_name, name);
    if (!is_known(m->globals, v->text))
        m->rc = err_set(m->e, ERR_UNSUPPORTED,
                        "its pickle asks for %.200s, which no tensor needs; nothing was run: take "
                        "the model as safetensors, or save only its state_dict",
                        v->text);
}

static const unsigned char *line(struct machine *m, size_t *n)
{
    const unsigned char *p = m->p, *end = memchr(p, '\n', (size_t)(m->end - p));
    if (!end || end - p > 1000) {
        fail(m, "a name does not end");
        return NULL;
    }
    *n = (size_t)(end - p);
    m->p = end + 1;
    return p;
}

static void global(struct machine *m, bool from_stack)
{
    size_t n = 0, n_name = 0;
    if (from_stack) {
        struct pickle_value *name = pop(m), *module = pop(m);
        if (!module || !name || name->kind != PICKLE_TEXT || module->kind != PICKLE_TEXT)
            fail(m, "a name is no text");
        else if (strlen(module->text) > 1000 || strlen(name->text) > 1000)
            fail(m, "a name does not end");
        else
            push_global(m, module->text, strlen(module->text), name->text, strlen(name->text));
        return;
    }
    const unsigned char *module = line(m, &n), *name = module ? line(m, &n_name) : NULL;
    if (name)
        push_global(m, (const char *)module, n, (const char *)name, n_name);
}

static void call(struct machine *m)
{
    struct pickle_value *args = pop(m), *callee = pop(m);
    struct pickle_value *v = push_new(m, PICKLE_OBJECT);
    if (!v)
        return;
    if (callee->kind != PICKLE_GLOBAL || args->kind != PICKLE_LIST)
        fail(m, "a call of something that is no function");
    v->callee = callee;
    v->args = args;
}

static void build(struct machine *m)
{
    struct pickle_value *state = pop(m), *v = top(m);
    if (v && v->kind != PICKLE_OBJECT)
        fail(m, "a state for something that has none");
    else if (v)
        v->state = state;
}

static void put(struct machine *m, uint64_t i)
{
    struct pickle_value *v = top(m);
    if (i > MAX_VALUES)
        fail(m, "a reference is out of range");
    while (!m->rc && m->n_memo <= i && grow(m, &m->memo, m->n_memo, &m->cap_memo, false))
        m->memo[m->n_memo++] = NULL;
    if (!m->rc)
        m->memo[i] = v;
}

static void get(struct machine *m, uint64_t i)
{
    if (i >= m->n_memo || !m->memo[i])
        fail(m, "a reference is out of range");
    else
        push(m, m->memo[i]);
}

static void persistent(struct machine *m)
{
    struct pickle_value *id = pop(m), *v = push_new(m, PICKLE_PERSISTENT);
    if (!v)
        return;
    v->args = id;
    append(m, m->persistent, id);
}

/* Instructions that make one value from the bytes behind them; false for others. */
static bool run_scalar(struct machine *m, int op)
{
    switch (op) {
    case NONE:
        push_new(m, PICKLE_NONE);
        return true;
    case NEWTRUE:
    case NEWFALSE:
        push_number(m, PICKLE_BOOL, op == NEWTRUE);
        return true;
    case BININT:
        push_number(m, PICKLE_INT, (int32_t)(uint32_t)number(m, 4));
        return true;
    case BININT1:
    case BININT2:
        push_number(m, PICKLE_INT, (int64_t)number(m, op == BININT1 ? 1 : 2));
        return true;
    case LONG1:
    case LONG4:
        long_integer(m, number(m, op == LONG1 ? 1 : 4));
        return true;
    case BINFLOAT:
        take(m, 8);
        push_new(m, PICKLE_REAL);
        return true;
    case SHORT_BINSTRING:
    case SHORT_BINBYTES:
    case SHORT_BINUNICODE:
        text(m, number(m, 1));
        return true;
    case BINSTRING:
    case BINBYTES:
    case BINUNICODE:
        text(m, number(m, 4));
        return true;
    case BINUNICODE8:
        text(m, number(m, 8));
        return true;
    default:
        return false;
    }
}

/* Instructions on lists, tuples and dictionaries; false for others. */
static bool run_container(struct machine *m, int op)
{
    switch (op) {
    case MARK:
        push_new(m, PICKLE_MARK);
        return true;
    case EMPTY_DICT:
        push_new(m, PICKLE_DICT);
        return true;
    case EMPTY_LIST:
    case EMPTY_TUPLE:
        push_new(m, PICKLE_LIST);
        return true;
    case TUPLE:
    case LIST:
        collect_new(m, PICKLE_LIST);
        return true;
    case DICT:
        collect_new(m, PICKLE_DICT);
        return true;
    case TUPLE1:
    case TUPLE2:
    case TUPLE3:
        tuple(m, (size_t)(op - TUPLE1 + 1));
        return true;
    case APPEND:
    case SETITEM:
        one_item(m, op == APPEND);
        return true;
    case APPENDS:
    case SETITEMS:
        collect_below(m, op == APPENDS);
        return true;
    default:
        return false;
    }
}

static void run_other(struct machine *m, int op)
{
    switch (op) {
    case PROTO:
        take(m, 1);
        break;
    case FRAME:
        take(m, 8);
        break;
    case GLOBAL:
    case STACK_GLOBAL:
        global(m, op == STACK_GLOBAL);
        break;
    case REDUCE:
    case NEWOBJ:
        call(m);
        break;
    case BUILD:
        build(m);
        break;
    case BINPERSID:
        persistent(m);
        break;
    case BINPUT:
    case LONG_BINPUT:
        put(m, number(m, op == BINPUT ? 1 : 4));
        break;
    case MEMOIZE:
        put(m, m->n_memo);
        break;
    case BINGET:
    case LONG_BINGET:
        get(m, number(m, op == BINGET ? 1 : 4));
        break;
    default:
        fail(m, "an instruction that no checkpoint needs");
    }
}

int pickle_parse(struct pickle *p, const void *data, size_t n, const char *const *globals,
                 struct err *e)
{
    *p = (struct pickle){0};
    struct machine m = {.start = data,
                        .p = data,
                        .end = (const unsigned char *)data + n,
                        .globals = globals,
                        .arena = &p->arena,
                        .e = e};
    m.persistent = new_value(&m, PICKLE_LIST);
    while (!m.rc) {
        int op = (int)number(&m, 1);
        if (m.rc || op == STOP)
            break;
        if (!run_scalar(&m, op) && !run_container(&m, op))
            run_other(&m, op);
    }
    p->root = m.rc ? NULL : pop(&m);
    p->persistent = m.persistent;
    p->used = (size_t)(m.p - m.start);
    free(m.stack);
    free(m.memo);
    if (m.rc)
        pickle_release(p);
    return m.rc;
}

void pickle_release(struct pickle *p)
{
    arena_release(&p->arena);
    *p = (struct pickle){0};
}

struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key)
{
    bool holds = dict && (dict->kind == PICKLE_DICT || dict->kind == PICKLE_OBJECT);
    for (size_t i = 0; holds && i + 1 < dict->n; i += 2)
        if (dict->items[i]->kind == PICKLE_TEXT && strcmp(dict->items[i]->text, key) == 0)
            return dict->items[i + 1];
    return NULL;
}
