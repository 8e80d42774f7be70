/* lora_stack.c - see lora_stack.h. */
#include "pipeline/lora_stack.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/lora_file.h"
#include "models/lora.h"

#include <math.h>
#include <stdlib.h>

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

int lora_stack_open(struct lora_stack *s, const struct checkpoint *model,
                    const struct imagine_lora *loras, int n, struct err *e)
{
    int rc = 0;
    *s = (struct lora_stack){.files = mem_alloc((size_t)n * sizeof(*s->files))};
    for (int i = 0; !rc && i < n; i++)
        rc = open_one(s, model, &loras[i], e);
    if (!rc)
        rc = adapters_finish(&s->adapters, e);
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
    *s = (struct lora_stack){0};
}
