/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scrubber: reads every object again within SCRUB_DAYS and compares it with its name. The hard thing is to
 * disturb nobody: it reads no more a day than it must, slowly, past the page cache, on one instance.
 */
#include "admin/admin_priv.h"
#include "catalog/catalog_upkeep.h"
#include "keep/keep.h"
#include "json/json.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define DUTY     "scrub"
#define LEASE    300 /* seconds */
#define RENEW    60
#define TICK     5
#define BATCH    64
#define SHARE    0.9 /* of SCRUB_DAYS: the remainder allows for days on which the service was off */
#define NOTE_MAX 300

struct scrub {
        struct admin *a;
        double rate;       /* bytes a second */
        struct mono began; /* of the work at hand, and what it has read since */
        double bytes;
        struct mono renewed; /* the duty's lease */
};

/* ---- one object ---------------------------------------------------------------------- */

static bool slow_down(void *ctx, size_t n)
{
        struct scrub *s = ctx;
        double ahead;
        s->bytes += (double)n;
        ahead = s->bytes / s->rate - dur_seconds(mono_since(s->began));
        return admin_pause(s->a, dur_s(ahead > 0.01 ? ahead : 0));
}

/* Fills in the result; false when the service ends first. */
static bool check_item(struct scrub *s, struct scrub_item *it, struct arena *mem)
{
        char hex[SHA256_TEXT_LEN];
        struct err e = {.msg = ""};
        struct verify v = {
                .storage = s->a->o.storage, .object = it->sha256, .size = it->size, .go_on = slow_down, .ctx = s};
        enum damage damage;
        int rc = verify_object(&v, &damage, &e);
        if (rc > 0)
                return false;
        it->bad = NULL;
        if (damage != DAMAGE_NONE) {
                it->bad = arena_printf(mem, "%.*s", NOTE_MAX, e.code == ERR_NOT_FOUND ? "it is missing" : e.msg);
                it->skipped = !it->bad;
        } else if (rc < 0) {
                it->skipped = true;
                log_warning("scrub", "object %s could not be checked: %s", sha256_format(it->sha256, hex), e.msg);
        }
        if (it->bad)
                log_error("scrub", "object %s is damaged: %s", sha256_format(it->sha256, hex), it->bad);
        metrics_add(METRIC_SCRUB_OBJECTS, 1, it->bad ? "bad" : it->skipped ? "skipped" : "good");
        if (!it->skipped)
                metrics_add(METRIC_SCRUB_BYTES, (double)it->size);
        return true;
}

/* ---- the pass -------------------------------------------------------------------------- */

static bool keep_duty(struct scrub *s)
{
        struct err e;
        if (s->renewed.ns && mono_since(s->renewed).ns < dur_s(RENEW).ns)
                return true;
        if (catalog_duty_take(s->a->o.catalog, DUTY, s->a->o.instance, dur_s(LEASE), (struct dur){0}, &e) <= 0)
                return false;
        s->renewed = mono_now();
        return true;
}

/* Whether the store can be reached at all: otherwise each of its objects would be skipped for nothing. */
static bool store_answers(struct scrub *s)
{
        struct storage_state st;
        storage_state(s->a->o.storage, &st);
        return st.writable || st.write_back;
}

/* The share of the scrub that should be done by now, 0 to 1. */
static double due_share(const struct admin *a, const struct scrub_state *st)
{
        double days = dur_seconds(a->o.scrub_period) * SHARE;
        double age = (double)(wall_now().us - st->now.began.us) * 1e-6;
        if (st->hurry || days <= 0 || age >= days)
                return 1;
        return age > 0 ? age / days : 0;
}

static bool is_behind(const struct admin *a, const struct scrub_state *st)
{
        double share = due_share(a, st);
        return share >= 1 || (double)st->now.objects < share * (double)st->objects ||
               (double)st->now.bytes < share * (double)st->bytes;
}

/* Checks some of the next objects; returns how many there were, or -1 to stop. */
static int check_some(struct scrub *s, struct wall before, bool asked, unsigned most)
{
        struct arena *mem = arena_new(1 << 20);
        struct scrub_item *items;
        struct err e = {.msg = ""};
        size_t n = 0, done = 0;
        uint64_t bytes = 0;
        bool go_on = mem && keep_duty(s) && store_answers(s);
        if (go_on && keep_scrub_next(s->a->o.catalog, before, asked, most, mem, &items, &n, &e)) {
                log_warning("scrub", "cannot read the list of objects: %s", e.msg);
                go_on = false;
        }
        while (go_on && done < n && bytes < s->rate * 5) { /* results are written every few seconds */
                go_on = keep_duty(s) && check_item(s, &items[done], mem);
                bytes += items[done].size;
                done += go_on;
        }
        if (done && keep_scrub_seen(s->a->o.catalog, items, done, &e)) {
                log_warning("scrub", "cannot store the results: %s", e.msg);
                go_on = false;
        }
        arena_free(mem);
        return go_on ? (int)n : -1;
}

static int remove_stray(void *ctx, struct sha256 object, uint64_t size, struct err *e)
{
        struct scrub *s = ctx;
        char hex[SHA256_TEXT_LEN];
        int rc;
        if (!admin_pause(s->a, (struct dur){0}) || !keep_duty(s))
                return 1;
        rc = gc_remove_stray(s->a->o.catalog, s->a->o.storage, object, size, e);
        if (rc > 0)
                log_info("scrub", "removed object %s, which was left over by an upload that died",
                         sha256_format(object, hex));
        return rc < 0 ? -1 : 0;
}

/* At the end of a scrub: looks for objects that the catalog does not know. */
static void end_pass(struct scrub *s, const struct scrub_state *st)
{
        struct err e = {.msg = ""};
        int rc = strays_walk(s->a->o.catalog, s->a->o.storage, STORAGE_OBJECTS, stray_age(s->a->o.gc_grace),
                             remove_stray, s, &e);
        if (rc > 0)
                return; /* another day, or another instance */
        if (rc < 0)
                log_warning("scrub", "cannot look for objects that the catalog does not know: %s", e.msg);
        if (keep_scrub_end(s->a->o.catalog, &e))
                log_warning("scrub", "cannot write that all objects were read: %s", e.msg);
        else
                log_info("scrub", "all objects were read: %llu with %llu bytes, %llu of them damaged",
                         (unsigned long long)st->now.objects, (unsigned long long)st->now.bytes,
                         (unsigned long long)st->now.bad);
}

/* Goes on until the scrub has reached the share that is due. */
static void catch_up(struct scrub *s)
{
        struct scrub_state st;
        struct err e = {.msg = ""};
        int n;
        while ((n = keep_scrub_state(s->a->o.catalog, &st, &e)) == 0 && st.running && is_behind(s->a, &st)) {
                n = check_some(s, st.now.began, false, due_share(s->a, &st) < 1 ? 1 : BATCH);
                if (n > 0)
                        continue;
                if (n == 0)
                        end_pass(s, &st);
                break;
        }
}

/* Bytes a second: as set, or as many as SCRUB_DAYS asks for. */
static double rate_of(const struct admin *a, const struct scrub_state *st)
{
        double rate = a->o.scrub_rate ? (double)a->o.scrub_rate : 1, days = dur_seconds(a->o.scrub_period);
        double need = days > 0 ? (double)st->bytes / days * 1.5 : 0;
        return rate > need ? rate : need;
}

static bool is_due(const struct admin *a, const struct scrub_state *st)
{
        return !st->running && a->o.scrub_period.ns > 0 &&
               (double)(wall_now().us - st->last.began.us) * 1e-6 >= dur_seconds(a->o.scrub_period) * SHARE;
}

static void take_turn(struct scrub *s)
{
        struct admin *a = s->a;
        struct scrub_state st;
        struct scrub_item *one;
        struct err e = {.msg = ""};
        struct arena *mem = arena_new(64 << 10);
        size_t asked = 0;
        if (mem && keep_scrub_state(a->o.catalog, &st, &e) == 0 &&
            keep_scrub_next(a->o.catalog, (struct wall){0}, true, 1, mem, &one, &asked, &e) == 0 &&
            (asked || is_due(a, &st) || (st.running && is_behind(a, &st)))) {
                s->renewed = (struct mono){0};
                s->rate = rate_of(a, &st);
                s->began = mono_now();
                s->bytes = 0;
                if (keep_duty(s)) {
                        while (check_some(s, (struct wall){0}, true, BATCH) > 0)
                                ;
                        if (!is_due(a, &st) || keep_scrub_begin(a->o.catalog, false, &e) == 0)
                                catch_up(s);
                        if (catalog_duty_done(a->o.catalog, DUTY, a->o.instance, &e))
                                log_debug("scrub", "the lease of the scrubber runs out: %s", e.msg);
                }
        }
        arena_free(mem);
}

void *admin_scrubber(void *arg)
{
        struct scrub s = {.a = arg};
        int waited = 0;
        thread_stand_back();
        /* A request made here begins at once, one made on another instance within a tick. */
        while (admin_pause(s.a, dur_ms(500))) {
                if (!atomic_exchange(&s.a->scrub_soon, false) && ++waited < 2 * TICK)
                        continue;
                waited = 0;
                take_turn(&s);
        }
        return NULL;
}

/* ---- asked for, and shown ------------------------------------------------------------------- */

int admin_scrub(struct admin *a, const struct sha256 *objects, size_t count, size_t *found, struct err *e)
{
        int rc = objects ? keep_scrub_ask(a->o.catalog, objects, count, found, e)
                         : keep_scrub_begin(a->o.catalog, true, e);
        if (rc == 0)
                atomic_store(&a->scrub_soon, true);
        return rc;
}

static void put_pass(struct json_out *j, const char *name, const struct scrub_pass *p, const struct scrub_state *of)
{
        json_key(j, name);
        if (!p->began.us) {
                json_put_raw(j, "null");
                return;
        }
        json_obj(j);
        json_kv_wall(j, "began_at", p->began);
        if (p->finished.us)
                json_kv_wall(j, "finished_at", p->finished);
        json_kv_int(j, "objects", (int64_t)p->objects);
        json_kv_int(j, "bytes", (int64_t)p->bytes);
        json_kv_int(j, "bad", (int64_t)p->bad);
        if (of) {
                json_kv_int(j, "objects_total", (int64_t)of->objects);
                json_kv_int(j, "bytes_total", (int64_t)of->bytes);
        }
        json_end(j);
}

static void put_bad(struct json_out *j, const struct bad_object *b)
{
        char hex[SHA256_TEXT_LEN], id[ID_TEXT_LEN];
        json_obj(j);
        json_kv_str(j, "sha256", sha256_format(b->sha256, hex));
        json_kv_int(j, "size_bytes", (int64_t)b->size);
        json_kv_str(j, "reason", b->reason);
        json_kv_wall(j, "found_at", b->found);
        json_kv_wall(j, "checked_at", b->checked);
        json_key(j, "system_ids");
        json_arr(j);
        for (size_t i = 0; i < b->nassets; i++)
                json_put_str(j, id_format(b->assets[i], id));
        json_end(j);
        json_kv_int(j, "assets", (int64_t)b->total_assets);
        json_end(j);
}

int admin_scrub_report(struct admin *a, struct buf *out, struct err *e)
{
        struct arena *mem = arena_new(4 << 20);
        struct scrub_state st;
        struct bad_object *bad;
        struct json_out j;
        size_t n;
        int rc = mem ? 0 : err_oom(e);
        if (rc == 0)
                rc = keep_scrub_state(a->o.catalog, &st, e) ||
                                     keep_bad_objects(a->o.catalog, SCRUB_SHOWN, mem, &bad, &n, e)
                             ? -1
                             : 0;
        if (rc == 0) {
                json_out_init(&j, out);
                json_obj(&j);
                json_kv_str(&j, "status", st.running ? "running" : a->o.scrub_period.ns > 0 ? "idle" : "off");
                json_kv_fixed(&j, "days", dur_seconds(a->o.scrub_period) / 86400, 0);
                json_kv_bool(&j, "now", st.running && st.hurry);
                put_pass(&j, "pass", st.running ? &st.now : &(struct scrub_pass){0}, &st);
                put_pass(&j, "last", &st.last, NULL);
                json_kv_int(&j, "bad_total", (int64_t)st.bad);
                json_key(&j, "bad");
                json_arr(&j);
                for (size_t i = 0; i < n; i++)
                        put_bad(&j, &bad[i]);
                json_end(&j);
                json_end(&j);
        }
        arena_free(mem);
        return rc;
}
