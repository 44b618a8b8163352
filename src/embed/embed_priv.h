/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of src/embed only: the manifest as read, a session, the labels of the classifier. */
#ifndef FA_EMBED_PRIV_H
#define FA_EMBED_PRIV_H

#include "embed/embed.h"

/* ---- manifest -------------------------------------------------------------- */

#define MANIFEST_MAX_FILES 16
#define NAME_LEN           96

struct manifest_file {
        char name[NAME_LEN];
        struct sha256 hash;
        uint64_t bytes;
};

/* similarity = sigmoid(a·cosine + b), or the cosine itself */
struct calibration {
        bool identity;
        double a, b;
};

struct manifest {
        char name[NAME_LEN];
        char id[NAME_LEN];
        size_t dim;
        struct manifest_file files[MANIFEST_MAX_FILES];
        size_t nfiles;
        char image_file[NAME_LEN], image_input[NAME_LEN], image_vector[NAME_LEN];
        char image_probs[NAME_LEN], labels_file[NAME_LEN]; /* empty: no classifier */
        struct embed_image_spec spec;
        double mean[3], std[3], rescale; /* input = (byte·rescale − mean) / std */
        char text_file[NAME_LEN], text_ids[NAME_LEN], text_mask[NAME_LEN], text_vector[NAME_LEN];
        char vocab_file[NAME_LEN];
        size_t max_tokens;
        struct calibration image_image, text_image;
};

/* The text of a model.json. Pure: fuzzed. */
int manifest_parse(struct span text, struct manifest *m, struct err *e) MUST_CHECK;
int manifest_read(const char *model_dir, struct manifest *m, struct err *e) MUST_CHECK;
/* Sizes always; hashes when asked. */
int manifest_check_files(const struct manifest *m, const char *model_dir, bool hashes, struct err *e) MUST_CHECK;
/* model_dir/name into out; ERR_INVALID when too long. */
int model_path(const char *model_dir, const char *name, char *out, size_t cap, struct err *e) MUST_CHECK;

/* ---- ONNX Runtime ------------------------------------------------------------- */

struct runtime;
struct session;

int runtime_open(const char *runtime_dir, struct runtime **out, struct err *e) MUST_CHECK;
void runtime_close(struct runtime *r);
const char *runtime_version(const struct runtime *r);

/* threads: how many threads work on one run, including the caller's. */
int session_open(struct runtime *r, const char *path, unsigned threads, struct session **out, struct err *e) MUST_CHECK;
void session_close(struct session *s);

struct tensor_in {
        const char *name;
        void *data; /* not written */
        size_t bytes;
        const int64_t *shape;
        size_t rank;
        bool is_int64; /* else float */
};
struct tensor_out {
        const char *name;
        float *data; /* room for count floats; the model must return exactly count */
        size_t count;
};
#define SESSION_MAX_TENSORS 4
/* Any thread, any number at once. */
int session_run(struct session *s, const struct tensor_in *in, size_t nin, const struct tensor_out *out, size_t nout,
                struct err *e) MUST_CHECK;

/* ---- labels --------------------------------------------------------------------- */

struct labels;
int labels_parse(struct span text, struct labels **out, struct err *e) MUST_CHECK;
int labels_open(const char *path, struct labels **out, struct err *e) MUST_CHECK;
void labels_close(struct labels *l);
size_t labels_classes(const struct labels *l);
bool labels_is_category(const struct labels *l, const char *name);
/* Fills tags, ntags and sure from the class probabilities. */
int labels_tag(const struct labels *l, const float *probs, struct embed_image_result *out, struct err *e) MUST_CHECK;

#endif
