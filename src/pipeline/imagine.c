/* imagine.c - see imagine.h. */
#include "pipeline/imagine.h"

#include "base/err.h"
#include "base/mem.h"
#include "format/checkpoint.h"
#include "format/picture.h"
#include "pipeline/cancel.h"
#include "pipeline/codec.h"
#include "pipeline/condition.h"
#include "pipeline/embedding.h"
#include "pipeline/control.h"
#include "pipeline/guidance.h"
#include "pipeline/image_model.h"
#include "pipeline/inpaint.h"
#include "pipeline/memory.h"
#include "pipeline/preview.h"
#include "pipeline/reference.h"
#include "pipeline/sampler.h"
#include "pipeline/shots.h"
#include "tensor/backend.h"
#include "tensor/tape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SIDE 65536

/* Everything of a running request. */
struct job {
    struct image_model *m;
    struct backend *b;
    const struct imagine_request *r;
    int h, w; /* of the latent */
    size_t n; /* its elements */
    struct lora_stack loras;
    struct condition cond;
    struct schedule schedule;
    struct control control;
    struct references references;
    unsigned active;   /* the ControlNets on the tape: a bit each */
    int together;      /* pictures on the tape */
    struct tape *tape; /* one UNet evaluation: cond.n rows of each */
    struct unet_input in;
    struct tensor *out; /* [together * cond.n, h, w, c] f32 */
    struct codec codec;
    struct inpaint inpaint;
    struct preview preview;
    struct shot shots[SHOTS_MAX];
    float *x;             /* [together, h, w, c]: states */
    float *model, *image; /* [h, w, c]: model's output, source picture's latent */
};

void imagine_init(struct imagine_request *r, const struct image_model *m, const struct backend *b)
{
    const struct image_defaults *d = &m->defaults;
    *r = (struct imagine_request){
        .prompt = "",
        .width = d->width,
        .height = d->height,
        .steps = d->steps,
        .guidance = d->guidance,
        .sampler = d->sampler,
        .schedule = d->schedule,
        .eta = -1,
        .n_pictures = 1,
        .clip_skip = 1,
        .strength = inpaint_wanted(m, NULL) ? 1 : 0.75,
        .mask_seam = INPAINT_SEAM,
        .mask_padding = INPAINT_PADDING,
        .precision = b && b->bf16 ? DTYPE_BF16 : DTYPE_F32,
    };
}

struct imagine_seeds imagine_seeds(const struct imagine_request *r, int i)
{
    bool varied = r->variation_strength > 0 && !r->seeds;
    return (struct imagine_seeds){
        .seed = r->seeds ? r->seeds[i] : r->seed + (varied ? 0 : (uint64_t)i),
        .variation = r->variation + (varied ? (uint64_t)i : 0),
    };
}

static int check(const struct job *j, struct err *e)
{
    const struct imagine_request *r = j->r;
    int factor = image_model_factor(j->m);
    if (r->width < factor || r->height < factor || r->width > MAX_SIDE || r->height > MAX_SIDE ||
        r->width % factor || r->height % factor)
        return err_set(e, ERR_ARG, "size %dx%d: width and height must be multiples of %d up to %d",
                       r->width, r->height, factor, MAX_SIDE);
    if (r->n_pictures < 1 || r->clip_skip < 1)
        return err_set(e, ERR_ARG, "%d pictures, clip skip %d: both must be at least 1",
                       r->n_pictures, r->clip_skip);
    if (!isfinite(r->guidance))
        return err_set(e, ERR_ARG, "guidance must be a number");
    if (!(r->guidance_rescale >= 0 && r->guidance_rescale <= 1))
        return err_set(e, ERR_ARG, "guidance rescale %g: must be from 0 to 1", r->guidance_rescale);
    if (!(r->variation_strength >= 0 && r->variation_strength <= 1))
        return err_set(e, ERR_ARG, "variation strength %g: must be from 0 to 1",
                       r->variation_strength);
    if (r->mask && !r->image)
        return err_set(e, ERR_ARG, "there is a mask but no picture to draw into; give one");
    if (r->mask_seam < 0 || r->mask_padding < 0)
        return err_set(e, ERR_ARG, "seam %d, padding %d: both must be at least 0", r->mask_seam,
                       r->mask_padding);
    if (r->mask_area && r->n_controls)
        return err_set(
            e, ERR_ARG,
            "a ControlNet's picture shows the whole, not the mask's area alone; leave one "
            "of the two out");
    if (r->mask_area && r->wrap)
        return err_set(e, ERR_ARG,
                       "only the mask's area is to be drawn, which has no sides that could fit "
                       "together; leave out one of both");
    if (r->image && !(r->strength > 0 && r->strength <= 1))
        return err_set(e, ERR_ARG, "strength %g: must be above 0 and at most 1", r->strength);
    return 0;
}

/* Records the ControlNets that are active and the UNet for the request's size and some pictures. */
static int record(struct job *j, unsigned active, int together, struct err *e)
{
    const struct unet *u = &j->m->unet;
    struct condition *c = &j->cond;
    struct unet_skips sum;
    int n = c->n * together;
    tape_free(j->tape);
    struct tape *t = j->tape = tape_new(j->r->precision);
    j->active = active;
    j->together = together;
    j->in = (struct unet_input){0};
    tape_adapt(t, &j->loras.adapters);
    tape_wrap(t, j->r->wrap);
    j->in.x = tape_input(t, DTYPE_F32, "latent", 4, (int64_t[]){n, j->h, j->w, u->n_in});
    j->in.time = tape_input(t, DTYPE_F32, "time", 2, (int64_t[]){n, u->n_time});
    j->in.context = tape_constant(t, DTYPE_F32, "context", 3,
                                  (int64_t[]){n, c->n_ctx, u->n_context});
    if (u->n_add)
        j->in.add = tape_constant(t, DTYPE_F32, "add", 2, (int64_t[]){n, u->n_add});
    references_record(&j->references, t, n);
    j->in.control = control_record(&j->control, t, &j->in, active, &sum);
    j->in.more = j->references.more; /* ControlNets know no references */
    j->in.n_more = j->references.n;
    j->out = tape_keep(t, op_cast(t, unet_forward(t, u, &j->in), DTYPE_F32));
    j->in.control = NULL; /* recorded; `sum` ends here */
    return memory_check(t, "drawing", e);
}

/* Part i of n of an input. */
static void fill(const struct tensor *x, int i, int n, const float *from)
{
    size_t size = tensor_size(x) / (size_t)n;
    memcpy((char *)x->data + (size_t)i * size, from, size);
}

/* The UNet's memory lives from here to the end of the sampling: the decoder, which needs more, then
 * takes its place. */
static int plan(struct job *j, struct err *e)
{
    int rc = tape_plan(j->tape, e);
    if (rc)
        return rc;
    for (int i = 0; i < j->together; i++) {
        fill(j->in.context, i, j->together, j->cond.context);
        if (j->in.add)
            fill(j->in.add, i, j->together, j->cond.add);
    }
    control_fill(&j->control);
    references_fill(&j->references, j->cond.n > 1);
    return 0;
}

/* Another tape where other ControlNets act than in the step before. */
static int record_step(struct job *j, const struct sampler *s, struct err *e)
{
    unsigned active = control_active(&j->control, sampler_n_done(s), sampler_n_steps(s));
    if (active == j->active)
        return 0;
    int rc = record(j, active, j->together, e);
    return rc ? rc : plan(j, e);
}

static int alloc_latents(struct job *j, struct err *e)
{
    j->x = mem_try_array(j->n * (size_t)j->together, sizeof(float), "the latent", e);
    j->model = mem_try_array(j->n, sizeof(float), "the latent", e);
    j->image = mem_try_array(j->n, sizeof(float), "the latent", e);
    return j->x && j->model && j->image ? 0 : ERR_NOMEM;
}

static int progress(const struct job *j, enum imagine_phase phase, const struct sampler *s,
                    int picture)
{
    struct imagine_progress p = {phase, s ? sampler_n_done(s) : 0,
                                 s ? sampler_n_steps(s) : j->r->steps, picture, j->r->n_pictures};
    return j->r->on_progress ? j->r->on_progress(&p, j->r->ctx) : 0;
}

/* Where a NaN or infinity comes from: the weights, by name, or the arithmetic. */
static int blame(const struct job *j, struct err *e)
{
    const struct ckpt_tensor *t = checkpoint_find_nonfinite(j->m->file);
    if (t)
        return err_set(e, ERR_NUMERIC, "%s: tensor %s holds NaN or infinity; the file is damaged",
                       t->file, t->name);
    return err_set(e, ERR_NUMERIC,
                   "the picture became NaN although all weights are finite; try other settings, or "
                   "f32 precision");
}

static int check_finite(const struct job *j, const float *x, struct err *e)
{
    for (size_t i = 0; i < j->n; i++)
        if (!isfinite(x[i]))
            return blame(j, e);
    return 0;
}

static int decode(struct job *j, const float *x, struct picture *p, struct err *e)
{
    struct err own = {0};
    int rc = codec_decode(&j->codec, j->b, x, j->r->cancel, p, &own);
    if (rc == ERR_NUMERIC)
        return blame(j, e);
    return rc ? err_set(e, rc, "%s", own.text) : 0;
}

/* The rows of the UNet's input for one picture. */
static void place_input(struct job *j, const struct shot *s, float *in)
{
    size_t n = (size_t)(tensor_n(j->in.x) / j->in.x->dim[0]);
    sampler_scale_input(&s->sampler, s->x, j->inpaint.nine ? j->model : in);
    if (j->inpaint.nine) {
        control_latent(&j->control, j->model);
        inpaint_input(&j->inpaint, j->model, in);
    }
    for (int i = 1; i < j->cond.n; i++)
        memcpy(in + (size_t)i * n, in, n * sizeof(*in));
}

/* Runs the UNet for all pictures at the timestep of their next step. */
static int evaluate(struct job *j, struct err *e)
{
    int rc = record_step(j, &j->shots[0].sampler, e);
    if (rc)
        return rc;
    int64_t n_time = j->m->unet.n_time, n_rows = j->in.x->dim[0];
    float *in = j->in.x->data, *time = j->in.time->data;
    for (int i = 0; i < j->together; i++)
        place_input(j, &j->shots[i], in + tensor_n(j->in.x) / j->together * i);
    for (int64_t i = 0; i < n_rows; i++)
        unet_sinusoid(sampler_timestep(&j->shots[0].sampler), time + i * n_time, n_time);
    return cancel_run(j->tape, j->b, j->r->cancel, e);
}

/* Guides what the UNet made of picture i and takes its step. */
static int step(struct job *j, int i, struct err *e)
{
    struct shot *s = &j->shots[i];
    const float *out = (const float *)j->out->data + j->n * (size_t)(j->cond.n * i);
    if (j->cond.n == 1)
        memcpy(j->model, out, j->n * sizeof(*out));
    else
        guidance_combine(out, out + j->n, sampler_guidance(j->r->sampler, j->r->guidance),
                         j->r->guidance_rescale, j->model, j->n);
    int rc = check_finite(j, j->model, e);
    if (rc)
        return rc;
    sampler_step(&s->sampler, s->x, j->model, j->cond.n > 1 ? out : NULL);
    inpaint_keep(&j->inpaint, &s->sampler, j->image, s->x);
    if (j->r->on_latent)
        j->r->on_latent(s->x, sampler_n_done(&s->sampler) - 1, j->r->ctx);
    return 0;
}

/* Shows the estimate of the last step, of the first picture where there are several. */
static int preview(struct job *j, struct err *e)
{
    struct picture p = {0};
    const struct sampler *s = &j->shots[0].sampler;
    if (!j->r->on_preview || !preview_due(&j->preview))
        return 0;
    int rc = preview_make(&j->preview, s->x0, &p, e);
    if (!rc)
        rc = j->r->on_preview(&p, sampler_n_done(s), j->r->ctx);
    picture_release(&p);
    return rc;
}

static int start(struct job *j, struct shot *s, struct err *e)
{
    const struct imagine_request *r = j->r;
    if ((r->image || r->latent) && !(r->mask && r->strength == 1))
        return sampler_start_image(&s->sampler, j->image, r->strength, s->x, e);
    sampler_start(&s->sampler, s->x);
    return 0;
}

/* `first` is the number of the first picture, for progress. */
static int sample(struct job *j, int first, struct err *e)
{
    const struct sampler *s = &j->shots[0].sampler;
    int rc = 0;
    for (int i = 0; i < j->together && !rc; i++)
        rc = start(j, &j->shots[i], e);
    while (!rc && !sampler_done(s)) {
        rc = progress(j, IMAGINE_STEP, s, first);
        if (!rc)
            rc = evaluate(j, e);
        for (int i = 0; i < j->together && !rc; i++)
            rc = step(j, i, e);
        if (!rc)
            rc = preview(j, e);
    }
    if (!rc)
        rc = progress(j, IMAGINE_STEP, s, first);
    return rc;
}

static int open_shot(struct job *j, int i, int picture, struct err *e)
{
    const struct imagine_request *r = j->r;
    struct shot *s = &j->shots[i];
    struct imagine_seeds seeds = imagine_seeds(r, picture);
    s->x = j->x + j->n * (size_t)i;
    s->options = (struct noise_options){.kind = r->noise,
                                        .seed = seeds.seed,
                                        .variation = seeds.variation,
                                        .strength = r->variation_strength,
                                        .h = j->h,
                                        .w = j->w,
                                        .c = (int)j->m->unet.n_out};
    int rc = inpaint_begin(&j->inpaint, &s->options, e);
    return rc ? rc : shot_open(s, r->sampler, &j->schedule, e);
}

/* From a sampled latent to the finished picture. */
static int finish(struct job *j, const struct shot *s, int picture, struct err *e)
{
    struct picture p = {0};
    if (j->r->on_drawn)
        return j->r->on_drawn(s->x, picture, j->r->ctx);
    int rc = progress(j, IMAGINE_DECODE, &s->sampler, picture);
    if (!rc)
        rc = decode(j, s->x, &p, e);
    if (!rc)
        rc = inpaint_paste(&j->inpaint, &p, e);
    if (!rc && j->r->on_picture)
        rc = j->r->on_picture(&p, picture, s->options.seed, j->r->ctx);
    picture_release(&p);
    return rc;
}

/* Draws the next pictures, from `first` on; j->together of them. */
static int draw(struct job *j, int first, struct err *e)
{
    int left = j->r->n_pictures - first;
    int rc = left < j->together ? record(j, j->active, left, e) : 0;
    for (int i = 0; i < j->together && !rc; i++)
        rc = open_shot(j, i, first + i, e);
    if (!rc)
        rc = plan(j, e);
    if (!rc)
        rc = sample(j, first, e);
    tape_unplan(j->tape);
    for (int i = 0; i < j->together && !rc; i++)
        rc = finish(j, &j->shots[i], first + i, e);
    for (int i = 0; i < j->together; i++)
        shot_close(&j->shots[i]);
    return rc;
}

/* What steers the picture beside the prompt. */
static int open_guides(struct job *j, struct err *e)
{
    const struct imagine_request *r = j->r;
    struct control_request x = {j->m, r->controls,  r->n_controls, j->h,
                                j->w, r->precision, r->wrap,       r->cancel};
    struct reference_request y = {j->m,          r->references, r->n_references,
                                  j->cond.n > 1, r->precision,  r->cancel};
    int rc = control_open(&j->control, j->b, &x, e);
    return rc ? rc : references_open(&j->references, j->b, &y, e);
}

/* The source picture's latent, and what a mask needs. */
static int open_source(struct job *j, struct err *e)
{
    const struct imagine_request *r = j->r;
    struct inpaint_request x = {j->m,         r->image,     r->mask,      j->h,
                                j->w,         r->mask_seam, r->mask_area, r->mask_padding,
                                r->precision, r->cancel,    r->wrap};
    int rc = inpaint_wanted(j->m, r->mask) ? inpaint_open(&j->inpaint, j->b, &x, e) : 0;
    if (!rc && r->latent)
        memcpy(j->image, r->latent, j->n * sizeof(*j->image));
    if (rc || !r->image || r->latent)
        return rc;
    struct codec_encode source = {.m = j->m,
                                  .picture = r->mask ? &j->inpaint.source : r->image,
                                  .h = j->h,
                                  .w = j->w,
                                  .precision = r->precision,
                                  .cancel = r->cancel,
                                  .wrap = r->wrap};
    return codec_encode(&source, j->b, j->image, e);
}

static int open_preview(struct job *j, struct err *e)
{
    const struct imagine_request *r = j->r;
    struct preview_options o = {r->preview_decoder, j->h,     j->w, r->precision,
                                r->preview_share,   r->cancel};
    return r->on_preview ? preview_init(&j->preview, j->m, j->b, &o, e) : 0;
}

static struct condition_request prompts(const struct job *j)
{
    const struct imagine_request *r = j->r;
    return (struct condition_request){.prompt = r->prompt,
                                      .negative = r->negative,
                                      .guided = r->guidance > 1,
                                      .clip_skip = r->clip_skip,
                                      .width = r->width,
                                      .height = r->height,
                                      .precision = r->precision,
                                      .cancel = r->cancel,
                                      .adapters = &j->loras.adapters,
                                      .adapters_id = j->loras.text_id};
}

/* Before the UNet is recorded: the prompts decide how long its context is. */
static int cut_prompts(struct job *j, struct err *e)
{
    struct embeddings own = {0};
    struct condition_request text = prompts(j);
    text.embeddings = &own;
    int rc = embeddings_open(&own, j->m, j->r->embeddings, j->r->n_embeddings, e);
    if (!rc)
        rc = condition_cut(&j->cond, j->m, &text, e);
    embeddings_close(&own);
    return rc;
}

/* What guides or masks a picture is kept for one at a time. */
static int record_first(struct job *j, struct err *e)
{
    const struct imagine_request *r = j->r;
    struct err own = {0};
    bool plain = !r->n_controls && !r->n_references && !inpaint_wanted(j->m, r->mask);
    int n = plain ? shots_together(r->n_pictures, j->cond.n, j->h, j->w) : 1;
    if (n > 1 && record(j, 0, n, &own) == 0)
        return 0; /* else they take too much memory */
    return record(j, control_all(&j->control), 1, e);
}

static int prepare(struct job *j, struct err *e)
{
    const struct imagine_request *r = j->r;
    int factor = image_model_factor(j->m);
    int rc = check(j, e);
    if (rc)
        return rc;
    j->h = r->height / factor;
    j->w = r->width / factor;
    j->n = (size_t)j->h * (size_t)j->w * (size_t)j->m->unet.n_out;
    struct schedule_request levels = {r->schedule, r->sampler, r->steps, r->sigmas, r->eta};
    rc = schedule_build(&j->schedule, &j->m->schedule, &levels, e);
    if (!rc)
        rc = lora_stack_open(&j->loras, j->m->file, r->loras, r->n_loras, e);
    if (!rc)
        rc = cut_prompts(j, e);
    if (!rc)
        rc = open_guides(j, e);
    if (!rc)
        rc = record_first(j, e);
    if (!rc)
        rc = codec_init(&j->codec, j->m, &(struct codec_options){j->h, j->w, r->precision, r->wrap},
                        e);
    if (!rc)
        rc = progress(j, IMAGINE_ENCODE, NULL, 0);
    struct condition_request text = prompts(j);
    if (!rc)
        rc = condition_encode(&j->cond, j->m, j->b, &text, e);
    if (!rc)
        rc = alloc_latents(j, e);
    if (!rc)
        rc = open_preview(j, e);
    return rc ? rc : open_source(j, e);
}

int imagine(struct image_model *m, struct backend *b, const struct imagine_request *r,
            struct err *e)
{
    struct job j = {.m = m, .b = b, .r = r};
    if (r->hires.scale != 0) /* NOLINT: off */
        return hires_imagine(m, b, r, e);
    int rc = prepare(&j, e);
    for (int i = 0; !rc && i < r->n_pictures; i += j.together)
        rc = draw(&j, i, e);
    if (rc == ERR_CANCELLED)
        err_set(e, rc, "cancelled");
    inpaint_release(&j.inpaint);
    control_release(&j.control);
    references_release(&j.references);
    preview_release(&j.preview);
    codec_release(&j.codec);
    tape_free(j.tape);
    lora_stack_close(&j.loras);
    condition_release(&j.cond);
    schedule_release(&j.schedule);
    free(j.x);
    free(j.model);
    free(j.image);
    return rc;
}
