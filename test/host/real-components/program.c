/* An ordinary program: arguments, environment, standard streams, files. The same as program.go and program.rs. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *box;

static const char *in(const char *name) {
  static char paths[4][256];
  static int next;
  char *path = paths[next++ & 3];
  snprintf(path, sizeof paths[0], "%s/%s", box, name);
  return path;
}

static FILE *need(FILE *file) {
  if (file == NULL) {
    perror("open");
    exit(1);
  }
  return file;
}

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

int main(int argc, char **argv) {
  box = argv[1];
  printf("arguments:");
  for (int i = 2; i < argc; i++) printf(" %s", argv[i]);
  printf("\ngreeting: %s\n", getenv("GREETING"));
  char line[256] = "", text[256] = "";
  if (fgets(line, sizeof line, stdin) != NULL) printf("input: %s", line);
  FILE *file = need(fopen(in("in.txt"), "r"));
  text[fread(text, 1, sizeof text - 1, file)] = 0;
  fclose(file);
  for (char *at = text; *at != 0; at++) *at = (char)toupper((unsigned char)*at);
  printf("file: %s", text);
  file = need(fopen(in("out.txt"), "w"));
  fputs("written\n", file);
  fclose(file);
  file = need(fopen(in("out.txt"), "a"));
  fputs("again\n", file);
  fclose(file);
  if (mkdir(in("sub"), 0755) != 0 || rename(in("out.txt"), in("sub/out.txt")) != 0) perror("move");
  char *names[16];
  int count = 0;
  DIR *folder = opendir(box);
  for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && count < 16) names[count++] = strdup(entry->d_name);
  closedir(folder);
  qsort(names, (size_t)count, sizeof names[0], by_name);
  struct stat stat_of;
  for (int i = 0; i < count; i++) printf("entry: %s %s\n", names[i], stat(in(names[i]), &stat_of) == 0 && S_ISDIR(stat_of.st_mode) ? "true" : "false");
  file = need(fopen(in("sub/out.txt"), "r"));
  fstat(fileno(file), &stat_of);
  printf("size: %lld\n", (long long)stat_of.st_size);
  fseek(file, -6, SEEK_END);
  printf("tail: %s", fgets(line, sizeof line, file));
  fclose(file);
  printf("missing: %s\n", fopen(in("nothing.txt"), "r") == NULL && errno == ENOENT ? "true" : "false");
  fputs("done\n", stderr);
  return 3;
}
