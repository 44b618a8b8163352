/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internals of the jail's parent: one child process (child.c) and the pool of them (jail.c). The check of a reply is
 * separate and pure (reply.c), because it is the boundary to a hostile process: the fuzzer calls it directly. Code
 * behind that boundary trusts what it reads (result.c).
 */
#ifndef FA_JAIL_PRIV_H
#define FA_JAIL_PRIV_H

#include <sys/types.h>
#include "jail/jail.h"
#include "jail/protocol.h"

struct child {
        pid_t pid; /* 0: not running */
        int fd;    /* our end of the socketpair */
        unsigned files;
        unsigned locks; /* enum jail_lock */
};

/* Starts the program and waits for its hello. On failure nothing is left running. */
int child_start(struct child *c, const struct jail_opts *o, struct err *e) MUST_CHECK;
/*
 * Kills its process group with SIGKILL, reaps it and closes the socket. Fine for a child that does not run. Returns
 * the status as waitpid reports it.
 */
int child_kill(struct child *c);
/* Its resident memory in bytes; 0 when the kernel does not report it. */
uint64_t child_resident(const struct child *c);
/* CPU time that all its threads have used since its start. */
struct dur child_cpu(const struct child *c);
/* Sends one file. *sent is false when the child had already gone, so that the file can be given to a new one. */
int child_send(struct child *c, const struct jail_request *req, int input, int memfd, bool *sent,
               struct err *e) MUST_CHECK;
/* Receives a reply; *n gets its length in bytes. ERR_TIMEOUT, or ERR_CRASHED with the child dead and reaped. */
int child_receive(struct child *c, struct mono deadline, struct jail_reply *r, size_t *n, struct err *e) MUST_CHECK;

/*
 * Checks whether a decoder could fulfil the request. ERR_INVALID: a mistake of the caller, or a name that the storage
 * would refuse. Pure.
 */
int jail_check_request(const struct decode_request *want, struct err *e) MUST_CHECK;

/*
 * Checks a reply against its request. n is what recvmsg returned; memory is the whole content of the memfd, which
 * nobody can change any more. 0: the reply may be used (its status may still be a failure, with a clean message in
 * r->error). -1 with ERR_CRASHED: the reply is invalid, and the child must be killed. Pure, and the only check of a
 * reply.
 */
int jail_check_reply(const struct jail_reply *r, size_t n, const struct jail_request *req, struct span memory,
                     struct err *e) MUST_CHECK;
/* The i-th entry of a memfd, which must hold that many. */
struct jail_entry jail_entry_at(struct span memory, size_t i);
/* Lists the content of a checked JAIL_OK reply, as spans into memory. out->map is left to the caller. ERR_OOM. */
int jail_list_reply(const struct jail_reply *r, const struct decode_request *want, struct span memory,
                    struct decode_result *out, struct err *e) MUST_CHECK;

#endif
