/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loaded model and its two functions: picture → vector and tags, text → vector. The hard thing is that a model must
 * not work by half: open reads everything, runs both towers once, and only then returns the model.
 *
 * Thread safety: after open nothing in struct embed changes; ONNX Runtime's Run may be called from any thread;
 * buffers are made for each call.
 */
#include "embed_priv.h"

#include <malloc.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

struct embed {
        struct manifest manifest;
        struct runtime *runtime;
        struct session *image, *text;
        struct wordpiece *words;
        struct labels *labels; /* NULL without a classifier */
        float table[3][256];   /* byte of a channel → what the model is fed */
};

/* ---- open ------------------------------------------------------------------------- */

/* In float like the reference; the product with rescale in double, as Pillow-based processors do. */
static void table_fill(struct embed *m)
{
        const struct manifest *f = &m->manifest;
        for (int c = 0; c < 3; c++)
                for (int v = 0; v < 256; v++)
                        m->table[c][v] = ((float)(v * f->rescale) - (float)f->mean[c]) / (float)f->std[c];
}

/*
 * A text is a few words and the weights are tens of megabytes: its time is that of reading them, for which one core
 * takes twice as long as two. Pictures keep a core busy, and there are as many workers as cores.
 */
static unsigned text_threads(void)
{
        return sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 2 : 1;
}

/* Opening the two sessions takes most of a start, so they are opened at the same time. */
struct text_opening {
        struct embed *m;
        char path[1024];
        int rc;
        struct err err;
};

static void *text_open(void *arg)
{
        struct text_opening *t = arg;
        t->rc = session_open(t->m->runtime, t->path, text_threads(), &t->m->text, &t->err);
        return NULL;
}

static int sessions_open(struct embed *m, const struct embed_opts *opts, struct err *e)
{
        const struct manifest *f = &m->manifest;
        struct text_opening text = {.m = m};
        char path[1024];
        pthread_t thread;
        if (model_path(opts->model_dir, f->image_file, path, sizeof path, e) ||
            model_path(opts->model_dir, f->text_file, text.path, sizeof text.path, e))
                return -1;
        bool apart = thread_start(&thread, "model-open", text_open, &text) == 0;
        int rc = session_open(m->runtime, path, 1, &m->image, e);
        if (apart)
                pthread_join(thread, NULL);
        else
                text_open(&text);
        if (rc == 0 && text.rc && e)
                *e = text.err;
        return rc || text.rc ? -1 : 0;
}

static int parts_open(struct embed *m, const struct embed_opts *opts, struct err *e)
{
        const struct manifest *f = &m->manifest;
        char path[1024];
        if (model_path(opts->model_dir, f->vocab_file, path, sizeof path, e) || wordpiece_open(path, &m->words, e))
                return -1;
        if (f->labels_file[0]) {
                if (model_path(opts->model_dir, f->labels_file, path, sizeof path, e) ||
                    labels_open(path, &m->labels, e))
                        return -1;
        }
        if (runtime_open(opts->runtime_dir, &m->runtime, e))
                return -1;
        return sessions_open(m, opts, e);
}

/* Wrong names, shapes or operators are found here and not at the first upload. */
static int self_test(struct embed *m, struct err *e)
{
        const struct embed_image_spec *s = &m->manifest.spec;
        size_t n = (size_t)s->width * s->height * 3;
        float *vector = mem_calloc(m->manifest.dim, sizeof *vector);
        uint8_t *grey = mem_alloc(n);
        int rc = -1;
        if (!vector || !grey) {
                err_oom(e);
                goto out;
        }
        for (size_t i = 0; i < n; i++) /* some texture: a flat picture may have no direction */
                grey[i] = (uint8_t)(i * 7 ^ i >> 8);
        struct embed_image_result r = {.vector = vector};
        if (embed_image(m, grey, n, &r, e) || embed_text(m, SPAN("a photo"), vector, e))
                goto out;
        rc = 0;
out:
        mem_free(grey);
        mem_free(vector);
        return rc;
}

int embed_open(const struct embed_opts *opts, bool verify, struct embed **out, struct err *e)
{
        int rc = -1;
        struct embed *m = mem_calloc(1, sizeof *m);
        if (!m)
                return err_oom(e);
        if (manifest_read(opts->model_dir, &m->manifest, e) ||
            manifest_check_files(&m->manifest, opts->model_dir, verify, e) || parts_open(m, opts, e))
                goto out;
        table_fill(m);
        if (self_test(m, e))
                goto out;
        *out = m;
        m = NULL;
        rc = 0;
out:
        embed_close(m);
        embed_trim();
        return rc;
}

void embed_close(struct embed *m)
{
        if (!m)
                return;
        session_close(m->text);
        session_close(m->image);
        runtime_close(m->runtime);
        labels_close(m->labels);
        wordpiece_close(m->words);
        mem_free(m);
}

void embed_trim(void)
{
        malloc_trim(0);
}

/* ---- what it is ----------------------------------------------------------------------- */

const char *embed_model_id(const struct embed *m)
{
        return m->manifest.id;
}

size_t embed_dim(const struct embed *m)
{
        return m->manifest.dim;
}

const char *embed_runtime_version(const struct embed *m)
{
        return runtime_version(m->runtime);
}

struct embed_image_spec embed_image_spec(const struct embed *m)
{
        return m->manifest.spec;
}

bool embed_is_category(const struct embed *m, const char *name)
{
        return m->labels && labels_is_category(m->labels, name);
}

/* ---- vectors ------------------------------------------------------------------------------ */

/* Towers promise unit length; rounding and foreign models may not keep it. */
static int vector_finish(float *v, size_t dim, struct err *e)
{
        double sum = 0;
        for (size_t i = 0; i < dim; i++)
                sum += (double)v[i] * v[i];
        if (!(sum > 1e-12) || !isfinite(sum))
                return err_set(e, ERR_INTERNAL, "the model gave a vector without direction");
        float scale = (float)(1 / sqrt(sum));
        for (size_t i = 0; i < dim; i++)
                v[i] *= scale;
        return 0;
}

static void planes_fill(const struct embed *m, const uint8_t *rgb, size_t pixels, float *planes)
{
        for (size_t c = 0; c < 3; c++) {
                const float *table = m->table[c];
                for (size_t i = 0; i < pixels; i++)
                        planes[c * pixels + i] = table[rgb[3 * i + c]];
        }
}

static int image_run(struct embed *m, float *planes, size_t pixels, float *probs, struct embed_image_result *out,
                     struct err *e)
{
        const struct manifest *f = &m->manifest;
        const int64_t shape[4] = {1, 3, f->spec.height, f->spec.width};
        struct tensor_in in = {f->image_input, planes, pixels * 3 * sizeof *planes, shape, 4, false};
        struct tensor_out outputs[2] = {{f->image_vector, out->vector, f->dim}};
        size_t n = 1;
        if (m->labels)
                outputs[n++] = (struct tensor_out){f->image_probs, probs, labels_classes(m->labels)};
        if (session_run(m->image, &in, 1, outputs, n, e) || vector_finish(out->vector, f->dim, e))
                return -1;
        out->ntags = 0;
        out->sure = 0;
        return m->labels ? labels_tag(m->labels, probs, out, e) : 0;
}

int embed_image(struct embed *m, const uint8_t *rgb, size_t n, struct embed_image_result *out, struct err *e)
{
        const struct embed_image_spec *s = &m->manifest.spec;
        size_t pixels = (size_t)s->width * s->height;
        if (n != pixels * 3)
                return err_set(e, ERR_INVALID, "model input: %zu bytes given, %u×%u RGB needs %zu", n, s->width,
                               s->height, pixels * 3);
        size_t classes = m->labels ? labels_classes(m->labels) : 0;
        float *planes = mem_alloc((pixels * 3 + classes) * sizeof *planes);
        if (!planes)
                return err_oom(e);
        planes_fill(m, rgb, pixels, planes);
        int rc = image_run(m, planes, pixels, planes + pixels * 3, out, e);
        mem_free(planes);
        return rc;
}

int embed_text(struct embed *m, struct span text, float *vector, struct err *e)
{
        const struct manifest *f = &m->manifest;
        int64_t *ids = mem_alloc(2 * f->max_tokens * sizeof *ids), *mask;
        if (!ids)
                return err_oom(e);
        size_t n = wordpiece_encode(m->words, text, ids, f->max_tokens);
        mask = ids + f->max_tokens;
        for (size_t i = 0; i < n; i++)
                mask[i] = 1;
        const int64_t shape[2] = {1, (int64_t)n};
        const struct tensor_in in[2] = {
                {f->text_ids, ids, n * sizeof *ids, shape, 2, true},
                {f->text_mask, mask, n * sizeof *mask, shape, 2, true},
        };
        const struct tensor_out out = {f->text_vector, vector, f->dim};
        int rc = session_run(m->text, in, 2, &out, 1, e);
        if (!rc)
                rc = vector_finish(vector, f->dim, e);
        mem_free(ids);
        return rc;
}

/* ---- calibration ------------------------------------------------------------------------------ */

static float clamp_to(double x, double lo, double hi)
{
        return (float)(x < lo ? lo : x > hi ? hi : x);
}

static float to_similarity(const struct calibration *c, float cosine)
{
        return c->identity ? clamp_to(cosine, 0, 1) : clamp_to(1 / (1 + exp(-(c->a * cosine + c->b))), 0, 1);
}

/* 0 and 1 have no finite logit: they become the ends of the cosine's range. */
static float to_cosine(const struct calibration *c, float similarity)
{
        if (c->identity)
                return clamp_to(similarity, -1, 1);
        if (!(similarity > 0))
                return -1;
        if (similarity >= 1)
                return 1;
        return clamp_to((log(similarity / (1.0 - similarity)) - c->b) / c->a, -1, 1);
}

float embed_similarity_image(const struct embed *m, float cosine)
{
        return to_similarity(&m->manifest.image_image, cosine);
}

float embed_similarity_text(const struct embed *m, float cosine)
{
        return to_similarity(&m->manifest.text_image, cosine);
}

float embed_cosine_image(const struct embed *m, float similarity)
{
        return to_cosine(&m->manifest.image_image, similarity);
}
