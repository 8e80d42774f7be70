/* lar.h - the C library of Lar: models that run on this machine.
 *
 *     struct lar_error e = {0};
 *     struct lar *lar;
 *     struct lar_image_model *model;
 *     struct lar_draw draw;
 *     lar_open(&lar, 0, &e);
 *     lar_image_model_open(&model, lar, "model.safetensors", &e);
 *     lar_draw_init(&draw, model);
 *     draw.prompt = "a lighthouse at dusk";
 *     draw.on_picture = save;
 *     if (lar_draw(model, &draw, &e))
 *         fprintf(stderr, "%s\n", e.text);
 *     lar_image_model_close(model);
 *     lar_close(lar);
 *
 * Functions that can fail return 0 or a negative LAR_ERR_* and explain it in the last argument,
 * which may be NULL. Nothing is printed and the process is never ended, but when memory for a few
 * bytes is gone. Strings are UTF-8 and borrowed for the call. What belongs to one `struct lar` is
 * used by one thread at a time; lar_cancel() may be called from any thread and from a signal
 * handler. Until version 1.0 structs may grow: compile against the header of the library you run.
 */
#ifndef LAR_H
#define LAR_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LAR_API __attribute__((visibility("default")))

enum lar_error_code {
    LAR_OK = 0,
    LAR_ERR_ARG = -1,         /* an option or argument is wrong */
    LAR_ERR_NOT_FOUND = -2,   /* something named does not exist */
    LAR_ERR_FORMAT = -3,      /* a file or text is malformed */
    LAR_ERR_UNSUPPORTED = -4, /* valid, but not supported */
    LAR_ERR_NOMEM = -5,       /* not enough memory */
    LAR_ERR_IO = -6,          /* reading or writing failed */
    LAR_ERR_CANCELLED = -7,   /* by lar_cancel() or a callback */
    LAR_ERR_NUMERIC = -8,     /* a computation gave NaN or infinity */
    LAR_ERR_INTERNAL = -9     /* a bug in Lar */
};

/* Start with a zeroed one; it keeps the first failure. */
struct lar_error {
    int code;        /* enum lar_error_code */
    char text[1024]; /* one sentence that names the file, tensor, field or option, and what to do */
};

LAR_API const char *lar_version(void); /* "0.1.0" */

/* A processor and its threads; n_threads 0: one per core. */
struct lar;
LAR_API int lar_open(struct lar **lar, int n_threads, struct lar_error *e);
LAR_API void lar_close(struct lar *lar);                /* after its models; NULL is fine */
LAR_API const char *lar_backend(const struct lar *lar); /* "cpu-avx512bf16" */
/* Ends the running lar_draw() or lar_generate() within a step with LAR_ERR_CANCELLED; does nothing
 * otherwise. */
LAR_API void lar_cancel(struct lar *lar);

/* ---- pictures ---- */

/* 8 bits per sample, rows from the top without padding. */
struct lar_picture {
    int width, height;
    int channels;        /* 3: RGB, 4: RGBA with straight alpha */
    unsigned char *data; /* [height, width, channels] */
};

/* Reads a PNG, JPEG or WebP, turned upright. Release it. */
LAR_API int lar_picture_read(const char *path, struct lar_picture *p, struct lar_error *e);
LAR_API void lar_picture_release(struct lar_picture *p);

/* ---- drawing ---- */

/* A text-to-image model: Stable Diffusion 1.x, 2.x, XL and their relatives, from a safetensors or
 * GGUF file or a diffusers folder; the file itself says which. It uses `lar` until it is closed. */
struct lar_image_model;
LAR_API int lar_image_model_open(struct lar_image_model **m, struct lar *lar, const char *path,
                                 struct lar_error *e);
LAR_API void lar_image_model_close(struct lar_image_model *m); /* NULL is fine */

enum lar_phase { LAR_ENCODING, LAR_STEPPING, LAR_DECODING };

struct lar_progress {
    enum lar_phase phase;    /* what begins now */
    int step, n_steps;       /* model evaluations of this picture, done and in all */
    int picture, n_pictures; /* 0 .. n_pictures - 1 */
};

/* A finished picture; all of it is borrowed for the callback. */
struct lar_drawn {
    struct lar_picture picture; /* copy it to keep it */
    int index;                  /* 0 .. n_pictures - 1 */
    uint64_t seed;              /* draws it again */
    const char *recipe;         /* the settings as JSON, but for the pictures and files used */
};

/* Files are opened when lar_draw() begins. Weight 1 is as trained, 0 switches it off. */
struct lar_lora {
    const char *path;
    double weight;
};

/* A ControlNet and the picture it keeps to. */
struct lar_control {
    const char *net; /* file or folder */
    const struct lar_picture *picture;
    double weight;
    double start, end; /* the part of the steps in which it acts; end 0 means 1 */
    int canny;         /* `picture` is any picture: its edges are found first */
};

/* A picture whose style or face to follow, through an IP-Adapter. */
struct lar_reference {
    const char *adapter; /* the IP-Adapter's file */
    const char *encoder; /* its CLIP vision model */
    const struct lar_picture *picture;
    double weight;
};

/* What to draw. lar_draw_init() fills in the model's own defaults. Everything is borrowed until
 * lar_draw() returns. */
struct lar_draw {         /* NOLINT(clang-analyzer-optin.performance.Padding): in reading order */
    const char *prompt;   /* may be ""; "(word:1.3)", "[word]" and BREAK as in AUTOMATIC1111 */
    const char *negative; /* what should not be there; NULL: nothing */
    int width, height;    /* pixels, multiples of 8 */
    int steps;            /* from noise to picture */
    double guidance;      /* how closely to follow the prompt; <= 1 is off and twice as fast */
    double guidance_rescale; /* 0 .. 1; 0: off */
    const char *sampler;     /* "euler", "dpmpp_2m", ...: `lar help draw` lists them */
    const char *schedule;    /* "model", "karras", ... */
    const char *noise;       /* "philox" (as CUDA) or "mt19937" (as PyTorch's CPU) */
    const char *precision;   /* of activations: "f32" or "bf16" */
    uint64_t seed;           /* of the first picture; the next ones count up */
    int n_pictures;
    uint64_t variation;              /* another seed, mixed in */
    double variation_strength;       /* 0: off, to 1 */
    int clip_skip;                   /* 1: the text encoder's last layer, as AUTOMATIC1111 counts */
    const struct lar_picture *image; /* start from this picture, scaled to fit; NULL: from noise */
    double strength;                 /* 0 .. 1: how much of `image` is drawn anew */
    const struct lar_picture *mask;  /* draw only where it is white; the rest of `image` stays */
    int mask_seam;                   /* pixels inside the mask over which new passes into old */
    int mask_area;                   /* draw only the mask's surroundings, at the full size */
    int mask_padding;                /* pixels around the mask to draw with it */
    const char *tileable;       /* "x", "y", "both": the sides fit together; NULL: they need not */
    double hires_scale;         /* > 1: draw again, so much larger, from the first drawing */
    const char *hires_upscaler; /* "latent", "latent-bicubic", "lanczos", or an ESRGAN's file */
    double hires_strength;      /* 0 .. 1: how much is drawn anew then */
    int hires_steps;            /* 0: as many as before */
    const char *const *embeddings; /* files of textual inversions, by their names in the prompts */
    int n_embeddings;
    const struct lar_lora *loras;
    int n_loras;
    const struct lar_control *controls;
    int n_controls; /* at most 8 */
    const struct lar_reference *references;
    int n_references; /* at most 16 */

    /* Called in the thread of lar_draw(); a result other than 0 ends it with LAR_ERR_CANCELLED. */
    int (*on_progress)(const struct lar_progress *p, void *ctx);
    int (*on_preview)(const struct lar_picture *p, int step,
                      void *ctx); /* what it will look like */
    int (*on_picture)(const struct lar_drawn *d, void *ctx);
    void *ctx;
};

LAR_API void lar_draw_init(struct lar_draw *d, const struct lar_image_model *m);
/* Draws n_pictures, each given to on_picture as it is finished. */
LAR_API int lar_draw(struct lar_image_model *m, const struct lar_draw *d, struct lar_error *e);

/* Writes a picture, PNG, JPEG or WebP by the path's ending, whole or not at all. `recipe`, of a
 * struct lar_drawn or NULL, goes inside: as AUTOMATIC1111's parameters and as JSON. */
LAR_API int lar_picture_write(const char *path, const struct lar_picture *p, const char *recipe,
                              struct lar_error *e);
/* Enlarges a picture with an ESRGAN model's file by the model's factor. Release `out`. */
LAR_API int lar_upscale(struct lar *lar, const char *model, const struct lar_picture *in,
                        struct lar_picture *out, struct lar_error *e);

/* ---- text ---- */

/* A language model: a GGUF file or a Hugging Face folder. It uses `lar` until it is closed. What it
 * evaluated stays cached, so a conversation that goes on is not evaluated anew. */
struct lar_text_model;
struct lar_text_options {
    int n_ctx;              /* tokens of prompt and answer; 0: the model's, up to 4096 */
    const char *cache_type; /* of keys and values: "f16", "q8_0", "q4_0"; NULL: f16 */
};
/* `o` may be NULL. */
LAR_API int lar_text_model_open(struct lar_text_model **m, struct lar *lar, const char *path,
                                const struct lar_text_options *o, struct lar_error *e);
LAR_API void lar_text_model_close(struct lar_text_model *m); /* NULL is fine */
LAR_API const char *lar_text_model_name(const struct lar_text_model *m);

/* The tokens of a text, with what the model wants before it; special tokens that are spelled out
 * count as such if `special`. Up to `max` of them are written; the result is how many there are, or
 * a LAR_ERR_*. */
LAR_API int lar_tokenize(const struct lar_text_model *m, const char *text, int special,
                         int32_t *ids, int max, struct lar_error *e);
/* The text of tokens, NUL-terminated, cut to `size` bytes; the result is its whole length without
 * the NUL. */
LAR_API int lar_detokenize(const struct lar_text_model *m, const int32_t *ids, int n, char *text,
                           size_t size);

struct lar_message {
    const char *role; /* "system", "user", "assistant" */
    const char *content;
};

enum lar_finish { LAR_FINISH_STOP, LAR_FINISH_LENGTH };

/* What lar_generate() did. */
struct lar_generated {
    enum lar_finish finish; /* the model, a stop string or a format ended it; or it got too long */
    int n_prompt, n_cached; /* tokens; cached ones were not evaluated */
    int n_generated;
    double prompt_seconds, generation_seconds;
};

/* What to answer: messages through the model's chat template, or a prompt as it is.
 * lar_generate_init() fills in the model's own defaults. Everything is borrowed until
 * lar_generate() returns. */
struct lar_generate {                   /* NOLINT(clang-analyzer-optin.performance.Padding) */
    const struct lar_message *messages; /* [n_messages] */
    int n_messages;
    const char *prompt; /* in place of messages: the model goes on with it */
    int max_tokens;     /* of the answer; < 0: until the context is full */
    double temperature; /* 0: always the likeliest token */
    int top_k;          /* 0: all */
    double top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
    uint64_t seed;           /* the same seed gives the same answer */
    const char *const *stop; /* texts that end the answer; they do not belong to it */
    int n_stop;
    const char *grammar;     /* GBNF that the answer must fit; NULL: none */
    const char *json_schema; /* likewise a JSON Schema; "{}" for any JSON */

    /* New text of the answer, whole characters, NUL-terminated, borrowed for the call. Called in
     * the thread of lar_generate(); a result other than 0 ends it with LAR_ERR_CANCELLED. */
    int (*on_text)(const char *text, size_t n, void *ctx);
    void *ctx;
};

LAR_API void lar_generate_init(struct lar_generate *g, const struct lar_text_model *m);
/* `result` may be NULL; it is also filled in when the answer was cancelled. */
LAR_API int lar_generate(struct lar_text_model *m, const struct lar_generate *g,
                         struct lar_generated *result, struct lar_error *e);

/* ---- embeddings ---- */

/* A model that makes vectors of texts (bert, nomic-bert): a GGUF file or a Hugging Face folder. It
 * uses `lar` until it is closed. */
struct lar_embedder;
LAR_API int lar_embedder_open(struct lar_embedder **m, struct lar *lar, const char *path,
                              struct lar_error *e);
LAR_API void lar_embedder_close(struct lar_embedder *m); /* NULL is fine */
LAR_API int lar_embedder_dimensions(const struct lar_embedder *m);

/* Texts, and room for a vector of length 1 of each. */
struct lar_embed {
    const char *const *texts; /* [n] */
    int n;
    int dimensions; /* only so many of each vector, normalised again; 0: all */
    float *vectors; /* [n, dimensions]: filled in */
    int n_cut;      /* filled in: texts that were longer than the model's context, and cut */
};
LAR_API int lar_embed(struct lar_embedder *m, struct lar_embed *x, struct lar_error *e);

#ifdef __cplusplus
}
#endif

#endif
