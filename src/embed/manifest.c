/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.json: which files a model has and everything that gives its vectors
 * their meaning. A manifest may come from a stranger's folder, so names that
 * lead outside the folder are refused and every number is checked.
 */
#include "embed_priv.h"
#include "json/json.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANIFEST_MAX_BYTES (1u << 20)

/* ---- small readers -------------------------------------------------------------- */

static int member_missing(struct err *e, const char *what)
{
        return err_set(e, ERR_CORRUPT, "model.json: %s is missing or not understood", what);
}

/* NULL-safe copy; -1 when s is absent, empty or too long. */
static int take_name(const char *s, char out[NAME_LEN])
{
        int n = s ? snprintf(out, NAME_LEN, "%s", s) : 0;
        return n > 0 && n < NAME_LEN ? 0 : -1;
}

static bool name_inside(const char *name)
{
        return name[0] != '/' && !strstr(name, "..");
}

static int take_file(const struct json *obj, const char *key, const char *fallback, char out[NAME_LEN], struct err *e)
{
        if (take_name(json_get_str(obj, key, fallback), out))
                return member_missing(e, key);
        if (!name_inside(out))
                return err_set(e, ERR_CORRUPT, "model.json: %.80s leads outside the model's folder", out);
        return 0;
}

static const char *item_str(const struct json *arr, size_t i)
{
        return i < json_count(arr) ? json_str(json_at(arr, i)) : NULL;
}

static bool hash_from(const struct json *v, struct sha256 *out)
{
        return json_is_string(v) && sha256_parse(json_span(v), out);
}

/* ---- sections ---------------------------------------------------------------------- */

static int read_files(const struct json *files, struct manifest *m, struct err *e)
{
        if (!json_is_object(files))
                return member_missing(e, "files");
        for (void *it = json_iter(files); it; it = json_next(files, it)) {
                const struct json *v = json_iter_value(it);
                if (m->nfiles == MANIFEST_MAX_FILES)
                        return err_set(e, ERR_CORRUPT, "model.json: more than %d files", MANIFEST_MAX_FILES);
                struct manifest_file *f = &m->files[m->nfiles++];
                int64_t bytes = json_get_int(v, "bytes", -1);
                if (take_name(json_iter_key(it), f->name) || !name_inside(f->name) || bytes < 0 ||
                    !hash_from(json_get(v, "sha256"), &f->hash))
                        return member_missing(e, "an entry of files");
                f->bytes = (uint64_t)bytes;
        }
        return 0;
}

static int read_triple(const struct json *v, double out[3])
{
        for (size_t i = 0; i < 3; i++) {
                if (!json_is_number(json_at(v, i)))
                        return -1;
                out[i] = json_num(json_at(v, i));
        }
        return json_count(v) == 3 ? 0 : -1;
}

static int read_preprocess(const struct json *p, struct manifest *m, struct err *e)
{
        int64_t num = json_get_int(p, "crop_num", 1), den = json_get_int(p, "crop_den", 1);
        if (num < 1 || den < num || den > 65536)
                return member_missing(e, "image.preprocess.crop_num/crop_den");
        if (strcmp(json_get_str(p, "filter", "triangle"), "triangle"))
                return err_set(e, ERR_UNSUPPORTED, "model.json: resize filter %.60s is not known",
                               json_get_str(p, "filter", ""));
        m->spec.crop_num = (uint32_t)num;
        m->spec.crop_den = (uint32_t)den;
        m->spec.filter = 0;
        m->rescale = json_get_num(p, "rescale", 1.0);
        if (!json_is_array(json_get(p, "mean")) || read_triple(json_get(p, "mean"), m->mean))
                return member_missing(e, "image.preprocess.mean");
        if (!json_is_array(json_get(p, "std")) || read_triple(json_get(p, "std"), m->std) || m->std[0] == 0 ||
            m->std[1] == 0 || m->std[2] == 0)
                return member_missing(e, "image.preprocess.std");
        return 0;
}

static int read_image(const struct json *v, struct manifest *m, struct err *e)
{
        const struct json *outputs = json_get(v, "outputs");
        int64_t w = json_get_int(v, "width", 0), h = json_get_int(v, "height", 0);
        if (w < 1 || h < 1 || w > 4096 || h > 4096)
                return member_missing(e, "image.width/height");
        m->spec.width = (uint32_t)w;
        m->spec.height = (uint32_t)h;
        if (strcmp(json_get_str(v, "layout", "NCHW"), "NCHW") || strcmp(json_get_str(v, "channels", "RGB"), "RGB") ||
            strcmp(json_get_str(v, "dtype", "float32"), "float32"))
                return err_set(e, ERR_UNSUPPORTED, "model.json: the image input must be NCHW RGB float32");
        if (take_file(v, "file", "image.onnx", m->image_file, e))
                return -1;
        if (take_name(json_get_str(v, "input", "pixel_values"), m->image_input))
                return member_missing(e, "image.input");
        if (take_name(item_str(outputs, 0), m->image_vector))
                return member_missing(e, "image.outputs");
        if (json_get(v, "labels") && json_count(outputs) > 1) {
                if (take_name(item_str(outputs, 1), m->image_probs))
                        return member_missing(e, "image.outputs");
                if (take_file(v, "labels", NULL, m->labels_file, e))
                        return -1;
        }
        return read_preprocess(json_get(v, "preprocess"), m, e);
}

static int read_text(const struct json *v, struct manifest *m, struct err *e)
{
        const struct json *inputs = json_get(v, "inputs");
        const char *tokenizer = json_get_str(v, "tokenizer", "");
        int64_t max = json_get_int(v, "max_tokens", 0);
        if (strcmp(tokenizer, "wordpiece-uncased"))
                return err_set(e, ERR_UNSUPPORTED, "model.json: tokenizer %.60s is not known (wordpiece-uncased is)",
                               tokenizer);
        if (max < 2 || max > 4096)
                return member_missing(e, "text.max_tokens");
        m->max_tokens = (size_t)max;
        if (take_file(v, "file", "text.onnx", m->text_file, e) || take_file(v, "vocab", "vocab.txt", m->vocab_file, e))
                return -1;
        if (take_name(item_str(inputs, 0), m->text_ids) || take_name(item_str(inputs, 1), m->text_mask))
                return member_missing(e, "text.inputs");
        if (take_name(json_get_str(v, "output", "text_embeds"), m->text_vector))
                return member_missing(e, "text.output");
        return 0;
}

/* No section at all means the cosine is the similarity. */
static int read_calibration(const struct json *v, struct calibration *c, const char *what, struct err *e)
{
        *c = (struct calibration){.identity = true};
        if (!v || !strcmp(json_get_str(v, "form", ""), "identity"))
                return 0;
        *c = (struct calibration){.a = json_get_num(v, "a", 0), .b = json_get_num(v, "b", NAN)};
        if (!(c->a > 0) || !isfinite(c->a) || !isfinite(c->b))
                return member_missing(e, what); /* a ≤ 0 would not be monotone */
        return 0;
}

/*
 * The image weights' hash stands for the whole model, because the stored
 * vectors come from there. Who changes only the text tower or the
 * preprocessing raises "version". The id is a file name too: others than
 * letters, digits, dot and dash become dashes, and so does a dot in front.
 */
static int make_id(const struct json *doc, struct manifest *m, struct err *e)
{
        const char *precision = json_get_str(json_get(doc, "image"), "precision", "fp32");
        char hex[SHA256_TEXT_LEN];
        const struct manifest_file *weights = NULL;
        for (size_t i = 0; i < m->nfiles; i++)
                if (!strcmp(m->files[i].name, m->image_file))
                        weights = &m->files[i];
        if (!weights)
                return member_missing(e, "the image weights' entry of files");
        int n = snprintf(m->id, sizeof m->id, "%.40s-%.12s-%.*s-p%d", json_get_str(doc, "short_name", m->name),
                         sha256_format(weights->hash, hex), (int)strcspn(precision, " "), precision,
                         (int)json_get_int(doc, "version", 1));
        if (n < 0 || (size_t)n >= sizeof m->id)
                return member_missing(e, "image.precision");
        for (char *p = m->id; *p; p++)
                if (!isalnum((unsigned char)*p) && (*p != '.' || p == m->id))
                        *p = '-';
        return 0;
}

static int read_all(const struct json *doc, struct manifest *m, struct err *e)
{
        const struct json *calibration = json_get(doc, "calibration");
        int64_t dim = json_get_int(doc, "dim", 0);
        if (take_name(json_get_str(doc, "name", NULL), m->name))
                return member_missing(e, "name");
        if (dim < 1 || dim > 2048)
                return member_missing(e, "dim");
        m->dim = (size_t)dim;
        if (read_files(json_get(doc, "files"), m, e) || read_image(json_get(doc, "image"), m, e) ||
            read_text(json_get(doc, "text"), m, e))
                return -1;
        if (read_calibration(json_get(calibration, "image_image"), &m->image_image, "calibration.image_image", e) ||
            read_calibration(json_get(calibration, "text_image"), &m->text_image, "calibration.text_image", e))
                return -1;
        return make_id(doc, m, e);
}

/* ---- the room's interface -------------------------------------------------------------- */

int model_path(const char *model_dir, const char *name, char *out, size_t cap, struct err *e)
{
        int n = snprintf(out, cap, "%s/%s", model_dir, name);
        if (n < 0 || (size_t)n >= cap)
                return err_set(e, ERR_INVALID, "model folder: the path of %.80s is too long", name);
        return 0;
}

int manifest_parse(struct span text, struct manifest *m, struct err *e)
{
        *m = (struct manifest){0};
        struct json *doc = json_parse(text, e);
        int rc = doc ? read_all(doc, m, e) : -1;
        json_free(doc);
        return rc;
}

int manifest_read(const char *model_dir, struct manifest *m, struct err *e)
{
        char path[1024], *text = NULL;
        size_t n;
        if (model_path(model_dir, "model.json", path, sizeof path, e) ||
            file_read_all(path, MANIFEST_MAX_BYTES, &text, &n, e))
                return -1;
        int rc = manifest_parse((struct span){text, n}, m, e);
        mem_free(text);
        return rc;
}

static int hash_check(const char *path, const struct manifest_file *f, struct err *e)
{
        int rc = -1, fd = open(path, O_RDONLY | O_CLOEXEC);
        enum { CHUNK = 1 << 20 };
        uint8_t *chunk = mem_alloc(CHUNK);
        struct sha256_ctx *hash = sha256_new();
        ssize_t got = -1;
        if (!chunk || !hash) {
                err_oom(e);
                goto out;
        }
        while (fd >= 0 && (got = read(fd, chunk, CHUNK)) > 0)
                sha256_update(hash, chunk, (size_t)got);
        if (got < 0)
                err_errno(e, errno, "model file %.150s", path);
        else if (!sha256_eq(sha256_final(hash), f->hash))
                err_set(e, ERR_CORRUPT, "model file %.150s does not have the sha256 of model.json", path);
        else
                rc = 0;
out:
        sha256_free(hash);
        mem_free(chunk);
        fd_close(&fd);
        return rc;
}

int manifest_check_files(const struct manifest *m, const char *model_dir, bool hashes, struct err *e)
{
        for (size_t i = 0; i < m->nfiles; i++) {
                const struct manifest_file *f = &m->files[i];
                char path[1024];
                struct stat st;
                if (model_path(model_dir, f->name, path, sizeof path, e))
                        return -1;
                if (stat(path, &st))
                        return err_errno(e, errno, "model file %.150s", path);
                if ((uint64_t)st.st_size != f->bytes)
                        return err_set(e, ERR_CORRUPT, "model file %.120s has %lld bytes, model.json says %llu", path,
                                       (long long)st.st_size, (unsigned long long)f->bytes);
                if (hashes && hash_check(path, f, e))
                        return -1;
        }
        return 0;
}
