/* pytorch.c - see pytorch.h. */
#include "format/pytorch.h"

#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PICKLE ((size_t)64 << 20)
#define MAX_NAME   4096
#define MAX_DEPTH  8

/* What a checkpoint's pickle may name. The last rows are leftovers of trainers: PyTorch
 * Lightning's and NumPy's. They become values that nobody looks at. */
static const char *const globals[] = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.nn.parameter.Parameter",
    "torch.nn.modules.container.ParameterDict",
    "torch.Size",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.BFloat16Storage",
    "torch.DoubleStorage",
    "torch.LongStorage",
    "torch.IntStorage",
    "torch.ShortStorage",
    "torch.CharStorage",
    "torch.ByteStorage",
    "torch.BoolStorage",
    "__builtin__.set",
    "builtins.set",
    "_codecs.encode",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "pytorch_lightning.",
    NULL,
};

/* The element types of storages. */
static const struct element {
    const char *name;
    enum dtype type;
    const char *type_name; /* as safetensors calls it */
    size_t size;
} elements[] = {
    {"torch.FloatStorage", DTYPE_F32, "F32", 4},
    {"torch.HalfStorage", DTYPE_F16, "F16", 2},
    {"torch.BFloat16Storage", DTYPE_BF16, "BF16", 2},
    {"torch.DoubleStorage", DTYPE_OTHER, "F64", 8},
    {"torch.LongStorage", DTYPE_OTHER, "I64", 8},
    {"torch.IntStorage", DTYPE_I32, "I32", 4},
    {"torch.ShortStorage", DTYPE_OTHER, "I16", 2},
    {"torch.CharStorage", DTYPE_OTHER, "I8", 1},
    {"torch.ByteStorage", DTYPE_OTHER, "U8", 1},
    {"torch.BoolStorage", DTYPE_OTHER, "BOOL", 1},
};

#define N_ELEMENTS      (sizeof(elements) / sizeof(elements[0]))
#define BIG_ENDIAN_FILE "written on a big-endian machine; save it again on a little-endian one"

static const unsigned char legacy_magic[] = "\x80\2\x8a\nl\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

#define LEGACY_MAGIC (sizeof(legacy_magic) - 1)

bool pytorch_probe(const void *data, size_t n)
{
    return zip_probe(data, n) ||
           (n >= LEGACY_MAGIC && memcmp(data, legacy_magic, LEGACY_MAGIC) == 0);
}

/* The bytes of a storage by its key. */
struct blob {
    const unsigned char *data;
    size_t size;
};

struct reader {
    struct pytorch *p;
    struct map blobs;   /* older files: key -> struct blob */
    const char *prefix; /* zip: "archive/"; else NULL */
    struct err *e;
};

static int find_blob(struct reader *r, const char *tensor, const char *key, struct blob *b)
{
    if (!r->prefix) {
        const struct blob *found = map_get_str(&r->blobs, key);
        if (!found)
            return err_set(r->e, ERR_FORMAT, "tensor %s: its storage %.64s is missing", tensor,
                           key);
        *b = *found;
        return 0;
    }
    char *name = mem_printf("%sdata/%.200s", r->prefix, key);
    struct zip_entry *entry = zip_find(&r->p->zip, name);
    free(name);
    if (!entry)
        return err_set(r->e, ERR_FORMAT, "tensor %s: its storage %.64s is missing", tensor, key);
    b->size = entry->size;
    return zip_read(&r->p->zip, entry, &b->data, r->e);
}

static const struct pickle_value *item(const struct pickle_value *list, size_t i)
{
    return list && list->kind == PICKLE_LIST && i < list->n ? list->items[i] : NULL;
}

static bool is_kind(const struct pickle_value *v, enum pickle_kind kind)
{
    return v && v->kind == kind;
}

static bool is_call(const struct pickle_value *v, const char *function)
{
    return is_kind(v, PICKLE_OBJECT) && strcmp(v->callee->text, function) == 0;
}

static const struct element *element_of(const struct pickle_value *class)
{
    for (size_t i = 0; is_kind(class, PICKLE_GLOBAL) && i < N_ELEMENTS; i++)
        if (strcmp(elements[i].name, class->text) == 0)
            return &elements[i];
    return NULL;
}

/* ("storage", torch.FloatStorage, key, device, elements[, None]) */
static int read_storage(struct reader *r, const char *name, const struct pickle_value *v,
                        const struct element **element, struct blob *blob)
{
    const struct pickle_value *id = is_kind(v, PICKLE_PERSISTENT) ? v->args : NULL;
    const struct pickle_value *class = item(id, 1), *key = item(id, 2), *view = item(id, 5);
    if (!is_kind(class, PICKLE_GLOBAL) || !is_kind(key, PICKLE_TEXT) ||
        (view && view->kind != PICKLE_NONE))
        return err_set(r->e, ERR_FORMAT, "tensor %s: its storage is not described as expected",
                       name);
    *element = element_of(class);
    if (!*element)
        return err_set(r->e, ERR_UNSUPPORTED, "tensor %s: %.100s is no storage", name, class->text);
    return find_blob(r, name, key->text, blob);
}

/* Dimensions and whether the elements lie in order. */
static int read_shape(struct reader *r, struct file_tensor *t, const struct pickle_value *size,
                      const struct pickle_value *stride, uint64_t *count, bool *in_order)
{
    uint64_t n = 1;
    bool good = is_kind(size, PICKLE_LIST) && is_kind(stride, PICKLE_LIST) && size->n == stride->n;
    if (!good || size->n > FILE_TENSOR_MAX_DIM)
        return err_set(r->e, ERR_FORMAT, "tensor %s: its shape is not as expected", t->name);
    t->n_dim = (int)size->n;
    *in_order = true;
    for (int i = t->n_dim - 1; i >= 0; i--) {
        const struct pickle_value *d = size->items[i], *s = stride->items[i];
        if (d->kind != PICKLE_INT || s->kind != PICKLE_INT || d->number < 0 ||
            __builtin_mul_overflow(n, (uint64_t)d->number, count))
            return err_set(r->e, ERR_FORMAT, "tensor %s: its shape is not as expected", t->name);
        t->dim[i] = d->number;
        *in_order &= d->number <= 1 || (s->number > 0 && (uint64_t)s->number == n);
        n = *count;
    }
    *count = n;
    *in_order |= n == 0;
    return 0;
}

static struct file_tensor *new_tensor(struct reader *r)
{
    struct pytorch *p = r->p;
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 256;
        struct file_tensor *more = mem_try_array(cap, sizeof(*more), "the list of tensors", r->e);
        if (!more)
            return NULL;
        if (p->n)
            memcpy(more, p->tensors, p->n * sizeof(*more));
        free(p->tensors);
        p->tensors = more;
        p->cap = cap;
    }
    return &p->tensors[p->n];
}

/* args: (storage, offset, size, stride, ...) */
static int add_tensor(struct reader *r, const char *name, const struct pickle_value *args)
{
    const struct pickle_value *offset = item(args, 1);
    const struct element *element = NULL;
    struct blob blob = {0};
    uint64_t count = 0, first, end;
    bool in_order = true;
    struct file_tensor *t = new_tensor(r);
    if (!t)
        return ERR_NOMEM;
    *t = (struct file_tensor){.name = arena_strdup(&r->p->arena, name)};
    int rc = read_storage(r, t->name, item(args, 0), &element, &blob);
    if (!rc)
        rc = read_shape(r, t, item(args, 2), item(args, 3), &count, &in_order);
    if (rc)
        return rc;
    if (!is_kind(offset, PICKLE_INT) || offset->number < 0 ||
        __builtin_mul_overflow((uint64_t)offset->number, element->size, &first) ||
        __builtin_mul_overflow(count, element->size, &end) ||
        __builtin_add_overflow(end, first, &end) || (in_order && end > blob.size) ||
        first > blob.size)
        return err_set(r->e, ERR_FORMAT,
                       "tensor %s: it reaches beyond the %zu bytes of its storage; the file is "
                       "damaged",
                       t->name, blob.size);
    t->type = in_order ? element->type : DTYPE_OTHER;
    t->type_name = in_order ? element->type_name
                            : arena_printf(&r->p->arena, "%s out of order", element->type_name);
    t->data = blob.data + first;
    t->size = in_order ? end - first : 0;
    r->p->n++;
    return 0;
}

static int walk(struct reader *r, struct pickle_value *v, const char *name, int depth);

static int walk_items(struct reader *r, const struct pickle_value *v, const char *name, int depth)
{
    int rc = 0;
    for (size_t i = 0; !rc && i + 1 < v->n; i += 2) {
        const struct pickle_value *key = v->items[i];
        if (key->kind != PICKLE_TEXT)
            continue; /* an optimizer's state */
        char *full = mem_printf("%s%s%.*s", name, *name ? "." : "", MAX_NAME, key->text);
        rc = walk(r, v->items[i + 1], full, depth + 1);
        free(full);
    }
    return rc;
}

/* Adds the tensors in v and below; cycles and shared dictionaries are walked once. */
static int walk(struct reader *r, struct pickle_value *v, const char *name, int depth)
{
    if (is_call(v, "torch._utils._rebuild_parameter") || is_call(v, "torch.nn.parameter.Parameter"))
        v = item(v->args, 0) ? v->args->items[0] : v;
    if (is_call(v, "torch._utils._rebuild_tensor_v2") || is_call(v, "torch._utils._rebuild_tensor"))
        return add_tensor(r, *name ? name : "tensor", v->args);
    bool holds = is_kind(v, PICKLE_DICT) || is_call(v, "collections.OrderedDict") ||
                 is_call(v, "torch.nn.modules.container.ParameterDict");
    if (!holds || v->seen || depth > MAX_DEPTH || strlen(name) > MAX_NAME)
        return 0;
    v->seen = true;
    int rc = walk_items(r, v, name, depth);
    struct pickle_value *parameters = pickle_get(v->state, "_parameters");
    return rc || !parameters ? rc : walk(r, parameters, name, depth);
}

/* What trainers wrap the weights in, best first: averaged weights before the last ones. */
static struct pickle_value *unwrap(struct pickle_value *root)
{
    static const char *const wrappers[] = {"state_dict", "params_ema", "params"};
    for (size_t i = 0; i < sizeof(wrappers) / sizeof(wrappers[0]); i++) {
        struct pickle_value *v = pickle_get(root, wrappers[i]);
        if (v && (v->kind == PICKLE_DICT || v->kind == PICKLE_OBJECT))
            return v;
    }
    return root;
}

static int check_names(const struct pytorch *p, struct err *e)
{
    struct map seen = {0};
    int rc = 0;
    for (size_t i = 0; !rc && i < p->n; i++)
        if (map_put(&seen, p->tensors[i].name, strlen(p->tensors[i].name), &p->tensors[i]))
            rc = err_set(e, ERR_FORMAT, "tensor %s appears twice", p->tensors[i].name);
    map_release(&seen);
    return rc;
}

static int add_all(struct reader *r)
{
    int rc = walk(r, unwrap(r->p->pickle.root), "", 0);
    if (!rc && !r->p->n)
        rc = err_set(r->e, ERR_FORMAT, "it holds no tensors");
    return rc ? rc : check_names(r->p, r->e);
}

/* The part of the name in front of "data.pkl"; heap, or NULL. */
static char *find_prefix(const struct zip *z)
{
    static const char end[] = "data.pkl";
    for (size_t i = 0; i < z->n; i++) {
        size_t n = strlen(z->entries[i].name), m = strlen(end);
        if (n >= m && strcmp(z->entries[i].name + n - m, end) == 0 &&
            (n == m || z->entries[i].name[n - m - 1] == '/'))
            return mem_strndup(z->entries[i].name, n - m);
    }
    return NULL;
}

static int read_zip_entry(struct reader *r, const char *prefix, const char *name, struct blob *b)
{
    char *full = mem_printf("%s%s", prefix, name);
    struct zip_entry *entry = zip_find(&r->p->zip, full);
    free(full);
    *b = (struct blob){.size = entry ? entry->size : 0};
    if (b->size > MAX_PICKLE)
        return err_set(r->e, ERR_FORMAT, "its %s of %zu bytes is longer than any model's", name,
                       b->size);
    return entry ? zip_read(&r->p->zip, entry, &b->data, r->e) : 0;
}

static int parse_zip(struct reader *r, const void *data, size_t n)
{
    struct blob pickle, order;
    int rc = zip_parse(&r->p->zip, data, n, r->e);
    char *prefix = rc ? NULL : find_prefix(&r->p->zip);
    if (!rc && !prefix)
        rc = err_set(r->e, ERR_FORMAT, "a zip archive, but none that PyTorch wrote (no data.pkl)");
    if (!rc)
        rc = read_zip_entry(r, prefix, "byteorder", &order);
    if (!rc && order.size && (order.size < 6 || memcmp(order.data, "little", 6) != 0))
        rc = err_set(r->e, ERR_UNSUPPORTED, BIG_ENDIAN_FILE);
    if (!rc)
        rc = read_zip_entry(r, prefix, "data.pkl", &pickle);
    if (!rc)
        rc = pickle_parse(&r->p->pickle, pickle.data, pickle.size, globals, r->e);
    r->prefix = prefix;
    if (!rc)
        rc = add_all(r);
    free(prefix);
    return rc;
}

/* Older files: the bytes of the storages, in the order of `keys`, follow the pickles. Their types
 * stand where the pickle refers to them. */
static int read_blobs(struct reader *r, const struct pickle_value *keys, struct blob *blobs,
                      const unsigned char *p, size_t n)
{
    const struct pickle_value *all = r->p->pickle.persistent;
    struct map types = {0};
    int rc = 0;
    for (size_t i = 0; i < all->n; i++) {
        const struct pickle_value *key = item(all->items[i], 2);
        const struct element *element = element_of(item(all->items[i], 1));
        if (element && is_kind(key, PICKLE_TEXT))
            map_put(&types, key->text, strlen(key->text), (void *)(uintptr_t)element);
    }
    for (size_t i = 0; !rc && i < keys->n; i++) {
        const char *key = keys->items[i]->kind == PICKLE_TEXT ? keys->items[i]->text : "";
        const struct element *element = map_get_str(&types, key);
        uint64_t count = 0;
        for (int k = 7; n >= 8 && k >= 0; k--)
            count = count << 8 | p[k];
        if (!element || n < 8 || count > (n - 8) / element->size)
            rc = err_set(r->e, ERR_FORMAT,
                         "storage %.64s lies outside the file; it is damaged or was not downloaded "
                         "completely",
                         key);
        if (rc)
            break;
        blobs[i] = (struct blob){p + 8, (size_t)count * element->size};
        map_put(&r->blobs, key, strlen(key), &blobs[i]);
        p += 8 + blobs[i].size;
        n -= 8 + blobs[i].size;
    }
    map_release(&types);
    return rc;
}

/* The version, the writer's system, the tensors and the keys, each a pickle. */
static int parse_legacy(struct reader *r, const unsigned char *p, size_t n)
{
    struct pickle extra[2];
    struct blob *blobs = NULL;
    int rc = 0;
    memset(extra, 0, sizeof(extra));
    p += LEGACY_MAGIC;
    n -= LEGACY_MAGIC;
    for (int i = 0; !rc && i < 4; i++) {
        struct pickle *to = i == 2 ? &r->p->pickle : &extra[i / 2];
        pickle_release(to);
        rc = pickle_parse(to, p, n, globals, r->e);
        const struct pickle_value *little = i == 1 ? pickle_get(to->root, "little_endian") : NULL;
        if (little && !little->number)
            rc = err_set(r->e, ERR_UNSUPPORTED, BIG_ENDIAN_FILE);
        p += to->used;
        n -= to->used;
    }
    const struct pickle_value *keys = extra[1].root;
    if (!rc && !is_kind(keys, PICKLE_LIST))
        rc = err_set(r->e, ERR_FORMAT, "its list of storages is damaged");
    if (!rc)
        blobs = mem_try_array(keys->n + 1, sizeof(*blobs), "the list of storages", r->e);
    if (!rc)
        rc = blobs ? read_blobs(r, keys, blobs, p, n) : ERR_NOMEM;
    if (!rc)
        rc = add_all(r);
    map_release(&r->blobs);
    free(blobs);
    pickle_release(&extra[0]);
    pickle_release(&extra[1]);
    return rc;
}

int pytorch_parse(struct pytorch *p, const void *data, size_t n, struct err *e)
{
    struct reader r = {.p = p, .e = e};
    *p = (struct pytorch){0};
    int rc = zip_probe(data, n) ? parse_zip(&r, data, n) : parse_legacy(&r, data, n);
    if (rc)
        pytorch_release(p);
    return rc;
}

void pytorch_release(struct pytorch *p)
{
    free(p->tensors);
    pickle_release(&p->pickle);
    zip_release(&p->zip);
    arena_release(&p->arena);
    *p = (struct pytorch){0};
}
