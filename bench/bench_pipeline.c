/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures a second, from the upload to done, beside decoding and the model
 * alone: the same files through the same jailed decoder and the same model with
 * as many threads, and nothing kept. Paths come on standard input; equal files
 * are taken once, and the first few only warm up.
 *
 *   bench_pipeline limit DECODER MODEL_FOLDER RUNTIME_FOLDER THREADS
 *     files, decode and model a second, decode alone a second, model alone a second
 *   bench_pipeline serve PORT CLIENTS
 *     files, seconds, a second, seconds of the uploads alone, done, failed
 */
#include "load.h"

#include "embed/embed.h"
#include "jail/jail.h"

#include <fcntl.h>

#define FILES_MAX 4000
#define WARM      8
#define KEPT      128 /* pictures ready for the model, which is run alone on them in turn */
#define PATIENCE  180.0

struct file {
        char *path;
        struct sha256 hash;
        uint64_t size;
};

static struct file files[FILES_MAX];
static unsigned nfiles;
static atomic_uint next_file, refused;

static void read_list(void)
{
        char line[4096];
        struct err e;
        while (nfiles < FILES_MAX && fgets(line, sizeof line, stdin)) {
                line[strcspn(line, "\n")] = '\0';
                char *bytes;
                size_t n;
                if (!*line || file_read_all(line, 64u << 20, &bytes, &n, &e))
                        continue;
                struct file f = {.hash = sha256_of(bytes, n), .size = n};
                mem_free(bytes);
                bool known = false;
                for (unsigned i = 0; i < nfiles && !known; i++)
                        known = sha256_eq(files[i].hash, f.hash);
                if (!known && (f.path = mem_strdup(line)))
                        files[nfiles++] = f;
        }
        if (nfiles <= WARM)
                die("not enough files");
}

/* ---- the limit ------------------------------------------------------------------- */

static struct jail *jail;
static struct embed *model;
static enum { DECODE_AND_MODEL, DECODE, MODEL } what;
static uint8_t *kept[KEPT];
static unsigned last_file;

static int decode(const char *path, struct decode_result *d, struct err *e)
{
        struct embed_image_spec s = embed_image_spec(model);
        struct decode_request req = {
                .reader = JAIL_READ_IMAGE,
                .max_pixels = 100000000,
                .product = {{.name = "thumb.webp", .type = JAIL_WEBP, .size = 256},
                            {.name = "preview.jpg", .type = JAIL_JPEG, .size = 1024}},
                .input = {{.width = s.width, .height = s.height, .crop_num = s.crop_num, .crop_den = s.crop_den}}};
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return err_errno(e, errno, "cannot open %.100s", path);
        int rc = jail_decode(jail, fd, &req, d, e);
        fd_close(&fd);
        return rc;
}

static void limit_one(unsigned i, float *v)
{
        struct embed_image_spec s = embed_image_spec(model);
        size_t bytes = (size_t)s.width * s.height * 3;
        struct embed_image_result r = {.vector = v};
        struct decode_result d;
        struct err e;
        if (what == MODEL) {
                if (!kept[i % KEPT] || embed_image(model, kept[i % KEPT], bytes, &r, &e))
                        die("model");
                return;
        }
        if (decode(files[i].path, &d, &e)) {
                fprintf(stderr, "bench: %s: %s\n", files[i].path, e.msg);
                atomic_fetch_add(&refused, 1);
                return;
        }
        struct span input = decode_result_input(&d, 0);
        if (what == DECODE_AND_MODEL && embed_image(model, (const uint8_t *)input.p, input.n, &r, &e))
                die("model");
        decode_result_done(&d);
}

static void *limit_thread(void *arg)
{
        (void)arg;
        float *v = mem_calloc(embed_dim(model), sizeof *v);
        unsigned i;
        if (!v)
                die("memory");
        while ((i = atomic_fetch_add(&next_file, 1)) < last_file)
                limit_one(i, v);
        mem_free(v);
        return NULL;
}

static double limit_rate(unsigned threads, unsigned first, unsigned last)
{
        pthread_t t[64];
        atomic_store(&next_file, first);
        last_file = last;
        struct mono start = mono_now();
        for (unsigned i = 0; i < threads; i++)
                if (pthread_create(&t[i], NULL, limit_thread, NULL))
                        die("thread");
        for (unsigned i = 0; i < threads; i++)
                pthread_join(t[i], NULL);
        return (last - first) / dur_seconds(mono_since(start));
}

static void keep_some(void)
{
        for (unsigned k = 0, i = WARM; k < KEPT; k++, i++) {
                struct decode_result d;
                struct err e;
                if (i >= nfiles)
                        i = WARM;
                if (decode(files[i].path, &d, &e))
                        die(e.msg);
                struct span input = decode_result_input(&d, 0);
                if (!(kept[k] = mem_alloc(input.n)))
                        die("memory");
                memcpy(kept[k], input.p, input.n);
                decode_result_done(&d);
        }
}

static int limit_run(char **argv)
{
        unsigned threads = number(argv[5], 1, 64);
        struct embed_opts eo = {.model_dir = argv[3], .runtime_dir = argv[4]};
        struct jail_opts jo = {.decoder_path = argv[2],
                               .children = threads,
                               .timeout = dur_s(60),
                               .cpu = dur_s(240),
                               .recycle_after = 1000};
        struct err e;
        if (embed_open(&eo, false, &model, &e) || jail_open(&jo, &jail, &e)) {
                fprintf(stderr, "bench: %s\n", e.msg);
                return 1;
        }
        what = DECODE_AND_MODEL;
        limit_rate(threads, 0, WARM);
        double both = limit_rate(threads, WARM, nfiles);
        what = DECODE;
        double alone = limit_rate(threads, WARM, nfiles);
        keep_some();
        what = MODEL;
        double bare = limit_rate(threads, WARM, nfiles);
        printf("%u %.2f %.2f %.2f %u\n", nfiles - WARM, both, alone, bare, atomic_load(&refused));
        for (unsigned k = 0; k < KEPT; k++)
                mem_free(kept[k]);
        jail_close(jail);
        embed_close(model);
        return 0;
}

/* ---- through the service ------------------------------------------------------------- */

static uint16_t port;

static int upload(struct conn *c, const struct file *f)
{
        char head[512], *bytes;
        const char *dot = strrchr(f->path, '.');
        char hash[SHA256_TEXT_LEN];
        struct err e;
        size_t n;
        if (file_read_all(f->path, 64u << 20, &bytes, &n, &e))
                return -1;
        int h = snprintf(head, sizeof head,
                         "PUT /api/v1/files/%.12s%.5s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Length: %zu\r\n\r\n",
                         sha256_format(f->hash, hash), dot ? dot : "", port, n);
        struct iovec v[2] = {{head, (size_t)h}, {bytes, n}};
        int rc = conn_send(c, v, 2) || conn_reply(c) != 202 ? -1 : 0;
        if (rc)
                fprintf(stderr, "bench: upload of %s failed: %.300s\n", f->path, c->in);
        mem_free(bytes);
        return rc;
}

static void *upload_thread(void *arg)
{
        struct conn *c = mem_calloc(1, sizeof *c);
        unsigned i;
        (void)arg;
        if (!c || conn_open(c, port))
                die("connect");
        while ((i = atomic_fetch_add(&next_file, 1)) < last_file)
                if (upload(c, &files[i]))
                        exit(1);
        fd_close(&c->fd);
        mem_free(c);
        return NULL;
}

static uint64_t counted(const char *body, const char *first, const char *then)
{
        const char *p = strstr(body, first);
        p = p ? strstr(p, then) : NULL;
        return p ? strtoull(p + strlen(then), NULL, 10) : 0;
}

static void wait_idle(struct conn *c, struct mono start)
{
        for (;;) {
                if (conn_get(c, "/api/v1/admin/stats") != 200)
                        die("stats");
                if (!counted(c->body, "\"queue\":", "\"depth\":"))
                        return;
                if (dur_seconds(mono_since(start)) > PATIENCE)
                        die("the queue does not empty");
                sleep_for(dur_ms(20));
        }
}

/* Seconds until the last upload was answered, and until all was done. */
static double serve(unsigned clients, unsigned first, unsigned last, struct conn *c, double *uploads)
{
        pthread_t t[64];
        atomic_store(&next_file, first);
        last_file = last;
        struct mono start = mono_now();
        for (unsigned i = 0; i < clients; i++)
                if (pthread_create(&t[i], NULL, upload_thread, NULL))
                        die("thread");
        for (unsigned i = 0; i < clients; i++)
                pthread_join(t[i], NULL);
        *uploads = dur_seconds(mono_since(start));
        wait_idle(c, start);
        return dur_seconds(mono_since(start));
}

static int serve_run(char **argv)
{
        struct conn *c = mem_calloc(1, sizeof *c);
        double uploads;
        port = (uint16_t)number(argv[2], 1, 65535);
        unsigned clients = number(argv[3], 1, 64);
        if (!c || conn_open(c, port))
                die("connect");
        serve(clients, 0, WARM, c, &uploads);
        double s = serve(clients, WARM, nfiles, c, &uploads);
        uint64_t done = counted(c->body, "\"media\":", "\"done\":"),
                 failed = counted(c->body, "\"media\":", "\"failed\":");
        printf("%u %.2f %.2f %.2f %llu %llu\n", nfiles - WARM, s, (nfiles - WARM) / s, uploads,
               (unsigned long long)done, (unsigned long long)failed);
        fd_close(&c->fd);
        mem_free(c);
        return done == nfiles ? 0 : 1;
}

int main(int argc, char **argv)
{
        bool limit = argc == 6 && !strcmp(argv[1], "limit");
        if (!limit && !(argc == 4 && !strcmp(argv[1], "serve"))) {
                fprintf(stderr, "usage: bench_pipeline limit DECODER MODEL_FOLDER RUNTIME_FOLDER THREADS <paths\n"
                                "       bench_pipeline serve PORT CLIENTS <paths\n");
                return 2;
        }
        read_list();
        return limit ? limit_run(argv) : serve_run(argv);
}
