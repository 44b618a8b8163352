/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the built-in model costs: loading, resident memory, one picture, one
 * short and one full-length text, on one thread. Run from the project's folder
 * or give the model folder and the runtime folder. Figures only.
 */
#include "embed/embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static double resident_mb(void)
{
        FILE *f = fopen("/proc/self/statm", "r");
        long pages = 0;
        if (!f || fscanf(f, "%*s %ld", &pages) != 1)
                pages = 0;
        if (f)
                fclose(f);
        return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static int compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;
        return x < y ? -1 : x > y;
}

#define ROUNDS 60

struct job {
        struct embed *m;
        const uint8_t *rgb; /* NULL: a text */
        size_t n;
        struct span text;
        float *vector;
};

static void time_it(const char *what, const struct job *j)
{
        double t[ROUNDS];
        struct err e;
        for (int i = 0; i < ROUNDS; i++) {
                struct embed_image_result r = {.vector = j->vector};
                struct mono start = mono_now();
                int rc = j->rgb ? embed_image(j->m, j->rgb, j->n, &r, &e) : embed_text(j->m, j->text, j->vector, &e);
                if (rc) {
                        fprintf(stderr, "%s\n", e.msg);
                        exit(1);
                }
                t[i] = dur_seconds(mono_since(start)) * 1e3;
        }
        qsort(t, ROUNDS, sizeof *t, compare);
        printf("%-28s median %6.2f ms   least %6.2f ms\n", what, t[ROUNDS / 2], t[0]);
}

int main(int argc, char **argv)
{
        struct embed_opts opts = {argc > 1 ? argv[1] : "models/builtin", argc > 2 ? argv[2] : ".cache/onnxruntime/lib"};
        struct embed *m;
        struct err e;
        double before = resident_mb();
        struct mono start = mono_now();
        if (embed_open(&opts, false, &m, &e)) {
                fprintf(stderr, "%s\n", e.msg);
                return 1;
        }
        printf("%s, ONNX Runtime %s\n", embed_model_id(m), embed_runtime_version(m));
        printf("load %.0f ms, resident %.0f MB before, %.0f MB after\n", dur_seconds(mono_since(start)) * 1e3, before,
               resident_mb());
        struct embed_image_spec s = embed_image_spec(m);
        struct job j = {.m = m, .n = (size_t)s.width * s.height * 3};
        uint8_t *rgb = mem_calloc(j.n, 1);
        j.vector = mem_calloc(embed_dim(m), sizeof(float));
        char *words = mem_calloc(1, 4 * 200 + 1);
        if (!rgb || !j.vector || !words)
                return 1;
        for (size_t i = 0; i < j.n; i++)
                rgb[i] = (uint8_t)(i * 31 >> 4);
        for (size_t i = 0; i < 200; i++)
                memcpy(words + 4 * i, "dog ", 4);
        j.text = SPAN("a dog at the beach in summer");
        time_it("text, 9 tokens", &j);
        j.text = span_of(words);
        time_it("text, full length", &j);
        j.rgb = rgb;
        time_it("image", &j);
        double dirty = resident_mb();
        embed_trim();
        printf("resident %.0f MB after the runs, %.0f MB after a trim\n", dirty, resident_mb());
        mem_free(words);
        mem_free(j.vector);
        mem_free(rgb);
        embed_close(m);
        return 0;
}
