/* lora_stack.c - see lora_stack.h. */
#include "pipeline/lora_stack.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "format/lora_file.h"
#include "models/lora.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MAX_ID 65536

static int open_one(struct lora_stack *s, const struct checkpoint *model,
                    const struct imagine_lora *l, struct err *e)
{
    struct lora_file *f = &s->files[s->n];
    if (!isfinite(l->unet) || !isfinite(l->text))
        return err_set(e, ERR_ARG, "%s: the weight of a LoRA must be a number", l->path);
    int rc = lora_file_open(f, l->path, e);
    if (rc)
        return rc;
    s->n++;
    return lora_apply(&s->adapters, model, f, (struct lora_strength){l->unet, l->text}, e);
}

/* See text_id. */
static char *identify(const struct imagine_lora *loras, int n)
{
    struct buf id;
    bool known = true;
    buf_init(&id, MAX_ID);
    for (int i = 0; i < n && known; i++) {
        struct stat st;
        if (loras[i].text == 0) /* NOLINT: exactly none */
            continue;
        known = stat(loras[i].path, &st) == 0;
        if (!known)
            break;
        buf_printf(&id, "%llu %llu %lld %lld.%09ld %a\n", (unsigned long long)st.st_dev,
                   (unsigned long long)st.st_ino, (long long)st.st_size,
                   (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, loras[i].text);
    }
    char *text = known && !buf_failed(&id) ? mem_strdup(buf_str(&id)) : NULL;
    buf_release(&id);
    return text;
}

int lora_stack_open(struct lora_stack *s, const struct checkpoint *model,
                    const struct imagine_lora *loras, int n, struct err *e)
{
    int rc = 0;
    *s = (struct lora_stack){.files = mem_alloc((size_t)n * sizeof(*s->files))};
    for (int i = 0; !rc && i < n; i++)
        rc = open_one(s, model, &loras[i], e);
    if (!rc)
        rc = adapters_finish(&s->adapters, e);
    s->text_id = identify(loras, n);
    if (rc)
        lora_stack_close(s);
    return rc;
}

void lora_stack_close(struct lora_stack *s)
{
    adapters_release(&s->adapters);
    for (int i = 0; i < s->n; i++)
        lora_file_close(&s->files[i]);
    free(s->files);
    free(s->text_id);
    *s = (struct lora_stack){0};
}
