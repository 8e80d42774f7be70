/* convert.c - see convert.h. */
#include "cli/convert.h"

#include "base/err.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "cli/progress.h"
#include "format/checkpoint.h"
#include "format/convert.h"
#include "tensor/dtype.h"
#include "tensor/quantise.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define UNIT 1000000 /* bytes that the bar counts as one */

struct watch {
    const struct convert_command *o;
    struct progress progress;
};

static bool on_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct watch *w = ctx;
    if (!w->o->quiet && total >= UNIT)
        progress_step(&w->progress, (int)(done / UNIT), (int)(total / UNIT));
    return !w->o->cancel || !atomic_load(w->o->cancel);
}

static int parse_type(const char *text, enum dtype *type, struct err *e)
{
    *type = text ? dtype_from_name(text) : DTYPE_OTHER;
    if (!text || (dtype_is_float(*type) && (dtype_block(*type) == 1 || quantise_can(*type))))
        return 0;
    return err_set(
        e, ERR_ARG,
        "--type %s: not one of f32, f16, bf16, q8_0, q6_k, q5_k, q5_1, q5_0, q4_k, q4_1, "
        "q4_0, q3_k, q2_k, iq4_nl, iq4_xs, mxfp4",
        text);
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
    struct convert_options options = {.progress = on_progress, .ctx = &w};
    struct checkpoint *c;
    int rc = parse_type(o->type, &options.type, e);
    if (!rc)
        rc = checkpoint_open(&c, o->in, e);
    if (rc)
        return rc;
    progress_begin(&w.progress, 2, "MB");
    rc = convert_checkpoint(c, o->out, &options, e);
    progress_end(&w.progress);
    checkpoint_close(c);
    if (!rc)
        print_result(o, out);
    return rc;
}

int command_convert(const struct options *o, struct err *e)
{
    const struct option_value *type = &o->value[OPTION_TYPE];
    const struct convert_command wanted = {.in = o->operands[0],
                                           .out = o->operands[1],
                                           .type = type->given ? type->text : NULL,
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
