/* Preloaded into a process: the n-th operation of a kind on a path that holds a text fails with an error number. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static char text[4096];
static int kinds, nth, number, seen, active;
static volatile int *failed; /* how often a call was made to fail, in memory that the parent shares */

/* kinds: 1 write, 2 fsync, 4 open for writing, 8 rename, 16 unlink, 32 mkdir, 64 read, 128 open for reading,
   256 allocate, 512 list, 1024 lock; all from the nth on */
void fail_from(const char *path, int kind, int from, int error, void *count) {
  strncpy(text, path, sizeof text - 1);
  kinds = kind; nth = from; number = error; seen = 0; failed = count; active = 1;
}
static int hit(const char *path, int kind) {
  if (!active || !(kinds & kind) || !path || !strstr(path, text)) return 0;
  if (++seen < nth) return 0;
  if (failed) ++*failed;
  errno = number;
  return 1;
}
static int hit_open(int file, int kind) {
  char link[64], path[4096];
  if (!active || !(kinds & kind)) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return hit(path, kind);
}
#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, name)
#define MODE(flags) mode_t mode = 0; if ((flags) & O_CREAT) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }
#define OPENS(flags) (((flags) & O_ACCMODE) != O_RDONLY ? 4 : 128)
ssize_t write(int file, const void *from, size_t size) {
  REAL(ssize_t, "write", int, const void *, size_t);
  return file > 2 && hit_open(file, 1) ? -1 : real(file, from, size);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
  REAL(ssize_t, "writev", int, const struct iovec *, int);
  return file > 2 && hit_open(file, 1) ? -1 : real(file, parts, count);
}
ssize_t read(int file, void *to, size_t size) {
  REAL(ssize_t, "read", int, void *, size_t);
  return file > 2 && hit_open(file, 64) ? -1 : real(file, to, size);
}
int fsync(int file) { REAL(int, "fsync", int); return hit_open(file, 2) ? -1 : real(file); }
int flock(int file, int how) { REAL(int, "flock", int, int); return !(how & LOCK_UN) && hit_open(file, 1024) ? -1 : real(file, how); }
int posix_fallocate(int file, off_t from, off_t size) {
  REAL(int, "posix_fallocate", int, off_t, off_t);
  return hit_open(file, 256) ? errno : real(file, from, size);
}
int posix_fallocate64(int file, off64_t from, off64_t size) {
  REAL(int, "posix_fallocate64", int, off64_t, off64_t);
  return hit_open(file, 256) ? errno : real(file, from, size);
}
int ftruncate(int file, off_t size) { REAL(int, "ftruncate", int, off_t); return hit_open(file, 256) ? -1 : real(file, size); }
int ftruncate64(int file, off64_t size) { REAL(int, "ftruncate64", int, off64_t); return hit_open(file, 256) ? -1 : real(file, size); }
int rename(const char *from, const char *to) {
  REAL(int, "rename", const char *, const char *);
  return hit(to, 8) ? -1 : real(from, to);
}
int unlink(const char *path) { REAL(int, "unlink", const char *); return hit(path, 16) ? -1 : real(path); }
int mkdir(const char *path, mode_t mode) { REAL(int, "mkdir", const char *, mode_t); return hit(path, 32) ? -1 : real(path, mode); }
DIR *opendir(const char *path) { REAL(DIR *, "opendir", const char *); return hit(path, 512) ? NULL : real(path); }
int open(const char *path, int flags, ...) {
  MODE(flags) REAL(int, "open", const char *, int, mode_t);
  return hit(path, OPENS(flags)) ? -1 : real(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
  MODE(flags) REAL(int, "open64", const char *, int, mode_t);
  return hit(path, OPENS(flags)) ? -1 : real(path, flags, mode);
}
