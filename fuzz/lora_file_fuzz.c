/* lora_file_fuzz.c - any lines as tensor names of a LoRA, and any bytes as such a file: every
 * module has a part, every name fits. */
#include "base/err.h"
#include "base/mem.h"
#include "format/lora_file.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct lora_file *f)
{
    double x;
    for (size_t i = 0; i < f->n_modules; i++) {
        const struct lora_module *m = &f->modules[i];
        int parts = 0;
        for (int k = 0; k < N_LORA_PART; k++)
            parts += m->part[k] != NULL;
        if (parts == 0 || strlen(m->name) >= LORA_NAME_MAX)
            abort();
        lora_file_alpha(f, m, 4);
        if (m->part[LORA_ALPHA])
            lora_file_scalar(m->part[LORA_ALPHA], &x);
    }
}

static void check_lines(const uint8_t *data, size_t n)
{
    char *text = mem_strndup((const char *)data, n), *rest = text;
    struct file_tensor *t = mem_alloc((n + 1) * sizeof(*t));
    struct lora_file f = {0};
    size_t lines = 0;
    for (char *line; (line = strtok_r(rest, "\n", &rest));)
        t[lines++] = (struct file_tensor){.name = line, .type = DTYPE_F32, .type_name = "F32"};
    lora_file_read(&f, t, lines, NULL, NULL);
    check(&f);
    lora_file_close(&f);
    free(t);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct safetensors s;
    struct err e = {0};
    check_lines(data, n);
    if (safetensors_parse(&s, data, n, &e) == 0) {
        struct lora_file f = {0};
        if (lora_file_read(&f, s.tensors, s.n, &s.meta, &e) == 0)
            check(&f);
        lora_file_close(&f);
        safetensors_release(&s);
    }
    return 0;
}
