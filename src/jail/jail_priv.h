/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the jail's parent: one child process (child.c) and the pool of them
 * (jail.c). The check of a reply is apart and pure (reply.c), because it is
 * the wall between a hostile process and us: the fuzzer calls it directly.
 * What is behind that wall believes what it reads (result.c).
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

/* Start the program and await its hello. On failure nothing is left running. */
int child_start(struct child *c, const struct jail_opts *o, struct err *e) MUST_CHECK;
/* SIGKILL to its process group, reap, close. Fine on a child that does not run. How it ended, as waitpid has it. */
int child_kill(struct child *c);
/* Its resident memory in bytes; 0 when the kernel does not say. */
uint64_t child_resident(const struct child *c);
/* CPU time it has used since its start, in all its threads. */
struct dur child_cpu(const struct child *c);
/*
 * Send one file. *sent is false when the child was already gone, so that the
 * file can be given to a fresh one.
 */
int child_send(struct child *c, const struct jail_request *req, int input, int memfd, bool *sent,
               struct err *e) MUST_CHECK;
/* Bytes of the reply in *n; ERR_TIMEOUT, or ERR_CRASHED with the child dead and reaped. */
int child_receive(struct child *c, struct mono deadline, struct jail_reply *r, size_t *n, struct err *e) MUST_CHECK;

/* Could a decoder fulfil this? ERR_INVALID: a mistake of the caller's, or a name that storage would not take. Pure. */
int jail_check_request(const struct decode_request *want, struct err *e) MUST_CHECK;

/*
 * Does this answer that question? n is what recvmsg returned, memory the memfd's
 * whole content, which nobody can change any more. 0: the reply may be used (its
 * status may still be a failure, with a clean message in r->error). -1
 * ERR_CRASHED: it lies, kill the child. Pure, and the only judge of a reply.
 */
int jail_check_reply(const struct jail_reply *r, size_t n, const struct jail_request *req, struct span memory,
                     struct err *e) MUST_CHECK;
/* The i-th entry of a memfd that holds at least so many. */
struct jail_entry jail_entry_at(struct span memory, size_t i);
/* What a checked reply with JAIL_OK holds, as spans into memory. out->map is left to the caller. ERR_OOM. */
int jail_list_reply(const struct jail_reply *r, const struct decode_request *want, struct span memory,
                    struct decode_result *out, struct err *e) MUST_CHECK;

#endif
