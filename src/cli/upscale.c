/* upscale.c - the command `lar upscale`. */
#include "cli/commands.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/interrupt.h"
#include "cli/message.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/show.h"
#include "cpu/cpu.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "format/resize.h"
#include "models/esrgan.h"
#include "pipeline/recipe.h"
#include "pipeline/upscale.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct upscaling {
    const struct option_value *v;
    struct checkpoint *file;
    struct esrgan m;
    struct backend *b;
    struct picture in, out;
    struct picture_text text;
    struct progress progress;
    struct output where; /* checked */
    char *path;          /* of the result */
};

static int on_progress(int done, int total, void *ctx)
{
    struct upscaling *u = ctx;
    if (!u->v[OPTION_QUIET].given)
        progress_step(&u->progress, done, total);
    return 0;
}

/* Beside the input, "x.png" becomes "x-4x.png"; never an existing file. */
static char *choose_path(const char *in, int scale)
{
    const char *dot = strrchr(file_base(in, NULL), '.');
    int n = dot && dot != file_base(in, NULL) ? (int)(dot - in) : (int)strlen(in);
    char *path = mem_printf("%.*s-%dx.png", n, in, scale);
    for (int k = 2; file_exists(path); k++) {
        free(path);
        path = mem_printf("%.*s-%dx-%d.png", n, in, scale, k);
    }
    return path;
}

/* `out` is a file, a folder or NULL. */
static char *result_path(const char *in, const char *out, int scale)
{
    if (out && !file_is_dir(out))
        return mem_strdup(out);
    char *beside = out ? file_join(out, file_base(in, NULL)) : mem_strdup(in);
    char *path = choose_path(beside, scale);
    free(beside);
    return path;
}

/* The name of the network's file without its ending; heap. */
static char *model_name(const char *path)
{
    char *name = mem_strdup(file_base(path, NULL)), *dot = strrchr(name, '.');
    if (dot && dot != name)
        *dot = 0;
    return name;
}

/* The texts of the input go on; a recipe gets a note in both its forms. */
static void note(struct upscaling *u, const char *model, double scale, struct picture_text *to)
{
    struct recipe r;
    bool has = recipe_from_text(&r, &u->text, "", NULL) == 0;
    for (int i = 0; i < u->text.n; i++) {
        const char *key = u->text.items[i].key;
        bool replaced = strcmp(key, "postprocessing") == 0 ||
                        (has && (strcmp(key, "parameters") == 0 || strcmp(key, "lar") == 0));
        if (!replaced)
            picture_text_add(to, key, u->text.items[i].value);
    }
    char *line = mem_printf("Postprocess upscale by: %g, Postprocess upscaler: %s", scale, model);
    picture_text_add(to, "postprocessing", line);
    free(line);
    if (!has)
        return;
    recipe_set(&r.upscaler, model);
    r.upscale = scale;
    recipe_to_text(&r, to);
    recipe_release(&r);
}

/* Another size than the network's is scaled from that. */
static int fit(struct upscaling *u, double scale, struct err *e)
{
    struct picture fitted;
    int w = (int)lrint(u->in.width * scale), h = (int)lrint(u->in.height * scale);
    if (w == u->out.width && h == u->out.height)
        return 0;
    int rc = picture_resize(&u->out, w > 0 ? w : 1, h > 0 ? h : 1, &fitted, e);
    if (rc)
        return rc;
    picture_release(&u->out);
    u->out = fitted;
    return 0;
}

static int tell(const struct upscaling *u, const char *model, struct err *e)
{
    if (!u->v[OPTION_JSON].given) {
        char *line = mem_printf("%s  %dx%d\n", u->path, u->out.width, u->out.height);
        int rc = message_out(line, strlen(line), e);
        free(line);
        if (!rc && !u->v[OPTION_QUIET].given && isatty(STDOUT_FILENO))
            show_picture(&u->out, STDOUT_FILENO);
        return rc;
    }
    json_t *root = json_pack("{s:s, s:i, s:i, s:s, s:s}", "path", u->path, "width", u->out.width,
                             "height", u->out.height, "upscaler", model, "backend", u->b->name);
    char *text = json_dumps(root, JSON_INDENT(2));
    char *line = mem_printf("%s\n", text ? text : "{}");
    int rc = message_out(line, strlen(line), e);
    free(line);
    free(text);
    json_decref(root);
    return rc;
}

static int open_model(struct upscaling *u, const char **path, struct err *e)
{
    *path = u->v[OPTION_MODEL].given ? u->v[OPTION_MODEL].text : getenv("LAR_UPSCALER");
    if (!*path || !**path)
        return err_set(
            e, ERR_ARG,
            "no upscaler: name an ESRGAN or Real-ESRGAN file (.pth, safetensors) with -m "
            "FILE or LAR_UPSCALER=FILE");
    int rc = checkpoint_open(&u->file, *path, e);
    return rc ? rc : esrgan_open(&u->m, u->file, e);
}

static int run(struct upscaling *u, const char *model, double scale, struct err *e)
{
    struct upscale_request r = {.picture = &u->in,
                                .precision = u->b->bf16 ? DTYPE_BF16 : DTYPE_F32,
                                .on_progress = on_progress,
                                .ctx = u,
                                .cancel = interrupt_flag()};
    struct picture_text text = {0};
    if (u->v[OPTION_PRECISION].given)
        r.precision = dtype_from_name(u->v[OPTION_PRECISION].text);
    progress_begin(&u->progress, STDERR_FILENO, "tile");
    int rc = upscale(&u->m, u->b, &r, &u->out, e);
    progress_end(&u->progress);
    if (!rc)
        rc = fit(u, scale, e);
    if (rc)
        return rc;
    note(u, model, scale, &text);
    rc = picture_write(u->path, &u->out, &text, (int)u->v[OPTION_QUALITY].whole, e);
    picture_text_release(&text);
    return rc ? rc : tell(u, model, e);
}

int command_upscale(const struct options *o, struct err *e)
{
    struct upscaling u = {.v = o->value};
    const char *in = o->operands[0], *path, *out = o->n_operands > 1 ? o->operands[1] : NULL;
    char *model = NULL;
    int rc = out && u.v[OPTION_OUTPUT].given
                 ? err_set(e, ERR_ARG, "%s and --output %s: name one of them", out,
                           u.v[OPTION_OUTPUT].text)
                 : 0;
    if (u.v[OPTION_OUTPUT].given)
        out = u.v[OPTION_OUTPUT].text;
    if (!rc && out)
        rc = output_init(&u.where, out, 1, e);
    if (!rc)
        rc = open_model(&u, &path, e);
    if (!rc)
        rc = picture_read(in, &u.in, &u.text, e);
    if (!rc)
        rc = cpu_backend_new(&u.b, u.v[OPTION_THREADS].given ? (int)u.v[OPTION_THREADS].whole : 0,
                             NULL, e);
    if (!rc) {
        double scale = u.v[OPTION_SCALE].given ? u.v[OPTION_SCALE].number : u.m.scale;
        u.path = result_path(in, out, (int)lrint(scale));
        model = model_name(path);
        rc = run(&u, model, scale, e);
    }
    free(model);
    free(u.path);
    output_release(&u.where);
    picture_text_release(&u.text);
    picture_release(&u.in);
    picture_release(&u.out);
    backend_free(u.b);
    esrgan_close(&u.m);
    checkpoint_close(u.file);
    return rc;
}
