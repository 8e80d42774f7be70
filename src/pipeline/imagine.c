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
    struct tape *tape; /* one UNet evaluation for cond.n rows */
    struct unet_input in;
    struct tensor *out; /* [cond.n, h, w, c] f32 */
    struct codec codec;
    struct inpaint inpaint;
    struct preview preview;
    float *x, *model, *image; /* [h, w, c]: state, model's output, source picture's latent */
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
    if (r->mask_area && r->wrap)
        return err_set(e, ERR_ARG,
                       "only the mask's area is to be drawn, which has no sides that could fit "
                       "together; leave out one of both");
    if (r->image && !(r->strength > 0 && r->strength <= 1))
        return err_set(e, ERR_ARG, "strength %g: must be above 0 and at most 1", r->strength);
    return 0;
}

/* Records the ControlNets that are active and the UNet for the request's size. */
static int record(struct job *j, unsigned active, struct err *e)
{
    const struct unet *u = &j->m->unet;
    struct condition *c = &j->cond;
    struct unet_skips sum;
    tape_free(j->tape);
    struct tape *t = j->tape = tape_new(j->r->precision);
    j->active = active;
    j->in = (struct unet_input){0};
    tape_adapt(t, &j->loras.adapters);
    tape_wrap(t, j->r->wrap);
    j->in.x = tape_input(t, DTYPE_F32, "latent", 4, (int64_t[]){c->n, j->h, j->w, u->n_in});
    j->in.time = tape_input(t, DTYPE_F32, "time", 2, (int64_t[]){c->n, u->n_time});
    j->in.context = tape_constant(t, DTYPE_F32, "context", 3,
                                  (int64_t[]){c->n, c->n_ctx, u->n_context});
    if (u->n_add)
        j->in.add = tape_constant(t, DTYPE_F32, "add", 2, (int64_t[]){c->n, u->n_add});
    references_record(&j->references, t, c->n);
    j->in.control = control_record(&j->control, t, &j->in, active, &sum);
    j->in.more = j->references.more; /* ControlNets know no references */
    j->in.n_more = j->references.n;
    j->out = tape_keep(t, op_cast(t, unet_forward(t, u, &j->in), DTYPE_F32));
    j->in.control = NULL; /* recorded; `sum` ends here */
    return memory_check(t, "drawing", e);
}

/* The UNet's memory lives from here to the end of the sampling: the decoder, which needs more, then
 * takes its place. */
static int plan(struct job *j, struct err *e)
{
    int rc = tape_plan(j->tape, e);
    if (rc)
        return rc;
    memcpy(j->in.context->data, j->cond.context, tensor_size(j->in.context));
    if (j->in.add)
        memcpy(j->in.add->data, j->cond.add, tensor_size(j->in.add));
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
    int rc = record(j, active, e);
    return rc ? rc : plan(j, e);
}

static int alloc_latents(struct job *j, struct err *e)
{
    j->x = mem_try_array(j->n, sizeof(float), "the latent", e);
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

static int decode(struct job *j, struct picture *p, struct err *e)
{
    struct err own = {0};
    int rc = codec_decode(&j->codec, j->b, j->x, j->r->cancel, p, &own);
    if (rc == ERR_NUMERIC)
        return blame(j, e);
    return rc ? err_set(e, rc, "%s", own.text) : 0;
}

/* model = the UNet's output for x at the sampler's timestep, guided. */
static int evaluate(struct job *j, const struct sampler *s, struct err *e)
{
    int rc = record_step(j, s, e);
    if (rc)
        return rc;
    float *in = j->in.x->data;
    const float *out = j->out->data;
    int n = j->cond.n;
    size_t n_in = (size_t)tensor_n(j->in.x) / (size_t)n;
    sampler_scale_input(s, j->x, j->inpaint.nine ? j->model : in);
    if (j->inpaint.nine) {
        control_latent(&j->control, j->model);
        inpaint_input(&j->inpaint, j->model, in);
    }
    for (int i = 0; i < n; i++) {
        if (i)
            memcpy(in + (size_t)i * n_in, in, n_in * sizeof(*in));
        unet_sinusoid(sampler_timestep(s), (float *)j->in.time->data + i * j->m->unet.n_time,
                      j->m->unet.n_time);
    }
    rc = cancel_run(j->tape, j->b, j->r->cancel, e);
    if (rc)
        return rc;
    if (n == 1)
        memcpy(j->model, out, j->n * sizeof(*out));
    else
        guidance_combine(out, out + j->n, sampler_guidance(j->r->sampler, j->r->guidance),
                         j->r->guidance_rescale, j->model, j->n);
    return check_finite(j, j->model, e);
}

/* Shows the estimate of the last step. */
static int preview(struct job *j, const struct sampler *s, struct err *e)
{
    struct picture p = {0};
    if (!j->r->on_preview || !preview_due(&j->preview))
        return 0;
    int rc = preview_make(&j->preview, s->x0, &p, e);
    if (!rc)
        rc = j->r->on_preview(&p, sampler_n_done(s), j->r->ctx);
    picture_release(&p);
    return rc;
}

static int sample(struct job *j, struct sampler *s, int picture, struct err *e)
{
    int rc = 0;
    if (j->r->image && !(j->r->mask && j->r->strength == 1))
        rc = sampler_start_image(s, j->image, j->r->strength, j->x, e);
    else
        sampler_start(s, j->x);
    while (!rc && !sampler_done(s)) {
        rc = progress(j, IMAGINE_STEP, s, picture);
        if (!rc)
            rc = evaluate(j, s, e);
        if (rc)
            break;
        sampler_step(s, j->x, j->model, j->cond.n > 1 ? j->out->data : NULL);
        inpaint_keep(&j->inpaint, s, j->image, j->x);
        if (j->r->on_latent)
            j->r->on_latent(j->x, sampler_n_done(s) - 1, j->r->ctx);
        rc = preview(j, s, e);
    }
    if (!rc)
        rc = progress(j, IMAGINE_STEP, s, picture);
    return rc;
}

static int draw(struct job *j, int i, struct err *e)
{
    const struct imagine_request *r = j->r;
    struct noise noise = {0};
    struct sampler s = {0};
    struct picture p = {0};
    struct imagine_seeds seeds = imagine_seeds(r, i);
    struct noise_options o = {.kind = r->noise,
                              .seed = seeds.seed,
                              .variation = seeds.variation,
                              .strength = r->variation_strength,
                              .h = j->h,
                              .w = j->w,
                              .c = (int)j->m->unet.n_out};
    int rc = noise_init(&noise, &o, e);
    if (!rc)
        rc = inpaint_begin(&j->inpaint, &o, e);
    if (!rc)
        rc = sampler_init(&s, r->sampler, &j->schedule, &noise, e);
    if (!rc)
        rc = plan(j, e);
    if (!rc)
        rc = sample(j, &s, i, e);
    tape_unplan(j->tape);
    if (!rc)
        rc = progress(j, IMAGINE_DECODE, &s, i);
    if (!rc)
        rc = decode(j, &p, e);
    if (!rc)
        rc = inpaint_paste(&j->inpaint, &p, e);
    if (!rc && r->on_picture)
        rc = r->on_picture(&p, i, o.seed, r->ctx);
    picture_release(&p);
    sampler_release(&s);
    noise_release(&noise);
    return rc;
}

/* What steers the picture beside the prompt. */
static int open_guides(struct job *j, struct err *e)
{
    const struct imagine_request *r = j->r;
    struct control_request x = {j->m, r->controls,  r->n_controls, j->h,
                                j->w, r->precision, r->cancel};
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
    if (rc || !r->image)
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
                                      .adapters = &j->loras.adapters};
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
        rc = cut_prompts(j, e);
    if (!rc)
        rc = open_guides(j, e);
    if (!rc)
        rc = lora_stack_open(&j->loras, j->m->file, r->loras, r->n_loras, e);
    if (!rc)
        rc = record(j, control_all(&j->control), e);
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
    int rc = prepare(&j, e);
    for (int i = 0; !rc && i < r->n_pictures; i++)
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
