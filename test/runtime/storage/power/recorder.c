/*
 * Interposed before libc (LD_PRELOAD): writes down, in one order, everything a program does to the files below
 * $STELE_POWER_ROOT, and what it appends to $STELE_POWER_NOTES. The records go to $STELE_POWER_TRACE; trace.ts reads them.
 *
 * A library and not strace: it costs a few microseconds a call instead of two stops of the thread, it needs no parser of
 * printed strings, and holding one lock around each change makes the order of the records the order of the changes. It
 * could miss a way to write that it does not know, so the reader compares: all records applied must give the folder that
 * the program left, byte by byte. A sync that is missed can only make the harness refuse more, never less.
 *
 * Which file a descriptor means is asked of the kernel each time (/proc/self/fd), so dup, fork and close need no care.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE = 1, FOLDER, WRITE, SIZE, RENAME, UNLINK, LINK, SYNC, SYNCED, NOTE, UNKNOWN };

/* One record: this, then the first path, the second path, the bytes. All integers in the machine's order. */
struct head {
  uint32_t kind, first_bytes, second_bytes, flags;
  uint64_t inode, a, b, data_bytes;
};

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define ALIAS(name, of) __typeof__(of) name __attribute__((alias(#of)))

static char root[PATH_MAX], notes[PATH_MAX];
static size_t root_bytes;
static int trace = -1;
static uint64_t syncs;
/** Fails the nth sync of a file below the root with EIO, counted from 1; 0: none. */
static uint64_t failing;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void start(void) {
  const char *folder = getenv("STELE_POWER_ROOT"), *to = getenv("STELE_POWER_TRACE"), *said = getenv("STELE_POWER_NOTES");
  const char *which = getenv("STELE_POWER_FAILING_SYNC");
  if (folder == NULL || to == NULL || realpath(folder, root) == NULL) return;
  if (said != NULL && realpath(said, notes) == NULL) notes[0] = 0;
  if (which != NULL) failing = strtoull(which, NULL, 10);
  root_bytes = strlen(root);
  trace = syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* Threads by the mutex, processes by the lock on the trace. */
static void hold(void) {
  pthread_mutex_lock(&mutex);
  flock(trace, LOCK_EX);
}
static void let_go(void) {
  flock(trace, LOCK_UN);
  pthread_mutex_unlock(&mutex);
}

static void put(enum kind kind, uint64_t inode, uint64_t a, uint64_t b, uint32_t flags, const char *first, const char *second, const void *data, size_t bytes) {
  const int kept = errno;
  struct head head = {kind, first ? strlen(first) : 0, second ? strlen(second) : 0, flags, inode, a, b, bytes};
  struct iovec parts[4] = {{&head, sizeof head}, {(void *)first, head.first_bytes}, {(void *)second, head.second_bytes}, {(void *)data, bytes}};
  if (syscall(SYS_writev, trace, parts, 4) != (ssize_t)(sizeof head + head.first_bytes + head.second_bytes + bytes)) {
    static const char said[] = "recorder: the trace cannot be written\n";
    syscall(SYS_write, 2, said, sizeof said - 1);
    _exit(99);
  }
  errno = kept;
}

/* The part of an absolute path below the root; "" for the root itself, NULL for what is elsewhere. */
static const char *below(const char *path) {
  if (strncmp(path, root, root_bytes) != 0) return NULL;
  if (path[root_bytes] == 0) return "";
  return path[root_bytes] == '/' ? path + root_bytes + 1 : NULL;
}

static int path_of(int fd, char *path) {
  char link[40];
  const int kept = errno;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t bytes = readlink(link, path, PATH_MAX - 1);
  errno = kept;
  if (bytes < 0) return -1;
  path[bytes] = 0;
  return 0;
}

/* 1: a file or folder below the root, described in `is`; 2: the notes; 0: nothing of ours. */
static int whose(int fd, struct stat *is, char *path) {
  if (trace < 0 || path_of(fd, path) != 0 || path[0] != '/') return 0;
  if (notes[0] != 0 && strcmp(path, notes) == 0) return 2;
  if (below(path) == NULL) return 0;
  const int kept = errno;
  const int got = fstat(fd, is);
  errno = kept;
  return got == 0 && (S_ISREG(is->st_mode) || S_ISDIR(is->st_mode)) ? 1 : 0;
}

/* Where a name leads, its last part not followed: what renames and unlinks act on. */
static const char *named(int folder, const char *path, char *full) {
  char start[PATH_MAX], parent[PATH_MAX];
  if (trace < 0 || path == NULL) return NULL;
  if (path[0] == '/') snprintf(start, sizeof start, "%s", path);
  else {
    if (folder == AT_FDCWD ? getcwd(parent, sizeof parent) == NULL : path_of(folder, parent) != 0) return NULL;
    if (snprintf(start, sizeof start, "%s/%s", parent, path) >= (int)sizeof start) return NULL;
  }
  for (size_t end = strlen(start); end > 1 && start[end - 1] == '/';) start[--end] = 0;
  char *slash = strrchr(start, '/');
  if (slash == NULL) return NULL;
  *slash = 0;
  const int kept = errno;
  const char *found = realpath(slash == start ? "/" : start, parent);
  errno = kept;
  if (found == NULL || snprintf(full, PATH_MAX, "%s/%s", parent, slash + 1) >= PATH_MAX) return NULL;
  const char *part = below(full);
  return part == NULL || part[0] == 0 ? NULL : part;
}

/* Opening: a file that was not there has been made; one cut off has changed its size. */

static int opened(int folder, const char *path, int flags, mode_t mode) {
  char full[PATH_MAX];
  struct stat before, after;
  const char *part = (flags & (O_CREAT | O_TRUNC)) != 0 ? named(folder, path, full) : NULL;
  if (part == NULL) return syscall(SYS_openat, folder, path, flags, mode);
  hold();
  const int was = fstatat(folder, path, &before, 0);
  const int fd = syscall(SYS_openat, folder, path, flags, mode);
  if (fd >= 0 && fstat(fd, &after) == 0) {
    if (was != 0) put(CREATE, after.st_ino, 0, 0, 0, part, NULL, NULL, 0);
    else if ((flags & O_TRUNC) != 0 && before.st_size > 0) put(SIZE, after.st_ino, 0, 0, 0, NULL, NULL, NULL, 0);
  }
  let_go();
  return fd;
}

#define WITH_MODE(flags) \
  mode_t mode = 0; \
  if (((flags) & O_CREAT) != 0 || ((flags) & O_TMPFILE) == O_TMPFILE) { \
    va_list rest; \
    va_start(rest, flags); \
    mode = va_arg(rest, mode_t); \
    va_end(rest); \
  }

int open(const char *path, int flags, ...) {
  WITH_MODE(flags)
  return opened(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...) {
  WITH_MODE(flags)
  return opened(folder, path, flags, mode);
}
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
ALIAS(open64, open);
ALIAS(openat64, openat);
ALIAS(creat64, creat);

int mkostemp(char *pattern, int flags) {
  static __typeof__(&mkostemp) next;
  char full[PATH_MAX];
  struct stat after;
  if (next == NULL) next = NEXT(mkostemp);
  if (trace < 0) return next(pattern, flags);
  hold();
  const int fd = next(pattern, flags);
  const char *part = fd < 0 ? NULL : named(AT_FDCWD, pattern, full);
  if (part != NULL && fstat(fd, &after) == 0) put(CREATE, after.st_ino, 0, 0, 0, part, NULL, NULL, 0);
  let_go();
  return fd;
}
int mkstemp(char *pattern) { return mkostemp(pattern, 0); }
ALIAS(mkostemp64, mkostemp);
ALIAS(mkstemp64, mkstemp);

/* Writing. A descriptor that syncs with each write says so in the record's flags. */

#define SYNCING(fd) ((uint32_t)((fcntl(fd, F_GETFL) & O_DSYNC) != 0))

static ssize_t written(int fd, const struct iovec *parts, int count, off_t at, int is_at) {
  struct stat is;
  char path[PATH_MAX];
  const int ours = whose(fd, &is, path);
  if (ours == 0) return is_at ? syscall(SYS_pwritev, fd, parts, count, at, 0) : syscall(SYS_writev, fd, parts, count);
  hold();
  /* With O_APPEND the offset is ignored, also by pwrite (Linux). */
  const int is_appending = (fcntl(fd, F_GETFL) & O_APPEND) != 0;
  if (is_appending && fstat(fd, &is) == 0) at = is.st_size;
  else if (!is_at) at = lseek(fd, 0, SEEK_CUR);
  const ssize_t bytes = is_at ? syscall(SYS_pwritev, fd, parts, count, at, 0) : syscall(SYS_writev, fd, parts, count);
  if (bytes > 0) {
    char *data = malloc(bytes);
    ssize_t filled = 0;
    for (int i = 0; i < count && filled < bytes; i++) {
      const ssize_t part = (ssize_t)parts[i].iov_len < bytes - filled ? (ssize_t)parts[i].iov_len : bytes - filled;
      memcpy(data + filled, parts[i].iov_base, part);
      filled += part;
    }
    if (ours == 2) put(NOTE, 0, 0, 0, 0, NULL, NULL, data, bytes);
    else put(WRITE, is.st_ino, at, 0, SYNCING(fd), NULL, NULL, data, bytes);
    free(data);
  }
  let_go();
  return bytes;
}

ssize_t write(int fd, const void *data, size_t bytes) {
  const struct iovec part = {(void *)data, bytes};
  /* Pipes and sockets keep their own call: one of no bytes means something there. */
  struct stat is;
  char path[PATH_MAX];
  if (whose(fd, &is, path) == 0) return syscall(SYS_write, fd, data, bytes);
  return written(fd, &part, 1, 0, 0);
}
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at) {
  const struct iovec part = {(void *)data, bytes};
  return written(fd, &part, 1, at, 1);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return written(fd, parts, count, 0, 0); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return written(fd, parts, count, at, 1); }
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
  (void)flags;
  return at == -1 ? written(fd, parts, count, 0, 0) : written(fd, parts, count, at, 1);
}
ALIAS(pwrite64, pwrite);
ALIAS(pwritev64, pwritev);
ALIAS(pwritev64v2, pwritev2);

/* Copies inside the kernel: what arrived is read back. */
static void copied(int to, off_t at, ssize_t bytes) {
  struct stat is;
  char path[PATH_MAX];
  if (bytes <= 0 || whose(to, &is, path) != 1) return;
  char *data = malloc(bytes);
  char own[40];
  snprintf(own, sizeof own, "/proc/self/fd/%d", to);
  const int from = syscall(SYS_openat, AT_FDCWD, own, O_RDONLY | O_CLOEXEC);
  const int is_read = from >= 0 && pread(from, data, bytes, at) == bytes;
  if (from >= 0) close(from);
  if (is_read) put(WRITE, is.st_ino, at, 0, SYNCING(to), NULL, NULL, data, bytes);
  else put(UNKNOWN, is.st_ino, 0, 0, 0, below(path), NULL, "a copy that cannot be read back", 31);
  free(data);
}
ssize_t sendfile(int to, int from, off_t *offset, size_t bytes) {
  if (trace < 0) return syscall(SYS_sendfile, to, from, offset, bytes);
  hold();
  const off_t at = lseek(to, 0, SEEK_CUR);
  const ssize_t sent = syscall(SYS_sendfile, to, from, offset, bytes);
  copied(to, at, sent);
  let_go();
  return sent;
}
ALIAS(sendfile64, sendfile);
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes, unsigned flags) {
  if (trace < 0) return syscall(SYS_copy_file_range, from, from_at, to, to_at, bytes, flags);
  hold();
  const off_t at = to_at != NULL ? *to_at : lseek(to, 0, SEEK_CUR);
  const ssize_t sent = syscall(SYS_copy_file_range, from, from_at, to, to_at, bytes, flags);
  copied(to, at, sent);
  let_go();
  return sent;
}

/* Size. Only what makes a file longer or shorter: a hole is not known, and said to be so. */

static int resized(int fd, off_t size) {
  struct stat is;
  char path[PATH_MAX];
  if (whose(fd, &is, path) != 1) return syscall(SYS_ftruncate, fd, size);
  hold();
  const int result = syscall(SYS_ftruncate, fd, size);
  if (result == 0) put(SIZE, is.st_ino, size, 0, 0, NULL, NULL, NULL, 0);
  let_go();
  return result;
}
int ftruncate(int fd, off_t size) { return resized(fd, size); }
ALIAS(ftruncate64, ftruncate);
int truncate(const char *path, off_t size) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  const int result = resized(fd, size);
  const int kept = errno;
  close(fd);
  errno = kept;
  return result;
}
ALIAS(truncate64, truncate);
int fallocate(int fd, int mode, off_t at, off_t bytes) {
  struct stat is;
  char path[PATH_MAX];
  if (whose(fd, &is, path) != 1) return syscall(SYS_fallocate, fd, mode, at, bytes);
  hold();
  const int result = syscall(SYS_fallocate, fd, mode, at, bytes);
  struct stat after;
  if (result == 0 && (mode & ~FALLOC_FL_KEEP_SIZE) != 0) put(UNKNOWN, is.st_ino, 0, 0, 0, below(path), NULL, "fallocate", 9);
  else if (result == 0 && fstat(fd, &after) == 0 && after.st_size != is.st_size) put(SIZE, is.st_ino, after.st_size, 0, 0, NULL, NULL, NULL, 0);
  let_go();
  return result;
}
ALIAS(fallocate64, fallocate);
int posix_fallocate(int fd, off_t at, off_t bytes) { return fallocate(fd, 0, at, bytes) == 0 ? 0 : errno; }
ALIAS(posix_fallocate64, posix_fallocate);

/* Names. */

static int renamed(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  char from_full[PATH_MAX], to_full[PATH_MAX];
  const char *first = named(from_folder, from, from_full), *second = named(to_folder, to, to_full);
  if (first == NULL && second == NULL) return syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
  hold();
  const int result = syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
  if (result == 0) {
    if (first == NULL || second == NULL || (flags & ~RENAME_NOREPLACE) != 0) put(UNKNOWN, 0, 0, 0, 0, first ? first : second, NULL, "a rename over the edge", 22);
    else put(RENAME, 0, 0, 0, 0, first, second, NULL, 0);
  }
  let_go();
  return result;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_folder, const char *from, int to_folder, const char *to) { return renamed(from_folder, from, to_folder, to, 0); }
int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) { return renamed(from_folder, from, to_folder, to, flags); }

static int unlinked(int folder, const char *path, int flags) {
  char full[PATH_MAX];
  const char *part = named(folder, path, full);
  if (part == NULL) return syscall(SYS_unlinkat, folder, path, flags);
  hold();
  const int result = syscall(SYS_unlinkat, folder, path, flags);
  if (result == 0) put(UNLINK, 0, 0, 0, 0, part, NULL, NULL, 0);
  let_go();
  return result;
}
int unlink(const char *path) { return unlinked(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return unlinked(folder, path, flags); }
int rmdir(const char *path) { return unlinked(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path) {
  const int result = unlinked(AT_FDCWD, path, 0);
  return result != 0 && errno == EISDIR ? unlinked(AT_FDCWD, path, AT_REMOVEDIR) : result;
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
  char full[PATH_MAX];
  struct stat is;
  const char *part = named(to_folder, to, full);
  if (part == NULL) return syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
  hold();
  const int result = syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
  if (result == 0 && fstatat(to_folder, to, &is, AT_SYMLINK_NOFOLLOW) == 0) put(LINK, is.st_ino, 0, 0, 0, part, NULL, NULL, 0);
  let_go();
  return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int mkdirat(int folder, const char *path, mode_t mode) {
  char full[PATH_MAX];
  struct stat is;
  const char *part = named(folder, path, full);
  if (part == NULL) return syscall(SYS_mkdirat, folder, path, mode);
  hold();
  const int result = syscall(SYS_mkdirat, folder, path, mode);
  if (result == 0 && stat(full, &is) == 0) put(FOLDER, is.st_ino, 0, 0, 0, part, NULL, NULL, 0);
  let_go();
  return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int symlinkat(const char *target, int folder, const char *path) {
  char full[PATH_MAX];
  const int result = syscall(SYS_symlinkat, target, folder, path);
  const char *part = result == 0 ? named(folder, path, full) : NULL;
  if (part != NULL) put(UNKNOWN, 0, 0, 0, 0, part, NULL, "a symbolic link", 15);
  return result;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }

/* Syncs: one record before and one after, since they cover what came before the first and are worth nothing until the second. */

static int synced(int fd, long call) {
  struct stat is;
  char path[PATH_MAX];
  if (whose(fd, &is, path) != 1) return syscall(call, fd);
  hold();
  const uint64_t number = ++syncs;
  put(SYNC, is.st_ino, number, getpid(), 0, NULL, NULL, NULL, 0);
  let_go();
  int result = -1;
  if (number == failing) errno = EIO;
  else result = syscall(call, fd);
  if (result == 0) {
    hold();
    put(SYNCED, is.st_ino, number, getpid(), 0, NULL, NULL, NULL, 0);
    let_go();
  }
  return result;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }
/* sync_file_range, sync and syncfs are left alone: nothing may rely on them. */

/* A shared mapping changes bytes without a call, and a clone of a file without a copy. */

static void *mapped(void *at, size_t bytes, int protection, int flags, int fd, off_t from) {
  struct stat is;
  char path[PATH_MAX];
  if (fd >= 0 && (flags & MAP_SHARED) != 0 && (protection & PROT_WRITE) != 0 && whose(fd, &is, path) == 1) {
    hold();
    put(UNKNOWN, is.st_ino, 0, 0, 0, below(path), NULL, "a shared mapping", 16);
    let_go();
  }
  return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, from);
}
void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t from) { return mapped(at, bytes, protection, flags, fd, from); }
ALIAS(mmap64, mmap);

#ifndef FICLONE
#define FICLONE _IOW(0x94, 9, int)
#endif
int ioctl(int fd, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  struct stat is;
  char path[PATH_MAX];
  if (request == FICLONE && whose(fd, &is, path) == 1) {
    errno = EOPNOTSUPP;
    return -1;
  }
  return syscall(SYS_ioctl, fd, request, argument);
}
