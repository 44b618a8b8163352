/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON of our own small messages: requests, responses, manifests, stored
 * metadata. Reading is jansson behind an opaque type; writing goes straight
 * into a buf, which keeps a cap and fails once, at the end.
 */
#ifndef FA_JSON_H
#define FA_JSON_H

#include "base/base.h"

/* ---- reading --------------------------------------------------------------- */

struct json; /* an immutable value inside a document; lives as long as the document */

/* Depth is limited to 64, duplicate keys are refused; the error names line and column. Free the result with json_free.
 */
struct json *json_parse(struct span text, struct err *e) MUST_CHECK;
void json_free(struct json *doc);

bool json_is_object(const struct json *v);
bool json_is_array(const struct json *v);
bool json_is_string(const struct json *v);
bool json_is_number(const struct json *v); /* integer or real */
bool json_is_integer(const struct json *v);
bool json_is_bool(const struct json *v);
bool json_is_null(const struct json *v);                              /* also for v == NULL */
const struct json *json_get(const struct json *obj, const char *key); /* NULL when absent or obj is no object */
size_t json_count(const struct json *v);                              /* members or elements; 0 for others */
const struct json *json_at(const struct json *arr, size_t i);
/* Walk an object in its order: for (void *it = json_iter(o); it; it = json_next(o, it)) */
void *json_iter(const struct json *obj);
void *json_next(const struct json *obj, void *it);
const char *json_iter_key(void *it);
const struct json *json_iter_value(void *it);

struct span json_span(const struct json *v); /* string contents (may hold NUL); empty for others */
const char *json_str(const struct json *v);  /* NULL for others */
double json_num(const struct json *v);       /* 0 for others */
int64_t json_int(const struct json *v);      /* 0 for others */
bool json_bool(const struct json *v);        /* false for others */
/* json_get and convert; the fallback when absent or of another type. */
const char *json_get_str(const struct json *obj, const char *key, const char *fallback);
double json_get_num(const struct json *obj, const char *key, double fallback);
int64_t json_get_int(const struct json *obj, const char *key, int64_t fallback);
bool json_get_bool(const struct json *obj, const char *key, bool fallback);
/* Compact text of any value. */
void json_dump(const struct json *v, struct buf *out);

/* ---- writing --------------------------------------------------------------- */

/*
 * Commas are the writer's business. Keys only inside objects, asserted.
 *     struct json_out j; json_out_init(&j, &buf);
 *     json_obj(&j); json_key(&j, "id"); json_put_str(&j, id); json_end(&j);
 */
struct json_out {
        struct buf *b;
        uint8_t depth;
        uint64_t is_array; /* bit per depth */
        uint64_t has_item; /* bit per depth */
        bool after_key;
};

void json_out_init(struct json_out *j, struct buf *b);
void json_obj(struct json_out *j);
void json_arr(struct json_out *j);
void json_end(struct json_out *j); /* closes the innermost */
void json_key(struct json_out *j, const char *key);
void json_put_str(struct json_out *j, const char *s); /* NULL → null */
void json_put_span(struct json_out *j, struct span s);
void json_put_int(struct json_out *j, int64_t v);
void json_put_u64(struct json_out *j, uint64_t v);
void json_put_num(struct json_out *j, double v); /* shortest text that reads back equal; non-finite → null */
void json_put_fixed(struct json_out *j, double v, int digits); /* rounded, for similarities and timings */
void json_put_bool(struct json_out *j, bool v);
void json_put_null(struct json_out *j);
void json_put_raw(struct json_out *j, const char *text); /* text is already valid JSON; NULL → null */
void json_put_wall(struct json_out *j, struct wall t);
void json_put_id(struct json_out *j, struct id id); /* nil → null */
/* key and value at once */
void json_kv_str(struct json_out *j, const char *key, const char *s);
void json_kv_int(struct json_out *j, const char *key, int64_t v);
void json_kv_u64(struct json_out *j, const char *key, uint64_t v);
void json_kv_num(struct json_out *j, const char *key, double v);
void json_kv_fixed(struct json_out *j, const char *key, double v, int digits);
void json_kv_bool(struct json_out *j, const char *key, bool v);
void json_kv_wall(struct json_out *j, const char *key, struct wall t);
void json_kv_id(struct json_out *j, const char *key, struct id id);
void json_kv_raw(struct json_out *j, const char *key, const char *text);
void json_kv_null(struct json_out *j, const char *key);

#endif
