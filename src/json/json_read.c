/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading, by jansson. Its own nesting limit is a compile-time 2,048, so the
 * brackets are counted before it sees the text; up to the first fault both
 * read strings alike, hence the count cannot be fooled.
 */
#include "json/json.h"

#include <jansson.h>
#include <string.h>

/* jansson has macros of these names; from here on they are our functions. */
#undef json_is_object
#undef json_is_array
#undef json_is_string
#undef json_is_number
#undef json_is_integer
#undef json_is_null

#define DEPTH_MAX 64

/* A struct json is a json_t under a name of ours; it is never defined. */
static const json_t *to_jansson(const struct json *v)
{
        return (const json_t *)v;
}

static const struct json *from_jansson(const json_t *v)
{
        return (const struct json *)v;
}

/* ---- jansson out of memory ------------------------------------------------------ */

/*
 * jansson's lexer does not check whether its token buffer could grow, and writes past its end when it could not
 * (2.14). So each parse holds a reserve: after the first failed allocation jansson is served from it, its input ends
 * at the next chunk, and the parse is reported as out of memory. The reserve covers what one chunk can still ask for:
 * tokens of at most the text's length, and tables that double. It is hardly ever touched, so it costs address space
 * only.
 */
#define CHUNK 64

struct reading {
        struct span rest;
        char *reserve;
        size_t used, size;
        bool failed;
};

static _Thread_local struct reading *current;
static pthread_once_t alloc_once = PTHREAD_ONCE_INIT;

static void *jansson_alloc(size_t n)
{
        struct reading *r = current;
        void *p = r && r->failed ? NULL : mem_alloc(n);

        if (p || !r)
                return p;
        r->failed = true;
        n = (n + 15) / 16 * 16;
        if (n > r->size - r->used)
                return NULL;
        p = r->reserve + r->used;
        r->used += n;
        return p;
}

static void jansson_free(void *p)
{
        uintptr_t at = (uintptr_t)p, from = current ? (uintptr_t)current->reserve : 0;

        if (!current || at < from || at >= from + current->size)
                mem_free(p);
}

static void use_our_memory(void)
{
        json_set_alloc_funcs(jansson_alloc, jansson_free);
}

static size_t read_chunk(void *to, size_t n, void *arg)
{
        struct reading *r = arg;

        if (r->failed)
                return 0;
        if (n > CHUNK)
                n = CHUNK;
        if (n > r->rest.n)
                n = r->rest.n;
        if (n > 0)
                memcpy(to, r->rest.p, n);
        r->rest.p += n;
        r->rest.n -= n;
        return n;
}

/* NULL with why filled, or untouched when out of memory. */
static json_t *read_document(struct span text, json_error_t *why)
{
        const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY;
        struct reading r = {.rest = {text.n ? text.p : "", text.n}};
        json_error_t detail;
        json_t *root;

        if (__builtin_mul_overflow(text.n, (size_t)32, &r.size))
                return NULL;
        r.size += 32768;
        r.reserve = mem_alloc(r.size);
        if (!r.reserve)
                return NULL;
        current = &r;
        root = json_load_callback(read_chunk, &r, flags, &detail);
        if (r.failed) {
                json_decref(root);
                root = NULL;
        } else if (!root) {
                *why = detail;
        }
        current = NULL;
        mem_free(r.reserve);
        return root;
}

/* ---- parsing -------------------------------------------------------------------- */

static int check_depth(struct span text, struct err *e)
{
        size_t depth = 0, line = 1, line_start = 0;
        bool in_string = false;

        for (size_t i = 0; i < text.n; i++) {
                char c = text.p[i];
                if (c == '\n') {
                        line++;
                        line_start = i + 1;
                }
                if (in_string) {
                        i += c == '\\';
                        in_string = c != '"';
                } else if (c == '"') {
                        in_string = true;
                } else if (c == '[' || c == '{') {
                        if (++depth > DEPTH_MAX)
                                return err_set(e, ERR_INVALID, "line %zu column %zu: more than %d levels of nesting",
                                               line, i - line_start + 1, DEPTH_MAX);
                } else if ((c == ']' || c == '}') && depth > 0) {
                        depth--;
                }
        }
        return 0;
}

struct json *json_parse(struct span text, struct err *e)
{
        json_error_t why = {.line = -1};
        json_t *root;

        pthread_once(&alloc_once, use_our_memory);
        if (check_depth(text, e))
                return NULL;
        root = read_document(text, &why);
        if (!root && why.line < 0)
                err_oom(e);
        else if (!root)
                err_set(e, ERR_INVALID, "line %d column %d: %s", why.line, why.column, why.text);
        return (struct json *)root;
}

void json_free(struct json *doc)
{
        json_decref((json_t *)doc);
}

/* ---- looking --------------------------------------------------------------------- */

bool json_is_object(const struct json *v)
{
        return v && json_typeof(to_jansson(v)) == JSON_OBJECT;
}

bool json_is_array(const struct json *v)
{
        return v && json_typeof(to_jansson(v)) == JSON_ARRAY;
}

bool json_is_string(const struct json *v)
{
        return v && json_typeof(to_jansson(v)) == JSON_STRING;
}

bool json_is_integer(const struct json *v)
{
        return v && json_typeof(to_jansson(v)) == JSON_INTEGER;
}

bool json_is_number(const struct json *v)
{
        return json_is_integer(v) || (v && json_typeof(to_jansson(v)) == JSON_REAL);
}

bool json_is_bool(const struct json *v)
{
        return v && (json_typeof(to_jansson(v)) == JSON_TRUE || json_typeof(to_jansson(v)) == JSON_FALSE);
}

bool json_is_null(const struct json *v)
{
        return !v || json_typeof(to_jansson(v)) == JSON_NULL;
}

const struct json *json_get(const struct json *obj, const char *key)
{
        return json_is_object(obj) ? from_jansson(json_object_get(to_jansson(obj), key)) : NULL;
}

size_t json_count(const struct json *v)
{
        return json_is_object(v)  ? json_object_size(to_jansson(v))
               : json_is_array(v) ? json_array_size(to_jansson(v))
                                  : 0;
}

const struct json *json_at(const struct json *arr, size_t i)
{
        return json_is_array(arr) ? from_jansson(json_array_get(to_jansson(arr), i)) : NULL;
}

/* jansson's iterators take a non-const object and do not change it. */
void *json_iter(const struct json *obj)
{
        return json_is_object(obj) ? json_object_iter((json_t *)(uintptr_t)obj) : NULL;
}

void *json_next(const struct json *obj, void *it)
{
        return json_object_iter_next((json_t *)(uintptr_t)obj, it);
}

const char *json_iter_key(void *it)
{
        return json_object_iter_key(it);
}

const struct json *json_iter_value(void *it)
{
        return from_jansson(json_object_iter_value(it));
}

struct span json_span(const struct json *v)
{
        if (!json_is_string(v))
                return (struct span){"", 0};
        return (struct span){json_string_value(to_jansson(v)), json_string_length(to_jansson(v))};
}

const char *json_str(const struct json *v)
{
        return json_is_string(v) ? json_string_value(to_jansson(v)) : NULL;
}

double json_num(const struct json *v)
{
        return json_is_number(v) ? json_number_value(to_jansson(v)) : 0;
}

int64_t json_int(const struct json *v)
{
        return json_is_integer(v) ? (int64_t)json_integer_value(to_jansson(v)) : 0;
}

bool json_bool(const struct json *v)
{
        return v && json_typeof(to_jansson(v)) == JSON_TRUE;
}

const char *json_get_str(const struct json *obj, const char *key, const char *fallback)
{
        const struct json *v = json_get(obj, key);

        return json_is_string(v) ? json_str(v) : fallback;
}

double json_get_num(const struct json *obj, const char *key, double fallback)
{
        const struct json *v = json_get(obj, key);

        return json_is_number(v) ? json_num(v) : fallback;
}

int64_t json_get_int(const struct json *obj, const char *key, int64_t fallback)
{
        const struct json *v = json_get(obj, key);

        return json_is_integer(v) ? json_int(v) : fallback;
}

bool json_get_bool(const struct json *obj, const char *key, bool fallback)
{
        const struct json *v = json_get(obj, key);

        return json_is_bool(v) ? json_bool(v) : fallback;
}

/* ---- dumping --------------------------------------------------------------------- */

/* A real stays a real when it is read again: 1.0 is not written as 1. */
static void dump_real(struct json_out *j, double v)
{
        struct buf text;
        bool whole;

        buf_init(&text, 64);
        buf_num(&text, v);
        whole = true;
        for (size_t i = 0; i < text.n; i++)
                whole = whole && text.p[i] != '.' && text.p[i] != 'e';
        if (whole)
                buf_puts(&text, ".0");
        j->b->failed |= buf_failed(&text);
        json_put_raw(j, buf_str(&text));
        buf_done(&text);
}

/* Recursion is as deep as the document, which json_parse bounds. */
static void write_value(const struct json *v, struct json_out *j)
{
        switch (v ? json_typeof(to_jansson(v)) : JSON_NULL) {
        case JSON_OBJECT:
                json_obj(j);
                for (void *it = json_iter(v); it; it = json_next(v, it)) {
                        json_key(j, json_iter_key(it));
                        write_value(json_iter_value(it), j);
                }
                json_end(j);
                return;
        case JSON_ARRAY:
                json_arr(j);
                for (size_t i = 0; i < json_count(v); i++)
                        write_value(json_at(v, i), j);
                json_end(j);
                return;
        case JSON_STRING:
                json_put_span(j, json_span(v));
                return;
        case JSON_INTEGER:
                json_put_int(j, json_int(v));
                return;
        case JSON_REAL:
                dump_real(j, json_num(v));
                return;
        case JSON_TRUE:
        case JSON_FALSE:
                json_put_bool(j, json_bool(v));
                return;
        case JSON_NULL:
                json_put_null(j);
                return;
        }
}

void json_dump(const struct json *v, struct buf *out)
{
        struct json_out j;

        json_out_init(&j, out);
        write_value(v, &j);
}
