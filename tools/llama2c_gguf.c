/* llama2c_gguf.c - converts a model of llama2.c, stories260K say, to a GGUF file.
 *
 *     llama2c_gguf stories260K.bin tok512.bin stories260K.gguf
 */
#include "base/err.h"
#include "support/llama2c.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct err e = {0};
    if (argc != 4) {
        fputs("usage: llama2c_gguf MODEL.bin TOKENIZER.bin OUT.gguf\n", stderr);
        return 2;
    }
    if (llama2c_convert(argv[1], argv[2], argv[3], &e)) {
        fprintf(stderr, "llama2c_gguf: %s\n", e.text);
        return 1;
    }
    return 0;
}
