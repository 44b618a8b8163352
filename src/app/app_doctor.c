/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of `doctor`: everything that a start needs, each by itself, so that one failure does not hide the next. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "app/app_priv.h"
#include "vector/vector.h"

typedef void check_fn(const struct config *c, const struct app_paths *p, struct app_check *out);

static void set_result(struct app_check *out, const char *result, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void set_result(struct app_check *out, const char *result, const char *fmt, ...)
{
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(out->detail, sizeof out->detail, fmt, ap);
        va_end(ap);
        snprintf(out->result, sizeof out->result, "%s", result);
}

static void check_decoder(const struct config *c, const struct app_paths *p, struct app_check *out)
{
        (void)c;
        if (access(p->decoder, X_OK))
                set_result(out, "fail", "%s: %s", p->decoder, strerror(errno));
        else
                set_result(out, "ok", "%s", p->decoder);
}

/* A decoder is started, since the kernel may offer a sandbox in which decoding still does not work. */
static void check_isolation(const struct config *c, const struct app_paths *p, struct app_check *out)
{
        struct jail_opts o = app_jail_opts(c, p);
        struct jail_state st;
        struct jail *j = NULL;
        struct err e;
        if (jail_open(&o, &j, &e) || jail_try(j, &e)) {
                set_result(out, "fail", "%s", e.msg);
        } else {
                jail_state(j, &st);
                set_result(out, *st.note ? "warn" : "ok", "decoders are sandboxed by %s%s%s",
                           strcmp(st.isolation, "process") ? st.isolation : "nothing", *st.note ? ": " : "", st.note);
        }
        jail_close(j);
}

static void check_model(const struct config *c, const struct app_paths *p, struct app_check *out)
{
        char dir[4096];
        struct embed *m;
        struct err e;
        struct mono start = mono_now();
        app_model_dir(c, p, dir, sizeof dir);
        struct embed_opts eo = {.model_dir = dir, .runtime_dir = p->lib};
        if (embed_open(&eo, true, &m, &e)) {
                set_result(out, "fail", "%s", e.msg);
                return;
        }
        set_result(out, "ok", "%s on ONNX Runtime %s, hashes verified, loaded in %.0f ms", embed_model_id(m),
                   embed_runtime_version(m), dur_seconds(mono_since(start)) * 1e3);
        embed_close(m);
}

static void check_simd(const struct config *c, const struct app_paths *p, struct app_check *out)
{
        (void)c;
        (void)p;
        const char *name = vec_kernel_name();
        set_result(out, strcmp(name, "c") ? "ok" : "warn", "vector scan uses %s", name);
}

/* The promise "acknowledged means kept" depends on fsync, and its duration says much about the disk. */
static void fsync_time(const char *dir, struct app_check *out)
{
        char path[4200];
        snprintf(path, sizeof path, "%s/.doctor-XXXXXX", dir);
        int fd = mkostemp(path, O_CLOEXEC);
        if (fd < 0) {
                set_result(out, "fail", "%s cannot be written: %s", dir, strerror(errno));
                return;
        }
        unlink(path);
        double worst = 0, sum = 0;
        bool failed = false;
        for (int i = 0; i < 10 && !failed; i++) {
                struct mono start = mono_now();
                failed = write(fd, path, 64) != 64 || fsync(fd);
                double ms = dur_seconds(mono_since(start)) * 1e3;
                sum += ms;
                worst = ms > worst ? ms : worst;
        }
        if (failed)
                set_result(out, "fail", "fsync in %s: %s", dir, strerror(errno));
        else
                set_result(out, worst > 100 ? "warn" : "ok", "%s: fsync takes %.1f ms, at worst %.1f ms", dir, sum / 10,
                           worst);
        fd_close(&fd);
}

static void check_folder(const char *path, struct app_check *out)
{
        struct err e;
        struct statvfs v;
        if (access(path, F_OK) && errno == ENOENT) {
                set_result(out, "ok", "%s will be made at the first start", path);
                return;
        }
        if (dir_make(path, &e)) {
                set_result(out, "fail", "%s", e.msg);
                return;
        }
        fsync_time(path, out);
        if (!strcmp(out->result, "ok") && statvfs(path, &v) == 0 && v.f_bavail * v.f_frsize < (1ull << 30))
                set_result(out, "warn", "%s has only %llu MB free", path,
                           (unsigned long long)(v.f_bavail * v.f_frsize >> 20));
}

static void check_data(const struct config *c, const struct app_paths *p, struct app_check *out)
{
        (void)p;
        check_folder(c->data_path, out);
}

static void check_storage(const struct config *c, const struct app_paths *p, struct app_check *out)
{
        (void)p;
        /* The start tells whether an object store answers; here the spool is checked. */
        check_folder(strncmp(c->storage_backend, "s3://", 5) ? c->storage_path : c->spool_path, out);
}

static void check_files(const struct config *c, const struct app_paths *p, struct app_check *out)
{
        struct rlimit l;
        (void)p;
        getrlimit(RLIMIT_NOFILE, &l);
        unsigned long long need = (unsigned long long)c->http_max_connections * 3 + 300;
        set_result(out, l.rlim_max >= need ? "ok" : "warn",
                   "at most %llu open files, %llu are wanted for HTTP_MAX_CONNECTIONS=%lld",
                   (unsigned long long)l.rlim_max, need, (long long)c->http_max_connections);
}

static void check_exposure(const struct config *c, const struct app_paths *p, struct app_check *out)
{
        (void)p;
        bool local =
                !strcmp(c->app_host, "localhost") || !strncmp(c->app_host, "127.", 4) || !strcmp(c->app_host, "::1");
        if (local || *c->api_key)
                set_result(out, "ok", "%s",
                           local ? "listens on this machine only" : "listens on the network, with a key");
        else
                set_result(out, "warn", "APP_HOST=%s without API_KEY: anyone who reaches the port can delete all files",
                           c->app_host);
}

size_t app_doctor(const struct config *c, struct app_check *out, size_t max)
{
        static const struct {
                const char *name;
                check_fn *fn;
        } checks[] = {
                {"decoder", check_decoder},  {"isolation", check_isolation}, {"model", check_model},
                {"simd", check_simd},        {"data", check_data},           {"storage", check_storage},
                {"open files", check_files}, {"exposure", check_exposure},
        };
        struct app_paths p;
        size_t n = 0;
        app_paths_find(&p);
        for (; n < COUNT_OF(checks) && n < max; n++) {
                out[n].name = checks[n].name;
                checks[n].fn(c, &p, &out[n]);
        }
        return n;
}
