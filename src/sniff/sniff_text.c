/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be read by people, and which kind of it. The hard thing: markup
 * decides by its first element, not by words somewhere inside, so that HTML
 * with a drawing in it stays HTML and never becomes an image.
 */
#include "sniff/sniff_priv.h"

/* Bytes of the well-formed sequence s begins with; 0 when ill-formed, -1 when the head cuts it off. */
static int utf8_step(struct span s)
{
        uint8_t c = u8_at(s, 0);
        int n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
        if (!n)
                return 0;
        for (int i = 1; i < n; i++) {
                if ((size_t)i >= s.n)
                        return -1;
                if ((u8_at(s, (uint64_t)i) & 0xc0) != 0x80)
                        return 0;
        }
        return n;
}

static bool is_control(uint8_t c)
{
        return (c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1b) || c == 0x7f;
}

static bool is_readable(struct span s)
{
        size_t high = 0;
        bool utf8 = true;
        for (size_t i = 0; i < s.n; i++)
                if (is_control((uint8_t)s.p[i]))
                        return false;
        for (size_t i = 0; i < s.n && utf8;) {
                int n = utf8_step((struct span){s.p + i, s.n - i});
                if (n < 0)
                        break;
                utf8 = n > 0;
                i += (size_t)n;
        }
        if (utf8)
                return true;
        /* an 8-bit code page: mostly ASCII */
        for (size_t i = 0; i < s.n; i++)
                high += (uint8_t)s.p[i] >= 0x80;
        return high * 10 < s.n * 3;
}

static bool begins_with(struct span s, const char *word)
{
        size_t n = strlen(word);
        return s.n >= n && span_ieq((struct span){s.p, n}, word);
}

static struct span skip_bytes(struct span s, size_t n)
{
        return n < s.n ? (struct span){s.p + n, s.n - n} : (struct span){s.p, 0};
}

static struct span skip_past(struct span s, const char *end)
{
        const char *p = s.n ? memmem(s.p, s.n, end, strlen(end)) : NULL;
        return p ? skip_bytes(s, (size_t)(p - s.p) + strlen(end)) : (struct span){s.p, 0};
}

/* To the first element: white space, comments, processing instructions and a DOCTYPE left behind. */
static struct span first_element(struct span s, bool *html)
{
        for (;;) {
                s = span_trim(s);
                if (begins_with(s, "<!doctype")) {
                        struct span rest = span_trim(skip_bytes(s, 9));
                        *html |= begins_with(rest, "html");
                        s = skip_past(s, ">");
                } else if (begins_with(s, "<!--")) {
                        s = skip_past(s, "-->");
                } else if (begins_with(s, "<?")) {
                        s = skip_past(s, ">");
                } else if (begins_with(s, "]>")) { /* end of a DOCTYPE's internal subset */
                        s = skip_bytes(s, 2);
                } else if (begins_with(s, "<!")) { /* a declaration inside it */
                        s = skip_past(s, ">");
                } else {
                        return s;
                }
        }
}

static bool element_is(struct span s, const char *tag)
{
        size_t n = strlen(tag);
        if (!begins_with(s, tag))
                return false;
        uint8_t c = u8_at(s, n);
        return c == 0 || c == ' ' || c == '>' || c == '/' || c == '\t' || c == '\n' || c == '\r';
}

static bool sniff_markup(struct span s, struct sniff_type *out)
{
        static const char *const tags[] = {"<html", "<head",  "<body",  "<script", "<title", "<meta",
                                           "<link", "<style", "<table", "<div",    "<p",     "<h1",
                                           "<a",    "<br",    "<img",   "<iframe"};
        bool html = false, xml = begins_with(s, "<?xml");
        s = first_element(s, &html);
        for (size_t i = 0; i < COUNT_OF(tags) && !html; i++)
                html = element_is(s, tags[i]);
        if (html)
                *out = TYPE(DOCUMENT, "text/html", "html");
        else if (element_is(s, "<svg") || begins_with(s, "<svg:svg"))
                *out = TYPE(IMAGE, "image/svg+xml", "svg");
        else if (xml)
                *out = TYPE(DOCUMENT, "application/xml", "xml");
        else
                return false;
        return true;
}

static struct span first_line(struct span s)
{
        struct span rest = s, line = s;
        span_cut(&rest, '\n', &line);
        return span_trim(line);
}

/*
 * Text that opens like JSON. What follows the bracket must be able to follow
 * it, and what closes the file must be a bracket, when we see the end.
 */
static bool sniff_json(const struct sniff_input *in, struct span s, struct sniff_type *out)
{
        uint8_t open = u8_at(s, 0);
        if (open != '{' && open != '[')
                return false;
        uint8_t next = u8_at(span_trim(skip_bytes(s, 1)), 0);
        bool empty = span_trim(skip_bytes(s, 1)).n == 0;
        bool plausible = open == '{' ? next == '"' || next == '}' : next && strchr("\"{[]-0123456789tfn", next) != NULL;
        if (!plausible && !(empty && in->size > in->head.n))
                return false;
        struct span end = span_trim(in->tail.n ? in->tail : in->size == in->head.n ? s : (struct span){0});
        uint8_t last = end.n ? (uint8_t)end.p[end.n - 1] : '}';
        if (last != '}' && last != ']')
                return false;
        /* one whole object on the first line and another line behind it: JSON lines */
        struct span line = first_line(s);
        struct span more = span_trim(skip_bytes(s, (size_t)(line.p - s.p) + line.n));
        bool whole = line.n > 1 && open == '{' && line.p[line.n - 1] == '}' && u8_at(more, 0) == '{';
        *out = whole ? TYPE(JSON, "application/x-ndjson", "jsonl") : TYPE(JSON, "application/json", "json");
        return true;
}

bool sniff_text(const struct sniff_input *in, struct sniff_type *out)
{
        static const struct {
                const char *ext, *client;
                struct sniff_type type;
        } hints[] = {
                {"md", "text/markdown", {SNIFF_DOCUMENT, "text/markdown", "md"}},
                {"markdown", "text/x-markdown", {SNIFF_DOCUMENT, "text/markdown", "md"}},
                {"csv", "text/csv", {SNIFF_DOCUMENT, "text/csv", "csv"}},
                {"tsv", "text/tab-separated-values", {SNIFF_DOCUMENT, "text/tab-separated-values", "tsv"}},
        };
        struct span s = in->head;
        if (HAS(s, 0, "\xff\xfe") || HAS(s, 0, "\xfe\xff")) { /* UTF-16 with a byte order mark */
                *out = TYPE(DOCUMENT, "text/plain", "txt");
                bool big = u8_at(s, 0) == 0xfe;
                uint32_t c = u16_at(s, 2, big);
                return s.n >= 4 && (c == '\t' || c == '\r' || c == '\n' || (c >= 0x20 && c < 0xd800));
        }
        if (!is_readable(s))
                return false;
        if (HAS(s, 0, "\xef\xbb\xbf"))
                s = skip_bytes(s, 3);
        s = span_trim(s);
        if (sniff_markup(s, out) || sniff_json(in, s, out))
                return true;
        *out = TYPE(DOCUMENT, "text/plain", "txt");
        for (size_t i = 0; i < COUNT_OF(hints); i++) {
                if (sniff_name_ends(in->name, hints[i].ext)) {
                        *out = hints[i].type;
                        return true;
                }
        }
        for (size_t i = 0; i < COUNT_OF(hints); i++)
                if (begins_with(in->content_type, hints[i].client))
                        *out = hints[i].type;
        return true;
}
