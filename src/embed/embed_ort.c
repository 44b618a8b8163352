/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX Runtime behind three verbs: open the library, open a session, run it.
 * The hard thing is getting hold of it: the library's symbols carry the exact
 * version, so a linked program starts with one release only; dlopen and the
 * versioned function table (C API 21) accept any release since 1.21.
 *
 * Settings come from measurement (docs/performance.md): no spinning, no
 * memory arena, few threads. Callers bring the parallelism.
 */
#include "embed_priv.h"

#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API_WANTED 21 /* first in ONNX Runtime 1.21 */
#define API_TEXT   "1.21"

struct runtime {
        const OrtApi *api;
        OrtEnv *env;
        OrtMemoryInfo *memory;
        char version[32];
};

struct session {
        const struct runtime *r;
        OrtSession *ort;
};

/* Frees the status. 0 or -1 with the runtime's own words. */
static int ort_check(const struct runtime *r, OrtStatus *status, const char *what, struct err *e)
{
        if (!status)
                return 0;
        char text[160];
        snprintf(text, sizeof text, "%s", r->api->GetErrorMessage(status));
        text[strcspn(text, "\r\n")] = 0;
        enum err_code code = r->api->GetErrorCode(status) == ORT_INVALID_PROTOBUF ? ERR_CORRUPT : ERR_UNAVAILABLE;
        r->api->ReleaseStatus(status);
        return err_set(e, code, "%s: %s", what, text);
}

/* ---- the library -------------------------------------------------------------- */

/*
 * The handle is kept until the process ends: ONNX Runtime has thread-local
 * state and static destructors that do not survive dlclose.
 */
static void *library_open(const char *dir, char *found, size_t cap)
{
        static const char *const names[] = {"libonnxruntime.so.1", "libonnxruntime.so.1.21", "libonnxruntime.so"};
        if (dir && *dir) {
                int n = snprintf(found, cap, "%s/%s", dir, names[0]);
                void *lib = n > 0 && (size_t)n < cap ? dlopen(found, RTLD_NOW | RTLD_LOCAL) : NULL;
                if (lib)
                        return lib;
        }
        for (size_t i = 0; i < COUNT_OF(names); i++) {
                snprintf(found, cap, "%s", names[i]);
                void *lib = dlopen(found, RTLD_NOW | RTLD_LOCAL);
                if (lib)
                        return lib;
        }
        return NULL;
}

static int api_get(struct runtime *r, const char *dir, struct err *e)
{
        char found[512];
        void *lib = library_open(dir, found, sizeof found);
        if (!lib)
                return err_set(
                        e, ERR_UNAVAILABLE,
                        "ONNX Runtime not found: no libonnxruntime.so.1 in %.100s nor among the system's libraries "
                        "(tools/fetch-onnxruntime puts it there)",
                        dir && *dir ? dir : "(no folder set)");
        const OrtApiBase *(*base)(void) = NULL;
        *(void **)&base = dlsym(lib, "OrtGetApiBase"); /* POSIX's way around object and function pointers */
        if (!base)
                return err_set(e, ERR_UNAVAILABLE, "%.150s is not ONNX Runtime: it has no OrtGetApiBase", found);
        snprintf(r->version, sizeof r->version, "%s", base()->GetVersionString());
        int major = 0, minor = 0;
        sscanf(r->version, "%d.%d", &major, &minor);
        /* Asked first, because an old library prints a complaint of its own when asked for a newer table. */
        if (major < 1 || (major == 1 && minor < API_WANTED) || !(r->api = base()->GetApi(API_WANTED)))
                return err_set(e, ERR_UNAVAILABLE, "%.150s is ONNX Runtime %s; %s or later is needed", found,
                               r->version, API_TEXT);
        return 0;
}

int runtime_open(const char *runtime_dir, struct runtime **out, struct err *e)
{
        int rc = -1;
        struct runtime *r = mem_calloc(1, sizeof *r);
        if (!r)
                return err_oom(e);
        if (api_get(r, runtime_dir, e))
                goto out;
        /* 1.29 and later report home from CreateEnv on unless told before. */
        setenv("ORT_DISABLE_TELEMETRY", "1", 1);
        if (ort_check(r, r->api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "file-allocator", &r->env), "starting ONNX Runtime",
                      e))
                goto out;
        if (ort_check(r, r->api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &r->memory),
                      "starting ONNX Runtime", e))
                goto out;
        *out = r;
        r = NULL;
        rc = 0;
out:
        runtime_close(r);
        return rc;
}

void runtime_close(struct runtime *r)
{
        if (!r)
                return;
        if (r->memory)
                r->api->ReleaseMemoryInfo(r->memory);
        if (r->env)
                r->api->ReleaseEnv(r->env);
        mem_free(r);
}

const char *runtime_version(const struct runtime *r)
{
        return r->version;
}

/* ---- a session ---------------------------------------------------------------------- */

static OrtStatus *options_fill(const OrtApi *api, OrtSessionOptions *o, unsigned threads)
{
        OrtStatus *s;
        if ((s = api->SetIntraOpNumThreads(o, (int)threads)) || (s = api->SetInterOpNumThreads(o, 1)) ||
            (s = api->SetSessionExecutionMode(o, ORT_SEQUENTIAL)) ||
            (s = api->SetSessionGraphOptimizationLevel(o, ORT_ENABLE_ALL)) || (s = api->DisableCpuMemArena(o)) ||
            (s = api->AddSessionConfigEntry(o, "session.intra_op.allow_spinning", "0")) ||
            (s = api->AddSessionConfigEntry(o, "session.inter_op.allow_spinning", "0")))
                return s;
        return NULL;
}

int session_open(struct runtime *r, const char *path, unsigned threads, struct session **out, struct err *e)
{
        int rc = -1;
        OrtSessionOptions *options = NULL;
        struct session *s = mem_calloc(1, sizeof *s);
        if (!s)
                return err_oom(e);
        s->r = r;
        if (ort_check(r, r->api->CreateSessionOptions(&options), "session options", e) ||
            ort_check(r, options_fill(r->api, options, threads), "session options", e))
                goto out;
        if (ort_check(r, r->api->CreateSession(r->env, path, options, &s->ort), "loading the model", e))
                goto out;
        *out = s;
        s = NULL;
        rc = 0;
out:
        if (options)
                r->api->ReleaseSessionOptions(options);
        session_close(s);
        return rc;
}

void session_close(struct session *s)
{
        if (!s)
                return;
        if (s->ort)
                s->r->api->ReleaseSession(s->ort);
        mem_free(s);
}

/* ---- running ------------------------------------------------------------------------- */

struct run {
        OrtValue *in[SESSION_MAX_TENSORS], *out[SESSION_MAX_TENSORS];
        const char *in_names[SESSION_MAX_TENSORS], *out_names[SESSION_MAX_TENSORS];
};

static int inputs_wrap(struct session *s, const struct tensor_in *in, size_t n, struct run *run, struct err *e)
{
        for (size_t i = 0; i < n; i++) {
                ONNXTensorElementDataType type =
                        in[i].is_int64 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
                run->in_names[i] = in[i].name;
                if (ort_check(s->r,
                              s->r->api->CreateTensorWithDataAsOrtValue(s->r->memory, in[i].data, in[i].bytes,
                                                                        in[i].shape, in[i].rank, type, &run->in[i]),
                              "model input", e))
                        return -1;
        }
        return 0;
}

static int output_copy(struct session *s, const OrtValue *value, const struct tensor_out *want, struct err *e)
{
        const OrtApi *api = s->r->api;
        OrtTensorTypeAndShapeInfo *info = NULL;
        size_t count = 0;
        ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        if (ort_check(s->r, api->GetTensorTypeAndShape(value, &info), "model output", e))
                return -1;
        OrtStatus *status = api->GetTensorShapeElementCount(info, &count);
        if (!status)
                status = api->GetTensorElementType(info, &type);
        api->ReleaseTensorTypeAndShapeInfo(info);
        if (ort_check(s->r, status, "model output", e))
                return -1;
        if (count != want->count || type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT)
                return err_set(e, ERR_CORRUPT, "model output %s has %zu elements of type %d, expected %zu floats",
                               want->name, count, (int)type, want->count);
        void *data = NULL;
        if (ort_check(s->r, api->GetTensorMutableData((OrtValue *)value, &data), "model output", e))
                return -1;
        memcpy(want->data, data, count * sizeof(float));
        return 0;
}

int session_run(struct session *s, const struct tensor_in *in, size_t nin, const struct tensor_out *out, size_t nout,
                struct err *e)
{
        int rc = -1;
        const OrtApi *api = s->r->api;
        struct run run = {0};
        assert(nin <= SESSION_MAX_TENSORS && nout <= SESSION_MAX_TENSORS);
        if (inputs_wrap(s, in, nin, &run, e))
                goto out;
        for (size_t i = 0; i < nout; i++)
                run.out_names[i] = out[i].name;
        if (ort_check(s->r,
                      api->Run(s->ort, NULL, run.in_names, (const OrtValue *const *)run.in, nin, run.out_names, nout,
                               run.out),
                      "running the model", e))
                goto out;
        for (size_t i = 0; i < nout; i++)
                if (output_copy(s, run.out[i], &out[i], e))
                        goto out;
        rc = 0;
out:
        for (size_t i = 0; i < SESSION_MAX_TENSORS; i++) {
                if (run.in[i])
                        api->ReleaseValue(run.in[i]);
                if (run.out[i])
                        api->ReleaseValue(run.out[i]);
        }
        return rc;
}
