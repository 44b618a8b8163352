/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel offers for confining a process, within the rules of a container we may run in. Parent and child use
 * the same functions: the child to know what to lock, the parent to report it before the first child has started.
 */
#ifndef FA_JAIL_KERNEL_H
#define FA_JAIL_KERNEL_H

/* The version of Landlock's ABI, from 1; 0 when Landlock is not available. */
int jail_landlock_abi(void);
/* Mask of enum jail_lock. */
unsigned jail_kernel_locks(void);
/* "seccomp+landlock", "seccomp", "landlock" or "process". */
const char *jail_isolation(unsigned locks);
/* A sentence that says what is missing from JAIL_LOCK_ALL, or "". */
const char *jail_lacks(unsigned locks);

#endif
