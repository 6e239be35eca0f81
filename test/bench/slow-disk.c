/* Interposed before libc (LD_PRELOAD): each sync of a file takes $STELE_BENCH_SYNC_US microseconds longer, as on a slower disk. Nothing else changes. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct timespec more;

__attribute__((constructor)) static void start(void) {
  const char *us = getenv("STELE_BENCH_SYNC_US");
  const long long ns = us == NULL ? 0 : atoll(us) * 1000;
  more.tv_sec = ns / 1000000000;
  more.tv_nsec = ns % 1000000000;
}

static int synced(long which, int fd) {
  const int result = syscall(which, fd);
  clock_nanosleep(CLOCK_MONOTONIC, 0, &more, NULL);
  return result;
}

int fsync(int fd) { return synced(SYS_fsync, fd); }
int fdatasync(int fd) { return synced(SYS_fdatasync, fd); }
