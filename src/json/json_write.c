/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing. The writer remembers one bit a level for "array or object" and one
 * for "needs a comma"; a misplaced key or value is a bug and asserts.
 */
#include "json/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 64

static uint64_t level_bit(const struct json_out *j)
{
        return UINT64_C(1) << (j->depth - 1);
}

static bool in_object(const struct json_out *j)
{
        return j->depth > 0 && !(j->is_array & level_bit(j));
}

static void put_comma(struct json_out *j)
{
        if (j->depth == 0)
                return;
        if (j->has_item & level_bit(j))
                buf_putc(j->b, ',');
        j->has_item |= level_bit(j);
}

/* Called before every value. */
static void begin_value(struct json_out *j)
{
        assert(in_object(j) == j->after_key);
        if (!j->after_key)
                put_comma(j);
        j->after_key = false;
}

static void open_level(struct json_out *j, bool array)
{
        begin_value(j);
        assert(j->depth < DEPTH_MAX);
        j->depth++;
        j->has_item &= ~level_bit(j);
        j->is_array &= ~level_bit(j);
        if (array)
                j->is_array |= level_bit(j);
        buf_putc(j->b, array ? '[' : '{');
}

void json_out_init(struct json_out *j, struct buf *b)
{
        *j = (struct json_out){.b = b};
}

void json_obj(struct json_out *j)
{
        open_level(j, false);
}

void json_arr(struct json_out *j)
{
        open_level(j, true);
}

void json_end(struct json_out *j)
{
        assert(j->depth > 0 && !j->after_key);
        buf_putc(j->b, in_object(j) ? '}' : ']');
        j->depth--;
}

void json_key(struct json_out *j, const char *key)
{
        assert(in_object(j) && !j->after_key);
        put_comma(j);
        buf_json_str(j->b, key);
        buf_putc(j->b, ':');
        j->after_key = true;
}

void json_put_str(struct json_out *j, const char *s)
{
        begin_value(j);
        buf_json_str(j->b, s);
}

void json_put_span(struct json_out *j, struct span s)
{
        begin_value(j);
        buf_json_span(j->b, s);
}

void json_put_int(struct json_out *j, int64_t v)
{
        begin_value(j);
        buf_printf(j->b, "%" PRId64, v);
}

void json_put_u64(struct json_out *j, uint64_t v)
{
        begin_value(j);
        buf_printf(j->b, "%" PRIu64, v);
}

void json_put_num(struct json_out *j, double v)
{
        begin_value(j);
        buf_num(j->b, v);
}

/* A double rounded to decimals and read back has a shortest text of no more digits than asked for. */
void json_put_fixed(struct json_out *j, double v, int digits)
{
        double scale = pow(10, digits), scaled = v * scale;

        if (isfinite(scaled) && fabs(scaled) < 9e15)
                v = round(scaled) / scale;
        json_put_num(j, v == 0 ? 0 : v);
}

void json_put_bool(struct json_out *j, bool v)
{
        begin_value(j);
        buf_puts(j->b, v ? "true" : "false");
}

void json_put_null(struct json_out *j)
{
        begin_value(j);
        buf_puts(j->b, "null");
}

void json_put_raw(struct json_out *j, const char *text)
{
        begin_value(j);
        buf_puts(j->b, text ? text : "null");
}

void json_put_wall(struct json_out *j, struct wall t)
{
        char text[WALL_TEXT_LEN];

        json_put_str(j, wall_format(t, text));
}

void json_put_id(struct json_out *j, struct id id)
{
        char text[ID_TEXT_LEN];

        json_put_str(j, id_is_nil(id) ? NULL : id_format(id, text));
}

void json_kv_str(struct json_out *j, const char *key, const char *s)
{
        json_key(j, key);
        json_put_str(j, s);
}

void json_kv_int(struct json_out *j, const char *key, int64_t v)
{
        json_key(j, key);
        json_put_int(j, v);
}

void json_kv_u64(struct json_out *j, const char *key, uint64_t v)
{
        json_key(j, key);
        json_put_u64(j, v);
}

void json_kv_num(struct json_out *j, const char *key, double v)
{
        json_key(j, key);
        json_put_num(j, v);
}

void json_kv_fixed(struct json_out *j, const char *key, double v, int digits)
{
        json_key(j, key);
        json_put_fixed(j, v, digits);
}

void json_kv_bool(struct json_out *j, const char *key, bool v)
{
        json_key(j, key);
        json_put_bool(j, v);
}

void json_kv_wall(struct json_out *j, const char *key, struct wall t)
{
        json_key(j, key);
        json_put_wall(j, t);
}

void json_kv_id(struct json_out *j, const char *key, struct id id)
{
        json_key(j, key);
        json_put_id(j, id);
}

void json_kv_raw(struct json_out *j, const char *key, const char *text)
{
        json_key(j, key);
        json_put_raw(j, text);
}

void json_kv_null(struct json_out *j, const char *key)
{
        json_key(j, key);
        json_put_null(j);
}
