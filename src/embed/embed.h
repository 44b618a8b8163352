/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model: manifest, tokenizer and two ONNX sessions, loaded from a folder.
 * The hard thing: everything that gives a vector its meaning (preprocessing,
 * tokenizer, calibration) comes from the manifest, and the model id names all
 * of it, so vectors of different ids never meet.
 *
 * ONNX Runtime is loaded by dlopen (any version with C API 21). Sessions are
 * thread-safe: any thread may call the embed functions.
 */
#ifndef FA_EMBED_H
#define FA_EMBED_H

#include "base/base.h"

struct embed_opts {
        const char *model_dir;   /* folder with model.json */
        const char *runtime_dir; /* searched first for libonnxruntime.so.1; may be NULL */
};

struct embed; /* a loaded model */

/* Checks files against the manifest's sizes always, and sha256 when verify is set. */
int embed_open(const struct embed_opts *opts, bool verify, struct embed **out, struct err *e) MUST_CHECK;
void embed_close(struct embed *m);

/* name + first 12 hex of the weights' hash + precision + preprocessing version, e.g. "builtin-fe305fca6a84-fp32-p1".
 * Lives with m. */
const char *embed_model_id(const struct embed *m);
size_t embed_dim(const struct embed *m);
const char *embed_runtime_version(const struct embed *m);

/* How the decoder must prepare a picture for this model; plain data, sent over the jail's protocol. */
struct embed_image_spec {
        uint32_t width, height;      /* of the model input */
        uint32_t crop_num, crop_den; /* central square: side = floor(crop_num*min(w,h)/crop_den) */
        uint8_t filter;              /* 0 triangle with antialiasing */
};
struct embed_image_spec embed_image_spec(const struct embed *m);

/* One class of a closed-vocabulary classifier, as a tag candidate. */
struct embed_tag {
        const char *name; /* lives with the model */
        float confidence; /* 0..1 */
        bool category;    /* a folder-name category rather than a class */
};
#define EMBED_MAX_TAGS 12

struct embed_image_result {
        float *vector;                         /* dim floats, unit length, caller's memory */
        struct embed_tag tags[EMBED_MAX_TAGS]; /* most confident first; categories before classes of equal confidence */
        size_t ntags;
        float sure; /* highest category probability: below 0.5 the picture should stay unsorted */
};

/*
 * rgb: width*height*3 bytes, rows top-down, R G B, as embed_image_spec asks.
 * out->vector points to room for embed_dim floats.
 */
int embed_image(struct embed *m, const uint8_t *rgb, size_t n, struct embed_image_result *out,
                struct err *e) MUST_CHECK;

/* Any UTF-8; truncated to the model's token limit. vector has room for embed_dim floats. */
int embed_text(struct embed *m, struct span text, float *vector, struct err *e) MUST_CHECK;

/* Cosine → the 0..1 similarity users see, and back. Monotone. */
float embed_similarity_image(const struct embed *m, float cosine);
float embed_similarity_text(const struct embed *m, float cosine);
float embed_cosine_image(const struct embed *m, float similarity);
/* True when name is one of the model's folder categories. */
bool embed_is_category(const struct embed *m, const char *name);

/* Returns freed memory to the system (malloc_trim): after loading and when idle. */
void embed_trim(void);

/* ---- tokenizer, public for its golden test and its fuzzer --------------------- */

struct wordpiece;
int wordpiece_open(const char *vocab_path, struct wordpiece **out, struct err *e) MUST_CHECK;
void wordpiece_close(struct wordpiece *w);
/* [CLS] … [SEP], at most max ids (max ≥ 2). Returns the count. */
size_t wordpiece_encode(const struct wordpiece *w, struct span text, int64_t *ids, size_t max);

#endif
