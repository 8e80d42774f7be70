/* jinja_exec.c - statements, scopes and loops; see jinja_eval.h. */
#include "text/jinja_eval.h"

#include "base/buf.h"
#include "base/err.h"
#include "text/jinja.h"
#include "text/jinja_builtins.h"
#include "text/jinja_text.h"

#include <jansson.h>
#include <string.h>
#include <time.h>

/* Scopes */

struct jinja_scope *jinja_scope_new(struct jinja_vm *vm, struct jinja_scope *parent)
{
    struct jinja_scope *s = jv_alloc(vm, 1, sizeof(*s));
    if (s)
        s->parent = parent;
    return s;
}

void jinja_scope_set(struct jinja_vm *vm, struct jinja_scope *s, const char *name, struct jv v)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->v[i].name == name) {
            s->v[i].v = v;
            return;
        }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 4;
        struct jinja_binding *more = jv_alloc(vm, cap, sizeof(*more));
        if (!more)
            return;
        if (s->n)
            memcpy(more, s->v, s->n * sizeof(*more));
        s->v = more;
        s->cap = cap;
    }
    s->v[s->n++] = (struct jinja_binding){name, v};
}

const struct jv *jinja_scope_get(const struct jinja_scope *s, const char *name)
{
    for (; s; s = s->parent)
        for (size_t i = 0; i < s->n; i++)
            if (s->v[i].name == name)
                return &s->v[i].v;
    return NULL;
}

static void assign_tuple(struct jinja_vm *vm, struct jinja_scope *s,
                         const struct jinja_nodes *targets, struct jv v)
{
    struct jv list = jv_list_of(vm, v);
    if (vm->rc)
        return;
    if (list.u.list->n != targets->n) {
        jv_fail(vm, "cannot unpack %zu value(s) into %zu names", list.u.list->n, targets->n);
        return;
    }
    for (size_t i = 0; i < targets->n; i++)
        jinja_assign(vm, s, targets->v[i], list.u.list->v[i]);
}

static void assign_attr(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *target,
                        struct jv v)
{
    const struct jv *ns = jinja_scope_get(s, target->name);
    if (!ns || ns->type != JV_NAMESPACE)
        jv_fail(vm, "cannot assign attribute on non-namespace object '%s'", target->name);
    else if (target->value.u.str->p[0] == '_')
        jv_fail(vm, "a namespace takes no attribute that begins with an underscore");
    else
        jv_put(vm, *ns, target->value, v);
}

void jinja_assign(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *target,
                  struct jv v)
{
    if (vm->rc)
        return;
    if (target->kind == JN_TUPLE)
        assign_tuple(vm, s, &target->list, v);
    else if (target->kind == JN_NSREF)
        assign_attr(vm, s, target, v);
    else
        jinja_scope_set(vm, s, target->name, v);
}

struct jv jinja_capture(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_nodes *b)
{
    struct buf text, *out = vm->out;
    jv_buf_init(vm, &text);
    vm->out = &text;
    jinja_exec(vm, s, b);
    vm->out = out;
    return jv_str_take(vm, &text);
}

/* Loops */

/* The next item that passes the loop's condition, from the source. */
static bool fetch(struct jinja_vm *vm, struct jinja_loop *l, struct jv *item)
{
    struct jinja_scope *s = NULL;
    while (jv_next(vm, &l->items, item)) {
        if (!l->filtered)
            return true;
        if (!s && !(s = jinja_scope_new(vm, l->scope)))
            return false;
        jinja_assign(vm, s, l->node->a, *item);
        if (!vm->rc && jv_truth(jinja_eval(vm, s, l->node->c)))
            return !vm->rc;
    }
    return false;
}

static bool peek(struct jinja_vm *vm, struct jinja_loop *l)
{
    if (!l->has_next)
        l->has_next = fetch(vm, l, &l->next);
    return l->has_next;
}

/* Items in all. Fetches what is left. */
static int64_t loop_length(struct jinja_vm *vm, struct jinja_loop *l)
{
    struct jv rest = jv_list(vm, JV_LIST, 0), item;
    while (!vm->rc && fetch(vm, l, &item))
        jv_push(vm, rest, item);
    if (vm->rc)
        return 0;
    l->filtered = false;
    l->items = (struct jv_iter){.of = rest};
    return (int64_t)(l->index0 + 1 + l->has_next + rest.u.list->n);
}

static struct jv loop_cycle(struct jinja_vm *vm, struct jv_call *c)
{
    if (!c->n_args)
        return jv_fail(vm, "no items for cycling given");
    return c->args[c->self.u.loop->index0 % c->n_args];
}

static struct jv loop_changed(struct jinja_vm *vm, struct jv_call *c)
{
    struct jv now = jv_list(vm, JV_TUPLE, c->n_args);
    for (size_t i = 0; i < c->n_args; i++)
        jv_push(vm, now, c->args[i]);
    struct jinja_loop *l = c->self.u.loop;
    bool changed = l->changed.type == JV_MISSING || !jv_equal(vm, l->changed, now);
    l->changed = now;
    return jv_bool(changed);
}

static const struct jv_builtin loop_methods[] = {
    {"cycle", "*", loop_cycle}, {"changed", "*", loop_changed}, {NULL, NULL, NULL}};

bool jinja_loop_attr(struct jinja_vm *vm, struct jv loop, const char *name, struct jv *v)
{
    struct jinja_loop *l = loop.u.loop;
    int64_t i = (int64_t)l->index0;
    if (strcmp(name, "index") == 0)
        *v = jv_int(i + 1);
    else if (strcmp(name, "index0") == 0)
        *v = jv_int(i);
    else if (strcmp(name, "first") == 0)
        *v = jv_bool(i == 0);
    else if (strcmp(name, "last") == 0)
        *v = jv_bool(!peek(vm, l));
    else if (strcmp(name, "length") == 0)
        *v = jv_int(loop_length(vm, l));
    else if (strcmp(name, "revindex") == 0)
        *v = jv_int(loop_length(vm, l) - i);
    else if (strcmp(name, "revindex0") == 0)
        *v = jv_int(loop_length(vm, l) - i - 1);
    else if (strcmp(name, "depth") == 0)
        *v = jv_int((int64_t)l->depth + 1);
    else if (strcmp(name, "depth0") == 0)
        *v = jv_int((int64_t)l->depth);
    else if (strcmp(name, "previtem") == 0)
        *v = i ? l->before : jv_undefined_hint(vm, "there is no previous item");
    else if (strcmp(name, "nextitem") == 0)
        *v = peek(vm, l) ? l->next : jv_undefined_hint(vm, "there is no next item");
    else {
        const struct jv_builtin *f = jv_builtin_find(loop_methods, name);
        struct jv_method *m = f ? jv_alloc(vm, 1, sizeof(*m)) : NULL;
        if (!m)
            return false;
        *m = (struct jv_method){f, loop};
        *v = (struct jv){.type = JV_METHOD, .u.method = m};
    }
    return true;
}

static bool advance(struct jinja_vm *vm, struct jinja_loop *l)
{
    struct jv item;
    if (!peek(vm, l))
        return false;
    item = l->next;
    l->before = l->item;
    l->index0 += l->has_item;
    l->has_item = true;
    l->has_next = false;
    l->item = item;
    return true;
}

static void exec_for(struct jinja_vm *vm, struct jinja_loop *l)
{
    const struct jinja_node *n = l->node;
    const char *loop_name = map_get_str(vm->names, "loop");
    struct jinja_scope *s = NULL;
    enum jinja_flow flow = JINJA_NEXT;
    while (flow != JINJA_BREAK && advance(vm, l)) {
        if (!s || s->kept)
            s = jinja_scope_new(vm, l->scope);
        if (!s)
            return;
        s->n = 0;
        if (loop_name)
            jinja_scope_set(vm, s, loop_name, (struct jv){.type = JV_LOOP, .u.loop = l});
        jinja_assign(vm, s, n->a, l->item);
        flow = jinja_exec(vm, s, &n->body);
    }
    if (!l->has_item && n->other.n && (s = jinja_scope_new(vm, l->scope)))
        jinja_exec(vm, s, &n->other);
}

static void start_loop(struct jinja_vm *vm, const struct jinja_loop *how, struct jv items)
{
    struct jinja_loop *l = jv_alloc(vm, 1, sizeof(*l));
    if (!l || !jv_iterate(vm, &l->items, items))
        return;
    l->node = how->node;
    l->scope = how->scope;
    l->depth = how->depth;
    l->filtered = how->node->c != NULL;
    exec_for(vm, l);
}

struct jv jinja_run_loop(struct jinja_vm *vm, const struct jinja_loop *outer, struct jv items)
{
    struct jinja_loop how = {.node = outer->node, .scope = outer->scope, .depth = outer->depth + 1};
    struct buf text, *out = vm->out;
    if (!jv_enter(vm))
        return jv_undefined();
    jv_buf_init(vm, &text);
    vm->out = &text;
    start_loop(vm, &how, items);
    vm->out = out;
    jv_leave(vm);
    return jv_str_take(vm, &text);
}

/* Statements */

static enum jinja_flow exec_if(struct jinja_vm *vm, struct jinja_scope *s,
                               const struct jinja_node *n)
{
    for (size_t i = 0; i < n->list.n && !vm->rc; i++) {
        const struct jinja_node *branch = n->list.v[i];
        if (!branch->a || jv_truth(jinja_eval(vm, s, branch->a)))
            return jinja_exec(vm, s, &branch->body);
    }
    return JINJA_NEXT;
}

static void print(struct jinja_vm *vm, struct jv v)
{
    if (!vm->rc)
        jv_put_str(vm, vm->out, v);
    if (buf_failed(vm->out))
        jv_fail(vm, "the text is too long");
}

/* The text through the filters of a block; the innermost has no input of its own. */
static struct jv apply_filters(struct jinja_vm *vm, struct jinja_scope *s,
                               const struct jinja_node *n, struct jv text)
{
    if (!n || vm->rc)
        return text;
    if (!n->builtin)
        return jv_fail(vm, "no filter named '%s'", n->name);
    if (!jv_enter(vm))
        return jv_undefined();
    struct jv_method m = {n->builtin, apply_filters(vm, s, n->a, text)};
    struct jv f = {.type = JV_METHOD, .u.method = &m};
    struct jv v = vm->rc ? text : jinja_call_node(vm, s, n, f, (struct jv){.type = JV_MISSING});
    jv_leave(vm);
    return v;
}

static struct jv capture_inside(struct jinja_vm *vm, struct jinja_scope *s,
                                const struct jinja_node *n)
{
    struct jinja_scope *inner = jinja_scope_new(vm, s);
    return inner ? jinja_capture(vm, inner, &n->body) : jv_undefined();
}

static void exec_call_block(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n)
{
    struct jv caller = jinja_macro_new(vm, s, n);
    struct jv f = jinja_eval(vm, s, n->a->a);
    print(vm, jinja_call_node(vm, s, n->a, f, caller));
}

static void exec_with(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_node *n)
{
    struct jinja_scope *inner = jinja_scope_new(vm, s);
    for (size_t i = 0; inner && i < n->list.n && !vm->rc; i++)
        jinja_assign(vm, inner, n->list.v[i]->a, jinja_eval(vm, s, n->list.v[i]->b));
    if (!vm->rc)
        jinja_exec(vm, inner, &n->body);
}

static enum jinja_flow exec_node(struct jinja_vm *vm, struct jinja_scope *s,
                                 const struct jinja_node *n)
{
    struct jv v;
    switch (n->kind) {
    case JN_DATA:
        print(vm, n->value);
        break;
    case JN_PRINT:
        for (size_t i = 0; i < n->list.n && !vm->rc; i++)
            print(vm, jinja_eval(vm, s, n->list.v[i]));
        break;
    case JN_SET:
        jinja_assign(vm, s, n->a, jinja_eval(vm, s, n->b));
        break;
    case JN_SET_BLOCK:
        v = capture_inside(vm, s, n);
        jinja_assign(vm, s, n->a, apply_filters(vm, s, n->b, v));
        break;
    case JN_FOR:
        start_loop(vm, &(struct jinja_loop){.node = n, .scope = s}, jinja_eval(vm, s, n->b));
        break;
    case JN_IF:
        return exec_if(vm, s, n);
    case JN_MACRO:
        jinja_scope_set(vm, s, n->name, jinja_macro_new(vm, s, n));
        break;
    case JN_CALL_BLOCK:
        exec_call_block(vm, s, n);
        break;
    case JN_FILTER_BLOCK:
        v = capture_inside(vm, s, n);
        print(vm, apply_filters(vm, s, n->a, v));
        break;
    case JN_WITH:
        exec_with(vm, s, n);
        break;
    case JN_SCOPE:
        print(vm, capture_inside(vm, s, n));
        break;
    case JN_BREAK:
        return JINJA_BREAK;
    case JN_CONTINUE:
        return JINJA_CONTINUE;
    default:
        jv_fail(vm, "this cannot be run");
        break;
    }
    return JINJA_NEXT;
}

enum jinja_flow jinja_exec(struct jinja_vm *vm, struct jinja_scope *s, const struct jinja_nodes *b)
{
    enum jinja_flow flow = JINJA_NEXT;
    if (!jv_enter(vm))
        return JINJA_BREAK;
    for (size_t i = 0; i < b->n && flow == JINJA_NEXT && jv_step(vm, 1); i++) {
        vm->line = b->v[i]->line;
        flow = exec_node(vm, s, b->v[i]);
    }
    jv_leave(vm);
    return vm->rc ? JINJA_BREAK : flow;
}

static struct jinja_vm vm_new(struct buf *out, struct err *e)
{
    return (struct jinja_vm){
        .heap_left = JINJA_MAX_HEAP, .steps_left = JINJA_MAX_STEPS, .out = out, .e = e};
}

int jinja_render(const struct jinja *t, const json_t *variables, const struct tm *now,
                 struct buf *out, struct err *e)
{
    struct jinja_vm vm = vm_new(out, e);
    struct tm local;
    time_t clock = time(NULL);
    vm.names = &t->names;
    vm.now = now ? now : localtime_r(&clock, &local);
    struct jinja_scope *root = jinja_scope_new(&vm, NULL);
    struct jinja_scope *top = root ? jinja_scope_new(&vm, root) : NULL;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)variables, key, value)
    {
        const char *name = map_get_str(&t->names, key);
        if (name && !vm.rc) /* what the template never names needs no conversion */
            jinja_scope_set(&vm, root, name, jv_from_json(&vm, value));
    }
    if (!vm.rc && top)
        jinja_exec(&vm, top, &t->body);
    arena_release(&vm.heap);
    return vm.rc;
}

int jinja_put_json(struct buf *out, const json_t *v, bool compact, struct err *e)
{
    struct jinja_vm vm = vm_new(out, e);
    const struct jv_json_style style = {.indent = -1,
                                        .item_separator = ", ",
                                        .item_separator_n = compact ? 1 : 2,
                                        .key_separator = ": ",
                                        .key_separator_n = compact ? 1 : 2};
    struct jv value = jv_from_json(&vm, v);
    if (!vm.rc)
        jv_put_json(&vm, out, value, &style);
    if (!vm.rc && buf_failed(out))
        jv_fail(&vm, "the text is too long");
    arena_release(&vm.heap);
    return vm.rc;
}
