/* image_parts.c - see image_parts.h. */
#include "pipeline/image_parts.h"

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "pipeline/image_model.h"

#include <stdlib.h>
#include <string.h>

static bool has_prefix(const struct checkpoint *c, const char *prefix)
{
    for (size_t i = 0; i < checkpoint_n(c); i++)
        if (strncmp(checkpoint_at(c, i)->name, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

/* The name of the file that holds the other side of a TAESD; heap, or NULL when there is none. */
static char *other_side(const char *path)
{
    const char *word = strstr(file_base(path, NULL), "decoder");
    if (!word)
        return NULL;
    char *other = mem_printf("%.*sen%s", (int)(word - path), path, word + strlen("de"));
    if (file_exists(other))
        return other;
    free(other);
    return NULL;
}

static int attach_vae(struct checkpoint *c, const char *path, struct err *e)
{
    struct checkpoint *part, *encoder;
    int rc = checkpoint_open(&part, path, e);
    if (rc)
        return rc;
    if (!has_prefix(part, "vae.")) {
        checkpoint_close(part);
        return err_set(e, ERR_FORMAT, "--vae %s: holds no VAE", path);
    }
    bool alone = !has_prefix(part, "vae.encoder.");
    rc = checkpoint_attach(c, part, "vae.", "vae.", e);
    char *other = alone && !rc ? other_side(path) : NULL;
    if (other) {
        rc = checkpoint_open(&encoder, other, e);
        if (!rc)
            rc = checkpoint_attach(c, encoder, "vae.encoder.", "vae.encoder.", e);
    }
    free(other);
    return rc;
}

/* The width of a text encoder; 0 when there is none. */
static int64_t width_of(const struct checkpoint *c, const char *component)
{
    char *name = mem_printf("%s.text_model.embeddings.token_embedding.weight", component);
    const struct ckpt_tensor *t = checkpoint_find(c, name);
    free(name);
    return t && t->n_dim == 2 ? t->dim[1] : 0;
}

/* Of the only encoder of a file. OpenCLIP's are called the second, wherever they belong. */
static int64_t width_of_part(const struct checkpoint *part)
{
    int64_t first = width_of(part, "text_encoder");
    return first ? first : width_of(part, "text_encoder_2");
}

/* The only encoder of a file to its place, or both of a model's file. Takes `part`. */
static int attach_text(struct checkpoint *c, struct checkpoint *part, bool second, struct err *e)
{
    static const char *const names[2] = {"text_encoder.", "text_encoder_2."};
    struct checkpoint *again;
    bool has[2] = {has_prefix(part, names[0]), has_prefix(part, names[1])};
    if (!has[0] || !has[1])
        return checkpoint_attach(c, part, names[!has[0]], names[second], e);
    int rc = checkpoint_open(&again, checkpoint_path(part), e);
    if (!rc)
        rc = checkpoint_attach(c, again, names[1], names[1], e);
    if (!rc)
        return checkpoint_attach(c, part, names[0], names[0], e);
    checkpoint_close(part);
    return rc;
}

static int attach_texts(struct checkpoint *c, const struct image_files *f, struct err *e)
{
    struct checkpoint *part[2] = {NULL, NULL};
    int64_t width[2] = {0, 0};
    int n = 0, rc = 0;
    for (; !rc && n < 2 && f->text_encoder[n]; n++) {
        rc = checkpoint_open(&part[n], f->text_encoder[n], e);
        width[n] = rc ? 0 : width_of_part(part[n]);
        if (!rc && !width[n])
            rc = err_set(e, ERR_FORMAT, "--text-encoder %s: holds no text encoder that is known",
                         f->text_encoder[n]);
    }
    bool swap = n == 2 && width[0] > width[1];
    bool second = n == 1 && width[0] == width_of(c, "text_encoder_2") &&
                  width[0] != width_of(c, "text_encoder");
    for (int i = 0; i < n; i++) {
        if (!rc)
            rc = attach_text(c, part[i], n == 2 ? (i == 1) != swap : second, e);
        else
            checkpoint_close(part[i]);
    }
    return rc;
}

int image_parts_attach(struct checkpoint *c, const struct image_files *f, struct err *e)
{
    int rc = f->vae ? attach_vae(c, f->vae, e) : 0;
    return rc || !f->text_encoder[0] ? rc : attach_texts(c, f, e);
}

int image_parts_check(const struct checkpoint *c, struct err *e)
{
    if (!has_prefix(c, "text_encoder.") && !has_prefix(c, "text_encoder_2."))
        return err_set(e, ERR_FORMAT,
                       "%s: no text encoder in it; use the complete checkpoint, or name one (two "
                       "for SDXL) with --text-encoder FILE",
                       checkpoint_path(c));
    if (!has_prefix(c, "vae."))
        return err_set(e, ERR_FORMAT,
                       "%s: no VAE in it; use the complete checkpoint, or name one with --vae FILE",
                       checkpoint_path(c));
    return 0;
}
