/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Uploading many files: workers take them one after the other from a list, and the main thread draws the progress
 * line. Each file is one request, so that a bad file fails alone; a failure that would meet every file (no server, no
 * permission) ends the run.
 */
#include "cli/ingest_priv.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_WORKERS 32
#define MAX_GLOBS   64

struct ingest {
        struct walk walk;
        struct upload_opts opts;
        struct upload workers[MAX_WORKERS];
        pthread_t threads[MAX_WORKERS];
        size_t nworkers;
        bool json, quiet;
        struct meter meter;
        uint64_t bytes; /* of all files */

        struct lock lock; /* guards the members below, and printing */
        struct cond changed;
        size_t next, running;
        size_t uploaded, skipped, failed;
        uint64_t bytes_done, bytes_sent;
        int fatal;
        char (*jobs)[ID_TEXT_LEN]; /* by file; "" where there is none */
        atomic_bool stop;
};

struct worker_arg {
        struct ingest *in;
        size_t index;
};

/* ---- what is printed of one file ------------------------------------------------ */

static void print_line(const struct ingest *in, const char *path, const char *status, const char *system_id,
                       const char *job_id, const char *error)
{
        struct buf b;

        buf_init(&b, 64 * 1024);
        if (in->json) {
                struct json_out j;
                json_out_init(&j, &b);
                json_obj(&j);
                json_kv_str(&j, "path", path);
                json_kv_str(&j, "status", status);
                json_kv_str(&j, "system_id", system_id[0] ? system_id : NULL);
                json_kv_str(&j, "job_id", job_id[0] ? job_id : NULL);
                json_kv_str(&j, "error", error[0] ? error : NULL);
                json_end(&j);
                print_json(buf_span(&b));
        } else if (!in->quiet && !error[0]) {
                buf_printf(&b, "%-8s  ", status);
                if (system_id[0])
                        buf_printf(&b, "%-36s  ", system_id);
                text_clean(&b, span_of(path));
                buf_putc(&b, '\n');
                print_buf(&b);
        }
        buf_done(&b);
        if (error[0])
                complain("%s: %s", path, error);
}

static void record_result(struct ingest *in, struct upload *u, size_t i, const struct upload_result *r)
{
        static const char *const words[] = {"uploaded", "skipped", "failed"};
        const struct walk_file *f = &in->walk.files[i];

        lock_assert_held(&in->lock);
        meter_erase(&in->meter);
        print_line(in, f->path, words[r->outcome], r->system_id, r->job_id, r->error);
        in->uploaded += r->outcome == UPLOAD_DONE;
        in->skipped += r->outcome == UPLOAD_SKIPPED;
        in->failed += r->outcome == UPLOAD_FAILED;
        in->bytes_done += f->size;
        in->bytes_sent += r->outcome == UPLOAD_DONE ? f->size : 0;
        atomic_store(&u->sent, 0);
        memcpy(in->jobs[i], r->job_id, ID_TEXT_LEN);
        if (r->fatal && !in->fatal) {
                in->fatal = r->fatal;
                atomic_store(&in->stop, true);
        }
}

/* ---- the run ---------------------------------------------------------------------- */

static void *upload_worker(void *arg)
{
        struct worker_arg *w = arg;
        struct ingest *in = w->in;
        struct upload *u = &in->workers[w->index];
        struct upload_result r;

        lock_take(&in->lock);
        while (!atomic_load(&in->stop) && in->next < in->walk.n) {
                size_t i = in->next++;
                lock_drop(&in->lock);
                upload_file(u, &in->walk.files[i], &r);
                lock_take(&in->lock);
                record_result(in, u, i, &r);
        }
        in->running--;
        cond_signal(&in->changed);
        lock_drop(&in->lock);
        return NULL;
}

static void draw_meter(struct ingest *in)
{
        struct meter_state s = {.files_done = in->uploaded + in->skipped + in->failed,
                                .files = in->walk.n,
                                .bytes_done = in->bytes_done,
                                .bytes_sent = in->bytes_sent,
                                .bytes = in->bytes};

        for (size_t i = 0; i < in->nworkers; i++) {
                uint64_t sent = atomic_load(&in->workers[i].sent);
                s.bytes_done += sent;
                s.bytes_sent += sent;
        }
        meter_draw(&in->meter, &s);
}

static int run_workers(struct ingest *in, const struct api *api, size_t n)
{
        struct worker_arg args[MAX_WORKERS];
        size_t threads = 0;
        struct err e = {0};
        int rc = 0;

        for (; rc == 0 && in->nworkers < n; in->nworkers++)
                rc = upload_init(&in->workers[in->nworkers], api, &in->opts, &e);
        for (; rc == 0 && threads < in->nworkers; threads++) {
                args[threads] = (struct worker_arg){in, threads};
                lock_take(&in->lock);
                in->running++;
                lock_drop(&in->lock);
                if (thread_start(&in->threads[threads], "upload", upload_worker, &args[threads])) {
                        lock_take(&in->lock);
                        in->running--;
                        lock_drop(&in->lock);
                        rc = threads > 0 ? 0 : err_set(&e, ERR_OOM, "cannot start a thread");
                        break; /* fewer will do */
                }
        }
        lock_take(&in->lock);
        while (in->running > 0) {
                draw_meter(in);
                cond_wait_until(&in->changed, &in->lock, mono_add(mono_now(), dur_ms(200)));
        }
        meter_erase(&in->meter);
        lock_drop(&in->lock);
        for (size_t i = 0; i < threads; i++)
                pthread_join(in->threads[i], NULL);
        for (size_t i = 0; i < in->nworkers; i++)
                upload_done(&in->workers[i]);
        in->nworkers = 0;
        if (rc)
                complain("%s", e.msg);
        return rc ? CLI_FAILED : CLI_OK;
}

/* ---- --wait --------------------------------------------------------------------------- */

/*
 * Jobs end roughly in the order in which they were created, so waiting for one after the other is hardly slower than
 * for all at once.
 */
static int await_jobs(struct ingest *in, struct api *api, size_t *bad)
{
        size_t seen = 0;

        for (size_t i = 0; i < in->walk.n; i++) {
                const struct json *asset;
                const char *error;
                int rc;
                if (!in->jobs[i][0])
                        continue;
                meter_note(&in->meter, "processing: %zu of %zu done", seen, in->uploaded);
                rc = job_poll(api, in->jobs[i], false);
                if (rc == 0 && job_exit(api->doc) == CLI_OK &&
                    strcmp(json_get_str(api->doc, "status", ""), "done") != 0)
                        rc = job_poll(api, in->jobs[i], true);
                meter_erase(&in->meter);
                if (rc)
                        return rc;
                seen++;
                *bad += job_exit(api->doc) != CLI_OK;
                asset = json_at(json_get(api->doc, "assets"), 0);
                error = json_get_str(asset, "error", json_get_str(json_get(asset, "error"), "message", NULL));
                if (!error)
                        error = job_exit(api->doc) == CLI_OK ? "" : "processing failed";
                if (in->json || error[0])
                        print_line(in, in->walk.files[i].path, json_get_str(api->doc, "status", ""),
                                   json_get_str(asset, "system_id", ""), in->jobs[i], error);
        }
        return CLI_OK;
}

static int print_summary(const struct ingest *in, bool waited, size_t bad)
{
        size_t tried = in->uploaded + in->skipped + in->failed;
        struct buf b;

        buf_init(&b, 4096);
        buf_printf(&b, "%zu uploaded, %zu skipped, %zu failed (", in->uploaded, in->skipped, in->failed);
        text_bytes(&b, (double)in->bytes_sent);
        buf_puts(&b, " in ");
        text_seconds(&b, dur_seconds(mono_since(in->meter.start)));
        buf_putc(&b, ')');
        if (waited)
                buf_printf(&b, "; processed: %zu well, %zu not", in->uploaded - bad, bad);
        if (tried < in->walk.n)
                buf_printf(&b, "; %zu not tried", in->walk.n - tried);
        if (in->walk.links)
                buf_printf(&b, "; left out: %zu symbolic links", in->walk.links);
        if (in->walk.others)
                buf_printf(&b, "; left out: %zu special files", in->walk.others);
        fprintf(stderr, "%s\n", buf_str(&b));
        buf_done(&b);
        if (in->fatal)
                return in->fatal;
        if (in->failed + bad == 0)
                return CLI_OK;
        return in->uploaded + in->skipped > bad ? CLI_PARTIAL : CLI_FAILED;
}

/* ---- the command ------------------------------------------------------------------------ */

static size_t collect_globs(const struct cli *c, const char *name, const char **out)
{
        size_t n = 0;

        for (const char *v; n < MAX_GLOBS && (v = cli_value_at(c, name, n)); n++)
                out[n] = v;
        return n;
}

static int find_files(struct ingest *in, const struct cli *c)
{
        const char *include[MAX_GLOBS], *exclude[MAX_GLOBS];
        struct walk_rules rules = {.recursive = !cli_has(c, "no-recursive"),
                                   .hidden = cli_has(c, "hidden"),
                                   .include = include,
                                   .ninclude = collect_globs(c, "include", include),
                                   .exclude = exclude,
                                   .nexclude = collect_globs(c, "exclude", exclude)};
        struct err e;

        if (walk_init(&in->walk, &e)) {
                complain("%s", e.msg);
                return CLI_FAILED;
        }
        if (cli_value_at(c, "include", MAX_GLOBS) || cli_value_at(c, "exclude", MAX_GLOBS)) {
                complain("at most %d patterns", MAX_GLOBS);
                return CLI_USAGE;
        }
        for (size_t i = 0; i < c->nwords; i++)
                if (walk_add(&in->walk, c->words[i], &rules, &e)) {
                        complain("%s", e.msg);
                        return CLI_FAILED;
                }
        for (size_t i = 0; i < in->walk.n; i++)
                in->bytes += in->walk.files[i].size;
        return CLI_OK;
}

static int dry_run(struct ingest *in)
{
        struct buf total;

        for (size_t i = 0; i < in->walk.n; i++) {
                const struct walk_file *f = &in->walk.files[i];
                print_line(in, f->path, f->problem ? "failed" : "found", "", "", f->problem ? f->problem : "");
                in->failed += f->problem != NULL;
        }
        buf_init(&total, 64);
        text_bytes(&total, (double)in->bytes);
        fprintf(stderr, "%zu files, %s, would be uploaded, less what the server has already\n", in->walk.n - in->failed,
                buf_str(&total));
        buf_done(&total);
        return in->failed == 0 ? CLI_OK : in->failed < in->walk.n ? CLI_PARTIAL : CLI_FAILED;
}

/*
 * An upload without --owner goes to the key's owner or to "default", but a
 * question without one covers all that the key may see: another owner's copy
 * would pass for ours. A key bound to an owner may not name "default" and sees
 * its own files only, so it needs no name.
 */
static int find_holder(struct ingest *in, struct api *api)
{
        int rc;

        in->opts.held_by = in->opts.owner;
        if (in->opts.owner || in->opts.again)
                return CLI_OK;
        in->opts.held_by = "default";
        if (!api->key[0])
                return CLI_OK;
        rc = client_send(api, "/api/v1/objects?limit=1&owner=default", (struct httpc_request){.method = "GET"});
        if (rc == 0 && (api->r.status == 403 || api->r.status == 404))
                in->opts.held_by = NULL;
        return CLI_OK; /* any other problem shows with the first file */
}

static int send_all(struct ingest *in, const struct cli *c, size_t workers)
{
        struct api api;
        size_t bad = 0;
        int rc = client_open(&api, c);

        if (rc)
                return rc;
        in->jobs = mem_calloc(in->walk.n, sizeof *in->jobs);
        if (!in->jobs) {
                complain("not enough memory");
                client_close(&api);
                return CLI_FAILED;
        }
        rc = find_holder(in, &api);
        if (rc == 0)
                rc = run_workers(in, &api, workers < in->walk.n ? workers : in->walk.n);
        if (rc == 0 && cli_has(c, "wait") && !in->fatal)
                rc = await_jobs(in, &api, &bad);
        if (rc == 0)
                rc = print_summary(in, cli_has(c, "wait") && !in->fatal, bad);
        mem_free(in->jobs);
        client_close(&api);
        return rc;
}

int run_ingest(const struct cli *c)
{
        struct ingest *in = mem_calloc(1, sizeof *in);
        double workers = 4;
        int rc;

        if (!in || cli_number(c, "jobs", 1, MAX_WORKERS, &workers)) {
                if (!in)
                        complain("not enough memory");
                rc = in ? CLI_USAGE : CLI_FAILED;
                mem_free(in);
                return rc;
        }
        in->json = cli_has(c, "json");
        in->quiet = cli_has(c, "quiet");
        in->opts = (struct upload_opts){.owner = cli_value(c, "owner"),
                                        .folder = cli_value(c, "folder"),
                                        .tags = cli_value(c, "tags"),
                                        .again = cli_has(c, "again"),
                                        .stop = &in->stop};
        meter_init(&in->meter, in->quiet);
        lock_init(&in->lock, "cli.ingest", RANK_APP);
        cond_init(&in->changed);
        setvbuf(stdout, NULL, _IOLBF, 0); /* a line per file is for watching, also through a pipe */
        rc = find_files(in, c);
        if (rc == 0 && in->walk.n == 0)
                complain("no files to upload");
        else if (rc == 0)
                rc = cli_has(c, "dry-run") ? dry_run(in) : send_all(in, c, (size_t)workers);
        walk_done(&in->walk);
        cond_done(&in->changed);
        lock_done(&in->lock);
        mem_free(in);
        return rc;
}
