/* convert.c - see convert.h. */
#include "cli/convert.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "cli/progress.h"
#include "format/checkpoint.h"
#include "format/convert.h"
#include "format/mix.h"
#include "format/weights.h"
#include "tensor/dtype.h"
#include "text/tokenizer_put.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define UNIT 1000000 /* bytes that the bar counts as one */

struct watch {
    const struct convert_command *o;
    const struct checkpoint *in;
    struct progress progress;
};

static bool on_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct watch *w = ctx;
    if (!w->o->quiet && total >= UNIT)
        progress_step(&w->progress, (int)(done / UNIT), (int)(total / UNIT));
    return !w->o->cancel || !atomic_load(w->o->cancel);
}

/* A file of the model's folder; empty if absent. */
static int read_beside(const char *dir, const char *name, char **text, struct span *out,
                       struct err *e)
{
    char *path = file_join(dir, name);
    int rc = 0;
    *text = NULL;
    *out = (struct span){"", 0};
    if (file_exists(path)) {
        rc = file_read(path, WEIGHTS_MAX_TEXT, text, &out->n, e);
        out->p = *text ? *text : "";
    }
    free(path);
    return rc;
}

/* The tokenizer of a folder from Hugging Face. */
static int describe(void *ctx, struct gguf_writer *w, struct err *e)
{
    static const char *const names[3] = {"tokenizer.json", "tokenizer_config.json",
                                         "chat_template.jinja"};
    struct watch *watch = ctx;
    const char *dir = checkpoint_path(watch->in);
    const struct ckpt_tensor *tokens = checkpoint_find(watch->in, "token_embd.weight");
    struct tokenizer_files f = {.n_vocab = tokens ? (size_t)tokens->dim[0] : 0};
    struct span *const spans[3] = {&f.json, &f.config, &f.template};
    char *texts[3] = {NULL, NULL, NULL};
    int rc = 0;
    for (int i = 0; !rc && i < 3; i++)
        rc = read_beside(dir, names[i], &texts[i], spans[i], e);
    if (!rc && !f.json.n)
        message_warn("%s: no tokenizer.json; the file gets no tokenizer", dir);
    else if (!rc && (rc = tokenizer_put(&f, w, e)))
        err_prefix(e, "%s", dir);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
    return rc;
}

/* "q4_k, q4_0": every name there is. */
static char *mix_names(void)
{
    struct buf b;
    buf_init(&b, 1024);
    for (size_t i = 0; mix_at(i); i++)
        buf_printf(&b, "%s%s", i ? ", " : "", mix_at(i)->name);
    return buf_take(&b);
}

static int parse_type(const char *text, struct convert_options *o, struct err *e)
{
    o->type = DTYPE_OTHER;
    if (!text)
        return 0;
    o->mix = mix_find(text);
    if (o->mix) {
        o->type = o->mix->type;
        return 0;
    }
    char *names = mix_names();
    err_set(e, ERR_ARG, "type %s: not one of %s", text, names);
    free(names);
    return ERR_ARG;
}

static void print_result(const struct convert_command *o, FILE *out)
{
    struct stat st;
    long long size = stat(o->out, &st) == 0 ? (long long)st.st_size : 0;
    if (!o->json) {
        fprintf(out, "%s  %.1f MB\n", o->out, (double)size / 1e6);
        return;
    }
    json_t *root = json_pack("{s:s, s:s, s:I}", "in", o->in, "out", o->out, "bytes",
                             (json_int_t)size);
    char *text = json_dumps(root, JSON_INDENT(2));
    fprintf(out, "%s\n", text ? text : "{}");
    free(text);
    json_decref(root);
}

int convert_run(const struct convert_command *o, FILE *out, struct err *e)
{
    struct watch w = {.o = o};
    struct convert_options options = {
        .progress = on_progress, .ctx = &w, .n_threads = o->n_threads};
    struct checkpoint *c;
    int rc = parse_type(o->type, &options, e);
    if (!rc && !o->force && file_exists(o->out))
        rc = err_set(e, ERR_ARG, "%s: is there already; --force replaces it", o->out);
    if (!rc)
        rc = checkpoint_open(&c, o->in, e);
    if (rc)
        return rc;
    w.in = c;
    if (checkpoint_is_huggingface(c))
        options.describe = describe;
    progress_begin(&w.progress, 2, "MB");
    rc = convert_checkpoint(c, o->out, &options, e);
    progress_end(&w.progress);
    checkpoint_close(c);
    if (!rc)
        print_result(o, out);
    return rc;
}

static int command(const struct options *o, const char *type, struct err *e)
{
    const struct option_value *threads = &o->value[OPTION_THREADS];
    const struct convert_command wanted = {.in = o->operands[0],
                                           .out = o->operands[1],
                                           .type = type,
                                           .n_threads = threads->given ? (int)threads->whole : 0,
                                           .force = o->value[OPTION_FORCE].given,
                                           .json = o->value[OPTION_JSON].given,
                                           .quiet = o->value[OPTION_QUIET].given,
                                           .cancel = interrupt_flag()};
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return err_set(e, ERR_NOMEM, "not enough memory for the result");
    int rc = convert_run(&wanted, out, e);
    if (fclose(out) == 0 && !rc)
        rc = message_out(text, n, e);
    free(text);
    return rc;
}

int command_convert(const struct options *o, struct err *e)
{
    const struct option_value *type = &o->value[OPTION_TYPE];
    return command(o, type->given ? type->text : NULL, e);
}

int command_quantize(const struct options *o, struct err *e)
{
    return command(o, o->operands[2], e);
}
