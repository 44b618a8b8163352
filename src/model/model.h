/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nouns of the service as plain data: what the catalog stores and the
 * services pass around. Strings belong to the arena the value was read into.
 */
#ifndef FA_MODEL_H
#define FA_MODEL_H

#include "base/base.h"

enum asset_kind { KIND_MEDIA, KIND_DOCUMENT, KIND_JSON, KIND_FILE, KIND_COUNT };
enum asset_status { ASSET_QUEUED, ASSET_PROCESSING, ASSET_DONE, ASSET_FAILED, ASSET_STATUS_COUNT };
enum job_type { JOB_IMAGE, JOB_VIDEO, JOB_AUDIO, JOB_DOCUMENT, JOB_JSON, JOB_FILE, JOB_TYPE_COUNT };
/* What a task is for. Only ANALYSE moves its asset's status; the others have states of their own. */
enum task_purpose { PURPOSE_ANALYSE, PURPOSE_ENRICH, PURPOSE_EMBED, PURPOSE_TRANSCRIBE, PURPOSE_TEXT, PURPOSE_COUNT };
enum task_state { TASK_READY, TASK_LEASED, TASK_DONE, TASK_DEAD, TASK_STATE_COUNT };
/* Who says something of an asset; where two name the same fact, the one that comes first here counts. */
enum tag_source { TAG_HUMAN, TAG_VLM, TAG_ZERO_SHOT, TAG_EXIF, TAG_SOURCE_COUNT };
#define ANALYSIS_SOURCES (1u << TAG_ZERO_SHOT | 1u << TAG_EXIF)
#define METADATA_MAX     ((size_t)64 << 10) /* bytes of the JSON object that any other source says */
/* What of an asset a vector or a text belongs to: all of it, a frame of a film, a page, a piece of a text, a row. */
enum part_kind { PART_WHOLE, PART_FRAME, PART_PAGE, PART_CHUNK, PART_ROW, PART_KIND_COUNT };
enum cluster_status { CLUSTER_PROVISIONAL, CLUSTER_ACTIVE, CLUSTER_STATUS_COUNT };

/* The words of the API ("media", "queued", "zero-shot" …); static storage. */
const char *asset_kind_name(enum asset_kind k);
const char *asset_status_name(enum asset_status s);
const char *job_type_name(enum job_type t);
const char *task_purpose_name(enum task_purpose p);
/* The label job_type of metrics: the type's name of what is to be analysed, else the purpose's. */
const char *task_label(enum task_purpose p, enum job_type t);
const char *task_state_name(enum task_state s);
const char *tag_source_name(enum tag_source s);
const char *part_kind_name(enum part_kind k);
const char *cluster_status_name(enum cluster_status s);

/* What a key of the API may do; each includes the ones before it. */
enum key_scope { KEY_READ = 1, KEY_WRITE, KEY_ADMIN };
const char *key_scope_name(enum key_scope s);
/* One word, or several with commas between: the highest counts. */
bool key_scope_parse(struct span s, enum key_scope *out);

/* A bit for each (purpose, type), of which sets of tasks are made. */
#define TASK_KIND(purpose, type) (UINT64_C(1) << ((unsigned)(purpose)*JOB_TYPE_COUNT + (unsigned)(type)))
static_assert(PURPOSE_COUNT * JOB_TYPE_COUNT <= 64, "a set of tasks is one number");
/* The types among the tasks of a purpose, bits 1 << job_type. */
uint32_t task_kind_types(uint64_t set, enum task_purpose p);

/* How a job is. queued: none begun; failed: all failed; partial: all ended, some failed. */
enum job_status { JOBS_QUEUED, JOBS_PROCESSING, JOBS_DONE, JOBS_FAILED, JOBS_PARTIAL, JOBS_STATUS_COUNT };
const char *job_status_name(enum job_status s);

struct task_error { /* of a task that failed, once */
        const char *stage, *code, *message;
        struct wall at;
        bool crash;
};
#define TASK_ERRORS_MAX 200 /* kept of one task */

/* Legal moves of a task; the one function that changes state asserts this. */
bool task_may_move(enum task_state from, enum task_state to);

#define OWNER_MAX      64
#define NAME_MAX_BYTES 255
#define DEFAULT_OWNER  "default"

/* 1–64 of [A-Za-z0-9._@-], not beginning with a dot. */
bool owner_valid(struct span s);

/*
 * A client's file name made safe to keep: path parts (either slash) dropped,
 * ill-formed UTF-8 refused, control characters refused, trimmed, cut to 255
 * bytes at a character. Empty, "." and ".." become "unnamed". -1 with
 * ERR_INVALID naming what is wrong.
 */
int filename_clean(struct span raw, char out[NAME_MAX_BYTES + 1], struct err *e) MUST_CHECK;

struct tag {
        const char *name;
        enum tag_source source;
        float confidence; /* 1 for human */
};

/*
 * Products: files made of an object (thumbnail, preview …), a fact noted on the
 * object when they were made. A list is their file names in ascending order,
 * with a blank between two, at most PRODUCTS_MAX - 1 bytes; "" is none.
 */
#define PRODUCTS_MAX 2048
/* The next name of a list; *rest begins as the whole list and becomes what follows. */
bool product_next(struct span *rest, struct span *name);
/* A list as it may stand in the catalog: names of [a-z0-9.-] that begin with a letter, each once, in order. */
bool products_valid(struct span list);

struct asset_task { /* as its asset shows it */
        enum task_purpose purpose;
        enum task_state state;
        unsigned attempts;                      /* failures that count against it, errors and crashes */
        const char *error, *error_code, *stage; /* of the last of them; NULL: there is none, or it is done */
};
/* The word of the API: "queued", "processing", "done", "failed". */
const char *asset_task_status(enum task_state s);

struct asset {
        struct id id, job_id;
        enum asset_kind kind;
        enum job_type type;
        enum asset_status status;
        const char *stage; /* last step done or tried: "stored" "decode" "embed" "place" "done" */
        const char *error; /* of a failed asset, else NULL */
        const char *error_code;
        const char *filename, *content_type, *owner, *comments;
        struct sha256 sha256;
        uint64_t size;
        struct wall created, updated, trashed; /* trashed.us 0: not in the trash */
        const char *metadata; /* JSON object text of all sources: width, height, exif, phash, primary_category … */
        const char *products; /* see above; "" also while this asset was not analysed itself */
        const char *analysis_note; /* why it was not analysed, or NULL */
        struct id cluster_id;      /* nil: unsorted */
        const char *cluster_name;
        bool cluster_provisional;
        bool pinned;              /* a person put it where it is */
        float cluster_similarity; /* calibrated, at the time of placing; < 0 unknown */
        struct id duplicate_of;   /* nil: none */
        struct id *near_duplicates;
        size_t nnear;
        struct tag *tags;
        size_t ntags;
        struct asset_task *tasks; /* one of each purpose at most; NULL but from catalog_asset_get */
        size_t ntasks;
        const char *model_id; /* of its embedding, NULL none */
        uint32_t dimension;
};

struct cluster {
        struct id id;
        const char *owner, *name;
        enum cluster_status status;
        float threshold; /* similarity */
        bool locked;     /* takes no new files by itself */
        bool touched;    /* a person named, confirmed or filled it: passes leave it alone */
        bool named;      /* a person chose the name */
        uint64_t asset_count;
        struct id cover; /* an asset, nil none */
        uint64_t version;
        struct wall created, updated;
};

struct task { /* as a worker holds it */
        struct id id, asset_id, job_id;
        enum task_purpose purpose;
        enum job_type type;
        uint64_t token; /* fencing: every write of a result carries it */
        unsigned deliveries, errors, crashes;
        const char *owner, *filename, *content_type;
        struct sha256 sha256;
        uint64_t size;
        struct id cluster_id; /* folder asked for at ingest or pinned; nil none */
        bool pinned;
};

/* What a component says of itself in /health: status is "healthy", "degraded" or "unhealthy". */
struct buf;
struct status_probe {
        const char *name;
        /* Writes one JSON object; returns the status word. */
        const char *(*fill)(void *ctx, struct buf *json);
        void *ctx;
};

#endif
